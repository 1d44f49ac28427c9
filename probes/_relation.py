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

from probes._alignment import Ladder, Step, climb
from probes._channels import MARGIN, ChannelLadders, climb_channels, climb_grids
from probes._choice import (
    LADDER_COLUMNS,
    OUTCOMES,
    RELATION_OF,
    UNDECIDED,
    Relation,
    Rivals,
    attainable_by,
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
from probes._measure import ArrayLike, Bools, Floats, Labels, Measure, ProbeError, as_pair
from probes._resampling import labels
from probes._spatial import GRIDS, UNTURNED, Layout, as_grid, is_spatial, layout_of

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
    order: tuple[int, ...] = ()
    """For ``permuted``, where axes are swapped: the transfer's axis that becomes each of the base's."""
    by_channel: ChannelLadders | None = None
    """Maps of channels under every symmetry of the grid, whatever names the relation; None without a grid."""
    flat: Ladder | None = None
    """Maps of every number by itself, where ``ladder`` has those of channels."""
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
    layout: Layout | None = None,
    seed: int = 0,
) -> RelationResult:
    """Name the relation of the transfer's embedding x to the base's y, paired rows (n, …).

    Rows are (n, d), (n, H, W, C), (n, C, H, W) or any other (n, ...); ``layout`` says which of the two grids
    have, and without it a grid is taken to be square (:func:`probes.layout_of`). ``groups`` (n,) names the
    state or episode of each row. ``margin`` is δ, in R², from 0 to 1. Raises ProbeError.

    Over a grid, maps of channels that are the same at every place name the relation, also under the grid's
    mirror images, if the best of them does about as well as the best map of all numbers, on states that
    neither was fitted to. Otherwise maps of all numbers name it.

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
    spreads = [np.square(v - v.mean(0)).sum(1) for v in (base, transfer)]
    there = climb(transfer, base, state, spreads[0], None, seed)
    back = climb(base, transfer, state, spreads[1], None, seed)
    flat = decide(there, back, lost, margin)
    if not is_spatial(x, y, layout):
        return flat
    order = layout or layout_of(tuple(y.shape))
    a, b = (as_grid(v.reshape(tuple(w.shape)), order) for v, w in ((transfer, x), (base, y)))
    found = climb_grids(a, b, order, state, margin, seed)
    homewards = climb_channels(b, GRIDS[found.grid](a), state, seed)
    rivals = Rivals(*(attainable_by(ladder) for ladder in (there, back)))
    by_channel = decide(found.ladder, homewards, lost, margin, rivals, found.chosen)
    if by_channel.relation not in (None, "unrelated"):
        return replace(_over_the_grid(by_channel, found.grid), by_channel=found, flat=there)
    # Maps of channels may rule a match out even where there are too few states to fit any other map.
    return replace(flat, mismatch=max(flat.mismatch, by_channel.mismatch), by_channel=found)


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


def decide(
    there: Ladder,
    back: Ladder,
    lost: Collapse,
    margin: float,
    rivals: Rivals | None = None,
    counted: Bools | None = None,
) -> RelationResult:
    """Name the relation from two ladders, from x to y and from y to x, and from what x lost of y's rank.

    A map must do about as well as ``rivals`` too, the best of another family of maps. Of the resamples, those
    that are not ``counted`` (resamples,) name no relation.
    """
    result = _undecided(there, back, lost, margin)
    if lost.rank_ratio.value is None or lost.variance_ratio.value is None:
        return replace(result, reason=lost.rank_ratio.reason or lost.variance_ratio.reason)
    complete = there["affine"].r2.value is not None
    inflation = _inflation(there), _inflation(back)
    points, draws = (None, None) if rivals is None else (rivals.points, rivals.draws)
    chosen = int(choose(measured(there, back, lost), margin, complete, inflation, points)[0][0])
    votes, elsewhere = choose(resampled(there, back, lost), margin, complete, inflation, draws)
    votes = votes if counted is None else np.where(counted, votes, UNDECIDED)
    name, names = OUTCOMES[chosen], [OUTCOMES[vote] for vote in votes]
    agreement = float(np.mean([other == name for other in names]))
    result = replace(result, agreement=agreement, mismatch=float(np.mean(elsewhere)))
    if name is None:
        return replace(result, reason=_why_no_map(there))
    shifted, step = _rung(there, chosen)
    axes = _negated_axes(name, step, there, shifted)
    if name == "flipped" and not axes:
        return replace(result, reason="no axis keeps its sign in 95% of the resamples")
    order = () if name != "permuted" or step is None or step.map is None else step.map.order or ()
    result = replace(result, rung=step, shifted=shifted, axes=axes, order=order)
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
