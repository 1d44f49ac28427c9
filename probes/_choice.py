"""The smallest map that relates one embedding to another about as well as the best map does.

Every function here works on rows of R²: one row for the sample itself, or one for each resample.
:mod:`probes._relation` turns the chosen map into a relation and its reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from probes._alignment import CANDIDATES, Ladder
from probes._collapse import RANK_LOST, VARIANCE_LOST, Collapse
from probes._maps import Rung
from probes._measure import Bools, Floats

Relation = Literal[
    "matched", "flipped", "permuted", "rotated", "rescaled", "affine", "collapsed", "unrelated"
]

REMAINDER = 0.25
"""A map other than the identity also counts as good where it leaves at most 1 + this (five quarters) times
the variance unexplained that the best map leaves. Frozen models bend a mirrored embedding, and larger maps
pick up some of the bend; a true rotation or shear leaves far less (benchmarks/calibration.py)."""

FLOOR = 0.3
"""R² below which no rung explains the transfer: `unrelated`."""

RECOVERED = 0.9
"""R² of the best map from which an embedding of lower rank is not called collapsed: the lost dimensions held
little variance."""

INFLATED = 1.5
"""Inflation of an affine map's error by too few rows (three rows a dimension in a half) above which it proves
nothing that the affine map explains no more than a smaller one."""

HOPELESS = 5.0
"""Inflation of an affine map's error above which the affine map is never named: next to nothing is left of
its own R²."""

RELATION_OF: dict[tuple[Rung, bool], Relation] = {
    ("identity", False): "matched",
    ("identity", True): "affine",
    ("signs", False): "flipped",
    ("signs", True): "flipped",
    ("permutation", False): "permuted",
    ("permutation", True): "permuted",
    ("orthogonal", False): "rotated",
    ("similarity", False): "rescaled",
    ("affine", False): "affine",
}
"""Relation that each map names, by rung and whether it is shifted, from the smallest map to the largest."""

OUTCOMES: tuple[Relation | None, ...] = (*RELATION_OF.values(), "collapsed", "unrelated", None)
"""Relation for each number that :func:`choose` gives: the maps in order, then what no map names."""

COLLAPSED, UNRELATED, UNDECIDED = range(len(RELATION_OF), len(OUTCOMES))

LADDER_COLUMNS = [CANDIDATES.index(candidate) for candidate in RELATION_OF]
"""Column in a ladder's draws of each map of :data:`RELATION_OF`."""

_KEEPS_LENGTHS = np.array([rung not in ("similarity", "affine") for rung, _ in RELATION_OF])
_IDENTITY, _DISPLACED, _SIMILARITY, _AFFINE = (
    list(RELATION_OF).index(candidate)
    for candidate in (("identity", False), ("identity", True), ("similarity", False), ("affine", False))
)


@dataclass(frozen=True)
class Scores:
    """R² of every map in both directions, and the ratios of rank and variance, for m samples."""

    there: Floats
    """(m, maps) maps from x to y, smallest first; NaN where a map is undefined."""
    back: Floats
    """(m, maps) maps from y to x."""
    rank: Floats
    """(m,) effective rank of x over that of y."""
    variance: Floats
    """(m,) variance of x over that of y."""


def measured(there: Ladder, back: Ladder, lost: Collapse) -> Scores:
    """Scores of the sample itself (m = 1); the collapse must be defined."""
    rank, variance = lost.rank_ratio.value, lost.variance_ratio.value
    assert rank is not None
    assert variance is not None
    return Scores(point_r2(there), point_r2(back), np.array([rank]), np.array([variance]))


def resampled(there: Ladder, back: Ladder, lost: Collapse) -> Scores:
    """Scores of every resample."""
    return Scores(
        there.draws[:, LADDER_COLUMNS], back.draws[:, LADDER_COLUMNS], lost.rank_draws, lost.variance_draws
    )


def point_r2(ladder: Ladder) -> Floats:
    """(1, maps) R² of each map on all states, smallest map first; NaN where a map is undefined."""
    values = [np.nan if s.r2.value is None else s.r2.value for s in (*ladder.steps, *ladder.shifted)]
    return np.array([values])[:, LADDER_COLUMNS]


