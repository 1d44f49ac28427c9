"""Catch: a ball falls, a paddle at the bottom catches it or not; five looks of one game, and its negative.

The world of the third paper (Dean, Toyama and Precup, section 4.2): AndroidEnv's Catch, whose screen of
480×320 is seen at 120×80. The ball starts at the top in a random column and falls straight down. When it
meets the top of the paddle, the episode ends: +1 if it touches the paddle, −1 if it does not.

Sizes and colours of the variants are not published: those of :data:`LOOKS` and :data:`LOOKS_SMALL` are our
own choice, and settings. The default is that of AndroidEnv's code of 2025 (radius 10, paddle 80×10, speed
0.2 a millisecond, white on black) at a quarter of its size: ball 5, paddle 20×3, and 3 rows a step (15 steps
a second make 3.3). A touch moves the paddle to the touched column, as there; the paper's grid of touches has
9 rows and 6 columns, and the row has no effect. The small world, 24×24, is moved by left, stay and right.

A hidden state is the ball's cell (``row``, ``column``) and the paddle's (``paddle``): sprites are centred on
them, those of even size reach one cell further right and down, and what is beyond the screen is cut off. All
looks share the same motion, so any look can show any state; which ball is caught follows from the look's
own sizes.

>>> world = CATCHES["catch-small"]
>>> states = world.sample_states(5, 0).states
>>> {name: world.render(states, name).shape for name in world.variants[:2]}
{'default': (5, 3, 24, 24), 'large-ball': (5, 3, 24, 24)}
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import numpy as np
import pydantic
from numpy.typing import NDArray

from trainers.envs.acting import (
    Discrete,
    Saved,
    States,
    Step,
    Walk,
    WorldError,
    checked_actions,
    checked_arrays,
    checked_count,
    checked_variant,
    configured,
    walk,
)
from trainers.streams import WORLD_STREAM, generator
from trainers.system import Share

Colour = tuple[int, int, int]
BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""

CAUGHT, MISSED = 1.0, -1.0

MOST_CELLS = 256
"""Most rows and columns of a screen: the table of a look's pictures then takes 100 MB."""

TABLE_BYTES = 2**21
"""Most bytes of a look's table of whole pictures: what a core's cache holds. 24×24 in colour takes 1 MB."""

PICTURE_ROWS = 240
"""Height of a rendered picture, at least."""

BLOCK = 256
"""Episodes that a place draws at once, with a generator of their own: each can be had by its number."""


@dataclass(frozen=True)
class Look:
    """Sizes in cells and colours of one look."""

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid")

    ball: int
    """Cells across the ball: a disc, which is a square up to 3."""
    paddle: int
    """Cells across the paddle."""
    background: Colour = BLACK
    ball_colour: Colour = WHITE
    paddle_colour: Colour = WHITE

    def inverted(self) -> Look:
        """The negative of this look."""
        colours = (self.background, self.ball_colour, self.paddle_colour)
        first, second, third = ((255 - r, 255 - g, 255 - b) for r, g, b in colours)
        return Look(self.ball, self.paddle, first, second, third)


def looks(default: Look, large: int, small: int, narrow: int) -> dict[str, Look]:
    """The paper's five looks and the negative, from the default and the sizes of balls and small paddle."""
    return {
        "default": default,
        "large-ball": replace(default, ball=large),
        "small-ball": replace(default, ball=small),
        "small-paddle": replace(default, paddle=narrow),
        "red-background": replace(default, background=RED),
        "inverted": default.inverted(),
    }


LOOKS = looks(Look(5, 20), large=12, small=3, narrow=10)
LOOKS_SMALL = looks(Look(2, 6), large=5, small=1, narrow=3)


