"""compare-embeddings: did the transfer land in the base's embedding space, and if not, how does it lie?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import probes
from diag.comparisons.conclusion import conclusion, outcome
from diag.comparisons.pairing import FINITE, Pair, column_names, is_streamed, matrix, numbers, pair_of
from diag.comparisons.verdict import verdict_of
from diag.result import Columns, Comparison, FileRef, Grouping, Picture, colour_variable
from diag.sources import opened, same_file
from diag.sources.bookkeeping import check_equal_columns
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError
from probes import Measure

if TYPE_CHECKING:
    from torch import Tensor

Progress: TypeAlias = Callable[[int, int], None]

Source: TypeAlias = "str | os.PathLike[str] | Subject | NDArray[Any] | Tensor"

KNOWN_MARGIN = "the default (docs/results.md)"

WIDE_MARGIN = 0.2
"""Margin from known-good transfers that is worth a warning: four times the default."""

NOT_GOOD = ("flipped", "permuted", "rotated", "collapsed", "unrelated")
"""What no margin makes good."""

MOST_NEIGHBOURS = 5000
"""Rows up to which neighbour overlap is taken: beyond, it would cost more than all the rest."""


def compare(
    base: Source,
    transfer: Source,
    *,
    unfrozen: bool | None = None,
    margin: float | None = None,
    good: Sequence[Source] = (),
    episodes: str | os.PathLike[str] | NDArray[Any] | None = None,
    rollout: bool = False,
    drop_nonfinite: bool = False,
    supplied: Supplied = NOTHING,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Compare the embeddings of a base and its transfer on the same hidden states.

    Each takes a path (a checkpoint, or paired embeddings (n, ...) as ``.npy``/``.npz``), an array, tensor
    or table (pandas, Arrow, Polars) of embeddings, or a Subject. Arrays too large for memory are mapped and
    read once. Named columns are paired by name, rows by ``supplied.key`` or a table's stored index, else in
    order; columns that only count or label rows are left out, or the comparison is refused where they
    decide it (docs/sources.md, "Names").

    ``unfrozen=True`` says that nothing frozen reads the embedding, so that a relation other than matched
    is information, not a failure; by default the transfer's plan says (for arrays: frozen).

    ``margin`` is δ of the ladder, in R²; ``good`` are at least three transfers of the same base that are
    known to work, whose spread gives it instead (:func:`probes.equivalence_margin`).

    ``episodes`` (n,), or a ``.npy`` of them, names the episode of each row; ``rollout=True`` says that the
    rows are the steps of one rollout, in order. Rows that hang together are resampled and exchanged
    together. ``drop_nonfinite=True`` leaves out rows with NaN or infinity, which are refused otherwise.

    ``supplied`` is what files of weights alone do not say: paired observations, an adapter, …

    ``progress(done, of)`` is called as the work goes on. Raises SubjectError, CheckpointError or
    ProbeError for bad input.
    """
    report = progress or (lambda done, of: None)
    left = opened(base, "base array", supplied, "source")
    right = opened(transfer, "transfer array", supplied, "target")
    if same_file(left.path, right.path):
        raise SubjectError(right.path, "the base itself", "two different files")
    if margin is not None and good:
        raise probes.ProbeError("found a margin and known-good transfers, expected one of them")
    if rollout and episodes is not None:
        raise probes.ProbeError("found episodes and one rollout, expected one of them")
    warnings = [f"{one.path} {note}" for one in (left, right) for note in one.notes]
    if left.sha256 == right.sha256:
        warnings.append(f"{left.path} and {right.path} are equal byte for byte")
    elif left.identity is not None and left.identity == right.identity:
        warnings.append(f"{left.path} and {right.path} hold the same numbers")
    frozen = _frozen_readers(left, right, unfrozen, warnings)
    chosen, source = (margin, "given") if margin is not None else (probes.MARGIN, KNOWN_MARGIN)
    if good:
        known = [opened(one, f"known-good array {i}", supplied, "target") for i, one in enumerate(good)]

        def paired(other: Subject) -> Pair:
            return pair_of(left, other, episodes, rollout, drop_nonfinite)

        chosen = probes.equivalence_margin(_gaps(left, right, known, paired, drop_nonfinite, seed))
        source = f"from {len(known)} known-good transfers"
        if chosen > WIDE_MARGIN:
            warnings.append(f"the known-good transfers lie far apart: a margin of {chosen:.2f} is wide")
    pair = pair_of(left, right, episodes, rollout, drop_nonfinite)
    names = column_names(left)
    check_equal_columns(left, right, pair.base, pair.transfer, pair.columns, pair.groups, chosen, names)
    if left.embeddings is not None and left.sha256 != right.sha256 and _same(pair):
        warnings.append(f"{left.path} and {right.path} hold the same numbers")
    warnings += pair.warnings
    if pair.dropped:
        warnings.append(f"{pair.dropped} rows with NaN or infinity were left out")
    if is_streamed(pair):
        evidence = _streamed(left, right, pair, chosen, seed, drop_nonfinite, report)
        if pair.base.ndim == 4:
            warnings.append("the grids are too large to hold: compared number by number, not by channels")
        if evidence.dropped:
            warnings.append(f"{evidence.dropped} rows with NaN or infinity were left out")
    else:
        evidence = _measured(left, right, pair, chosen, seed, report)
    return _comparison(left, right, pair, evidence, frozen, source, seed, tuple(warnings))


