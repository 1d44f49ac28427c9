"""A small world for tests of environments: a dot on a torus, as an image; rewards say where it is."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

SIZE = 36
Y, X = np.mgrid[0:SIZE, 0:SIZE] / SIZE


class Dot(gymnasium.Env[NDArray[np.uint8], Any]):
    """``state`` is the dot's place in [0, 1)²; actions move it, with noise; episodes last 30 steps."""

    def __init__(
        self,
        inverted: bool = False,
        first: bool = False,
        drifts: bool = False,
        hidden: bool = False,
        continuous: bool = False,
        length: int = 30,
    ) -> None:
        self.inverted, self.first, self.drifts = inverted, first, drifts
        self.length, self.hidden = length, hidden
        shape = (2, SIZE, SIZE) if first else (SIZE, SIZE, 2)
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self.action_space = (
            gymnasium.spaces.Box(-2, 3, (2,), np.float32) if continuous else gymnasium.spaces.Discrete(3)
        )
        self.place, self.age = np.zeros(2), 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.age = self.np_random.random(2), 0
        return self.seen(), {}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        self.age += 1
        moved = np.resize(np.asarray(action, np.float64) - 1, 2) * [0.1, 0.05]
        self.place = (self.place + moved + self.np_random.normal(0, 0.05, 2)) % 1
        reward = float(self.place[0]) + (0.5 if self.drifts and self.age > 10 else 0.0)
        return self.seen(), reward, self.age >= self.length, False, {}

    @property
    def state(self) -> NDArray[np.float64] | None:
        return None if self.hidden else self.place

    def seen(self) -> NDArray[np.uint8]:
        away = np.hypot((X - self.place[0] + 0.5) % 1 - 0.5, (Y - self.place[1] + 0.5) % 1 - 0.5)
        image = (255 * np.clip(1.3 - 6 * away, 0, 1)).astype(np.uint8)
        image = np.stack([image, image // 2], 0 if self.first else -1)
        return 255 - image if self.inverted else image


class Notes(gymnasium.Env[Any, Any]):
    """Observations that are no array."""

    observation_space = gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(2)})
    action_space = gymnasium.spaces.Discrete(3)


class Endless(Dot):
    """Episodes without an end."""

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        return self.seen(), 0.0, False, False, {}


gymnasium.register("Dot-v0", Dot)
gymnasium.register("InvertedDot-v0", Dot, kwargs={"inverted": True})
gymnasium.register("FirstDot-v0", Dot, kwargs={"first": True})
gymnasium.register("DriftingDot-v0", Dot, kwargs={"drifts": True})
gymnasium.register("HiddenDot-v0", Dot, kwargs={"hidden": True})
gymnasium.register("SteeredDot-v0", Dot, kwargs={"continuous": True})
gymnasium.register("LongDot-v0", Dot, kwargs={"length": 10**6})
gymnasium.register("Notes-v0", Notes)
gymnasium.register("Endless-v0", Endless)
