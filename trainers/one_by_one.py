"""Several trainings of one seed each, as one: for networks that gain nothing from being stacked.

A convolution over a batch of pictures keeps a processor's core busy by itself, and a stack of them would only
fall out of its cache. Each seed then is a stack of its own, and its bits its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainers.system import Sourced, State, Training


class OneByOne:
    """Trainings of one seed each, updated in turns (:class:`trainers.system.Training`)."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        self.trainings = list(trainings)

    @property
    def step(self) -> int:
        """Updates done, the same for every seed."""
        return self.trainings[0].step

    @step.setter
    def step(self, step: int) -> None:
        for training in self.trainings:
            training.step = step

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a checkpoint of any of them says beside, which is the same for each."""
        first = self.trainings[0]
        return first.facts if isinstance(first, Sourced) else {}

    def update(self) -> None:
        """Do one update of every seed."""
        for training in self.trainings:
            training.update()

    def member(self, index: int) -> dict[str, Tensor]:
        """Copy of one seed's parameters on the CPU."""
        return self.trainings[index].member(0)

    def state(self, index: int) -> State:
        """Copy of one seed's state on the CPU."""
        return self.trainings[index].state(0)

    def restore(self, states: Sequence[State]) -> None:
        """Go on from these states, all of one step; raises :class:`trainers.system.StateError`."""
        for training, state in zip(self.trainings, states, strict=True):
            training.restore([state])

    def take_losses(self) -> dict[str, NDArray[np.float32]]:
        """Mean losses {term: (seeds,)} since the last call."""
        return _beside([training.take_losses() for training in self.trainings])

    def evaluate(self) -> dict[str, NDArray[np.float32]]:
        """Mean returns now, {mode: (seeds,)}."""
        return _beside([training.evaluate() for training in self.trainings])


def _beside(each: Sequence[Mapping[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
    """Values of all seeds by name; NaN for a seed that has none of a name that another has."""
    names = dict.fromkeys(name for one in each for name in one)
    nothing = np.full(1, np.nan, np.float32)
    return {name: np.concatenate([one.get(name, nothing) for one in each]) for name in names}
