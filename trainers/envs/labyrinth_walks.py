"""Many labyrinths played side by side, and random walks through them, kept as hidden states.

>>> walk = collect(LABYRINTHS["labyrinth-small"], 1000, 7)
>>> len(walk), walk.before(np.arange(32)).walls.shape
(1000, (32, 6, 6))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.envs.labyrinth import (
    LABYRINTHS,
    TAKEN,
    LabyrinthError,
    LabyrinthWorld,
    Number,
    States,
    Task,
    joined,
)
from trainers.streams import DATA_STREAM, EVALUATION_STREAM, WORLD_STREAM, generator

__all__ = ["LABYRINTHS", "Labyrinths", "Steps", "Walk", "collect", "scattered"]

BLOCK = 16
"""Labyrinths that a place draws at once, with a generator of their own: each can be had by its number."""

SIDE_BY_SIDE = 64
"""Labyrinths that a random walk is collected from at a time; a part of its numbers, not only of its speed."""


@dataclass(frozen=True)
class Steps:
    """One step of n labyrinths; every array is (n,)."""

    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    """Whether the last key was taken."""
    truncated: NDArray[np.bool_]
    """Whether the episode had its most steps, and keys were left."""
    reached: States
    """The states that the actions led to, before any labyrinth was replaced."""


class Labyrinths:
    """n labyrinths played at once; whichever ends is replaced by a fresh one in the same step.

    Place i's labyrinths come one after the other from the stream's seed, i and their number alone: they do
    not depend on what is played, on other places, or on whether the play was stopped and taken up again.
    """

    def __init__(self, world: LabyrinthWorld, n: int, stream: int, *seed: int) -> None:
        self.world, self._seed = world, (stream, *seed)
        self._blocks: dict[int, tuple[int, States]] = {}
        self.number = np.zeros(n, np.int64)
        """Labyrinths that each place has ended, (n,)."""
        self.steps = np.zeros(n, np.int64)
        """Steps in each place's current labyrinth, (n,)."""
        self.states: States = joined([self._fresh(place) for place in range(n)])

    def __len__(self) -> int:
        return len(self.number)

    def _fresh(self, place: int) -> States:
        block, offset = divmod(int(self.number[place]), BLOCK)
        if self._blocks.get(place, (-1,))[0] != block:
            stream, *seed = self._seed
            drawn = self.world.draw(generator(stream, *seed, place, block), BLOCK)
            self._blocks[place] = block, drawn
        return self._blocks[place][1][offset : offset + 1]

    def step(self, actions: NDArray[np.integer]) -> Steps:
        """Take one action (n,) in each labyrinth."""
        reached, rewards, terminated = self.world.step(self.states, actions)
        self.steps += 1
        over = self.world.steps is not None and self.steps >= self.world.steps
        truncated = over & ~terminated
        self.states = reached
        ended = np.flatnonzero(terminated | truncated)
        if len(ended):
            self.number[ended] += 1
            self.steps[ended] = 0
            fresh = joined([self._fresh(place) for place in ended.tolist()])
            self.states = States(reached.walls.copy(), reached.agent.copy(), reached.keys.copy())
            self.states.walls[ended] = fresh.walls
            self.states.agent[ended] = fresh.agent
            self.states.keys[ended] = fresh.keys
        return Steps(rewards, terminated, truncated, reached)

    def observations(self, task: Task) -> NDArray[np.float32]:
        """Pictures (n, side, side) of the labyrinths as they stand."""
        return self.world.observations(self.states, task)

    def state(self) -> dict[str, NDArray[np.integer]]:
        """Copies of all that :meth:`restore` needs beside what the labyrinths were made with."""
        return {
            "number": self.number.copy(),
            "steps": self.steps.copy(),
            "agent": self.states.agent.copy(),
            "keys": self.states.keys.copy(),
        }

    def restore(self, state: Mapping[str, NDArray[np.integer]]) -> None:
        """Go on from there, bit for bit; raises :class:`LabyrinthError` for a state of other labyrinths."""
        wanted = self.state()
        for name, array in wanted.items():
            if name not in state or state[name].shape != array.shape:
                size = f"shape {state[name].shape}" if name in state else "none"
                raise LabyrinthError(
                    f"state of labyrinths: {name}: found {size}, expected shape {array.shape}"
                )
        self.number = state["number"].astype(np.int64)
        self.steps = state["steps"].astype(np.int64)
        walls = joined([self._fresh(place) for place in range(len(self))]).walls
        agent, keys = state["agent"].astype(np.int16), state["keys"].astype(np.int16)
        self.states = States(walls, agent, keys)


