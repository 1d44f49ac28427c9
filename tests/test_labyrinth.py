"""Labyrinths are the paper's: their tiles, keys and rewards, alone, side by side and as an environment."""

from __future__ import annotations

import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from trainers.envs import labyrinth, register
from trainers.envs.labyrinth import LABYRINTHS, TAKEN, Labyrinth, LabyrinthError, LabyrinthWorld, States
from trainers.envs.labyrinth_walks import Labyrinths, collect, scattered
from trainers.streams import EVALUATION_STREAM, WORLD_STREAM

WORLD, SMALL = LABYRINTHS["labyrinth"], LABYRINTHS["labyrinth-small"]
UP, DOWN, LEFT, RIGHT = range(4)


def drawn(text: str) -> States:
    """The state of one labyrinth: # wall, . path, k key, @ agent."""
    rows = np.array([list(row) for row in text.split()])
    (agent,), keys = np.flatnonzero(rows == "@"), np.flatnonzero(rows == "k")
    return States((rows == "#")[None], np.array([agent], np.int16), keys.astype(np.int16)[None])


SKETCH = """
########
#@..#kk#
##.##..#
#....#.#
#.##...#
#.#..#.#
#k.....#
########
"""


def test_a_drawn_labyrinth_has_the_papers_parts() -> None:
    states = WORLD.draw(np.random.default_rng(1), 300)
    walls = states.walls
    assert walls[:, [0, -1]].all()
    assert walls[:, :, [0, -1]].all()
    assert (walls[:, 1:-1, 1:-1].sum((1, 2)) == 12).all()
    assert not walls[:, 6, 1:7].any()  # as in the authors' files
    assert not walls[:, 1:7, 6].any()
    assert (states.agent == 9).all()
    assert (np.diff(states.keys.astype(int)) > 0).all()  # three different tiles
    assert not walls.reshape(300, 64)[np.arange(300)[:, None], states.keys].any()
    assert len(np.unique(walls.reshape(300, 64), axis=0)) == 300


def test_every_key_can_be_reached_on_foot() -> None:
    """By walking: no move found after trying each from each tile that was found before."""
    for world in (WORLD, SMALL, LabyrinthWorld(tiles=11, keys=5)):
        for state in (world.draw(np.random.default_rng(2), 40)[i : i + 1] for i in range(40)):
            found, fresh = {int(state.agent[0])}, [int(state.agent[0])]
            while fresh:
                here = States(
                    np.repeat(state.walls, 4, 0), np.full(4, fresh.pop(), np.int16), state.keys[[0] * 4]
                )
                reached = {*world.step(here, np.arange(4))[0].agent.tolist()} - found
                found |= reached
                fresh += reached
            assert set(state.keys[0].tolist()) <= found


def test_solvable_labyrinths_are_as_likely_as_among_all() -> None:
    """By what the tile beside the agent is: a wall there makes a labyrinth less often solvable."""
    every = labyrinth.candidates(np.random.default_rng(3), 30_000, 6, 2, 5)
    kept = every[labyrinth.reachable(every).all(1)]
    states = SMALL.draw(np.random.default_rng(4), 8_000)
    for fact in ("wall", "key"):
        rates = [
            (s.walls[:, 1, 2] if fact == "wall" else (s.keys == 8).any(1)).mean() for s in (kept, states)
        ]
        assert abs(rates[0] - rates[1]) < 0.03  # four standard errors of 8,000 draws and of those kept


def test_keys_are_taken_once_and_the_last_ends_the_episode() -> None:
    states = drawn(SKETCH)
    (top, other, low) = (int(k) for k in states.keys[0])
    rewards, ends = [], []
    moves = [UP, RIGHT, DOWN, DOWN, LEFT, LEFT, DOWN, DOWN, DOWN, UP, DOWN, *[RIGHT] * 5, *[UP] * 5, LEFT]
    for move in moves:
        before = [states.agent.copy(), states.keys.copy()]
        reached, reward, ended = WORLD.step(states, np.array([move]))
        assert np.array_equal(states.agent, before[0])  # left as it was
        assert np.array_equal(states.keys, before[1])
        states = reached
        rewards.append(float(reward[0]))
        ends.append(bool(ended[0]))
        if len(rewards) == 1:
            assert states.agent[0] == 9  # a wall above
    keys = [i for i, reward in enumerate(rewards) if reward == 1.0]
    assert keys == [8, 20, 21]
    assert {rewards[i] for i in range(len(moves)) if i not in keys} == {float(np.float32(-0.1))}
    assert ends == [False] * 21 + [True]
    assert states.agent[0] == top == other - 1
    assert low == 6 * 8 + 1


