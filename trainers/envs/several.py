"""Several games as one world, whose looks they are: as many channels and actions as the widest.

The fourth paper trains one world model on four of MinAtar's games and takes it to the fifth, with "six
possible actions" in each (section 2.1). It does not say how games of 4 to 10 channels share an encoder. Here
a game's channels come first, in their own order, and the rest are empty: channel 0 is the player's in all
five games, and what the others show differs from game to game.

The second paper trains one agent on control tasks of different widths by "padding the action space of the
agent with unused elements to the size of the task with the largest action dimension" (section 4.1): a task
reads its own continuous actions, which come first, and the rest have no effect on it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainers.envs.acting import (
    Actions,
    ActionSpace,
    Continuous,
    Envs,
    PairedEnvs,
    PairedWorld,
    Saved,
    States,
    Step,
    World,
    WorldError,
    acting_world,
    checked_forces,
    checked_variant,
)


@dataclass(frozen=True)
class Several:
    """Games side by side as looks of one world; raises :class:`trainers.envs.acting.WorldError`."""

    name: str
    games: Mapping[str, World]
    looks: Mapping[str, str] = field(default_factory=dict)
    """The look that a game is shown in, by the game's name; the first of its world where none is named."""

    def __post_init__(self) -> None:
        spaces = [world.actions for world in self.games.values()]
        sides = {world.observation_shape[1:] for world in self.games.values()}
        continuous = all(isinstance(space, Continuous) for space in spaces)
        if (len({space.n for space in spaces}) != 1 and not continuous) or len(sides) != 1:
            raise WorldError(f"games of {self.name}: found other actions or sides, expected the same in each")

    @functools.cached_property
    def observation_shape(self) -> tuple[int, int, int]:
        shapes = [world.observation_shape for world in self.games.values()]
        return max(channels for channels, _, _ in shapes), *shapes[0][1:]

    @property
    def actions(self) -> ActionSpace:
        """Those of the game that has most; others leave the last of continuous ones unused."""
        return max((world.actions for world in self.games.values()), key=lambda space: space.n)

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(self.games)

    @property
    def max_steps(self) -> int:
        return max(world.max_steps for world in self.games.values())

    @property
    def exact(self) -> bool:
        return all(world.exact for world in self.games.values())

    def envs(self, variant: str, n: int, *seed: int) -> PaddedEnvs:
        game = self.games[checked_variant(self, variant)]
        envs = game.envs(self.looks.get(variant, game.variants[0]), n, *seed)
        widths = game.actions.n, self.actions.n
        return PaddedEnvs(envs, self.observation_shape[0], None if widths[0] == widths[1] else widths)

    def variables(self, variant: str, states: States) -> dict[str, NDArray[np.float64]]:
        """Known facts of a game's hidden states, {name: (n,)}; none of a game that does not show them."""
        game = self.games[checked_variant(self, variant)]
        return dict(game.variables(states)) if isinstance(game, PairedWorld) else {}


class PaddedEnvs:
    """Environments of one game, with empty channels after its own, and actions that it does not read."""

    def __init__(self, envs: Envs, channels: int, widths: tuple[int, int] | None = None) -> None:
        """``widths`` are how many continuous actions the game reads, and how many it is given."""
        self._envs, self._channels, self._widths = envs, channels, widths

    @property
    def observations(self) -> NDArray[Any]:
        return self._padded(self._envs.observations)

    def _padded(self, seen: NDArray[Any]) -> NDArray[Any]:
        if seen.shape[1] == self._channels:
            return seen
        padded = np.zeros((len(seen), self._channels, *seen.shape[2:]), seen.dtype)
        padded[:, : seen.shape[1]] = seen
        return padded

    def step(self, actions: Actions) -> Step:
        if self._widths is not None:
            own, given = self._widths
            actions = checked_forces(actions, len(actions), given)[:, :own]
        return self._envs.step(actions)

    def last_observations(self) -> NDArray[Any]:
        return self._padded(self._envs.last_observations())

    def hidden(self) -> States:
        """The hidden states; none of a game that does not show them."""
        return self._envs.hidden() if isinstance(self._envs, PairedEnvs) else {}

    def state(self) -> Saved:
        return self._envs.state()

    def restore(self, saved: Saved) -> None:
        self._envs.restore(saved)

    def close(self) -> None:
        self._envs.close()


def _minatar() -> Several:
    from trainers.envs.minatar import GAMES, MinAtarWorld

    return Several("minatar", {g: MinAtarWorld(g, minimal=False) for g in GAMES})


SHOOTERS = (
    *("assault", "beam_rider", "demon_attack", "galaxian", "name_this_game"),
    *("phoenix", "riverraid", "space_invaders", "turmoil"),
)
"""Nine games of shooting with movement in one dimension. The fourth paper has nine and names none."""


def _shooters() -> Several:
    """The shooters and Breakout, as Dreamer sees them: one grey frame of 64×64, all 18 actions."""
    from trainers.envs.atari import AtariWorld

    games = (*SHOOTERS, "breakout")
    return Several("atari-shooters", {g: AtariWorld(g, full=True, side=64, stacked=1) for g in games})


def _control(suffix: str) -> Several:
    from trainers.envs.control import CONTROLS

    seen = "-state" if suffix == "-state" else ""
    tasks = [name for name in CONTROLS if not name.endswith("-state")]
    worlds = {name: CONTROLS[name + seen]() for name in tasks}
    if suffix == "-64":
        worlds = {name: replace(world, pixels=64) for name, world in worlds.items()}
    negated = {f"{name}-negated": world for name, world in worlds.items()}
    looks = dict.fromkeys(negated, "negated")
    return Several(f"control{suffix}", {**worlds, **negated}, looks)


def _bullet(seen: Literal["pixels", "state"]) -> Several:
    """The second paper's six tasks, of the widest's numbers and actions."""
    from trainers.envs.bullet import BODIES, BulletWorld

    name = "bullet" if seen == "pixels" else "bullet-state"
    return Several(name, {task: BulletWorld(task, seen) for task in BODIES})


_SEVERAL: dict[str, Callable[[], Several]] = {
    "atari-shooters": _shooters,
    "bullet": functools.partial(_bullet, "pixels"),
    "bullet-state": functools.partial(_bullet, "state"),
    "minatar": _minatar,
    "control": functools.partial(_control, ""),
    "control-64": functools.partial(_control, "-64"),
    "control-state": functools.partial(_control, "-state"),
}


@functools.cache
def world_of(name: str) -> World:
    """The world of that name, one of several games or of one; raises WorldError."""
    return _SEVERAL[name]() if name in _SEVERAL else acting_world(name)
