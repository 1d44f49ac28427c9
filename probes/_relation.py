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

import numpy as np
from numpy.typing import NDArray

from probes._alignment import Ladder, Step, climb
from probes._choice import (
    LADDER_COLUMNS,
    OUTCOMES,
    RELATION_OF,
    Relation,
    choose,
    error_inflation,
    identity_gap,
    identity_gap_high,
    measured,
    point_r2,
    resampled,
)
from probes._collapse import Collapse, collapse
from probes._maps import SHIFTED
from probes._measure import ArrayLike, Floats, Labels, Measure, ProbeError, as_pair
from probes._resampling import labels
from probes._spatial import UNTURNED, best_grid, channels, is_spatial

MARGIN = 0.05
"""δ: a smaller map is as good as the best one when its R² is within this. Three times the largest gap
between identity and best map (0.015) among the maze's transfers with all 31 states in place
(benchmarks/margins.py, docs/results.md); :func:`equivalence_margin` takes it from others."""

AGREEMENT = 0.9
"""Share of resamples that must choose the same relation; below it the answer is that there is none."""

SIGN_STABILITY = 0.95
"""Share of resamples in which an axis must keep its sign to count as negated."""

LEAST_MARGIN = 0.01
"""Margin that is granted however well the known-good transfers agree: what no reader would act upon."""

MIN_GOOD = 3
"""Known-good transfers that a margin can be taken from: fewer say nothing of their spread."""


@dataclass(frozen=True)
class RelationResult:
    """The answer of :func:`relation`, and the evidence that it rests on."""

    relation: Relation | None
    """The relation; None where the evidence does not decide: ``reason`` then says why."""
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
    """Upper end of ``gap``: its 95% quantile over the resamples."""
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
    """Turn or mirror image of the transfer's grid that the maps were fitted under."""
    reason: str | None = None

    @property
    def effective_rank(self) -> tuple[float, float]:
        """Effective ranks of the base's embedding and of the transfer's."""
        return self.collapse.effective_rank


def relation(
    x: ArrayLike,
    y: ArrayLike,
    *,
    groups: Labels | None = None,
    margin: float = MARGIN,
    seed: int = 0,
) -> RelationResult:
    """Name the relation of the transfer's embedding x to the base's y, paired rows (n, …).

    Rows are (n, d), (n, H, W, C) or any other (n, ...). ``groups`` (n,) names the state or episode of each
    row. ``margin`` is δ, in R², from 0 to 1. Over a grid, maps of channels are tried first, also under the
    grid's mirror images, then maps of everything. Raises ProbeError.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=(200, 3))
    >>> result = relation(y * [1, -1, 1] + 0.1 * rng.normal(size=y.shape), y)
    >>> result.relation, result.axes
    ('flipped', (1,))
    """
    if not 0 <= margin <= 1:
        raise ProbeError(f"margin is {margin}, expected 0 to 1")
    transfer, base = as_pair(x, y)
    state = labels(groups, transfer, base)
    lost = collapse(transfer, base, groups=state, seed=seed)
    spreads = [np.square(v - v.mean(0)) for v in (base, transfer)]
    mismatch_by_channel = 0.0
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
        by_channel = decide(there, back, lost, margin)
        if by_channel.relation not in (None, "unrelated"):
            return _over_the_grid(by_channel, grid)
        mismatch_by_channel = by_channel.mismatch
    there, back = _both_ways(transfer, base, state, [s.sum(1) for s in spreads], seed)
    of_everything = decide(there, back, lost, margin)
    # Maps of channels may rule a match out even where there are too few states to fit any other map.
    return replace(of_everything, mismatch=max(of_everything.mismatch, mismatch_by_channel))


def equivalence_margin(gaps: Sequence[float]) -> float:
    """δ from transfers known to be good: a bound that the next good one's gap stays under, 19 times in 20.

    ``gaps`` are the ``gap_high`` of :func:`relation` for transfers that were retrained from the same base and
    found to work. The margin is the one-sided 95% prediction bound of a normal distribution, and no less than
    the largest of them or :data:`LEAST_MARGIN`. Raises ProbeError for fewer than :data:`MIN_GOOD` or gaps
    that are not finite.

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
    """Ladders from x to y and from y to x; ``spreads`` are those of y's rows and of x's."""
    return climb(x, y, state, spreads[0], None, seed), climb(y, x, state, spreads[1], None, seed)


def decide(there: Ladder, back: Ladder, lost: Collapse, margin: float) -> RelationResult:
    """Name the relation from two ladders, from x to y and from y to x, and from what x lost of y's rank."""
    result = _undecided(there, back, lost, margin)
    if lost.rank_ratio.value is None or lost.variance_ratio.value is None:
        return replace(result, reason=lost.rank_ratio.reason or lost.variance_ratio.reason)
    complete = there["affine"].r2.value is not None
    inflation = _inflation(there), _inflation(back)
    chosen = int(choose(measured(there, back, lost), margin, complete, inflation)[0][0])
    votes, elsewhere = choose(resampled(there, back, lost), margin, complete, inflation)
    name, names = OUTCOMES[chosen], [OUTCOMES[vote] for vote in votes]
    agreement = float(np.mean([other == name for other in names]))
    result = replace(result, agreement=agreement, mismatch=float(np.mean(elsewhere)))
    if name is None:
        return replace(result, reason=_why_no_map(there))
    shifted, step = _rung(there, chosen)
    axes = _negated_axes(name, step, there, shifted)
    if name == "flipped" and not axes:
        return replace(result, reason="no axis keeps its sign in 95% of the resamples")
    result = replace(result, rung=step, shifted=shifted, axes=axes)
    if agreement < AGREEMENT:
        return replace(result, reason=_disagreement(name, names, agreement))
    return replace(result, relation=name)


