"""Bootstrap intervals from sums over groups: states, or whole episodes where samples hang together.

Everything here rests on statistics that are functions of sums over samples, so a resample costs one
row of a small matrix product and never touches the data again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probes._measure import ArrayLike, Floats, Measure, ProbeError, as_pair, is_constant

Labels: TypeAlias = Sequence[int] | NDArray[Any]
"""(n,) the state or episode of each sample; samples of one label stay together."""

DRAWS = 2000
"""Resamples behind every interval: its ends then move by about 1.5% of its width from seed to seed."""

MAX_GROUPS = 1024
"""More groups than this are bundled at random: the bootstrap of bundle sums has the same spread."""

LEVEL = 0.95

JACKKNIFE_GROUPS = 20
MIN_JACKKNIFE = 4

JACKKNIFE_WORK = 10**9
"""n·d² up to which the jackknife is paid for: some seconds."""


@dataclass(frozen=True)
class Groups:
    """Which group each of n samples belongs to, and the resampling weights of the groups."""

    index: NDArray[np.int64]
    """(n,) a group number per sample, from 0 without gaps."""
    count: int
    weights: Floats
    """(draws, count) how often each group stands in each resample."""

    def sums(self, values: Floats) -> Floats:
        """Sums over each group of values (n, ...): (count, ...)."""
        flat = values.reshape(len(values), -1)
        order = np.argsort(self.index, kind="stable")
        starts = np.searchsorted(self.index[order], np.arange(self.count))
        return np.add.reduceat(flat[order], starts, axis=0).reshape(self.count, *values.shape[1:])

    def resampled(self, values: Floats) -> Floats:
        """Resampled totals of values (n, k): (draws, k)."""
        with np.errstate(invalid="ignore"):  # infinities stay in their own column, as NaN at worst
            return self.weights @ self.sums(values)


def labels(groups: Labels | None, x: Floats, y: Floats) -> NDArray[np.int64]:
    """(n,) group numbers from 0 without gaps: of ``groups``, or one for each distinct pair of rows."""
    found = _distinct(x, y) if groups is None else np.asarray(groups)
    if found.shape != (len(x),):
        raise ProbeError(f"groups has shape {found.shape}, expected ({len(x)},)")
    return np.unique(found, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _distinct(x: Floats, y: Floats) -> NDArray[np.int64]:
    """(n,) the same number for rows that are equal in both x and y: one state seen more than once."""
    rows = np.ascontiguousarray(np.concatenate([x, y], 1))
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).reshape(-1)
    return np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64)


def make_groups(groups: Labels, seed: int, draws: int = DRAWS) -> Groups:
    """Groups from one label a sample (n,), at most :data:`MAX_GROUPS`, with multinomial weights."""
    rng = np.random.default_rng(seed)
    index = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1).astype(np.int64)
    count = int(index.max()) + 1
    if count > MAX_GROUPS:
        bundle = rng.permutation(count) % MAX_GROUPS
        index, count = bundle[index], MAX_GROUPS
    weights = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    return Groups(index, count, weights)


def interval(value: float, draws: Floats, low: float = -np.inf, high: float = np.inf) -> Measure:
    """``value`` with the percentile interval of its resamples, kept inside [low, high]."""
    finite = draws[np.isfinite(draws)]
    if len(finite) < len(draws) / 2:
        return Measure(value, reason="too few resamples are defined for an interval")
    tail = (1 - LEVEL) / 2
    ends = np.quantile(finite, [tail, 1 - tail])
    # A percentile interval need not hold the estimate where the statistic is biased; a reader expects it.
    return Measure(value, float(max(low, min(ends[0], value))), float(min(high, max(ends[1], value))))


def similarity(
    x: ArrayLike,
    y: ArrayLike,
    groups: Labels | None,
    score: Callable[[Floats, Floats], tuple[float | None, str]],
    low: float = 0.0,
) -> Measure:
    """``score`` of x and y with a delete-a-group jackknife interval inside [low, 1] (Tukey 1958).

    ``score`` is given no constant and gives a number, or None and the reason; the interval costs it
    twenty times more.
    """
    from scipy import special

    def defined(a: Floats, b: Floats) -> tuple[float | None, str]:
        constant = next((name for name, matrix in (("x", a), ("y", b)) if is_constant(matrix)), None)
        return score(a, b) if constant is None else (None, f"{constant} is constant")

    left, right = as_pair(x, y)
    value, reason = defined(left, right)
    if value is None:
        return Measure.undefined(reason)
    if len(left) * max(left.shape[1], right.shape[1]) ** 2 > JACKKNIFE_WORK:
        return Measure(value, reason="no interval at this size")
    state = labels(groups, left, right)
    count = int(state.max()) + 1
    bundle = np.random.default_rng(0).permutation(count) % min(count, JACKKNIFE_GROUPS)
    stays = (bundle[state] != b for b in np.unique(bundle))
    without = [defined(left[stay], right[stay])[0] for stay in stays]
    found = np.array([v for v in without if v is not None])
    k = len(found)
    if k < MIN_JACKKNIFE:
        return Measure(value, reason="too few samples for an interval")
    error = np.sqrt((k - 1) / k * np.square(found - found.mean()).sum())
    half = float(special.stdtrit(k - 1, (1 + LEVEL) / 2) * error)
    return Measure(value, max(low, value - half), min(1.0, value + half))
