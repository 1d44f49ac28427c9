"""A corridor of seven cells: a step beyond the right end is worth 1, beyond the left end −1; in two looks.

The smallest world that an agent acts in. The negative shows the same hidden states, light and dark exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.envs import acting
from trainers.envs.acting import Discrete, Saved, States, Step, Walk, checked_arrays, walk
from trainers.settings import Settings
from trainers.streams import WORLD_STREAM, generator

CELLS = 7


class Corridor:
    name, observation_shape, actions = "corridor", (1, 1, CELLS), Discrete(("left", "right", "stay"))
    variants, max_steps, exact = ("default", "negative"), 30, True

    def envs(self, variant: str, n: int, *seed: int) -> Walkers:
        return Walkers(self, acting.checked_variant(self, variant), n, *seed)

    def render(self, states: States, variant: str) -> NDArray[np.uint8]:
        lit = np.eye(CELLS, dtype=np.uint8)[states["cell"]][:, None, None] * 255
        return 255 - lit if variant == "negative" else lit

    def sample_states(self, n: int, *seed: int, apart: int = 1) -> Walk:
        return walk(self, "default", n, *seed, apart=apart)

    def variables(self, states: States) -> dict[str, NDArray[np.float64]]:
        return {"cell": states["cell"].astype(np.float64)}

    def pictures(self, states: States, variant: str, scale: int = 8) -> NDArray[np.uint8]:
        return self.render(states, variant).transpose(0, 2, 3, 1).repeat(3, 3)


class Walkers:
    def __init__(self, world: Corridor, variant: str, n: int, *seed: int) -> None:
        self.world, self.variant = world, variant
        self.generators = [generator(WORLD_STREAM, *seed, place) for place in range(n)]
        self.cell = np.array([g.integers(1, CELLS - 1) for g in self.generators])
        self.time, self.last = np.zeros(n, np.int64), np.zeros(0, np.int64)

    @property
    def observations(self) -> NDArray[np.uint8]:
        return self.world.render(self.hidden(), self.variant)

    def step(self, actions: NDArray[np.integer[Any]]) -> Step:
        acting.checked_actions(actions, len(self.cell), 3)
        moved = self.cell + np.array([-1, 1, 0])[actions]
        rewards = (moved == CELLS).astype(np.float32) - (moved < 0)
        self.cell, self.time = moved.clip(0, CELLS - 1), self.time + 1
        terminated = rewards != 0
        truncated = ~terminated & (self.time >= self.world.max_steps)
        ended = np.flatnonzero(terminated | truncated)
        self.last = self.cell[ended]
        for place in ended:
            self.cell[place] = self.generators[place].integers(1, CELLS - 1)
        self.time[ended] = 0
        return Step(rewards.astype(np.float32), terminated, truncated)

    def last_observations(self) -> NDArray[np.uint8]:
        return self.world.render({"cell": self.last}, self.variant)

    def hidden(self) -> States:
        return {"cell": self.cell.copy()}

    def state(self) -> Saved:
        values = {"generators": [g.bit_generator.state for g in self.generators]}
        return Saved({"cell": self.cell.copy(), "time": self.time.copy()}, values)

    def restore(self, saved: Saved) -> None:
        checked_arrays(saved, self.state())
        self.cell, self.time = saved.arrays["cell"].copy(), saved.arrays["time"].copy()
        for own, state in zip(self.generators, saved.values["generators"], strict=True):
            own.bit_generator.state = state

    def close(self) -> None:
        pass


CORRIDOR = Corridor()
acting._WORLDS["corridor"] = lambda name: CORRIDOR

SMALL: Mapping[str, Any] = {
    "preset": "corridor",
    "system": "dreamer",
    "world": "corridor",
    "tasks": {"source": ["default"], "target": ["negative"]},
    "data": {"steps": 2000},
    "model": {
        "groups": 4,
        "classes": 4,
        "deterministic": 24,
        "hidden": 24,
        "codec": "mlp",
        "widths": [24],
        "heads": [24],
    },
    "loss": {"image": "bernoulli", "discount": 0.95},
    "batches": {"sequences": 8, "length": 8, "starts": 16, "horizon": 6},
    "acting": {"environments": 4, "prefill": 200, "capacity": 1000},
    "train": {"updates": 20, "log_every": 5, "model_rate": 3e-3},
    "transfer": {
        "algorithm": "agent",
        "updates": 20,
        "log_every": 5,
        "model_rate": 3e-3,
        "actor_rate": 3e-3,
        "critic_rate": 3e-3,
    },
}


def corridor(folder: object, *assignments: str) -> Settings:
    """Small settings of Dreamer in the corridor, with its data in a folder."""
    return Settings.from_tree(SMALL).with_overrides([f"data.folder='{folder}'", *assignments])
