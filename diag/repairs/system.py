"""A base and its transfer as a repair takes them, through the capabilities that both offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from diag.embed import shared_tasks
from diag.subject import (
    SAMPLES,
    Encoder,
    Endless,
    LastConvolution,
    LastLinear,
    LatentObjective,
    Objective,
    Parameters,
    Retrainable,
    Sampled,
    StackedLatentObjective,
    Subject,
    SubjectError,
    Task,
    Unmendable,
    agree,
    require,
)
from probes import Floats, Map
from trainers.threads import one_thread

MENDABLE = "a checkpoint of diag transfer"
"""Kind of file that can be mended, in words."""


MOST_PAIRED = 500
"""Pairs that are taken of a world with more states than can be listed; its own transitions have as many."""


@runtime_checkable
class DenseEncoder(Encoder, LastLinear, Protocol):
    """An encoder that a map of its embedding can be folded into."""


@runtime_checkable
class PlaneEncoder(Encoder, LastConvolution, Protocol):
    """An encoder that a map of its embedding's channels can be folded into."""


@runtime_checkable
class MendingObjective(Objective, LatentObjective, Retrainable, Protocol):
    """Losses that see observations through their embeddings, with data to train on."""


@dataclass(frozen=True)
class Case:
    """A failed transfer, its base, and the task that it is to be mended on."""

    path: str
    """File of the transfer."""
    encoder: DenseEncoder | PlaneEncoder
    objective: MendingObjective
    base: Parameters
    transfer: dict[str, Tensor]
    observations: Mapping[Task, Tensor]
    """Every paired state (K, *shape) as each task shows it."""
    judged: Mapping[Task, Tensor]
    """The states that comparisons are made on: the same, unless the world has more than can be listed."""
    transitions: Mapping[Task, Sampled]
    """Transitions of each task, on which losses are compared."""

    @property
    def last(self) -> str:
        """Name of the encoder's last layer: ``encoder/4``."""
        encoder = self.encoder
        return encoder.last_linear if isinstance(encoder, DenseEncoder) else encoder.last_convolution

    @property
    def of_planes(self) -> bool:
        """Whether embeddings are planes, (n, channels, height, width), and the last layer a convolution."""
        return not isinstance(self.encoder, DenseEncoder)

    @property
    def data_seed(self) -> int:
        """Seed of the transitions that the transfer was trained on."""
        return self.objective.data_seed

    @property
    def states(self) -> int:
        """Number K of paired states."""
        return len(self.observations["target"])

    def embedding(self, parameters: Parameters, task: Task = "target") -> Floats:
        """Embeddings (K, *shape) of every paired state: (K, d), or planes."""
        return self._embedded(parameters, self.observations[task])

    def judged_embedding(self, parameters: Parameters, task: Task = "target") -> Floats:
        """Embeddings (n, d) of the states that comparisons are made on, flattened."""
        points = self._embedded(parameters, self.judged[task])
        return points.reshape(len(points), -1)

    def _embedded(self, parameters: Parameters, observations: Tensor) -> Floats:
        with one_thread(), torch.no_grad():
            points = self.encoder.embed(parameters, observations)
        return np.asarray(points.double().numpy())

    def hidden(self, parameters: Parameters, task: Task = "target") -> Floats | None:
        """Inputs (K, hidden, …) of the encoder's last layer at every paired state; None if it is alone."""
        with one_thread(), torch.no_grad():
            inputs = self.encoder.last_inputs(parameters, self.observations[task])
        return None if inputs is None else np.asarray(inputs.double().numpy())

    def losses_of_states(self, parameters: Parameters, task: Task) -> Floats:
        """(states,) weighted sum of a task's losses, averaged over the transitions from each state."""
        terms, losses = self.objective.terms, self._losses(parameters, task)
        values = np.asarray(sum(terms[term] * loss for term, loss in losses.items()), dtype=np.float64)
        state = np.unique(self.transitions[task].groups, return_inverse=True)[1]
        return np.asarray(np.bincount(state, values) / np.bincount(state))

    def losses(self, parameters: Parameters, task: Task) -> dict[str, float]:
        """{term: mean loss} on the transitions of a task, and their weighted sum as ``total``."""
        terms = self.objective.terms
        means = {term: float(loss.mean()) for term, loss in self._losses(parameters, task).items()}
        return {**means, "total": sum(terms[term] * mean for term, mean in means.items())}

    def losses_at_many(self, points: Tensor) -> Tensor:
        """(k,) weighted mean loss on the target task with its states embedded at each of points (k, K, d)."""
        objective, batch = self.objective, self.transitions["target"].batch
        if isinstance(objective, StackedLatentObjective):
            stack = {n: t.expand(len(points), *t.shape) for n, t in self.transfer.items()}
            losses = objective.losses_at_many(stack, points, batch)
        else:
            each = [objective.losses_at(self.transfer, one, batch) for one in points]
            losses = {term: torch.stack([one[term] for one in each]) for term in each[0]}
        weighted = (objective.terms[term] * loss.mean(-1) for term, loss in losses.items())
        return sum(weighted, torch.zeros(len(points)))

    def _losses(self, parameters: Parameters, task: Task) -> dict[str, Tensor]:
        """Per-sample losses {term: (n,)} of a task's transitions, in float64."""
        with one_thread(), torch.no_grad():
            losses = self.objective.losses(parameters, self.transitions[task].batch)
        return {term: loss.double() for term, loss in losses.items()}


