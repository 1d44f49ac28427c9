"""Labyrinths with keys: walls and keys drawn anew for each episode; the source task and its negative.

The world of the first paper (van Driessel and François-Lavet, section 5.2 and figure 4). The agent starts in
the upper left corner of a square of tiles; an action that leads to a key takes it and earns +1, any other
costs 0.1. An episode ends with the last key (a terminal), or after 50 steps (none). Where the paper is
silent, its public files decide: a third of the inner tiles, rounded down, are walls, anywhere but in the
lowest inner row and the rightmost inner column; and the agent's start is always the same tile.

A labyrinth is drawn as a whole, walls and then keys, until the agent can reach every key: so every solvable
labyrinth is as likely as any other. Redraws are bounded (:data:`ROUNDS`).

:class:`LabyrinthWorld` holds the rules as pure functions on n hidden states at once (:class:`States`);
:mod:`trainers.envs.labyrinth_walks` plays many labyrinths side by side and collects random walks;
:class:`Labyrinth` is one labyrinth as a :class:`gymnasium.Env`.

>>> world = LABYRINTHS["labyrinth"]
>>> states = world.draw(np.random.default_rng(0), 5)
>>> world.observations(states, "source").shape
(5, 48, 48)
>>> world.variables(states)["keys_left"]
array([3, 3, 3, 3, 3])
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)

ACTIONS: tuple[tuple[int, int], ...] = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""(row, column) steps of the four actions: up, down, left, right."""
ACTION_NAMES = ("up", "down", "left", "right")

KEY_REWARD, STEP_REWARD = 1.0, -0.1
START = (1, 1)
TAKEN = -1
"""Stands for the tile of a key that has been taken."""

Task = Literal["source", "target"]
TASKS: tuple[Task, ...] = ("source", "target")

PATH, WALL, KEY, AGENT = range(4)
"""Kinds of tiles as they are shown: the agent hides the tile that it stands on."""

GREY = {PATH: -1.0, WALL: 1.0, KEY: 0.3, AGENT: 0.7}
"""Grey values of the source task; the target task negates them. Figures stand on a path's grey."""

FIGURES: dict[int, dict[int, tuple[str, ...]]] = {
    1: {KEY: ("#",), AGENT: ("#",)},
    2: {KEY: ("#.", ".#"), AGENT: (".#", "##")},
    6: {
        KEY: ("..##..", ".#..#.", ".#..#.", "..##..", "..###.", "..##.."),
        AGENT: ("..##..", "..##..", "######", "..##..", ".#..#.", "##..##"),
    },
}
"""Drawings of key and agent, by pixels a tile: ``#`` in their grey, ``.`` in that of a path."""

COLOURS = {PATH: (244, 240, 230), WALL: (52, 60, 78), KEY: (226, 158, 20), AGENT: (200, 40, 60)}
"""Red, green and blue of the pictures for people."""

ROUNDS = 500
"""Most rounds in which labyrinths with a key out of reach are drawn again."""
TRIES = 4
"""Labyrinths that are tried in a round for each that is missing: as many as make one at the paper's size."""
SOLVABLE = 0.05
"""Least part of trial labyrinths whose keys must be within reach: 8×8 tiles have 27%, 6×6 have 30%. With it,
500 rounds of 4 all fail once in 10**44 (0.95 ** 2000)."""
TRIALS = 2048


class LabyrinthError(ValueError):
    """Sizes that make no labyrinth; the message names the size, what was expected and what to do."""


@dataclass(frozen=True)
class States:
    """n hidden states. A tile is a number, ``row * tiles + column``."""

    walls: NDArray[np.bool_]
    """(n, tiles, tiles), border included."""
    agent: NDArray[np.int16]
    """(n,) the agent's tile."""
    keys: NDArray[np.int16]
    """(n, keys) each key's tile, :data:`TAKEN` where it has been taken."""

    def __len__(self) -> int:
        return len(self.agent)

    def __getitem__(self, rows: slice | NDArray[Any]) -> States:
        return States(self.walls[rows], self.agent[rows], self.keys[rows])


