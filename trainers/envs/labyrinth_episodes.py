"""Whole episodes in labyrinths, played side by side by one policy: what its returns are.

>>> world = LABYRINTHS["labyrinth-small"]
>>> returns_of(world, "source", lambda pictures: np.zeros(len(pictures), np.int64), 3, 0, explore=1.0).shape
(3,)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trainers.envs.labyrinth import LABYRINTHS, LabyrinthWorld, Task
from trainers.streams import PLAY_STREAM, generator

__all__ = ["LABYRINTHS", "returns_of"]

Policy = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""Pictures (n, side, side) -> actions (n,)."""

UNLIMITED = 50
"""Steps of an episode in a world that has no limit: the paper's."""


def returns_of(
    world: LabyrinthWorld, task: Task, policy: Policy, episodes: int, *seed: int, explore: float = 0.0
) -> NDArray[np.float64]:
    """Undiscounted returns (episodes,) of one episode in each of so many fresh labyrinths.

    An episode ends with the last key, or after the world's most steps. A step is random with probability
    ``explore`` (ε-greedy). Labyrinths and random steps follow from the seed alone, so that two policies, or
    one in both tasks, are judged in the same ones.
    """
    rng = generator(PLAY_STREAM, *seed)
    states = world.draw(rng, episodes)
    limit = world.steps or UNLIMITED
    strays = rng.random((limit, episodes)) < explore
    astray = rng.integers(world.actions, size=(limit, episodes))
    returns, playing = np.zeros(episodes), np.arange(episodes)
    for now in range(limit):
        if not len(playing):
            break
        chosen = policy(world.observations(states, task))
        actions = np.where(strays[now, playing], astray[now, playing], chosen)
        states, rewards, ended = world.step(states, actions)
        returns[playing] += rewards
        playing, states = playing[~ended], states[~ended]
    return returns
