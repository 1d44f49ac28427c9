"""The relation of one embedding to another: one word, from the ladder, with how sure it is.

Similarity scores answer "how much alike"; this answers "alike up to what". The lowest rung of the
ladder that does about as well as the best one names the relation, and the bootstrap says how often the
same name would have come out.

Ladders are climbed both ways, from x to y and from y to x, and a rung that does as well as the best in
either will do. Noise or a bend in x alone makes every smaller map from x to y look worse than a shrinking
one (regression dilution); the way back does not suffer from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from probes._alignment import CANDIDATES, Ladder, Step, climb
from probes._collapse import RANK_LOST, VARIANCE_LOST, Collapse, collapse
from probes._maps import SHIFTED, Rung
from probes._measure import ArrayLike, Bools, Floats, Measure, ProbeError, as_pair
from probes._resampling import Labels, labels
from probes._spatial import UNTURNED, best_grid, channels, is_spatial

Relation = Literal[
    "matched", "flipped", "permuted", "rotated", "rescaled", "affine", "collapsed", "unrelated"
]

MARGIN = 0.05
"""δ: a smaller map is as good as the best one when its R² is within this. Three times the largest gap
between identity and best map (0.015) among the maze's transfers with all 31 states in place
(benchmarks/margins.py, docs/results.md); :func:`equivalence_margin` takes it from others."""

REMAINDER = 0.25
"""…or, for any map but the identity, when the best one leaves more than 1/(1 + this) = four fifths of what
it leaves unexplained. Frozen models bend a mirrored embedding, and larger maps pick up some of the bend; a
true rotation or shear leaves far less (benchmarks/calibration.py)."""

FLOOR = 0.3
"""R² below which no rung explains the transfer: `unrelated`."""

AGREEMENT = 0.9
"""Share of resamples that must choose the same relation; below it the answer is that there is none."""

SIGN_STABILITY = 0.95
"""Share of resamples in which an axis must keep its sign to count as negated."""

RECOVERED = 0.9
"""R² of the best map from which on an embedding of lost rank has not collapsed all the same: what was lost
hardly counted."""

INFLATED = 1.5
"""Factor by which too few rows inflate an affine map's error (three rows a dimension in a half) from which
on that it explains no more than a smaller map proves nothing."""

HOPELESS = 5.0
"""…and from which on an affine map is not named either: next to nothing is left of its own R²."""

LEAST_MARGIN = 0.01
"""Margin that is granted however well the known-good transfers agree: what no reader would act upon."""

MIN_GOOD = 3
"""Known-good transfers that a margin can be taken from: fewer say nothing of their spread."""

_NAME: dict[tuple[Rung, bool], Relation] = {
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
"""Rung and whether it is shifted, from the smallest map to the largest -> relation."""

_ORDER = [CANDIDATES.index(candidate) for candidate in _NAME]
_KEEPS_LENGTHS = np.array([rung not in ("similarity", "affine") for rung, _ in _NAME])
_SIMILARITY = list(_NAME).index(("similarity", False))
_DISPLACED = list(_NAME).index(("identity", True))


@dataclass(frozen=True)
class RelationResult:
    """What :func:`relation` found, and what it rests on."""

    relation: Relation | None
    """None where the evidence does not decide; ``reason`` then says why."""
    axes: tuple[int, ...]
    """Negated dimensions, zero-based; for ``permuted``, of the base's. Channels where ``channels``. Where
    ``matched``, those that are negated in every resample but hold too little variance to count."""
    shifted: bool
    """Whether the map that names the relation has an offset besides."""
    rung: Step | None
    """The rung that names the relation."""
    agreement: float
    """Share of resamples that choose the same relation."""
    mismatch: float
    """Share of resamples in which something that was fitted does better than the identity, by more than δ."""
    gap: float | None
    """R² of the best map less the identity's, in the direction where it is less: what the margin bounds."""
    gap_high: float | None
    """What it is at most, in 95% of the resamples."""
    margin: float
    flip: Measure
    """The flip metric: R² of the best signs minus R² of the identity."""
    collapse: Collapse
    ladder: Ladder
    """Maps of the transfer's embedding to the base's."""
    back: Ladder
    """Maps of the base's embedding to the transfer's."""
    channels: bool = False
    """Whether the maps act on the channels of (n, H, W, C), alike at every place."""
    grid: str = UNTURNED
    """What has to be done to the transfer's grid."""
    reason: str | None = None

    @property
    def effective_rank(self) -> tuple[float, float]:
        """Of the base's embedding and of the transfer's."""
        return self.collapse.effective_rank