@dataclass(frozen=True)
class LabyrinthWorld:
    """The rules, drawing and pictures of all labyrinths of one size; raises :class:`LabyrinthError`."""

    tiles: int = 8
    """Tiles on a side, walls of the border included."""
    keys: int = 3
    pixels: int = 6
    """Pixels on a side of a tile."""
    steps: int | None = 50
    """Most steps of an episode; None for no limit, as in the public files' training (not in their tests)."""
    walls: int | None = None
    """Walls inside the border; None for a third of the inner tiles, rounded down."""

    def __post_init__(self) -> None:
        if self.pixels not in FIGURES:
            known = ", ".join(map(str, FIGURES))
            raise LabyrinthError(f"pixels: found {self.pixels}, expected one of {known}")
        if self.tiles < 4 or self.tiles > 128:
            raise LabyrinthError(f"tiles: found {self.tiles}, expected 4 to 128")
        if self.steps is not None and self.steps < 1:
            raise LabyrinthError(f"steps: found {self.steps}, expected 1 or more, or no limit")
        most = len(_wall_places(self.tiles))
        if not 0 <= self.inner_walls <= most:
            raise LabyrinthError(
                f"walls: found {self.inner_walls}, expected 0 to {most} in {self.tiles} tiles a side"
            )
        most = (self.tiles - 2) ** 2 - 1 - self.inner_walls
        if not 1 <= self.keys <= most:
            raise LabyrinthError(f"keys: found {self.keys}, expected 1 to {most} with these tiles and walls")
        if (solvable := _solvable(self.tiles, self.keys, self.inner_walls)) < SOLVABLE:
            raise LabyrinthError(
                f"walls: with {self.inner_walls} in {self.tiles} tiles a side the agent reaches all keys in "
                f"{solvable:.1%} of labyrinths, expected {SOLVABLE:.0%} or more; give fewer walls or keys"
            )

    @property
    def inner_walls(self) -> int:
        """Walls inside the border."""
        return (self.tiles - 2) ** 2 // 3 if self.walls is None else self.walls

    @property
    def side(self) -> int:
        """Pixels on a side of an observation."""
        return self.tiles * self.pixels

    @property
    def actions(self) -> int:
        return len(ACTIONS)

    # --- drawing labyrinths

    def draw(self, rng: np.random.Generator, n: int) -> States:
        """n fresh labyrinths whose keys can all be reached, the agent at its start, no key taken."""
        kept = [candidates(rng, 0, self.tiles, self.keys, self.inner_walls)]
        missing = n
        for _ in range(ROUNDS):
            if not missing:
                return joined(kept)
            tried = candidates(rng, TRIES * missing + TRIES, self.tiles, self.keys, self.inner_walls)
            good = tried[np.flatnonzero(reachable(tried).all(1))[:missing]]
            kept.append(good)
            missing -= len(good)
        raise LabyrinthError(f"no labyrinth in {ROUNDS} rounds of redraws; give fewer walls or keys")

    # --- rules

    def step(
        self, states: States, actions: NDArray[Any]
    ) -> tuple[States, NDArray[np.float32], NDArray[np.bool_]]:
        """The states after one action each (n,), with rewards (n,) and whether the last key was taken (n,).

        ``states`` is left as it is.
        """
        every = np.arange(len(states))
        goal = states.agent + self._moves[actions]
        blocked = states.walls.reshape(len(states), -1)[every, goal]
        agent = np.where(blocked, states.agent, goal)
        taken = states.keys == agent[:, None]
        keys = np.where(taken, np.int16(TAKEN), states.keys)
        rewards = np.where(taken.any(1), np.float32(KEY_REWARD), np.float32(STEP_REWARD))
        return States(states.walls, agent, keys), rewards, (keys == TAKEN).all(1)

    @functools.cached_property
    def _moves(self) -> NDArray[np.int16]:
        return np.array([row * self.tiles + column for row, column in ACTIONS], np.int16)

    # --- what is seen and what is known

    def shown(self, states: States) -> NDArray[np.uint8]:
        """Kind of each tile as it is shown, (n, tiles, tiles): path, wall, key or agent."""
        shown = states.walls.astype(np.uint8)
        flat = shown.reshape(len(states), self.tiles**2)
        which, number = np.nonzero(states.keys != TAKEN)
        flat[which, states.keys[which, number]] = KEY
        flat[np.arange(len(states)), states.agent] = AGENT
        return shown

    def observations(self, states: States, task: Task) -> NDArray[np.float32]:
        """Pictures (n, side, side) in [−1, 1] of hidden states in one task."""
        return _tiled(self.shown(states), _greys(self.pixels, task))

    def blocks(self, task: Task) -> NDArray[np.float32]:
        """Grey values of each kind of tile in a task, (kinds, pixels, pixels)."""
        return _greys(self.pixels, task)

    def paired_observations(self, states: States) -> dict[Task, NDArray[np.float32]]:
        """The same hidden states as each task shows them."""
        shown = self.shown(states)
        return {task: _tiled(shown, _greys(self.pixels, task)) for task in TASKS}

    def pictures(self, states: States, task: Task = "source", scale: int = 4) -> NDArray[np.uint8]:
        """Coloured pictures for people, (n, side, side, 3) uint8; the target task's are the complement.

        A tile is 6·scale pixels wide, whatever the observations have.
        """
        figures = np.array([_figure(6, kind) for kind in GREY])
        colours = np.array([COLOURS[kind] for kind in GREY], np.uint8)
        blocks = np.where(figures[..., None], colours[:, None, None], colours[PATH])
        planes = [_tiled(self.shown(states), blocks[..., channel]) for channel in range(3)]
        small = np.stack(planes, -1)
        return (small if task == "source" else 255 - small).repeat(scale, 1).repeat(scale, 2)

    def variables(self, states: States) -> dict[str, NDArray[np.int64]]:
        """Known facts of hidden states for probing, {name: (n,)}.

        They are the agent's ``row`` and ``column``, ``keys_left``, and ``distance`` (:meth:`distances`).
        """
        agent = states.agent.astype(np.int64)
        return {
            "row": agent // self.tiles,
            "column": agent % self.tiles,
            "keys_left": (states.keys != TAKEN).sum(1),
            "distance": self.distances(states),
        }

    def distances(self, states: States) -> NDArray[np.int64]:
        """Steps (n,) from the agent to the nearest key along paths; −1 where no key is within reach."""
        sources = np.zeros_like(states.walls)
        which, number = np.nonzero(states.keys != TAKEN)
        sources.reshape(len(states), self.tiles**2)[which, states.keys[which, number]] = True
        steps = walking_steps(states.walls, sources)
        return steps.reshape(len(states), self.tiles**2)[np.arange(len(states)), states.agent]