def _undecided(there: Ladder, back: Ladder, lost: Collapse, margin: float) -> RelationResult:
    """The evidence without an answer: no relation, no axes, no agreement yet."""
    gaps = [gap for gap in (identity_gap(point_r2(ladder)) for ladder in (there, back)) if gap is not None]
    draws = [ladder.draws[:, LADDER_COLUMNS] for ladder in (there, back)]
    return RelationResult(
        relation=None,
        axes=(),
        shifted=False,
        rung=None,
        agreement=0.0,
        mismatch=0.0,
        gap=min(gaps, default=None),
        gap_high=identity_gap_high(*draws) if gaps else None,
        margin=margin,
        flip=there.difference("signs", "identity"),
        collapse=lost,
        ladder=there,
        back=back,
    )


def _inflation(ladder: Ladder) -> Floats:
    """(maps,) factor by which the ladder's maps, each fitted on half of its rows, have too much error."""
    return error_inflation(ladder.rows // 2, ladder.dimensions[0])


def _rung(ladder: Ladder, chosen: int) -> tuple[bool, Step | None]:
    """Whether the chosen map is shifted, and its rung; no rung for ``collapsed`` and ``unrelated``."""
    if chosen >= len(RELATION_OF):
        return False, None
    _, shifted = list(RELATION_OF)[chosen]
    return shifted, (*ladder.steps, *ladder.shifted)[LADDER_COLUMNS[chosen]]


def _negated_axes(name: Relation, step: Step | None, ladder: Ladder, shifted: bool) -> tuple[int, ...]:
    """Axes that the relation negates, zero-based: those of ``flipped`` must keep their sign in resamples.

    Of ``matched``, an axis of little variance can be negated all the same, in every resample.
    """
    if name == "matched":
        signs = ladder.shifted[SHIFTED.index("signs")]
        return tuple(axis for axis in _minus_signs(signs) if ladder.shifted_sign_stability[axis] == 1)
    if name not in ("flipped", "permuted") or step is None:
        return ()
    stability = ladder.shifted_sign_stability if shifted else ladder.sign_stability
    if name == "permuted" or len(stability) == 0:
        return _minus_signs(step)
    return tuple(axis for axis in _minus_signs(step) if stability[axis] >= SIGN_STABILITY)


def _minus_signs(step: Step) -> tuple[int, ...]:
    """Axes that a rung's map negates, zero-based; none where it could not be fitted or has no signs."""
    signs = None if step.map is None else step.map.signs
    return tuple(axis for axis, sign in enumerate(signs or ()) if sign < 0)


def _why_no_map(ladder: Ladder) -> str:
    """Why no map can be named, in words: a rung that could not be fitted, or too few rows to trust one."""
    missing = next((s.r2.reason for s in ladder.steps if s.r2.value is None), None)
    if missing is not None:
        return f"no rung that could be fitted explains it, and {missing}"
    few = f"{ladder.rows} states are too few to fit {max(ladder.dimensions)} dimensions well"
    return f"an affine map may explain more, but {few}"


def _disagreement(name: Relation, names: Sequence[Relation | None], agreement: float) -> str:
    """A clause that names the answer which the resamples give most often instead."""
    others = [str(other or "no relation") for other in names if other != name]
    rival = max(dict.fromkeys(others), key=others.count)
    return f"'{name}' in {agreement:.0%} of the resamples, '{rival}' in most others"


def _over_the_grid(result: RelationResult, grid: str) -> RelationResult:
    """The result of maps of channels, ``permuted`` where the grid itself is mirrored or turned."""
    name = result.relation
    if grid != UNTURNED and name in ("matched", "flipped"):
        name = "permuted"
    return replace(result, relation=name, channels=True, grid=grid)
