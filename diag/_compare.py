"""compare-embeddings: did the transfer land in the base's embedding space, and if not, how does it lie?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import probes
from diag._threads import one_thread
from diag.result import Comparison, FileRef, Grouping, Picture, Verdict
from diag.sources import opened, same_file
from diag.sources.arrays import read_labels
from diag.subject import Subject, SubjectError, require
from probes import Measure

if TYPE_CHECKING:
    from torch import Tensor

Progress: TypeAlias = Callable[[int, int], None]

Source: TypeAlias = "str | os.PathLike[str] | Subject | NDArray[Any] | Tensor"

DEFORMED = 0.9
"""Identity R² below which a matched transfer is called deformed. Of the maze's transfers, those with 29 or
more states in place have at least 0.97; of those below this, none has more than 17 (benchmarks/margins.py,
docs/results.md)."""

CERTAIN = 0.95
"""Share of resamples in which the transfer must not be matched for that to be a verdict on its own."""


KNOWN_MARGIN = "the default (docs/results.md)"

STREAMED_NUMBERS = 2**25
"""Numbers in an array from which the pair is read once, in batches, and never held whole: 256 MB."""

MOST_NEIGHBOURS = 5000
"""Rows up to which neighbour overlap is taken: beyond, it would cost more than all the rest."""


@dataclass(frozen=True)
class _Pair:
    """Both embeddings of the same rows, and what hangs together among them."""

    base: NDArray[Any]
    """(n, ...)"""
    transfer: NDArray[Any]
    groups: NDArray[Any] | None
    """(n,) the state, episode or block of each row; None where equal rows are one state."""
    null: probes.Null | None
    """How rows may be exchanged if the embeddings are unrelated; None where groups are states."""
    variables: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    base_predictions: NDArray[np.float64] | None = None
    transfer_predictions: NDArray[np.float64] | None = None
    dropped: int = 0
    """Rows left out because they had NaN or infinity."""


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
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Compare the embeddings of a base and its transfer on the same hidden states.

    Each takes a path (a checkpoint, or paired embeddings (n, ...) as ``.npy``/``.npz``), an array or
    tensor of embeddings, or a Subject. Arrays too large for memory are mapped and read once.

    ``unfrozen=True`` says that nothing frozen reads the embedding, so that a relation other than matched
    is information, not a failure; by default the transfer's plan says (for arrays: frozen).

    ``margin`` is δ of the ladder, in R²; ``good`` are at least three transfers of the same base that are
    known to work, whose spread gives it instead (:func:`probes.equivalence_margin`).

    ``episodes`` (n,), or a ``.npy`` of them, names the episode of each row; ``rollout=True`` says that the
    rows are the steps of one rollout, in order. Rows that hang together are resampled and exchanged
    together. ``drop_nonfinite=True`` leaves out rows with NaN or infinity, which are refused otherwise.

    ``progress(done, of)`` is called as the work goes on. Raises SubjectError, CheckpointError or
    ProbeError for bad input.
    """
    report = progress or (lambda done, of: None)
    left, right = opened(base, "base array"), opened(transfer, "transfer array")
    if same_file(left.path, right.path):
        raise SubjectError(right.path, "the base itself", "two different files")
    if margin is not None and good:
        raise probes.ProbeError("found a margin and known-good transfers, expected one of them")
    if rollout and episodes is not None:
        raise probes.ProbeError("found episodes and one rollout, expected one of them")
    warnings: list[str] = []
    if left.sha256 == right.sha256:
        warnings.append(f"{left.path} and {right.path} are equal byte for byte")
    elif _equal(left, right):
        warnings.append(f"{left.path} and {right.path} hold the same numbers")
    frozen = _frozen_readers(left, right, unfrozen, warnings)
    chosen, source = (margin, "given") if margin is not None else (probes.MARGIN, KNOWN_MARGIN)
    if good:
        gaps = [
            _gap_of(left, opened(one, "known-good array"), episodes, rollout, drop_nonfinite, seed)
            for one in good
        ]
        chosen, source = probes.equivalence_margin(gaps), f"from {len(gaps)} known-good transfers"
    pair = _pair(left, right, episodes, rollout, drop_nonfinite)
    if pair.dropped:
        warnings.append(f"{pair.dropped} rows with NaN or infinity were left out")
    if _is_streamed(pair):
        evidence = _streamed(left, right, pair, chosen, seed, drop_nonfinite, report)
        if evidence.dropped:
            warnings.append(f"{evidence.dropped} rows with NaN or infinity were left out")
    else:
        evidence = _measured(left, right, pair, chosen, seed, report)
    return _comparison(left, right, pair, evidence, frozen, source, seed, tuple(warnings))


