"""Open-loop predictions of world models: what a model foresees, beside what came."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import diag
from diag.comparisons.dreams import FEWEST, dreams, joined, longest
from diag.outputs.compare_html import page
from diag.outputs.compare_text import render
from diag.outputs.dreams_pictures import in_colour
from diag.outputs.registry import html
from diag.sources import open_subject
from diag.sources.systems.dreamer import DreamerSystem, DreamerTasks
from diag.subject import Foreseen, Subject
from tests.conftest import train
from tests.corridor import corridor
from tests.test_html import outline
from trainers.plan import named_plan
from trainers.rssm import State

LENGTH, AHEAD = 8, 6
"""Rows of a history in the corridor, and steps that an actor imagines there."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base that knows its corridor, and a transfer that has hardly begun."""
    folder = tmp_path_factory.mktemp("corridor")
    settings = corridor(folder / "data", "train.updates=400", "transfer.updates=5")
    base = train(folder / "b", settings, (0,)).path(0)
    return base, train(folder / "t", settings, (0,), base, named_plan("freeze-recurrent")).path(0)


def foreseen(path: Path, count: int = 40) -> tuple[Foreseen, DreamerSystem, DreamerTasks]:
    subject = open_subject(path)
    assert isinstance(subject.objective, DreamerSystem)
    assert isinstance(subject.tasks, DreamerTasks)
    assert subject.parameters is not None
    assert subject.task is not None
    met = subject.tasks.histories(subject.task, count, 3)
    return subject.objective.foresee(subject.parameters, met), subject.objective, subject.tasks


def test_it_begins_with_the_last_row_that_was_seen(pair: tuple[Path, Path]) -> None:
    found, system, tasks = foreseen(pair[0])
    met = tasks.histories("source", 40, 3)
    losses = system.losses(open_subject(pair[0]).parameters or {}, met)
    last = LENGTH - AHEAD - 1
    for term in ("image", "reward", "discount"):
        whole = losses[term].reshape(40, LENGTH)
        np.testing.assert_allclose(found.losses[term][:, 0], whole[:, last].numpy(), rtol=1e-4, atol=1e-6)
    came = met.sequences.observation[last:].transpose(0, 1).numpy() / 255
    np.testing.assert_allclose(found.came, came, rtol=1e-6)


def test_each_step_ahead_is_imagined_from_the_one_before(pair: tuple[Path, Path]) -> None:
    found, system, tasks = foreseen(pair[0])
    parameters, dreamer = open_subject(pair[0]).parameters or {}, system.dreamer
    met = tasks.histories("source", 40, 3)
    batch, seen = met.sequences, LENGTH - AHEAD
    with torch.no_grad():
        state = dreamer.observe(parameters, batch.rows(0, seen), met.noise[:seen]).state
        now = State(state.deter[-1], state.stoch[-1])
        for step in range(1, AHEAD + 1):
            row = seen + step - 1
            action = torch.eye(dreamer.rssm.actions)[batch.action[row]]
            now = dreamer.rssm.imagine(parameters, now, action, met.noise[row])
            shown = dreamer.pictured(parameters, now.features).numpy()
            np.testing.assert_allclose(found.expected[:, step], shown, rtol=1e-5, atol=1e-6)


def test_nothing_counts_once_an_episode_has_ended(pair: tuple[Path, Path]) -> None:
    found, _, tasks = foreseen(pair[0])
    first = tasks.histories("source", 40, 3).sequences.first[LENGTH - AHEAD :].numpy()
    over = np.concatenate([np.zeros((1, 40), bool), np.cumsum(first, 0) > 0]).T
    assert over.any()
    assert not over.all()
    for values in (*found.losses.values(), found.kept):
        assert np.array_equal(np.isnan(values), over)


def test_a_model_that_knows_its_world_foresees_more_than_the_last_picture(pair: tuple[Path, Path]) -> None:
    found, _, _ = foreseen(pair[0])
    off, kept = (np.nanmean(x[:, 2:]) for x in (found.losses["off"], found.kept))
    assert off < 0.7 * kept


def test_a_comparison_says_how_both_drift(pair: tuple[Path, Path]) -> None:
    result = diag.compare(*pair)
    assert result.dreams is not None
    assert (result.dreams.ahead, result.dreams.task) == (AHEAD, "target")
    tree = result.to_tree()["open_loop"]
    assert {"image", "reward", "discount", "off"} == set(tree["drift"])
    steps = tree["drift"]["image"]["difference"]
    assert len(steps) == AHEAD + 1
    assert all(one["low"] <= one["value"] <= one["high"] for one in steps)
    assert steps[0]["low"] > 0  # the base knows its look, the transfer not yet its own
    text = render(result)
    assert "open loop" in text
    assert f"{AHEAD} steps ahead the transfer's image loss is above the base's." in " ".join(text.split())
    titles = [section.title for section in page(result).sections]
    assert "Open loop: drift over the steps ahead" in titles
    assert "Dreamt pictures beside those that came" in titles
    assert outline(html(result)).tags.count("svg") >= 3


def test_other_models_foresee_nothing() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    assert diag.compare(rows, rows + 1).dreams is None
    subject = Subject("one", "0")
    assert dreams(subject, subject) is None


def made(image: np.ndarray, kept: np.ndarray | None = None) -> Foreseen:
    shape = (*image.shape, 1, 2, 2)
    off = np.where(np.isnan(image), np.nan, 1.0) if kept is None else kept
    return Foreseen({"image": image}, off, np.zeros(shape, np.float32), np.zeros(shape, np.float32))


def test_means_are_over_the_histories_that_go_on() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(3, 1, (30, 4)), rng.normal(5, 1, (30, 4))
    a[FEWEST - 1 :, 3] = b[FEWEST - 1 :, 3] = np.nan
    a[:10, 2] = b[:10, 2] = np.nan
    told = joined(made(a), made(b), "target")
    drift = told.drift["image"]
    assert told.ahead == 3
    for step in range(3):
        assert drift["base"][step].value == pytest.approx(np.nanmean(a[:, step]))
        gap = drift["difference"][step]
        assert gap.value == pytest.approx(np.nanmean(b[:, step] - a[:, step]))
        assert gap.low is not None
        assert gap.low > 0
    assert drift["base"][3].value is None
    assert drift["base"][3].reason == f"fewer than {FEWEST} histories go on so far"


def test_the_history_that_is_shown_goes_on_longest_and_changes_most() -> None:
    image, kept = np.ones((3, 3)), np.array([[0, 9, np.nan], [0, 1, 1], [0, 2, 1.0]])
    image[0, 2] = np.nan
    assert longest(made(image, kept)) == 2


def test_colours_of_channels() -> None:
    one = np.zeros((5, 2, 2), np.float32)
    one[1, 0, 0], one[2, 0, 1], one[1, 0, 1] = 1, 0.5, 0.25
    shown = in_colour(one)
    assert shown.shape == (2, 2, 3)
    assert shown[0, 0].tolist() == [86, 180, 233]
    assert shown[0, 1].tolist() == [115, 80, 0]
    assert shown[1].sum() == 0
    assert in_colour(np.full((4, 84, 84), 0.5, np.float32))[0, 0].tolist() == [128] * 3
    assert in_colour(np.full((3, 4, 4), 1, np.float32)).min() == 255
