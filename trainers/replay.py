"""Experience as rows, one for each thing that was seen, and batches of sequences of rows drawn from it.

A row is an observation, the action that led to it, the reward that came with it, whether the episode ended
there, and whether it began there (then action and reward are none). What an ended episode showed last is a
row of its own, before the first of the next episode. So a sequence may cross from one episode to the next,
and a recurrent model that starts anew at ``first`` reads every row.

Rows of one environment stand in the order of time in a lane of their own; a full lane forgets its oldest row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Sequences:
    """B sequences of T rows, every tensor (T, B, …)."""

    observation: Tensor
    """(T, B, c, h, w) uint8, or float32 numbers of a state."""
    action: Tensor
    """The action before the observation: its number (T, B) int64, or continuous ones (T, B, A) float32."""
    reward: Tensor
    terminal: Tensor
    first: Tensor

    def rows(self, low: int, high: int) -> Sequences:
        """The rows ``low`` to ``high`` − 1 of each sequence."""
        return Sequences(**{name: values[low:high] for name, values in vars(self).items()})

    def to(self, device: str) -> Sequences:
        """These sequences on another device."""
        return Sequences(**{name: values.to(device) for name, values in vars(self).items()})


@dataclass(frozen=True)
class Rows:
    """k rows, every array (k, …)."""

    observation: NDArray[Any]
    action: NDArray[Any]
    reward: NDArray[np.float32]
    terminal: NDArray[np.bool_]
    first: NDArray[np.bool_]


class Replay:
    """Lanes of rows in memory, all allotted at once."""

    def __init__(
        self,
        lanes: int,
        capacity: int,
        observation: tuple[int, int, int],
        kind: Any = np.uint8,
        actions: int | None = None,
    ) -> None:
        """``capacity`` rows in each lane, of observations of a kind, and of so many continuous actions.

        Without a number of them actions are discrete, and a row has the number of one.
        """
        self.capacity = capacity
        acted = ((), np.uint8) if actions is None else ((actions,), np.float32)
        self.arrays: dict[str, NDArray[Any]] = {
            "observation": np.zeros((lanes, capacity, *observation), kind),
            "action": np.zeros((lanes, capacity, *acted[0]), acted[1]),
            "reward": np.zeros((lanes, capacity), np.float32),
            "terminal": np.zeros((lanes, capacity), np.bool_),
            "first": np.zeros((lanes, capacity), np.bool_),
        }
        self.written = np.zeros(lanes, np.int64)
        """Rows ever written to each lane."""

    def __len__(self) -> int:
        """Rows that are there."""
        return int(np.minimum(self.written, self.capacity).sum())

    def add(self, lanes: NDArray[np.int64], rows: Rows) -> None:
        """Write a row to each of these lanes, no lane twice."""
        place = self.written[lanes] % self.capacity
        for name, array in self.arrays.items():
            array[lanes, place] = getattr(rows, name)
        self.written[lanes] += 1

    def sample(self, rng: np.random.Generator, batch: int, length: int) -> Sequences:
        """Sequences drawn uniformly from all that lie whole in a lane; raises ValueError if none does."""
        there = np.minimum(self.written, self.capacity)
        starts = np.maximum(there - length + 1, 0)
        ends = starts.cumsum()
        if not ends[-1]:
            raise ValueError(f"found {there.max()} rows in the fullest lane, expected {length} or more")
        drawn = rng.integers(ends[-1], size=batch)
        lane = np.searchsorted(ends, drawn, "right")
        oldest = self.written[lane] - there[lane]
        row = oldest + drawn - (ends[lane] - starts[lane])
        return sequences_of(self.arrays, lane, (row + np.arange(length)[:, None]) % self.capacity)

    def state(self) -> dict[str, Tensor]:
        """A copy of all rows that are there, and of their places."""
        filled = int(np.minimum(self.written, self.capacity).max(initial=0))
        arrays = {name: torch.from_numpy(array[:, :filled].copy()) for name, array in self.arrays.items()}
        return {**arrays, "written": torch.from_numpy(self.written.copy())}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up the rows of :meth:`state`; raises ValueError, with nothing changed, for any others."""
        written = state.get("written")
        if written is None or written.shape != self.written.shape or written.dtype != torch.int64:
            raise ValueError("found no rows of as many lanes, expected those of this replay")
        filled = int(written.clamp(max=self.capacity).max())
        for name, array in self.arrays.items():
            rows = state.get(name)
            whole = (len(array), filled, *array.shape[2:])
            if rows is None or rows.shape != whole or rows.numpy().dtype != array.dtype:
                raise ValueError(f"found no {name} of shape {whole}, expected those of this replay")
        for name, array in self.arrays.items():
            array[:, :filled] = state[name].numpy()
        self.written[:] = written.numpy()


def sequences_of(
    arrays: Mapping[str, NDArray[Any]], lane: NDArray[np.int64], rows: NDArray[np.int64]
) -> Sequences:
    """Sequences of rows (T, B) of lanes (B,) from arrays (lanes, capacity, …)."""
    taken = {name: torch.from_numpy(array[lane, rows]) for name, array in arrays.items()}
    action = taken["action"]
    return Sequences(**{**taken, "action": action if action.is_floating_point() else action.long()})
