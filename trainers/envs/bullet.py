"""The second paper's six tasks in PyBullet: four bodies that run, and two pendulums to swing up.

The extra ``[control]``: ``pybullet`` (3.2.7 has wheels for Python 3.10 and 3.11 alone) and
``pybullet_envs_gymnasium``. Five tasks are that package's. The sixth, a double pendulum to swing up, is in no
library (appendix A): here it is the package's double pendulum, which begins hanging and is paid
cos Θ + cos Γ of its two joints' positions, and never ends before its time.

An observation is a picture of 64×64 in colour, drawn without a display by the engine's own renderer from the
package's camera, or the numbers of the package's robot in float32, in channels of 1×1. An action lasts two
of its steps, whose rewards are added up, as in Dreamer's code; an episode lasts 1,000 steps.

Physics cannot be saved bit for bit (``exact`` is False): the engine's states lack what contacts were.
Training in these worlds begins anew where it was stopped. Sizes stand here, so that checkpoints are read
without the packages; each environment that is made is held against them.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainers.envs.acting import (
    Actions,
    Continuous,
    Saved,
    Step,
    WorldError,
    checked_count,
    checked_forces,
    checked_variant,
)
from trainers.streams import WORLD_STREAM, generator


@dataclass(frozen=True)
class Body:
    """One task: the package's class, and how many numbers it shows and takes."""

    made_by: str
    """``module:class`` of the package."""
    seen: int
    acted: int
    swings: bool = False
    """Whether it is the double pendulum that is made to swing up here."""


BODIES = {
    "cheetah": Body("gym_locomotion_envs:HalfCheetahBulletEnv", 26, 6),
    "hopper": Body("gym_locomotion_envs:HopperBulletEnv", 15, 3),
    "walker": Body("gym_locomotion_envs:Walker2DBulletEnv", 22, 6),
    "ant": Body("gym_locomotion_envs:AntBulletEnv", 28, 8),
    "inverted-pendulum": Body("gym_pendulum_envs:InvertedPendulumSwingupBulletEnv", 5, 1),
    "inverted-double-pendulum": Body("gym_pendulum_envs:InvertedDoublePendulumBulletEnv", 9, 1, swings=True),
}
"""The paper's tasks: HalfCheetah, Hopper, Walker2D, Ant and the two pendulums."""

LASTS = 1000
"""The package's steps of an episode."""

DISTANCE, YAW, PITCH, SIGHT, NEAR, FAR = 3.0, 0.0, -30.0, 60.0, 0.1, 100.0
"""The package's camera: metres from the body, angles in degrees, and the planes between which it sees."""


