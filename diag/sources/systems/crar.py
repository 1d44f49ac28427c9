"""A CRAR agent as Encoder and Objective, with all that it can offer a landscape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from diag.subject import Parameters, Task
from diag.units.layers import Dense, chain
from trainers.crar import CRAR, Batch, Trainer
from trainers.envs import collect
from trainers.plan import TransferPlan
from trainers.streams import stream_of

CONTINUATIONS = 8
"""How many times training goes on from a checkpoint, each with batches of its own."""

WARM = 30
"""Updates that warm the optimiser up: its running squares forget all but 4% of what was before."""

EARLY, LATE = range(20, 120), range(320, 420)
"""Updates over which positions are averaged: the noise of single updates goes, the way between stays. Of the
loss's change over 1,000 updates, intervals are then some 3% wide to either side."""


@dataclass(frozen=True)
class Origin:
    """How a checkpoint was trained."""

    plan: TransferPlan
    task: Task
    seed: int
    step: int


def _stacked(parameters: Parameters) -> dict[str, Tensor]:
    return {name: tensor.unsqueeze(0) for name, tensor in parameters.items()}


class CrarSystem:
    """A CRAR agent's losses and embeddings, its hidden units, and where its optimiser would go on to."""

    at_once = 8

    def __init__(self, agent: CRAR, origin: Origin) -> None:
        self.agent, self.origin = agent, origin
        shapes = agent.shapes()
        self.units = tuple(
            units
            for component, net in agent.nets.items()
            for units in chain(
                [Dense(f"{component}/{layer}", odd=True) for layer in range(len(net.sizes) - 1)], shapes
            )
        )
        self.constants: Mapping[str, Any] = agent.settings.loss.model_dump(mode="json")
        self.terms: Mapping[str, float] = {t: agent.weight_of(t) for t in agent.settings.loss.terms}

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self.agent.embed(_stacked(parameters), observations)[0]

    def predict(self, parameters: Parameters, embeddings: Tensor) -> Tensor:
        """Where the transition model expects each action to lead from embeddings (n, d): (n, A, d)."""
        actions = torch.eye(self.agent.world.actions)
        reached = [
            self.agent.predict(_stacked(parameters), embeddings[None], a.expand(len(embeddings), -1))[0]
            for a in actions
        ]
        return torch.stack(reached, 1)

    def embeddings(self, parameters: Parameters, batch: TaskBatch) -> Tensor:
        """Of the table of observations that the batch indexes."""
        return self.embed(parameters, batch.observations)

    def losses(self, parameters: Parameters, batch: TaskBatch) -> dict[str, Tensor]:
        return self.losses_at(parameters, self.embeddings(parameters, batch), batch)

    def losses_at(self, parameters: Parameters, embeddings: Tensor, batch: TaskBatch) -> dict[str, Tensor]:
        found = self.agent.losses_at(_stacked(parameters), embeddings[None], batch.samples, self.terms)
        return {term: values[0] for term, values in found.items()}

    def losses_many(self, parameters: Parameters, batch: TaskBatch) -> dict[str, Tensor]:
        embedded = self.agent.embed(parameters, batch.observations)
        return self.agent.losses_at(parameters, embedded, batch.samples, self.terms)

    def activations(self, parameters: Parameters, batch: TaskBatch) -> dict[str, Tensor]:
        """Over the table of observations for the encoder's units, over the batch for the others'."""
        found = self.agent.hidden(_stacked(parameters), batch.observations, batch.samples)
        return {name: values[0] for name, values in found.items()}

    def walk(
        self, parameters: Parameters, task: Task, seed: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
        """With the settings, data and learning rate that the checkpoint was trained with at its last step."""
        origin, settings = self.origin, self.agent.settings
        base = origin.task == "source"
        device = next(iter(parameters.values())).device
        data = collect(
            self.agent.world, settings.data.steps, settings.data.episode_steps, origin.seed, stream_of(base)
        )
        trainer = Trainer(
            self.agent,
            settings.train if base else settings.transfer,
            task,
            origin.plan,
            [parameters] * CONTINUATIONS,
            [data] * CONTINUATIONS,
            [(seed, number) for number in range(CONTINUATIONS)],
            str(device),
        )
        # At its last updates, not after them: a plan's loss terms end with the training.
        trainer.step = max(0, origin.step - WARM - LATE.stop)
        early, late = trainer.walk(WARM, EARLY, LATE)
        return early, late, LATE.start - EARLY.start


class TaskBatch:
    """Transitions of one task and the table of observations that they index."""

    def __init__(self, observations: Tensor, samples: Batch) -> None:
        self.observations, self.samples = observations, samples

    def to(self, device: str) -> TaskBatch:
        """The same on another device."""
        moved = {f.name: getattr(self.samples, f.name).to(device) for f in fields(self.samples)}
        return TaskBatch(self.observations.to(device), Batch(**moved))
