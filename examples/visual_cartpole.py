"""Gymnasium's CartPole-v1, seen by a camera; and by one that hangs upside down.

Observations are the picture before and the picture now, (36, 36, 2) uint8: the state with its velocities can
be read from them, and two plain numpy expressions draw one. Importing the module registers both.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

SIZE = 36
ROWS, COLUMNS = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
GROUND, POLE = 32, 28
"""The row on which the cart stands, and the pole's length in rows."""


class VisualCartPole(gymnasium.Wrapper[NDArray[np.uint8], int, NDArray[np.float32], int]):
    """CartPole-v1 in pictures; physics, rewards and ends are its own."""

    def __init__(self, upside_down: bool = False) -> None:
        super().__init__(gymnasium.make("CartPole-v1"))
        self.upside_down = upside_down
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 2), np.uint8)
        self.before = np.zeros((SIZE, SIZE), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        state, info = self.env.reset(seed=seed, options=options)
        self.before = self.picture(state)
        return np.stack([self.before, self.before], -1), info

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        state, reward, terminated, truncated, info = self.env.step(action)
        before, self.before = self.before, self.picture(state)
        return np.stack([before, self.before], -1), float(reward), terminated, truncated, info

    def picture(self, state: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(36, 36): white on black, with edges so soft that a hundredth of the track shows."""
        cart, angle = SIZE / 2 * (1 + float(state[0]) / 2.4), float(state[2])
        above = np.maximum(GROUND - ROWS, 0)
        pole = np.clip(2 - np.abs(COLUMNS - cart - above * np.tan(angle)), 0, 1) * (above < POLE)
        body = np.clip(4.5 - np.abs(COLUMNS - cart), 0, 1) * (ROWS >= GROUND)
        drawn = (255 * np.maximum(pole, body)).astype(np.uint8)
        return drawn[::-1, ::-1] if self.upside_down else drawn


gymnasium.register("VisualCartPole-v0", VisualCartPole)
gymnasium.register("UpsideDownCartPole-v0", VisualCartPole, kwargs={"upside_down": True})
