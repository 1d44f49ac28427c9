"""Tiny IMPALA agents for tests, and a world of one cue that only an agent with a memory can play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.envs.acting import Discrete, Saved, Step
from trainers.impala import IMPALA
from trainers.impala_settings import ImpalaSettings
from trainers.settings import Settings, preset
from trainers.streams import WORLD_STREAM, generator

TINY = (
    "acting.environments=6",
    "acting.unroll=7",
    "model.convs=[[4,4,2],[6,3,2]]",
    "model.embedding=10",
    "model.lstm=8",
    "model.dense=8",
    "train.updates=6",
    "transfer.updates=6",
    "train.log_every=2",
    "transfer.log_every=2",
)


def tiny(*overrides: str) -> Settings:
    """Settings of Catch on 24×24 with a tiny net, and a few updates."""
    return preset("catch-small").with_overrides([*TINY, *overrides])


def agent(*overrides: str) -> IMPALA:
    """The agent of these settings."""
    return IMPALA.of(tiny(*overrides))


LENGTH = 4
SIDES = Discrete(("left", "right"))


@dataclass(frozen=True)
class Cue:
    """A picture shows left or right for one step; three dark steps later the same side pays 1, the other −1.

    The agent is told nothing else: whoever forgets the cue earns 0 on average.
    """

    name: str = "cue"
    observation_shape: tuple[int, int, int] = (1, 6, 6)
    actions: Discrete = SIDES
    variants: tuple[str, ...] = ("default",)
    max_steps: int = LENGTH
    exact: bool = True

    def envs(self, variant: str, n: int, *seed: int) -> Cues:
        return Cues(n, *seed)


class Cues:
    def __init__(self, n: int, *seed: int) -> None:
        self.rng = generator(WORLD_STREAM, *seed)
        self.side, self.time = self.rng.integers(2, size=n), np.zeros(n, np.int64)

    @property
    def observations(self) -> NDArray[np.uint8]:
        pictures = np.zeros((len(self.side), 1, 6, 6), np.uint8)
        shown = self.time == 0
        pictures[shown & (self.side == 0), 0, :, :3] = 255
        pictures[shown & (self.side == 1), 0, :, 3:] = 255
        return pictures

    def step(self, actions: NDArray[np.integer[Any]]) -> Step:
        over = self.time == LENGTH - 1
        rewards = np.where(over, np.where(actions == self.side, 1.0, -1.0), 0.0).astype(np.float32)
        self.side = np.where(over, self.rng.integers(2, size=len(over)), self.side)
        self.time = np.where(over, 0, self.time + 1)
        return Step(rewards, over, np.zeros_like(over))

    def last_observations(self) -> NDArray[np.uint8]:
        return self.observations

    def state(self) -> Saved:
        arrays: Mapping[str, NDArray[Any]] = {"side": self.side.copy(), "time": self.time.copy()}
        return Saved(arrays, {"random": self.rng.bit_generator.state})

    def restore(self, saved: Saved) -> None:
        self.side, self.time = saved.arrays["side"].copy(), saved.arrays["time"].copy()
        self.rng.bit_generator.state = saved.values["random"]

    def close(self) -> None: ...


def cue_agent(**acting: int) -> IMPALA:
    """An agent for the cue, small enough to learn it in a second or two."""
    tree: dict[str, Any] = {
        "preset": "cue",
        "world": "cue",
        "acting": {"environments": 32, "unroll": 8, **acting},
        "model": {
            "net": "strided",
            "convs": [[4, 3, 2]],
            "embedding": 16,
            "lstm": 16,
            "dense": 16,
            "feedback": False,
        },
        "optimiser": {"method": "adam", "epsilon": 1e-8},
        "train": {"updates": 300, "learning_rate": 1e-2},
    }
    return IMPALA(ImpalaSettings.model_validate(tree), Cue())
