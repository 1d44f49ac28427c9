"""MinAtar's looks show the same cells with permuted or negated channels; the games are the package's."""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec

import numpy as np
import pytest

from trainers.envs import minatar
from trainers.envs.acting import Saved, WorldError, acting_world, acting_world_names
from trainers.envs.minatar import MinAtarWorld

needed = pytest.mark.skipif(find_spec("minatar") is None, reason="needs the package minatar")

NAMES = [name for name in acting_world_names() if name.startswith("minatar-")]


@needed
@pytest.mark.parametrize("name", NAMES)
def test_looks_are_exact_permutations_and_the_negative_of_the_default(name: str) -> None:
    world = acting_world(name)
    assert isinstance(world, MinAtarWorld)
    states = world.sample_states(400, 0).states
    default = world.render(states, "default")
    assert set(np.unique(default)) == {0, 255}
    assert np.array_equal(default > 0, states["cells"])
    seen = set()
    for variant in ("permuted", "permuted-2", "permuted-3"):
        order = world.order(variant)
        assert sorted(order) == list(range(len(order)))
        assert (order != np.arange(len(order))).all()
        assert np.array_equal(world.render(states, variant), default[:, order])
        seen.add(tuple(order))
    assert len(seen) == 3
    assert np.array_equal(world.render(states, "inverted"), 255 - default)
    assert np.array_equal(world.pictures(states, "inverted"), 255 - world.pictures(states, "default"))


@needed
def test_a_game_is_played_as_the_package_plays_it() -> None:
    """The package's own environment, given our generator, sticks, moves and ends in the same steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package imports matplotlib, where there is one
        theirs = pytest.importorskip("minatar").Environment("breakout")
    world = MinAtarWorld("breakout")
    envs = world.envs("default", 1, 0)
    saved = envs.state()
    theirs.seed(0)
    drawn = saved.values["generators"][0]
    state = {"key": saved.arrays["keys"][0].astype(np.uint32), "pos": drawn["pos"]}
    theirs.random.set_state({"bit_generator": "MT19937", "state": state, "has_gauss": 0, "gauss": 0.0})
    for name in ("ball_y", "ball_x", "ball_dir", "pos", "strike", "last_x", "last_y", "terminal"):
        setattr(theirs.env, name, saved.values["games"][0][name])
    rng, ends = np.random.default_rng(0), 0
    for _ in range(500):
        action = int(rng.integers(3))
        step = envs.step(np.array([action]))
        reward, terminal = theirs.act(world.numbers[action])
        assert (step.rewards[0], bool(step.terminated[0])) == (reward, terminal)
        shown = envs.last_observations() if terminal else envs.observations
        assert np.array_equal(shown[0] > 0, theirs.state().transpose(2, 0, 1))
        if terminal:
            ends += 1
            theirs.reset()
            theirs.last_action = 0
    assert ends > 10


@needed
@pytest.mark.parametrize("name", ["minatar-breakout", "minatar-seaquest"])
def test_a_state_of_another_form_is_refused_and_changes_nothing(name: str) -> None:
    envs = acting_world(name).envs("default", 2, 0)
    saved = envs.state()
    first, second = saved.values["games"]
    other = {"breakout": "pos", "seaquest": "sub_x"}[name.partition("-")[2]]
    for games in (
        [first],
        [first, {}],
        [first, {**second, "surprise": 1}],
        [first, {**second, other: "left"}],
        [first, {**second, other: [1]}],
        "none",
    ):
        with pytest.raises(WorldError, match="games: found others"):
            envs.restore(Saved(saved.arrays, {**saved.values, "games": games}))
    if "breakout" in name:
        bricks = {"brick_map": {"dtype": "float64", "values": [[1.0]]}}
        with pytest.raises(WorldError, match="games: found others"):
            envs.restore(Saved(saved.arrays, {**saved.values, "games": [first, {**second, **bricks}]}))
    assert envs.state().values == saved.values


@needed
def test_variables_are_read_off_the_cells() -> None:
    world = MinAtarWorld("breakout")
    states = world.sample_states(100, 0).states
    known = world.variables(states)
    assert (known["paddle_row"] == 9).all()
    assert (known["paddle_cells"] == 1).all()
    assert (known["ball_cells"] == 1).all()
    rows = np.arange(100)
    row, column = known["ball_row"].astype(int), known["ball_column"].astype(int)
    assert states["cells"][rows, 1, row, column].all()
    assert known["brick_cells"].max() == 30


@needed
def test_a_long_game_is_cut_short_and_that_is_no_end() -> None:
    world = acting_world("minatar-freeway", {"steps": 7})
    envs = world.envs("default", 2, 0)
    for step in [envs.step(np.zeros(2, np.int64)) for _ in range(14)][6::7]:
        assert step.truncated.all()
        assert not step.terminated.any()
    assert envs.last_observations().shape == (2, *world.observation_shape)


@needed
def test_all_six_actions_can_be_asked_for_and_other_settings_are_refused() -> None:
    assert acting_world("minatar-breakout", {"minimal": False}).actions.n == 6
    for settings in ({"sticky": 1.0}, {"steps": 0}):
        with pytest.raises(WorldError, match="expected"):
            acting_world("minatar-breakout", settings)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minatar", None)
    minatar._module.cache_clear()
    with pytest.raises(WorldError, match=r"needs the package minatar.*transfer-diag\[minatar\]"):
        acting_world("minatar-breakout")
