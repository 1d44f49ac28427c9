"""A cart with two poles, one on the other, that are to be swung up: the world that no library has.

The second paper's InvertedDoublePendulumSwingup (appendix A): two uniform rods on a cart. With Θ the angle of
the first from upright and Γ that of the joint between them, 0 where the poles are in line, the reward is
cos Θ + cos Γ (equation 2). So hanging straight down earns 0, and standing 2. As in PyBullet, Γ is the joint's
own position, hence measured from the first pole.

With Φ = Θ + Γ, the second pole's angle from upright, masses m, lengths l, half lengths h, and

    d₁ = M + m₁ + m₂,  d₂ = m₁h₁ + m₂l₁,  d₃ = m₂h₂,  d₄ = (4/3)m₁h₁² + m₂l₁²,  d₅ = m₂l₁h₂,  d₆ = (4/3)m₂h₂²,

Lagrange's equations are

    d₁ẍ + d₂ cos Θ Θ̈ + d₃ cos Φ Φ̈          = F + d₂ sin Θ Θ̇² + d₃ sin Φ Φ̇²
    d₂ cos Θ ẍ + d₄ Θ̈ + d₅ cos(Θ − Φ) Φ̈   = d₂ g sin Θ − d₅ sin(Θ − Φ) Φ̇² − τ
    d₃ cos Φ ẍ + d₅ cos(Θ − Φ) Θ̈ + d₆ Φ̈   = d₃ g sin Φ + d₅ sin(Θ − Φ) Θ̇² + τ

with the force F on the cart and the torque τ of the joint between the poles: its friction, and a motor's
where the poles are ``driven``. The rail ends in springs, which push the cart back and lose no energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pydantic
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DoublePole:
    """A cart and two poles; a state is [x, Θ, Φ, ẋ, Θ̇, Φ̇], (6, n), both angles in radians from upright."""

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid")

    cart_mass: float = 1.0
    masses: tuple[float, float] = (0.3, 0.3)
    lengths: tuple[float, float] = (0.6, 0.6)
    gravity: float = 9.81
    friction: float = 0.01
    """Torque of each joint's friction, in N·m for a radian a second."""
    cart_friction: float = 0.1
    """Force of the rail's friction, in N for a metre a second."""
    rail: float = 1.0
    """Metres from the middle to where the springs begin, as in PyBullet's model."""
    spring: float = 200.0
    """Force of the springs at the rail's ends, in N for a metre."""
    force: float = 10.0
    """N at a first action of 1."""
    driven: bool = False
    """Whether a second action turns the joint between the poles."""
    torque: float = 1.5
    """N·m at a second action of 1."""

    @property
    def actions(self) -> tuple[str, ...]:
        return ("force", "torque") if self.driven else ("force",)

    @property
    def angles(self) -> tuple[int, ...]:
        """Rows of a state that are angles, which a new episode starts beside hanging."""
        return (1, 2)

    @property
    def size(self) -> int:
        """Rows of a state."""
        return 6

    def hanging(self, n: int) -> Floats:
        """States (6, n) at rest, the cart in the middle, the poles straight down."""
        states = np.zeros((self.size, n))
        states[1:3] = np.pi
        return states

    @property
    def constants(self) -> tuple[float, float, float, float, float, float]:
        """d₁ to d₆ of the equations."""
        (first, second), length = self.masses, self.lengths[0]
        h, k = length / 2, self.lengths[1] / 2
        return (
            self.cart_mass + first + second,
            first * h + second * length,
            second * k,
            4 / 3 * first * h**2 + second * length**2,
            second * length * k,
            4 / 3 * second * k**2,
        )

    def slopes(self, states: Floats, actions: Floats) -> Floats:
        """Time derivatives (6, n) of states under actions (1, n), or (2, n) where the poles are driven."""
        x, speed = states[0], states[3]
        d1, d2, d3, d4, d5, d6 = self.constants
        (sin_a, sin_b, sin_ab), (cos_a, cos_b, cos_ab) = _sines(states)
        spins, squares = states[4:], states[4:] ** 2
        joint = self.friction * (spins[0] - spins[1])
        if self.driven:
            joint = joint + self.torque * actions[1]
        beyond = x - np.clip(x, -self.rail, self.rail)
        push = self.force * actions[0] - self.spring * beyond - self.cart_friction * speed
        push += d2 * sin_a * squares[0] + d3 * sin_b * squares[1]
        turn_a = d2 * self.gravity * sin_a - d5 * sin_ab * squares[1] - joint - self.friction * spins[0]
        turn_b = d3 * self.gravity * sin_b + d5 * sin_ab * squares[0] + joint
        # The cart's acceleration is taken out of the first equation; two equations are left.
        p, q = d2 * cos_a, d3 * cos_b
        aa, ab, bb = d4 - p * p / d1, d5 * cos_ab - p * q / d1, d6 - q * q / d1
        turn_a -= p * push / d1
        turn_b -= q * push / d1
        determinant = aa * bb - ab * ab
        slopes = np.empty_like(states)
        slopes[:3] = states[3:]
        slopes[4] = (bb * turn_a - ab * turn_b) / determinant
        slopes[5] = (aa * turn_b - ab * turn_a) / determinant
        slopes[3] = (push - p * slopes[4] - q * slopes[5]) / d1
        return slopes

    def energy(self, states: Floats) -> Floats:
        """Kinetic and potential energy (n,) in joules, the springs' included; the cart's height is 0."""
        x, (speed, a, b) = states[0], states[3:]
        d1, d2, d3, d4, d5, d6 = self.constants
        _, (cos_a, cos_b, cos_ab) = _sines(states)
        beyond = x - np.clip(x, -self.rail, self.rail)
        kinetic = (d1 * speed**2 + d4 * a**2 + d6 * b**2) / 2
        kinetic += speed * (d2 * cos_a * a + d3 * cos_b * b) + d5 * cos_ab * a * b
        energy: Floats = kinetic + self.gravity * (d2 * cos_a + d3 * cos_b) + self.spring / 2 * beyond**2
        return energy

    def rewards(self, states: Floats) -> Floats:
        """cos Θ + cos Γ (n,), the paper's equation 2: 2 standing, 0 hanging straight down."""
        earned: Floats = np.cos(states[1]) + np.cos(states[2] - states[1])
        return earned

    def measured(self, states: Floats) -> Mapping[str, Floats]:
        """Position and speed of the cart, angle and speed of each joint: those that there are, (n,) each."""
        x, first, second, speed, spin, spin_two = states
        return {
            "cart": x,
            "cart_speed": speed,
            "angle": first,
            "spin": spin,
            "second_angle": second - first,
            "second_spin": spin_two - spin,
        }

    def joints(self, states: Floats) -> list[tuple[Floats, Floats]]:
        """Points (x, y) of the poles' ends in metres, (n,) each, from the cart on; y upwards."""
        x, first, second = states[:3]
        points = [(x, np.zeros_like(x))]
        for angle, length in zip((first, second), self.lengths, strict=True):
            before = points[-1]
            points.append((before[0] + length * np.sin(angle), before[1] + length * np.cos(angle)))
        return points

    @property
    def cart(self) -> bool:
        """Whether the first joint rides on a cart."""
        return True

    @property
    def width(self) -> float:
        """Metres from the middle to the side of a picture that shows nearly all that may be seen."""
        return self.rail + 0.5 * sum(self.lengths)


def _sines(states: Floats) -> tuple[Floats, Floats]:
    """Sines and cosines (3, n) of Θ, Φ and Θ − Φ."""
    angles = np.stack([states[1], states[2], states[1] - states[2]])
    return np.sin(angles), np.cos(angles)