def relation(
    x: ArrayLike,
    y: ArrayLike,
    *,
    groups: Labels | None = None,
    margin: float = MARGIN,
    seed: int = 0,
) -> RelationResult:
    """How the transfer's embedding x lies to the base's y, paired rows (n, d), (n, H, W, C) or (n, ...).

    ``groups`` (n,) names the state or episode of each row. ``margin`` is δ, in R², from 0 to 1. Over a
    grid, maps of channels are tried first, also under the grid's mirror images, then maps of everything.
    Raises ProbeError.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=(200, 3))
    >>> found = relation(y * [1, -1, 1] + 0.1 * rng.normal(size=y.shape), y)
    >>> found.relation, found.axes
    ('flipped', (1,))
    """
    if not 0 <= margin <= 1:
        raise ProbeError(f"margin is {margin}, expected 0 to 1")
    transfer, base = as_pair(x, y)
    state = labels(groups, transfer, base)
    lost = collapse(transfer, base, groups=state, seed=seed)
    spreads = [np.square(v - v.mean(0)) for v in (base, transfer)]
    by_channel = 0.0
    if is_spatial(x, y):
        n, height, width = x.shape[:3]
        grid, seen = best_grid(
            transfer.reshape(n, height, width, -1), base.reshape(n, height, width, -1), margin
        )
        turned = np.square(seen - seen.mean(0))
        places = np.repeat(state, height * width)
        there, back = _both_ways(
            channels(seen),
            channels(base.reshape(n, height, width, -1)),
            places,
            [channels(s.reshape(n, height, width, -1)).sum(1) for s in (spreads[0], turned)],
            seed,
        )
        found = decide(there, back, lost, margin)
        if found.relation not in (None, "unrelated"):
            return _over_the_grid(found, grid)
        by_channel = found.mismatch
    there, back = _both_ways(transfer, base, state, [s.sum(1) for s in spreads], seed)
    all_of_it = decide(there, back, lost, margin)
    # Maps of channels may rule a match out where too few states were there to fit any other.
    return replace(all_of_it, mismatch=max(all_of_it.mismatch, by_channel))


def equivalence_margin(gaps: Sequence[float]) -> float:
    """δ from transfers known to be good: a bound that the next good one's gap stays under, 19 times in 20.

    ``gaps`` are the ``gap_high`` of :func:`relation` for transfers that were retrained from the same base and
    found to work. The one-sided 95% prediction bound of a normal distribution, and no less than the
    largest of them or :data:`LEAST_MARGIN`. Raises ProbeError for fewer than
    :data:`MIN_GOOD` or gaps that are not finite.

    >>> round(equivalence_margin([0.010, 0.012, 0.011, 0.013]), 3)
    0.015
    """
    from scipy import special

    values = np.asarray(gaps, np.float64)
    if len(values) < MIN_GOOD:
        raise ProbeError(f"{len(values)} known-good transfers, expected at least {MIN_GOOD}")
    if not np.isfinite(values).all():
        raise ProbeError("a known-good transfer has no gap: its identity or every map is undefined")
    k = len(values)
    reach = float(special.stdtrit(k - 1, 0.95)) * values.std(ddof=1) * np.sqrt(1 + 1 / k)
    return float(np.clip(max(values.mean() + reach, values.max()), LEAST_MARGIN, 1))


def _both_ways(
    x: Floats, y: Floats, state: NDArray[np.int64], spreads: Sequence[Floats], seed: int
) -> tuple[Ladder, Ladder]:
    return climb(x, y, state, spreads[0], None, seed), climb(y, x, state, spreads[1], None, seed)