@dataclass(frozen=True)
class CatchWorld:
    """The rules and pictures of one size of the game; raises :class:`trainers.envs.acting.WorldError`."""

    name: str = "catch"
    height: int = 120
    width: int = 80
    paddle_height: int = 3
    speed: int = 3
    """Rows that the ball falls in a step."""
    touches: tuple[int, int] | None = (9, 6)
    """Rows and columns of the grid of touches; None for the three moves left, stay, right."""
    looks: Mapping[str, Look] = field(default_factory=lambda: LOOKS)
    colour: bool = True
    """Whether observations have three channels (red, green, blue) or one (grey)."""

    def __post_init__(self) -> None:
        if "default" not in self.looks:
            raise WorldError(f"looks: found {', '.join(self.looks)}, expected one named default")
        if not (2 <= self.height <= MOST_CELLS and 2 <= self.width <= MOST_CELLS):
            found = f"{self.height}×{self.width}"
            raise WorldError(f"height and width: found {found}, expected 2 to {MOST_CELLS} each")
        if self.touches and not all(1 <= lines <= MOST_CELLS for lines in self.touches):
            raise WorldError(f"touches: found {self.touches}, expected 1 to {MOST_CELLS} rows and columns")
        smallest = min(self.speed, self.paddle_height)
        if smallest < 1:
            raise WorldError(f"speed and paddle_height: found {smallest}, expected 1 or more")
        for name, look in self.looks.items():
            if not (1 <= look.ball <= min(self.height, self.width) and 1 <= look.paddle <= self.width):
                found = f"a ball of {look.ball} and a paddle of {look.paddle}"
                raise WorldError(f"look {name!r}: found {found}, expected 1 to what the screen holds")
            if not all(0 <= c <= 255 for c in look.background + look.ball_colour + look.paddle_colour):
                raise WorldError(f"look {name!r}: found a colour beyond 0 to 255")
        if self.landing < 1:
            raise WorldError(f"height: found {self.height}, expected room for the ball to fall")

    # --- what acting worlds have

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        return (3 if self.colour else 1, self.height, self.width)

    @functools.cached_property
    def actions(self) -> Discrete:
        if self.touches is None:
            return Discrete(("left", "stay", "right"))
        rows, columns = self.touches
        return Discrete(tuple(f"touch {row},{column}" for row in range(rows) for column in range(columns)))

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(self.looks)

    @property
    def max_steps(self) -> int:
        """Steps of every episode: the ball falls at the same speed in all."""
        return -(-self.landing // self.speed)

    @property
    def exact(self) -> bool:
        return True

    @property
    def share(self) -> Share:
        """The share of balls caught: an episode is one ball, which pays +1 or −1."""
        return Share("share of balls caught", -MISSED / (CAUGHT - MISSED), 1 / (CAUGHT - MISSED))

    def envs(self, variant: str, n: int, *seed: int) -> CatchEnvs:
        return CatchEnvs(self, checked_variant(self, variant), checked_count(n), *seed)

    def sample_states(self, n: int, *seed: int, apart: int = 1) -> Walk:
        """n steps of a random policy in the default look; all looks have the same motion."""
        return walk(self, "default", n, *seed, apart=apart)

    def render(self, states: States, variant: str) -> NDArray[np.uint8]:
        drawing = self.drawing(checked_variant(self, variant))
        return drawing(states["row"], states["column"], states["paddle"])

    def variables(self, states: States) -> dict[str, NDArray[np.float64]]:
        """The ball's row and column, the paddle's column, and how far the paddle is right of the ball."""
        row, column, paddle = (states[name].astype(np.float64) for name in ("row", "column", "paddle"))
        return {
            "ball_row": row,
            "ball_column": column,
            "paddle_column": paddle,
            "paddle_offset": paddle - column,
        }

    def pictures(self, states: States, variant: str, scale: int = 8) -> NDArray[np.uint8]:
        """Enlarged pictures for people, (n, h · scale, w · scale, 3), in colour whatever agents see."""
        coloured = self if self.colour else replace(self, colour=True)
        small = coloured.render(states, variant).transpose(0, 2, 3, 1)
        return small.repeat(scale, 1).repeat(scale, 2)

    # --- rules

    @property
    def top(self) -> int:
        """The paddle's upper row."""
        return self.height - self.paddle_height

    @property
    def landing(self) -> int:
        """The first row of the ball's cell at which the default ball meets the paddle's upper row."""
        return self.top - reach(self.looks["default"].ball)[1]

    @functools.cached_property
    def columns(self) -> tuple[int, int]:
        """First and last column in which a ball starts: the default ball is whole on the screen."""
        before, after = reach(self.looks["default"].ball)
        return before, self.width - 1 - after

    @functools.cached_property
    def places(self) -> NDArray[np.int16]:
        """Columns that the paddle may have, in order.

        With moves those in which the default paddle is whole on the screen; with touches the middle of each
        column of the grid. It starts at a random one of them.
        """
        if self.touches is None:
            before, after = reach(self.looks["default"].paddle)
            return np.arange(before, self.width - after, dtype=np.int16)
        columns = self.touches[1]
        return np.array([(2 * i + 1) * self.width // (2 * columns) for i in range(columns)], np.int16)

    def moved(self, paddle: NDArray[np.int16], actions: NDArray[np.integer]) -> NDArray[np.int16]:
        """The paddle's columns (n,) after one action each."""
        if self.touches is not None:
            return self.places.take(actions % self.touches[1])
        moved = paddle + (actions - 1).astype(np.int16)
        return moved.clip(self.places[0], self.places[-1])

    def caught(self, column: NDArray[np.int16], paddle: NDArray[np.int16], variant: str) -> NDArray[np.bool_]:
        """Whether balls that land in these columns (n,) touch the paddle: some column is under both."""
        look = self.looks[variant]
        ball, wide = reach(look.ball), reach(look.paddle)
        offset = column - paddle
        return (offset + ball[1] >= -wide[0]) & (offset - ball[0] <= wide[1])

    # --- pictures

    def drawing(self, variant: str) -> Drawing:
        """What draws a look; made once."""
        if variant not in self._drawings:
            self._drawings[variant] = Drawing(self, self.looks[variant])
        return self._drawings[variant]

    @functools.cached_property
    def _drawings(self) -> dict[str, Drawing]:
        return {}


def reach(size: int) -> tuple[int, int]:
    """Cells that a sprite of so many cells has before and after the one that it is centred on."""
    return (size - 1) // 2, size // 2


class Drawing:
    """Draws states of one look.

    For every column there is a picture twice as high as the screen with the ball in the middle row: an
    observation is a window of it, its start decided by the ball's row, and in one piece in memory. Where all
    windows together take little memory (:data:`TABLE_BYTES`), they are cut out once, and looked up.
    """

    def __init__(self, world: CatchWorld, look: Look) -> None:
        self._shape = world.observation_shape
        channels, height, width = self._shape
        background, ball, paddle = (
            np.array(colour if world.colour else [_grey(colour)], np.uint8)
            for colour in (look.background, look.ball_colour, look.paddle_colour)
        )
        before, after = reach(look.ball)
        sheets: NDArray[np.uint8] = np.empty((channels, width, 2 * height, width), np.uint8)
        sheets[:] = background[:, None, None, None]
        cells = np.arange(look.ball) - (look.ball - 1) / 2
        disc = cells[:, None] ** 2 + cells**2 <= max(look.ball**2 / 4, 0.5)
        for row, column in np.argwhere(disc) - before:
            seen = np.arange(max(0, -column), min(width, width - column))
            sheets[:, seen, height + row, seen + column] = ball[:, None]
        starts = width * 2 * height - height + 1
        strides = (width, sheets.strides[0], 1)
        self._windows: NDArray[np.uint8] = np.lib.stride_tricks.as_strided(
            sheets, (starts, channels, height * width), strides, writeable=False
        )
        self._table: NDArray[np.uint8] | None = None
        if height * width * channels * height * width <= TABLE_BYTES:
            row, column = np.divmod(np.arange(height * width), width)
            whole = self._windows[column * (2 * height) + height - row]
            self._table = whole.reshape(height * width, -1)
        self._top, self._below = world.top, after
        offset = np.arange(width) - np.arange(width)[:, None]
        wide = reach(look.paddle)
        self._mask = (offset >= -wide[0]) & (offset <= wide[1])
        self._paddle = paddle[:, None, None]
        strips = np.where(self._mask[:, None, None], self._paddle, background[:, None, None])
        self._strips = strips.repeat(world.paddle_height, 2).astype(np.uint8)

    def __call__(
        self, row: NDArray[np.int16], column: NDArray[np.int16], paddle: NDArray[np.int16]
    ) -> NDArray[np.uint8]:
        """Observations (n, c, h, w), a new array; the paddle hides what is behind it."""
        _, height, width = self._shape
        if self._table is None:
            start = column.astype(np.intp) * (2 * height) + (height - row)
            seen: NDArray[np.uint8] = self._windows[start].reshape(-1, *self._shape)
        else:
            seen = self._table.take(row.astype(np.intp) * width + column, 0).reshape(-1, *self._shape)
        floor = seen[:, :, self._top :]
        if len(row) and row.max() + self._below < self._top:
            floor[:] = self._strips[paddle]
        else:
            np.copyto(floor, self._paddle, where=self._mask[paddle][:, None, None])
        return seen


class CatchEnvs:
    """n games of one look side by side.

    Place i's balls come one after the other from the seed, i and their number alone: they depend neither on
    what is played nor on other places.
    """

    def __init__(self, world: CatchWorld, variant: str, n: int, *seed: int) -> None:
        self.world, self.variant, self._seed = world, variant, seed
        self._drawing = world.drawing(variant)
        self._every = np.arange(n)
        self._number = np.zeros(n, np.int64)
        self._block = np.full(n, -1, np.int64)
        self._starts = np.empty((2, n, BLOCK), np.int16)
        self._row, self._column, self._paddle = (np.zeros(n, np.int16) for _ in range(3))
        self._last = self._row[:0], self._column[:0], self._paddle[:0]
        self._begin(self._every)
        self._observations = self._drawing(self._row, self._column, self._paddle)

    @property
    def observations(self) -> NDArray[np.uint8]:
        return self._observations

    def _begin(self, which: NDArray[np.integer]) -> None:
        """Put the next ball and paddle in these places, from the blocks that their numbers are in."""
        block, offset = np.divmod(self._number[which], BLOCK)
        self._draw(which[block != self._block[which]])
        self._row[which] = 0
        self._column[which], self._paddle[which] = self._starts[:, which, offset]

    def _draw(self, which: NDArray[np.integer]) -> None:
        """Draw the blocks of episodes that these places are in."""
        first, last = self.world.columns
        for place in which.tolist():
            self._block[place] = block = int(self._number[place]) // BLOCK
            rng = generator(WORLD_STREAM, *self._seed, place, block)
            self._starts[0, place] = rng.integers(first, last, size=BLOCK, endpoint=True)
            self._starts[1, place] = self.world.places[rng.integers(len(self.world.places), size=BLOCK)]

    def step(self, actions: NDArray[np.integer]) -> Step:
        n = len(self._every)
        actions = checked_actions(actions, n, self.world.actions.n)
        self._paddle = self.world.moved(self._paddle, actions)
        self._row += self.world.speed
        terminated = self._row >= self.world.landing
        rewards = np.zeros(n, np.float32)
        ended = np.flatnonzero(terminated)
        self._last = self._row[ended], self._column[ended], self._paddle[ended]
        if len(ended):
            _, column, paddle = self._last
            caught = self.world.caught(column, paddle, self.variant)
            rewards[ended] = np.where(caught, np.float32(CAUGHT), np.float32(MISSED))
            self._number[ended] += 1
            self._begin(ended)
        self._observations = self._drawing(self._row, self._column, self._paddle)
        return Step(rewards, terminated, np.zeros(n, np.bool_))

    def last_observations(self) -> NDArray[np.uint8]:
        return self._drawing(*self._last)

    def hidden(self) -> States:
        return {"row": self._row.copy(), "column": self._column.copy(), "paddle": self._paddle.copy()}

    def state(self) -> Saved:
        """The episodes' numbers and the hidden states: balls to come follow from the numbers."""
        return Saved({"number": self._number.copy(), **self.hidden()})

    def restore(self, saved: Saved) -> None:
        checked_arrays(saved, self.state())
        number, row, column, paddle = (saved.arrays[k] for k in ("number", "row", "column", "paddle"))
        first, last = self.world.columns
        inside = (number >= 0) & (row >= 0) & (row < self.world.landing)
        inside &= (column >= first) & (column <= last) & np.isin(paddle, self.world.places)
        if not inside.all():
            place = int(np.flatnonzero(~inside)[0])
            raise WorldError(f"state of environments: place {place}: found a ball or paddle off the screen")
        self._number, self._row, self._column, self._paddle = (
            array.copy() for array in (number, row, column, paddle)
        )
        self._last = self._row[:0], self._column[:0], self._paddle[:0]
        self._observations = self._drawing(self._row, self._column, self._paddle)

    def close(self) -> None:
        """Nothing is held."""


class Catch(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """One game as an environment, in one of the looks: every reset drops a ball.

    Observations are (h, w, 3) uint8, or (h, w, 1) in grey; actions are ``Discrete``. Beside each observation
    stand the variables of :meth:`CatchWorld.variables`.

    >>> env = Catch("large-ball", "catch-small")
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape, info["ball_row"], env.action_space
    ((24, 24, 3), 0.0, Discrete(3))
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self,
        variant: str = "default",
        size: str = "catch",
        render_mode: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if size not in CATCHES:
            raise WorldError(f"size: found {size!r}, expected one of {', '.join(CATCHES)}")
        world = configured(CATCHES[size], settings or {})
        assert isinstance(world, CatchWorld)
        self.world, self.variant = world, checked_variant(world, variant)
        self.render_mode = render_mode
        channels, height, width = world.observation_shape
        self.observation_space = gymnasium.spaces.Box(0, 255, (height, width, channels), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(world.actions.n)
        self.states: dict[str, NDArray[np.int16]] | None = None
        """The hidden state: one row; None before the first reset."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        first, last = self.world.columns
        column = self.np_random.integers(first, last, size=1, endpoint=True)
        paddle = self.world.places[self.np_random.integers(len(self.world.places), size=1)]
        self.states = {"row": np.zeros(1, np.int16), "column": column.astype(np.int16), "paddle": paddle}
        return self._observe(self.states)

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        if self.states is None:
            raise gymnasium.error.ResetNeeded("no ball falls yet; call reset() before step()")
        row = self.states["row"] + np.int16(self.world.speed)
        paddle = self.world.moved(self.states["paddle"], np.array([action]))
        self.states = {"row": row, "column": self.states["column"], "paddle": paddle}
        ended, reward = bool(row[0] >= self.world.landing), 0.0
        if ended:
            caught = self.world.caught(self.states["column"], paddle, self.variant)[0]
            reward = CAUGHT if caught else MISSED
        observation, info = self._observe(self.states)
        return observation, reward, ended, False, info

    def _observe(self, states: States) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        known = {name: float(values[0]) for name, values in self.world.variables(states).items()}
        return self.world.render(states, self.variant)[0].transpose(1, 2, 0).copy(), known

    def render(self) -> Any:
        if self.states is None or self.render_mode is None:
            return None
        scale = max(2, PICTURE_ROWS // self.world.height)
        return self.world.pictures(self.states, self.variant, scale)[0]


def _grey(colour: Colour) -> int:
    return round(sum(weight * part for weight, part in zip(LUMINANCE, colour, strict=True)))


CATCHES: dict[str, CatchWorld] = {
    "catch": CatchWorld(),
    "catch-small": CatchWorld("catch-small", 24, 24, 1, 1, None, LOOKS_SMALL),
}
"""The paper's world (120×80 pixels, 54 touches), and a small one that keeps what it shows (24×24, moves)."""