def test_observations_are_blocks_of_tiles_and_the_target_is_their_negative() -> None:
    states = drawn(SKETCH)
    pair = WORLD.paired_observations(states)
    assert np.array_equal(pair["source"], -pair["target"])
    assert pair["source"].dtype == np.float32
    tiles = pair["source"][0].reshape(8, 6, 8, 6).swapaxes(1, 2)
    assert (tiles[0, 0] == 1).all()  # wall
    assert (tiles[1, 2] == -1).all()  # path
    assert set(np.unique(tiles[1, 5])) == {np.float32(-1), np.float32(0.3)}
    assert set(np.unique(tiles[1, 1])) == {np.float32(-1), np.float32(0.7)}
    assert np.array_equal(tiles[1, 5], tiles[6, 1])  # a key looks the same everywhere
    small = LabyrinthWorld(pixels=2)
    assert small.observations(states, "source").shape == (1, 16, 16)
    for pixels in labyrinth.FIGURES:
        seen = LabyrinthWorld(pixels=pixels).observations(states, "target")
        kinds = {seen[0, r * pixels : (r + 1) * pixels, c * pixels : (c + 1) * pixels].tobytes()
                 for r in range(8) for c in range(8)}  # fmt: skip
        assert len(kinds) == 4


def test_pictures_for_people_show_four_colours_and_their_complements() -> None:
    source, target = (WORLD.pictures(drawn(SKETCH), task, 2)[0] for task in labyrinth.TASKS)
    assert source.shape == (96, 96, 3)
    assert {tuple(c) for c in source.reshape(-1, 3).tolist()} == set(labyrinth.COLOURS.values())
    assert np.array_equal(source, 255 - target)


def test_known_facts_by_hand() -> None:
    states = drawn(SKETCH)
    assert {n: v.tolist() for n, v in WORLD.variables(states).items()} == {
        "row": [1],
        "column": [1],
        "keys_left": [3],
        "distance": [7],
    }
    taken = States(states.walls, states.agent, np.array([[*states.keys[0, :2], TAKEN]], np.int16))
    assert WORLD.distances(taken).tolist() == [11]
    assert WORLD.variables(taken)["keys_left"].tolist() == [2]
    none = States(states.walls, states.agent, np.full((1, 3), TAKEN, np.int16))
    assert WORLD.distances(none).tolist() == [-1]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"tiles": 3}, "tiles: found 3, expected 4 to 128"),
        ({"pixels": 3}, "pixels: found 3, expected one of 1, 2, 6"),
        ({"steps": 0}, "steps: found 0, expected 1 or more"),
        ({"keys": 0}, "keys: found 0, expected 1 to 23"),
        ({"keys": 24}, "keys: found 24, expected 1 to 23"),
        ({"walls": 25}, "walls: found 25, expected 0 to 24"),
        ({"tiles": 5, "keys": 1}, "in 0.0% of labyrinths, expected 5% or more; give fewer walls"),
    ],
)
def test_sizes_that_make_no_labyrinth_are_refused(sizes: dict[str, int], words: str) -> None:
    with pytest.raises(LabyrinthError, match=words) as caught:
        LabyrinthWorld(**sizes)
    assert "\n" not in str(caught.value)


# --- side by side


def test_whoever_ends_starts_anew_and_the_time_limit_is_no_terminal() -> None:
    play = Labyrinths(replace(SMALL, steps=7), 20, WORLD_STREAM, 1)
    rng = np.random.default_rng(0)
    for _ in range(60):
        before, steps = play.states, play.steps.copy()
        step = play.step(rng.integers(4, size=20))
        over = step.terminated | step.truncated
        assert np.array_equal(step.truncated, (steps == 6) & (step.reached.keys != TAKEN).any(1))
        assert np.array_equal(step.terminated, (step.reached.keys == TAKEN).all(1))
        assert (play.steps[over] == 0).all()
        assert (play.states.agent[over] == 7).all()
        assert np.array_equal(play.states.agent[~over], step.reached.agent[~over])
        assert np.array_equal(step.reached.walls, before.walls)
    assert play.number.max() > 5


def test_a_place_does_not_depend_on_its_neighbours() -> None:
    actions = np.random.default_rng(5).integers(4, size=(200, 6))
    together, alone = Labyrinths(SMALL, 6, WORLD_STREAM, 3), Labyrinths(SMALL, 1, WORLD_STREAM, 3)
    for now in range(200):
        together.step(actions[now])
        alone.step(actions[now, :1])
    assert np.array_equal(together.observations("source")[:1], alone.observations("source"))
    assert together.number[0] == alone.number[0] > 3