def case_of(base: Subject, transfer: Subject) -> Case:
    """The case of two checkpoints; raises SubjectError unless the transfer is one of the base's.

    A repair leads to where the base's own frozen models are at home: a transfer of another base has no such
    place in this one. The error names the capability that a subject lacks to be mended.
    """
    _mendable(base)
    encoder, objective = _mendable(transfer)
    if base.task != "source":
        raise SubjectError(base.path, "a transfer", "the base that a transfer was made from")
    if transfer.task != "target":
        raise SubjectError(transfer.path, "a base", "a transfer")
    assert base.parameters is not None
    assert transfer.parameters is not None
    shapes, others = ({n: t.shape for n, t in p.items()} for p in (transfer.parameters, base.parameters))
    own, theirs = (require(subject, "tasks", subject.tasks) for subject in (base, transfer))
    if shapes != others or not agree(own, theirs):
        raise SubjectError(transfer.path, "another architecture or world", f"those of {base.path}")
    if transfer.made_from != base.identity:
        raise SubjectError(transfer.path, f"a transfer of another base than {base.path}", "one of this base")
    tasks = shared_tasks((transfer, base))
    judged = tasks.paired_observations(None, 0).observations
    pairs = tasks.further_pairs(MOST_PAIRED, 0).observations if isinstance(tasks, Endless) else judged
    return Case(
        transfer.path,
        encoder,
        objective,
        base.parameters,
        dict(transfer.parameters),
        pairs,
        judged,
        {task: tasks.batch(task, SAMPLES, 0) for task in ("source", "target")},
    )


def _mendable(subject: Subject) -> tuple[DenseEncoder | PlaneEncoder, MendingObjective]:
    """A subject's encoder and objective; raises SubjectError for the first capability that a repair lacks."""
    encoder, objective = subject.encoder, subject.objective
    cannot = "no encoder that can be mended"
    if encoder is None or subject.parameters is None:
        raise SubjectError(subject.path, cannot, MENDABLE)
    if isinstance(encoder, Unmendable):
        raise SubjectError(subject.path, *encoder.unmendable)
    if not isinstance(encoder, (DenseEncoder, PlaneEncoder)):
        raise SubjectError(subject.path, f"{cannot} (its last layer is not known to be linear)", MENDABLE)
    if not isinstance(objective, LatentObjective):
        raise SubjectError(subject.path, f"{cannot} (it has no losses at given embeddings)", MENDABLE)
    if not isinstance(objective, MendingObjective):
        raise SubjectError(subject.path, f"{cannot} (it cannot be trained on further)", MENDABLE)
    return encoder, objective


def relayered(parameters: Parameters, last: str, fit: Map) -> dict[str, Tensor]:
    """The parameters with a map of the last hidden layer in the place of the encoder's last layer."""
    assert fit.matrix is not None
    assert fit.offset is not None
    weight, bias = parameters[f"{last}.weight"], parameters[f"{last}.bias"]
    replaced = dict(parameters)
    replaced[f"{last}.weight"] = torch.from_numpy(fit.matrix.T.copy()).reshape(weight.shape).to(weight)
    replaced[f"{last}.bias"] = torch.from_numpy(fit.offset).to(bias)
    return replaced
