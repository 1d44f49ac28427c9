"""Paired observations that were handed over, from a file or from two environments -> a TaskPair."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.array_pairs import ArrayPairs
from diag.sources.naming import EPISODES
from diag.sources.numbers import described, known_values, real_numbers, row_labels
from diag.sources.numpy_file import read_members
from diag.sources.safe.bounds import check_ordinary
from diag.sources.safe.names import shown
from diag.sources.safetensors_file import header_of, read_tensors
from diag.sources.supplied import Supplied
from diag.subject import Pairs, Sampled, SubjectError, Task, TaskPair, colour_of

EXPECTED = (
    "a .npz or .safetensors of arrays 'source' and 'target' (n, ...): observations of the same n states"
)

TASKS: tuple[Task, Task] = ("source", "target")


def tasks_of(supplied: Supplied) -> TaskPair | None:
    """The paired observations that were handed over, None where there are none; raises SubjectError.

    The same object for the same file or environments, so that several subjects share it.
    """
    environments = (supplied.source_env, supplied.target_env)
    if supplied.inputs:
        places = tuple(os.fspath(place) for place in supplied.inputs)
        if any(environments) or supplied.pairs is not None:
            raise SubjectError(places[0], "inputs, and pairs or environments", "one of them")
        from diag.sources.inputs import inputs_of

        return inputs_of(places, supplied.model)
    if supplied.pairs is not None:
        path = os.fspath(supplied.pairs)
        if any(environments):
            raise SubjectError(path, "pairs, and environments", "one of them")
        try:
            seen = Path(path).stat()
        except (OSError, ValueError):
            return FilePairs(path)  # its error says what is wrong
        return _of_file(path, (seen.st_ino, seen.st_size, seen.st_mtime_ns))
    source, target = environments
    if source is None and target is None:
        return None
    if source is None or target is None:
        missing = "source" if source is None else "target"
        given = source or target or ""
        raise SubjectError(given, f"no --{missing}-env", "environments of both tasks")
    return _of_environments(source, target)


@lru_cache(maxsize=1)
def _of_file(path: str, version: tuple[int, ...]) -> TaskPair:
    return FilePairs(path)


@lru_cache(maxsize=1)
def _of_environments(source: str, target: str) -> TaskPair:
    from diag.sources.environments import EnvironmentTasks

    return EnvironmentTasks(source, target)


class FilePairs(ArrayPairs):
    """A file of paired observations: ``source`` and ``target`` (n, ...), perhaps ``episodes`` (n,).

    Every other array (n,) is a variable that is known of each row.
    """

    def __init__(self, path: str) -> None:
        """Read the file; raises SubjectError for one without such arrays."""
        arrays = _arrays(path)
        observations = {task: _observations(path, task, arrays.pop(task, None)) for task in TASKS}
        rows = len(observations["source"])
        expected = f"numbers, booleans or words ({rows},), one a row"
        for name, values in arrays.items():
            if name == EPISODES:
                arrays[name] = row_labels(values, path, repr(name))
            else:
                arrays[name] = known_values(values, path, repr(shown(name)), expected)
            if values.shape != (rows,):
                raise SubjectError(path, described(arrays[name], repr(shown(name))), expected)
        episodes, groups = arrays.pop(EPISODES, None), None
        if episodes is not None:
            groups = np.unique(episodes, return_inverse=True)[1].reshape(-1).astype(np.int64)
        super().__init__(path, observations, groups, arrays)


class SeenBy:
    """The pairs that were handed over, with transitions from the subject's own tasks."""

    def __init__(self, pairs: TaskPair, own: TaskPair, path: str) -> None:
        """Join both; raises SubjectError, about ``path``, where their observations differ in shape."""
        self.name, self._pairs, self._own = pairs.name, pairs, own
        given, known = (t.paired_observations(1, 0).observations for t in (pairs, own))
        for task, seen in given.items():
            if task in known and seen.shape[1:] != known[task].shape[1:]:
                observations = f"observations of the {task} task of shape {tuple(seen.shape[1:])}"
                raise SubjectError(path, observations, f"{tuple(known[task].shape[1:])}")

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        return self._pairs.paired_observations(n, seed)

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        return self._own.batch(task, n, seed)

    def variables(self) -> Mapping[str, NDArray[Any]]:
        return self._pairs.variables()

    @property
    def colour(self) -> str | None:
        return colour_of(self._pairs)


def _arrays(path: str) -> dict[str, NDArray[Any]]:
    check_ordinary(path, EXPECTED)  # before anything opens it: a pipe never ends
    if header_of(path) is not None:
        return read_tensors(path, EXPECTED)
    return dict(read_members(path, EXPECTED, EXPECTED, ".npz or .safetensors file")[0])


def _observations(path: str, task: Task, values: NDArray[Any] | None) -> NDArray[Any]:
    """Observations (n, ...) of a type that torch takes; raises SubjectError."""
    if values is None:
        raise SubjectError(path, f"no array {task!r}", EXPECTED)
    if values.dtype.kind not in "fiub" or values.ndim < 2 or 0 in values.shape:
        raise SubjectError(path, described(values, repr(task)), EXPECTED)
    return real_numbers(values, path, repr(task), EXPECTED)
