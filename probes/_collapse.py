"""The effective rank of an embedding, and the rank and variance that a transfer has lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from probes._measure import (
    CONSTANT_BASE,
    ROUNDING,
    ArrayLike,
    Floats,
    Labels,
    Measure,
    as_matrix,
    as_pair,
    is_constant,
)
from probes._moments import Moments
from probes._resampling import JACKKNIFE_GROUPS, bundles, compressed, interval, labels, make_groups

RELATIVE_RANK = 1e-7
"""Singular values below this share of the largest count as zero: a Gram matrix squares them."""

RANK_LOST = 2 / 3
"""Effective rank, as a share of the base's, below which dimensions are lost."""

VARIANCE_LOST = 1e-2
"""Total variance, as a share of the base's, below which it is lost."""

NEAR = 1.5
"""Factor around :data:`RANK_LOST` within which the rank ratio's error is worth the cost of a jackknife."""


@dataclass(frozen=True)
class Collapse:
    """Rank and variance of a transfer's embedding beside those of its base's."""

    effective_rank: tuple[float, float]
    """Effective ranks of the base's embedding and of the transfer's."""
    rank_ratio: Measure
    """The transfer's effective rank over the base's."""
    variance_ratio: Measure
    """Total variance of the transfer's embedding over the base's."""
    constant_axes: tuple[int, int]
    """Number of axes of the base, and of the transfer, that do not vary."""
    rank_draws: Floats
    """(resamples,) resampled rank ratios."""
    variance_draws: Floats

    @property
    def rank_lost(self) -> bool | None:
        """Whether rank is lost (:data:`RANK_LOST`); None where the interval does not decide."""
        return _below(self.rank_ratio, RANK_LOST)

    @property
    def variance_lost(self) -> bool | None:
        """Whether variance is lost (:data:`VARIANCE_LOST`); None where the interval does not decide."""
        return _below(self.variance_ratio, VARIANCE_LOST)


def effective_rank(x: ArrayLike) -> float:
    """exp(entropy of the normalised singular values) of centred x (n, d): 0 (constant) to d.

    Roy and Vetterli, "The effective rank: a measure of effective dimensionality", 2007.

    >>> import numpy as np
    >>> line = np.outer(np.arange(10.0), [1.0, 2.0, 3.0])
    >>> round(effective_rank(line), 6)
    1.0
    """
    matrix = as_matrix(x)
    if is_constant(matrix):
        return 0.0
    centred = matrix - matrix.mean(0)
    n, d = centred.shape
    return rank_of(centred.T @ centred if d <= n else centred @ centred.T)


def rank_of(gram: Floats) -> float:
    """The effective rank of centred rows from their Gram or scatter matrix."""
    values = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    values[values < values[-1] * RELATIVE_RANK] = 0.0
    share = values[values > 0] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def collapse(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None, seed: int = 0) -> Collapse:
    """Compare rank and variance of the transfer's embedding x (n, d₁) with those of the base's y (n, d₂).

    >>> import numpy as np
    >>> y = np.random.default_rng(0).normal(size=(200, 4))
    >>> result = collapse(y @ np.ones((4, 1)) * [1, 2, 3, 4], y)
    >>> result.rank_lost, round(result.effective_rank[1], 6)
    (True, 1.0)
    """
    transfer, base = as_pair(x, y)
    state = labels(groups, transfer, base)
    resampling = make_groups(state, seed)
    spreads = np.stack([np.square(v - v.mean(0)).sum(1) for v in (transfer, base)], 1)
    rows = bundles(state, JACKKNIFE_GROUPS)
    short = [compressed(v) for v in (transfer, base)]
    total = Moments.of(short[0], short[1])
    parts = (Moments.of(short[0][rows == b], short[1][rows == b], total.frames) for b in np.unique(rows))
    result = collapse_of(total, parts, spreads.sum(0), resampling.resampled(spreads), resampling.count, seed)
    return replace(result, constant_axes=(constant_axes(base), constant_axes(transfer)))


def constant_axes(x: Floats) -> int:
    """Number of columns of x (n, d) that do not vary."""
    return int((np.abs(x - x.mean(0)).max(0) <= ROUNDING * np.abs(x).max(0)).sum())


def collapse_of(
    total: Moments, parts: Iterable[Moments], spread: Floats, draws: Floats, groups: int, seed: int
) -> Collapse:
    """Compare rank and variance from sums of all rows and of their parts, and from total variances.

    ``spread`` (2,) is of the transfer and of the base, ``draws`` (resamples, 2) the same of resamples.
    """
    moving = total.y_moves, total.x_moves
    ranks = tuple(
        rank_of(scatter[np.ix_(m, m)]) if m.any() else 0.0
        for scatter, m in zip((total.y_scatter, total.x_scatter), moving, strict=True)
    )
    constant = (int((~moving[0]).sum()), int((~moving[1]).sum()))
    if not moving[0].any():
        nothing = Measure.undefined(CONSTANT_BASE)
        undefined = np.full(len(draws), np.nan)
        return Collapse((ranks[0], ranks[1]), nothing, nothing, constant, undefined, undefined)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance_draws = draws[:, 0] / draws[:, 1]
    variance = interval(float(spread[0] / spread[1]), variance_draws, groups, low=0.0)
    ratio = ranks[1] / ranks[0]
    near = RANK_LOST / NEAR < ratio < RANK_LOST * NEAR
    rank, rank_draws = _jackknifed_ratio(
        ratio, [rank_ratio_of(total - part) for part in parts] if near else [], len(draws), seed
    )
    return Collapse((ranks[0], ranks[1]), rank, variance, constant, rank_draws, variance_draws)


def rank_ratio_of(m: Moments) -> float:
    """The effective rank of x over that of y, from sums."""
    base = rank_of(m.y_scatter)
    return rank_of(m.x_scatter) / base if base else float("nan")


def _jackknifed_ratio(value: float, without: list[float], draws: int, seed: int) -> tuple[Measure, Floats]:
    """The ratio with its interval, and normal draws of the same spread."""
    k = len(without)
    if k < 2:
        return Measure(value), np.full(draws, value)
    error = float(np.sqrt((k - 1) / k * np.square(np.array(without) - np.mean(without)).sum()))
    noise = np.random.default_rng([seed, 2]).standard_t(k - 1, size=draws)
    drawn = value + error * noise
    return interval(value, drawn, 10**6, low=0.0), drawn


def _below(ratio: Measure, limit: float) -> bool | None:
    if ratio.value is None:
        return None
    low, high = (ratio.value if end is None else end for end in (ratio.low, ratio.high))
    return True if high < limit else False if low >= limit else None
