"""Embeddings and known variables of the same rows, and which of those rows depend on each other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import probes
from diag.embed import embedded, shared_tasks
from diag.result import Grouping
from diag.sources import same_file
from diag.sources.arrays import EXPECTED, read_labels
from diag.sources.naming import EPISODES
from diag.sources.numbers import real_numbers, row_labels
from diag.sources.rows import check_order, in_order, of_rows, row_order
from diag.sources.supplied import Supplied
from diag.sources.variables import VARIABLES, variables_of
from diag.subject import KnownPairs, Subject, SubjectError, Taken
from probes import Variable

if TYPE_CHECKING:
    from torch import Tensor

Labels: TypeAlias = "str | os.PathLike[str] | NDArray[Any] | None"
"""Episodes (n,), or a ``.npy`` of them; None where nobody names them."""

Known: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | None"
"""Known variables of each row: a ``.npz``, a mapping or a table; None where only the file's own are known."""

DRAWS = "a checkpoint of a world model, which draws histories of any of its world's looks"
"""Whose rows can be drawn, in words."""

ALIKE = 0.5
"""Correlation of neighbouring rows from which rows look like steps of episodes; unrelated ones have 0."""


@dataclass(frozen=True)
class Rows:
    """Embeddings of one or two subjects and the known variables of their rows."""

    subjects: list[Subject]
    embeddings: list[NDArray[Any]]
    """One (n, d) for each subject."""
    arrays: Mapping[str, NDArray[Any]]
    """{name: (n, …)} known variables, as they were given."""
    place: str
    """The file or argument that the variables came from, for errors."""
    categorical: Sequence[str]
    """Names of the variables whose numbers are categories."""
    labels: NDArray[Any] | None
    """(n,) the state or episode of each row, where something says so."""
    states: NDArray[np.int64] | None
    """(n,) a number for each distinct pair of observations, where no states or episodes are known."""
    grouping: Grouping | None
    """The kind of the labels, where pairs of observations name them."""
    rollout: bool
    """Whether the rows are the steps of one rollout, in order."""
    warnings: list[str]

    def finite(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(k,) whether these rows hold no NaN and no infinity, in any embedding and any variable."""
        numbers = [e[rows] for e in self.embeddings]
        numbers += [a[rows] for a in self.arrays.values() if a.dtype.kind == "f"]
        stay: NDArray[np.bool_] = np.ones(len(rows), np.bool_)
        for values in numbers:
            stay &= probes.finite_rows(values.reshape(len(values), -1))
        return stay

    def variables(self, rows: NDArray[np.int64]) -> dict[str, Variable]:
        """The known variables of these rows, as probes take them."""
        return {
            name: probes.as_variable(
                values[rows], f"{self.place}: {name!r}", categorical=name in self.categorical
            )
            for name, values in self.arrays.items()
        }

    def groups(
        self, known: Mapping[str, Variable], rows: NDArray[np.int64]
    ) -> dict[str, NDArray[Any] | None]:
        """{variable: (k,)} the state, episode or block of each of these rows; None where each is a group."""
        if self.rollout:
            return self._blocks(known, rows)
        if self.labels is None and self.states is not None:
            return dict.fromkeys(known, self.states[rows])
        return dict.fromkeys(known, None if self.labels is None else self.labels[rows])

    def _blocks(
        self, known: Mapping[str, Variable], rows: NDArray[np.int64]
    ) -> dict[str, NDArray[Any] | None]:
        """{variable: (k,)} the block of a rollout that each row lies in, longer than any memory."""
        head = np.arange(min(len(self.embeddings[0]), probes.ROWS))
        head = head[self.finite(head)]
        first = self.variables(head)
        groups: dict[str, NDArray[Any] | None] = {}
        for name, variable in known.items():
            length = 1
            if variable.unusable is None:
                blocks = (probes.rollout_blocks(e[head], first[name].columns) for e in self.embeddings)
                length = max(int((b == 0).sum()) for b in blocks)
            groups[name] = rows // length
        return groups


@dataclass(frozen=True)
class Drawn:
    """Rows of a world that draws them: how many, and of which look; None for its own choice."""

    rows: int | None = None
    look: str | None = None


def gathered(
    subjects: list[Subject],
    variables: Known,
    categorical: Sequence[str],
    episodes: Labels,
    rollout: bool,
    supplied: Supplied,
    seed: int,
    drawn: Drawn = Drawn(),
) -> Rows:
    """Embeddings of the subjects and known variables of the same rows, by key, index or order.

    Raises SubjectError where they do not pair, and where there is nothing to probe.
    """
    warnings = _pair_warnings(subjects)
    _check_kinds(subjects)
    given, keyed = variables_of({} if variables is None else variables, supplied)
    place = os.fspath(variables) if isinstance(variables, str | os.PathLike) else VARIABLES
    of_file = subjects[0]
    subjects, taken, words = in_order(subjects)
    warnings += words
    subjects, given, taken = _known_rows(subjects, given, keyed, place, taken, warnings)
    seen = _seen(subjects, rollout or episodes is not None, seed, warnings, drawn)
    arrays = _arrays(subjects, seen, given, place, categorical)
    labels = _labels(subjects, seen, arrays, _of_all(episodes, of_file, taken), rollout)
    if not arrays:
        raise SubjectError(place, "no variables but episodes", "a variable to probe")
    return Rows(
        subjects=subjects,
        embeddings=seen.embeddings,
        arrays=arrays,
        place=place,
        categorical=categorical,
        labels=labels,
        states=seen.states,
        grouping=seen.grouping,
        rollout=rollout,
        warnings=warnings,
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


def _check_kinds(subjects: Sequence[Subject]) -> None:
    first = subjects[0]
    for subject in subjects[1:]:
        if (subject.embeddings is None) != (first.embeddings is None):
            kind = "embeddings" if first.embeddings is None else "a checkpoint"
            raise SubjectError(subject.path, kind, f"the same kind of file as {first.path}")


@dataclass(frozen=True)
class _Seen:
    """The subjects' embeddings of the same rows, and what their world knows about these rows."""

    embeddings: list[NDArray[Any]]
    """One (n, d) for each subject."""
    variables: Mapping[str, NDArray[Any]]
    groups: NDArray[np.int64] | None
    """The state or episode of each row, where there are pairs of them that say so."""
    grouping: Grouping | None = None
    """The kind of the groups; None for arrays."""
    states: NDArray[np.int64] | None = None
    """A number for each distinct pair of observations, where no groups are known."""


def _known_rows(
    subjects: list[Subject],
    given: dict[str, NDArray[Any]],
    keyed: Taken,
    place: str,
    stay: NDArray[np.int64] | None,
    warnings: list[str],
) -> tuple[list[Subject], dict[str, NDArray[Any]], NDArray[np.int64] | None]:
    """Embeddings and variables of the same rows, by the key or the index where both have one.

    The third value numbers the rows of the first file that these are; ``stay`` numbers those left so far.
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


def _of_all(episodes: Labels, first: Subject, stay: NDArray[np.int64] | None) -> Labels:
    """Labels of the remaining rows, from labels of all rows of the first file."""
    if episodes is None or stay is None or first.embeddings is None:
        return episodes
    named = isinstance(episodes, str | os.PathLike)
    name = os.fspath(episodes) if isinstance(episodes, str | os.PathLike) else "episodes"
    labels = read_labels(name) if named else row_labels(episodes, name, "labels")
    if len(labels) != (rows := len(first.embeddings)):
        raise SubjectError(name, f"shape {labels.shape}", f"({rows},), one for each row of {first.path}")
    return labels[stay]


def _seen(subjects: Sequence[Subject], grouped: bool, seed: int, warnings: list[str], drawn: Drawn) -> _Seen:
    first = subjects[0]
    ready = [
        real_numbers(s.embeddings, s.path, "values", EXPECTED) for s in subjects if s.embeddings is not None
    ]
    if ready:
        if len(ready[0]) < 2:
            raise SubjectError(first.path, f"{len(ready[0])} row", "at least 2")
        if drawn != Drawn():
            raise SubjectError(first.path, "rows or a look to draw, of embeddings", DRAWS)
        return _Seen([e.reshape(len(e), -1) for e in ready], {}, None)
    if grouped:
        raise SubjectError(first.path, "episodes for a checkpoint", "them with arrays of embeddings")
    return _embedded(subjects, seed, warnings, drawn)


def _embedded(subjects: Sequence[Subject], seed: int, warnings: list[str], drawn: Drawn) -> _Seen:
    """Embeddings of every state of the world, each subject seeing the task that it was trained on."""
    tasks = shared_tasks(subjects)
    if drawn == Drawn():
        pairs, known = tasks.paired_observations(None, seed), None
    elif isinstance(tasks, KnownPairs):
        pairs, known = tasks.known_pairs(drawn.rows, drawn.look, seed)
    else:
        raise SubjectError(subjects[0].path, f"rows or a look to draw, of {tasks.name}", DRAWS)
    points = [embedded(subject, pairs, warnings.append) for subject in subjects]
    embeddings = [one.flatten(1).double().numpy() for one in points]
    states = None if pairs.groups is not None else _states(pairs.observations)
    known = tasks.variables() if known is None else known
    return _Seen(embeddings, known, pairs.groups, pairs.grouping, states)


def _states(observations: Mapping[str, Tensor]) -> NDArray[np.int64]:
    """(n,) the number of each row's state: a probe fitted on one row of it and scored on another recites it.

    What is not finite counts as 0, for rows with it are refused or left out where they are embedded.
    """
    rows = [seen.cpu().numpy().reshape(len(seen), -1).astype(np.float64) for seen in observations.values()]
    return probes.states(*(np.nan_to_num(row, posinf=0.0, neginf=0.0) for row in rows))


def _arrays(
    subjects: Sequence[Subject],
    seen: _Seen,
    given: Mapping[str, NDArray[Any]],
    place: str,
    categorical: Sequence[str],
) -> dict[str, NDArray[Any]]:
    """Known variables of each row by name, the world's among them; ``place`` is their file, for errors."""
    path = subjects[0].path
    if not given and not seen.variables:
        raise SubjectError(path, "embeddings without variables", "named arrays in --variables FILE.npz")
    arrays = {**seen.variables, **given}
    n = len(seen.embeddings[0])
    for name, values in arrays.items():
        if not name.strip() or not name.isprintable():
            raise SubjectError(place, f"an array named {name!r}", "printable names")
        if values.ndim == 0 or len(values) != n:
            array = f"{name!r} with {len(values) if values.ndim else 'no'} rows"
            raise SubjectError(place, array, f"{n} rows, one for each of {path}")
    for name in categorical:
        if name not in arrays:
            raise SubjectError(place, f"no variable {name!r}", f"one of {', '.join(arrays)}")
    return arrays


def _labels(
    subjects: Sequence[Subject],
    seen: _Seen,
    arrays: dict[str, NDArray[Any]],
    episodes: Labels,
    rollout: bool,
) -> NDArray[Any] | None:
    """The state or episode of each row; an array of episodes among the variables is taken out of them."""
    n, path = len(seen.embeddings[0]), subjects[0].path
    beside = None if seen.variables else arrays.pop(EPISODES, None)
    if rollout:
        return None
    if episodes is None:
        named = [("the variables' episodes", beside), *((s.path, s.episodes) for s in subjects)]
        known = [(name, values) for name, values in named if values is not None]
        for name, values in known[1:]:
            if not np.array_equal(values, known[0][1]):
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


def neighbours_alike(rows: Rows) -> list[str]:
    """A warning where ungrouped rows look like steps of episodes, which would leak into held-out rows."""
    for subject, embedding in zip(rows.subjects, rows.embeddings, strict=True):
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
