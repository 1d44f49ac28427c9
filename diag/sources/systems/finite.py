"""A world whose states can be listed as a pair of tasks: paired observations are all of its states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diag.sources.systems.stacked import TaskBatch
from diag.subject import Pairs, Sampled, Task
from trainers.envs import FiniteWorld
from trainers.streams import EVALUATION_STREAM, generator

Samples = Callable[[NDArray[np.int64], NDArray[np.int64], np.random.Generator], Any]
"""``samples(states, actions, rng)``: a system's own batch of these steps, each array (n,)."""


class FiniteTasks:
    """A finite world as TaskPair, for a system that makes its batches of states and actions."""

    def __init__(self, the_world: FiniteWorld, samples: Samples) -> None:
        self.world, self.name, self._samples = the_world, the_world.name, samples
        self._observations = {t: torch.from_numpy(o) for t, o in the_world.observations.items()}

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        states = np.arange(self.world.states)
        if n is not None and n < len(states):
            states = np.sort(generator(EVALUATION_STREAM, seed).permutation(states)[:n])
        chosen = torch.from_numpy(states)
        return Pairs({t: o[chosen] for t, o in self._observations.items()}, states)

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        """States and actions uniform, as the random policy visits them in the long run; grouped by state."""
        rng = generator(EVALUATION_STREAM, seed)
        states, actions = self.world.transitions.shape
        # Whole rounds through all (state, action) pairs, then a random part of one.
        order = np.concatenate(
            [rng.permutation(states * actions) for _ in range(-(-n // (states * actions)))]
        )
        state, action = np.divmod(order[:n], actions)
        return Sampled(TaskBatch(self._observations[task], self._samples(state, action, rng)), state)

    def variables(self) -> Mapping[str, NDArray[Any]]:
        return self.world.variables
