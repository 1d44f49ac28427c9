"""``--targets``: what networks are to make of their inputs, row by row: labels, or numbers to be near to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.naming import EPISODES, KEY
from diag.sources.numbers import described, known_values
from diag.sources.numpy_file import read_members
from diag.sources.safe.bounds import check_ordinary
from diag.sources.safe.names import listed, shown
from diag.sources.safetensors_file import header_of, read_tensors
from diag.sources.supplied import Place
from diag.subject import Pairs, Sampled, SubjectError, Task, TaskPair

EXPECTED = (
    "a .npy, .npz or .safetensors with an array of targets (n, ...): labels as whole numbers or words, or "
    "fractions that outputs are to be near to"
)

NAMES = ("targets", "labels", "y")
"""Names of the array that is meant where a file has several."""


def targets_of(place: Place, inputs: TaskPair) -> NDArray[Any]:
    """Targets (n, ...) in a file, or a variable of this name that is known of the inputs.

    Raises SubjectError for a file without them, or with another number of rows than the inputs have.
    """
    name = os.fspath(place)
    known = inputs.variables()
    if name in known and not Path(name).exists():
        values = known_values(known[name], name, "the variable", EXPECTED)
    else:
        values = _read(name, _version(name))
    rows = len(inputs.paired_observations(None, 0).observations["target"])
    if len(values) != rows:
        raise SubjectError(name, f"{len(values):,} targets", f"{rows:,}, one for each of the inputs")
    return values


def _version(place: str) -> tuple[int, ...]:
    """Numbers that change with a file."""
    try:
        seen = Path(place).stat()
    except (OSError, ValueError):
        expected = f"{EXPECTED}; or a variable that is known of the inputs"
        raise SubjectError(place, "nothing there", expected) from None
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


@lru_cache(maxsize=1)
def _read(place: str, version: tuple[int, ...]) -> NDArray[Any]:
    check_ordinary(place, EXPECTED)
    if header_of(place) is not None:
        arrays = dict(read_tensors(place, EXPECTED))
    else:
        arrays = dict(read_members(place, EXPECTED, EXPECTED, ".npy, .npz or .safetensors file")[0])
    known = [name for name in NAMES if name in arrays] or list(arrays)
    if not known or (len(known) > 1 and known == list(arrays)):
        raise SubjectError(place, f"arrays {listed(arrays) or 'none'}", f"one of them called {NAMES[0]!r}")
    # A lone array without a name is called after what most such files hold.
    what = "targets" if known[0] == KEY else repr(shown(known[0]))
    values = known_values(arrays[known[0]], place, what, EXPECTED)
    if not values.ndim or 0 in values.shape:
        raise SubjectError(place, described(values, what), EXPECTED)
    return values


class Targeted:
    """Inputs with their targets as a TaskPair: batches are pairs of tensors (inputs, targets)."""

    def __init__(self, inputs: TaskPair, targets: Any) -> None:
        """``targets``: a tensor (n, ...), a row for each of the inputs."""
        self._inputs, self._targets = inputs, targets
        self.name = f"{inputs.name} with targets {_digest(targets)}"
        seen = inputs.paired_observations(None, 0).observations
        # One place of inputs serves both tasks alike: they are one task's data.
        alone = "source" in seen and _same(seen["source"], seen["target"])
        self.tasks: tuple[Task, ...] = ("target",) if alone else ("source", "target")
        """The tasks that have inputs of their own."""

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        pairs = self._inputs.paired_observations(n, seed)
        return Pairs({task: pairs.observations[task] for task in self.tasks}, pairs.groups, pairs.grouping)

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        """n rows at random, all where there are no more; rows of an episode are one group."""
        pairs, rows = self._inputs.paired_observations(None, 0), len(self._targets)
        chosen = np.arange(rows)
        if n < rows:
            chosen = np.sort(np.random.default_rng([seed, 5]).permutation(rows)[:n])
        inputs = pairs.observations[task][chosen]
        groups = pairs.groups
        if groups is None and EPISODES in (known := self._inputs.variables()):
            groups = np.unique(known[EPISODES], return_inverse=True)[1].reshape(-1).astype(np.int64)
        whole = np.arange(rows) if groups is None else groups
        inputs = inputs.float() if inputs.is_floating_point() else inputs
        return Sampled((inputs, self._targets[chosen]), whole[chosen])

    def variables(self) -> Mapping[str, NDArray[Any]]:
        return self._inputs.variables()


def _digest(targets: Any) -> str:
    import hashlib

    return hashlib.sha256(targets.contiguous().numpy().tobytes()).hexdigest()[:8]


def _same(one: Any, other: Any) -> bool:
    """Whether two tensors are equal, NaN being NaN."""
    alike = one.shape == other.shape
    return alike and bool(((one == other) | ((one != one) & (other != other))).all())
