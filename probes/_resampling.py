"""Bootstrap intervals from sums over groups: states, or whole episodes where samples hang together.

Everything here rests on statistics that are functions of sums over samples, so a resample costs one
row of a small matrix product and never touches the data again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from probes._measure import ROUNDING, ArrayLike, Floats, Labels, Measure, ProbeError, as_pair, is_constant
from probes._moments import Frame, Moments
from probes._states import numbered_rows

DRAWS = 2000
"""Resamples behind every interval: its ends then move by about 1.5% of its width from seed to seed."""

MAX_GROUPS = 1024
"""Most groups that are resampled singly; more are bundled at random, whose sums have the same spread."""

LEVEL = 0.95

JACKKNIFE_GROUPS = 20
MIN_JACKKNIFE = 4

JACKKNIFE_WORK = 10**10
"""Groups times d³ up to which a measure that costs d³ is jackknifed (d = 793): some ten seconds."""

NEARLY_ONE = 1 - 1e-12
"""Largest correlation that Fisher's artanh takes: rounding leaves a perfect score this far from 1."""


@dataclass(frozen=True)
class Groups:
    """The group of each of n samples, and the resampling weights of the groups."""

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
    """(n,) group numbers from 0 without gaps: of ``groups``, or of the states that pairs of rows show.

    Groups are numbered by the order of their names, so that rows in another order are dealt alike; states,
    which have none, by their first appearance.
    """
    if groups is None:
        return numbered_rows(x, y)
    if np.shape(groups) != (len(x),):
        raise ProbeError(f"groups has shape {np.shape(groups)}, expected ({len(x)},)")
    return _by_name(groups)


def _by_name(groups: Labels) -> NDArray[np.int64]:
    return np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1).astype(np.int64)


def make_groups(groups: Labels, seed: int, draws: int = DRAWS) -> Groups:
    """Groups from one label a sample (n,), at most :data:`MAX_GROUPS`, with multinomial weights."""
    index = _by_name(groups)
    count = int(index.max()) + 1
    if count > MAX_GROUPS:
        bundle, weights = _bundled(seed, count, draws)
        return Groups(bundle[index], MAX_GROUPS, weights)
    return Groups(index, count, _weights(seed, count, draws))


@lru_cache(maxsize=4)
def _bundled(seed: int, count: int, draws: int) -> tuple[NDArray[np.int64], Floats]:
    """The bundle (count,) of each of so many groups under a seed, and weights (draws, bundles)."""
    rng = np.random.default_rng(seed)
    bundle = rng.permutation(count) % MAX_GROUPS
    weights = _multinomial(rng, MAX_GROUPS, draws)
    bundle.flags.writeable = weights.flags.writeable = False
    return bundle, weights


@lru_cache(maxsize=4)
def _weights(seed: int, count: int, draws: int) -> Floats:
    """Weights (draws, count) of so many groups under a seed: the same for every pair of equally many."""
    weights = _multinomial(np.random.default_rng(seed), count, draws)
    weights.flags.writeable = False
    return weights


def _multinomial(rng: np.random.Generator, count: int, draws: int) -> Floats:
    return rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)


