"""A pendulum that is to be swung up: a rod on a fixed joint, with a motor too weak to lift it in one go.

The torque's most is half of what holds the rod level, as in gymnasium's Pendulum, so that it has to be swung.
With a rod of mass m and length l, θ from upright, torque τ and friction c, its angle obeys

    (m l² / 3) θ̈ = m g (l / 2) sin θ + τ − c θ̇.

>>> rod = Pendulum(friction=0.0)
>>> hanging = np.array([[np.pi], [0.0]])
>>> rod.slopes(hanging, np.zeros((1, 1))).round(6).tolist()
[[0.0], [0.0]]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pydantic
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pendulum:
    """A uniform rod on a fixed joint; a state is [θ, θ̇], (2, n), θ in radians from upright."""

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid")

    mass: float = 1.0
    length: float = 1.0
    gravity: float = 9.81
    friction: float = 0.05
    """Torque of the joint's friction, in N·m for a radian a second."""
    torque: float = 2.5
    """N·m at an action of 1."""

    @property
    def actions(self) -> tuple[str, ...]:
        return ("torque",)

    @property
    def angles(self) -> tuple[int, ...]:
        """Rows of a state that are angles, which a new episode starts beside hanging."""
        return (0,)

    @property
    def size(self) -> int:
        """Rows of a state."""
        return 2

    def hanging(self, n: int) -> Floats:
        """States (2, n) at rest, straight down."""
        states = np.zeros((self.size, n))
        states[0] = np.pi
        return states

    def slopes(self, states: Floats, actions: Floats) -> Floats:
        """Time derivatives (2, n) of states under actions (1, n)."""
        angle, speed = states
        pull = self.mass * self.gravity * self.length / 2 * np.sin(angle)
        inertia = self.mass * self.length**2 / 3
        return np.stack([speed, (pull + self.torque * actions[0] - self.friction * speed) / inertia])

    def energy(self, states: Floats) -> Floats:
        """Kinetic and potential energy (n,) in joules; the joint's height is 0."""
        angle, speed = states
        kinetic = self.mass * self.length**2 / 6 * speed**2
        energy: Floats = kinetic + self.mass * self.gravity * self.length / 2 * np.cos(angle)
        return energy

    def rewards(self, states: Floats) -> Floats:
        """cos θ (n,), the paper's equation 1: 1 upright, −1 hanging."""
        earned: Floats = np.cos(states[0])
        return earned

    def measured(self, states: Floats) -> Mapping[str, Floats]:
        """Position and speed of the cart, angle and speed of each joint: those that there are, (n,) each."""
        return {"angle": states[0], "spin": states[1]}

    def joints(self, states: Floats) -> list[tuple[Floats, Floats]]:
        """Points (x, y) of the rods' ends in metres, (n,) each, from the first joint on; y upwards."""
        x = np.zeros(states.shape[1])
        return [(x, x), (self.length * np.sin(states[0]), self.length * np.cos(states[0]))]

    @property
    def cart(self) -> bool:
        """Whether the first joint rides on a cart."""
        return False

    @property
    def width(self) -> float:
        """Metres from the middle to the side of a picture that shows all that may be seen."""
        return 1.2 * self.length
