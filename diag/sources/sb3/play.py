"""Play episodes of a Stable-Baselines3 policy: for returns, and for the losses of PPO and A2C."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diag.sources.environments import EPISODES, STEPS, Act, EnvironmentTasks, Episode, actions_of, play
from diag.sources.sb3.nets import Nets, Observing
from diag.subject import Pairs, Parameters, Sampled, Task

Acting: TypeAlias = Literal["greedy", "clipped", "squashed"]
"""Ways from outputs to an action: the best discrete one, the mean clipped to the space, or tanh scaled to
it."""


class Player:
    """A policy as Actor: episodes with its best, or most likely, actions."""

    def __init__(self, nets: Nets, observing: Observing, acting: Acting, ids: Mapping[Task, str]) -> None:
        self.nets, self.observing, self.acting, self.ids = nets, observing, acting, ids

    def returns(self, parameters: Parameters, task: Task, episodes: int, seed: int) -> NDArray[np.float64]:
        played = play(self.ids[task], self.best(parameters, task), episodes, seed)
        return np.array([episode.rewards.sum() for episode in played])

    def best(self, parameters: Parameters, task: Task) -> Act:
        """The deterministic policy, as the library's ``predict(deterministic=True)``."""

        def act(observations: NDArray[Any]) -> NDArray[Any]:
            outputs = self.outputs(parameters, observations)
            if self.acting == "greedy":
                return np.asarray(outputs.argmax(1))
            return bounded(outputs)

        bounded = self.bounded(task)
        return act

    def outputs(self, parameters: Parameters, observations: NDArray[Any]) -> Tensor:
        """Outputs (n, A) of the last layer for observations (n, *shape)."""
        with torch.inference_mode():
            prepared = self.observing(torch.from_numpy(observations))
            return self.nets.act(parameters, self.nets.embed(parameters, prepared))

    def bounded(self, task: Task) -> Callable[[Tensor], NDArray[Any]]:
        """A function of outputs (n, A) that gives actions (n, *shape) inside the task's action space."""
        space: Any = actions_of(self.ids[task])

        def within(outputs: Tensor) -> NDArray[Any]:
            means = outputs.numpy().reshape(-1, *space.shape)
            if self.acting == "clipped":
                return np.asarray(np.clip(means, space.low, space.high))
            return np.asarray(space.low + 0.5 * (np.tanh(means) + 1) * (space.high - space.low))

        return within


class OwnTasks:
    """A pair of environments whose batches are the policy's own stochastic episodes, as for PPO and A2C."""

    def __init__(
        self, pair: EnvironmentTasks, player: Player, parameters: Parameters, gamma: float, discrete: bool
    ) -> None:
        self.pair, self.player, self.parameters = pair, player, parameters
        self.gamma, self.discrete, self.name = gamma, discrete, pair.name

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        return self.pair.paired_observations(n, seed)

    def variables(self) -> Mapping[str, NDArray[Any]]:
        return self.pair.variables()

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        """n steps, evenly from 20 or more episodes: ``observations`` and ``returns``; grouped by episode.

        An episode that is cut, by a time limit or after 1000 steps, goes on with the value of where it was.
        """
        act = self._by_chance(torch.Generator().manual_seed(seed), task)
        episodes: list[Episode] = []
        while sum(len(e.rewards) for e in episodes) < n:
            # A seed of its own for every round.
            begin = seed + len(episodes)
            episodes += play(self.pair.ids[task], act, EPISODES, begin, keep=True, longest=STEPS)
        returns = np.concatenate([self._returns(episode) for episode in episodes])
        groups = np.repeat(np.arange(len(episodes)), [len(e.rewards) for e in episodes])
        observations = np.concatenate([e.observations[:-1] for e in episodes])
        rows = np.linspace(0, len(returns) - 1, n).round().astype(np.int64)
        batch = {
            "observations": torch.from_numpy(observations[rows]),
            "returns": torch.from_numpy(returns[rows]).float(),
        }
        return Sampled(batch, groups[rows])

    def _by_chance(self, generator: torch.Generator, task: Task) -> Act:
        """The stochastic policy, as in training."""

        def act(observations: NDArray[Any]) -> NDArray[Any]:
            outputs = self.player.outputs(self.parameters, observations)
            if self.discrete:
                return np.asarray(torch.multinomial(outputs.softmax(1), 1, generator=generator)[:, 0])
            noise = torch.randn(outputs.shape, generator=generator)
            return bounded(outputs + noise * self.parameters["action/log_std"].exp())

        bounded = self.player.bounded(task)
        return act

    def _returns(self, episode: Episode) -> NDArray[np.float64]:
        """(T,) discounted returns of an episode from each of its steps, of rewards as the value saw them."""
        after = 0.0 if episode.terminated else self._value(episode.observations[-1:])
        rewards, statistics = episode.rewards, self.player.observing.statistics
        if statistics is not None:
            rewards = statistics.rewards(torch.from_numpy(rewards)).numpy()
        returns = np.zeros(len(rewards))
        for step in reversed(range(len(returns))):
            after = returns[step] = rewards[step] + self.gamma * after
        return returns

    def _value(self, observations: NDArray[Any]) -> float:
        nets, player = self.player.nets, self.player
        assert nets.value is not None
        with torch.inference_mode():
            prepared = player.observing(torch.from_numpy(observations))
            read = nets.embed(self.parameters, prepared) if nets.value_reads_embedding else prepared
            return float(nets.value(self.parameters, read))
