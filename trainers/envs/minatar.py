"""MinAtar's five games, played side by side, with permuted and inverted channels as looks.

The games are those of the package ``minatar`` (Young and Tian 2019, arXiv 1903.03176; the extra
``[minatar]``): 10×10 cells, one channel for each kind of object. A look shows the same cells with the
channels in another order, or negated, so that looks differ in nothing but what is seen; the permutations
leave no channel where it was. Observations are 0 or 255.

A game is cut short after ``steps`` steps, which is our choice: the package knows no limit, and a good player
of breakout never ends. Actions are the game's own minimal set, or all six with ``minimal=False``, so that
several games have the same actions.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
    walk,
)
from trainers.streams import WORLD_STREAM, generator

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
ACTION_NAMES = ("none", "left", "up", "right", "down", "fire")

SINGLE = {
    "asterix": ("player",),
    "breakout": ("paddle", "ball"),
    "freeway": ("chicken",),
    "seaquest": ("sub_front",),
    "space_invaders": ("cannon",),
}
"""Channels in which one cell is always set: their row and column are variables."""

PERMUTATIONS = {"permuted": 1, "permuted-2": 2, "permuted-3": 3}
"""Looks with permuted channels, and the number that each one's order is drawn from."""

COLOURS = np.array(
    [
        (0, 158, 115),
        (240, 228, 66),
        (86, 180, 233),
        (213, 94, 0),
        (204, 121, 167),
        (230, 159, 0),
        (0, 114, 178),
        (255, 255, 255),
        (150, 150, 150),
        (220, 60, 60),
    ],
    np.uint8,
)
"""Colours of the channels in pictures for people, in the order in which they are shown."""

FIXED = ("channels", "action_map", "random", "ramping")
"""Attributes of a game that are made with it, and the generator, which is saved by itself."""


