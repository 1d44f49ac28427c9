"""Paired observations in arrays, wherever they were read from -> a TaskPair."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.subject import Pairs, Sampled, SubjectError, Task


class ArrayPairs:
    """Paired observations in arrays, ``source`` and ``target`` (n, ...), with variables of each row.

    Without groups, each distinct pair of embeddings counts as a state of its own.
    """

    def __init__(
        self,
        path: str,
        observations: Mapping[Task, NDArray[Any]],
        groups: NDArray[np.int64] | None = None,
        variables: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Raises SubjectError, about ``path``, where the tasks have not as many rows."""
        self._path, self._observations, self._groups = path, observations, groups
        self._variables, self._rows = dict(variables or {}), len(observations["source"])
        if len(observations["target"]) != self._rows:
            rows = f"{self._rows} rows of source and {len(observations['target'])} of target"
            raise SubjectError(path, rows, "as many, row by row of one state")
        digest = hashlib.sha256()
        for values in (*observations.values(), *([] if groups is None else [groups])):
            digest.update(f"{values.dtype} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)
        self.name = f"{Path(path).name} ({self._rows} pairs, {digest.hexdigest()[:8]})"

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        """All rows, or n of them at random, in the file's order."""
        import torch

        rows: slice | NDArray[np.int64] = slice(None)
        if n is not None and n < self._rows:
            rows = np.sort(np.random.default_rng(seed).permutation(self._rows)[:n])
        observations = {task: torch.from_numpy(o[rows]) for task, o in self._observations.items()}
        if self._groups is None:
            return Pairs(observations, None)
        return Pairs(observations, self._groups[rows], "episodes")

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        raise SubjectError(self._path, "observations alone", "transitions, to take losses on")

    def variables(self) -> Mapping[str, NDArray[Any]]:
        return self._variables
