"""The simple maze is the paper's: its tiles, its states, its dynamics, as a table and as an environment."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from trainers.crar import CRAR
from trainers.envs import UnknownWorldError, collect, register, world
from trainers.envs import simple_maze as maze
from trainers.settings import preset


def test_rooms_have_the_papers_sizes() -> None:
    assert len(maze.CELLS) == 31
    assert {room: maze.ROOMS.count(room) for room in ("left", "door", "right")} == {
        "left": 18,
        "door": 1,
        "right": 12,
    }
    assert tuple(maze.CELLS[maze.START]) == (4, 4)


def test_the_target_task_is_the_negative_of_the_source() -> None:
    source, target = maze.observations("source"), maze.observations("target")
    assert np.array_equal(source, -target)
    assert not np.signbit(target[target == 0]).any()
    assert set(np.unique(source)) == {0.0, 0.5, 1.0}
    assert len(np.unique(source.reshape(31, -1), axis=0)) == 31


def test_rooms_meet_only_in_the_door() -> None:
    rooms = np.array(maze.ROOMS)
    for state in range(31):
        for reached in maze.TRANSITIONS[state]:
            assert {rooms[state], rooms[reached]} != {"left", "right"}


def test_random_walks_visit_all_states_alike_in_the_long_run() -> None:
    arrivals = np.bincount(maze.TRANSITIONS.ravel(), minlength=31)
    assert (arrivals == 4).all()


@pytest.mark.parametrize("task", maze.TASKS)
def test_the_environment_passes_gymnasiums_checks(task: maze.Task) -> None:
    env = maze.SimpleMaze(task=task, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not.*spec.*")
        check_env(env)


def test_the_environment_follows_the_table() -> None:
    env = maze.SimpleMaze("target")
    for state in range(31):
        for action in range(4):
            env.reset(options={"state": state})
            observation, reward, terminated, truncated, info = env.step(np.int64(action))
            assert info["state"] == maze.TRANSITIONS[state, action]
            assert np.array_equal(observation, maze.observations("target")[info["state"]])
            assert (reward, terminated, truncated) == (0.0, False, False)


def test_it_is_registered_with_a_time_limit() -> None:
    register()
    register()
    env = gymnasium.make("transfer_diag/SimpleMaze-v0", task="target")
    assert env.spec is not None
    assert env.spec.max_episode_steps == 500


def test_collected_steps_follow_the_table_and_restart_each_episode() -> None:
    the_world = world("simple-maze")
    data = collect(the_world, 1000, 100, 3)
    assert np.array_equal(data.next_state, the_world.transitions[data.state, data.action])
    assert np.array_equal(data.episode, np.arange(1000) // 100)
    assert (data.state[::100] == the_world.start).all()
    inside = np.arange(999) % 100 != 99
    assert (data.next_state[:-1] == data.state[1:])[inside].all()


def test_ends_of_episodes_can_be_terminals_that_nothing_follows() -> None:
    the_world = world("simple-maze")
    as_is, cut = collect(the_world, 250, 100, 3), collect(the_world, 250, 100, 3, ends_are_terminal=True)
    ends = [99, 199]  # the third episode goes on
    assert np.flatnonzero(cut.terminal).tolist() == ends
    assert (cut.next_state[ends] == the_world.states).all()
    elsewhere = np.delete(np.arange(250), ends)
    assert np.array_equal(cut.next_state[elsewhere], as_is.next_state[elsewhere])
    assert not as_is.terminal.any()


def test_what_follows_an_end_is_shown_as_zeros_and_teaches_the_discount() -> None:
    changes = ["data.ends_are_terminal=true", "data.episode_steps=5", "loss.terms=transition,discount,bound"]
    agent = CRAR.of(preset("simple-maze").with_overrides(changes))
    assert agent.pictures("source").shape == (32, 8, 8)
    assert not agent.pictures("target")[31].any()
    running = agent.training(None, [agent.fresh(0)], [0])
    for _ in range(150):
        running.update()
    assert running.take_losses()["discount"] > 0.05  # a fifth are ends, which a state alone does not tell
    without = CRAR.of(preset("simple-maze").with_overrides(changes[1:])).training(None, [agent.fresh(0)], [0])
    for _ in range(150):
        without.update()
    assert without.take_losses()["discount"] < 0.05


def test_an_unknown_world_names_its_nearest() -> None:
    with pytest.raises(UnknownWorldError, match="did you mean 'simple-maze'"):
        world("simple-mace")
