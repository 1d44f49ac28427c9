"""Catch by its rules: what falls, moves, is caught and is seen, in each look and as an environment."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from trainers.envs import register
from trainers.envs.acting import Saved, States, WorldError, acting_world
from trainers.envs.catch import BLOCK, CATCHES, LOOKS, LOOKS_SMALL, Catch, CatchWorld, Look, looks

PAPER, SMALL = CATCHES["catch"], CATCHES["catch-small"]
LEFT, STAY, RIGHT = range(3)

TINY = CatchWorld("tiny", 6, 7, 1, 1, None, looks(Look(2, 3), large=3, small=1, narrow=1), colour=False)


def states(row: int, column: int, paddle: int) -> States:
    return {
        name: np.array([value], np.int16)
        for name, value in (("row", row), ("column", column), ("paddle", paddle))
    }


def drawn(picture: NDArray[np.uint8]) -> list[str]:
    """A picture in grey as text: # for white."""
    return ["".join(".#"[cell // 255] for cell in row) for row in picture]


def test_a_picture_shows_ball_and_paddle_where_they_are() -> None:
    expected = {
        "default": ".......|..##...|..##...|.......|.......|...###.",
        "large-ball": ".###...|.###...|.###...|.......|.......|...###.",
        "small-ball": ".......|..#....|.......|.......|.......|...###.",
        "small-paddle": ".......|..##...|..##...|.......|.......|....#..",
        "inverted": "#######|##..###|##..###|#######|#######|###...#",
    }
    for variant, text in expected.items():
        assert drawn(TINY.render(states(1, 2, 4), variant)[0, 0]) == text.split("|")


def test_what_is_beyond_the_screen_is_cut_off_and_the_paddle_hides_the_ball() -> None:
    assert drawn(TINY.render(states(0, 0, 1), "large-ball")[0, 0])[:3] == ["##.....", "##.....", "......."]
    red = CatchWorld("two", 6, 7, 2, 1, None, looks(Look(2, 3, ball_colour=(9, 9, 9)), 5, 1, 1))
    seen = red.render(states(3, 3, 3), "large-ball")[0, 0]
    assert (seen[4:, 2:5] == 255).all()  # the paddle's rows, over the ball that reaches them
    assert (seen[4, [1, 5]] == 9).all()
    assert (red.render(states(2, 3, 3), "default")[0, 0, 4:, 2:5] == 255).all()


def test_a_ball_falls_straight_and_is_caught_or_missed() -> None:
    """The ball (2 cells) lands in row 4: its lower half is then in the paddle's row."""
    assert TINY.max_steps == TINY.landing == 4
    for start, actions, reward in (
        ((2, 4), [LEFT] * 4, 1.0),
        ((2, 4), [STAY] * 4, 1.0),  # the ball is in columns 2 and 3, the paddle in 3 to 5
        ((2, 5), [STAY] * 4, -1.0),
        ((2, 5), [STAY, STAY, STAY, LEFT], 1.0),
        ((5, 1), [RIGHT] * 4, 1.0),
        ((5, 1), [LEFT] * 4, -1.0),
        ((5, 3), [STAY] * 4, -1.0),  # columns 5 and 6 beside 2 to 4
    ):
        envs = TINY.envs("default", 1, 0)
        number = envs.state().arrays["number"]
        envs.restore(Saved({"number": number, **states(0, *start)}))
        for row, action in enumerate(actions, 1):
            step = envs.step(np.array([action]))
            if row < 4:
                assert (step.rewards[0], step.ended[0]) == (0.0, False)
                assert envs.hidden()["row"][0] == row
                assert envs.hidden()["column"][0] == start[0]
        assert (step.rewards[0], step.terminated[0], step.truncated[0]) == (reward, True, False)
        assert envs.hidden()["row"][0] == 0  # the next ball, in the same step
        assert drawn(envs.last_observations()[0, 0])[4].count("#") >= 2
        assert envs.last_observations().shape[0] == 1


@pytest.mark.parametrize("world", [PAPER, SMALL, TINY], ids=lambda world: world.name)
def test_a_ball_is_caught_where_the_picture_shows_both_in_one_column(world: CatchWorld) -> None:
    column, paddle = (
        grid.ravel().astype(np.int16)
        for grid in np.meshgrid(np.arange(world.columns[0], world.columns[1] + 1), world.places)
    )
    for variant, look in world.looks.items():
        plain = CatchWorld("plain", world.height, world.width, world.paddle_height, world.speed, None,
                           {"default": Look(look.ball, look.paddle)}, colour=False)  # fmt: skip
        high = np.full_like(column, world.height // 3)
        seen = plain.render({"row": high, "column": column, "paddle": paddle}, "default")[:, 0] > 0
        touch = (seen[:, : world.height // 2].any(1) & seen[:, -1]).any(1)
        assert np.array_equal(world.caught(column, paddle, variant), touch)


def test_a_random_policy_catches_three_in_ten() -> None:
    """131 of the 23 · 19 places of ball and paddle touch; the paddle's random walk has no favourite."""
    column, paddle = np.meshgrid(np.arange(23), np.arange(2, 21))
    assert SMALL.caught(column.ravel(), paddle.ravel(), "default").sum() == 131
    envs, rng, ends = SMALL.envs("default", 256, 0), np.random.default_rng(0), []
    for _ in range(22 * 20):
        step = envs.step(rng.integers(3, size=256))
        ends.append(step.rewards[step.ended])
    rewards = np.concatenate(ends)
    assert len(rewards) == 5120
    assert abs((rewards > 0).mean() - 131 / 437) < 5 * np.sqrt(0.21 / 5120)  # five standard errors


def test_a_touch_moves_the_paddle_to_its_column_whatever_its_row() -> None:
    assert PAPER.actions.n == 54
    envs = PAPER.envs("default", 54, 0)
    envs.step(np.arange(54))
    assert envs.hidden()["paddle"].tolist() == [6, 20, 33, 46, 60, 73] * 9
    assert PAPER.max_steps == 39
    assert PAPER.observation_shape == (3, 120, 80)
    assert all(PAPER.caught(np.full(6, c, np.int16), PAPER.places, "default").any() for c in range(2, 78))


@pytest.mark.parametrize(("world", "sizes"), [(PAPER, LOOKS), (SMALL, LOOKS_SMALL)])
def test_looks_have_the_sizes_and_colours_that_they_tell(world: CatchWorld, sizes: dict[str, Look]) -> None:
    state = states(world.height // 2, world.width // 2, world.width // 3)
    assert world.variants[:5] == ("default", "large-ball", "small-ball", "small-paddle", "red-background")
    for variant, look in sizes.items():
        seen = world.render(state, variant)[0].transpose(1, 2, 0)
        assert (seen[0, 0] == look.background).all()
        assert (seen[world.height // 2, world.width // 2] == look.ball_colour).all()
        other = (seen != look.background).any(2)
        assert other[-1].sum() == look.paddle
        assert other[: world.top].any(1).sum() == look.ball
        assert other[: world.top].any(0).sum() == look.ball
    pair = [world.render(state, name).astype(int) for name in ("default", "inverted")]
    assert (pair[0] + pair[1] == 255).all()
    red = world.render(state, "red-background")[0]
    assert (red[0] == 255).all()
    assert np.array_equal(red[1:], world.render(state, "default")[0, 1:])


def test_grey_is_the_luminance_of_the_colours() -> None:
    grey = acting_world("catch-small", {"colour": False})
    assert isinstance(grey, CatchWorld)
    assert grey.render(states(0, 9, 9), "red-background")[0, 0, 12, 0] == 76
    assert np.array_equal(
        grey.pictures(states(0, 9, 9), "red-background"), SMALL.pictures(states(0, 9, 9), "red-background")
    )


def test_balls_and_paddles_start_anywhere_beyond_the_first_block_too() -> None:
    envs = SMALL.envs("default", 2, 3)
    state = envs.state().arrays
    seen = []
    for number in range(2 * BLOCK):
        last = {**state, "number": np.full(2, number), "row": np.full(2, SMALL.landing - 1, np.int16)}
        envs.restore(Saved(last))
        envs.step(np.full(2, STAY))
        seen.append([envs.hidden()["column"], envs.hidden()["paddle"]])
    columns, paddles = np.array(seen).transpose(1, 0, 2)
    assert set(columns[:, 0]) == set(columns[:, 1]) == set(range(23))
    assert set(paddles[:, 0]) == set(range(2, 21))
    assert not np.array_equal(columns[BLOCK:, 0], columns[:BLOCK, 0])
    assert not np.array_equal(columns[:, 0], columns[:, 1])


def test_a_state_off_the_screen_is_refused() -> None:
    envs = SMALL.envs("default", 1, 0)
    for row, column, paddle in ((22, 3, 3), (-1, 3, 3), (0, 23, 3), (0, 3, 1)):
        with pytest.raises(WorldError, match="place 0: found a ball or paddle off the screen"):
            envs.restore(Saved({"number": np.zeros(1, np.int64), **states(row, column, paddle)}))


@pytest.mark.parametrize("variant", SMALL.variants)
@pytest.mark.parametrize("name", ["Catch", "CatchSmall"])
def test_gymnasium_finds_no_fault_with_the_environment(name: str, variant: str) -> None:
    register()
    register()
    env = gymnasium.make(f"transfer_diag/{name}-v0", variant=variant, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_the_environment_plays_as_the_world_does() -> None:
    env = Catch("large-ball", "catch-small", "rgb_array")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.int64(0))
    rng, caught = np.random.default_rng(0), set()
    for seed in range(8):
        _, known = env.reset(seed=seed)
        envs = SMALL.envs("large-ball", 1, 0)
        start = states(0, int(known["ball_column"]), int(known["paddle_column"]))
        envs.restore(Saved({"number": np.zeros(1, np.int64), **start}))
        for _ in range(22):
            action = rng.integers(3)
            seen, reward, terminated, truncated, known = env.step(action)
            step = envs.step(np.array([action]))
            shown = envs.last_observations() if terminated else envs.observations
            assert np.array_equal(seen, shown[0].transpose(1, 2, 0))
            assert (reward, terminated, truncated) == (step.rewards[0], step.terminated[0], False)
        assert terminated
        caught.add(reward)
        assert known["paddle_offset"] == known["paddle_column"] - known["ball_column"]
        assert env.render().shape == (240, 240, 3)
    assert caught == {1.0, -1.0}
    with pytest.raises(WorldError, match="unknown look"):
        Catch("blue")
    with pytest.raises(WorldError, match="size: found"):
        Catch(size="huge")
