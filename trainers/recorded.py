"""Recorded data: rows of several policies in several looks of a world, in files that are made once.

The first of the fourth paper's three stages (section 2.4 and 2.5): a random policy and Q-networks of
different skill act in turn in each game. A file holds the rows of every environment one after the other, as
:mod:`trainers.replay` has them, and in its header the recipe that it was made by. Its name ends with a hash
of the recipe, so that a run finds the file of its settings; a checkpoint names the hash of its bytes.

The format is safetensors: a JSON header, then plain numbers. Observations stay on the disk, mapped into
memory, so that a file may be larger than that; the rest is read at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainers import lock as locks
from trainers.checkpoint import CheckpointError, write_atomically
from trainers.dreamer_settings import Data
from trainers.envs.acting import Actions, Continuous, World
from trainers.policies import policies_of
from trainers.replay import Sequences, sequences_of
from trainers.safe_text import MOST_HEADER
from trainers.streams import DATA_STREAM, WORLD_STREAM, generator

_KEY = "transfer_diag_recording"
FORMAT_VERSION = 1

KINDS = {"action": np.uint8, "reward": np.float32, "terminal": np.bool_, "first": np.bool_, "look": np.uint8}
"""Kinds of the columns beside ``observation``, which is of uint8. Numbers of a state are of float32, as are
continuous actions, which have a column for each."""

SEEN = (np.uint8, np.float32)
"""Kinds that ``observation`` may be of."""

_NAMES = {"U8": np.uint8, "F32": np.float32, "BOOL": np.bool_}


@dataclass(frozen=True)
class Recording:
    """A file of recorded rows, open for reading."""

    path: str
    sha256: str
    recipe: Mapping[str, Any]
    columns: Mapping[str, NDArray[Any]]
    """{name: (N, …)}; ``look`` numbers the recipe's looks."""

    def __len__(self) -> int:
        return len(self.columns["action"])

    @property
    def named(self) -> dict[str, Any]:
        """What a checkpoint's header says of it."""
        return {"path": self.path, "sha256": self.sha256, "rows": len(self)}

    def sample(self, rng: np.random.Generator, batch: int, length: int) -> Sequences:
        """Sequences from places drawn uniformly; raises ValueError where it is too short for one."""
        if len(self) < length:
            raise ValueError(f"{self.path}: found {len(self)} rows, expected {length} or more")
        starts = rng.integers(len(self) - length + 1, size=batch)
        arrays = {name: array[None] for name, array in self.columns.items() if name != "look"}
        return sequences_of(arrays, np.zeros(batch, np.int64), starts + np.arange(length)[:, None])


def recipe_of(world: str, looks: Sequence[str], data: Data) -> dict[str, Any]:
    """All that determines a recording."""
    learned = any(name != "random" for name in data.policies)
    left_out = {"folder"} if learned else {"folder", "dqn_steps"}
    told = data.model_dump(mode="json", exclude=left_out)
    return {"world": world, "looks": list(looks), "data": told}


def path_of(world: str, recipe: Mapping[str, Any], folder: str) -> Path:
    """Where the recording of a recipe lies."""
    text = json.dumps([FORMAT_VERSION, recipe], sort_keys=True)
    return Path(folder) / f"{world}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.safetensors"


def recorded(world: World, name: str, looks: Sequence[str], data: Data) -> Recording:
    """The recording of these settings, made now unless its file is there.

    Raises CheckpointError for a file that is no whole recording of this recipe, OSError where none can be
    written.
    """
    recipe = recipe_of(name, looks, data)
    path = path_of(name, recipe, data.folder)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            with suppress(locks.NoLocksError):  # then two that begin at once make the same file twice
                held.enter_context(locks.waited(path.with_suffix(locks.NAME)))
            if not path.exists():
                columns = record(world, looks, data)
                write_atomically(path, _encoded(columns, recipe))
    recording = read(path)
    if recording.recipe != recipe:
        raise CheckpointError(path, "a recording by another recipe", "that of the settings (remove the file)")
    shape = recording.columns["observation"].shape[1:]
    if shape != world.observation_shape:
        raise CheckpointError(path, f"observations {shape}", f"{world.observation_shape}, those of {name}")
    return recording


TRIED = 1600
"""Steps, of a Q-network's training and of recording, that the time of a recording is judged by."""


