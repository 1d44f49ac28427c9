"""A cart with a pole that is to be swung up: the task that PyBullet calls InvertedPendulumSwingup.

A cart of mass M on a rail, a uniform rod of mass m and half length h, θ from upright, and a force F obey

    (M + m) ẍ + m h (cos θ θ̈ − sin θ θ̇²) = F,     m h cos θ ẍ + (4/3) m h² θ̈ = m g h sin θ.

The rail ends in springs, which push the cart back and lose no energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pydantic
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CartPole:
    """A cart and a pole; a state is [x, θ, ẋ, θ̇], (4, n), in metres, radians and seconds."""

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid")

    cart_mass: float = 1.0
    mass: float = 0.3
    length: float = 1.0
    gravity: float = 9.81
    friction: float = 0.01
    """Torque of the joint's friction, in N·m for a radian a second."""
    cart_friction: float = 0.1
    """Force of the rail's friction, in N for a metre a second."""
    rail: float = 1.0
    """Metres from the middle to where the springs begin, as in PyBullet's model."""
    spring: float = 200.0
    """Force of the springs at the rail's ends, in N for a metre."""
    force: float = 10.0
    """N at an action of 1."""

    @property
    def actions(self) -> tuple[str, ...]:
        return ("force",)

    @property
    def angles(self) -> tuple[int, ...]:
        """Rows of a state that are angles, which a new episode starts beside hanging."""
        return (1,)

    @property
    def size(self) -> int:
        """Rows of a state."""
        return 4

    def hanging(self, n: int) -> Floats:
        """States (4, n) at rest, the cart in the middle, the pole straight down."""
        states = np.zeros((self.size, n))
        states[1] = np.pi
        return states

    def slopes(self, states: Floats, actions: Floats) -> Floats:
        """Time derivatives (4, n) of states under actions (1, n)."""
        x, angle, speed, spin = states
        half, mass = self.length / 2, self.mass
        sine, lever = np.sin(angle), mass * half * np.cos(angle)
        beyond = x - np.clip(x, -self.rail, self.rail)
        push = self.force * actions[0] - self.spring * beyond - self.cart_friction * speed
        push += mass * half * sine * spin**2
        turn = mass * self.gravity * half * sine - self.friction * spin
        whole, inertia = self.cart_mass + mass, 4 / 3 * mass * half**2
        faster = (whole * turn - lever * push) / (whole * inertia - lever**2)
        return np.stack([speed, spin, (push - lever * faster) / whole, faster])

    def energy(self, states: Floats) -> Floats:
        """Kinetic and potential energy (n,) in joules, the springs' included; the joint's height is 0."""
        x, angle, speed, spin = states
        half, beyond = self.length / 2, x - np.clip(x, -self.rail, self.rail)
        kinetic = (self.cart_mass + self.mass) / 2 * speed**2
        kinetic += self.mass * half * np.cos(angle) * speed * spin + 2 / 3 * self.mass * half**2 * spin**2
        energy: Floats = (
            kinetic + self.mass * self.gravity * half * np.cos(angle) + self.spring / 2 * beyond**2
        )
        return energy

    def rewards(self, states: Floats) -> Floats:
        """cos θ (n,), the paper's equation 1: 1 upright, −1 hanging."""
        earned: Floats = np.cos(states[1])
        return earned

    def measured(self, states: Floats) -> Mapping[str, Floats]:
        """Position and speed of the cart, angle and speed of each joint: those that there are, (n,) each."""
        return {"cart": states[0], "cart_speed": states[2], "angle": states[1], "spin": states[3]}

    def joints(self, states: Floats) -> list[tuple[Floats, Floats]]:
        """Points (x, y) of the pole's ends in metres, (n,) each; y upwards."""
        x, angle = states[0], states[1]
        return [(x, np.zeros_like(x)), (x + self.length * np.sin(angle), self.length * np.cos(angle))]

    @property
    def cart(self) -> bool:
        """Whether the first joint rides on a cart."""
        return True

    @property
    def width(self) -> float:
        """Metres from the middle to the side of a picture that shows nearly all that may be seen."""
        return self.rail + 0.6 * self.length
