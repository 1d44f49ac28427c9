"""A checkpoint of CRAR -> a Subject: Encoder, Objective, hidden units, and its optimiser's next steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diag.sources.systems import checked_plan, trained_system
from diag.subject import Pairs, Parameters, Sampled, Subject, Task
from diag.units.layers import Dense, chain
from trainers.checkpoint import Checkpoint, CheckpointError
from trainers.crar import CRAR, Batch, Trainer, beside
from trainers.envs import FiniteWorld, collect
from trainers.plan import BASE_PLAN, TransferPlan
from trainers.settings import Settings
from trainers.streams import EVALUATION_STREAM, generator, stream_of
from trainers.system import system_of

CONTINUATIONS = 8
"""Times that training goes on from a checkpoint, each with batches of its own."""

WARM = 30
"""Updates that warm the optimiser up: its running squares forget all but 4% of what was before."""

EARLY, LATE = range(20, 120), range(320, 420)
"""Updates over which positions are averaged: the noise of single updates goes, the way between stays. Of the
loss's change over 1,000 updates, intervals are then some 3% wide to either side."""


def agent_of(checkpoint: Checkpoint) -> CRAR:
    """The CRAR agent that a checkpoint's header describes, its tensors checked against it."""
    if checkpoint.header.system != "crar":  # for callers that have not asked the registry
        raise CheckpointError(checkpoint.path, f"system {checkpoint.header.system!r}", "system 'crar'")
    agent = trained_system(checkpoint)
    assert isinstance(agent, CRAR)
    return agent


