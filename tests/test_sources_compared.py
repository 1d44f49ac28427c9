"""Several sources of one target: which is named, when they are not told apart, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import diag
from diag.outputs.registry import text
from diag.saved.kinds import load
from diag.sourcing.likeness import by_likeness, heard, likeness
from diag.sourcing.ranking import dealt, jackknifed, ranked
from diag.sourcing.result import SourcesCompared
from diag.sourcing.suits import TOLD, TOTAL, suits
from diag.sourcing.verdict import NOT_APART, verdict_of
from diag.subject import SubjectError
from probes import Floats
from tests.commands import run as command
from tests.conftest import train
from tests.poles import poles
from trainers import checkpoint as files
from trainers.plan import named_plan
from trainers.processes import execute
from trainers.run import Run, prepare

TASKS = ("pendulum", "cart-pole", "driven-pole")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Agents of one task each."""
    folder = tmp_path_factory.mktemp("one task each")
    runs = [train(folder / task, poles(f"tasks.source={task}"), (0,)) for task in TASKS]
    return [str(run.path(0)) for run in runs]


def transferred(out: Path, bases: list[str], plan: str, keep: tuple[int, ...] = ()) -> str:
    first, *more = bases
    settings = poles("transfer.updates=4", "tasks.source=pendulum")
    run = Run(settings, (0,), str(out), named_plan(plan), first, more_bases=tuple(more), keep=keep)
    assert execute(run, prepare(run, False, False), 1, lambda n: None)
    return str(run.path(0))