@dataclass(frozen=True)
class BulletWorld:
    """One of the six tasks; raises :class:`trainers.envs.acting.WorldError`."""

    name: str
    seen: Literal["pixels", "state"] = "pixels"
    pixels: int = 64
    """Rows and columns of a picture."""
    repeat: int = 2
    """The package's steps that an action lasts."""

    def __post_init__(self) -> None:
        if self.name not in BODIES:
            raise WorldError(f"task: found {self.name!r}, expected one of {', '.join(BODIES)}")
        if not 8 <= self.pixels <= 256 or not 1 <= self.repeat <= LASTS:
            found = f"{self.pixels} and {self.repeat}"
            raise WorldError(f"pixels and repeat: found {found}, expected 8 to 256, and 1 to {LASTS}")

    @property
    def body(self) -> Body:
        return BODIES[self.name]

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        return (3, self.pixels, self.pixels) if self.seen == "pixels" else (self.body.seen, 1, 1)

    @property
    def actions(self) -> Continuous:
        return Continuous(tuple(f"motor {number}" for number in range(self.body.acted)))

    @property
    def variants(self) -> tuple[str, ...]:
        return ("default",)

    @property
    def max_steps(self) -> int:
        return -(-LASTS // self.repeat)

    @property
    def exact(self) -> bool:
        return False

    def envs(self, variant: str, n: int, *seed: int) -> BulletEnvs:
        checked_variant(self, variant)
        return BulletEnvs(self, checked_count(n), *seed)


class BulletEnvs:
    """n bodies, each in an engine of its own, with a generator of its own from the seed and its place."""

    def __init__(self, world: BulletWorld, n: int, *seed: int) -> None:
        self.world = world
        self._made = [_made(world) for _ in range(n)]
        self._time = np.zeros(n, np.int64)
        seeds = [int(generator(WORLD_STREAM, *seed, place).integers(2**31)) for place in range(n)]
        self._seen = np.stack([self._begun(place, seeds[place]) for place in range(n)])
        self._last = self._seen[:0]

    def _begun(self, place: int, seed: int | None = None) -> NDArray[Any]:
        """Start a place's next episode, and what it shows."""
        made = self._made[place]
        with _quiet() if seed is not None else contextlib.nullcontext():  # the first makes an engine
            state, _ = made.reset(seed=seed)
        if self.world.body.swings:
            state = _hung(made)
        self._time[place] = 0
        return self._shown(made, state)

    def _shown(self, made: Any, state: NDArray[Any]) -> NDArray[Any]:
        if self.world.seen == "pixels":
            return _picture(made, self.world.pixels)
        shape = self.world.observation_shape
        if np.shape(state) != shape[:1]:
            found = f"{np.shape(state)} numbers"
            raise WorldError(f"{self.world.name}: found {found} of the package, expected {shape[:1]}")
        return np.asarray(state, np.float32).reshape(shape)

    @property
    def observations(self) -> NDArray[Any]:
        return self._seen.copy()

    def step(self, actions: Actions) -> Step:
        n = len(self._made)
        forces = checked_forces(actions, n, self.world.body.acted)
        rewards, terminated = np.zeros(n, np.float32), np.zeros(n, np.bool_)
        states: list[NDArray[Any]] = []
        for place, made in enumerate(self._made):
            for _ in range(min(self.world.repeat, LASTS - int(self._time[place]))):
                state, reward, ended, _, _ = made.step(forces[place])
                if self.world.body.swings:
                    reward, ended = _swung(made), False
                rewards[place] += float(reward)
                self._time[place] += 1
                if ended:
                    terminated[place] = True
                    break
            states.append(state)
        truncated = (self._time >= LASTS) & ~terminated
        ended_ = terminated | truncated
        shown = [self._shown(made, state) for made, state in zip(self._made, states, strict=True)]
        self._last = np.array([shown[place] for place in np.flatnonzero(ended_)], self._seen.dtype)
        self._last = self._last.reshape(-1, *self.world.observation_shape)
        for place in np.flatnonzero(ended_).tolist():
            shown[place] = self._begun(place)
        self._seen = np.stack(shown)
        return Step(rewards, terminated, truncated)

    def last_observations(self) -> NDArray[Any]:
        return self._last.copy()

    def state(self) -> Saved:
        raise WorldError(f"{self.world.name}: PyBullet's worlds cannot be saved bit for bit")

    def restore(self, saved: Saved) -> None:
        raise WorldError(f"{self.world.name}: PyBullet's worlds cannot be restored bit for bit")

    def close(self) -> None:
        """Give the engines back; harmless when repeated."""
        for made in self._made:
            made.close()
        self._made = []


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what compiled code prints off standard output, as the engine does when it is begun."""
    whole = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
    whole.fflush(None)
    kept = os.dup(1)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 1)
            try:
                yield
            finally:
                whole.fflush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _made(world: BulletWorld) -> Any:
    """One environment of the package; raises :class:`trainers.envs.acting.WorldError`."""
    import importlib

    module, name = world.body.made_by.split(":")
    try:
        with _quiet(), warnings.catch_warnings():  # they speak of gymnasium's habits
            warnings.simplefilter("ignore")
            found = importlib.import_module(f"pybullet_envs_gymnasium.{module}")
    except ImportError as error:
        raise WorldError(
            f"the world {world.name!r} needs the packages pybullet and pybullet_envs_gymnasium, which are "
            "not installed: pip install 'transfer-diag[control]' (Python 3.11)"
        ) from error
    return getattr(found, name)()


def _hung(made: Any) -> NDArray[Any]:
    """Turn the double pendulum from standing to hanging, and what it then shows."""
    robot = made.robot
    angle, _ = robot.j1.current_position()
    robot.j1.reset_current_position(math.pi + angle, 0)
    return np.asarray(robot.calc_state(), np.float32)


def _swung(made: Any) -> float:
    """cos Θ + cos Γ of the joints' positions (appendix A, equation 2)."""
    return sum(math.cos(joint.current_position()[0]) for joint in (made.robot.j1, made.robot.j2))


def _picture(made: Any, side: int) -> NDArray[np.uint8]:
    """What the package's camera sees of a body, (3, side, side), by the renderer that needs no display."""
    engine = made._p
    at = list(getattr(made.robot, "body_real_xyz", (0, 0, 0)))
    view = engine.computeViewMatrixFromYawPitchRoll(at, DISTANCE, YAW, PITCH, 0, 2)
    lens = engine.computeProjectionMatrixFOV(SIGHT, 1.0, NEAR, FAR)
    seen = engine.getCameraImage(side, side, view, lens, renderer=engine.ER_TINY_RENDERER)[2]
    rows = np.asarray(seen, np.uint8).reshape(side, side, 4)[..., :3]
    return np.ascontiguousarray(rows.transpose(2, 0, 1))
