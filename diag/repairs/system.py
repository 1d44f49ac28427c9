"""A base and its transfer as a repair takes them: CRAR agents on a world whose states can be listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diag.repairs.last_layer import last_layer
from diag.sources.systems.crar import CrarSystem, FiniteTasks, TaskBatch
from diag.subject import SAMPLES, Subject, SubjectError
from probes import Floats, Map
from trainers.crar import CRAR, Batch
from trainers.threads import one_thread


@dataclass(frozen=True)
class Case:
    """A failed transfer, its base, and the task that it is to be mended on."""

    path: str
    """Of the transfer."""
    agent: CRAR
    base: Mapping[str, Tensor]
    transfer: dict[str, Tensor]
    data_seed: int
    """Of the transitions that the transfer was trained on."""
    last: str
    """The encoder's last layer: ``encoder/4``."""
    transitions: Batch
    """Of the target task, with which losses are compared."""

    def embedding(self, parameters: Mapping[str, Tensor], task: str = "target") -> Floats:
        """(K, d) of the world's states."""
        return self.outputs(parameters, task)[-1]

    def outputs(self, parameters: Mapping[str, Tensor], task: str = "target") -> list[Floats]:
        """What each layer of the encoder gives for every state: (K, size), the last the embedding."""
        pictures = torch.from_numpy(self.agent.world.observations[task]).flatten(1)
        stack = {n: t.unsqueeze(0) for n, t in parameters.items()}
        with one_thread(), torch.no_grad():
            found = self.agent.nets["encoder"].outputs(stack, "encoder", pictures)
        return [x[0].double().numpy() for x in found]


def case_of(base: Subject, transfer: Subject) -> Case:
    """The case of two checkpoints; raises SubjectError unless the transfer is one of the base's.

    A repair leads to where the base's own frozen models are at home: a transfer of another base has no such
    place in this one.
    """
    systems = []
    for subject in (base, transfer):
        if not isinstance(subject.encoder, CrarSystem) or subject.parameters is None:
            raise SubjectError(subject.path, "no encoder that can be mended", "a checkpoint of diag transfer")
        systems.append(subject.encoder)
    agent, other = systems[1].agent, systems[0].agent
    if base.task != "source":
        raise SubjectError(base.path, "a transfer", "the base that a transfer was made from")
    if transfer.task != "target":
        raise SubjectError(transfer.path, "a base", "a transfer")
    if agent.shapes() != other.shapes() or agent.world.name != other.world.name:
        raise SubjectError(transfer.path, "another architecture or world", f"those of {base.path}")
    if transfer.made_from != base.identity:
        raise SubjectError(transfer.path, f"a transfer of another base than {base.path}", "one of this base")
    assert base.parameters is not None
    assert transfer.parameters is not None
    origin = systems[1].origin
    return Case(
        transfer.path,
        agent,
        base.parameters,
        dict(transfer.parameters),
        origin.seed,
        last_layer(transfer.parameters),
        _batch(agent, "target").samples,
    )


def relayered(parameters: Mapping[str, Tensor], last: str, found: Map) -> dict[str, Tensor]:
    """The parameters with a map of the last hidden layer in the place of the encoder's last layer."""
    assert found.matrix is not None
    assert found.offset is not None
    weight, bias = parameters[f"{last}.weight"], parameters[f"{last}.bias"]
    replaced = dict(parameters)
    replaced[f"{last}.weight"] = torch.from_numpy(found.matrix.T.copy()).to(weight)
    replaced[f"{last}.bias"] = torch.from_numpy(found.offset).to(bias)
    return replaced


def loss_of_states(agent: CRAR, parameters: Mapping[str, Tensor], task: str) -> Floats:
    """(K,) the weighted sum of the task's losses, the mean over what begins in each state."""
    total = sum(agent.weight_of(t) * v for t, v in _losses(agent, parameters, task)[0].items())
    batch = _batch(agent, task)
    state = batch.samples.state.numpy()
    values = np.asarray(total, dtype=np.float64)
    return np.bincount(state, values) / np.bincount(state)


def losses_of(agent: CRAR, parameters: Mapping[str, Tensor], task: str) -> dict[str, float]:
    """{term: mean loss} and ``total``, on every transition of a task."""
    found, weights = _losses(agent, parameters, task)
    means = {term: float(v.mean()) for term, v in found.items()}
    return {**means, "total": sum(weights[t] * v for t, v in means.items())}


def _batch(agent: CRAR, task: str) -> TaskBatch:
    batch: TaskBatch = FiniteTasks(agent.world).batch(task, SAMPLES, 0).batch
    return batch


def _losses(
    agent: CRAR, parameters: Mapping[str, Tensor], task: str
) -> tuple[dict[str, Tensor], dict[str, float]]:
    batch = _batch(agent, task)
    stack = {n: t.unsqueeze(0) for n, t in parameters.items()}
    terms = agent.settings.loss.terms
    with one_thread(), torch.no_grad():
        x = agent.embed(stack, batch.observations)
        found = agent.losses_at(stack, x, batch.samples, terms)
    return {t: v[0].double() for t, v in found.items()}, {t: agent.weight_of(t) for t in terms}