def test_a_play_that_stopped_goes_on_bit_for_bit() -> None:
    actions = np.random.default_rng(6).integers(4, size=(300, 5))
    running = Labyrinths(SMALL, 5, EVALUATION_STREAM, 8)
    for now in range(140):
        running.step(actions[now])
    resumed = Labyrinths(SMALL, 5, EVALUATION_STREAM, 8)
    resumed.restore(running.state())
    for now in range(140, 300):
        one, two = running.step(actions[now]), resumed.step(actions[now])
        for name in ("rewards", "terminated", "truncated"):
            assert np.array_equal(getattr(one, name), getattr(two, name))
        assert np.array_equal(running.observations("target"), resumed.observations("target"))
    with pytest.raises(LabyrinthError, match=r"number: found shape \(5,\), expected shape \(4,\)"):
        Labyrinths(SMALL, 4, EVALUATION_STREAM, 8).restore(running.state())
    with pytest.raises(LabyrinthError, match="labyrinths: keys: found none"):
        resumed.restore({n: a for n, a in running.state().items() if n != "keys"})


@pytest.mark.parametrize("world", [SMALL, replace(SMALL, steps=None)])
def test_a_random_walk_is_what_stepping_gives(world: LabyrinthWorld) -> None:
    walk = collect(world, 3000, 4)
    rows = np.arange(3000)
    before, after = walk.before(rows), walk.after(rows)
    reached, reward, terminal = world.step(before, walk.action)
    assert np.array_equal(reached.agent, after.agent)
    assert np.array_equal(reached.keys, after.keys)
    assert np.array_equal(reward, walk.reward)
    assert np.array_equal(terminal, walk.terminal)
    same = walk.episode[1:] == walk.episode[:-1]
    assert np.array_equal(after.agent[:-1][same], before.agent[1:][same])
    assert np.array_equal(after.keys[:-1][same], before.keys[1:][same])
    assert not walk.terminal[:-1][same].any()
    first = np.flatnonzero(np.diff(walk.episode, prepend=-1))
    assert (before.agent[first] == 7).all()
    assert (before.keys[first] != TAKEN).all()
    assert np.array_equal(np.unique(walk.episode), np.arange(len(walk.walls)))
    longest = np.bincount(walk.episode).max()
    assert longest == 30 if world.steps else longest > 40
    again = collect(world, 3000, 4)
    assert np.array_equal(again.agent, walk.agent)
    assert not np.array_equal(collect(world, 3000, 5).agent, walk.agent)


def test_scattered_states_have_a_key_left_and_differ() -> None:
    states = scattered(SMALL, 400, 1)
    known = SMALL.variables(states)
    assert set(known["keys_left"].tolist()) == {1, 2}
    assert (known["distance"] > 0).all()
    assert len(np.unique(states.agent)) > 10
    fresh = scattered(SMALL, 50, 1, walked=1)
    assert (fresh.agent == 7).all()
    assert (fresh.keys != TAKEN).all()
    assert np.array_equal(scattered(SMALL, 400, 1).agent, states.agent)


# --- as an environment


@pytest.mark.parametrize("task", labyrinth.TASKS)
@pytest.mark.parametrize("name", ["Labyrinth", "LabyrinthSmall"])
def test_environments_pass_gymnasiums_checks(name: str, task: str) -> None:
    register()
    register()
    env = gymnasium.make(f"transfer_diag/{name}-v0", task=task, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_the_environment_plays_by_the_rules_and_seeds_pair_the_tasks() -> None:
    pair = [
        Labyrinth(task, tiles=6, keys=2, pixels=2, steps=30, render_mode="ansi") for task in labyrinth.TASKS
    ]
    rng = np.random.default_rng(0)
    ends = set()
    for seed in range(12):
        seen = [env.reset(seed=seed)[0] for env in pair]
        assert np.array_equal(seen[0], -seen[1])
        for now in range(1, 31):
            action = rng.integers(4)
            state = pair[0].states
            assert state is not None
            expected, reward, ended = SMALL.step(state, np.array([action]))
            steps = [env.step(action) for env in pair]
            assert np.array_equal(steps[0][0], SMALL.observations(expected, "source")[0])
            assert np.array_equal(steps[0][0], -steps[1][0])
            assert steps[0][1:] == steps[1][1:]
            assert steps[0][1:4] == (float(reward[0]), bool(ended[0]), now == 30 and not ended[0])
            if steps[0][2] or steps[0][3]:
                ends.add(steps[0][2:4])
                break
    assert (False, True) in ends
    pair[0].states = drawn("###### #@k..# #.##.# #k##.# #....# ######")
    assert pair[0].render() == "######\n#@k..#\n#.##.#\n#k##.#\n#....#\n######"


def test_an_environment_that_was_never_reset_says_so() -> None:
    env = Labyrinth()
    assert env.render() is None
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(np.int64(0))
    with pytest.raises(LabyrinthError, match="found 'mirror', expected one of source, target"):
        Labyrinth("mirror")  # type: ignore[arg-type]