def bundles(state: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """(n,) the bundle of each row: states (n,) dealt at random into at most this many."""
    count = int(state.max()) + 1
    dealt: NDArray[np.int64] = np.random.default_rng(0).permutation(count) % min(count, most)
    return dealt[state]


def interval(value: float, draws: Floats, groups: int, low: float = -np.inf, high: float = np.inf) -> Measure:
    """``value`` with the expanded percentile interval of its resamples of ``groups``, inside [low, high].

    A plain percentile interval of few groups is too narrow by the factor √(g/(g − 1))·t/z; its tails are
    taken that much further out (Hesterberg 2015, section 5.3). Coverage: docs/results.md.
    """
    finite = draws[np.isfinite(draws)]
    if len(finite) < len(draws) / 2:
        return Measure(value, reason="too few resamples are defined for an interval")
    tail = expanded_tail(groups)
    ends = np.quantile(finite, [tail, 1 - tail])
    # A percentile interval need not hold the estimate where the statistic is biased; a reader expects it.
    return Measure(value, float(max(low, min(ends[0], value))), float(min(high, max(ends[1], value))))


def expanded_tail(groups: int) -> float:
    """The share of resamples beyond either end of a 95% interval from this many groups (at least 2)."""
    from scipy import special

    count = max(groups, 2)
    student = float(special.stdtrit(count - 1, (1 + LEVEL) / 2))
    return float(special.ndtr(-student * np.sqrt(count / (count - 1))))


def share(value: float, count: int) -> Measure:
    """A share of ``count`` independent cases with Wilson's interval, which is not empty at 0 and at 1."""
    from scipy import special

    z = float(special.ndtri((1 + LEVEL) / 2))
    centre = (value + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(value * (1 - value) / count + z**2 / (4 * count**2))
    return Measure(value, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def difference(one: Measure, other: Measure) -> Measure:
    """``one`` − ``other`` with an interval from both, as if they were independent: at most too wide.

    Each end lies as far from the difference as the two ends that make it lie from their values, squared and
    added (Zou and Donner 2008). Undefined, with the reason, where one of them is.
    """
    for measure in (one, other):
        if measure.value is None:
            return Measure.undefined(measure.reason or "a score is undefined")
    assert one.value is not None
    assert other.value is not None
    value = one.value - other.value
    ends = (one.low, one.high, other.low, other.high)
    if any(end is None for end in ends):
        return Measure(value, reason=one.reason or other.reason or "a score has no interval")
    low, high, other_low, other_high = (float(end) for end in ends if end is not None)
    return Measure(
        value,
        value - float(np.hypot(one.value - low, other_high - other.value)),
        value + float(np.hypot(high - one.value, other.value - other_low)),
    )


Score: TypeAlias = Callable[[Moments], tuple[float | None, str]]
"""A measure of moments: a number, or None and the reason."""


def similarity(
    x: ArrayLike,
    y: ArrayLike,
    groups: Labels | None,
    score: Score,
    *,
    low: float = 0.0,
    with_interval: bool = True,
    cubic: bool = True,
    rotates: bool = True,
    norms: bool = False,
) -> Measure:
    """``score`` of x and y, with an interval for its value in the population, inside [low, 1].

    ``rotates`` says that the score does not see rotations, ``cubic`` that it costs d³, ``norms`` that it
    needs sums with row norms.
    """
    left, right = as_pair(x, y)
    state = labels(groups, left, right) if with_interval else None
    if rotates:
        left, right = compressed(left), compressed(right)
    total = Moments.of(left, right, norms=norms)
    if state is None:
        value, reason = defined(score, total)
        return Measure(value, reason=None if value is not None else reason)
    rows = bundles(state, JACKKNIFE_GROUPS)
    parts = (
        Moments.of(left[rows == b], right[rows == b], total.frames, norms=norms) for b in np.unique(rows)
    )
    return jackknifed(total, parts, score, low, cubic)


def defined(score: Score, moments: Moments) -> tuple[float | None, str]:
    """``score``, or the reason why a constant has none."""
    if moments.n < 2:
        return None, f"{moments.n} rows, at least 2 are needed"
    for name, moving in (("x", moments.x_moves), ("y", moments.y_moves)):
        if not moving.any():
            return None, f"{name} is constant"
    return score(moments)


def jackknifed(
    total: Moments, parts: Iterable[Moments], score: Score, low: float = 0.0, cubic: bool = True
) -> Measure:
    """``score`` of all rows, with the delete-a-part jackknife's interval (Tukey 1958) for the population.

    Similarities are biased upwards, far beyond their own spread where n is not large against d: the
    interval stands about the bias-corrected estimate, on Fisher's scale artanh, and so need not hold
    the value itself. Coverage of both: docs/results.md.
    """
    value, reason = defined(score, total)
    if value is None:
        return Measure.undefined(reason)
    widest = max(len(total.x), len(total.y))
    if cubic and JACKKNIFE_GROUPS * widest**3 > JACKKNIFE_WORK:
        return Measure(value, reason=f"no interval for {widest} dimensions, to save time")
    without = [defined(score, total - part)[0] for part in parts]
    transformed = np.arctanh(np.clip([v for v in without if v is not None], -NEARLY_ONE, NEARLY_ONE))
    k = len(transformed)
    if k < MIN_JACKKNIFE:
        return Measure(value, reason="too few samples for an interval")
    ends = np.clip(fisher_jackknife(np.asarray(value), transformed), low, 1.0)
    return Measure(value, float(ends[0]), float(ends[1]))


def jackknife_half(without: Floats, level: float = LEVEL) -> Floats:
    """(...) half of the delete-a-part jackknife's interval, from values (k, ...) without each part."""
    from scipy import special

    k = len(without)
    error = np.sqrt((k - 1) / k * np.square(without - without.mean(0)).sum(0))
    return np.asarray(float(special.stdtrit(k - 1, (1 + level) / 2)) * error)


def fisher_jackknife(values: Floats, transformed: Floats) -> Floats:
    """(2, ...) both ends about each corrected estimate of values (...), from artanh of each without a part.

    ``transformed`` are (k, ...), one for each part that was left out.
    """
    k = len(transformed)
    with np.errstate(invalid="ignore"):
        estimate = np.arctanh(np.clip(values, -NEARLY_ONE, NEARLY_ONE))
    middle = k * estimate - (k - 1) * transformed.mean(0)
    half = jackknife_half(transformed)
    ends: Floats = np.tanh([middle - half, middle + half])
    # An end that is 1 but for rounding is 1, not 1 − 10⁻¹².
    ends[ends >= NEARLY_ONE] = 1.0
    return ends


def compressed(x: Floats) -> Floats:
    """Centred x (n, d) turned into n dimensions where d > n: what no rotation changes stays as it is."""
    if x.shape[1] <= len(x):
        return x
    frame = Frame.of(x)
    if is_constant(x):
        return np.asarray(x[:, :1])
    centred = frame(x)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    keep = values > ROUNDING * values[-1]
    return np.asarray(vectors[:, keep] * (np.sqrt(values[keep]) * frame.unit))
