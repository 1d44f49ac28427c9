"""Atari games and their flavours: modes and difficulties of a cartridge as the looks of one world.

The games are those of the Arcade Learning Environment (``ale-py``, the extra ``[atari]``, whose wheels bring
the cartridges). A flavour is named by its mode and difficulty as in the third paper: ``m0d0`` is the default,
``m12d0`` mode 12 at difficulty 0 (Farebrother et al. 2018). :data:`TRANSFERS` has the paper's nine transfers.

An observation is what agents see since Mnih et al. (2015): the last four frames, grey, 84×84. An action is
repeated for four frames and the last two are merged by their maximum. With probability ``sticky`` a frame
repeats the action before it (Machado et al. 2018). Frames are shrunk by the area of the pixels that they
cover, in whole numbers, so that bits are the same on every processor; a test shows that they are those of
OpenCV's area interpolation to a level of grey. Rewards are not clipped: that is the learner's affair.

Flavours are other games, not other looks at one hidden state: there are no paired observations here. A game
is saved bit for bit by the emulator's own states, generators included.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from trainers.envs.acting import (
    Discrete,
    Saved,
    Step,
    WorldError,
    checked_actions,
    checked_arrays,
    checked_count,
    checked_variant,
)
from trainers.streams import WORLD_STREAM, generator

TRANSFERS: tuple[tuple[str, str], ...] = (
    ("breakout", "m12d0"),
    ("freeway", "m1d1"),
    ("freeway", "m1d0"),
    ("freeway", "m4d0"),
    ("hero", "m1d0"),
    ("hero", "m2d0"),
    ("space_invaders", "m1d1"),
    ("space_invaders", "m1d0"),
    ("space_invaders", "m9d0"),
)
"""Game and target flavour of the paper's transfers, in the order of its table 1; all start from m0d0."""

SIDE = 84
STACKED = 4
SKIP = 4
SCREEN = (210, 160)
"""Rows and columns of the screens that can be shrunk."""
MOST_STEPS = 27_000
"""108,000 frames, half an hour of play: the time limit of ale-py's own environments."""
MOST_NOOPS = 30
"""Frames without an action that a game may start with, at random, as in the preprocessing of the field."""


@dataclass(frozen=True)
class AtariWorld:
    """One game in all its flavours; raises :class:`trainers.envs.acting.WorldError`."""

    game: str
    sticky: float = 0.25
    """Probability that a frame repeats the action before it."""
    full: bool = False
    """Whether actions are all 18 of the console, or those that the game uses."""
    steps: int = MOST_STEPS
    noops: int = MOST_NOOPS
    side: int = SIDE
    """Rows and columns of an observation."""
    stacked: int = STACKED
    """Frames of an observation."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", self.game):
            raise WorldError(f"game: found {self.game!r}, expected a name such as space_invaders")
        if not 0 <= self.sticky < 1:
            raise WorldError(f"sticky: found {self.sticky}, expected 0 to less than 1")
        if self.steps < 1 or self.noops < 0:
            raise WorldError(
                f"steps and noops: found {self.steps} and {self.noops}, expected 1 and 0 or more"
            )
        if not 1 <= self.side <= SCREEN[1] or self.stacked < 1:
            found = f"{self.side} and {self.stacked}"
            raise WorldError(f"side and stacked: found {found}, expected 1 to {SCREEN[1]}, and 1 or more")
        if tuple(self._made.getScreenDims()) != SCREEN:
            found = "×".join(map(str, self._made.getScreenDims()))
            raise WorldError(f"game: {self.game} has a screen of {found}, expected 210×160")

    @property
    def name(self) -> str:
        return f"atari-{self.game.replace('_', '-')}"

    @functools.cached_property
    def _made(self) -> Any:
        return console(self.game, self.sticky, 0)

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        return self.stacked, self.side, self.side

    @functools.cached_property
    def buttons(self) -> list[Any]:
        """The console's actions, by our numbers."""
        return list(self._made.getLegalActionSet() if self.full else self._made.getMinimalActionSet())

    @functools.cached_property
    def actions(self) -> Discrete:
        return Discrete(tuple(button.name.lower() for button in self.buttons))

    @functools.cached_property
    def variants(self) -> tuple[str, ...]:
        modes, difficulties = self._made.getAvailableModes(), self._made.getAvailableDifficulties()
        return tuple(f"m{mode}d{difficulty}" for mode in modes for difficulty in difficulties)

    @property
    def max_steps(self) -> int:
        return self.steps

    @property
    def exact(self) -> bool:
        return True

    def envs(self, variant: str, n: int, *seed: int) -> AtariEnvs:
        return AtariEnvs(self, checked_variant(self, variant), checked_count(n), *seed)


