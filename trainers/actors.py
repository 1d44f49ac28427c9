"""What an actor's outputs mean: chances of discrete actions, or squashed normal numbers for continuous ones.

An actor's net gives numbers (…, outputs) for a latent state. Discrete actions are drawn by their chances, as
one-hot vectors, and gradients pass straight through the draw. Continuous ones are those of Dreamer's first
version (Hafner et al., arXiv 1912.01603, appendix A):

    a = tanh(μ + σ·ε),   μ = 5·tanh(m / 5),   σ = softplus(s + s₀) + 10⁻⁴,   ε ~ N(0, 1),

with s₀ such that σ begins at 5: nearly all first actions are then near −1 or 1. Their gradient goes through
the draw. ln π(a) is that of the normal number less Σ ln(1 − a²), and the entropy is taken as −ln π of the
draw, whose mean it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from trainers.envs.acting import ActionSpace, Discrete
from trainers.rssm import Latents

MEAN_SCALE = 5.0
"""Largest mean before the tanh: beyond it a tanh has no gradient left."""

FIRST_DEVIATION = 5.0
"""Standard deviation before the tanh where the net's output is 0."""

LEAST_DEVIATION = 1e-4


class Chosen(NamedTuple):
    """Actions (…, A) as the transition model reads them, and ln π and entropy (…,) of their policy."""

    action: Tensor
    log_chance: Tensor
    entropy: Tensor


@dataclass(frozen=True)
class Chances:
    """Discrete actions by logits (…, A), drawn by one uniform number each."""

    actions: int

    @property
    def outputs(self) -> int:
        """Numbers that the actor's net gives."""
        return self.actions

    def noise(self, rng: np.random.Generator, *shape: int) -> Tensor:
        """Random numbers that actions are drawn by."""
        return torch.from_numpy(rng.random((*shape, 1), np.float32))

    def drawn(self, outputs: Tensor, noise: Tensor) -> Tensor:
        """One-hot actions (…, A)."""
        return Latents("categorical", 1, self.actions).drawn(outputs, noise)

    def judged(self, outputs: Tensor, action: Tensor, noise: Tensor) -> Chosen:
        """Actions that were drawn, with ln π and the entropy."""
        chances = outputs.log_softmax(-1)
        entropy = -(chances.exp() * chances).sum(-1)
        return Chosen(action, (chances * action.detach()).sum(-1), entropy)

    def read(self, actions: Tensor) -> Tensor:
        """What the transition model reads (…, A) of actions (…,) by number."""
        return one_hot(actions, self.actions).to(torch.float32)

    def taken(self, action: Tensor, explored: Tensor | None = None) -> NDArray[Any]:
        """Numbers (n,) of one-hot actions (n, A), as environments take them."""
        return action.argmax(-1).cpu().numpy()


@dataclass(frozen=True)
class Squashed:
    """Continuous actions by means and deviations (…, 2·A), drawn by normal numbers."""

    actions: int

    @property
    def outputs(self) -> int:
        """Numbers that the actor's net gives."""
        return 2 * self.actions

    def noise(self, rng: np.random.Generator, *shape: int) -> Tensor:
        """Random numbers that actions are drawn by."""
        return torch.from_numpy(rng.standard_normal((*shape, self.actions), np.float32))

    def moments(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (…, A) before the tanh."""
        mean, raw = outputs.chunk(2, -1)
        raised = math.log(math.expm1(FIRST_DEVIATION))
        return MEAN_SCALE * torch.tanh(mean / MEAN_SCALE), softplus(raw + raised) + LEAST_DEVIATION

    def drawn(self, outputs: Tensor, noise: Tensor) -> Tensor:
        """Actions (…, A) from −1 to 1."""
        mean, deviation = self.moments(outputs)
        return torch.tanh(mean + deviation * noise)

    def judged(self, outputs: Tensor, action: Tensor, noise: Tensor) -> Chosen:
        """Actions that were drawn by this noise, with ln π of them and the entropy's estimate.

        ln(1 − tanh² u) is 2·(ln 2 − u − softplus(−2u)), which does not overflow.
        """
        mean, deviation = self.moments(outputs)
        before = mean + deviation * noise
        squashed = 2 * (math.log(2) - before - softplus(-2 * before))
        normal = -noise.square() / 2 - deviation.log() - math.log(2 * math.pi) / 2
        entropy = -(normal - squashed).sum(-1)
        # For REINFORCE the action is fixed, and the gradient is that of its chance.
        there = before.detach()
        fixed = -((there - mean) / deviation).square() / 2 - deviation.log() - math.log(2 * math.pi) / 2
        return Chosen(action, (fixed - squashed.detach()).sum(-1), entropy)

    def read(self, actions: Tensor) -> Tensor:
        """What the transition model reads (…, A): the actions as they are."""
        return actions

    def taken(self, action: Tensor, explored: Tensor | None = None) -> NDArray[Any]:
        """Actions (n, A) as environments take them, with noise for exploration added, from −1 to 1."""
        shaken = action if explored is None else action + explored
        return shaken.clamp(-1, 1).cpu().numpy()


Actor = Chances | Squashed


def actor_of(space: ActionSpace) -> Actor:
    """The meaning of an actor's outputs for a world's actions."""
    return Chances(space.n) if isinstance(space, Discrete) else Squashed(space.n)
