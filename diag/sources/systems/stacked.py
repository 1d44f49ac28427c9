"""A system whose functions take stacks of parameters, as encoder and objective of one set or of many.

Most that a diagnosis asks for follows from two functions, of which training has need too: embeddings, and
losses at embeddings. A system with both, such as ``trainers.crar.CRAR``, says only what is its own beside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from diag.sources.systems import Trained
from diag.subject import Parameters

AT_ONCE = 8
"""Parameter sets that are taken at once: more of them gain little, and memory stays flat."""


class Stackable(Protocol):
    """A system on worlds whose observations stand in a table that samples index."""

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Embeddings (S, n, d) of observations (n, *shape), by parameters (S, *shape)."""
        ...

    def losses_at(
        self, parameters: Parameters, embeddings: Tensor, batch: Any, terms: Sequence[str]
    ) -> dict[str, Tensor]:
        """Per-sample losses {term: (S, n)} given the embeddings (S, K, d) of the K observations."""
        ...


@dataclass(frozen=True)
class TaskBatch:
    """Samples of one task, a dataclass of tensors, and the table of observations that they index."""

    observations: Tensor
    samples: Any

    def to(self, device: str) -> TaskBatch:
        """This batch on another device."""
        moved = {f.name: getattr(self.samples, f.name).to(device) for f in fields(self.samples)}
        return TaskBatch(self.observations.to(device), type(self.samples)(**moved))


class StackedSystem:
    """Embeddings and losses of a system, by one set of parameters or by many at once."""

    at_once = AT_ONCE

    def __init__(
        self, agent: Stackable, terms: Mapping[str, float], constants: Mapping[str, Any], origin: Trained
    ) -> None:
        """Take a system, its terms' weights, what else its losses depend on, and the file that it is of."""
        self.stackable, self.terms, self.constants, self.origin = agent, terms, constants, origin
        self.budget, self.data_seed = origin.system.settings.transfer.updates, origin.seed

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self.stackable.embed(stacked(parameters), observations)[0]

    def embeddings(self, parameters: Parameters, batch: TaskBatch) -> Tensor:
        """Embeddings of the table of observations that the batch indexes."""
        return self.embed(parameters, batch.observations)

    def losses(self, parameters: Parameters, batch: TaskBatch) -> dict[str, Tensor]:
        return self.losses_at(parameters, self.embeddings(parameters, batch), batch)

    def losses_at(self, parameters: Parameters, embeddings: Tensor, batch: TaskBatch) -> dict[str, Tensor]:
        losses = self.losses_at_many(stacked(parameters), embeddings[None], batch)
        return {term: values[0] for term, values in losses.items()}

    def losses_many(self, parameters: Parameters, batch: TaskBatch) -> dict[str, Tensor]:
        embedded = self.stackable.embed(parameters, batch.observations)
        return self.losses_at_many(parameters, embedded, batch)

    def losses_at_many(
        self, parameters: Parameters, embeddings: Tensor, batch: TaskBatch
    ) -> dict[str, Tensor]:
        return self.stackable.losses_at(parameters, embeddings, batch.samples, tuple(self.terms))


class Tables:
    """The transitions that transfers were trained on, a table for each member of a stack (OwnTransitions)."""

    def __init__(
        self,
        system: StackedSystem,
        observations: Tensor,
        states: int,
        tables: Sequence[Mapping[str, Tensor]],
        samples: Callable[..., Any],
        device: str,
    ) -> None:
        """Take columns (count,) by name for each member; ``samples`` makes a batch of columns (k, m).

        They index observations, of which the first so many are states, and the rest what no state shows.
        """
        self._system, self._samples = system, samples
        self._observations, self._states = observations.to(device), states
        self._tables = [{name: column.to(device) for name, column in table.items()} for table in tables]
        self.count = len(next(iter(self._tables[0].values())))

    def losses(self, parameters: Mapping[str, Tensor], rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        chosen = {
            name: torch.stack([table[name][i] for table, i in zip(self._tables, rows, strict=True)])
            for name in self._tables[0]
        }
        batch = TaskBatch(self._observations, self._samples(**chosen))
        embeddings = self._system.stackable.embed(parameters, self._observations)
        losses = self._system.losses_at_many(parameters, embeddings, batch)
        return embeddings[:, : self._states], losses


class Foreseeing(Protocol):
    """A system with a model of what an action leads to."""

    def predict(self, parameters: Parameters, x: Tensor, actions: Tensor) -> Tensor:
        """Expected next embeddings (S, n, *shape) after actions (n, A), one-hot."""
        ...


def after_each_action(agent: Foreseeing, actions: int, parameters: Parameters, embeddings: Tensor) -> Tensor:
    """Expected next embeddings (n, A, *shape) of one set of parameters, after each of A actions."""
    reached = [
        agent.predict(stacked(parameters), embeddings[None], action.expand(len(embeddings), -1))[0]
        for action in torch.eye(actions)
    ]
    return torch.stack(reached, 1)


def stacked(parameters: Parameters) -> dict[str, Tensor]:
    """One set of parameters as a stack of one."""
    return {name: tensor.unsqueeze(0) for name, tensor in parameters.items()}
