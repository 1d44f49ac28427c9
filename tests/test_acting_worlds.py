"""What every world that systems act in has in common: places, seeds, saving, looks and hidden states."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.envs import acting
from trainers.envs.acting import (
    Actions,
    Envs,
    PairedEnvs,
    PairedWorld,
    Saved,
    World,
    WorldError,
    acting_world,
    acting_world_names,
    configured,
    walk,
    world_settings,
)

NEEDS = {"minatar": "minatar", "atari": "ale_py"}
PLAYED = (
    "pendulum-state",
    "cart-pole",
    "double-pole-state",
    "driven-pole",
    "catch",
    "catch-small",
    "minatar-asterix",
    "minatar-breakout",
    "minatar-freeway",
    "minatar-seaquest",
    "minatar-space-invaders",
    "atari-breakout",
)
PAIRED = PLAYED[:-1]


def world_of(name: str, **settings: Any) -> World:
    needed = NEEDS.get(name.partition("-")[0])
    if needed and find_spec(needed) is None:
        pytest.skip(f"needs the package {needed}")
    return acting_world(name, settings)


def played(envs: Envs, actions: Actions) -> list[NDArray[Any]]:
    """All that is seen of a play: first, after each action (rounds, n), and at ends."""
    seen: list[NDArray[Any]] = [envs.observations]
    for row in actions:
        step = envs.step(row)
        seen += [envs.observations, *step, envs.last_observations()]
    return seen


def equal(first: list[NDArray[Any]], second: list[NDArray[Any]]) -> bool:
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(first, second, strict=True))


def drawn(world: World, rounds: int, n: int) -> Actions:
    return world.actions.sample(np.random.default_rng(3), rounds, n)


def test_every_name_is_played_or_of_a_kind_that_is() -> None:
    kinds = {name.partition("-")[0] for name in PLAYED}
    # Those that ship: tests make worlds of their own known.
    assert {name.partition("-")[0] for names in acting._GAMES.values() for name in names} == kinds
    assert set(PLAYED) <= set(acting_world_names())


@pytest.mark.parametrize("name", PLAYED)
def test_shapes_are_those_that_are_told_and_what_was_seen_stays(name: str) -> None:
    world = world_of(name)
    envs = world.envs(world.variants[-1], 3, 0)
    assert world.name == name
    assert envs.observations.shape == (3, *world.observation_shape)
    assert envs.observations.dtype == (np.float32 if name.endswith("-state") else np.uint8)
    before = envs.observations
    kept = before.copy()
    for row in drawn(world, 4, 3):
        step = envs.step(row)
        assert [(part.shape, part.dtype.kind) for part in step] == [((3,), "f"), ((3,), "b"), ((3,), "b")]
    assert np.array_equal(before, kept)
    assert len(set(world.actions.names)) == world.actions.n
    envs.close()
    envs.close()


@pytest.mark.parametrize("name", PLAYED)
def test_a_place_meets_the_same_whatever_is_played_beside_it(name: str) -> None:
    world = world_of(name)
    n = 2 if name.startswith("atari") else 5
    many, few = world.envs(world.variants[0], n, 4, 9), world.envs(world.variants[0], n // 2, 4, 9)
    for row in drawn(world, 12 * n, n):
        long, short = many.step(row), few.step(row[: n // 2])
        assert all(np.array_equal(a[: n // 2], b) for a, b in zip(long, short, strict=True))
        assert np.array_equal(many.observations[: n // 2], few.observations)


@pytest.mark.parametrize("name", PLAYED)
def test_places_and_seeds_differ(name: str) -> None:
    world = world_of(name)
    n = 2 if name.startswith("atari") else 4
    actions = np.repeat(drawn(world, 20 * n, 1), n, 1)
    plays = [played(world.envs(world.variants[0], n, seed), actions) for seed in (0, 1)]
    assert not equal(*plays)
    last = plays[0][-5]
    assert not all(np.array_equal(last[0], last[i]) for i in range(1, n))


@pytest.mark.parametrize("name", PLAYED)
def test_a_restored_play_goes_on_bit_for_bit(name: str) -> None:
    """Through JSON, into environments of another seed; ends of episodes lie before and after."""
    world = world_of(name)
    assert world.exact
    n, rounds = (1, 80) if name.startswith("atari") else (3, 600 if name.startswith("minatar") else 300)
    actions = drawn(world, rounds, n)
    envs = world.envs(world.variants[0], n, 5)
    played(envs, actions[: rounds // 2])
    saved = envs.state()
    told = Saved(saved.arrays, json.loads(json.dumps(saved.values)))
    gone_on = played(envs, actions[rounds // 2 :])
    other = world.envs(world.variants[0], n, 6 if name.startswith(("minatar", "atari")) else 5)
    other.step(actions[0])
    other.restore(told)
    assert equal(gone_on, played(other, actions[rounds // 2 :]))
    assert "freeway" in name or "atari" in name or any(len(end) for end in gone_on[5::5])


@pytest.mark.parametrize("name", ["catch-small", "minatar-breakout", "atari-breakout"])
def test_what_cannot_be_is_refused_in_words(name: str) -> None:
    world = world_of(name)
    envs, most = world.envs(world.variants[0], 1, 0), world.actions.n
    for actions in ([most], [-1], [0, 0], [[0]], [0.0]):
        with pytest.raises(WorldError, match="actions: found"):
            envs.step(np.array(actions))
    with pytest.raises(WorldError, match="unknown look"):
        world.envs("sideways", 2, 0)
    with pytest.raises(WorldError, match="expected 1 or more"):
        world.envs(world.variants[0], 0, 0)
    saved = envs.state()
    with pytest.raises(WorldError, match="state of environments"):
        world.envs(world.variants[0], 2, 0).restore(saved)
    for missing in saved.arrays:
        rest = {key: array for key, array in saved.arrays.items() if key != missing}
        with pytest.raises(WorldError, match=missing):
            envs.restore(Saved(rest, saved.values))
    for missing in saved.values:
        others = {key: value for key, value in saved.values.items() if key != missing}
        with pytest.raises(WorldError, match=missing):
            envs.restore(Saved(saved.arrays, others))


@pytest.mark.parametrize("name", PAIRED)
def test_hidden_states_are_what_is_seen_and_looks_share_them(name: str) -> None:
    world = world_of(name)
    assert isinstance(world, PairedWorld)
    actions = drawn(world, 50, 4)
    plays = {variant: world.envs(variant, 4, 2) for variant in world.variants}
    first = plays[world.variants[0]]
    assert isinstance(first, PairedEnvs)
    for row in actions:
        for variant, envs in plays.items():
            envs.step(row)
            hidden = envs.hidden()
            assert np.array_equal(world.render(hidden, variant), envs.observations)
            assert all(np.array_equal(hidden[key], array) for key, array in first.hidden().items())


@pytest.mark.parametrize("name", PAIRED)
def test_sampled_states_come_from_walks_and_can_be_shown_and_told(name: str) -> None:
    world = world_of(name)
    assert isinstance(world, PairedWorld)
    walked = world.sample_states(300, 1, apart=3)
    again = world.sample_states(300, 1, apart=3)
    assert all(np.array_equal(walked.states[key], again.states[key]) for key in walked.states)
    assert len(walked) == 300
    assert set(np.diff(walked.episode)) <= {0, 1}
    assert walked.episode[0] == 0
    same = np.diff(walked.episode) == 0
    assert (np.diff(walked.time)[same] > 0).all()
    assert (walked.time < world.max_steps).all()
    for variant in world.variants:
        assert world.render(walked.states, variant).shape == (300, *world.observation_shape)
        few = {key: array[:2] for key, array in walked.states.items()}
        _, height, width = world.observation_shape
        assert world.pictures(few, variant, 3).shape == (2, 3 * height, 3 * width, 3)
    for values in world.variables(walked.states).values():
        assert values.shape == (300,)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
    for n, apart in ((0, 1), (5, 0)):
        with pytest.raises(WorldError, match="random walk"):
            world.sample_states(n, 0, apart=apart)


def test_steps_of_a_walk_follow_each_other_where_none_is_left_out() -> None:
    world = world_of("catch-small")
    assert isinstance(world, PairedWorld)
    walked = world.sample_states(64 * 50, 0)
    rows = np.flatnonzero(np.diff(walked.episode) == 0)
    state = walked.states
    assert (state["row"][rows + 1] == state["row"][rows] + 1).all()
    assert (state["column"][rows + 1] == state["column"][rows]).all()
    moved = state["paddle"][rows] + walked.action[rows] - 1
    assert (state["paddle"][rows + 1] == moved.clip(2, 20)).all()
    assert (walked.time == state["row"]).all()
    assert walked.terminated[:-1][np.diff(walked.episode) == 1].sum() > 50
    assert set(np.abs(walked.reward)) == {0.0, 1.0}
    assert (walked.terminated == (walked.reward != 0)).all()


def test_a_walk_keeps_observations_where_hidden_states_cannot_be_had() -> None:
    world = world_of("atari-breakout")
    assert not isinstance(world, PairedWorld)
    kept = walk(world, "m0d0", 6, 0, places=1)
    envs = world.envs("m0d0", 1, 0)
    for seen, action in zip(kept.states["observation"], kept.action, strict=True):
        assert np.array_equal(seen, envs.observations[0])
        envs.step(np.array([action]))
    assert list(kept.states) == ["observation"]


def test_settings_are_told_changed_and_refused_by_name() -> None:
    world = acting_world("catch-small", {"speed": 2, "looks": {"large-ball": {"ball": 7}}})
    assert world.max_steps == 11
    settings = world_settings(world)
    assert settings["looks"]["large-ball"]["ball"] == 7
    assert settings["looks"]["default"] == world_settings(acting_world("catch-small"))["looks"]["default"]
    told = configured(acting_world("catch-small"), json.loads(json.dumps(settings)))
    assert world_settings(told) == settings
    refused = [
        ({"spead": 1}, "did you mean 'speed'"),
        ({"height": "tall"}, "height: Input should be a valid integer"),
        ({"looks": {"default": {"bal": 1}}}, "looks.default.bal"),
        ({"looks": {"default": {"ball": 99}}}, "expected 1 to what the screen holds"),
        ({"looks": {"default": {"background": [0, 0, 256]}}}, "beyond 0 to 255"),
        ({"height": 3000}, "expected 2 to 256"),
        ({"touches": [0, 6]}, "expected 1 to 256"),
        ({"speed": 0}, "expected 1 or more"),
        ({"paddle_height": 23}, "room for the ball to fall"),
    ]
    for changes, said in refused:
        with pytest.raises(WorldError, match=said):
            acting_world("catch-small", changes)
    with pytest.raises(WorldError, match="did you mean 'catch-small'"):
        acting_world("catch-smal")
