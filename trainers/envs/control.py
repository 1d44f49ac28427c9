"""Pendulums to swing up: batched worlds of smooth motion, seen as small pictures or as numbers.

The pendulum tasks of the second paper (appendix A), in numpy: a rod on a fixed joint
(:mod:`trainers.envs.pendulum`), a pole on a cart (:mod:`trainers.envs.cart_pole`) and two poles on a cart
(:mod:`trainers.envs.double_pole`, also with a motor between the poles). Each file has its equations; here
is what they share: steps by Runge and Kutta's fourth order in float64, the action's repeats, episodes of one
length, pictures, and the numbers of a state.

Numbers stand at the same place in every task (:data:`NUMBERS`), so that tasks look alike to a network; those
that a task lacks are 0. An action is a number from −1 to 1. ``negated`` is the same world with the reward's
sign changed: there a pole earns most that hangs still.

>>> world = CONTROLS["double-pole-state"]()
>>> envs = world.envs("default", 3, 0)
>>> envs.observations.shape, envs.step(np.zeros((3, 1))).rewards.shape
((3, 8, 1, 1), (3,))
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from trainers.envs.acting import (
    Actions,
    Continuous,
    Saved,
    States,
    Step,
    Walk,
    WorldError,
    checked_arrays,
    checked_count,
    checked_forces,
    checked_variant,
    configured,
    walk,
)
from trainers.envs.cart_pole import CartPole
from trainers.envs.double_pole import DoublePole
from trainers.envs.pendulum import Pendulum
from trainers.streams import WORLD_STREAM, generator

Floats = NDArray[np.float64]

SIGNS = {"default": 1.0, "negated": -1.0}
"""The looks, and what the reward is multiplied by in each."""

NUMBERS = {
    "cart": 1.0,
    "cart_speed": 0.25,
    "angle": 1.0,
    "spin": 0.125,
    "second_angle": 1.0,
    "second_spin": 0.125,
}
"""What is measured of a state, in the order of an observation, and the scale of each: all are then about 1.
An angle is told by its cosine and its sine."""

AS_NUMBERS = sum(2 if name.endswith("angle") else 1 for name in NUMBERS)

BLOCK = 64
"""Episodes that a place draws at once, with a generator of their own: each can be had by its number."""

ASIDE = 0.1
"""Most radians between a joint's angle at the start of an episode and hanging, as in PyBullet's tasks."""

RAIL_GREY, CART_GREY, FIRST_GREY, SECOND_GREY = 0.25, 0.6, 1.0, 0.8
"""Brightness of what is drawn, from 0 to 1."""

CART = (np.float32(5), np.float32(1.6))
"""Half the width and half the height of a cart, in half widths of a pole."""

PICTURE_ROWS = 240
"""Height of a rendered picture, at least."""

MOST_PIXELS = 128
"""Most rows of a picture."""


class Body(Protocol):
    """What moves: its equations, what it earns, and where its ends are; n states are (size, n)."""

    @property
    def actions(self) -> tuple[str, ...]: ...

    @property
    def angles(self) -> tuple[int, ...]: ...

    @property
    def size(self) -> int: ...

    @property
    def cart(self) -> bool: ...

    @property
    def width(self) -> float: ...

    def hanging(self, n: int) -> Floats: ...

    def slopes(self, states: Floats, actions: Floats) -> Floats: ...

    def energy(self, states: Floats) -> Floats: ...

    def rewards(self, states: Floats) -> Floats: ...

    def measured(self, states: Floats) -> Mapping[str, Floats]: ...

    def joints(self, states: Floats) -> list[tuple[Floats, Floats]]: ...


def moved(body: Body, states: Floats, actions: Floats, seconds: float) -> Floats:
    """States (size, n) after so many seconds: one step of Runge and Kutta's fourth order."""
    first = body.slopes(states, actions)
    second = body.slopes(states + seconds / 2 * first, actions)
    third = body.slopes(states + seconds / 2 * second, actions)
    last = body.slopes(states + seconds * third, actions)
    second += third
    second *= 2
    second += first
    second += last
    second *= seconds / 6
    second += states
    return second


