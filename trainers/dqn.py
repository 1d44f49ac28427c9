"""A small Q-network that learns to play one look of a world, for recorded data of some skill.

The fourth paper trains its own on MinAtar, "a three-layer MLP", and keeps several checkpoints of each run
(section 2.5). Here: double Q-learning (van Hasselt et al., arXiv 1509.06461) on a replay, with ε falling
over the first tenth of the steps; observations flat, two hidden layers of ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear, smooth_l1_loss

from trainers.dense import fresh_weights
from trainers.envs.acting import World
from trainers.policies import Policy
from trainers.streams import BATCH_STREAM, PLAY_STREAM, WEIGHT_STREAM, generator
from trainers.threads import one_thread

HIDDEN = 128
"""Units of each hidden layer."""
ENVIRONMENTS, STEPS_AN_UPDATE = 16, 4
BATCH, DISCOUNT, RATE = 64, 0.99, 3e-4
REMEMBERED, TARGET_EVERY = 50_000, 500
"""Transitions in the replay, and updates between copies into the net of the targets."""
EXPLORING, EXPLORES = 0.1, 0.05
"""Share of the steps over which ε falls, and where it falls to: also a recorded network's share of random
actions."""


def values(parameters: Mapping[str, Tensor], seen: Tensor) -> Tensor:
    """Values (n, actions) of observations (n, c, h, w) uint8."""
    x = seen.flatten(1).float() / 255
    for layer in range(2):
        x = linear(x, parameters[f"{layer}.weight"], parameters[f"{layer}.bias"]).relu()
    return linear(x, parameters["2.weight"], parameters["2.bias"])


def policy(parameters: Mapping[str, Tensor]) -> Policy:
    """The greedy policy of a network, with a share of :data:`EXPLORES` random actions."""
    actions = len(parameters["2.bias"])

    def act(seen: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.int64]:
        return _explored(parameters, seen, EXPLORES, actions, rng)

    return act


def _explored(
    parameters: Mapping[str, Tensor],
    seen: NDArray[np.uint8],
    share: float,
    actions: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    with one_thread(), torch.no_grad():
        best = values(parameters, torch.from_numpy(seen)).argmax(1).numpy()
    random = rng.integers(actions, size=len(seen))
    return np.where(rng.random(len(seen)) < share, random, best)


def snapshots(world: World, look: str, steps: int, shares: Sequence[int], *seed: int) -> list[Policy]:
    """Policies after these shares, in percent and rising, of ``steps`` steps of training."""
    rng = generator(PLAY_STREAM, *seed)
    size, actions = math.prod(world.observation_shape), world.actions.n
    sizes = (size, HIDDEN, HIDDEN, actions)
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        shapes |= {f"{layer}.weight": (fan_out, fan_in), f"{layer}.bias": (fan_out,)}
    net = {n: t.requires_grad_() for n, t in fresh_weights(shapes, generator(WEIGHT_STREAM, *seed)).items()}
    target = {n: t.detach().clone() for n, t in net.items()}
    optimiser = torch.optim.Adam(list(net.values()), lr=RATE)
    envs = world.envs(look, ENVIRONMENTS, *seed, PLAY_STREAM)
    rows = max(1, min(REMEMBERED, steps) // ENVIRONMENTS)
    before = np.zeros((rows, ENVIRONMENTS, *world.observation_shape), np.uint8)
    after = np.zeros_like(before)
    action = np.zeros((rows, ENVIRONMENTS), np.int64)
    reward, goes_on = (np.zeros((rows, ENVIRONMENTS), np.float32) for _ in range(2))
    every, kept = -(-steps // ENVIRONMENTS), []
    due = [max(1, every * share // 100) for share in shares]
    with one_thread():
        updates = 0
        for now in range(due[-1]):
            share = max(EXPLORES, 1 - (1 - EXPLORES) * now / max(1.0, EXPLORING * every))
            place, seen = now % rows, envs.observations
            before[place], action[place] = seen, _explored(net, seen, share, actions, rng)
            step = envs.step(action[place])
            after[place] = envs.observations
            if step.ended.any():
                after[place, step.ended] = envs.last_observations()
            reward[place], goes_on[place] = step.rewards, ~step.terminated
            there = min(now + 1, rows)
            draws = generator(BATCH_STREAM, *seed, now)
            for _ in range(ENVIRONMENTS // STEPS_AN_UPDATE if there * ENVIRONMENTS >= 4 * BATCH else 0):
                at = draws.integers(there, size=BATCH), draws.integers(ENVIRONMENTS, size=BATCH)
                if updates % TARGET_EVERY == 0:
                    target = {n: t.detach().clone() for n, t in net.items()}
                _descend(net, target, optimiser, before[at], action[at], reward[at], goes_on[at], after[at])
                updates += 1
            kept += [{n: t.detach().clone() for n, t in net.items()}] * due.count(now + 1)
    envs.close()
    return [policy(one) for one in kept]


def _descend(
    net: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    optimiser: torch.optim.Adam,
    before: NDArray[np.uint8],
    action: NDArray[np.int64],
    reward: NDArray[np.float32],
    goes_on: NDArray[np.float32],
    after: NDArray[np.uint8],
) -> None:
    """One update by double Q-learning's Huber loss on n transitions."""
    then = torch.from_numpy(after)
    with torch.no_grad():
        best = values(net, then).argmax(1, keepdim=True)
        next_value = values(target, then).gather(1, best)[:, 0]
        wanted = torch.from_numpy(reward) + DISCOUNT * torch.from_numpy(goes_on) * next_value
    chosen = values(net, torch.from_numpy(before)).gather(1, torch.from_numpy(action)[:, None])[:, 0]
    optimiser.zero_grad()
    smooth_l1_loss(chosen, wanted).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