@dataclass(frozen=True)
class Walk:
    """n steps of a policy as hidden states: each labyrinth's walls once, and the rest per step.

    Steps of an episode follow each other. 200,000 steps take about 5 MB where their pictures would take
    3.7 GB; render the ones that are needed.
    """

    walls: NDArray[np.bool_]
    """(episodes, tiles, tiles): every episode has a labyrinth of its own."""
    episode: NDArray[np.int32]
    agent: NDArray[np.int16]
    keys: NDArray[np.int16]
    """(n, keys), like ``next_keys``; the other arrays are (n,)."""
    action: NDArray[np.uint8]
    reward: NDArray[np.float32]
    terminal: NDArray[np.bool_]
    """Whether the step took the last key. A step after which the time was over is no terminal."""
    next_agent: NDArray[np.int16]
    next_keys: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.episode)

    def before(self, rows: NDArray[np.integer]) -> States:
        """The states that these steps started from."""
        return States(self.walls[self.episode[rows]], self.agent[rows], self.keys[rows])

    def after(self, rows: NDArray[np.integer]) -> States:
        """The states that these steps led to; of an episode's last step, too."""
        return States(self.walls[self.episode[rows]], self.next_agent[rows], self.next_keys[rows])


def collect(world: LabyrinthWorld, steps: int, *seed: int, places: int = SIDE_BY_SIDE) -> Walk:
    """``steps`` steps (1 or more) of a random policy, taken in ``places`` labyrinths side by side."""
    places = min(places, steps)
    rounds = -(-steps // places)
    rng = generator(DATA_STREAM, *seed)
    play = Labyrinths(world, places, WORLD_STREAM, *seed)
    action = rng.integers(world.actions, size=(rounds, places), dtype=np.uint8)
    agent = np.empty((2, rounds, places), np.int16)
    keys = np.empty((2, rounds, places, world.keys), np.int16)
    reward = np.empty((rounds, places), np.float32)
    terminal, first = np.empty((2, rounds, places), np.bool_)
    walls: list[NDArray[np.bool_]] = []
    owners: list[NDArray[np.intp]] = []
    for now in range(rounds):
        first[now] = play.steps == 0
        if first[now].any():
            owners.append(np.flatnonzero(first[now]))
            walls.append(play.states.walls[owners[-1]])
        agent[0, now], keys[0, now] = play.states.agent, play.states.keys
        step = play.step(action[now])
        reward[now], terminal[now] = step.rewards, step.terminated
        agent[1, now], keys[1, now] = step.reached.agent, step.reached.keys
    order = np.concatenate(owners).argsort(kind="stable")

    def in_a_row(values: NDArray[Number]) -> NDArray[Number]:
        """Values (rounds, places, …) as one row (steps, …), place after place."""
        return values.swapaxes(0, 1).reshape(rounds * places, *values.shape[2:])[:steps]

    episode = np.cumsum(in_a_row(first)) - 1
    return Walk(
        walls=np.concatenate(walls)[order][: episode[-1] + 1],
        episode=episode.astype(np.int32),
        agent=in_a_row(agent[0]),
        keys=in_a_row(keys[0]),
        action=in_a_row(action),
        reward=in_a_row(reward),
        terminal=in_a_row(terminal),
        next_agent=in_a_row(agent[1]),
        next_keys=in_a_row(keys[1]),
    )


def scattered(world: LabyrinthWorld, n: int, *seed: int, walked: int | None = None) -> States:
    """n hidden states, each of a labyrinth of its own, after a random walk of 0 to ``walked`` − 1 steps.

    ``walked`` is the world's most steps where it is not given (50 where it has none). A walk stops before it
    would take the last key, so that every state has one left. ``walked=1`` gives fresh labyrinths, which is
    how the first paper measures its distance between embeddings (section 5.2.2).
    """
    rng = generator(EVALUATION_STREAM, *seed)
    states = world.draw(rng, n)
    most = walked or world.steps or 50
    length = rng.integers(most, size=n)
    for now in range(int(length.max(initial=0))):
        reached, _, ended = world.step(states, rng.integers(world.actions, size=n))
        length[ended & (now < length)] = 0
        goes = now < length
        agent = np.where(goes, reached.agent, states.agent)
        states = States(states.walls, agent, np.where(goes[:, None], reached.keys, states.keys))
    assert (states.keys != TAKEN).any(1).all()
    return states
