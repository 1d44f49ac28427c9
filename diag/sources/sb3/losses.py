"""The losses of a Stable-Baselines3 policy's algorithm.

- DQN: the Huber loss of the one-step TD error against the file's own target network, on transitions of the
  pair of environments under random actions.
- PPO, A2C: the squared error of the value against discounted returns of the policy's own stochastic
  episodes, and, where it trained with an entropy bonus, minus the entropy of its actions. The policy's own
  loss is left out: at the policy that the episodes come from its ratio is 1, and says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from diag.sources.sb3.nets import Nets, Observing
from diag.subject import Parameters


class TemporalDifference:
    """DQN's loss as Objective; it sees observations only through their embeddings."""

    terms: Mapping[str, float] = {"td": 1.0}

    def __init__(self, nets: Nets, observing: Observing, gamma: float) -> None:
        self.nets, self.observing, self.gamma = nets, observing, gamma
        self.constants: Mapping[str, Any] = {"algorithm": "dqn", "gamma": gamma, **_normalised(observing)}

    def embeddings(self, parameters: Parameters, batch: Mapping[str, Tensor]) -> Tensor:
        return self.nets.embed(parameters, self.observing(batch["observations"]))

    def losses(self, parameters: Parameters, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.losses_at(parameters, self.embeddings(parameters, batch), batch)

    def losses_at(
        self, parameters: Parameters, embeddings: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        assert self.nets.target is not None
        with torch.no_grad():
            after = self.nets.target(parameters, self.observing(batch["next_observations"])).amax(1)
            rewards, statistics = batch["rewards"], self.observing.statistics
            rewards = rewards if statistics is None else statistics.rewards(rewards)
            goal = rewards + self.gamma * after * ~batch["terminated"]
        taken = batch["actions"].reshape(-1, 1)
        values = self.nets.act(parameters, embeddings).gather(1, taken)[:, 0]
        return {"td": functional.smooth_l1_loss(values, goal, reduction="none")}


class ActorCritic:
    """The value loss and the entropy of PPO and A2C as Objective."""

    def __init__(
        self,
        nets: Nets,
        observing: Observing,
        gamma: float,
        value_weight: float,
        entropy_weight: float,
        discrete: bool,
    ) -> None:
        self.nets, self.observing, self.discrete = nets, observing, discrete
        self.terms: Mapping[str, float] = {"value": value_weight}
        if entropy_weight:
            self.terms = {**self.terms, "entropy": entropy_weight}
        self.constants: Mapping[str, Any] = {
            "algorithm": "actor-critic",
            "gamma": gamma,
            **_normalised(observing),
        }

    def losses(self, parameters: Parameters, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        observations = self.observing(batch["observations"])
        points = self.nets.embed(parameters, observations)
        return self._losses(parameters, points, observations, batch)

    def _losses(
        self, parameters: Parameters, points: Tensor, observations: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        assert self.nets.value is not None
        read = points if self.nets.value_reads_embedding else observations
        losses = {"value": (self.nets.value(parameters, read)[:, 0] - batch["returns"]) ** 2}
        if "entropy" in self.terms:
            outputs = self.nets.act(parameters, points)
            losses["entropy"] = -entropy(outputs, None if self.discrete else parameters["action/log_std"])
        return losses


class LatentActorCritic(ActorCritic):
    """The losses of PPO and A2C where the value too is read from the embedding."""

    def embeddings(self, parameters: Parameters, batch: Mapping[str, Tensor]) -> Tensor:
        return self.nets.embed(parameters, self.observing(batch["observations"]))

    def losses_at(
        self, parameters: Parameters, embeddings: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        return self._losses(parameters, embeddings, embeddings, batch)


def _normalised(observing: Observing) -> Mapping[str, Any]:
    """The constants that normalise observations and rewards; {} without normalisation."""
    return {} if observing.statistics is None else observing.statistics.constants


def entropy(outputs: Tensor, log_std: Tensor | None) -> Tensor:
    """(n,) entropy of actions, from logits (n, A), or from the log σ (A,) of a diagonal Gaussian."""
    if log_std is None:
        logs = functional.log_softmax(outputs, 1)
        return -(logs.exp() * logs).sum(1)
    entropies: Tensor = 0.5 + 0.5 * math.log(2 * math.pi) + log_std
    return entropies.sum().expand(len(outputs))
