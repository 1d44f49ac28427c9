"""A checkpoint of IMPALA -> a Subject: embeddings, losses along recorded play, tasks and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diag.sources.systems import Trained
from diag.subject import Pairs, Parameters, Sampled, Subject, SubjectError, Task, TaskPair
from trainers.envs.acting import PairedWorld, States
from trainers.impala import IMPALA, TERMS, Rollout
from trainers.residual import LAST
from trainers.streams import ACTION_STREAM, EVALUATION_STREAM, JUDGING_PHASE, generator
from trainers.threads import one_thread

PAIRED = 2000
"""Paired observations where no number is asked for: half of them determine a map of 256 dimensions."""

APART = 24
"""Steps of random play of which one is a state that may be paired: an episode of the smaller worlds has about
as many."""

MORE = 2
"""States that are drawn for each that is paired: of those of one episode the first alone is taken."""

ROUNDS = 5
"""Unrolls that are played for a batch, each environment keeping one of them: games of a fixed length begin
together, and one unroll would show the same part of all."""

CHUNK = 256
"""Pictures that are embedded at a time: what they leave on the way to an embedding fits a cache."""

SEGMENTS = 256
"""Unrolls that are recorded to train a mended encoder on."""


def subject(checkpoint: Trained) -> Subject:
    """The subject of a checkpoint of IMPALA; tasks with paired observations where its world has them."""
    agent = checkpoint.system
    assert isinstance(agent, IMPALA)
    system = ImpalaSystem(agent, checkpoint)
    kind = ImpalaTasks if checkpoint.plan is not None else OpenTasks
    return checkpoint.subject(
        encoder=system,
        objective=system,
        tasks=kind(agent, checkpoint.checkpoint.tensors),
        actor=system,
    )


@dataclass(frozen=True)
class Played:
    """Recorded play: unrolls of N environments, and the number n of their steps that count as samples."""

    rollout: Rollout
    n: int

    def to(self, device: str) -> Played:
        """This play on another device."""
        return Played(self.rollout.to(device), self.n)


class ImpalaSystem:
    """An agent's embeddings and losses, and episodes played by it.

    An embedding is what the encoder's linear layer gives for one picture, before the rectifier that the head
    begins with: a map of it can be folded into that layer. Losses are those of training on recorded unrolls;
    targets and advantages are taken with the parameters given, and have no gradient.
    """

    last_linear = f"encoder/{LAST}"
    rectified = True

    def __init__(self, agent: IMPALA, origin: Trained) -> None:
        settings = agent.settings
        self.agent, self.origin = agent, origin
        self.terms: Mapping[str, float] = agent.weights
        self.constants: Mapping[str, Any] = {
            **settings.loss.model_dump(mode="json"),
            "unroll": settings.acting.unroll,
        }
        self.budget, self.data_seed = settings.transfer.updates, origin.seed
        self.batch_size = -(-settings.acting.environments // 4)

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Embeddings (n, d) of pictures (n, planes, height, width)."""
        return torch.cat([self.agent.embed(parameters, some) for some in torch.split(observations, CHUNK)])

    def last_inputs(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Inputs (n, features) of the encoder's last layer."""
        agent = self.agent
        return torch.cat([agent.features(parameters, some) for some in torch.split(observations, CHUNK)])

    def embeddings(self, parameters: Parameters, batch: Played) -> Tensor:
        """Embeddings (m, d) of all m pictures of the recorded play."""
        return self.embed(parameters, batch.rollout.pictures)

    def losses(self, parameters: Parameters, batch: Played) -> dict[str, Tensor]:
        """Losses {term: (n,)} of the first n steps, environment after environment."""
        return self.losses_at(parameters, self.embeddings(parameters, batch), batch)

    def losses_at(self, parameters: Parameters, embeddings: Tensor, batch: Played) -> dict[str, Tensor]:
        """The same from given embeddings (m, d)."""
        rollout = batch.rollout
        number = rollout.begins.numel() + len(rollout.beyond)
        if len(embeddings) != number:
            found = f"embeddings of {len(embeddings)} states"
            expected = f"those of the {number} pictures of recorded play: use pairs"
            raise SubjectError(self.origin.checkpoint.path, found, expected)
        outputs = self.agent.outputs(parameters, embeddings, rollout)
        losses = self.agent.losses_of(*outputs, rollout)
        return {term: values.mT.flatten()[: batch.n] for term, values in losses.items()}

    def own_transitions(self, task: Task, seeds: Sequence[int], device: str) -> Recorded:
        """Play of this agent on a task, an own record for each of the seeds."""
        tasks = ImpalaTasks(self.agent, self.origin.checkpoint.tensors)
        each = [tasks.played(task, SEGMENTS, seed, JUDGING_PHASE) for seed in seeds]
        return Recorded(
            self, [one.to(device) for one in each], tasks.paired_observations(None, 0), task, device
        )

    def returns(self, parameters: Parameters, task: Task, episodes: int, seed: int) -> NDArray[np.float64]:
        """Undiscounted returns (episodes,), actions sampled from the policy as in training."""
        return self.agent.returns(parameters, task, episodes, seed)


class Recorded:
    """Play to train mended encoders on, a record for each of k; a row is one environment's unroll."""

    def __init__(
        self, system: ImpalaSystem, records: Sequence[Rollout], pairs: Pairs, task: Task, device: str
    ) -> None:
        self._system, self._records = system, list(records)
        self._seen = pairs.observations[task].to(device)
        self.count = records[0].begins.shape[1]

    def losses(self, parameters: Mapping[str, Tensor], rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Embeddings (k, n, d) of the paired states, and mean losses {term: (k, m)} of unrolls (k, m)."""
        points, losses = [], []
        for index, (record, chosen) in enumerate(zip(self._records, rows, strict=True)):
            own = {name: tensor[index] for name, tensor in parameters.items()}
            some = columns(record, chosen)
            points.append(self._system.embed(own, self._seen))
            each = self._system.losses(own, Played(some, some.actions.numel()))
            losses.append({term: values.view(len(chosen), -1).mean(1) for term, values in each.items()})
        return torch.stack(points), {term: torch.stack([one[term] for one in losses]) for term in TERMS}


class ImpalaTasks:
    """One world in the looks of both tasks, and play of one agent in them."""

    def __init__(self, agent: IMPALA, parameters: Parameters) -> None:
        self.agent, self.parameters = agent, parameters
        source, target = (agent.variant(task) for task in ("source", "target"))
        self.name = f"{agent.settings.world}, {source} to {target}"

    @property
    def colour(self) -> str | None:
        """The first of the world's variables."""
        return next(iter(self.variables()), None)

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        """States of random play as both looks show them: each of another episode, where there are enough.

        Without a number they are the same :data:`PAIRED` ones whatever the seed: those of :meth:`variables`.
        """
        states, episodes = self._states(PAIRED, 0) if n is None else self._states(n, seed)
        shown = {
            task: torch.from_numpy(self._world.render(states, self.agent.variant(task)))
            for task in ("source", "target")
        }
        alone = len(np.unique(episodes)) == len(episodes)
        return Pairs(shown, episodes, "states" if alone else "episodes")

    def variables(self) -> Mapping[str, NDArray[Any]]:
        """Known facts of the states that are paired where no number is asked for."""
        return self._world.variables(self._states(PAIRED, 0)[0])

    @property
    def _world(self) -> PairedWorld:
        world = self.agent.world
        if not isinstance(world, PairedWorld):
            found = f"{world.name}, whose looks cannot show the same hidden state"
            raise SubjectError(world.name, found, "a world with paired observations, or --pairs FILE")
        return world

    def _states(self, n: int, seed: int) -> tuple[States, NDArray[np.int64]]:
        """n states of random play, and the episode of each."""
        walk = self._world.sample_states(MORE * n, EVALUATION_STREAM, seed, apart=APART)
        firsts = np.unique(walk.episode, return_index=True)[1]
        rows = np.sort(firsts[:n]) if len(firsts) >= n else np.arange(n)
        return {name: values[rows] for name, values in walk.states.items()}, walk.episode[rows]

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        """n steps of this agent's own play on a task, grouped by the environment that they were played in."""
        steps = self.agent.settings.acting.unroll
        number = -(-n // steps)
        groups = np.repeat(np.arange(number), steps)[:n]
        return Sampled(Played(self.played(task, number, seed), n), groups)

    def played(self, task: Task, number: int, *seed: int) -> Rollout:
        """One unroll of each of so many environments, from different parts of their episodes."""
        agent = self.agent
        envs = agent.world.envs(agent.variant(task), number, EVALUATION_STREAM, *seed)
        rng = generator(ACTION_STREAM, JUDGING_PHASE, *seed)
        stand, kept = agent.beginning(number), []
        with one_thread(), torch.no_grad():
            for turn in range(min(ROUNDS, number)):
                steps = agent.settings.acting.unroll
                rollout, stand, _ = agent.rollout(self.parameters, envs, stand, rng, steps)
                kept.append(columns(rollout, torch.arange(turn, number, ROUNDS)))
        envs.close()
        return joined(kept)


class OpenTasks(ImpalaTasks):
    """The tasks of a base, which may be taken to any look of its world."""

    def __init__(self, agent: IMPALA, parameters: Parameters) -> None:
        super().__init__(agent, parameters)
        self.name = f"{agent.settings.world}, {agent.variant('source')}"

    def leads_to(self, other: TaskPair) -> bool:
        """Whether the other tasks' source task is this one."""
        return other.name.startswith(f"{self.name} to ")


PER_ENVIRONMENT = ("last_action", "last_reward", "hidden", "cell")
"""Parts of a rollout without an axis of time."""

PER_STEP = tuple(f.name for f in fields(Rollout) if f.name not in (*PER_ENVIRONMENT, "beyond"))
"""Parts with an axis of time and one of environments."""


def columns(rollout: Rollout, chosen: Tensor) -> Rollout:
    """Some environments of a rollout, by number (m,)."""
    parts = {name: part[chosen] for name, part in _parts(rollout, PER_ENVIRONMENT).items()}
    parts |= {name: part[:, chosen] for name, part in _parts(rollout, PER_STEP).items()}
    return Rollout(**parts, beyond=rollout.beyond[_numbers(rollout)[:, chosen][parts["cut"]]])


def joined(rollouts: Sequence[Rollout]) -> Rollout:
    """Rollouts of other environments as one."""
    parts = {
        name: torch.cat([getattr(one, name) for one in rollouts], axis)
        for names, axis in ((PER_ENVIRONMENT, 0), (PER_STEP, 1))
        for name in names
    }
    before = np.cumsum([0, *(len(one.beyond) for one in rollouts)]).tolist()
    numbers = torch.cat([_numbers(one) + first for one, first in zip(rollouts, before, strict=False)], 1)
    return Rollout(**parts, beyond=torch.cat([one.beyond for one in rollouts])[numbers[parts["cut"]]])


def _parts(rollout: Rollout, names: Sequence[str]) -> dict[str, Tensor]:
    return {name: getattr(rollout, name) for name in names}


def _numbers(rollout: Rollout) -> Tensor:
    """(T, N) which of the pictures beyond a time limit belongs to a step that was cut; else nothing."""
    return (rollout.cut.flatten().cumsum(0) - 1).view(rollout.cut.shape)
