"""Atari's flavours: the paper's nine transfers are other games than the default, seen as agents see them."""

from __future__ import annotations

import functools
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from trainers.envs.acting import Saved, WorldError, acting_world
from trainers.envs.atari import SCREEN, TRANSFERS, AtariWorld, console, shrunk

needed = pytest.mark.skipif(find_spec("ale_py") is None, reason="needs the package ale-py")


@functools.cache
def flavours(game: str) -> tuple[str, ...]:
    return AtariWorld(game).variants


def test_a_picture_is_shrunk_by_area() -> None:
    """Beside means over a grid so fine that both sizes divide it."""
    screens = np.random.default_rng(0).integers(0, 256, (3, *SCREEN), dtype=np.uint8)
    for screen, small in zip(screens, shrunk(screens), strict=True):
        fine = screen.astype(np.int64).repeat(2, 0).repeat(21, 1)
        sums = fine.reshape(84, 5, 84, 40).sum((1, 3))
        assert np.array_equal(small, (sums + 100) // 200)
    assert (shrunk(np.full((1, *SCREEN), 255, np.uint8)) == 255).all()


def test_shrunk_pictures_are_those_of_opencv_to_a_level() -> None:
    cv2 = pytest.importorskip("cv2")
    screens = np.random.default_rng(1).integers(0, 256, (3, *SCREEN), dtype=np.uint8)
    for screen, small in zip(screens, shrunk(screens), strict=True):
        theirs = cv2.resize(screen, (84, 84), interpolation=cv2.INTER_AREA)
        assert np.abs(theirs.astype(int) - small).max() <= 1


@needed
def test_the_papers_transfers_are_nine_and_can_be_made() -> None:
    assert len(TRANSFERS) == len(set(TRANSFERS)) == 9
    assert not [flavour for game, flavour in TRANSFERS if flavour not in flavours(game)]
    assert {flavours(game)[0] for game, _ in TRANSFERS} == {"m0d0"}


@needed
@pytest.mark.parametrize(("game", "flavour"), TRANSFERS)
def test_a_flavour_is_another_game_than_the_default(game: str, flavour: str) -> None:
    """The same buttons bring other memories of the console."""
    mode, difficulty = flavour[1:].split("d")
    drawn = np.random.default_rng(0).random(150)
    memories = []
    for chosen in ((0, 0), (int(mode), int(difficulty))):
        machine = console(game, 0.0, 0)
        machine.setMode(chosen[0])
        machine.setDifficulty(chosen[1])
        machine.reset_game()
        seen = []
        buttons = machine.getMinimalActionSet()
        for number in drawn.tolist():
            machine.act(buttons[int(number * len(buttons))])
            seen.append(machine.getRAM().copy())
        memories.append(np.array(seen))
    assert (memories[0] != memories[1]).any(1).mean() > 0.5


@needed
def test_what_is_seen_is_a_stack_of_four_frames_that_moves_on() -> None:
    world = AtariWorld("space_invaders", sticky=0.0)
    envs = world.envs("m0d0", 2, 0)
    first = envs.observations
    assert (first == first[:, :1]).all()
    before = first
    for _ in range(6):
        envs.step(np.array([2, 3]))
        assert np.array_equal(envs.observations[:, :3], before[:, 1:])
        before = envs.observations
    assert not np.array_equal(before[:, -1], first[:, -1])
    assert envs.screens().shape == (2, *SCREEN, 3)


@needed
def test_a_long_game_is_cut_short_and_begins_anew() -> None:
    world = acting_world("atari-freeway", {"steps": 5})
    envs = world.envs("m1d0", 2, 0)
    for now in range(1, 11):
        step = envs.step(np.zeros(2, np.int64))
        assert step.truncated.all() == (now % 5 == 0)
        assert len(envs.last_observations()) == (2 if now % 5 == 0 else 0)
    assert (envs.observations == envs.observations[:, :1]).all()


@needed
def test_a_state_that_the_console_cannot_take_is_refused() -> None:
    envs = acting_world("atari-breakout").envs("m0d0", 1, 0)
    saved = envs.state()
    short = {"consoles": saved.arrays["consoles"][:, :10], "size": np.array([10])}
    for state in (
        Saved({**saved.arrays, **short}, saved.values),
        Saved(saved.arrays, {"generators": [{"bit_generator": "none"}]}),
        Saved(saved.arrays, {"generators": []}),
    ):
        with pytest.raises(WorldError, match="cannot go on from"):
            envs.restore(state)
    with pytest.raises(WorldError, match="rows of bytes"):
        envs.restore(Saved({**saved.arrays, "consoles": np.zeros(3)}, saved.values))


@needed
def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings, said in (({"sticky": -0.1}, "sticky"), ({"steps": 0}, "steps and noops")):
        with pytest.raises(WorldError, match=said):
            acting_world("atari-hero", settings)
    for game in ("../etc", "no_such_game"):
        with pytest.raises(WorldError, match="game: found"):
            AtariWorld(game)
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(WorldError, match=r"needs the package ale-py.*transfer-diag\[atari\]"):
        acting_world("atari-hero")
