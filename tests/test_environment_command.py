"""``diag environment-metrics`` on a tiny study, and its renderings of a made-up one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from diag.outputs.registry import html, text
from diag.studies.environments.gathered import RUN, gathered
from diag.studies.environments.metrics import environment_metrics, metrics_of
from tests.commands import run
from tests.environment_runs import STUDY, everything, tiny_study
from trainers.envs.acting import acting_world
from trainers.envs.played import random_returns


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_study(tmp_path_factory.mktemp("looks"))


def test_runs_are_grouped_by_the_look_of_their_target_task(folder: Path) -> None:
    found = gathered(folder)
    assert [look.name for look in found.looks] == ["large-ball", "small-ball"]
    counts = found.runs.groupby(["look", "plan"], sort=False).size().to_dict()
    assert counts["large-ball", "from-scratch"] == 2
    assert counts["large-ball", "freeze-all"] == 2
    assert ("small-ball", "from-scratch") not in counts
    assert set(found.runs[found.runs["fresh"]]["plan"]) == {"from-scratch"}
    assert found.looks[0].frames_of_update == 6 * 7
    large, small = (look.random for look in found.looks)
    assert large is not None
    assert small is not None
    assert large > small  # a large ball is caught by luck more often


def test_cka_is_a_column_and_is_taken_from_checkpoints_where_it_is_missing(
    folder: Path, tmp_path: Path
) -> None:
    own = gathered(folder).runs
    assert own["cka"].notna().all()
    older = tmp_path / "older"
    shutil.copytree(folder, older)
    for part in (older / "results").glob("*.parquet"):
        pd.read_parquet(part).drop(columns="cka").to_parquet(part)
    taken = gathered(older).runs
    both = own.merge(taken, on=list(RUN), suffixes=("", "_taken"))
    assert len(both) == len(own)
    assert both["cka_taken"].to_numpy() == pytest.approx(both["cka"].to_numpy(), abs=1e-6)


def test_the_command_prints_writes_and_has_a_short_form(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "metrics.html"
    status, out, _ = run(capsys, "environment-metrics", str(folder), "--html", str(page))
    assert status == 0
    assert "share of balls caught" in " ".join(out.split())
    assert max(map(len, out.partition("\nreport: ")[0].splitlines())) <= 80
    assert "Head or embedding" in page.read_text()
    status, out, _ = run(capsys, "environment-metrics", str(folder), "--json", "--threshold", "0.5")
    tree = json.loads(out)
    assert status == 0
    assert tree["diagnosis"] == "environment-metrics"
    assert tree["looks"][0]["level"]["score"] == 0.5
    assert tree.pop("saved")["kind"] == "environment_metrics"
    assert tree == environment_metrics(folder, threshold=0.5).to_tree()
    _, out, _ = run(capsys, "environment-metrics", str(folder), "--quiet")
    assert len(out.splitlines()) == 1


def test_a_folder_without_a_study_or_without_runs_from_scratch_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "environment-metrics", str(tmp_path))
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "expected a folder of diag study run" in err
    lacking = tiny_study(tmp_path, STUDY.partition("[variants.two]")[0], "bases=1", "plans=freeze-all")
    status, out, err = run(capsys, "environment-metrics", str(lacking))
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert 'plans = ["from-scratch"]' in err


@pytest.mark.long
def test_variants_that_differ_in_more_than_their_look_are_looks_of_their_own(tmp_path: Path) -> None:
    more = STUDY.partition("[variants.two]")[0] + (
        "[variants.slow]\nbases = 1\ntransfers = 1\nplans = ['freeze-head']\n"
        "set.transfer.learning_rate = 1e-5\n"
        "[variants.anew]\nbases = 1\ntransfers = 1\nplans = ['from-scratch']\n"
        "set.train.learning_rate = 1e-5\n"
    )
    found = gathered(tiny_study(tmp_path, more))
    assert [look.name for look in found.looks] == ["large-ball (one)", "large-ball (slow)"]
    fresh = found.runs[found.runs["fresh"]]
    assert list(fresh["look"]) == ["large-ball (one)"]  # how bases are trained is nothing to it


def test_every_look_and_plan_is_shown() -> None:
    result = metrics_of(everything())
    said, page = text(result), html(result)
    for name in ("near", "far", "freeze-head", "update-all", "from-scratch", "matched", "affine"):
        assert name in said
        assert name in page
    assert "Boschloo" in " ".join(said.split())
    assert "is right in 5 of 10" in " ".join(said.split())  # the head is better in both looks


def test_random_play_is_the_mean_of_whole_rounds() -> None:
    world = acting_world("catch-small")
    returns = random_returns(world, "default")
    assert len(returns) % 128 == 0
    assert set(returns) == {-1.0, 1.0}
    assert -0.46 < returns.mean() < -0.34  # it catches 30%