@dataclass(frozen=True)
class ControlWorld:
    """One body in episodes of a fixed length; raises :class:`trainers.envs.acting.WorldError`."""

    name: str
    body: Pendulum | CartPole | DoublePole
    seen: Literal["pixels", "state"] = "pixels"
    """Whether an observation is a grey picture of bytes, or the numbers of a state in float32."""
    pixels: int = 16
    """Rows and columns of a picture."""
    seconds: float = 0.02
    """Seconds of a step of the equations."""
    fine: int = 1
    """Steps of Runge and Kutta in each of them: two poles swing fast, and lose or gain energy at 1."""
    repeat: int = 2
    """Steps of the equations that an action lasts; their rewards are added up."""
    steps: int = 250
    """Actions of an episode, which is then cut short."""

    def __post_init__(self) -> None:
        if not 8 <= self.pixels <= MOST_PIXELS:
            raise WorldError(f"pixels: found {self.pixels}, expected 8 to {MOST_PIXELS}")
        if not 0 < self.seconds <= 0.05:
            raise WorldError(f"seconds: found {self.seconds}, expected more than 0 and 0.05 at most")
        if min(self.fine, self.repeat, self.steps) < 1:
            found = f"{self.fine}, {self.repeat} and {self.steps}"
            raise WorldError(f"fine, repeat and steps: found {found}, expected 1 or more of each")

    # --- what acting worlds have

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        return (1, self.pixels, self.pixels) if self.seen == "pixels" else (AS_NUMBERS, 1, 1)

    @functools.cached_property
    def actions(self) -> Continuous:
        return Continuous(self.body.actions)

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(SIGNS)

    @property
    def max_steps(self) -> int:
        return self.steps

    @property
    def exact(self) -> bool:
        return True

    def envs(self, variant: str, n: int, *seed: int) -> ControlEnvs:
        return ControlEnvs(self, SIGNS[checked_variant(self, variant)], checked_count(n), *seed)

    def sample_states(self, n: int, *seed: int, apart: int = 1) -> Walk:
        """n steps of a random policy; both looks have the same motion."""
        return walk(self, "default", n, *seed, apart=apart)

    def render(self, states: States, variant: str) -> NDArray[Any]:
        checked_variant(self, variant)
        return self.observed(np.ascontiguousarray(states["body"].T))

    def variables(self, states: States) -> dict[str, Floats]:
        """Sine and cosine of angles, speeds, the cart's place, the energy, and how high the last end is."""
        rows = np.ascontiguousarray(states["body"].T)
        told: dict[str, Floats] = {}
        for name, values in self.body.measured(rows).items():
            if name.endswith("angle"):
                told |= {f"{name}_cos": np.cos(values), f"{name}_sin": np.sin(values)}
            else:
                told[name] = values.copy()
        return {**told, "height": self.body.joints(rows)[-1][1], "energy": self.body.energy(rows)}

    def pictures(self, states: States, variant: str, scale: int = 8) -> NDArray[np.uint8]:
        """Large pictures for people, (n, h · scale, w · scale, 3), drawn at that size; equal in all looks."""
        checked_variant(self, variant)
        _, height, width = self.observation_shape
        rows = np.ascontiguousarray(states["body"].T)
        seen = drawn(self.body, rows, height * scale, width * scale)
        return seen[..., None].repeat(3, -1)

    # --- motion and pictures

    def after(self, states: Floats, actions: Floats) -> tuple[Floats, Floats]:
        """States (size, n) after an action (A, n) and all its repeats, and the sum of their rewards (n,)."""
        total = np.zeros(states.shape[1])
        for _ in range(self.repeat):
            for _ in range(self.fine):
                states = moved(self.body, states, actions, self.seconds / self.fine)
            total += self.body.rewards(states)
        return states, total

    def observed(self, states: Floats) -> NDArray[Any]:
        """Observations (n, c, h, w) of states (size, n)."""
        if self.seen == "pixels":
            return drawn(self.body, states, self.pixels, self.pixels)[:, None]
        return numbers(self.body, states)[:, :, None, None]


def numbers(body: Body, states: Floats) -> NDArray[np.float32]:
    """The numbers (n, :data:`AS_NUMBERS`) of states (size, n) by the order and scales of :data:`NUMBERS`."""
    known, told = body.measured(states), np.zeros((states.shape[1], AS_NUMBERS), np.float32)
    place = 0
    for name, scale in NUMBERS.items():
        wide = 2 if name.endswith("angle") else 1
        if name in known:
            values = known[name]
            if wide == 2:
                told[:, place], told[:, place + 1] = np.cos(values), np.sin(values)
            else:
                told[:, place] = scale * values
        place += wide
    return told


