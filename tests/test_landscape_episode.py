"""The episode that a landscape's checkpoints play: which one it is, who plays it, and how it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import diag
from diag.landscapes.episodes import PLAYED, played_episode, typical
from diag.landscapes.system import system_of
from diag.outputs import json as as_json
from diag.outputs.registry import html, text
from diag.sources.supplied import NOTHING
from diag.subject import Filmed
from tests.conftest import train
from tests.labyrinth_agents import tiny


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    train(folder / "base", tiny(), (0,))
    train(folder / "transfers", tiny(), (0, 1), folder / "base" / "seed0.safetensors")
    return folder


def test_the_typical_episode_is_the_one_nearest_to_every_players_mean() -> None:
    one, other = np.array([0.0, 1.0, 2.0, 1.0]), np.array([10.0, -10.0, 0.0, 1.0])
    assert typical([one, other]) == 3  # the first's mean is 1, the other's 0.25
    assert typical([one]) == 1
    assert typical([np.zeros(3), np.array([5.0, 0.0, 1.0])]) == 2


def test_base_and_both_ends_play_the_same_episode_each_on_its_own_task(made: Path) -> None:
    a, b = (made / "transfers" / f"seed{seed}.safetensors" for seed in (0, 1))
    episode = played_episode(system_of((a, b), None, "target", None, NOTHING), None, 3)
    assert episode is not None
    assert [(p.name, p.task) for p in episode.players] == [
        ("the base", "source"),
        ("A", "target"),
        ("B", "target"),
    ]
    assert [Path(p.path).parent.name for p in episode.players] == ["base", "transfers", "transfers"]
    for played in episode.players:
        subject = diag.open_subject(played.path)
        assert isinstance(subject.actor, Filmed)
        own = subject.actor.returns(subject.parameters or {}, played.task, PLAYED, 3)
        assert played.mean == pytest.approx(float(np.mean(own)))
        film = subject.actor.film(subject.parameters or {}, played.task, PLAYED, episode.number, 3)
        assert film.summary == played.film.summary
        assert np.array_equal(film.frames, played.film.frames)
    starts = [p.film.frames[0].astype(int) for p in episode.players]
    assert np.array_equal(starts[1], starts[2])  # the same labyrinth
    assert not np.array_equal(starts[0], starts[1])  # which the base sees in other colours


def test_a_base_that_is_an_end_plays_once(made: Path) -> None:
    ends = made / "base" / "seed0.safetensors", made / "transfers" / "seed0.safetensors"
    episode = played_episode(system_of(ends, None, "target", None, NOTHING), None, 0)
    assert episode is not None
    assert [(p.name, p.task) for p in episode.players] == [("A", "source"), ("B", "target")]


def test_it_is_told_in_every_form_and_left_out_where_time_is_short(made: Path) -> None:
    a, b = (made / "transfers" / f"seed{seed}.safetensors" for seed in (0, 1))
    quick = diag.landscape(a, b, quick=True, samples=124, points=3, task="target")
    assert quick.episode is None
    assert "An episode, played by each" not in html(quick)
    episode = played_episode(system_of((a, b), None, "target", None, NOTHING), None, 0)
    assert episode is not None
    found = replace(quick, episode=episode)
    page, words = html(found), " ".join(text(found).split())
    assert "An episode, played by each" in page
    for played in episode.players:
        assert played.film.summary in page
        assert played.film.summary in words
    assert f'"number": {episode.number}' in as_json.render(found)