def _same(pair: Pair) -> bool:
    return np.array_equal(pair.base, pair.transfer) if pair.columns is None else pair.columns.same


def _gaps(
    base: Subject,
    transfer: Subject,
    good: Sequence[Subject],
    paired: Callable[[Subject], Pair],
    drop_nonfinite: bool,
    seed: int,
) -> list[float]:
    """What each known-good transfer's identity leaves to the best map, at most."""
    gaps: list[float] = []
    seen = {base.sha256: "the base itself", transfer.sha256: "the transfer itself"}
    for one in good:
        if one.sha256 in seen:
            raise SubjectError(one.path, seen[one.sha256], "another transfer that is known to be good")
        seen[one.sha256] = "a known-good transfer for the second time"
        pair = paired(one)
        if is_streamed(pair):
            found = _read(pair, drop_nonfinite, seed, lambda rows: None).relation()
        else:
            found = probes.relation(pair.transfer, pair.base, groups=pair.groups, seed=seed)
        if found.relation in NOT_GOOD:
            raise SubjectError(one.path, f"a transfer that is {found.relation}", "one known to be good")
        gaps.append(float("nan") if found.gap_high is None else found.gap_high)
    return gaps


def _frozen_readers(
    base: Subject, transfer: Subject, unfrozen: bool | None, warnings: list[str]
) -> tuple[str, ...] | None:
    """The frozen components that read the embedding; None where that is only assumed."""
    if unfrozen:
        return ()
    if unfrozen is False:
        return None
    if transfer.frozen is None:
        return _equal_readers(base, transfer)
    if base.made_from is not None and base.made_from == transfer.identity:
        raise SubjectError(transfer.path, f"the base that {base.path} was made from", "BASE before TRANSFER")
    if transfer.made_from is not None and transfer.made_from != base.identity:
        warnings.append(f"{transfer.path} was not made from {base.path}, but from another base")
    return transfer.frozen


def _equal_readers(base: Subject, transfer: Subject) -> tuple[str, ...] | None:
    """The components beside the encoder that the two share to the bit: no training leaves them so.

    Of files that do not say what was frozen; None where they have no such components to tell by.
    """
    if not base.parameters or not transfer.parameters:
        return None
    by: dict[str, list[str]] = {}
    for name in transfer.parameters:
        by.setdefault(name.split("/")[0], []).append(name)
    by.pop("encoder", None)

    def equal(name: str) -> bool:
        mine, theirs = transfer.parameters, base.parameters
        assert mine is not None
        assert theirs is not None
        return (
            name in theirs
            and mine[name].shape == theirs[name].shape
            and bool((mine[name] == theirs[name]).all())
        )

    return tuple(c for c, names in by.items() if all(equal(n) for n in names)) if by else None


@dataclass(frozen=True)
class _Evidence:
    """What was measured on a pair."""

    found: probes.RelationResult
    measures: dict[str, Measure]
    own_states: int | None
    picture: Picture
    dropped: int = 0


