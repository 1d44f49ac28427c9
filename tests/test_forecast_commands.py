"""diag forecast, diag study forecast and diag.watch: on a short study, on bad input, and in a loop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import diag
from diag.commands.app import run
from diag.embed import embedding
from diag.forecasts import ForecastError
from diag.forecasts.features import measures_of
from diag.forecasts.model import read_model
from diag.outputs.registry import html
from diag.studies.folder import Folder
from diag.studies.forecasting import known
from diag.studies.measure import measured
from diag.studies.run import run_study
from diag.studies.study import read_study
from diag.subject import SubjectError
from tests.conftest import EXAMPLES
from tests.short_studies import SHORT, here, silent
from trainers.checkpoint import CheckpointError
from trainers.plan import named_plan

BASE, MIRRORED, MATCHED = (EXAMPLES / f"{n}.safetensors" for n in ("base", "mirrored", "matched"))

WELL = (1, 3, 4)
"""Bases whose transfers are said to have matched: after 40 updates none has."""


def altered(folder: Path, **columns: Any) -> None:
    """Change columns of a study's rows of finished transfers; a function is of the row."""
    for part in (folder / "results").glob("*.parquet"):
        table = pd.read_parquet(part)
        last = table["final"] & (table["phase"] == "transfer")
        for name, new in columns.items() if last.any() else ():
            table.loc[last, name] = [new(row) for row in table[last].to_dict("records")]
        table.to_parquet(part)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six bases with a transfer each, half of them called matched."""
    out = tmp_path_factory.mktemp("forecast") / "study"
    study = read_study("tiny", [*SHORT, "bases=6", "transfers=1", "keep=0.25"])
    assert run_study(study, out, engine=here, jobs=1, progress=silent)
    altered(out, relation=lambda row: "matched" if row["base_seed"] in WELL else "flipped")
    return out


@pytest.fixture(scope="module")
def model(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "mine.json"
    assert run(["study", "forecast", str(finished), "-o", str(out), "-q"]) == 0
    return out


def early(folder: Path, base: int = 0, step: int = 10) -> Path:
    return folder / f"main/freeze-dynamics/base{base}/seed0.step{step}.safetensors"


def test_the_command_fits_judges_and_writes(
    finished: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert run(["study", "forecast", str(finished), str(finished), "--html", str(page), "-v"]) == 0
    words = capsys.readouterr().out
    assert "6 transfers of 6 bases (tiny: simple-maze, summed)" in " ".join(words.split())
    assert "losses alone" in words
    assert "bases with successes" in words
    assert [line for line in words.splitlines()[:-2] if len(line) > 80] == []
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "What stopping early saves and loses" in text
    forecaster = read_model(model)
    assert forecaster.shares == [0.25]
    assert forecaster.bases is not None
    assert forecaster.mean_rate == 0.5


def test_the_json_is_as_documented(finished: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documented = (Path(__file__).parent.parent / "docs/api.md").read_text()
    for arguments in (
        ["study", "forecast", str(finished), "--outcome", "matched"],
        ["forecast", str(early(finished)), "--model", str(model)],
    ):
        assert run([*arguments, "--json"]) == 0
        tree = json.loads(capsys.readouterr().out)
        assert tree["schema_version"] == 1
        names = [name for name in tree if name not in ("schema_version", "diagnosis", "verdict")]
        assert [name for name in names if f"`{name}`" not in documented] == []


def test_a_checkpoint_on_its_way_and_a_base(
    finished: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = diag.forecast(early(finished), model=model)
    assert (found.share, found.model_share, found.outcome, found.common) == (0.25, 0.25, "matched", 0.5)
    assert 0 <= found.probability.low <= found.probability.value <= found.probability.high <= 1
    assert found.base is not None
    assert found.warnings == ()
    assert run(["forecast", str(early(finished)), "--model", str(model), "-v"]) == 0
    assert "25% of its updates are done" in " ".join(capsys.readouterr().out.split())
    last = diag.forecast(early(finished).with_name("seed0.safetensors"), model=model)
    assert "finished" in last.warnings[0]
    assert (last.stop, last.stop_below) == (None, None)
    assert last.verdict.summary.startswith("All of its updates are done, and nothing is left to forecast")
    base = finished / "main/base/seed0.safetensors"
    of_base = diag.forecast(base, model=model)
    assert (of_base.base, of_base.share, of_base.stop) == (None, None, None)
    assert run(["forecast", str(base), "--model", str(model)]) == 0
    assert "of its transfers are expected to end" in capsys.readouterr().out


def test_the_shipped_model_knows_what_it_knows(finished: Path) -> None:
    forecaster = read_model()
    assert forecaster.fitted_to["kinds"] == ["simple-maze, summed"]
    assert forecaster.shares[0] == 0.01
    assert set(forecaster.stop_below) == set(forecaster.shares)
    assert diag.forecast(early(finished)).probability.value < 0.7
    assert any(
        "the model knows transfers of simple-maze, summed" in w for w in diag.forecast(MATCHED).warnings
    )


def test_measures_are_those_of_a_study() -> None:
    base = diag.open_subject(BASE)
    for path in (MIRRORED, MATCHED):
        subject = diag.open_subject(path)
        row = measured(subject, base, named_plan("freeze-dynamics"))
        found = measures_of(embedding(subject), embedding(base))
        assert {name: row[name] for name in found} == found
        again = measures_of(torch.from_numpy(embedding(subject)), torch.from_numpy(embedding(base)))
        assert again == found


def test_collapsed_embeddings_have_measures_or_are_refused(rng: np.random.Generator) -> None:
    base = rng.normal(size=(40, 2))
    watch = diag.watch(base, updates=10, quiet=True)
    assert watch(4, lambda: np.ones((40, 2))) in (True, False)
    assert watch.looks[0].measures["variance_ratio"] == 0
    with pytest.raises(ForecastError, match="not there or not finite"):
        diag.watch(np.ones((40, 2)), updates=10)(4, lambda: base)


@pytest.mark.parametrize("learning_rate", [0.05, 0.0])
def test_three_lines_in_a_loop(
    learning_rate: float, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mirrored encoder that comes home, and one that stays where it is."""
    observations = torch.from_numpy(rng.normal(size=(40, 2)) * [1.0, 0.6]).float()
    encoder = torch.nn.Linear(2, 2, bias=False)
    encoder.weight.data = torch.diag(torch.tensor([-1.0, 1.0 if learning_rate else -1.0]))
    optimiser = torch.optim.SGD(encoder.parameters(), learning_rate)
    watch, stopped = diag.watch(observations, updates=200), None
    for step in range(200):
        optimiser.zero_grad()
        (encoder(observations) - observations).square().sum(1).mean().backward()
        optimiser.step()
        if watch(step, lambda: encoder(observations)):
            stopped = step
            break
    assert watch.probability is not None
    if learning_rate:
        assert stopped is None
        assert watch.probability.value > 0.9
        assert [look.share for look in watch.looks] == read_model().shares
    else:
        assert stopped == 19  # it is at rest from the first look on, and 10% is the first to stop at
        assert watch.looks[-1].rest is not None
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(watch.looks)
    assert said[0].startswith("1% of the updates: ")
    assert (": stop. The embedding lies" in said[-1]) == (not learning_rate)


