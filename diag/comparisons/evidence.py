"""Measures of a pair of embeddings: from both held whole, or from one pass where they are too large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

import probes
from diag.comparisons.by_axis import ByAxis, by_axis, by_axis_streamed
from diag.comparisons.pairing import FINITE, Pair, matrix, numbers
from diag.comparisons.picture import Picture, best_of, colour_variable
from diag.subject import Subject, SubjectError
from probes import Floats, Measure

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""

MOST_NEIGHBOURS = 5000
"""Rows up to which neighbour overlap is taken: beyond, it would cost more than all the rest."""

MOST_DRAWN = 2000
"""Rows of a pair too large to hold that are kept for its picture."""


@dataclass(frozen=True)
class Evidence:
    """Relation, measures and picture of one pair."""

    relation: probes.RelationResult
    measures: dict[str, Measure]
    own_states: int | None
    """Number of states whose nearest base state is their own; None where that is undefined."""
    picture: Picture
    by_axis: ByAxis | None = None
    """Correlation of each axis with the transfer's; None between different dimensions."""
    unrelated_l2: float | None = None
    """Mean distance of a state from where the base has another state; None where that is undefined."""
    dropped: int = 0
    """Rows left out while the pair was read because they had NaN or infinity."""


def measured(
    base: Subject, transfer: Subject, pair: Pair, margin: float, seed: int, report: Progress
) -> Evidence:
    """All measures of a pair that fits into memory.

    Raises SubjectError for fewer distinct states than a fit needs, ProbeError where a measure refuses.
    """
    x = probes.as_matrix(pair.transfer, f"{transfer.path}: the embedding")
    y = probes.as_matrix(pair.base, f"{base.path}: the embedding")
    # States are numbered once, for everything that resamples them.
    groups, steps = pair.groups if pair.groups is not None else probes.states(x, y), 8
    report(0, steps)
    relation = probes.relation(
        pair.transfer, pair.base, groups=groups, margin=margin, layout=pair.layout, seed=seed
    )
    if relation.collapse.variance_ratio.value is not None and relation.ladder.states < probes.MIN_STATES:
        states = relation.ladder.states
        raise SubjectError(
            transfer.path, f"{states} distinct states", f"at least {probes.MIN_STATES} for a fit"
        )
    report(3, steps)
    measures: dict[str, Measure] = {}
    own_states, unrelated_l2 = None, None
    if x.shape == y.shape:
        distance = probes.l2(x, y, groups=groups, seed=seed)
        unrelated_l2 = distance.unrelated
        nearest, own = probes.nearest_own(x, y, groups=groups, seed=seed)
        measures |= {"l2": distance.mean, "l2_relative": distance.relative, "nearest_own": nearest}
        own_states = None if nearest.value is None else int(own.sum())
    else:
        measures |= _no_distance(x.shape[1], y.shape[1])
    report(4, steps)
    measures["flip"] = relation.flip
    unrelated = probes.independence(
        x, y, null=pair.null, groups=groups if pair.null == "episodes" else None, seed=seed
    )
    for name, debiased in (("cka", False), ("cka_debiased", True)):
        similarity = probes.cka(x, y, debiased=debiased, groups=groups)
        measures[name] = replace(similarity, p=unrelated.p, p_floor=unrelated.p_floor)
    report(5, steps)
    measures["cca"] = probes.cca(x, y, groups=groups)
    report(6, steps)
    measures["procrustes"] = probes.procrustes(x, y, groups=groups)
    neighbours = min(probes.NEIGHBOURS, len(x) - 1)
    measures["knn_overlap"] = (
        probes.knn_overlap(x, y, k=neighbours, groups=groups, seed=seed)
        if len(x) <= MOST_NEIGHBOURS
        else Measure.undefined(f"{len(x)} rows, taken up to {MOST_NEIGHBOURS}")
    )
    report(7, steps)
    measures |= _spread(relation.collapse) | _living(base, transfer, pair)
    picture = _picture(pair, y, x, relation)
    axes = by_axis(pair, relation, groups)
    report(steps, steps)
    return Evidence(relation, measures, own_states, picture, axes, unrelated_l2)


def _picture(pair: Pair, base: Floats, transfer: Floats, relation: probes.RelationResult) -> Picture:
    """The picture of embeddings (n, d), with the map that the relation rests on."""
    return Picture(
        base,
        transfer,
        pair.variables,
        pair.base_predictions,
        pair.transfer_predictions,
        colour_variable(pair.variables, pair.colour),
        pair.observed,
        best_of(pair, relation),
        relation.relation,
        relation.axes,
        relation.order,
    )


