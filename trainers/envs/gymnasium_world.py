"""Any gymnasium environment with discrete actions and pictures as a world that systems act in.

Looks are makers: a function that makes one environment, or one that makes a vector environment of n. A
picture is a bounded box of two axes (h, w) or three, channels last (h, w, c) or first (c, h, w): the
smaller of the outer two is taken for the channels. Bytes are passed on; other bounded numbers are
scaled to 0 to 255 by the bounds, halves to even.

These environments **cannot be saved bit for bit** (``exact`` is False, and ``state`` refuses): gymnasium has
no call for it. Training in them cannot be resumed as if it had not stopped.

>>> import gymnasium
>>> from trainers.envs import register
>>> register()
>>> makers = {task: (lambda t=task: gymnasium.make("transfer_diag/LabyrinthSmall-v0", task=t))
...           for task in ("source", "target")}
>>> world = GymnasiumWorld("labyrinths", makers, max_steps=30)
>>> world.envs("target", 4, 0).observations.shape
(4, 1, 12, 12)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from trainers.envs.acting import (
    Discrete,
    Saved,
    Step,
    WorldError,
    checked_actions,
    checked_count,
    checked_variant,
)
from trainers.streams import WORLD_STREAM, generator

Maker = Callable[[], gymnasium.Env[Any, Any]]
VectorMaker = Callable[[int], VectorEnv[Any, Any, Any]]


@dataclass(frozen=True)
class GymnasiumWorld:
    """Looks of one world, made by gymnasium; raises :class:`trainers.envs.acting.WorldError`."""

    name: str
    makers: Mapping[str, Maker]
    """One environment of each look; n of them are stepped one after the other."""
    max_steps: int
    """Most steps of an episode: what the environments' own time limit is."""
    vector_makers: Mapping[str, VectorMaker] | None = None
    """In their place where given: n environments of each look, which begin anew in the same step."""

    def __post_init__(self) -> None:
        if not (self.vector_makers or self.makers):
            raise WorldError(f"{self.name}: found no look, expected one maker or more")
        spaces = {variant: self._spaces(variant) for variant in self.variants}
        first = next(iter(spaces.values()))
        for variant, (seen, acted) in spaces.items():
            if seen.shape != first[0].shape or acted != first[1]:
                raise WorldError(f"{self.name}: look {variant!r} has other observations or actions")

    def vector(self, variant: str, n: int) -> VectorEnv[Any, Any, Any]:
        """n environments of a look as gymnasium's vector."""
        if self.vector_makers is None:
            makers = [self.makers[variant]] * n
            return SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        made = self.vector_makers[variant](n)
        mode = made.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            made.close()
            raise WorldError(
                f"{self.name}: vector environments: found {mode}, expected {AutoresetMode.SAME_STEP}"
            )
        return made

    def _spaces(self, variant: str) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Discrete]:
        """What one environment of a look shows and takes."""
        made: Any = self.vector(variant, 1)
        seen, acted = made.single_observation_space, made.single_action_space
        made.close()
        if not isinstance(acted, gymnasium.spaces.Discrete) or acted.start != 0:
            raise WorldError(f"{self.name}: actions: found {acted}, expected Discrete from 0")
        pictures = isinstance(seen, gymnasium.spaces.Box) and len(seen.shape) in (2, 3)
        if not pictures or not seen.is_bounded() or (seen.high <= seen.low).any():
            raise WorldError(f"{self.name}: observations: found {seen}, expected bounded pictures")
        return seen, acted

    @functools.cached_property
    def box(self) -> gymnasium.spaces.Box:
        """What one environment shows."""
        return self._spaces(self.variants[0])[0]

    @functools.cached_property
    def actions(self) -> Discrete:
        return Discrete(tuple(str(number) for number in range(int(self._spaces(self.variants[0])[1].n))))

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        shape = self.box.shape
        if len(shape) == 2:
            return (1, *shape)
        return cast("tuple[int, int, int]", shape if _channels_first(shape) else (shape[2], *shape[:2]))

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(self.makers if self.vector_makers is None else self.vector_makers)

    @property
    def exact(self) -> bool:
        return False

    def envs(self, variant: str, n: int, *seed: int) -> GymnasiumEnvs:
        return GymnasiumEnvs(self, checked_variant(self, variant), checked_count(n), *seed)

    def shown(self, observations: NDArray[Any], variant: str) -> NDArray[np.uint8]:
        """Observations of gymnasium (n, …) as bytes (n, c, h, w), a new array."""
        if observations.dtype == np.uint8:
            seen = observations.copy()
        else:
            low, high = self.box.low.astype(np.float64), self.box.high.astype(np.float64)
            seen = np.rint((observations - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
        if seen.ndim == 3:
            return seen[:, None]
        return seen if _channels_first(seen.shape[1:]) else np.ascontiguousarray(seen.transpose(0, 3, 1, 2))


class GymnasiumEnvs:
    """n environments of gymnasium, each seeded by the seed and its place."""

    def __init__(self, world: GymnasiumWorld, variant: str, n: int, *seed: int) -> None:
        self.world, self.variant, self._n = world, variant, n
        self._vector = world.vector(variant, n)
        seeds = [int(generator(WORLD_STREAM, *seed, place).integers(2**31)) for place in range(n)]
        seen, _ = self._vector.reset(seed=cast("Any", seeds))
        self._observations = world.shown(seen, variant)
        self._last = self._observations[:0]

    @property
    def observations(self) -> NDArray[np.uint8]:
        return self._observations

    def step(self, actions: NDArray[np.integer]) -> Step:
        taken = checked_actions(actions, self._n, self.world.actions.n)
        seen, rewards, terminated, truncated, infos = self._vector.step(taken)
        step = Step(
            np.array(rewards, np.float32), np.array(terminated, np.bool_), np.array(truncated, np.bool_)
        )
        self._observations = self.world.shown(seen, self.variant)
        ended = np.flatnonzero(step.ended)
        finals = [infos["final_obs"][place] for place in ended.tolist()]
        self._last = self.world.shown(np.array(finals), self.variant) if finals else self._observations[:0]
        return step

    def last_observations(self) -> NDArray[np.uint8]:
        return self._last.copy()

    def state(self) -> Saved:
        raise WorldError(f"{self.world.name}: environments of gymnasium cannot be saved bit for bit")

    def restore(self, saved: Saved) -> None:
        raise WorldError(f"{self.world.name}: environments of gymnasium cannot be restored bit for bit")

    def close(self) -> None:
        self._vector.close()


def _channels_first(shape: tuple[int, ...]) -> bool:
    return shape[0] < shape[2]