@dataclass(frozen=True)
class MinAtarWorld:
    """One game; raises :class:`trainers.envs.acting.WorldError`, also where the package is missing."""

    game: str
    sticky: float = 0.1
    """Probability that an action is the last one again, as in the package."""
    ramping: bool = True
    """Whether games grow harder with time, as in the package."""
    minimal: bool = True
    """Whether actions are the game's own, or all six."""
    steps: int = 5000

    def __post_init__(self) -> None:
        if self.game not in GAMES:
            raise WorldError(f"game: found {self.game!r}, expected one of {', '.join(GAMES)}")
        if not 0 <= self.sticky < 1:
            raise WorldError(f"sticky: found {self.sticky}, expected 0 to less than 1")
        if self.steps < 1:
            raise WorldError(f"steps: found {self.steps}, expected 1 or more")
        assert len(self.channels) <= len(COLOURS)

    @property
    def name(self) -> str:
        return f"minatar-{self.game.replace('_', '-')}"

    @functools.cached_property
    def _made(self) -> Any:
        """A game to look things up in."""
        return self.make()

    def make(self) -> Any:
        """A game of the package, whose generator is yet to be set."""
        return _module(self.game).Env(ramping=self.ramping)

    @functools.cached_property
    def channels(self) -> tuple[str, ...]:
        """The kinds of objects, in the package's order."""
        order: Mapping[str, int] = self._made.channels
        return tuple(sorted(order, key=lambda name: order[name]))

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        return len(self.channels), 10, 10

    @functools.cached_property
    def numbers(self) -> tuple[int, ...]:
        """The package's number of each action."""
        return tuple(self._made.minimal_action_set()) if self.minimal else tuple(range(len(ACTION_NAMES)))

    @functools.cached_property
    def actions(self) -> Discrete:
        return Discrete(tuple(ACTION_NAMES[number] for number in self.numbers))

    @property
    def variants(self) -> tuple[str, ...]:
        return ("default", *PERMUTATIONS, "inverted")

    @property
    def max_steps(self) -> int:
        return self.steps

    @property
    def exact(self) -> bool:
        return True

    def order(self, variant: str) -> NDArray[np.intp]:
        """For each channel of a look, which of the game's it shows."""
        order = every = np.arange(len(self.channels))
        if variant in PERMUTATIONS:
            rng = np.random.default_rng(PERMUTATIONS[variant])
            while (order == every).any():
                order = rng.permutation(len(every))
        return order

    def envs(self, variant: str, n: int, *seed: int) -> MinAtarEnvs:
        return MinAtarEnvs(self, checked_variant(self, variant), checked_count(n), *seed)

    def sample_states(self, n: int, *seed: int, apart: int = 1) -> Walk:
        """n steps of a random policy; what is hidden of a state is its cells, in the package's channels."""
        return walk(self, "default", n, *seed, apart=apart)

    def render(self, states: States, variant: str) -> NDArray[np.uint8]:
        """Observations (n, channels, 10, 10) of ``cells`` (n, channels, 10, 10), booleans."""
        cells = states["cells"].take(self.order(checked_variant(self, variant)), 1)
        return np.where(cells != (variant == "inverted"), np.uint8(255), np.uint8(0))

    def variables(self, states: States) -> dict[str, NDArray[np.float64]]:
        """How many cells each channel has, and row and column of what there is one of."""
        cells = states["cells"]
        known = {f"{name}_cells": cells[:, i].sum((1, 2)) for i, name in enumerate(self.channels)}
        for name in SINGLE[self.game]:
            flat = cells[:, self.channels.index(name)].reshape(len(cells), -1).argmax(1)
            known[f"{name}_row"], known[f"{name}_column"] = np.divmod(flat, cells.shape[-1])
        return {name: values.astype(np.float64) for name, values in known.items()}

    def pictures(self, states: States, variant: str, scale: int = 16) -> NDArray[np.uint8]:
        """Coloured pictures for people, (n, 10 · scale, 10 · scale, 3): a colour a channel, as shown."""
        shown = states["cells"].take(self.order(checked_variant(self, variant)), 1)
        small = np.zeros((*shown[:, 0].shape, 3), np.uint8)
        for channel in range(shown.shape[1]):
            small[shown[:, channel]] = COLOURS[channel]
        if variant == "inverted":
            small = 255 - small
        return small.repeat(scale, 1).repeat(scale, 2)


