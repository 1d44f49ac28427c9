"""probe: what is known of each state, looked for in one embedding, or in two side by side.

Four questions to each variable: how strongly some direction of the embedding correlates with it, next to
embeddings that know nothing (the factor of latent-space generalisation with DreamerV2, section 3.3); how
much of it a linear map reads on states that it was not fitted on, next to shuffled targets; whether the
clusters that the embedding falls into are its categories; and how it lies in a picture of the embedding.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import probes
from diag.embed import embedded, shared_tasks
from diag.probing.result import COMPONENTS, Column, Finding, Probed
from diag.probing.verdict import change_of, reading, verdict_of
from diag.result import Columns, FileRef, Grouping
from diag.sources import Source, opened, same_file
from diag.sources.arrays import EXPECTED, read_labels
from diag.sources.naming import EPISODES
from diag.sources.numbers import real_numbers, row_labels
from diag.sources.rows import check_order, in_order, of_rows, row_order
from diag.sources.supplied import NOTHING, Supplied
from diag.sources.variables import VARIABLES, variables_of
from diag.subject import Subject, SubjectError, Taken
from probes import ProbeError, Projection, Variable

if TYPE_CHECKING:
    from torch import Tensor

PROJECTIONS: Mapping[str, tuple[probes.Method, ...]] = {
    "both": ("pca", "umap"),
    "pca": ("pca",),
    "umap": ("umap",),
    "none": (),
}
"""What ``projection`` may be, and the methods that it stands for."""

ALIKE = 0.5
"""Correlation of neighbouring rows from which rows look like steps of episodes; unrelated ones have 0."""


def probe(
    checkpoint: Source,
    other: Source | None = None,
    *,
    variables: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    categorical: Sequence[str] = (),
    episodes: str | os.PathLike[str] | NDArray[Any] | None = None,
    rollout: bool = False,
    drop_nonfinite: bool = False,
    projection: str = "pca",
    clusters: int | None = None,
    task: str | None = None,
    supplied: Supplied = NOTHING,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
    say: Callable[[str], None] = lambda words: None,
) -> Probed:
    """Look for known state variables in one embedding, or in two side by side.

    A source is a path (a checkpoint, or embeddings (n, ...) as ``.npy``/``.npz``), an array, tensor or table
    of embeddings, or a Subject. ``variables``, a ``.npz`` file, a mapping or a table, has what is known of
    each row, in their order or by the same key (``supplied.key``) or index:
    (n,) numbers, booleans or strings, or (n, k) numbers; a checkpoint's world knows some by itself, which
    those of the same name replace. Strings and booleans are categories, as are the numbers named in
    ``categorical``.

    ``episodes`` (n,), or a ``.npy`` of them, names the episode of each row, as does an array ``episodes``
    beside the embeddings or the variables; ``rollout=True`` says that the rows are the steps of one rollout,
    in order. Rows that hang together are held out, resampled and shuffled together.
    ``drop_nonfinite=True`` leaves out rows with NaN or infinity, which are refused otherwise.

    ``supplied`` is what files of weights alone do not say: paired observations, an adapter, … ``task``
    (``source`` or ``target``) is the task that the models see whose files do not say it; without it the
    first sees the source task, the second the target task.

    ``clusters`` replaces the number of a variable's categories in k-means. ``projection`` is what a page
    draws: ``pca``, which costs nothing more, ``umap`` (half a minute for the first one), ``both`` or
    ``none``; no number of the result hangs on it. ``progress`` is told steps done and steps in all, ``say``
    what takes time. Raises SubjectError, CheckpointError or ProbeError for bad input.
    """
    if projection not in PROJECTIONS:
        raise ProbeError(f"projection is {projection!r}, expected umap, pca, both or none")
    if clusters is not None and clusters < 2:
        raise ProbeError(f"clusters is {clusters}, expected at least 2")
    if rollout and episodes is not None:
        raise ProbeError("found episodes and one rollout, expected one of them")
    if task not in (None, "source", "target"):
        raise ProbeError(f"task is {task!r}, expected source or target")
    subjects = [opened(checkpoint, "first array", supplied, task or "source")]
    if other is not None:
        subjects.append(opened(other, "second array", supplied, task or "target"))
    warnings = _pair_warnings(subjects)
    _check_kinds(subjects)
    given, keyed = variables_of({} if variables is None else variables, supplied)
    place = os.fspath(variables) if isinstance(variables, str | os.PathLike) else VARIABLES
    of_file = subjects[0]
    subjects, taken, words = in_order(subjects)
    warnings += words
    subjects, given, taken = _known_rows(subjects, given, keyed, place, taken, warnings)
    seen = _seen(subjects, rollout or episodes is not None, seed, warnings)
    arrays = _arrays(subjects, seen, given, place, categorical)
    labels = _labels(subjects, seen, arrays, _of_all(episodes, of_file, taken), rollout)
    if not arrays:
        raise SubjectError(place, "no variables but episodes", "a variable to probe")
    of = len(seen.embeddings[0])
    rows = probes.sampled_rows(of, seed)
    if drop_nonfinite:
        stay = _finite(seen.embeddings, arrays, rows)
        if not stay.all():
            warnings.append(f"{int((~stay).sum())} rows with NaN or infinity were left out")
        rows = rows[stay]
        if len(rows) < 2:
            raise SubjectError(subjects[0].path, f"{len(rows)} finite rows", "at least 2")
    known = _variables(arrays, rows, place, categorical)
    matrices = [
        probes.as_matrix(e[rows], f"{s.path}: the embedding")
        for s, e in zip(subjects, seen.embeddings, strict=True)
    ]
    if rollout:
        groups = _blocks(seen.embeddings, arrays, known, place, categorical, rows)
    else:
        groups = dict.fromkeys(known, None if labels is None else labels[rows])
    if labels is None and not rollout:
        warnings += _alike(subjects, seen.embeddings)
        if seen.states is not None:
            groups = dict.fromkeys(known, seen.states[rows])
    methods = PROJECTIONS[projection]
    steps = len(subjects) * (len(known) + len(methods) + 1)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, steps)

    columns = []
    for subject, x in zip(subjects, matrices, strict=True):
        findings = {}
        for name, variable in known.items():
            findings[name] = _finding(x, variable, groups[name], clusters, seed)
            step()
        columns.append(_column(subject, x, findings, methods, seed, step, say))
    changes = {} if len(columns) == 1 else {name: change_of(columns, name) for name in known}
    grouping: Grouping = "blocks of a rollout" if rollout else "states"
    return Probed(
        columns=tuple(columns),
        verdict=verdict_of(columns, changes),
        variables=known,
        changes=changes,
        rows=len(rows),
        of=of,
        grouping=seen.grouping or ("episodes" if labels is not None else grouping),
        clusters=clusters,
        seed=seed,
        warnings=tuple(warnings),
    )


def _pair_warnings(subjects: Sequence[Subject]) -> list[str]:
    if len(subjects) < 2:
        return []
    first, second = subjects
    if same_file(first.path, second.path):
        raise SubjectError(second.path, "the first file itself", "two different files")
    if first.sha256 == second.sha256:
        return [f"{first.path} and {second.path} are equal byte for byte"]
    if first.identity is not None and first.identity == second.identity:
        return [f"{first.path} and {second.path} hold the same numbers"]
    return []


@dataclass(frozen=True)
class _Seen:
    """What the subjects make of the same rows, and what their world knows of them."""

    embeddings: list[NDArray[Any]]
    """One (n, …) each."""
    variables: Mapping[str, NDArray[Any]]
    groups: NDArray[np.int64] | None
    """The state or episode of each row, where there are pairs of them that say so."""
    grouping: Grouping | None = None
    """What the groups are; None of arrays."""
    states: NDArray[np.int64] | None = None
    """A number for each distinct pair of observations, where no groups are known."""


def _check_kinds(subjects: Sequence[Subject]) -> None:
    first = subjects[0]
    for subject in subjects[1:]:
        if (subject.embeddings is None) != (first.embeddings is None):
            found = "embeddings" if first.embeddings is None else "a checkpoint"
            raise SubjectError(subject.path, found, f"the same kind of file as {first.path}")


def _known_rows(
    subjects: list[Subject],
    given: dict[str, NDArray[Any]],
    keyed: Taken,
    place: str,
    stay: NDArray[np.int64] | None,
    warnings: list[str],
) -> tuple[list[Subject], dict[str, NDArray[Any]], NDArray[np.int64] | None]:
    """Embeddings and variables of the same rows, by the key or the index where both have one.

    Beside them, which rows of the first file these are; ``stay`` says which are left of them so far.
    """
    first = subjects[0]
    own = first.taken or Taken(())
    if first.embeddings is None or not given:
        return subjects, given, stay
    if own.asked and not keyed.keys:
        warnings.append(f"{place} has no {own.key}: its rows were taken in the order of {first.path}")
    both = (own.keys and keyed.keys and own.asked == keyed.asked) or keyed.asked
    rows = row_order(first.path, own, place, replace(keyed, common=own.common)) if both else None
    if rows is None:
        check_order(first.path, own, place, keyed)
        return subjects, given, stay
    left, right = rows
    if (lost := len(first.embeddings) - len(left)) > 0:
        warnings.append(f"{lost} rows were left out: {place} has no such {own.key}")
    known = {name: values[right] if values.ndim else values for name, values in given.items()}
    return [of_rows(s, left) for s in subjects], known, left if stay is None else stay[left]


def _of_all(
    episodes: str | os.PathLike[str] | NDArray[Any] | None, first: Subject, stay: NDArray[np.int64] | None
) -> str | os.PathLike[str] | NDArray[Any] | None:
    """Labels of all rows of the first file as labels of those that are left of them."""
    if episodes is None or stay is None or first.embeddings is None:
        return episodes
    named = isinstance(episodes, str | os.PathLike)
    name = os.fspath(episodes) if isinstance(episodes, str | os.PathLike) else "episodes"
    labels = read_labels(name) if named else row_labels(episodes, name, "labels")
    if len(labels) != (rows := len(first.embeddings)):
        raise SubjectError(name, f"shape {labels.shape}", f"({rows},), one for each row of {first.path}")
    return labels[stay]


def _seen(subjects: Sequence[Subject], grouped: bool, seed: int, warnings: list[str]) -> _Seen:
    first = subjects[0]
    ready = [
        real_numbers(s.embeddings, s.path, "values", EXPECTED) for s in subjects if s.embeddings is not None
    ]
    if ready:
        if len(ready[0]) < 2:
            raise SubjectError(first.path, f"{len(ready[0])} row", "at least 2")
        return _Seen([e.reshape(len(e), -1) for e in ready], {}, None)
    if grouped:
        raise SubjectError(first.path, "episodes for a checkpoint", "them with arrays of embeddings")
    return _embedded(subjects, seed, warnings)


def _embedded(subjects: Sequence[Subject], seed: int, warnings: list[str]) -> _Seen:
    """Every state of the world, each subject seeing the task that it was trained on."""
    tasks = shared_tasks(subjects)
    pairs = tasks.paired_observations(None, seed)
    points = [embedded(subject, pairs, warnings.append) for subject in subjects]
    embeddings = [found.flatten(1).double().numpy() for found in points]
    states = None if pairs.groups is not None else _distinct(pairs.observations)
    return _Seen(embeddings, tasks.variables(), pairs.groups, pairs.grouping, states)


def _distinct(observations: Mapping[str, Tensor]) -> NDArray[np.int64]:
    """(n,) the number of each row's state, in the order of their first appearance.

    Equal rows are one state: a probe that is fitted on one of them and scored on the other would recite it.
    """
    rows = [np.ascontiguousarray(seen.cpu().numpy()) for seen in observations.values()]
    known: dict[bytes, int] = {}
    keys = (b"".join(part[row].tobytes() for part in rows) for row in range(len(rows[0])))
    return np.array([known.setdefault(key, len(known)) for key in keys], np.int64)


def _arrays(
    subjects: Sequence[Subject],
    seen: _Seen,
    given: Mapping[str, NDArray[Any]],
    place: str,
    categorical: Sequence[str],
) -> dict[str, NDArray[Any]]:
    """What is known of each row by name; ``place`` is where it came from, for errors."""
    path = subjects[0].path
    if not given and not seen.variables:
        raise SubjectError(path, "embeddings without variables", "named arrays in --variables FILE.npz")
    arrays = {**seen.variables, **given}
    n = len(seen.embeddings[0])
    for name, values in arrays.items():
        if not name.strip() or not name.isprintable():
            raise SubjectError(place, f"an array named {name!r}", "printable names")
        if values.ndim == 0 or len(values) != n:
            found = f"{name!r} with {len(values) if values.ndim else 'no'} rows"
            raise SubjectError(place, found, f"{n} rows, one for each of {path}")
    for name in categorical:
        if name not in arrays:
            raise SubjectError(place, f"no variable {name!r}", f"one of {', '.join(arrays)}")
    return arrays


def _variables(
    arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], place: str, categorical: Sequence[str]
) -> dict[str, Variable]:
    return {
        name: probes.as_variable(values[rows], f"{place}: {name!r}", categorical=name in categorical)
        for name, values in arrays.items()
    }


def _finite(
    embeddings: Sequence[NDArray[Any]], arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which rows hold no NaN and no infinity, in any embedding and any variable."""
    numbers = [e[rows] for e in embeddings] + [a[rows] for a in arrays.values() if a.dtype.kind == "f"]
    stay: NDArray[np.bool_] = np.ones(len(rows), np.bool_)
    for values in numbers:
        stay &= probes.finite_rows(values.reshape(len(values), -1))
    return stay