def candidates(rng: np.random.Generator, n: int, tiles: int, keys: int, walls: int) -> States:
    """n labyrinths with that many inner walls, drawn without a look at whether keys can be reached."""
    every = np.arange(n)[:, None]
    grid = np.ones((n, tiles, tiles), np.bool_)
    grid[:, 1:-1, 1:-1] = False
    flat = grid.reshape(n, tiles * tiles)
    places = _wall_places(tiles)
    # A full sort: in which order a partition leaves the least differs between processors.
    flat[every, places[rng.random((n, len(places))).argsort(1)[:, :walls]]] = True
    start = START[0] * tiles + START[1]
    scores = rng.random((n, tiles * tiles))
    scores[flat] = 2.0
    scores[:, start] = 2.0
    chosen = np.sort(scores.argsort(1)[:, :keys], 1).astype(np.int16)
    return States(grid, np.full(n, start, np.int16), chosen)


def reachable(states: States) -> NDArray[np.bool_]:
    """Whether there is a path from the agent to each key, (n, keys); for states with no key taken."""
    n, tiles, _ = states.walls.shape
    every = np.arange(n)
    start = np.zeros_like(states.walls)
    start.reshape(n, tiles * tiles)[every, states.agent] = True
    steps = walking_steps(states.walls, start).reshape(n, tiles * tiles)
    return np.asarray(steps[every[:, None], states.keys] >= 0)