class MinAtarEnvs:
    """n games of one look side by side, each with a generator of its own from the seed and its place."""

    def __init__(self, world: MinAtarWorld, variant: str, n: int, *seed: int) -> None:
        self.world, self.variant = world, variant
        self._games = [world.make() for _ in range(n)]
        for place, game in enumerate(self._games):
            words = generator(WORLD_STREAM, *seed, place).integers(2**32, size=4)
            game.random = np.random.RandomState(words)
            game.reset()
        self._action = np.zeros(n, np.int64)
        self._time = np.zeros(n, np.int64)
        self._cells = self._seen(range(n))
        self._last = self._cells[:0]

    def _seen(self, places: Any) -> NDArray[np.bool_]:
        """The cells of these places, (k, channels, 10, 10)."""
        shown = [self._games[place].state().transpose(2, 0, 1) for place in places]
        return np.array(shown, np.bool_).reshape(-1, *self.world.observation_shape)

    @property
    def observations(self) -> NDArray[np.uint8]:
        return self.world.render({"cells": self._cells}, self.variant)

    def step(self, actions: NDArray[np.integer]) -> Step:
        n = len(self._games)
        wanted = np.array(self.world.numbers)[checked_actions(actions, n, len(self.world.numbers))]
        rewards, terminated = np.zeros(n, np.float32), np.zeros(n, np.bool_)
        for place, game in enumerate(self._games):
            if not game.random.rand() < self.world.sticky:
                self._action[place] = wanted[place]
            rewards[place], terminated[place] = game.act(int(self._action[place]))
        self._time += 1
        truncated = (self._time >= self.world.steps) & ~terminated
        self._cells = self._seen(range(n))
        ended = np.flatnonzero(terminated | truncated)
        self._last = self._cells[ended]
        if len(ended):
            for place in ended.tolist():
                self._games[place].reset()
            self._time[ended] = 0
            self._action[ended] = 0
            self._cells[ended] = self._seen(ended.tolist())
        return Step(rewards, terminated, truncated)

    def last_observations(self) -> NDArray[np.uint8]:
        return self.world.render({"cells": self._last}, self.variant)

    def hidden(self) -> States:
        return {"cells": self._cells.copy()}

    def state(self) -> Saved:
        """Each game's attributes as plain values, its generator, its last action and its time."""
        drawn = [game.random.get_state(legacy=False) for game in self._games]
        values = {
            "games": [
                {name: _plain(value) for name, value in vars(game).items() if name not in FIXED}
                for game in self._games
            ],
            "generators": [
                {"pos": d["state"]["pos"], "has_gauss": d["has_gauss"], "gauss": d["gauss"]} for d in drawn
            ],
        }
        keys = np.array([d["state"]["key"] for d in drawn], np.int64)
        return Saved({"action": self._action.copy(), "time": self._time.copy(), "keys": keys}, values)

    def restore(self, saved: Saved) -> None:
        wanted = self.state()
        checked_arrays(saved, wanted)
        games, generators = saved.values["games"], saved.values["generators"]
        if not _alike(games, wanted.values["games"]) or not _alike(generators, wanted.values["generators"]):
            raise WorldError(f"state of environments: games: found others than {self.world.name} has")
        for game, told, drawn, key in zip(self._games, games, generators, saved.arrays["keys"], strict=True):
            for name, value in told.items():
                setattr(game, name, _rebuilt(value))
            state = {"key": key.astype(np.uint32), "pos": drawn["pos"]}
            rest = {"has_gauss": drawn["has_gauss"], "gauss": drawn["gauss"]}
            game.random.set_state({"bit_generator": "MT19937", "state": state, **rest})
        self._action, self._time = saved.arrays["action"].copy(), saved.arrays["time"].copy()
        self._cells = self._seen(range(len(self._games)))
        self._last = self._cells[:0]

    def close(self) -> None:
        """Nothing is held."""


def _plain(value: Any) -> Any:
    """A game's attribute as JSON holds it: arrays as their kind and numbers."""
    if isinstance(value, np.ndarray):
        return {"dtype": str(value.dtype), "values": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value


def _alike(found: Any, known: Any) -> bool:
    """Whether a saved value has the form of a known one; the parts of a list inside a game may be others."""
    if type(found) is not type(known):
        return False
    if isinstance(known, dict) and "dtype" in known:
        same: bool = found.get("dtype") == known["dtype"]
        return same and np.shape(found.get("values")) == np.shape(known["values"])
    if isinstance(known, dict):
        return set(found) == set(known) and all(_alike(found[name], known[name]) for name in known)
    if isinstance(known, list) and known and isinstance(known[0], dict):
        return len(found) == len(known) and all(map(_alike, found, known))
    return True


def _rebuilt(value: Any) -> Any:
    """What :func:`_plain` was given."""
    if isinstance(value, dict):
        return np.array(value["values"], value["dtype"])
    if isinstance(value, list):
        return [_rebuilt(part) for part in value]
    return value


@functools.cache
def _module(game: str) -> Any:
    """The package's module of a game, loaded by itself: the whole package would load matplotlib as well."""
    package = importlib.util.find_spec("minatar")
    if package is None or not package.submodule_search_locations:
        raise WorldError(
            f"the world minatar-{game.replace('_', '-')} needs the package minatar, which is not installed: "
            "pip install 'transfer-diag[minatar]'"
        )
    file = Path(package.submodule_search_locations[0]) / "environments" / f"{game}.py"
    found = importlib.util.spec_from_file_location(f"trainers.envs.minatar_{game}", file)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