def _labels(
    subjects: Sequence[Subject],
    seen: _Seen,
    arrays: dict[str, NDArray[Any]],
    episodes: str | os.PathLike[str] | NDArray[Any] | None,
    rollout: bool,
) -> NDArray[Any] | None:
    """The state or episode of each row; an array of episodes among the variables is taken out of them."""
    n, path = len(seen.embeddings[0]), subjects[0].path
    beside = None if seen.variables else arrays.pop(EPISODES, None)
    if rollout:
        return None
    if episodes is None:
        named = [("the variables' episodes", beside), *((s.path, s.episodes) for s in subjects)]
        known = [(name, found) for name, found in named if found is not None]
        for name, found in known[1:]:
            if not np.array_equal(found, known[0][1]):
                raise SubjectError(name, "other episodes", f"those of {known[0][0]}")
        if not known:
            return seen.groups
        name, labels = known[0]
    elif isinstance(episodes, str | os.PathLike):
        name, labels = os.fspath(episodes), read_labels(os.fspath(episodes))
    else:
        name, labels = "episodes", row_labels(episodes, "episodes", "labels")
    if labels.shape != (n,):
        raise SubjectError(name, f"shape {labels.shape}", f"({n},), one for each row of {path}")
    return labels


def _blocks(
    embeddings: Sequence[NDArray[Any]],
    arrays: Mapping[str, NDArray[Any]],
    known: Mapping[str, Variable],
    place: str,
    categorical: Sequence[str],
    rows: NDArray[np.int64],
) -> dict[str, NDArray[Any] | None]:
    """The block of a rollout that each row is in, for each variable: long enough for both embeddings."""
    head = np.arange(min(len(embeddings[0]), probes.ROWS))
    head = head[_finite(embeddings, arrays, head)]
    first = _variables(arrays, head, place, categorical)
    groups: dict[str, NDArray[Any] | None] = {}
    for name, variable in known.items():
        length = 1
        if variable.unusable is None:
            blocks = (probes.rollout_blocks(e[head], first[name].columns) for e in embeddings)
            length = max(int((b == 0).sum()) for b in blocks)
        groups[name] = rows // length
    return groups