def drawn(body: Body, states: Floats, height: int, width: int) -> NDArray[np.uint8]:
    """Grey pictures (n, height, width) of states (size, n): rail, cart, and poles, each with soft edges."""
    metres = 2 * body.width / width
    x = ((np.arange(width) + 0.5) * metres - body.width).astype(np.float32)
    y = (height / 2 * metres - (np.arange(height) + 0.5) * metres).astype(np.float32)
    joints = [(a.astype(np.float32), b.astype(np.float32)) for a, b in body.joints(states)]
    thick = np.float32(max(0.75, width / 20) / 2 * metres)
    seen = np.zeros((states.shape[1], height, width), np.float32)
    if body.cart:
        soft = np.float32(metres)
        seen += RAIL_GREY * _inside(y, -thick / 2, thick / 2, soft)[:, None]
        sides = _inside(x[None] - joints[0][0][:, None], -CART[0] * thick, CART[0] * thick, soft)
        cart = _inside(y, -CART[1] * thick, CART[1] * thick, soft)[:, None] * sides[:, None, :]
        np.maximum(seen, CART_GREY * cart, out=seen)
    for part, (begin, end) in enumerate(itertools.pairwise(joints)):
        grey = SECOND_GREY if part else FIRST_GREY
        np.maximum(seen, grey * _stroke(x, y, begin, end, thick, np.float32(metres)), out=seen)
    return np.rint(seen * 255).astype(np.uint8)


def _inside(at: NDArray[Any], low: Any, high: Any, soft: np.float32) -> NDArray[np.float32]:
    """How much of a pixel lies between two lines, from 0 to 1."""
    edge = np.minimum(at - low, high - at) / soft + np.float32(0.5)
    inside: NDArray[np.float32] = np.clip(edge, 0, 1).astype(np.float32)
    return inside


def _stroke(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    begin: tuple[NDArray[np.float32], NDArray[np.float32]],
    end: tuple[NDArray[np.float32], NDArray[np.float32]],
    thick: np.float32,
    soft: np.float32,
) -> NDArray[np.float32]:
    """How much of each pixel (n, height, width) lies within ``thick`` of the lines from begin to end."""
    (x0, y0), (x1, y1) = begin, end
    along_x, along_y = x1 - x0, y1 - y0
    square = along_x**2 + along_y**2
    from_x, from_y = x[None] - x0[:, None], y[None] - y0[:, None]
    along = (from_x * (along_x / square)[:, None])[:, None, :]
    share = along + (from_y * (along_y / square)[:, None])[:, :, None]
    np.clip(share, 0, 1, out=share)
    off_x = from_x[:, None, :] - share * along_x[:, None, None]
    share *= along_y[:, None, None]
    off_y = np.subtract(from_y[:, :, None], share, out=share)
    off_x *= off_x
    off_y *= off_y
    off_x += off_y
    distance = np.sqrt(off_x, out=off_x)
    distance -= thick + soft / 2
    distance /= -soft
    covered: NDArray[np.float32] = np.clip(distance, 0, 1, out=distance)
    return covered


class ControlEnvs:
    """n bodies of one look side by side; all of their episodes are equally long.

    Place i's episodes start one after the other from the seed, i and their number alone.
    """

    def __init__(self, world: ControlWorld, sign: float, n: int, *seed: int) -> None:
        self.world, self._sign, self._seed = world, sign, seed
        self._number = np.zeros(n, np.int64)
        self._time = np.zeros(n, np.int64)
        self._block = np.full(n, -1, np.int64)
        self._starts = np.empty((len(world.body.angles), n, BLOCK))
        self._states = world.body.hanging(n)
        self._last = self._states[:, :0]
        self._begin(np.arange(n))
        self._observations = world.observed(self._states)

    @property
    def observations(self) -> NDArray[Any]:
        return self._observations

    def _begin(self, which: NDArray[np.integer]) -> None:
        """Start the next episode in these places, from the blocks that their numbers are in."""
        block, offset = np.divmod(self._number[which], BLOCK)
        for place in which[block != self._block[which]].tolist():
            self._block[place] = own = int(self._number[place]) // BLOCK
            rng = generator(WORLD_STREAM, *self._seed, place, own)
            self._starts[:, place] = started(self.world.body, rng, BLOCK)
        self._time[which] = 0
        self._states[:, which] = self.world.body.hanging(len(which))
        self._states[np.ix_(np.array(self.world.body.angles), which)] = self._starts[:, which, offset]

    def step(self, actions: Actions) -> Step:
        n = len(self._time)
        forces = checked_forces(actions, n, self.world.actions.n)
        self._states, rewards = self.world.after(self._states, np.ascontiguousarray(forces.T))
        self._time += 1
        truncated = self._time >= self.world.steps
        ended = np.flatnonzero(truncated)
        self._last = self._states[:, ended]
        if len(ended):
            self._number[ended] += 1
            self._begin(ended)
        self._observations = self.world.observed(self._states)
        signed = (self._sign * rewards).astype(np.float32)
        return Step(signed, np.zeros(n, np.bool_), truncated)

    def last_observations(self) -> NDArray[Any]:
        return self.world.observed(self._last)

    def hidden(self) -> States:
        return {"body": self._states.T.copy()}

    def state(self) -> Saved:
        """The episodes' numbers and times and the bodies' states: starts to come follow from the numbers."""
        arrays = {"number": self._number.copy(), "time": self._time.copy(), **self.hidden()}
        return Saved(arrays)

    def restore(self, saved: Saved) -> None:
        checked_arrays(saved, self.state())
        number, time, body = (saved.arrays[name] for name in ("number", "time", "body"))
        fit = (number >= 0) & (time >= 0) & (time < self.world.steps) & np.isfinite(body).all(1)
        if not fit.all():
            place = int(np.flatnonzero(~fit)[0])
            raise WorldError(f"state of environments: place {place}: found no state of an episode on its way")
        self._number, self._time = number.copy(), time.copy()
        self._states = np.ascontiguousarray(body.T)
        self._last = self._states[:, :0]
        self._observations = self.world.observed(self._states)

    def close(self) -> None:
        """Nothing is held."""