def decide(there: Ladder, back: Ladder, lost: Collapse, margin: float) -> RelationResult:
    """The relation that two ladders, from x to y and from y to x, and the collapse name."""
    steps = (*there.steps, *there.shifted)
    values, back_values = (
        np.array([[np.nan if s.r2.value is None else s.r2.value for s in (*r.steps, *r.shifted)]])[:, _ORDER]
        for r in (there, back)
    )
    draws, back_draws = there.draws[:, _ORDER], back.draws[:, _ORDER]
    gaps = [g for g in (_gap(values), _gap(back_values)) if g is not None]
    high = _gap_high(draws, back_draws) if gaps else None
    flip = there.difference("signs", "identity")
    base = RelationResult(
        None, (), False, None, 0.0, 0.0, min(gaps, default=None), high, margin, flip, lost, there, back
    )
    if lost.rank_ratio.value is None or lost.variance_ratio.value is None:
        return replace(base, reason=lost.rank_ratio.reason or lost.variance_ratio.reason)
    complete = there["affine"].r2.value is not None
    point = np.array([lost.rank_ratio.value]), np.array([lost.variance_ratio.value])
    inflation = [_inflation(r.rows // 2, r.dimensions[0]) for r in (there, back)]
    chosen = int(_choose(values, back_values, *point, margin, complete, inflation)[0][0])
    resampled, elsewhere = _choose(
        draws, back_draws, lost.rank_draws, lost.variance_draws, margin, complete, inflation
    )
    names = [*_NAME.values(), "collapsed", "unrelated", None]
    name = names[chosen]
    agreement = float(np.mean([names[c] == name for c in resampled]))
    base = replace(base, agreement=agreement, mismatch=float(np.mean(elsewhere)))
    if name is None:
        missing = next((s.r2.reason for s in there.steps if s.r2.value is None), None)
        if missing is not None:
            return replace(base, reason=f"no rung that could be fitted explains it, and {missing}")
        widest = max(there.dimensions)
        few = f"{there.rows} states are too few to fit {widest} dimensions well"
        return replace(base, reason=f"an affine map may explain more, but {few}")
    step: Step | None = None
    shifted, axes = False, tuple[int, ...]()
    if chosen < len(_NAME):
        (_, shifted), step = list(_NAME)[chosen], steps[_ORDER[chosen]]
    if name in ("flipped", "permuted") and step is not None and step.map is not None:
        stability = there.shifted_sign_stability if shifted else there.sign_stability
        negated = [j for j, sign in enumerate(step.map.signs or ()) if sign < 0]
        steady = name == "permuted" or len(stability) == 0
        axes = tuple(j for j in negated if steady or stability[j] >= SIGN_STABILITY)
        if name == "flipped" and not axes:
            return replace(base, reason="no axis keeps its sign in 95% of the resamples")
    if name == "matched":  # an axis of little variance can be negated all the same
        signs = there.shifted[SHIFTED.index("signs")].map
        stability = there.shifted_sign_stability
        axes = tuple(
            j for j, sign in enumerate((signs and signs.signs) or ()) if sign < 0 and stability[j] == 1
        )
    base = replace(base, rung=step, shifted=shifted, axes=axes)
    if agreement < AGREEMENT:
        others = [str(n or "no relation") for n in map(names.__getitem__, resampled) if n != name]
        rival = max(set(others), key=others.count)
        return replace(base, reason=f"'{name}' in {agreement:.0%} of the resamples, '{rival}' in most others")
    return replace(base, relation=name)


def _gap(values: Floats) -> float | None:
    """R² of the best map less the identity's, from one row of R²."""
    return None if np.isnan(values[0, 0]) else float(np.nanmax(values) - values[0, 0])


def _gap_high(there: Floats, back: Floats) -> float | None:
    """The 95% quantile of the gap over resamples, in the direction where it is less."""
    gaps = []
    for draws in (there, back):
        known = np.where(np.isnan(draws), -np.inf, draws)
        if np.isfinite(known[:, 0]).all():
            gaps.append(known.max(1) - known[:, 0])
    return float(np.quantile(np.min(gaps, axis=0), 0.95)) if gaps else None


def _choose(
    there: Floats,
    back: Floats,
    rank: Floats,
    variance: Floats,
    margin: float,
    complete: bool,
    inflation: Sequence[Floats],
) -> tuple[NDArray[np.int64], Bools]:
    """For rows of R² (m, candidates), smallest map first: the candidate, or those after the last one:
    collapsed, unrelated, none; and (m,) whether it is surely not the identity.

    ``there`` are maps of x to y, ``back`` of y to x; ``rank`` and ``variance`` (m,) are x's over y's;
    ``complete`` says that the largest map could be fitted, ``inflation`` (candidates,) by how much held-out
    errors are larger than the best maps', there and back.
    """
    good = np.zeros(there.shape, np.bool_)
    near = np.zeros(len(there), np.bool_)
    scaled = _has_another_scale(there[:, _SIMILARITY], variance)
    possible = np.full(len(there), -np.inf)
    for r2, factor in zip((there, back), inflation, strict=True):
        known = np.where(np.isnan(r2), -np.inf, r2)
        # Whether the identity does as well as anything that was fitted, whatever else might.
        near |= known[:, 0] >= known.max(1) - margin
        if factor[-1] > INFLATED:
            # Compare what the maps would explain if rows were no object; what could not be fitted, might.
            known[:, :-1] = 1 - (1 - known[:, :-1]) / factor[:-1]
            fitted = np.isfinite(known[:, -1])
            known[:, -1] = np.where(fitted, 1 - (1 - np.where(fitted, known[:, -1], 1.0)) / factor[-1], 1.0)
        best = known.max(1, keepdims=True)
        possible = np.maximum(possible, best[:, 0])
        left = 1 - np.where(np.isfinite(best), best, 1.0)
        slack = np.repeat(np.maximum(margin, REMAINDER * left), known.shape[1], axis=1)
        slack[:, 0] = margin
        slack[np.ix_(scaled, _KEEPS_LENGTHS)] = margin
        # Where one of them is constant there is no way to it, and nothing to be said of how good it is.
        fine = (known >= best - slack) & np.isfinite(best) & np.isfinite(r2) & (r2 >= FLOOR)
        fine[:, _DISPLACED] &= r2[:, _DISPLACED] > r2[:, 0] + margin
        fine[:, -1] &= factor[-1] <= HOPELESS
        good |= fine
    best = np.where(np.isnan(there), -np.inf, there).max(1)
    collapsed = np.where(rank < RANK_LOST, best < RECOVERED, (best < FLOOR) & (variance < VARIANCE_LOST))
    count = there.shape[1]
    none = count + 2
    found = np.where(good.any(1), good.argmax(1), none)
    found = np.where(best >= FLOOR, found, count + 1 if complete else none)
    found = np.where((best < FLOOR) & (possible >= FLOOR), none, found)
    chosen: NDArray[np.int64] = np.where(collapsed, count, found).astype(np.int64)
    return chosen, (chosen != 0) & ~((chosen == none) & near)


def _inflation(rows: int, dimensions: int) -> Floats:
    """(candidates,) how much larger the squared error of maps fitted on so many rows is than the best ones'.

    For a regression on normal rows exactly (1 + 1/n)·(n − 2)/(n − d − 2) (Stein 1960), infinite for too
    few. A rotation has half as many free numbers, (d − 1)/2 for each axis; smaller maps have next to none.
    """
    n, d = max(rows, 1), dimensions
    regression = (1 + 1 / n) * (n - 2) / (n - d - 2) if n > d + 2 else np.inf
    sizes = {"orthogonal": 1 + (d - 1) / (2 * n), "similarity": 1 + (d - 1) / (2 * n), "affine": regression}
    return np.array([sizes.get(rung, 1.0) for rung, _ in _NAME])


def _has_another_scale(similarity: Floats, variance: Floats) -> Bools:
    """(m,) whether x is larger or smaller than y by more than noise in either could make it.

    With a correlation of ρ after turning, noise in x alone makes it 1/ρ times as large, noise in y alone
    makes x ρ times as large; ρ² is the R² of the best similarity.
    """
    rho = np.sqrt(np.clip(np.nan_to_num(similarity), 1e-6, 1.0))
    size = np.sqrt(variance)
    return np.asarray((size < rho) | (size > 1 / rho))


def _over_the_grid(found: RelationResult, grid: str) -> RelationResult:
    """What maps of channels name, under a grid that may be mirrored itself."""
    named = found.relation
    if grid != UNTURNED and named in ("matched", "flipped"):
        named = "permuted"
    return replace(found, relation=named, channels=True, grid=grid)
