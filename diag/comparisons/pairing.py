"""Two subjects -> both embeddings of the same rows, and which of those rows depend on each other."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import probes
from diag.embed import embedded, shared_tasks
from diag.sources.arrays import EXPECTED, read_labels
from diag.sources.bookkeeping import Likeness, check_bookkeeping
from diag.sources.numbers import real_numbers, row_labels
from diag.sources.rows import Aligned, aligned
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Pairs, Subject, SubjectError, colour_of, require
from trainers.threads import one_thread

STREAMED_NUMBERS = 2**25
"""Numbers in an array from which the pair is read once, in batches, and never held whole: 256 MB."""

MOST_REMEMBERED = 2**22
"""Numbers at a rollout's beginning from which the length of its memory is taken."""

MOST_UNEQUAL = 2**12
"""Dimensions up to which the two embeddings may differ in number, however few the rows: 128 MB of sums."""

FINITE = "finite numbers, or --drop-nonfinite"
"""Words for the expected numbers in errors of callers that can leave rows out (:func:`undroppable`: for the
others)."""

SUMS = 24
"""Rows per dimension below which a stream's sums would take more memory than the data themselves."""


@dataclass(frozen=True)
class Pair:
    """Both embeddings of the same rows, and which of the rows are resampled together."""

    base: NDArray[Any]
    """(n, ...)"""
    transfer: NDArray[Any]
    """(n, ...)"""
    groups: NDArray[Any] | None
    """(n,) the state, episode or block of each row; None where equal rows are one state."""
    null: probes.Null | None
    """Null by which rows are exchanged if the embeddings are unrelated; None where groups are states."""
    variables: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    colour: str | None = None
    """Name of the variable that pictures are coloured by, where the tasks say."""
    base_predictions: NDArray[np.float64] | None = None
    transfer_predictions: NDArray[np.float64] | None = None
    dropped: int = 0
    """Rows left out because they had NaN or infinity."""
    warnings: tuple[str, ...] = ()
    """Warnings of how the embeddings were made and of how they were paired."""
    layout: probes.Layout | None = None
    """Order of the axes of embeddings on a grid; None where nothing says it."""
    observed: tuple[NDArray[Any], NDArray[Any]] | None = None
    """The states (n, ...) as the base's task shows them, and as the transfer's does; None for ready
    embeddings."""
    likeness: Likeness | None = None
    """Likeness of the columns of ready embeddings; None where a person or an encoder chose them."""


@contextmanager
def undroppable() -> Iterator[None]:
    """Drop the advice ``--drop-nonfinite`` from errors, for callers that cannot leave rows out."""
    try:
        yield
    except SubjectError as error:
        if error.expected != FINITE:
            raise
        raise SubjectError(error.path, error.found, "finite numbers") from None


def pair_of(
    base: Subject,
    transfer: Subject,
    episodes: str | os.PathLike[str] | NDArray[Any] | None,
    rollout: bool,
    drop_nonfinite: bool,
    supplied: Supplied = NOTHING,
) -> Pair:
    """Both embeddings of the same states, each under the task that its model was trained on.

    Raises SubjectError where they do not pair, or where comparing them would take far more memory than they.
    """
    pair = _paired(base, transfer, episodes, rollout, drop_nonfinite)
    if supplied.channels is not None:
        if pair.base.ndim != 4 or pair.transfer.ndim != 4:
            found = f"an embedding of shape (n, {', '.join(map(str, pair.base.shape[1:]))}) with --channels"
            raise SubjectError(transfer.path, found, "a grid of channels, (n, c, h, w) or (n, h, w, c)")
        layout: probes.Layout = "channels first" if supplied.channels == "first" else "channels last"
        pair = replace(pair, layout=layout)
    # Maps between different numbers of dimensions are fitted through sums of products, d² numbers.
    widths = [math.prod(v.shape[1:]) for v in (pair.base, pair.transfer)]
    if widths[0] != widths[1] and max(widths) > max(len(pair.base), MOST_UNEQUAL):
        expected = f"{widths[0]}, those of {base.path}, or more rows than dimensions"
        raise SubjectError(transfer.path, f"{widths[1]} dimensions, of {len(pair.base)} rows", expected)
    return pair


