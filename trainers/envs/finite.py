"""Finite worlds: tables of all states, what each action leads to, and transitions collected at random."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.streams import DATA_STREAM, generator


class UnknownWorldError(ValueError):
    """No world of that name; ``name``, ``known`` and ``nearest`` say more."""

    def __init__(self, name: str) -> None:
        self.name, self.known = name, world_names()
        self.nearest = next(iter(difflib.get_close_matches(name, self.known, 1)), None)
        hint = f"did you mean {self.nearest!r}?" if self.nearest else f"known: {', '.join(self.known)}"
        super().__init__(f"unknown world {name!r}; {hint}")


@dataclass(frozen=True)
class FiniteWorld:
    """A world with K states that can all be listed, shown by a source and a target task.

    ``observations[task]`` is (K, *observation shape) float32; ``transitions``, ``rewards`` and
    ``terminals`` are (K, actions). ``variables`` are known facts of each state, for probes and colours.
    """

    name: str
    observations: Mapping[str, NDArray[np.float32]]
    transitions: NDArray[np.int64]
    rewards: NDArray[np.float32]
    terminals: NDArray[np.bool_]
    start: int
    variables: Mapping[str, NDArray[np.generic]]
    action_names: tuple[str, ...]
    success_states: int
    """A transfer succeeds when this many states have their own base state as the nearest (DESIGN)."""

    @property
    def states(self) -> int:
        return int(self.transitions.shape[0])

    @property
    def actions(self) -> int:
        return int(self.transitions.shape[1])

    @property
    def observation_size(self) -> int:
        return int(np.prod(self.observations["source"].shape[1:]))


@dataclass(frozen=True)
class Transitions:
    """n collected steps as indices into a finite world; every array is (n,)."""

    state: NDArray[np.int64]
    action: NDArray[np.int64]
    reward: NDArray[np.float32]
    terminal: NDArray[np.bool_]
    next_state: NDArray[np.int64]
    episode: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.state)


def collect(
    world: FiniteWorld, steps: int, episode_steps: int, *seed: int, ends_are_terminal: bool = False
) -> Transitions:
    """``steps`` steps of a random policy, back to the start every ``episode_steps`` and at terminals.

    With ``ends_are_terminal`` the last step of an episode that was cut off is stored as terminal too; the
    next state of every terminal is then ``world.states``, one past the last: no state at all.
    """
    rng = generator(DATA_STREAM, *seed)
    actions = rng.integers(world.actions, size=steps)
    state = np.empty(steps, np.int64)
    episode = np.empty(steps, np.int64)
    here, walked, number = world.start, 0, 0
    for step, action in enumerate(actions.tolist()):
        state[step], episode[step] = here, number
        walked += 1
        if world.terminals[here, action] or walked == episode_steps:
            here, walked, number = world.start, 0, number + 1
        else:
            here = int(world.transitions[here, action])
    terminal, next_state = world.terminals[state, actions], world.transitions[state, actions]
    if ends_are_terminal:
        cut_off = np.bincount(episode)[episode] == episode_steps
        terminal = terminal | (cut_off & np.append(np.diff(episode) > 0, True))
        next_state = np.where(terminal, world.states, next_state)
    return Transitions(state, actions, world.rewards[state, actions], terminal, next_state, episode)


def _simple_maze() -> FiniteWorld:
    from trainers.envs import simple_maze as maze

    shape = maze.TRANSITIONS.shape
    return FiniteWorld(
        name="simple-maze",
        observations={task: maze.observations(task) for task in maze.TASKS},
        transitions=maze.TRANSITIONS,
        rewards=np.zeros(shape, np.float32),
        terminals=np.zeros(shape, np.bool_),
        start=maze.START,
        variables={
            "row": maze.CELLS[:, 0],
            "column": maze.CELLS[:, 1],
            "room": np.array(maze.ROOMS),
        },
        action_names=maze.ACTION_NAMES,
        success_states=29,
    )


_WORLDS = {"simple-maze": _simple_maze}


def world_names() -> list[str]:
    """The names that :func:`world` knows."""
    return sorted(_WORLDS)


def world(name: str) -> FiniteWorld:
    """The world of that name; raises :class:`UnknownWorldError` with the nearest match."""
    if name not in _WORLDS:
        raise UnknownWorldError(name)
    return _WORLDS[name]()
