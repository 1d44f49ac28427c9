"""The simple maze: two rooms, one door, no reward; the source task and its photographic negative.

The world of the first paper (van Driessel and François-Lavet, section 5.1 and figure 3): 8×8 tiles,
a border of walls, a wall column at index 4 with a door at (4, 4). The agent starts in the door. Nothing
is rewarded and nothing ends, so whatever an agent learns here is the geometry alone.

Because there are only 31 places to stand, the whole world fits in two small tables: where each action
leads (:data:`TRANSITIONS`) and what each state looks like (:func:`observations`). Training and
diagnosis use the tables; :class:`SimpleMaze` is the same world as a :class:`gymnasium.Env`.

>>> observations("source").shape, TRANSITIONS.shape
((31, 8, 8), (31, 4))
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

SIZE = 8
DOOR = (4, 4)
WALL_COLUMN = 4
ACTIONS: tuple[tuple[int, int], ...] = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""(row, column) steps of the four actions: up, down, left, right."""
ACTION_NAMES = ("up", "down", "left", "right")

WALL, PATH, AGENT = 1.0, 0.0, 0.5

Task = Literal["source", "target"]
TASKS: tuple[Task, ...] = ("source", "target")


def _walls() -> NDArray[np.bool_]:
    walls = np.zeros((SIZE, SIZE), dtype=bool)
    walls[[0, -1], :] = True
    walls[:, [0, -1]] = True
    walls[:, WALL_COLUMN] = True
    walls[DOOR] = False
    return walls


WALLS: NDArray[np.bool_] = _walls()
CELLS: NDArray[np.int64] = np.argwhere(~WALLS)
"""(31, 2) the (row, column) of each state, in reading order; a state is its index here."""
ROOMS: tuple[str, ...] = tuple(
    "door" if (row, column) == DOOR else "left" if column < WALL_COLUMN else "right"
    for row, column in CELLS.tolist()
)
"""The room of each state: 18 left, 1 door, 12 right."""

_STATE_OF = {(row, column): state for state, (row, column) in enumerate(CELLS.tolist())}
START: int = _STATE_OF[DOOR]


def _transitions() -> NDArray[np.int64]:
    table = np.empty((len(CELLS), len(ACTIONS)), dtype=np.int64)
    for state, (row, column) in enumerate(CELLS.tolist()):
        for action, (down, right) in enumerate(ACTIONS):
            table[state, action] = _STATE_OF.get((row + down, column + right), state)
    return table


TRANSITIONS: NDArray[np.int64] = _transitions()
"""(31, 4) the state that each action leads to; walking into a wall stays put.

The random policy's stationary distribution is uniform over the 31 states: the table is doubly
stochastic (every step can be undone, every bump is a self-loop).
"""


def observations(task: Task) -> NDArray[np.float32]:
    """All observations of a task, (31, 8, 8): wall 1, path 0, agent 0.5; the target task's negated."""
    pictures = np.where(WALLS, WALL, PATH)[None].repeat(len(CELLS), axis=0)
    pictures[np.arange(len(CELLS)), CELLS[:, 0], CELLS[:, 1]] = AGENT
    # Subtracting from zero keeps the paths at +0.0; a plain minus would make them -0.0.
    return (pictures if task == "source" else 0.0 - pictures).astype(np.float32)


class SimpleMaze(gymnasium.Env[NDArray[np.float32], np.int64]):
    """The simple maze as an environment; ``task="target"`` shows its negative.

    Observations are (8, 8) float32 in [-1, 1]; actions are ``Discrete(4)``: up, down, left, right.
    Reward is always 0 and no state is terminal: give a time limit when making it, or step forever.
    ``reset(options={"state": 7})`` starts in a chosen state instead of in the door.

    >>> env = SimpleMaze()
    >>> observation, info = env.reset(seed=0)
    >>> info["state"] == START
    True
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, task: Task = "source", render_mode: str | None = None) -> None:
        if task not in TASKS:
            raise ValueError(f"task is {task!r}, expected one of {', '.join(TASKS)}")
        self.task: Task = task
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (SIZE, SIZE), np.float32)
        self.action_space = gymnasium.spaces.Discrete(len(ACTIONS))
        self._pictures = observations(task)
        self._state = START

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        state = int((options or {}).get("state", START))
        if not 0 <= state < len(CELLS):
            raise ValueError(f"state is {state}, expected 0 to {len(CELLS) - 1}")
        self._state = state
        return self._observe()

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self._state = int(TRANSITIONS[self._state, int(action)])
        observation, info = self._observe()
        return observation, 0.0, False, False, info

    def _observe(self) -> tuple[NDArray[np.float32], dict[str, Any]]:
        return self._pictures[self._state].copy(), {"state": self._state}

    def render(self) -> Any:
        if self.render_mode == "rgb_array":
            grey = np.round((self._pictures[self._state] + 1.0) * 127.5).astype(np.uint8)
            return np.kron(grey, np.ones((6, 6), np.uint8))[..., None].repeat(3, axis=-1)
        if self.render_mode == "ansi":
            tiles = np.where(WALLS, "#", ".")
            tiles[tuple(CELLS[self._state])] = "@"
            return "\n".join("".join(row) for row in tiles)
        return None