def started(body: Body, rng: np.random.Generator, episodes: int) -> Floats:
    """Angles (angles, episodes) at the start of episodes: each joint beside hanging, or beside straight."""
    return np.pi + rng.uniform(-ASIDE, ASIDE, (len(body.angles), episodes)).cumsum(0)


class Control(gymnasium.Env[NDArray[Any], NDArray[np.float32]]):
    """One body as an environment, in one of the looks.

    Observations are (pixels, pixels, 1) uint8, or (8,) float32 from state; actions are a ``Box`` from −1 to
    1. Beside each observation stand the variables of :meth:`ControlWorld.variables`.

    >>> env = Control("pendulum-state")
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape, env.action_space.shape, info["angle_cos"] < -0.99
    ((8,), (1,), True)
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012

    def __init__(
        self,
        task: str = "pendulum",
        variant: str = "default",
        render_mode: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if task not in CONTROLS:
            raise WorldError(f"task: found {task!r}, expected one of {', '.join(CONTROLS)}")
        world = configured(CONTROLS[task](), settings or {})
        assert isinstance(world, ControlWorld)
        self.world, self.variant = world, checked_variant(world, variant)
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Box(-1, 1, (world.actions.n,), np.float32)
        if world.seen == "pixels":
            shape = (world.pixels, world.pixels, 1)
            self.observation_space: Any = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        else:
            self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (AS_NUMBERS,), np.float32)
        self.states: Floats | None = None
        """The hidden state (size, 1); None before the first reset."""
        self.time = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.states, self.time = self.world.body.hanging(1), 0
        self.states[list(self.world.body.angles)] = started(self.world.body, self.np_random, 1)
        return self._observe(self.states)

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        if self.states is None:
            raise gymnasium.error.ResetNeeded("nothing moves yet; call reset() before step()")
        forces = checked_forces(np.asarray(action)[None], 1, self.world.actions.n)
        self.states, rewards = self.world.after(self.states, np.ascontiguousarray(forces.T))
        self.time += 1
        observation, info = self._observe(self.states)
        reward = SIGNS[self.variant] * float(rewards[0])
        return observation, reward, False, self.time >= self.world.steps, info

    def _observe(self, states: Floats) -> tuple[NDArray[Any], dict[str, Any]]:
        known = self.world.variables({"body": states.T})
        seen = self.world.observed(states)[0]
        shown = seen.transpose(1, 2, 0).copy() if self.world.seen == "pixels" else seen[:, 0, 0].copy()
        return shown, {name: float(values[0]) for name, values in known.items()}

    def render(self) -> Any:
        if self.states is None or self.render_mode is None:
            return None
        seen = drawn(self.world.body, self.states, PICTURE_ROWS, PICTURE_ROWS)[0]
        return seen[..., None].repeat(3, -1)


def _worlds() -> dict[str, Callable[[], ControlWorld]]:
    bodies: dict[str, Pendulum | CartPole | DoublePole] = {
        "pendulum": Pendulum(),
        "cart-pole": CartPole(),
        "double-pole": DoublePole(),
        "driven-pole": DoublePole(driven=True),
    }
    made: dict[str, Callable[[], ControlWorld]] = {}
    for name, body in bodies.items():
        fine = 2 if isinstance(body, DoublePole) else 1
        made[name] = functools.partial(ControlWorld, name, body, "pixels", fine=fine)
        made[f"{name}-state"] = functools.partial(ControlWorld, f"{name}-state", body, "state", fine=fine)
    return made


CONTROLS = _worlds()
"""What makes each world, by name: from pictures, and from the state."""
