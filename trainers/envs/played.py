"""Returns of episodes that environments play side by side, and what an agent earns that acts at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainers.envs.acting import World
from trainers.streams import ACTION_STREAM, PLAY_STREAM, generator

AT_ONCE = 128
"""Most environments in which episodes are played side by side to judge an agent."""

RANDOM_EPISODES, RANDOM_STEPS = 4096, 100_000
"""Episodes, and environment steps, after which it is known what random play earns: of rewards of ±1 the mean
is then uncertain by 0.015, and the slowest world takes a minute or two."""

MOST_STEPS = 27_000
"""Steps after which an episode that is played to judge an agent is cut off: Atari's half hour."""


class Tally:
    """Undiscounted returns of the episodes of n environments, which are cut off at :data:`MOST_STEPS`."""

    def __init__(self, n: int) -> None:
        self.returns: list[list[float]] = [[] for _ in range(n)]
        """Of each environment, episode after episode."""
        self._so_far, self._length = np.zeros(n), np.zeros(n, np.int64)

    def add(self, rewards: NDArray[np.float32], ended: NDArray[np.bool_]) -> None:
        """Count one step of each environment, (n,) rewards, and whether an episode ended with it."""
        self._so_far += rewards
        self._length += 1
        for index in np.flatnonzero(ended | (self._length >= MOST_STEPS)):
            self.returns[index].append(float(self._so_far[index]))
            self._so_far[index] = self._length[index] = 0

    def has(self, episodes: NDArray[np.int64]) -> bool:
        """Whether each environment has ended so many (n,)."""
        return all(len(own) >= most for own, most in zip(self.returns, episodes, strict=True))

    def first(self, episodes: NDArray[np.int64]) -> NDArray[np.float64]:
        """The returns of the first (n,) episodes of each environment, in a row."""
        return np.array(
            [value for own, most in zip(self.returns, episodes, strict=True) for value in own[:most]]
        )


def random_returns(world: World, variant: str) -> NDArray[np.float64]:
    """Undiscounted returns of an agent that acts at random in a look, as many of each environment.

    Whole rounds are played, an episode of each environment, until there are :data:`RANDOM_EPISODES` or
    :data:`RANDOM_STEPS` are done. Episodes longer than :data:`MOST_STEPS` are cut off.
    """
    envs, rng = world.envs(variant, AT_ONCE, PLAY_STREAM, 0), generator(ACTION_STREAM, 0)
    tally, rounds, steps = Tally(AT_ONCE), np.zeros(AT_ONCE, np.int64), 0
    while steps < RANDOM_STEPS and rounds.sum() < RANDOM_EPISODES:
        rounds += 1
        while not tally.has(rounds):
            came = envs.step(world.actions.sample(rng, AT_ONCE))
            tally.add(came.rewards, came.ended)
            steps += AT_ONCE
    envs.close()
    return tally.first(rounds)