def settings_of(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The settings in a checkpoint's header as a tree, complete; raises CheckpointError."""
    return agent_of(checkpoint).settings.model_dump(mode="json")


def plan_of(checkpoint: Checkpoint) -> TransferPlan | None:
    """The plan in a checkpoint's header, None for a base; raises CheckpointError for a bad one."""
    if checkpoint.header.plan is None:
        return None
    return checked_plan(checkpoint, system_of(Settings.from_tree(checkpoint.header.settings)).terms)


def subject_of(checkpoint: Checkpoint) -> Subject:
    """The subject of a checkpoint, with every capability; raises CheckpointError."""
    agent = agent_of(checkpoint)
    plan = plan_of(checkpoint)
    header = checkpoint.header
    system = CrarSystem(agent, Origin(plan or BASE_PLAN, header.task, header.seed, header.step))
    held = () if plan is None else plan.frozen_components(checkpoint.tensors)
    frozen = tuple(component for component in held if component in agent.readers)
    role = "base" if plan is None else f"transfer ({plan.name})"
    return Subject(
        path=checkpoint.path,
        sha256=checkpoint.sha256,
        task=header.task,
        parameters=checkpoint.tensors,
        encoder=system,
        objective=system,
        tasks=FiniteTasks(agent.world),
        frozen=frozen,
        identity=checkpoint.identity,
        made_from=None if header.base is None else header.base["identity"],
        base_path=None if header.base is None else header.base["path"],
        share=header.step / (agent.settings.train if plan is None else agent.settings.transfer).updates,
        training=(agent.settings.world, agent.settings.transfer.algorithm),
        success_states=agent.world.success_states,
        label=f"{role}, {agent.world.name}, {header.task} task, seed {header.seed}, {header.step} updates",
    )


@dataclass(frozen=True)
class Origin:
    """The plan, task, seed and step that a checkpoint was trained with."""

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

    @property
    def last_linear(self) -> str:
        return f"encoder/{len(self.agent.nets['encoder'].sizes) - 2}"

    def last_inputs(self, parameters: Parameters, observations: Tensor) -> Tensor | None:
        layers = self.agent.nets["encoder"].outputs(_stacked(parameters), "encoder", observations.flatten(1))
        return layers[-2][0] if len(layers) > 1 else None

    def predict(self, parameters: Parameters, embeddings: Tensor) -> Tensor | None:
        """Expected next embeddings (n, A, d) by the transition model; None where none was trained."""
        if "transition" not in self.agent.nets:
            return None
        actions = torch.eye(self.agent.world.actions)
        reached = [
            self.agent.predict(_stacked(parameters), embeddings[None], a.expand(len(embeddings), -1))[0]
            for a in actions
        ]
        return torch.stack(reached, 1)

    def embeddings(self, parameters: Parameters, batch: TaskBatch) -> Tensor:
        """Embeddings of the table of observations that the batch indexes."""
        return self.embed(parameters, batch.observations)

    def losses(self, parameters: Parameters, batch: TaskBatch) -> dict[str, Tensor]:
        return self.losses_at(parameters, self.embeddings(parameters, batch), batch)

    def losses_at(self, parameters: Parameters, embeddings: Tensor, batch: TaskBatch) -> dict[str, Tensor]:
        losses = self.losses_at_many(_stacked(parameters), embeddings[None], batch)
        return {term: values[0] for term, values in losses.items()}

    def losses_many(self, parameters: Parameters, batch: TaskBatch) -> dict[str, Tensor]:
        embedded = self.agent.embed(parameters, batch.observations)
        return self.losses_at_many(parameters, embedded, batch)

    def losses_at_many(
        self, parameters: Parameters, embeddings: Tensor, batch: TaskBatch
    ) -> dict[str, Tensor]:
        return self.agent.losses_at(parameters, embeddings, batch.samples, self.terms)

    def activations(self, parameters: Parameters, batch: TaskBatch) -> dict[str, Tensor]:
        """Hidden units' activations: the encoder's over the table of observations, others' over the batch."""
        stacked, world = _stacked(parameters), self.agent.world
        first, *others = self.agent.nets.items()
        encoder = first[1].outputs(stacked, first[0], batch.observations.flatten(1))
        actions = torch.nn.functional.one_hot(batch.samples.action, world.actions)
        heads = beside(encoder[-1][:, batch.samples.state], actions)
        layers = {first[0]: encoder} | {c: net.outputs(stacked, c, heads) for c, net in others}
        return {f"{c}/{i}": x[0] for c, outputs in layers.items() for i, x in enumerate(outputs[:-1])}

    def walk(
        self, parameters: Parameters, task: Task, seed: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
        """Train on with the settings, data and learning rate of the checkpoint's last step."""
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
        early, late = _walked(trainer)
        return early, late, LATE.start - EARLY.start

    @property
    def budget(self) -> int:
        return self.agent.settings.transfer.updates

    @property
    def batch_size(self) -> int:
        return self.agent.settings.optimiser.batch

    @property
    def data_seed(self) -> int:
        return self.origin.seed

    def own_transitions(self, task: Task, seeds: Sequence[int], device: str) -> Walks:
        return Walks(self, task, seeds, device)


def _walked(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Train on; each trained parameter's mean (S, *shape) over the updates :data:`EARLY` and :data:`LATE`.

    The optimisers' running squares are warmed up first, by :data:`WARM` updates that are taken back.
    """
    stack = trainer.stack
    start = {component: buffer.clone() for component, buffer in stack.buffers.items()}
    for _ in range(WARM):
        trainer.update()
        with torch.no_grad():
            for component, buffer in stack.buffers.items():
                buffer.copy_(start[component])
    trained = {name: view for name, view in stack.views.items() if view.requires_grad}
    early, late = ({name: torch.zeros_like(view) for name, view in trained.items()} for _ in (EARLY, LATE))
    for update in range(LATE.stop):
        trainer.update()
        for window, means in ((EARLY, early), (LATE, late)):
            if update in window:
                for name, mean in means.items():
                    mean.add_(trained[name].detach(), alpha=1 / len(window))
    return early, late


class Walks:
    """The random walks that transfers were trained on, one for each member of a stack (OwnTransitions)."""

    def __init__(self, system: CrarSystem, task: Task, seeds: Sequence[int], device: str) -> None:
        agent, data = system.agent, system.agent.settings.data
        self._system = system
        self._observations = torch.from_numpy(agent.world.observations[task]).to(device)
        walks = [
            collect(agent.world, data.steps, data.episode_steps, seed, stream_of(base=False))
            for seed in seeds
        ]
        columns = ("state", "action", "reward", "terminal", "next_state")
        self._walks = [[torch.from_numpy(getattr(w, c)).to(device) for c in columns] for w in walks]
        self.count = data.steps

    def losses(self, parameters: Mapping[str, Tensor], rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        chosen = [[column[i] for column in walk] for walk, i in zip(self._walks, rows, strict=True)]
        state, action, reward, terminal, after = (torch.stack(c) for c in zip(*chosen, strict=True))
        partner = torch.arange(rows.shape[1], device=rows.device).roll(1).expand(rows.shape)
        batch = TaskBatch(self._observations, Batch(state, action, reward, terminal, after, partner))
        embeddings = self._system.agent.embed(parameters, self._observations)
        return embeddings, self._system.losses_at_many(parameters, embeddings, batch)


class TaskBatch:
    """Transitions of one task and the table of observations that they index."""

    def __init__(self, observations: Tensor, samples: Batch) -> None:
        self.observations, self.samples = observations, samples

    def to(self, device: str) -> TaskBatch:
        """This batch on another device."""
        moved = {f.name: getattr(self.samples, f.name).to(device) for f in fields(self.samples)}
        return TaskBatch(self.observations.to(device), Batch(**moved))


class FiniteTasks:
    """A finite world as TaskPair: paired observations are all of its states."""

    def __init__(self, the_world: FiniteWorld) -> None:
        self.world, self.name = the_world, the_world.name
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
        samples = Batch(
            torch.from_numpy(state),
            torch.from_numpy(action),
            torch.from_numpy(self.world.rewards[state, action]),
            torch.from_numpy(self.world.terminals[state, action]),
            torch.from_numpy(self.world.transitions[state, action]),
            torch.from_numpy(rng.integers(n, size=n)),
        )
        return Sampled(TaskBatch(self._observations[task], samples), state)

    def variables(self) -> Mapping[str, NDArray[Any]]:
        return self.world.variables