def _alike(subjects: Sequence[Subject], embeddings: Sequence[NDArray[Any]]) -> list[str]:
    """A warning where rows without groups look like steps of episodes, which would leak and prove nothing."""
    for subject, embedding in zip(subjects, embeddings, strict=True):
        x = embedding[: probes.ROWS].astype(np.float64)
        x = x[probes.finite_rows(x)]
        x -= x.mean(0)
        size = float(np.square(x).sum())
        alike = float((x[1:] * x[:-1]).sum()) / size if size > 0 else 0.0
        if alike >= ALIKE:
            return [
                f"neighbouring rows of {subject.path} are alike (correlation {alike:.2f}): if they are steps "
                "of episodes, say so with --episodes or --rollout, or scores and p-values are too good"
            ]
    return []


def _finding(
    x: NDArray[np.float64], variable: Variable, groups: NDArray[Any] | None, clusters: int | None, seed: int
) -> Finding:
    found = probes.linear_probe(x, variable, groups=groups, seed=seed)
    events = variable.kind == "categorical"
    return Finding(
        cca=probes.variable_cca(x, variable, groups=groups, seed=seed),
        probe=found,
        reading=reading(found),
        clusters=probes.cluster_events(x, variable, clusters=clusters, groups=groups, seed=seed)
        if events
        else None,
    )


def _column(
    subject: Subject,
    x: NDArray[np.float64],
    findings: Mapping[str, Finding],
    methods: Sequence[probes.Method],
    seed: int,
    step: Callable[[], None],
    say: Callable[[str], None],
) -> Column:
    principal = probes.project(x, "pca", seed=seed)
    shares = () if principal.explained is None else tuple(principal.explained[:COMPONENTS].tolist())
    rank = probes.effective_rank(x)
    step()
    drawn: list[Projection] = []
    for method in methods:
        if method == "umap":
            say("preparing UMAP…")
        drawn.append(principal if method == "pca" else probes.project(x, method, seed=seed))
        step()
    plane = np.pad(x, ((0, 0), (0, 2 - x.shape[1]))) if x.shape[1] <= 2 else None
    file, columns = FileRef.of(subject), Columns.of(subject)
    return Column(file, x.shape[1], rank, shares, findings, tuple(drawn), plane, columns)
