"""compare-embeddings: did the transfer land in the base's embedding space, and if not, how does it differ?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import probes
from diag.comparisons.conclusion import conclusion, outcome
from diag.comparisons.dreams import dreams
from diag.comparisons.evidence import Evidence, Progress, measured, streamed
from diag.comparisons.margin import Margin, fixed_margin, margin_of_good
from diag.comparisons.pairing import Pair, column_names, is_streamed, pair_of
from diag.comparisons.readers import frozen_readers
from diag.comparisons.result import Comparison
from diag.comparisons.trail import stops
from diag.comparisons.verdict import verdict_of
from diag.result import Columns, FileRef, Grouping
from diag.sources import Source, opened, same_file
from diag.sources.bookkeeping import check_equal_columns
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import LastConvolution, LastLinear, Subject, SubjectError


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
    trail: str | Sequence[Source] = (),
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

    ``trail`` are checkpoints along the transfer's training, or a pattern of their files: each is compared
    with the base too.

    ``supplied`` is what files of weights alone do not say: paired observations, an adapter, …

    ``progress(done, of)`` is called as the work goes on. Raises SubjectError, CheckpointError or
    ProbeError for bad input.
    """
    left = opened(base, "base array", supplied, "source")
    right = opened(transfer, "transfer array", supplied, "target")
    if same_file(left.path, right.path):
        raise SubjectError(right.path, "the base itself", "two different files")
    if margin is not None and good:
        raise probes.ProbeError("found a margin and known-good transfers, expected one of them")
    if rollout and episodes is not None:
        raise probes.ProbeError("found episodes and one rollout, expected one of them")
    warnings = _notes(left, right)
    frozen = frozen_readers(left, right, unfrozen, warnings)

    def paired(other: Subject) -> Pair:
        return pair_of(left, other, episodes, rollout, drop_nonfinite, supplied)

    delta = fixed_margin(margin)
    if good:
        known = [opened(one, f"known-good array {i}", supplied, "target") for i, one in enumerate(good)]
        delta = margin_of_good(left, right, known, paired, drop_nonfinite, seed)
        warnings += delta.warnings
    pair = paired(right)
    names = column_names(left)
    check_equal_columns(left, right, pair.base, pair.transfer, pair.likeness, pair.groups, delta.value, names)
    if left.embeddings is not None and left.sha256 != right.sha256 and _same(pair):
        warnings.append(f"{left.path} and {right.path} hold the same numbers")
    warnings += pair.warnings
    evidence = _evidence(left, right, pair, delta.value, seed, drop_nonfinite, progress)
    if pair.dropped:
        warnings.append(f"{pair.dropped} rows with NaN or infinity were left out")
    if is_streamed(pair) and pair.base.ndim == 4:
        warnings.append("the grids are too large to hold: compared number by number, not by channels")
    if evidence.dropped:
        warnings.append(f"{evidence.dropped} rows with NaN or infinity were left out")
    result = _comparison(left, right, pair, evidence, frozen, delta, seed, tuple(warnings))

    def compared(other: Subject) -> Comparison:
        return compare(
            left,
            other,
            unfrozen=unfrozen,
            margin=delta.value,
            episodes=episodes,
            rollout=rollout,
            drop_nonfinite=drop_nonfinite,
            supplied=supplied,
            seed=seed,
        )

    return replace(result, trail=stops(trail, right, supplied, compared))


def _notes(base: Subject, transfer: Subject) -> list[str]:
    """Warnings that the files themselves give rise to: their openers' notes, and equal content."""
    words = [f"{one.path} {note}" for one in (base, transfer) for note in one.notes]
    if base.sha256 == transfer.sha256:
        words.append(f"{base.path} and {transfer.path} are equal byte for byte")
    elif base.identity is not None and base.identity == transfer.identity:
        words.append(f"{base.path} and {transfer.path} hold the same numbers")
    return words


def _same(pair: Pair) -> bool:
    return np.array_equal(pair.base, pair.transfer) if pair.likeness is None else pair.likeness.same


def _evidence(
    base: Subject,
    transfer: Subject,
    pair: Pair,
    margin: float,
    seed: int,
    drop_nonfinite: bool,
    progress: Progress | None,
) -> Evidence:
    report = progress or (lambda done, of: None)
    if is_streamed(pair):
        return streamed(base, transfer, pair, margin, seed, drop_nonfinite, report)
    return measured(base, transfer, pair, margin, seed, report)


def _comparison(
    base: Subject,
    transfer: Subject,
    pair: Pair,
    evidence: Evidence,
    frozen: tuple[str, ...] | None,
    margin: Margin,
    seed: int,
    warnings: tuple[str, ...],
) -> Comparison:
    relation, own_states = evidence.relation, evidence.own_states
    kinds: dict[probes.Null | None, Grouping] = {"episodes": "episodes", "shift": "blocks of a rollout"}
    result = Comparison(
        base=FileRef.of(base),
        transfer=FileRef.of(transfer),
        verdict=verdict_of(relation, frozen, own_states, transfer.success_states),
        measures=evidence.measures,
        ladder=relation.ladder.steps,
        shifted=relation.ladder.shifted,
        back=relation.back.steps,
        agreement=relation.agreement,
        margin=relation.margin,
        margin_source=margin.source,
        gap=relation.gap,
        channels=relation.channels,
        grid=relation.grid,
        order=relation.order,
        by_channel=relation.by_channel,
        flat=None if relation.flat is None else relation.flat.steps,
        foldable=transfer.embeddings is not None
        or isinstance(transfer.encoder, (LastLinear, LastConvolution)),
        grouping=kinds.get(pair.null, "states"),
        rows=len(pair.base),
        dropped=pair.dropped + evidence.dropped,
        frozen=frozen,
        states=relation.ladder.states,
        dimensions=(evidence.picture.base.shape[1], evidence.picture.transfer.shape[1]),
        own_states=own_states,
        success_states=transfer.success_states,
        seed=seed,
        warnings=warnings,
        picture=evidence.picture,
        rank_ratio=relation.collapse.rank_ratio,
        columns=Columns.of(base),
        best=None if evidence.picture.best is None else evidence.picture.best.step,
        by_axis=evidence.by_axis,
        unrelated_l2=evidence.unrelated_l2,
        share=transfer.share,
    )
    return replace(
        result,
        outcome=outcome(result),
        conclusion=conclusion(result),
        dreams=dreams(base, transfer, seed),
    )