def _paired(
    base: Subject,
    transfer: Subject,
    episodes: str | os.PathLike[str] | NDArray[Any] | None,
    rollout: bool,
    drop_nonfinite: bool,
) -> Pair:
    if (base.embeddings is None) != (transfer.embeddings is None):
        raise _of_two_kinds(base, transfer)
    if base.embeddings is None or transfer.embeddings is None:
        if rollout or episodes is not None:
            raise SubjectError(transfer.path, "episodes for a checkpoint", "them with arrays of embeddings")
        return _embedded(base, transfer)
    return _ready(base, transfer, episodes, rollout, drop_nonfinite)


def _ready(
    base: Subject,
    transfer: Subject,
    episodes: str | os.PathLike[str] | NDArray[Any] | None,
    rollout: bool,
    drop_nonfinite: bool,
) -> Pair:
    """Ready embeddings of both, paired by key, index or order, without the rows that are left out."""
    own, others = (real_numbers(s.embeddings, s.path, "values", EXPECTED) for s in (base, transfer))
    pairing = aligned(base, transfer)
    a, b = pairing.of_base(own), pairing.embeddings(others)
    _enough(transfer.path, len(a))
    likeness = None
    if not any(s.taken is not None and s.taken.chosen for s in (base, transfer)):
        likeness = check_bookkeeping(base, transfer, a, b, column_names(base))
    labels = _episode_labels(base, transfer, episodes, pairing)
    dropped = 0
    if not _is_large(a, b):
        stay = _finite_rows(base, transfer, a, b, drop_nonfinite)
        if not stay.all():
            a, b = a[stay], b[stay]
        _enough(transfer.path, len(a))
        labels = None if labels is None else labels[stay]
        dropped = int((~stay).sum())
    groups: NDArray[Any] | None
    null: probes.Null
    if rollout:
        groups, null = np.arange(len(a)) // _block_length(transfer.path, a, b), "shift"
    else:
        _enough_episodes(transfer.path, labels)
        groups, null = labels, "episodes" if labels is not None else "moments"
    return Pair(a, b, groups, null, dropped=dropped, warnings=pairing.warnings, likeness=likeness)


def _finite_rows(
    base: Subject, transfer: Subject, a: NDArray[Any], b: NDArray[Any], drop_nonfinite: bool
) -> NDArray[np.bool_]:
    """(n,) whether a row is finite in both; SubjectError where one is not and none may be left out."""
    finite = [probes.finite_rows(matrix(array)) for array in (a, b)]
    for subject, rows in zip((base, transfer), finite, strict=True):
        if not rows.all() and not drop_nonfinite:
            not_finite = f"{int((~rows).sum())} of {len(rows)} rows with NaN or infinity"
            raise SubjectError(subject.path, not_finite, FINITE)
    return finite[0] & finite[1]


