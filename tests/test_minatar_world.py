"""MinAtar's looks show the same cells with permuted or negated channels; the games are the package's."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest

from trainers.envs.acting import WorldError, acting_world, acting_world_names

NAMES = [name for name in acting_world_names() if name.startswith("minatar-")]


@pytest.mark.parametrize("name", NAMES)
def test_looks_are_exact_permutations_and_the_negative_of_the_default(name: str) -> None:
    pytest.importorskip("minatar")
    from trainers.envs.minatar import MinAtarWorld

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


def test_a_game_is_played_as_the_package_plays_it() -> None:
    """The package's own environment, given our generator, sticks, moves and ends in the same steps."""
    minatar = pytest.importorskip("minatar")
    from trainers.envs.minatar import MinAtarWorld

    world = MinAtarWorld("breakout")
    envs = world.envs("default", 1, 0)
    theirs = minatar.Environment("breakout")
    saved = envs.state()
    theirs.seed(0)
    drawn = saved.values["generators"][0]
    state = {"key": saved.arrays["keys"][0], "pos": drawn["pos"]}
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


def test_variables_are_read_off_the_cells() -> None:
    pytest.importorskip("minatar")
    from trainers.envs.minatar import MinAtarWorld

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


def test_a_long_game_is_cut_short_and_that_is_no_end() -> None:
    pytest.importorskip("minatar")
    world = acting_world("minatar-freeway", {"steps": 7})
    envs = world.envs("default", 2, 0)
    for step in [envs.step(np.zeros(2, np.int64)) for _ in range(14)][6::7]:
        assert step.truncated.all()
        assert not step.terminated.any()
    assert envs.last_observations().shape == (2, *world.observation_shape)


def test_all_six_actions_can_be_asked_for_and_other_settings_are_refused() -> None:
    pytest.importorskip("minatar")
    assert acting_world("minatar-breakout", {"minimal": False}).actions.n == 6
    for settings in ({"sticky": 1.0}, {"steps": 0}):
        with pytest.raises(WorldError, match="expected"):
            acting_world("minatar-breakout", settings)


def test_importing_the_package_leaves_logging_as_it_was() -> None:
    pytest.importorskip("minatar")
    from trainers.envs.minatar import MinAtarWorld

    handlers, disabled = list(logging.getLogger().handlers), logging.root.manager.disable
    MinAtarWorld("asterix")
    assert logging.getLogger().handlers == handlers
    assert logging.root.manager.disable == disabled


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minatar", None)
    for game in ("asterix", "breakout"):
        monkeypatch.delitem(sys.modules, f"minatar.environments.{game}", raising=False)
    monkeypatch.delitem(sys.modules, "minatar.environments", raising=False)
    with pytest.raises(WorldError, match=r"needs the package minatar.*transfer-diag\[minatar\]"):
        acting_world("minatar-breakout")