def absent(world: World, name: str, looks: Sequence[str], data: Data) -> tuple[str, float] | None:
    """Path of a recording that is not there, and about how many seconds it would take; None if it is there.

    Each look is recorded for a moment, and its Q-networks are trained for one, where any act.
    """
    path = path_of(name, recipe_of(name, looks, data), data.folder)
    if path.exists():
        return None
    learned, seconds = any(policy != "random" for policy in data.policies), 0.0
    for look in looks:
        if learned:
            tried, began = min(TRIED, data.dqn_steps), monotonic()
            policies_of(world, look, ["dqn100"], tried, data.seed)
            seconds += (monotonic() - began) * data.dqn_steps / tried
        tried, began = min(TRIED, -(-data.steps // len(looks))), monotonic()
        look_columns(world, look, data.model_copy(update={"policies": ("random",)}), tried, data.seed)
        seconds += (monotonic() - began) * data.steps / len(looks) / tried
    return str(path), seconds


def record(world: World, looks: Sequence[str], data: Data) -> dict[str, NDArray[Any]]:
    """Rows of all looks, as many of each to one: columns by name, (N, …)."""
    share = -(-data.steps // len(looks))
    parts = []
    for number, look in enumerate(looks):
        columns = look_columns(world, look, data, share, number)
        parts.append({**columns, "look": np.full(len(columns["action"]), number, np.uint8)})
    return {name: np.concatenate([part[name] for part in parts])[: data.steps] for name in parts[0]}


def look_columns(world: World, look: str, data: Data, rows: int, *seed: int) -> dict[str, NDArray[Any]]:
    """Rows (``rows``, …) of one look, environment after environment; each draws its policy anew at times.

    All of ``data`` counts but its folder and its number of steps; ``seed`` stands beside its own.
    """
    policies = policies_of(world, look, data.policies, data.dqn_steps, data.seed, *seed)
    n = min(data.environments, rows)
    each = -(-rows // n)
    rng = generator(DATA_STREAM, data.seed, *seed)
    envs = world.envs(look, n, data.seed, WORLD_STREAM, *seed)
    none = world.actions.none()
    lanes: list[list[tuple[Any, ...]]] = [[(seen, none, 0.0, False, True)] for seen in envs.observations]
    now = 0
    while min(map(len, lanes)) < each:
        if now % data.switch_every == 0:
            acting = rng.integers(len(policies), size=n)
        seen = envs.observations
        actions: Actions = world.actions.none(n)
        for index, policy in enumerate(policies):
            theirs = acting == index
            if theirs.any():
                actions[theirs] = policy(seen[theirs], rng)
        step = envs.step(actions)
        after, ended = envs.observations, np.flatnonzero(step.ended)
        last = dict(zip(ended.tolist(), envs.last_observations(), strict=True)) if len(ended) else {}
        for place, lane in enumerate(lanes):
            shown = last.get(place, after[place])
            lane.append((shown, actions[place], step.rewards[place], step.terminated[place], False))
            if place in last:
                lane.append((after[place], none, 0.0, False, True))
        now += 1
    envs.close()
    flat = [row for lane in lanes for row in lane[:each]][:rows]
    names = ("observation", "action", "reward", "terminal", "first")
    kinds = {**KINDS, "observation": lanes[0][0][0].dtype}
    if isinstance(world.actions, Continuous):
        kinds["action"] = np.float32
    return {
        name: np.array(values, kinds[name])
        for name, values in zip(names, zip(*flat, strict=True), strict=True)
    }


def _encoded(columns: Mapping[str, NDArray[Any]], recipe: Mapping[str, Any]) -> bytes:
    import safetensors.torch

    words = {_KEY: json.dumps({"format_version": FORMAT_VERSION, "recipe": recipe}, sort_keys=True)}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in columns.items()}
    return bytes(safetensors.torch.save(tensors, metadata=words))


def read(path: str | Path) -> Recording:
    """Open a recording; raises CheckpointError for anything that is not a whole one."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MOST_HEADER, size - 8):
                raise ValueError("no header")
            header = json.loads(file.read(length))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        words = json.loads(header.pop("__metadata__")[_KEY])
        recipe, version = words["recipe"], words["format_version"]
        if version != FORMAT_VERSION or not isinstance(recipe, dict):
            raise ValueError(f"format version {version!r}")
        columns = {name: _column(path, size, 8 + length, name, told) for name, told in header.items()}
        continuous = "action" in columns and columns["action"].dtype == np.float32
        kinds = {name: column.dtype for name, column in columns.items()}
        wanted = {**KINDS, "observation": kinds.get("observation")}
        if continuous:
            wanted["action"] = np.float32
        if kinds != wanted or kinds["observation"] not in SEEN:
            raise ValueError(f"columns {', '.join(columns)}")
        sides = {**dict.fromkeys(KINDS, 1), "observation": 4, "action": 2 if continuous else 1}
        if any(column.ndim != sides[name] for name, column in columns.items()):
            raise ValueError("columns of other shapes")
        if len({len(column) for column in columns.values()}) != 1:
            raise ValueError("columns of unequal lengths")
    except OSError as error:
        raise CheckpointError(path, (error.strerror or str(error)).lower(), "a recording") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        words_of = f"no whole recording ({error})"
        raise CheckpointError(path, words_of, "a recording of diag train (or no file)") from None
    return Recording(str(path), digest, recipe, columns)


def _column(path: Path, size: int, start: int, name: str, told: Mapping[str, Any]) -> NDArray[Any]:
    """One column: mapped where it is of observations, read otherwise; raises ValueError."""
    kind, (begin, end) = np.dtype(_NAMES[told["dtype"]]), told["data_offsets"]
    shape = tuple(told["shape"])
    whole = all(isinstance(side, int) and side >= 0 for side in (*shape, begin, end))
    if not whole or end - begin != prod(shape) * kind.itemsize or start + end > size:
        raise ValueError(f"column {name} that does not fit the file")
    mapped: NDArray[Any] = np.memmap(path, kind, "r", start + begin, shape)
    return mapped if name == "observation" else np.array(mapped)