def walking_steps(walls: NDArray[np.bool_], sources: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Fewest steps (n, tiles, tiles) from any of the source tiles to each tile; −1 where no path leads."""
    steps = np.full(walls.shape, -1)
    front, unseen, distance = sources & ~walls, ~walls, 0
    while front.any():
        steps[front] = distance
        unseen &= ~front
        near = np.zeros_like(front)
        near[:, 1:] |= front[:, :-1]
        near[:, :-1] |= front[:, 1:]
        near[:, :, 1:] |= front[:, :, :-1]
        near[:, :, :-1] |= front[:, :, 1:]
        front, distance = near & unseen, distance + 1
    return steps


def joined(parts: Sequence[States]) -> States:
    """States one after the other."""
    walls, agent, keys = zip(*((part.walls, part.agent, part.keys) for part in parts), strict=True)
    return States(np.concatenate(walls), np.concatenate(agent), np.concatenate(keys))


def _wall_places(tiles: int) -> NDArray[np.int64]:
    """The tiles that may become walls."""
    rows, columns = np.divmod(np.arange(tiles**2), tiles)
    inside = (np.minimum(rows, columns) >= 1) & (np.maximum(rows, columns) <= tiles - 3)
    return np.flatnonzero(inside & ~((rows == START[0]) & (columns == START[1])))


@functools.cache
def _solvable(tiles: int, keys: int, walls: int) -> float:
    """The part of trial labyrinths whose keys can all be reached."""
    tried = candidates(np.random.default_rng(0), TRIALS, tiles, keys, walls)
    return float(reachable(tried).all(1).mean())


@functools.cache
def _figure(pixels: int, kind: int) -> NDArray[np.bool_]:
    """Where a tile (pixels, pixels) has its own colour, and not a path's."""
    figure = FIGURES[pixels].get(kind, ("#" * pixels,) * pixels)
    return np.array([[mark == "#" for mark in row] for row in figure])


@functools.cache
def _greys(pixels: int, task: Task) -> NDArray[np.float32]:
    """Grey values of each kind of tile in a task, (kinds, pixels, pixels)."""
    greys = [np.where(_figure(pixels, kind), grey, GREY[PATH]) for kind, grey in GREY.items()]
    return np.array(greys if task == "source" else np.negative(greys), np.float32)


def _tiled(shown: NDArray[np.uint8], blocks: NDArray[Number]) -> NDArray[Number]:
    """Pictures (n, tiles·p, tiles·p) of kinds of tiles (n, tiles, tiles), one block (p, p) a kind."""
    n, tiles, _ = shown.shape
    pixels = blocks.shape[-1]
    pictures = np.empty((n, tiles, pixels, tiles, pixels), blocks.dtype)
    for row in range(pixels):
        pictures[:, :, row] = blocks[:, row].take(shown, 0)
    return pictures.reshape(n, tiles * pixels, tiles * pixels)


# After the rules, which it is made of.
LABYRINTHS: dict[str, LabyrinthWorld] = {
    "labyrinth": LabyrinthWorld(),
    "labyrinth-small": LabyrinthWorld(6, 2, 2, 30),
}
"""The paper's world (48×48 pixels), and a small one that keeps what it shows (12×12 pixels)."""


class Labyrinth(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One labyrinth at a time as an environment; ``task="target"`` shows its negative.

    Observations are (side, side) float32 in [−1, 1]; actions are ``Discrete(4)``: up, down, left, right.
    Each reset draws a labyrinth. The last key ends an episode (``terminated``), ``steps`` cut it short
    (``truncated``); beside each observation stand the agent's row and column and how many keys are left.

    >>> env = Labyrinth(tiles=6, keys=2, pixels=2, steps=30)
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape, info
    ((12, 12), {'row': 1, 'column': 1, 'keys_left': 2})
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        task: Task = "source",
        tiles: int = 8,
        keys: int = 3,
        pixels: int = 6,
        steps: int | None = 50,
        render_mode: str | None = None,
    ) -> None:
        if task not in TASKS:
            raise LabyrinthError(f"task: found {task!r}, expected one of {', '.join(TASKS)}")
        self.world = LabyrinthWorld(tiles, keys, pixels, steps)
        self.task: Task = task
        self.render_mode = render_mode
        side = self.world.side
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (side, side), np.float32)
        self.action_space = gymnasium.spaces.Discrete(len(ACTIONS))
        self.states: States | None = None
        """The hidden state: one row; None before the first reset."""
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.states, self._steps = self.world.draw(self.np_random, 1), 0
        return self._observe(self.states)

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        if self.states is None:
            raise gymnasium.error.ResetNeeded("no labyrinth is drawn yet; call reset() before step()")
        self.states, rewards, ended = self.world.step(self.states, np.array([action]))
        self._steps += 1
        cut = self.world.steps is not None and self._steps >= self.world.steps and not ended[0]
        observation, info = self._observe(self.states)
        return observation, float(rewards[0]), bool(ended[0]), cut, info

    def _observe(self, states: States) -> tuple[NDArray[np.float32], dict[str, Any]]:
        row, column = divmod(int(states.agent[0]), self.world.tiles)
        left = int((states.keys[0] != TAKEN).sum())
        info = {"row": row, "column": column, "keys_left": left}
        return self.world.observations(states, self.task)[0], info

    def render(self) -> Any:
        if self.states is None or self.render_mode is None:
            return None
        if self.render_mode == "rgb_array":
            return self.world.pictures(self.states, self.task)[0]
        return "\n".join("".join(".#k@"[kind] for kind in row) for row in self.world.shown(self.states)[0])