def _block_length(path: str, a: NDArray[Any], b: NDArray[Any]) -> int:
    """Steps of a rollout that are resampled as a block, from what its beginning remembers."""
    some = slice(MOST_REMEMBERED // max(a[0].size, b[0].size, 1) + probes.MIN_STATES)
    head = [matrix(v[some]) for v in (a, b)]
    whole = probes.finite_rows(head[0]) & probes.finite_rows(head[1])
    _enough(path, int(whole.sum()))
    blocks = probes.rollout_blocks(head[0][whole], head[1][whole])
    return int((blocks == 0).sum())


def column_names(subject: Subject) -> tuple[str, ...]:
    """The names of the dimensions of ready embeddings, where each has one."""
    return subject.taken.names if subject.taken is not None and subject.taken.by_column else ()


def _of_two_kinds(base: Subject, transfer: Subject) -> SubjectError:
    """The error for ready embeddings beside a file that makes its own, with the Python that writes those."""
    ready, maker = (base, transfer) if base.embeddings is not None else (transfer, base)
    if maker.encoder is None:  # it has no embeddings either: say what is missing
        require(maker, "encoder", maker.encoder)
    task = "source" if maker is base else "target"
    ids = getattr(maker.tasks, "ids", None)
    given, rows = "", f"the states of {maker.tasks.name}" if maker.tasks is not None else ""
    if ids is not None:
        given = f", Supplied(source_env='{ids['source']}', target_env='{ids['target']}')"
    elif maker.parameters is None or maker.tasks is None:  # the file itself does not name its world
        given, rows = ", Supplied(pairs='pairs.npz')", "the observations in pairs.npz"
    code = (
        f"import diag, numpy as np; from diag.sources.supplied import Supplied; "
        f"s = diag.open_subject('{maker.path}'{given}, task='{task}'); "
        f"o = s.tasks.paired_observations(None, 0).observations['{task}']; "
        f"np.save('{Path(maker.path).with_suffix('.npy')}', s.encoder.embed(s.parameters or {{}}, o).numpy())"
    )
    expected = (
        f"the same kind of file: two that make embeddings, or the embeddings of both. If the rows of "
        f'{ready.path} are of {rows}, {maker.path} makes its own of the same by python -c "{code}"'
    )
    return SubjectError(ready.path, f"ready embeddings beside {maker.path}, which makes them", expected)


def _episode_labels(
    base: Subject,
    transfer: Subject,
    episodes: str | os.PathLike[str] | NDArray[Any] | None,
    pairing: Aligned,
) -> NDArray[Any] | None:
    rows = len(base.embeddings) if base.embeddings is not None else 0
    if episodes is not None:
        named = isinstance(episodes, str | os.PathLike)
        name = os.fspath(episodes) if isinstance(episodes, str | os.PathLike) else "episodes"
        labels = read_labels(name) if named else row_labels(episodes, name, "labels")
        if labels.shape != (rows,):
            raise SubjectError(name, f"shape {labels.shape}", f"({rows},), one for each row of {base.path}")
        return pairing.of_base(labels)
    known = [] if base.episodes is None else [pairing.of_base(base.episodes)]
    known += [] if transfer.episodes is None else [pairing.of_transfer(transfer.episodes)]
    if len(known) == 2 and not np.array_equal(known[0], known[1]):
        raise SubjectError(transfer.path, "other episodes", f"those of {base.path}")
    return known[0] if known else None


def _embedded(base: Subject, transfer: Subject) -> Pair:
    """Both encoders' embeddings of the same states."""
    tasks = shared_tasks((base, transfer))
    pairs = tasks.paired_observations(None, 0)
    by_episode = pairs.grouping == "episodes"
    if by_episode:
        _enough_episodes(transfer.path, pairs.groups)
    embeddings, predicted, warnings = [], [], list[str]()
    for subject in (base, transfer):
        points = embedded(subject, pairs, warnings.append)
        embeddings.append(probes.as_matrix(points, f"{subject.path}: the embedding").reshape(points.shape))
        parameters = subject.parameters or {}
        has_model = any(name.startswith("transition/") for name in parameters) and points.dim() == 2
        predict = getattr(subject.encoder, "predict", None) if has_model else None
        with one_thread():
            predicted.append(None if predict is None else predict(parameters, points).double().numpy())
    null: probes.Null | None = "episodes" if by_episode else "moments" if pairs.groups is None else None
    return Pair(
        embeddings[0],
        embeddings[1],
        pairs.groups,
        null,
        tasks.variables(),
        colour_of(tasks),
        predicted[0],
        predicted[1],
        warnings=tuple(dict.fromkeys(warnings)),
        layout="channels first" if embeddings[0].ndim == 4 else None,  # as torch has them
        observed=_observed(base, transfer, pairs),
    )


def _observed(base: Subject, transfer: Subject, pairs: Pairs) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """What each subject sees of the paired states, where those are arrays."""
    seen = [pairs.observations.get(one.task or "") for one in (base, transfer)]
    if any(one is None or not hasattr(one, "detach") for one in seen):
        return None
    own, others = (one.detach().cpu().numpy() for one in seen if one is not None)
    return own, others


def matrix(x: NDArray[Any]) -> NDArray[np.float64]:
    """An array (n, ...) as a matrix (n, d) in double precision."""
    return x.reshape(len(x), -1).astype(np.float64)


def _enough(path: str, rows: int) -> None:
    if rows < probes.MIN_STATES:
        raise SubjectError(path, f"{rows} rows", f"at least {probes.MIN_STATES} paired states for a fit")


def _enough_episodes(path: str, labels: NDArray[Any] | None) -> None:
    if labels is not None and (episodes := len(np.unique(labels))) < probes.MIN_STATES:
        raise SubjectError(path, f"{episodes} episodes", f"at least {probes.MIN_STATES}")


def _is_large(a: NDArray[Any], b: NDArray[Any]) -> bool:
    widest = max(a[0].size, b[0].size)
    return max(a.size, b.size) >= STREAMED_NUMBERS and len(a) >= SUMS * widest


def is_streamed(pair: Pair) -> bool:
    """Whether a pair is so large that it is read once, in batches."""
    return _is_large(pair.base, pair.transfer)


def numbers(labels: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """Labels (n,) as whole numbers, by which a stream assigns rows to its blocks."""
    if labels is None or labels.dtype.kind in "iu":
        return labels
    return np.unique(labels, return_inverse=True)[1].reshape(-1)