def test_a_loop_taken_up_late_and_budgets_that_are_small(rng: np.random.Generator) -> None:
    base = rng.normal(size=(40, 2))
    late = diag.watch(base, updates=1000, quiet=True)
    for step in range(600, 1000):
        late(step, lambda: base)
    assert [look.share for look in late.looks] == [0.601, 0.75]
    small = diag.watch(base, updates=7, quiet=True)
    for step in range(7):
        small(step, lambda: base)
    assert [look.step for look in small.looks] == [0, 1, 3, 4]
    assert not diag.watch(base, updates=1)(0, lambda: base)
    with pytest.raises(ValueError, match="step is 7, expected 0 to 6"):
        small(7, lambda: base)
    with pytest.raises(ValueError, match="updates is 0"):
        diag.watch(base, updates=0)
    with pytest.raises(ValueError, match="NaN"):
        diag.watch(base, updates=4)(1, lambda: base * np.nan)


def test_bad_checkpoints(finished: Path, model: Path, tmp_path: Path) -> None:
    base = finished / "main/base/seed0.safetensors"
    with pytest.raises(SubjectError, match="found a base; expected a transfer where --base is given"):
        diag.forecast(base, base=base)
    with pytest.raises(SubjectError, match="another base than the transfer's"):
        diag.forecast(early(finished), base=finished / "main/base/seed1.safetensors", model=model)
    array = tmp_path / "array.npy"
    np.save(array, np.ones((9, 2)))
    with pytest.raises(CheckpointError, match=r"a numpy array; expected a \.safetensors checkpoint"):
        diag.forecast(array)
    moved = tmp_path / "moved.safetensors"
    shutil.copy(early(finished), moved)
    assert diag.forecast(moved, model=model).share == 0.25
    with pytest.raises(ValueError, match=r"none\.safetensors"):
        diag.forecast(moved, base=tmp_path / "none.safetensors", model=model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tree: tree | {"features": ["r2_identity"]}, "other features than this version looks at"),
        (lambda tree: tree | {"format": 2}, "another format"),
        (lambda tree: tree | {"by_share": {}}, "no shares of a budget"),
        (lambda tree: tree | {"mean_rate": 3}, "a probability beyond 0 and 1"),
        (lambda tree: {k: v for k, v in tree.items() if k != "bases"}, "'bases'"),
        (lambda tree: tree["by_share"]["0.25"].update(weights=[0.0]) or tree, "arrays of other shapes"),
        (lambda tree: tree["by_share"]["0.25"].update(intercept=float("nan")) or tree, "not finite"),
        (lambda tree: tree["bases"].update(scale=[0.0] * 5) or tree, "a scale that is not positive"),
        (lambda tree: [tree], "found no model of diag study forecast"),
    ],
)
def test_damaged_models(model: Path, tmp_path: Path, change: Any, words: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(change(json.loads(model.read_text()))))
    with pytest.raises(ForecastError, match=words):
        read_model(path)


