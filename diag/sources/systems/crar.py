"""A checkpoint of CRAR -> a Subject: Encoder, Objective, hidden units, and its optimiser's next steps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diag.sources.systems import Trained, crar_labyrinth
from diag.sources.systems.finite import FiniteTasks
from diag.sources.systems.stacked import StackedSystem, Tables, TaskBatch, after_each_action, stacked
from diag.sources.systems.walks import Way, walked
from diag.subject import Layer, Parameters, Subject, Task
from diag.units.layers import Dense, chain
from trainers.crar import CRAR, Trainer, beside
from trainers.crar_labyrinth import LabyrinthCRAR
from trainers.crar_terms import Batch
from trainers.envs import FiniteWorld
from trainers.plan import BASE_PLAN
from trainers.streams import stream_of

CONTINUATIONS = 8
"""Times that training goes on from a checkpoint, each with batches of its own."""

WAY = Way(warm=30, early=range(20, 120), late=range(320, 420))
"""Running squares forget all but 4% of what was before in 30 updates. Of the loss's change over 1,000
updates, intervals are some 3% wide to either side."""

COLUMNS = ("state", "action", "reward", "terminal", "next_state")
"""The columns of collected transitions that a batch has."""


def subject(checkpoint: Trained) -> Subject:
    """The subject of a checkpoint of CRAR, with every capability."""
    agent = checkpoint.system
    if isinstance(agent, LabyrinthCRAR):
        return crar_labyrinth.subject(checkpoint)
    assert isinstance(agent, CRAR)
    system = CrarSystem(agent, checkpoint)
    return checkpoint.subject(
        encoder=system,
        objective=system,
        tasks=tasks_of(agent.world),
        success_states=agent.world.success_states,
    )


class CrarSystem(StackedSystem):
    """A CRAR agent's losses and embeddings, its hidden units, and where its optimiser would go on to."""

    def __init__(self, agent: CRAR, origin: Trained) -> None:
        loss = agent.settings.loss
        weights: dict[str, float] = {t: agent.weight_of(t) for t in loss.terms}
        super().__init__(agent, weights, loss.model_dump(mode="json"), origin)
        self.agent = agent
        shapes = agent.shapes()
        self.units = tuple(
            units
            for component, net in agent.nets.items()
            for units in chain(
                [Dense(f"{component}/{layer}", odd=True) for layer in range(len(net.sizes) - 1)], shapes
            )
        )

    @property
    def last_linear(self) -> str:
        return f"encoder/{len(self.agent.nets['encoder'].sizes) - 2}"

    def last_inputs(self, parameters: Parameters, observations: Tensor) -> Tensor | None:
        layers = self.agent.nets["encoder"].outputs(stacked(parameters), "encoder", observations.flatten(1))
        return layers[-2][0] if len(layers) > 1 else None

    def watch(
        self,
        parameters: Parameters,
        observations: Tensor,
        see: Callable[[Layer, Tensor], None],
        inputs: Collection[str] = (),
        unread: Callable[[Layer, str], None] = lambda layer, what: None,
    ) -> None:
        """The encoder's layers, each after its tanh; none has an input that another did not give."""
        net = self.agent.nets["encoder"]
        for number, x in enumerate(net.outputs(stacked(parameters), "encoder", observations.flatten(1))):
            name = f"encoder/{number}"
            see(Layer(name, name, "Linear"), x[0])

    def weights_of(self, parameters: Parameters, part: str) -> Mapping[str, Tensor]:
        return {n.removeprefix(f"{part}."): t for n, t in parameters.items() if n.startswith(f"{part}.")}

    def predict(self, parameters: Parameters, embeddings: Tensor) -> Tensor | None:
        """Expected next embeddings (n, A, d) by the transition model; None where none was trained."""
        if "transition" not in self.agent.nets:
            return None
        return after_each_action(self.agent, self.agent.world.actions, parameters, embeddings)

    def activations(self, parameters: Parameters, batch: TaskBatch) -> dict[str, Tensor]:
        """Hidden units' activations: the encoder's over the table of observations, others' over the batch."""
        stack, world, samples = stacked(parameters), self.agent.world, batch.samples
        encoder = self.agent.nets["encoder"].outputs(stack, "encoder", batch.observations.flatten(1))
        actions = torch.nn.functional.one_hot(samples.action, world.actions)
        heads = beside(encoder[-1][:, samples.state], actions)
        layers = {
            component: encoder if component == "encoder" else net.outputs(stack, component, heads)
            for component, net in self.agent.nets.items()
        }
        return {f"{c}/{i}": x[0] for c, outputs in layers.items() for i, x in enumerate(outputs[:-1])}

    def walk(
        self, parameters: Parameters, task: Task, seed: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
        """Train on with the settings, data and learning rate of the checkpoint's last step."""
        origin, settings = self.origin, self.agent.settings
        base = origin.task == "source"
        device = next(iter(parameters.values())).device
        data = self.agent.collected(origin.seed, stream_of(base))
        trainer = Trainer(
            self.agent,
            settings.train if base else settings.transfer,
            task,
            origin.plan or BASE_PLAN,
            [parameters] * CONTINUATIONS,
            [data] * CONTINUATIONS,
            [(seed, number) for number in range(CONTINUATIONS)],
            str(device),
        )
        # At its last updates, not after them: a plan's loss terms end with the training.
        trainer.step = max(0, origin.checkpoint.header.step - WAY.updates)
        return walked(trainer, WAY)

    @property
    def batch_size(self) -> int:
        return self.agent.settings.optimiser.batch

    def own_transitions(self, task: Task, seeds: Sequence[int], device: str) -> Tables:
        """The random walks that transfers with these seeds were trained on."""
        walks = [self.agent.collected(seed, stream_of(base=False)) for seed in seeds]
        tables = [{c: torch.from_numpy(getattr(walk, c)) for c in COLUMNS} for walk in walks]
        return Tables(self, self.agent.pictures(task), self.agent.world.states, tables, _rolled, device)


def _rolled(**columns: Tensor) -> Batch:
    """A batch whose samples are paired as in training: with the one before, the batch rolled by one."""
    shape = columns["state"].shape
    partner = torch.arange(shape[-1], device=columns["state"].device).roll(1).expand(shape)
    return Batch(**columns, partner=partner)


def tasks_of(world: FiniteWorld) -> FiniteTasks:
    """A finite world as the pair of tasks that a CRAR agent is trained and transferred on."""

    def samples(state: NDArray[np.int64], action: NDArray[np.int64], rng: np.random.Generator) -> Batch:
        tables: Sequence[NDArray[Any]] = (world.rewards, world.terminals, world.transitions)
        reward, terminal, after = (torch.from_numpy(table[state, action]) for table in tables)
        partner = torch.from_numpy(rng.integers(len(state), size=len(state)))
        return Batch(torch.from_numpy(state), torch.from_numpy(action), reward, terminal, after, partner)

    return FiniteTasks(world, samples)