def _measured(
    base: Subject, transfer: Subject, pair: Pair, margin: float, seed: int, report: Progress
) -> _Evidence:
    x = probes.as_matrix(pair.transfer, f"{transfer.path}: the embedding")
    y = probes.as_matrix(pair.base, f"{base.path}: the embedding")
    # States are found once for all that resamples them.
    groups, steps = pair.groups if pair.groups is not None else probes.states(x, y), 8
    report(0, steps)
    found = probes.relation(pair.transfer, pair.base, groups=groups, margin=margin, seed=seed)
    if found.collapse.variance_ratio.value is not None and found.ladder.states < probes.MIN_STATES:
        states = found.ladder.states
        raise SubjectError(
            transfer.path, f"{states} distinct states", f"at least {probes.MIN_STATES} for a fit"
        )
    report(3, steps)
    measures: dict[str, Measure] = {}
    own_states = None
    if x.shape == y.shape:
        distance = probes.l2(x, y, groups=groups, seed=seed)
        nearest, own = probes.nearest_own(x, y, groups=groups, seed=seed)
        measures |= {"l2": distance.mean, "l2_relative": distance.relative, "nearest_own": nearest}
        own_states = None if nearest.value is None else int(own.sum())
    else:
        measures |= _no_distance(x.shape[1], y.shape[1])
    report(4, steps)
    measures["flip"] = found.flip
    unrelated = probes.independence(
        x, y, null=pair.null, groups=groups if pair.null == "episodes" else None, seed=seed
    )
    for name, debiased in (("cka", False), ("cka_debiased", True)):
        found_cka = probes.cka(x, y, debiased=debiased, groups=groups)
        measures[name] = replace(found_cka, p=unrelated.p, p_floor=unrelated.p_floor)
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
    measures |= _spread(found.collapse)
    colour = colour_variable(pair.variables, pair.colour)
    picture = Picture(y, x, pair.variables, pair.base_predictions, pair.transfer_predictions, colour)
    report(steps, steps)
    return _Evidence(found, measures, own_states, picture)


def _streamed(
    base: Subject, transfer: Subject, pair: Pair, margin: float, seed: int, drop: bool, report: Progress
) -> _Evidence:
    """The same from one pass over arrays too large to hold: what needs all rows side by side is left out."""
    rows, seen = len(pair.base), 0

    def advance(more: int) -> None:
        nonlocal seen
        seen += more
        report(seen, rows)

    try:
        stream = _read(pair, drop, seed, advance)
        found = stream.relation(margin=margin)
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
    measures["flip"] = found.flip
    independent = pair.null == "moments"  # the p of sums exchanges single rows
    for name, measure in (("cka", stream.cka()), ("cka_debiased", stream.cka(debiased=True))):
        measures[name] = measure if independent else replace(measure, p=None)
    measures |= {"cca": stream.cca(), "procrustes": stream.procrustes()}
    measures["knn_overlap"] = Measure.undefined("too many rows to hold side by side")
    measures |= _spread(found.collapse)
    shown = np.unique(np.linspace(0, rows - 1, 2000).astype(np.int64))
    drawn = [matrix(v[shown]) for v in (pair.base, pair.transfer)]
    stay = probes.finite_rows(drawn[0]) & probes.finite_rows(drawn[1])
    picture = Picture(drawn[0][stay], drawn[1][stay])
    return _Evidence(found, measures, None, picture, stream.nonfinite)


def _read(pair: Pair, drop: bool, seed: int, progress: Callable[[int], None]) -> probes.Stream:
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


def _spread(lost: probes.Collapse) -> dict[str, Measure]:
    return {
        "effective_rank_base": Measure(lost.effective_rank[0]),
        "effective_rank_transfer": Measure(lost.effective_rank[1]),
        "variance_ratio": lost.variance_ratio,
    }


def _comparison(
    base: Subject,
    transfer: Subject,
    pair: Pair,
    evidence: _Evidence,
    frozen: tuple[str, ...] | None,
    margin_source: str,
    seed: int,
    warnings: tuple[str, ...],
) -> Comparison:
    found, own_states = evidence.found, evidence.own_states
    kinds: dict[probes.Null | None, Grouping] = {"episodes": "episodes", "shift": "blocks of a rollout"}
    result = Comparison(
        base=FileRef.of(base),
        transfer=FileRef.of(transfer),
        verdict=verdict_of(found, frozen, own_states, transfer.success_states),
        measures=evidence.measures,
        ladder=found.ladder.steps,
        shifted=found.ladder.shifted,
        back=found.back.steps,
        agreement=found.agreement,
        margin=found.margin,
        margin_source=margin_source,
        gap=found.gap,
        channels=found.channels,
        grid=found.grid,
        grouping=kinds.get(pair.null, "states"),
        rows=len(pair.base),
        dropped=pair.dropped + evidence.dropped,
        frozen=frozen,
        states=found.ladder.states,
        dimensions=(evidence.picture.base.shape[1], evidence.picture.transfer.shape[1]),
        own_states=own_states,
        success_states=transfer.success_states,
        seed=seed,
        warnings=warnings,
        picture=evidence.picture,
        rank_ratio=found.collapse.rank_ratio,
        columns=Columns.of(base),
    )
    return replace(result, outcome=outcome(result), conclusion=conclusion(result))