def test_models_and_folders_that_are_none(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*arguments: object) -> str:
        assert run([str(a) for a in arguments]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    (tmp_path / "text.json").write_text("{")
    assert "no such file" in fails("forecast", early(finished), "--model", tmp_path / "none.json")
    assert "no model of diag study" in fails("forecast", early(finished), "--model", tmp_path / "text.json")
    assert "found no study.json" in fails("study", "forecast", tmp_path)
    assert "found none of 6 transfers succ" in fails("study", "forecast", finished, "--outcome", "succeeded")
    assert "0 bases to judge on" in fails("study", "forecast", finished, "--judge-bases", "9")
    assert "seeds" in fails("study", "forecast", finished, "--judge-bases", "x")
    same = tmp_path / "same"
    assert "one file for --html and --out" in fails("study", "forecast", finished, "--html", same, "-o", same)
    assert "no folder" in fails("study", "forecast", finished, "-o", tmp_path / "no" / "model.json")
    assert list(tmp_path.iterdir()) == [tmp_path / "text.json"]


def copied(finished: Path, out: Path) -> Path:
    return shutil.copytree(finished, out / "copy")


def test_studies_that_cannot_be_fitted_to(finished: Path, tmp_path: Path) -> None:
    out = copied(finished, tmp_path)
    altered(out, relation=lambda row: "matched")
    with pytest.raises(ForecastError, match="found all of 6 transfers matched, expected both ends"):
        known([out], "matched")
    for part in (out / "results").glob("*freeze*base5*.parquet"):
        part.unlink()
    with pytest.raises(ForecastError, match="found 5 bases with finished transfers, expected 6 or more"):
        known([out], "matched")
    for part in (out / "results").glob("*freeze*.parquet"):
        part.unlink()
    with pytest.raises(ForecastError, match="found no transfer with frozen models"):
        known([out], "matched")


def test_what_is_not_frozen_or_not_finished_is_left_out(finished: Path, tmp_path: Path) -> None:
    out = copied(finished, tmp_path)
    path = out / "study.json"
    tree = json.loads(path.read_text())
    plans = tree["study"]["variants"]["main"]["plans"]
    plans["freeze-dynamics"]["rules"] = [{"component": "*", "action": "copy"}]
    path.write_text(json.dumps(tree))
    with pytest.raises(ForecastError, match="found no transfer with frozen models"):
        known([out], "matched")


def test_diverged_transfers_failed_and_diverged_bases_are_left_out(finished: Path, tmp_path: Path) -> None:
    out = copied(finished, tmp_path)
    altered(
        out,
        finite=lambda row: row["base_seed"] != 1,
        relation=lambda row: None if row["base_seed"] == 1 else "matched",
    )
    found = known([out], "matched")
    assert len(found.ended) == 6
    assert found.ended.sum() == 5
    part = next((out / "results").glob("*freeze*base1*.parquet"))
    table = pd.read_parquet(part)
    table[table["final"]].to_parquet(part)
    with pytest.raises(ForecastError, match="found 5 bases"):
        known([out], "matched")


def test_a_base_in_two_studies_counts_once_and_lost_checkpoints_cost_the_bases_view(
    finished: Path, tmp_path: Path
) -> None:
    out = copied(finished, tmp_path)
    found = known([finished, out], "matched")
    assert (len(found.groups), len(found.ended)) == (6, 12)
    shutil.rmtree(out / "main")
    alone = known([out], "matched")
    assert np.isnan(alone.bases).all()
    assert set(Folder(out).results()["base_seed"]) == set(range(6))
    from diag.forecasts.judge import judge_of
    from diag.forecasts.report import report_of

    report = report_of(alone, judge_of(alone))
    assert report.bases is None
    assert "checkpoints were found, or their" in html(report)
    with pytest.raises(ForecastError, match="too few bases"):
        report.forecaster.rate(np.zeros(5))
