"""A checkpoint of the ring -> a Subject: its encoder, its losses, its tasks, and returns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diag.sources.systems import Trained
from diag.sources.systems.finite import FiniteTasks
from diag.sources.systems.stacked import StackedSystem, Tables
from diag.subject import Parameters, Subject, Task
from tests.ring import BATCH, STATES, WORLD, Ring, Steps
from trainers.streams import DATA_STREAM, EVALUATION_STREAM, generator, stream_of


class RingSystem(StackedSystem):
    last_linear, batch_size = "encoder/0", BATCH

    def __init__(self, ring: Ring, trained: Trained) -> None:
        super().__init__(ring, dict.fromkeys(ring.terms, 1.0), {}, trained)
        self.ring = ring

    def last_inputs(self, parameters: Parameters, observations: Tensor) -> None:
        return None

    def own_transitions(self, task: Task, seeds: Sequence[int], device: str) -> Tables:
        generators = [generator(DATA_STREAM, seed, stream_of(base=False)) for seed in seeds]
        walks = [self.ring.drawn(rng, WORLD.start, 40 * STATES)[0] for rng in generators]
        observations = torch.from_numpy(WORLD.observations[task])
        return Tables(self, observations, WORLD.states, list(map(vars, walks)), Steps, device)

    def returns(self, parameters: Parameters, task: Task, episodes: int, seed: int) -> NDArray[np.float64]:
        starts = generator(EVALUATION_STREAM, seed).integers(STATES, size=episodes)
        return self.ring.lengths(parameters, task).double().numpy()[starts]


def subject(trained: Trained) -> Subject:
    assert isinstance(trained.system, Ring)
    system = RingSystem(trained.system, trained)
    tasks = FiniteTasks(WORLD, lambda states, actions, rng: Steps(*map(torch.from_numpy, (states, actions))))
    return trained.subject(
        encoder=system, objective=system, tasks=tasks, actor=system, success_states=WORLD.success_states
    )
