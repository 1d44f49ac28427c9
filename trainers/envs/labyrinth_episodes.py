"""Whole episodes in labyrinths, played side by side by one policy: what its returns are.

>>> world = LABYRINTHS["labyrinth-small"]
>>> returns_of(world, "source", lambda pictures: np.zeros(len(pictures), np.int64), 3, 0, explore=1.0).shape
(3,)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.envs.labyrinth import LABYRINTHS, STEP_REWARD, LabyrinthWorld, States, Task, joined
from trainers.streams import PLAY_STREAM, generator

__all__ = ["LABYRINTHS", "Episode", "episode_of", "idle_return", "returns_of"]

Policy = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""Pictures (n, side, side) -> actions (n,)."""

UNLIMITED = 50
"""Steps of an episode in a world that has no limit: the paper's."""


@dataclass(frozen=True)
class Episode:
    """One whole episode of n steps."""

    states: States
    """The n + 1 states, from the first to the one that the last step led to."""
    rewards: NDArray[np.float32]
    """(n,) the reward of each step."""


@dataclass(frozen=True)
class _Round:
    """One step of all episodes that are still played."""

    playing: NDArray[np.int64]
    """Their numbers, (m,)."""
    before: States
    after: States
    rewards: NDArray[np.float32]


def idle_return(world: LabyrinthWorld) -> float:
    """The return of an agent that never takes a key: each step costs, up to the last."""
    return STEP_REWARD * (world.steps or UNLIMITED)


def returns_of(
    world: LabyrinthWorld, task: Task, policy: Policy, episodes: int, *seed: int, explore: float = 0.0
) -> NDArray[np.float64]:
    """Undiscounted returns (episodes,) of one episode in each of so many fresh labyrinths.

    An episode ends with the last key, or after the world's most steps. A step is random with probability
    ``explore`` (ε-greedy). Labyrinths and random steps follow from the seed alone, so that two policies, or
    one in both tasks, are judged in the same ones.
    """
    returns = np.zeros(episodes)
    for step in _rounds(world, task, policy, episodes, seed, explore):
        returns[step.playing] += step.rewards
    return returns


def episode_of(
    world: LabyrinthWorld,
    task: Task,
    policy: Policy,
    episodes: int,
    number: int,
    *seed: int,
    explore: float = 0.0,
) -> Episode:
    """Episode ``number`` of those that :func:`returns_of` plays with the same numbers, state by state."""
    states: list[States] = []
    rewards: list[NDArray[np.float32]] = []
    for step in _rounds(world, task, policy, episodes, seed, explore):
        place = np.flatnonzero(step.playing == number)
        if not len(place):
            break
        states += [step.after[place]] if states else [step.before[place], step.after[place]]
        rewards.append(step.rewards[place])
    return Episode(joined(states), np.concatenate(rewards))


def _rounds(
    world: LabyrinthWorld, task: Task, policy: Policy, episodes: int, seed: tuple[int, ...], explore: float
) -> Iterator[_Round]:
    """The steps of all episodes, side by side, until each has ended."""
    rng = generator(PLAY_STREAM, *seed)
    states = world.draw(rng, episodes)
    limit = world.steps or UNLIMITED
    strays = rng.random((limit, episodes)) < explore
    astray = rng.integers(world.actions, size=(limit, episodes))
    playing = np.arange(episodes)
    for now in range(limit):
        if not len(playing):
            return
        chosen = policy(world.observations(states, task))
        actions = np.where(strays[now, playing], astray[now, playing], chosen)
        before = states
        states, rewards, ended = world.step(states, actions)
        yield _Round(playing, before, states, rewards)
        playing, states = playing[~ended], states[~ended]