class AtariEnvs:
    """n games of one flavour side by side, each with generators of its own from the seed and its place."""

    def __init__(self, world: AtariWorld, variant: str, n: int, *seed: int) -> None:
        self.world, self.variant = world, variant
        mode, difficulty = map(int, re.findall(r"\d+", variant))
        self._rngs = [generator(WORLD_STREAM, *seed, place) for place in range(n)]
        self._consoles = [console(world.game, world.sticky, int(rng.integers(2**31))) for rng in self._rngs]
        for machine in self._consoles:
            machine.setMode(mode)
            machine.setDifficulty(difficulty)
        self._time = np.zeros(n, np.int64)
        self._stack = np.zeros((n, *world.observation_shape), np.uint8)
        self._last = self._stack[:0]
        self._screens = np.empty((n, *SCREEN), np.uint8)
        self._begin(np.arange(n))

    def _begin(self, which: NDArray[np.integer]) -> None:
        """Start these places' games, and show the first frame four times."""
        for place in which.tolist():
            machine = self._consoles[place]
            machine.reset_game()
            for _ in range(int(self._rngs[place].integers(self.world.noops + 1))):
                machine.act(self.world.buttons[0])
                if machine.game_over():
                    machine.reset_game()
            machine.getScreenGrayscale(self._screens[place])
        self._time[which] = 0
        self._stack[which] = shrunk(self._screens[which], self.world.side)[:, None]

    @property
    def observations(self) -> NDArray[np.uint8]:
        return self._stack.copy()

    def step(self, actions: NDArray[np.integer]) -> Step:
        n = len(self._consoles)
        actions = checked_actions(actions, n, len(self.world.buttons))
        rewards, terminated = np.zeros(n, np.float32), np.zeros(n, np.bool_)
        before = np.zeros(SCREEN, np.uint8)
        for place, action in enumerate(actions.tolist()):
            machine, button = self._consoles[place], self.world.buttons[action]
            before[:] = 0
            for frame in range(SKIP):
                rewards[place] += machine.act(button)
                if machine.game_over():
                    terminated[place] = True
                    break
                if frame == SKIP - 2:
                    machine.getScreenGrayscale(before)
            machine.getScreenGrayscale(self._screens[place])
            np.maximum(self._screens[place], before, out=self._screens[place])
        self._stack[:, :-1] = self._stack[:, 1:]
        self._stack[:, -1] = shrunk(self._screens, self.world.side)
        self._time += 1
        truncated = (self._time >= self.world.steps) & ~terminated
        ended = np.flatnonzero(terminated | truncated)
        self._last = self._stack[ended]
        if len(ended):
            self._begin(ended)
        return Step(rewards, terminated, truncated)

    def last_observations(self) -> NDArray[np.uint8]:
        return self._last.copy()

    def screens(self) -> NDArray[np.uint8]:
        """The screens in colour as people see them, (n, 210, 160, 3)."""
        return np.array([machine.getScreenRGB() for machine in self._consoles])

    def state(self) -> Saved:
        """The consoles' states as bytes (n, …), the stacks of frames, and the generators."""
        states = [np.frombuffer(m.cloneSystemState().serialize(), np.uint8) for m in self._consoles]
        size = np.array([len(state) for state in states])
        bytes_ = np.zeros((len(states), int(size.max())), np.uint8)
        for row, state in zip(bytes_, states, strict=True):
            row[: len(state)] = state
        arrays = {"consoles": bytes_, "size": size, "stack": self._stack.copy(), "time": self._time.copy()}
        return Saved(arrays, {"generators": [rng.bit_generator.state for rng in self._rngs]})

    def restore(self, saved: Saved) -> None:
        wanted = self.state()
        arrays = {name: array for name, array in wanted.arrays.items() if name != "consoles"}
        checked_arrays(saved, Saved(arrays, wanted.values))
        found, size = saved.arrays.get("consoles"), saved.arrays["size"]
        if found is None or found.dtype != np.uint8 or found.ndim != 2 or len(found) != len(size):
            raise WorldError(f"state of environments: consoles: expected {len(size)} rows of bytes")
        from ale_py import ALEState

        generators = saved.values["generators"]
        try:
            for machine, row, length in zip(self._consoles, found, size.tolist(), strict=True):
                machine.restoreSystemState(ALEState(row[:length].tobytes()))
            for rng, state in zip(self._rngs, generators, strict=True):
                rng.bit_generator.state = state
        except (SystemError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise WorldError(
                f"state of environments: found bytes or numbers that {self.world.name} cannot go on from"
            ) from error
        self._stack, self._time = saved.arrays["stack"].copy(), saved.arrays["time"].copy()
        self._last = self._stack[:0]

    def close(self) -> None:
        """Nothing is held beside memory."""


def console(game: str, sticky: float, seed: int) -> Any:
    """A console with a game's cartridge; raises :class:`trainers.envs.acting.WorldError`."""
    try:
        from ale_py import ALEInterface, LoggerMode, roms
    except ImportError as error:
        raise WorldError(
            f"the world atari-{game.replace('_', '-')} needs the package ale-py, which is not installed: "
            "pip install 'transfer-diag[atari]'"
        ) from error
    known = roms.get_all_rom_ids()
    if game not in known:
        raise WorldError(f"game: found {game!r}, expected one of {', '.join(known)}")
    ALEInterface.setLoggerMode(LoggerMode.Error)
    machine = ALEInterface()
    machine.setFloat("repeat_action_probability", sticky)
    machine.setInt("random_seed", seed)
    machine.loadROM(cast("Path", roms.get_rom_path(game)))
    return machine


def shrunk(screens: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.uint8]:
    """Screens (n, 210, 160) as (n, side, side): a pixel is the mean of what it covers, halves rounded up.

    At 84×84 a pixel covers 5/2 rows and 40/21 columns, so the sums have whole weights, which add up to
    5 · 40; they stay below 2²⁴ and are exact in float32. So they are at 64×64, with 105 · 5.
    """
    rows, columns = (_cover(size, side) for size in SCREEN)
    sums = rows @ (screens.astype(np.float32) @ columns.T)
    whole = round(float(rows[0].sum() * columns[0].sum()))
    return ((2 * sums.astype(np.int32) + whole) // (2 * whole)).astype(np.uint8)


@functools.cache
def _cover(size: int, side: int) -> NDArray[np.float32]:
    """Whole weights (side, size): how much of each pixel lies under each of so many."""
    unit = np.lcm(size, side)
    old, new = unit // size, unit // side
    first, start = np.arange(size) * old, np.arange(side)[:, None] * new
    over = np.minimum(first + old, start + new) - np.maximum(first, start)
    weights = over.clip(0)
    return np.array(weights // np.gcd.reduce(weights[weights > 0]), np.float32)