def identity_gap(r2: Floats) -> float | None:
    """R² of the best map less the identity's, for one row (1, maps); None where the identity is undefined."""
    return None if np.isnan(r2[0, _IDENTITY]) else float(np.nanmax(r2) - r2[0, _IDENTITY])


def identity_gap_high(there: Floats, back: Floats) -> float | None:
    """95% quantile over resamples (m, maps) of the smaller of both directions' identity gaps."""
    gaps = []
    for draws in (there, back):
        known = _known(draws)
        if np.isfinite(known[:, _IDENTITY]).all():
            gaps.append(known.max(1) - known[:, _IDENTITY])
    return float(np.quantile(np.min(gaps, axis=0), 0.95)) if gaps else None


@dataclass(frozen=True)
class Rivals:
    """The best R² of another family of maps between the same embeddings, there and back."""

    there: tuple[Floats, Floats]
    """(1,) on all states, and (resamples,); −∞ where none could be fitted."""
    back: tuple[Floats, Floats]

    @property
    def points(self) -> tuple[Floats, Floats]:
        """(1,) there and back, on all states."""
        return self.there[0], self.back[0]

    @property
    def draws(self) -> tuple[Floats, Floats]:
        """(resamples,) there and back."""
        return self.there[1], self.back[1]


def attainable_by(ladder: Ladder) -> tuple[Floats, Floats]:
    """(1,) and (resamples,) R² that the best of a ladder's maps would reach if rows were not so few.

    Only maps that could be fitted count, and an affine map of which too few rows leave next to nothing
    (:data:`HOPELESS`) does not: what cannot be told speaks against no other map.
    """
    inflation = error_inflation(ladder.rows // 2, ladder.dimensions[0])
    hopeless = bool(inflation[_AFFINE] > HOPELESS)
    if inflation[_AFFINE] <= INFLATED:
        inflation = np.ones(len(inflation))
    elif hopeless:
        inflation[_AFFINE] = 1.0

    def best(r2: Floats) -> Floats:
        known = 1 - (1 - _known(r2)) / inflation
        known[:, _AFFINE] = -np.inf if hopeless else known[:, _AFFINE]
        return np.asarray(known.max(1))

    return best(point_r2(ladder)), best(ladder.draws[:, LADDER_COLUMNS])


def choose(
    scores: Scores,
    margin: float,
    complete: bool,
    inflation: tuple[Floats, Floats],
    rivals: tuple[Floats, Floats] | None = None,
) -> tuple[NDArray[np.int64], Bools]:
    """(m,) index into :data:`OUTCOMES` for each sample, and (m,) whether it is surely not the identity.

    The smallest map is taken that is good enough in either direction, unless x has collapsed or no map
    explains it. ``complete`` says that an affine map from x to y could be fitted; ``inflation`` is that of
    :func:`error_inflation` for the maps there and back. ``rivals``, (m,) each, are R² of other maps there and
    back, than which a good map is not much worse either.
    """
    nothing = np.full(len(scores.there), -np.inf)
    others = (nothing, nothing) if rivals is None else rivals
    good = np.zeros(scores.there.shape, np.bool_)
    near_identity = np.zeros(len(scores.there), np.bool_)
    best_attainable = np.full(len(scores.there), -np.inf)
    scaled = has_another_scale(scores.there[:, _SIMILARITY], scores.variance)
    for r2, factors, rival in zip((scores.there, scores.back), inflation, others, strict=True):
        attainable = attainable_r2(r2, factors)
        best_attainable = np.maximum(best_attainable, attainable.max(1))
        near_identity |= identity_is_near(r2, margin)
        hopeless = bool(factors[_AFFINE] > HOPELESS)
        good |= good_enough(r2, attainable, scaled, margin, rival, hopeless=hopeless)
    best = _known(scores.there).max(1)
    explained = best >= FLOOR
    smallest = np.where(good.any(1), good.argmax(1), UNDECIDED)
    otherwise = np.where(best_attainable >= FLOOR, UNDECIDED, UNRELATED if complete else UNDECIDED)
    chosen = np.where(explained, smallest, otherwise)
    chosen = np.where(has_collapsed(best, scores.rank, scores.variance), COLLAPSED, chosen).astype(np.int64)
    return chosen, (chosen != _IDENTITY) & ~((chosen == UNDECIDED) & near_identity)


def attainable_r2(r2: Floats, inflation: Floats) -> Floats:
    """R² (m, maps) that maps would reach if they were fitted on any number of rows; −∞ where undefined.

    Corrected only where rows are so few that an affine map's error is inflated by more than
    :data:`INFLATED`. An affine map that could not be fitted might then explain everything.
    """
    known = _known(r2)
    if inflation[_AFFINE] <= INFLATED:
        return known
    known[:, _AFFINE] = np.where(np.isfinite(known[:, _AFFINE]), known[:, _AFFINE], 1.0)
    return np.asarray(1 - (1 - known) / inflation)


def identity_is_near(r2: Floats, margin: float) -> Bools:
    """(m,) whether the identity does as well as every map that was fitted, to within the margin."""
    known = _known(r2)
    return np.asarray(known[:, _IDENTITY] >= known.max(1) - margin)


def good_enough(
    r2: Floats, attainable: Floats, scaled: Bools, margin: float, rival: Floats, *, hopeless: bool
) -> Bools:
    """(m, maps) which maps do about as well as the best one in the same direction, ``rival`` (m,) included.

    ``scaled`` (m,) says where x has another scale than y, so that maps which keep lengths have no more slack
    than the identity; ``hopeless`` that rows are too few to name an affine map.
    """
    best = np.maximum(attainable.max(1), rival)[:, None]
    slack = shortfall_allowed(best, scaled, margin)
    # Where the embedding to be mapped to is constant, R² is undefined, and no map counts as good.
    good = (attainable >= best - slack) & np.isfinite(best) & np.isfinite(r2) & (r2 >= FLOOR)
    good[:, _DISPLACED] &= r2[:, _DISPLACED] > r2[:, _IDENTITY] + margin
    good[:, _AFFINE] &= not hopeless
    return np.asarray(good)


def shortfall_allowed(best: Floats, scaled: Bools, margin: float) -> Floats:
    """(m, maps) R² by which each map may fall short of the best one (m, 1) and still count as good."""
    unexplained = 1 - np.where(np.isfinite(best), best, 1.0)
    slack = np.repeat(np.maximum(margin, REMAINDER * unexplained), len(RELATION_OF), axis=1)
    slack[:, _IDENTITY] = margin
    slack[np.ix_(scaled, _KEEPS_LENGTHS)] = margin
    return slack


def has_collapsed(best: Floats, rank: Floats, variance: Floats) -> Bools:
    """(m,) whether x lost rank that no map brings back, or lost its variance and is explained by no map.

    ``best`` (m,) is the R² of the best map from x to y.
    """
    return np.where(rank < RANK_LOST, best < RECOVERED, (best < FLOOR) & (variance < VARIANCE_LOST))


def error_inflation(rows: int, dimensions: int) -> Floats:
    """(maps,) factor by which maps fitted on this many rows have more squared error than the best maps.

    For a regression on normal rows exactly (1 + 1/n)·(n − 2)/(n − d − 2) (Stein 1960), infinite for too
    few. A rotation has half as many free numbers, (d − 1)/2 for each axis; smaller maps have next to none.
    """
    n, d = max(rows, 1), dimensions
    regression = (1 + 1 / n) * (n - 2) / (n - d - 2) if n > d + 2 else np.inf
    sizes = {"orthogonal": 1 + (d - 1) / (2 * n), "similarity": 1 + (d - 1) / (2 * n), "affine": regression}
    return np.array([sizes.get(rung, 1.0) for rung, _ in RELATION_OF])


def has_another_scale(similarity: Floats, variance: Floats) -> Bools:
    """(m,) whether x is larger or smaller than y by more than noise in either could make it.

    With a correlation of ρ after turning, noise in x alone makes it 1/ρ times as large, noise in y alone
    makes x ρ times as large; ρ² is the R² of the best similarity.
    """
    rho = np.sqrt(np.clip(np.nan_to_num(similarity), 1e-6, 1.0))
    size = np.sqrt(variance)
    return np.asarray((size < rho) | (size > 1 / rho))


def _known(r2: Floats) -> Floats:
    """R² with −∞ in the place of NaN, so that an undefined map is never the best."""
    return np.where(np.isnan(r2), -np.inf, r2)
