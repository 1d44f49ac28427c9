"""compare-embeddings: did the transfer land in the base's embedding space, and if not, how does it lie?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import probes
from diag._threads import one_thread
from diag.result import Comparison, FileRef, Picture, Verdict
from diag.sources import open_subject, same_file
from diag.sources.arrays import from_array
from diag.subject import Subject, SubjectError, require
from probes import Measure

if TYPE_CHECKING:
    from torch import Tensor

Source: TypeAlias = "str | os.PathLike[str] | Subject | NDArray[Any] | Tensor"

DEFORMED = 0.9
"""Identity R² below which a matched transfer is called deformed. Of the maze's transfers, those with 29 or
more states in place have at least 0.97; of those below this, none has more than 17 (benchmarks/margins.py,
docs/results.md)."""

CERTAIN = 0.95
"""Share of resamples in which the transfer must not be matched for that to be a verdict on its own."""


def compare(
    base: Source,
    transfer: Source,
    *,
    unfrozen: bool | None = None,
    margin: float = probes.MARGIN,
    seed: int = 0,
) -> Comparison:
    """Compare the embeddings of a base and its transfer on the same hidden states.

    Each takes a path (a checkpoint, or paired embeddings (n, ...) as ``.npy``/``.npz``), an array or
    tensor of embeddings, or a Subject.
    ``unfrozen=True`` says that nothing frozen reads the embedding, so that a relation other than matched
    is information, not a failure; by default the transfer's plan says (for arrays: frozen). ``margin``
    is δ of the ladder, in R². Raises SubjectError, CheckpointError or ProbeError for bad input.
    """
    left, right = _opened(base, "base array"), _opened(transfer, "transfer array")
    if same_file(left.path, right.path):
        raise SubjectError(right.path, "the base itself", "two different files")
    warnings: list[str] = []
    if left.sha256 == right.sha256:
        warnings.append(f"{left.path} and {right.path} are equal byte for byte")
    elif _equal(left, right):
        warnings.append(f"{left.path} and {right.path} hold the same numbers")
    picture, groups = _embeddings(left, right)
    frozen = _frozen_readers(left, right, unfrozen, warnings)
    return _diagnose(left, right, picture, groups, frozen, margin, seed, tuple(warnings))


def _opened(what: Source, name: str) -> Subject:
    if isinstance(what, Subject):
        return what
    if isinstance(what, str | os.PathLike):
        return open_subject(what)
    return from_array(what, name)


def _equal(a: Subject, b: Subject) -> bool:
    if a.embeddings is not None and b.embeddings is not None:
        return np.array_equal(a.embeddings, b.embeddings)
    return a.identity is not None and a.identity == b.identity


def _embeddings(base: Subject, transfer: Subject) -> tuple[Picture, NDArray[np.int64] | None]:
    """Both embeddings of the same states, each under the task that its model was trained on."""
    if base.embeddings is not None and transfer.embeddings is not None:
        a, b = base.embeddings, transfer.embeddings
        if len(a) != len(b):
            raise SubjectError(transfer.path, f"{len(b)} rows", f"{len(a)} rows, one for each of {base.path}")
        _enough(transfer.path, len(a))
        return Picture(_matrix(a), _matrix(b)), None
    if (base.embeddings is None) != (transfer.embeddings is None):
        found = "embeddings" if transfer.embeddings is not None else "a checkpoint"
        raise SubjectError(transfer.path, found, f"the same kind of file as {base.path}")
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
        embedded.append(_matrix(points.numpy()))
        has_model = any(name.startswith("transition/") for name in parameters) and points.dim() == 2
        predict = getattr(encoder, "predict", None) if has_model else None
        with one_thread():
            predicted.append(None if predict is None else predict(parameters, points).double().numpy())
    return (
        Picture(embedded[0], embedded[1], tasks.variables(), predicted[0], predicted[1]),
        pairs.groups,
    )


def _matrix(x: NDArray[Any]) -> NDArray[np.float64]:
    return x.reshape(len(x), -1).astype(np.float64)


def _enough(path: str, rows: int) -> None:
    if rows < probes.MIN_STATES:
        raise SubjectError(path, f"{rows} rows", f"at least {probes.MIN_STATES} paired states for a fit")


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


def _diagnose(
    base: Subject,
    transfer: Subject,
    picture: Picture,
    groups: NDArray[np.int64] | None,
    frozen: tuple[str, ...] | None,
    margin: float,
    seed: int,
    warnings: tuple[str, ...],
) -> Comparison:
    x = probes.as_matrix(picture.transfer, f"{transfer.path}: the embedding")
    y = probes.as_matrix(picture.base, f"{base.path}: the embedding")
    found = probes.relation(x, y, groups=groups, margin=margin, seed=seed)
    if found.ladder.states < probes.MIN_STATES:
        path, states = transfer.path, found.ladder.states
        raise SubjectError(path, f"{states} distinct states", f"at least {probes.MIN_STATES} for a fit")
    measures: dict[str, Measure] = {}
    own_states = None
    if x.shape == y.shape:
        distance = probes.l2(x, y, groups=groups, seed=seed)
        nearest, own = probes.nearest_own(x, y, groups=groups, seed=seed)
        measures |= {"l2": distance.mean, "l2_relative": distance.relative, "nearest_own": nearest}
        own_states = None if nearest.value is None else int(own.sum())
    else:
        reason = f"the embeddings have {y.shape[1]} and {x.shape[1]} dimensions"
        measures |= dict.fromkeys(("l2", "l2_relative", "nearest_own"), Measure.undefined(reason))
    measures["cka"] = probes.cka(x, y, groups=groups)
    measures["cca"] = probes.cca(x, y, groups=groups)
    measures["flip"] = found.flip
    measures["effective_rank_base"] = Measure(found.effective_rank[0])
    measures["effective_rank_transfer"] = Measure(found.effective_rank[1])
    measures["variance_ratio"] = (
        Measure(found.variance_ratio)
        if np.isfinite(found.variance_ratio)
        else Measure.undefined("the base's embedding is constant")
    )
    return Comparison(
        base=FileRef(base.path, base.sha256, base.label),
        transfer=FileRef(transfer.path, transfer.sha256, transfer.label),
        verdict=_verdict(found, frozen, own_states, transfer.success_states),
        measures=measures,
        ladder=found.ladder.steps,
        shifted=found.ladder.shifted,
        agreement=found.agreement,
        frozen=frozen,
        states=found.ladder.states,
        dimensions=(y.shape[1], x.shape[1]),
        own_states=own_states,
        success_states=transfer.success_states,
        seed=seed,
        warnings=warnings,
        picture=picture,
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
            axes = axes_in_words(found.axes)
            return f"Flipped: the base's embedding with {axes} negated{also} ({r2}{before})."
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
                f"variance {found.variance_ratio:.2g} times the base's."
            )
        case "unrelated":
            best = max(s.r2.value for s in found.ladder.steps if s.r2.value is not None)
            return f"Unrelated: no linear map brings the transfer to the base (best R² {best:.2f})."


def axes_in_words(axes: tuple[int, ...], most: int = 6) -> str:
    """``axis 1``, ``axes 0 and 2``; beyond ``most`` they are counted.

    >>> axes_in_words((0, 2, 3))
    'axes 0, 2 and 3'
    """
    if len(axes) == 1:
        return f"axis {axes[0]}"
    if len(axes) > most:
        return f"{len(axes)} axes"
    return f"axes {', '.join(map(str, axes[:-1]))} and {axes[-1]}"
