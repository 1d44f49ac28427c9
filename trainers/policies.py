"""Policies that recorded data come from, by name: random actions, and Q-networks part of the way to skill."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.envs.acting import Actions, Discrete, World
from trainers.settings import SettingsError

Policy = Callable[[NDArray[Any], np.random.Generator], Actions]
"""``policy(observations, rng)``: an action for each of the observations (n, c, h, w)."""

_DQN = re.compile(r"dqn(\d{1,3})")


def check_policies(names: Sequence[str], world: World | None = None) -> None:
    """Raise SettingsError for a name that stands for no policy, or for none that the world can have."""
    for name in names:
        if name != "random" and world is not None and not isinstance(world.actions, Discrete):
            expected = f"random alone: {world.name} has continuous actions, which Q-networks do not have"
            raise SettingsError(f"setting 'data.policies': found {name!r}, expected {expected}")
        found = _DQN.fullmatch(name)
        if name != "random" and (found is None or not 0 < int(found[1]) <= 100):
            expected = "random, or dqn and a share in percent, such as dqn25"
            raise SettingsError(f"setting 'data.policies': found {name!r}, expected {expected}")


def policies_of(world: World, look: str, names: Sequence[str], steps: int, *seed: int) -> list[Policy]:
    """The policies of these names for a look; Q-networks are trained here, for ``steps`` steps."""
    check_policies(names)

    def random(seen: NDArray[Any], rng: np.random.Generator) -> Actions:
        return world.actions.sample(rng, len(seen))

    shares = sorted({int(name[3:]) for name in names if name != "random"})
    skilled: dict[int, Policy] = {}
    if shares:
        from trainers.dqn import snapshots

        skilled = dict(zip(shares, snapshots(world, look, steps, shares, *seed), strict=True))
    return [random if name == "random" else skilled[int(name[3:])] for name in names]