@pytest.fixture(scope="module")
def transfer(bases: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    return transferred(tmp_path_factory.mktemp("t"), bases, "fractional", (2,))


@pytest.fixture(scope="module")
def meta(bases: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    return transferred(tmp_path_factory.mktemp("m"), bases, "meta-model")


def answers(seed: int, rows: int = 200, near: Floats | None = None, noise: float = 0.1) -> Floats:
    """An embedding (rows, 4): random, or near another."""
    rng = np.random.default_rng(seed)
    fresh = rng.normal(size=(rows, 4))
    return fresh if near is None else near + noise * fresh


def groups_of(rows: int = 200, long: int = 10) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.asarray(np.arange(rows) // long, np.int64)


@pytest.mark.numeric
def test_a_source_is_named_where_it_is_nearer_than_every_other() -> None:
    target, groups = answers(0), groups_of()
    near, far = answers(1, near=target), answers(2, near=target, noise=1.5)
    (found,) = by_likeness({"latent": target}, [{"latent": far}, {"latent": near}], groups)
    assert (found.best, found.second, found.apart) == (1, 0, True)
    assert found.lead.low is not None
    assert found.lead.high is not None
    assert 0 < found.lead.low < (found.lead.value or 0) < found.lead.high
    told = verdict_of("resembles", (found,), "latent", ["far", "near"], "task")
    assert told.status == "pass"
    assert "resembles near's most" in told.summary


@pytest.mark.numeric
def test_sources_equally_near_are_not_told_apart_but_for_five_in_a_hundred() -> None:
    """The interval is of all pairs at once: of many trials without a difference few name a source."""
    named = 0
    for trial in range(60):
        target = answers(10 * trial)
        sources = [{"latent": answers(10 * trial + k, near=target, noise=1.0)} for k in (1, 2, 3)]
        (found,) = by_likeness({"latent": target}, sources, groups_of())
        named += found.apart
    assert named <= 9  # of 60 at 5%, more than 9 come once in 1,500 times
    told = verdict_of("resembles", (found,), "latent", ["a", "b", "c"], "task")
    assert (NOT_APART in told.summary) == (told.status == "inconclusive")


def test_a_flipped_answer_of_one_number_is_named_by_its_relation() -> None:
    target = np.random.default_rng(0).normal(size=(200, 1))
    found = likeness({"reward": target}, [{"reward": -target}, {"reward": target.copy()}], groups_of(), 0)
    assert [one.relation for one in found] == ["flipped", "matched"]
    assert [round(one.cka.value or 0, 6) for one in found] == [1.0, 1.0]


def test_an_order_needs_two_sources_with_numbers_and_an_interval_four_parts() -> None:
    alone = ranked("x", "loss", np.array([1.0, np.nan]), np.array([[1.0, np.nan]] * 5))
    assert alone.best is None
    assert not alone.apart
    few = ranked("x", "loss", np.array([1.0, 3.0]), np.array([[1.0, 3.0]] * 3), higher=False)
    assert (few.best, few.lead.value, few.lead.low) == (0, 2.0, None)
    assert not few.apart
    assert jackknifed(1.0, np.ones(3)).low is None
    assert jackknifed(np.nan, np.ones(9)).value is None


def test_a_mean_s_jackknife_is_the_interval_of_a_paired_t_test() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=20), rng.normal(1.0, 1.0, size=20)
    without = np.array([[np.delete(one, i).mean(), np.delete(other, i).mean()] for i in range(20)])
    found = ranked("x", "loss", np.array([one.mean(), other.mean()]), without, higher=False)
    wanted = stats.ttest_rel(other, one).confidence_interval(0.95)
    assert found.best == 0
    assert found.lead.low == pytest.approx(wanted.low)
    assert found.lead.high == pytest.approx(wanted.high)


def test_histories_are_left_out_whole() -> None:
    groups = groups_of(500, 10)
    parts = dealt(groups)
    assert parts.max() == 19
    assert all(len(set(parts[groups == group].tolist())) == 1 for group in range(50))


@pytest.mark.numeric
def test_the_source_with_the_lower_loss_suits_a_task_and_the_reward_is_read_from_the_latent_state() -> None:
    rng = np.random.default_rng(0)
    groups, latent = groups_of(400), rng.normal(size=(400, 4))
    rewards = latent @ [1.0, -1.0, 0.5, 0.0]
    rewards[::10] = np.nan
    noise = rng.random(400)
    lost: list[Mapping[str, Floats]] = [{"reward": noise + 1, "kl": noise}, {"reward": noise, "kl": noise}]
    blind = rng.normal(size=(400, 4))
    each, rankings = suits(lost, {"reward": 2.0, "kl": 1.0}, [latent, blind], rewards, groups, 0)
    by = {one.what: one for one in rankings}
    assert (by["reward"].best, by[TOTAL].best, by[TOLD].best) == (1, 1, 0)
    assert by[TOTAL].lead.value == pytest.approx(2.0)
    assert by["reward"].apart
    assert by[TOLD].apart
    assert not by["kl"].apart
    assert (each[0].told.value or 0) > 0.99
    assert (each[1].told.value or 0) < 0.2
    assert (each[1].losses["kl"].low or 0) >= 0


def test_what_a_meta_model_hears_is_how_far_it_moves_without_a_source() -> None:
    rng = np.random.default_rng(0)
    said, other = rng.normal(size=(2, 200))
    predicted = 2 * said + 0 * other
    without = np.stack([np.full(200, 2 * said.mean()), predicted], 1)
    first, second = heard(predicted, without, groups_of())
    assert first.value == pytest.approx(1.0)
    assert (second.value, second.high) == (0.0, 0.0)


def test_a_transfer_s_sources_are_the_bases_that_it_names(bases: list[str], transfer: str) -> None:
    found = diag.compare_sources(transfer, rows=128)
    assert [one.path for one in found.sources] == bases
    assert found.names == TASKS
    components = ["encoder", "latent", "transition", "reward", "critic"]
    assert [one.component for one in found.likeness] == components * 3
    assert [one.what for one in found.rankings] == components
    assert (found.rows, found.question) == (128, "resembles")
    assert not found.heard
    left = {(one.component, one.source): one for one in found.remains}
    assert set(left) == {(c, s) for c in ("reward", "critic") for s in range(3)}
    for one in left.values():
        assert one.steps == (0, 2, 4)
        assert one.fractions[0].value == pytest.approx(0.2 / 3, abs=1e-6)


def test_what_remains_follows_from_the_parameters(transfer: str) -> None:
    """Each source's part, beside the regression of all that was added on all sources together."""
    found = diag.compare_sources(transfer, rows=128)
    own = files.read(transfer)
    names = ["reward/1.bias", "reward/1.weight"]

    def flat(tensors: Mapping[str, torch.Tensor]) -> Floats:
        return np.concatenate([tensors[name].double().flatten().numpy() for name in names])

    sources = np.stack([flat(files.read(one["path"]).tensors) for one in own.header.bases])
    theta = flat(own.tensors)
    for one in (r for r in found.remains if r.component == "reward"):
        rest = np.square(theta - 0.2 / 3 * sources[one.source]).sum()
        assert one.shares[-1].value == pytest.approx(1 - rest / np.square(theta).sum())


def test_a_meta_model_s_ears_are_told_in_the_order_of_its_bases(meta: str, bases: list[str]) -> None:
    found = diag.compare_sources(meta, rows=128)
    assert len(found.heard) == 3
    assert all((one.value or 0) > 0 for one in found.heard)
    turned = diag.compare_sources(meta, bases[::-1], rows=128)
    assert [one.value for one in turned.heard] == [one.value for one in found.heard[::-1]]
    assert not found.remains
    assert "heard of pendulum" in text(found)


def test_candidates_are_held_against_a_task_before_any_transfer(bases: list[str]) -> None:
    found = diag.compare_sources(bases[0], bases[1:], to="double-pole", rows=512)
    assert (found.question, found.task, found.target) == ("suits", "double-pole", None)
    assert set(found.suits[0].losses) == {"image", "reward", "discount", "kl", TOTAL}
    weights = {"image": 100.0, "reward": 1.0, "discount": 1.0, "kl": 1.0}
    for one in found.suits:
        sums = sum(w * (one.losses[term].value or 0) for term, w in poles_weights(weights).items())
        assert one.losses[TOTAL].value == pytest.approx(sums, rel=1e-6)
    assert [(one.one, one.other) for one in found.between] == [(0, 1), (0, 2), (1, 2)]
    negated = diag.compare_sources(bases[0], bases[1:], to="double-pole-negated", rows=512)
    assert negated.suits[0].losses["image"] == found.suits[0].losses["image"]
    assert negated.suits[0].losses["reward"] != found.suits[0].losses["reward"]


def poles_weights(weights: Mapping[str, float]) -> Mapping[str, float]:
    loss = poles().model_dump()["loss"]
    return {term: loss[f"{term}_weight"] for term in weights}


def test_the_command_shows_saves_and_draws_it(
    transfer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, page = tmp_path / "s.json", tmp_path / "s.html"
    arguments = ["sources", transfer, "--rows", "128", f"--json={saved}", "--html", str(page)]
    status, _, error = command(capsys, *arguments)
    assert (status, error) == (0, "")
    status, out, _ = command(capsys, "sources", transfer, "--rows", "128")
    assert status == 0
    assert "of pendulum" in out
    assert max(map(len, out.splitlines())) <= 80
    read = load(saved)
    assert isinstance(read, SourcesCompared)
    assert text(read) == text(diag.compare_sources(transfer, rows=128))
    tree = json.loads(saved.read_text())
    assert tree["diagnosis"] == "sources"
    assert [one["what"] for one in tree["rankings"]] == [one.what for one in read.rankings]
    assert "sources side by side" in page.read_text()
    assert set(read.to_frame("remains")["component"]) == {"reward", "critic"}


def test_what_does_not_fit_is_refused_in_one_line(
    bases: list[str], transfer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = train(tmp_path / "two", poles("tasks.source=pendulum", "world=control"), (0,))
    for arguments, words in (
        ([bases[0]], "no bases named in it"),
        ([bases[0], bases[1]], "one source"),
        ([bases[0], bases[1], bases[1]], "the same as"),
        ([transfer, bases[0], str(other.path(0))], "observations of world 'control'"),
        ([*bases, "--to", "hopper"], "no task 'hopper'"),
        ([transfer, bases[0], "--to", "pendulum"], "has a target of its own"),
        (["examples/base.safetensors", "examples/mirrored.safetensors"], "one source"),
    ):
        status, out, error = command(capsys, "sources", *arguments)
        assert (status, out) == (2, ""), arguments
        assert words in error
        assert error.count("\n") == 1


def test_a_base_that_is_gone_or_another_now_is_said(
    bases: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for copy, base in zip(copies, bases, strict=False):
        copy.write_bytes(Path(base).read_bytes())
    made = transferred(tmp_path / "t", list(map(str, copies)), "fractional")
    copies[1].write_bytes(Path(bases[2]).read_bytes())
    with pytest.raises(SubjectError, match="another file than the transfer was made from"):
        diag.compare_sources(made, rows=128)
    copies[1].unlink()
    with pytest.raises(SubjectError, match="which is not there"):
        diag.compare_sources(made, rows=128)
    found = diag.compare_sources(made, bases, rows=128)
    assert not found.remains
    assert any("was not made from" in words for words in found.warnings)


def test_where_another_measure_names_another_source_the_verdict_says_so() -> None:
    first = ranked("latent", "cka_debiased", np.array([0.9, 0.5]), np.array([[0.9, 0.5], [0.91, 0.5]] * 4))
    other = replace(first, what="reward", best=1, second=0)
    words = verdict_of("resembles", (first, other), "latent", ["a", "b"], "t").summary
    assert words.endswith("Other measures name b by the reward.")
