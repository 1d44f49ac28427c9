"""Environments of gymnasium as worlds: pictures, ends, seeds, and that they cannot be saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from trainers.envs.acting import PairedWorld, Saved, WorldError
from trainers.envs.catch import Catch
from trainers.envs.gymnasium_world import GymnasiumWorld
from trainers.envs.labyrinth import LABYRINTHS, Labyrinth

SIZES = {"tiles": 6, "keys": 2, "pixels": 2, "steps": 30}


def labyrinth(task: Any) -> Callable[[], Labyrinth]:
    return lambda: Labyrinth(task, **SIZES)


LABYRINTH = GymnasiumWorld("labyrinth", {t: labyrinth(t) for t in ("source", "target")}, 30)
CATCH = GymnasiumWorld("catch", {"default": lambda: Catch("default", "catch-small")}, 22)


def test_pictures_become_bytes_with_channels_first() -> None:
    assert LABYRINTH.observation_shape == (1, 12, 12)
    assert LABYRINTH.actions.n == 4
    pair = [LABYRINTH.envs(task, 3, 0).observations for task in LABYRINTH.variants]
    assert (pair[0].astype(int) + pair[1] == 255).all()
    assert set(np.unique(pair[0])) == {0, 166, 217, 255}  # -1, .3, .7 and 1
    assert CATCH.observation_shape == (3, 24, 24)
    assert CATCH.envs("default", 3, 0).observations.shape == (3, 3, 24, 24)


def test_an_episode_that_ends_begins_anew_and_its_last_picture_is_kept() -> None:
    envs = CATCH.envs("default", 4, 0)
    for now in range(1, 45):
        step = envs.step(np.ones(4, np.int64))
        ended = now % 22 == 0
        assert step.terminated.all() == ended
        assert (step.rewards != 0).all() == ended
        last = envs.last_observations()
        assert len(last) == (4 if ended else 0)
        if ended:
            assert last[:, 0, -2].any(1).all()  # the ball is down there
            assert envs.observations[:, 0, 0].any(1).all()  # and the next one at the top


def test_a_time_limit_truncates() -> None:
    envs = LABYRINTH.envs("source", 3, 0)
    for now in range(1, 31):
        step = envs.step(np.zeros(3, np.int64))
        assert step.truncated.all() == (now == 30)
        assert not step.terminated.any()
    assert LABYRINTHS["labyrinth-small"].steps == 30


def test_a_place_meets_the_same_whatever_is_played_beside_it() -> None:
    many, few = LABYRINTH.envs("source", 4, 1), LABYRINTH.envs("source", 2, 1)
    assert np.array_equal(many.observations[:2], few.observations)
    assert not np.array_equal(many.observations[0], many.observations[1])
    rng = np.random.default_rng(0)
    for _ in range(70):
        actions = rng.integers(4, size=4)
        many.step(actions)
        few.step(actions[:2])
        assert np.array_equal(many.observations[:2], few.observations)


def test_a_vector_of_gymnasium_serves_if_it_begins_anew_in_the_same_step() -> None:
    def made(mode: AutoresetMode) -> GymnasiumWorld:
        return GymnasiumWorld(
            "catch",
            {},
            22,
            {
                "default": lambda n: SyncVectorEnv(
                    [lambda: Catch("default", "catch-small")] * n, autoreset_mode=mode
                )
            },
        )

    envs, own = made(AutoresetMode.SAME_STEP).envs("default", 3, 0), CATCH.envs("default", 3, 0)
    for _ in range(30):
        envs.step(np.zeros(3, np.int64))
        own.step(np.zeros(3, np.int64))
        assert np.array_equal(envs.observations, own.observations)
    with pytest.raises(WorldError, match="SAME_STEP"):
        made(AutoresetMode.NEXT_STEP)


def test_it_says_that_it_cannot_be_saved() -> None:
    assert not LABYRINTH.exact
    assert not isinstance(LABYRINTH, PairedWorld)
    envs = LABYRINTH.envs("source", 1, 0)
    with pytest.raises(WorldError, match="cannot be saved bit for bit"):
        envs.state()
    with pytest.raises(WorldError, match="cannot be restored bit for bit"):
        envs.restore(Saved({}))
    with pytest.raises(WorldError, match="actions: found"):
        envs.step(np.array([4]))


class Odd(gymnasium.Env[Any, Any]):
    """An environment with spaces to choose."""

    def __init__(self, seen: spaces.Space[Any], acted: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = seen, acted


def test_what_is_no_picture_or_has_no_numbered_actions_is_refused() -> None:
    picture, numbers = spaces.Box(0, 255, (8, 9), np.uint8), spaces.Discrete(2)
    GymnasiumWorld("odd", {"only": lambda: Odd(picture, numbers)}, 5)
    for seen, acted, said in (
        (spaces.Box(0, 1, (4,)), numbers, "observations: found"),
        (spaces.Box(-np.inf, np.inf, (8, 8)), numbers, "observations: found"),
        (picture, spaces.Box(0, 1, (2,)), "actions: found"),
        (picture, spaces.Discrete(2, start=1), "actions: found"),
    ):
        with pytest.raises(WorldError, match=said):
            GymnasiumWorld("odd", {"only": lambda s=seen, a=acted: Odd(s, a)}, 5)
    with pytest.raises(WorldError, match="found no look"):
        GymnasiumWorld("none", {}, 5)
    with pytest.raises(WorldError, match="look 'b' has other"):
        GymnasiumWorld("two", {**CATCH.makers, "b": lambda: Catch("default", "catch")}, 5)