def streamed(
    base: Subject, transfer: Subject, pair: Pair, margin: float, seed: int, drop: bool, report: Progress
) -> Evidence:
    """Measures of a pair too large to hold, from one pass; those that need all rows at once are undefined.

    ``drop`` leaves out rows with NaN or infinity. Raises SubjectError for those otherwise, and for fewer
    finite rows than a fit needs.
    """
    rows, seen = len(pair.base), 0

    def advance(more: int) -> None:
        nonlocal seen
        seen += more
        report(seen, rows)

    try:
        stream = read_once(pair, drop, seed, advance)
        relation = stream.relation(margin=margin)
    except probes.ProbeError as error:
        both = f"{base.path} and {transfer.path}"
        wanted = FINITE if "NaN" in str(error) else "finite numbers in range"
        raise SubjectError(both, str(error), wanted) from None
    if stream.rows - stream.nonfinite < probes.MIN_STATES:
        left = stream.rows - stream.nonfinite
        raise SubjectError(transfer.path, f"{left} finite rows", f"at least {probes.MIN_STATES} for a fit")
    measures: dict[str, Measure] = {}
    if pair.base.shape == pair.transfer.shape:
        distance = stream.l2()
        measures |= {"l2": distance.mean, "l2_relative": distance.relative}
        measures["nearest_own"] = Measure.undefined("too many rows to hold side by side")
    else:
        measures |= _no_distance(*(int(np.prod(v.shape[1:])) for v in (pair.transfer, pair.base)))
    measures["flip"] = relation.flip
    independent = pair.null == "moments"  # the p of sums exchanges single rows
    for name, measure in (("cka", stream.cka()), ("cka_debiased", stream.cka(debiased=True))):
        measures[name] = measure if independent else replace(measure, p=None)
    measures |= {"cca": stream.cca(), "procrustes": stream.procrustes()}
    measures["knn_overlap"] = Measure.undefined("too many rows to hold side by side")
    measures |= _spread(relation.collapse) | _living(base, transfer, pair)
    shown = np.unique(np.linspace(0, rows - 1, MOST_DRAWN).astype(np.int64))
    drawn = [matrix(v[shown]) for v in (pair.base, pair.transfer)]
    stay = probes.finite_rows(drawn[0]) & probes.finite_rows(drawn[1])
    picture = replace(_picture(pair, drawn[0][stay], drawn[1][stay], relation), variables={}, colour=None)
    axes = by_axis_streamed(stream, relation) if drawn[0].shape == drawn[1].shape else None
    return Evidence(relation, measures, None, picture, axes, None, stream.nonfinite)


def read_once(pair: Pair, drop: bool, seed: int, progress: Callable[[int], None]) -> probes.Stream:
    """The sums of one pass over a pair; ``progress`` is told how many rows more were read."""
    return probes.streamed(
        pair.transfer,
        pair.base,
        groups=numbers(pair.groups),
        drop_nonfinite=drop,
        seed=seed,
        progress=progress,
    )


def _no_distance(transfer: int, base: int) -> dict[str, Measure]:
    reason = f"the embeddings have {base} and {transfer} dimensions"
    return dict.fromkeys(("l2", "l2_relative", "nearest_own"), Measure.undefined(reason))


def _spread(collapse: probes.Collapse) -> dict[str, Measure]:
    return {
        "effective_rank_base": Measure(collapse.effective_rank[0]),
        "effective_rank_transfer": Measure(collapse.effective_rank[1]),
        "variance_ratio": collapse.variance_ratio,
    }


def _living(base: Subject, transfer: Subject, pair: Pair) -> dict[str, Measure]:
    """Dead units of both, where a rectifier cuts both embeddings before they are read; else nothing."""
    if not (base.rectified and transfer.rectified):
        return {}
    dead = {"dead_base": probes.dead_units(pair.base), "dead_transfer": probes.dead_units(pair.transfer)}
    base_lives, transfer_lives = (1 - (share.value or 0.0) for share in dead.values())
    ratio = (
        Measure(transfer_lives / base_lives)
        if base_lives
        else Measure.undefined("no unit of the base is ever above 0")
    )
    return {**dead, "living_ratio": ratio}