def _equal(a: Subject, b: Subject) -> bool:
    if a.embeddings is not None and b.embeddings is not None:
        return np.array_equal(a.embeddings, b.embeddings)
    return a.identity is not None and a.identity == b.identity


def _gap_of(
    base: Subject,
    good: Subject,
    episodes: str | os.PathLike[str] | NDArray[Any] | None,
    rollout: bool,
    drop_nonfinite: bool,
    seed: int,
) -> float:
    """What a known-good transfer's identity leaves to the best map."""
    pair = _pair(base, good, episodes, rollout, drop_nonfinite)
    if _is_streamed(pair):
        found = probes.streamed(
            pair.transfer, pair.base, groups=_numbers(pair.groups), drop_nonfinite=drop_nonfinite, seed=seed
        ).relation()
    else:
        found = probes.relation(pair.transfer, pair.base, groups=pair.groups, seed=seed)
    return float("nan") if found.gap is None else found.gap


def _pair(
    base: Subject,
    transfer: Subject,
    episodes: str | os.PathLike[str] | NDArray[Any] | None,
    rollout: bool,
    drop_nonfinite: bool,
) -> _Pair:
    """Both embeddings of the same states, each under the task that its model was trained on."""
    if (base.embeddings is None) != (transfer.embeddings is None):
        found = "embeddings" if transfer.embeddings is not None else "a checkpoint"
        raise SubjectError(transfer.path, found, f"the same kind of file as {base.path}")
    if base.embeddings is None or transfer.embeddings is None:
        if rollout or episodes is not None:
            raise SubjectError(transfer.path, "episodes for a checkpoint", "them with arrays of embeddings")
        return _embedded(base, transfer)
    a, b = base.embeddings, transfer.embeddings
    if len(a) != len(b):
        raise SubjectError(transfer.path, f"{len(b)} rows", f"{len(a)} rows, one for each of {base.path}")
    _enough(transfer.path, len(a))
    labels = _episode_labels(base, transfer, episodes)
    stay = None
    if not _is_large(a, b):
        for subject, array in ((base, a), (transfer, b)):
            bad = int((~probes.finite_rows(_matrix(array))).sum())
            if bad and not drop_nonfinite:
                found = f"{bad} of {len(array)} rows with NaN or infinity"
                raise SubjectError(subject.path, found, "finite numbers, or --drop-nonfinite")
        stay = probes.finite_rows(_matrix(a)) & probes.finite_rows(_matrix(b))
        if not stay.all():
            a, b = a[stay], b[stay]
        _enough(transfer.path, len(a))
        labels = None if labels is None else labels[stay]
    dropped = 0 if stay is None else int((~stay).sum())
    if rollout:
        blocks = probes.rollout_blocks(a[:MOST_REMEMBERED], b[:MOST_REMEMBERED])
        length = int((blocks == 0).sum())
        return _Pair(a, b, np.arange(len(a)) // length, "shift", dropped=dropped)
    return _Pair(a, b, labels, "episodes" if labels is not None else "moments", dropped=dropped)


MOST_REMEMBERED = 100_000
"""Rows at a rollout's beginning that its memory is judged by."""


def _episode_labels(
    base: Subject, transfer: Subject, episodes: str | os.PathLike[str] | NDArray[Any] | None
) -> NDArray[Any] | None:
    rows = len(base.embeddings) if base.embeddings is not None else 0
    if episodes is not None:
        named = isinstance(episodes, str | os.PathLike)
        name = os.fspath(episodes) if isinstance(episodes, str | os.PathLike) else "episodes"
        labels = read_labels(name) if named else np.asarray(episodes)
        if labels.shape != (rows,):
            raise SubjectError(name, f"shape {labels.shape}", f"({rows},), one for each row of {base.path}")
        return labels
    known = [e for e in (base.episodes, transfer.episodes) if e is not None]
    if len(known) == 2 and not np.array_equal(known[0], known[1]):
        raise SubjectError(transfer.path, "other episodes", f"those of {base.path}")
    return known[0] if known else None


def _embedded(base: Subject, transfer: Subject) -> _Pair:
    """What both encoders make of the same states."""
    tasks = require(base, "tasks", base.tasks)
    other = require(transfer, "tasks", transfer.tasks)
    if tasks.name != other.name:
        raise SubjectError(
            transfer.path, f"world {other.name!r}", f"{tasks.name!r}, the world of {base.path}"
        )
    pairs = tasks.paired_observations(None, 0)
    embedded, predicted = [], []
    for subject in (base, transfer):
        encoder = require(subject, "encoder", subject.encoder)
        parameters = require(subject, "parameters", subject.parameters)
        seen = pairs.observations[require(subject, "task", subject.task)]
        with one_thread():
            points = encoder.embed(parameters, seen)
        embedded.append(probes.as_matrix(points, f"{subject.path}: the embedding").reshape(points.shape))
        has_model = any(name.startswith("transition/") for name in parameters) and points.dim() == 2
        predict = getattr(encoder, "predict", None) if has_model else None
        with one_thread():
            predicted.append(None if predict is None else predict(parameters, points).double().numpy())
    return _Pair(embedded[0], embedded[1], pairs.groups, None, tasks.variables(), predicted[0], predicted[1])


def _matrix(x: NDArray[Any]) -> NDArray[np.float64]:
    return x.reshape(len(x), -1).astype(np.float64)


def _enough(path: str, rows: int) -> None:
    if rows < probes.MIN_STATES:
        raise SubjectError(path, f"{rows} rows", f"at least {probes.MIN_STATES} paired states for a fit")


def _is_large(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return max(a.size, b.size) >= STREAMED_NUMBERS


def _is_streamed(pair: _Pair) -> bool:
    return _is_large(pair.base, pair.transfer)


def _numbers(labels: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """Labels as numbers, which a stream deals its blocks by."""
    if labels is None or labels.dtype.kind in "iu":
        return labels
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


def _frozen_readers(
    base: Subject, transfer: Subject, unfrozen: bool | None, warnings: list[str]
) -> tuple[str, ...] | None:
    """The frozen components that read the embedding; None where that is only assumed."""
    if unfrozen:
        return ()
    if transfer.frozen is None or unfrozen is False:
        return None
    if base.made_from is not None and base.made_from == transfer.identity:
        raise SubjectError(transfer.path, f"the base that {base.path} was made from", "BASE before TRANSFER")
    if transfer.made_from is not None and transfer.made_from != base.identity:
        warnings.append(f"{transfer.path} was not made from {base.path}, but from another base")
    return transfer.frozen


@dataclass(frozen=True)
class _Evidence:
    """What was measured on a pair."""

    found: probes.RelationResult
    measures: dict[str, Measure]
    own_states: int | None
    picture: Picture
    dropped: int = 0


def _measured(
    base: Subject, transfer: Subject, pair: _Pair, margin: float, seed: int, report: Progress
) -> _Evidence:
    x = probes.as_matrix(pair.transfer, f"{transfer.path}: the embedding")
    y = probes.as_matrix(pair.base, f"{base.path}: the embedding")
    groups, steps = pair.groups, 8
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
    measures["cka"] = replace(probes.cka(x, y, groups=groups), p=unrelated.p)
    measures["cka_debiased"] = replace(probes.cka(x, y, debiased=True, groups=groups), p=unrelated.p)
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
    picture = Picture(y, x, pair.variables, pair.base_predictions, pair.transfer_predictions)
    report(steps, steps)
    return _Evidence(found, measures, own_states, picture)


def _streamed(
    base: Subject, transfer: Subject, pair: _Pair, margin: float, seed: int, drop: bool, report: Progress
) -> _Evidence:
    """The same from one pass over arrays too large to hold: what needs all rows side by side is left out."""
    rows, seen = len(pair.base), 0

    def advance(more: int) -> None:
        nonlocal seen
        seen += more
        report(seen, rows)

    numbers = _numbers(pair.groups)
    try:
        stream = probes.streamed(
            pair.transfer, pair.base, groups=numbers, drop_nonfinite=drop, seed=seed, progress=advance
        )
        found = stream.relation(margin=margin)
    except probes.ProbeError as error:
        raise SubjectError(f"{base.path} and {transfer.path}", str(error), "or --drop-nonfinite") from None
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
    drawn = [_matrix(v[shown]) for v in (pair.base, pair.transfer)]
    stay = probes.finite_rows(drawn[0]) & probes.finite_rows(drawn[1])
    picture = Picture(drawn[0][stay], drawn[1][stay])
    return _Evidence(found, measures, None, picture, stream.nonfinite)


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
    pair: _Pair,
    evidence: _Evidence,
    frozen: tuple[str, ...] | None,
    margin_source: str,
    seed: int,
    warnings: tuple[str, ...],
) -> Comparison:
    found, own_states = evidence.found, evidence.own_states
    kinds: dict[probes.Null | None, Grouping] = {"episodes": "episodes", "shift": "blocks of a rollout"}
    return Comparison(
        base=FileRef(base.path, base.sha256, base.label),
        transfer=FileRef(transfer.path, transfer.sha256, transfer.label),
        verdict=_verdict(found, frozen, own_states, transfer.success_states),
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
    )


def _verdict(
    found: probes.RelationResult,
    frozen: tuple[str, ...] | None,
    own_states: int | None,
    success_states: int | None,
) -> Verdict:
    sentence = _sentence(found)
    if found.relation is None:
        lost = found.mismatch >= CERTAIN and frozen != ()
        return Verdict("fail" if lost else "inconclusive", sentence)
    if found.relation == "matched":
        if own_states is not None and success_states is not None and own_states < success_states:
            sentence += f" But only {own_states} of {found.ladder.states} states are nearest to their own."
            return Verdict("warn", sentence, found.relation)
        deformed = found.rung is not None and (found.rung.r2.value or 0.0) < DEFORMED
        return Verdict("warn" if deformed else "pass", sentence, found.relation)
    if frozen == ():
        sentence += " Nothing frozen reads the embedding, so this is no failure."
        return Verdict("pass", sentence, found.relation, found.axes)
    return Verdict("fail", sentence, found.relation, found.axes)


def _sentence(found: probes.RelationResult) -> str:
    identity = found.ladder["identity"].r2
    before = "" if identity.value is None else f", {identity.value:.2f} before"
    step = found.rung
    r2 = "" if step is None or step.r2.value is None else f"R² {step.r2.value:.2f}"
    also = " and displaced" if found.shifted else ""
    axis = ("channel", "channels") if found.channels else ("axis", "axes")
    match found.relation:
        case None if found.mismatch >= CERTAIN:
            return f"Not matched, but how it lies cannot be told ({found.reason})."
        case None:
            return f"Cannot tell: {found.reason}."
        case "matched":
            deformed = step is not None and (step.r2.value or 0.0) < DEFORMED
            tail = ", though deformed" if deformed else ""
            return f"Matched: the transfer lies in the base's embedding space{tail} ({r2})."
        case "flipped":
            axes = axes_in_words(found.axes, what=axis)
            return f"Flipped: the base's embedding with {axes} negated{also} ({r2}{before})."
        case "permuted" if found.grid != probes.UNTURNED:
            flips = f", {axes_in_words(found.axes, what=axis)} negated" if found.axes else ""
            return f"Permuted: the base's embedding with its grid {found.grid}{flips}{also} ({r2}{before})."
        case "permuted":
            return f"Permuted: the base's embedding with its axes swapped{also} ({r2}{before})."
        case "rotated":
            return f"Rotated: the base's embedding turned or reflected as a whole ({r2}{before})."
        case "rescaled":
            return f"Rescaled: the base's embedding at another scale ({r2}{before})."
        case "affine":
            how = "displaced" if found.shifted else "stretched or sheared"
            return f"Affine: the base's embedding {how} ({r2}{before})."
        case "collapsed":
            base_rank, rank = found.effective_rank
            return (
                f"Collapsed: effective rank {rank:.2f} of the base's {base_rank:.2f}, "
                f"variance {found.collapse.variance_ratio.value:.2g} times the base's."
            )
        case "unrelated":
            best = max(s.r2.value for s in found.ladder.steps if s.r2.value is not None)
            return f"Unrelated: no linear map brings the transfer to the base (best R² {best:.2f})."


def axes_in_words(axes: tuple[int, ...], most: int = 6, what: tuple[str, str] = ("axis", "axes")) -> str:
    """``axis 1``, ``axes 0 and 2``; beyond ``most`` they are counted. ``what`` names one and several.

    >>> axes_in_words((0, 2, 3))
    'axes 0, 2 and 3'
    """
    one, several = what
    if len(axes) == 1:
        return f"{one} {axes[0]}"
    if len(axes) > most:
        return f"{len(axes)} {several}"
    return f"{several} {', '.join(map(str, axes[:-1]))} and {axes[-1]}"
