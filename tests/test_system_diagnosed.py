"""A system that is a file in trainers and one in sources: every command takes its checkpoints, unknown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

import diag
from diag.commands.app import run as command
from diag.repairs.asked import Mode
from diag.sources import systems
from diag.studies import StudyError, outlook
from diag.studies.folder import Folder
from diag.studies.run import run_study
from diag.studies.study import read_study
from tests import ring
from tests.conftest import train
from tests.short_studies import here, silent, weights
from trainers import checkpoint as files
from trainers.pool import Todo, Told
from trainers.settings import preset

ENDED = ["train.updates=500", "transfer.updates=500"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and two transfers that end mirrored: the target task shows the negative of each picture."""
    folder = tmp_path_factory.mktemp("made")
    whole = preset(ring.Ring.name).with_overrides(ENDED)
    train(folder / "base", whole, (0,))
    train(folder / "transfers", whole, (0, 1), folder / "base" / "seed0.safetensors")
    return folder


@pytest.fixture
def base(made: Path) -> Path:
    return made / "base" / "seed0.safetensors"


@pytest.fixture
def mirrored(made: Path) -> Path:
    return made / "transfers" / "seed0.safetensors"


def test_it_is_shown_and_compared(base: Path, mirrored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = diag.compare(base, mirrored)
    assert (result.relation, result.verdict.status, result.frozen) == ("flipped", "fail", ("transition",))
    assert (result.states, result.own_states, result.success_states) == (ring.STATES, 0, ring.STATES)
    assert command(["compare-embeddings", str(base), str(mirrored)]) == 0
    assert command(["show", str(mirrored)]) == 0
    shown = capsys.readouterr().out
    assert "FAIL  Flipped" in shown
    assert "500 of 500 updates, seed 0" in shown


def test_its_losses_are_a_landscape(made: Path, mirrored: Path) -> None:
    other = made / "transfers" / "seed1.safetensors"
    result = diag.landscape(mirrored, other, quick=True)
    assert result.verdict.status == "pass"
    assert command(["probe", str(mirrored)]) == 0


def test_it_is_gated_by_its_returns_too(base: Path, mirrored: Path) -> None:
    """A mirror image has the distances of what it mirrors: the returns pass where the relation does not."""
    gate = diag.check(base, mirrored, config={"check.returns.margin": 0.3})
    outcomes = {finding.check: finding.outcome for finding in gate.checked[0].findings}
    assert outcomes["relation"] == "fail"
    assert outcomes["returns"] == "pass"
    assert command(["check", str(base), str(mirrored)]) == 1


def test_it_is_forecast_with_a_word_on_what_the_model_knows(tmp_path: Path, base: Path) -> None:
    half = preset(ring.Ring.name).with_overrides(["transfer.updates=20"])
    train(tmp_path, half, (0,), base)
    saved = files.read(tmp_path / "seed0.safetensors")
    longer = half.with_overrides(["transfer.updates=40"]).model_dump(mode="json")
    files.save(tmp_path / "half", replace(saved.header, settings=longer), saved.tensors)
    told = diag.forecast(tmp_path / "half", base=base)
    assert told.share == 0.5
    assert any(words.endswith("and this one is of ring") for words in told.warnings)


@pytest.mark.parametrize("mode", ["paired", "task"])
def test_it_is_repaired(tmp_path: Path, base: Path, mirrored: Path, mode: Mode) -> None:
    result = diag.repair(base, mirrored, out=tmp_path / "mended", train=25, mode=mode)
    assert result.chosen is not None
    assert [stage.name for stage in result.stages] == ["before", "folded", "trained"]
    assert result.stages[0].relation == "flipped"
    assert result.stages[-1].relation == "matched"
    assert diag.compare(base, tmp_path / "mended").relation == "matched"


STUDY = """
preset = "ring"
bases = 1
transfers = 2
keep = [0.5]
[set]
train.updates = 40
[variants.drawn]
[variants.walked]
preset = "ring-walked"
plans = ["fine-tune"]
"""


def study(folder: Path) -> Path:
    (folder / "rings.toml").write_text(STUDY)
    return folder / "rings.toml"


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, done in one go."""
    folder = tmp_path_factory.mktemp("studied")
    assert run_study(read_study(str(study(folder))), folder / "whole", engine=here, jobs=1, progress=silent)
    return folder / "whole"


def _over(looks: Iterator[int]) -> bool:
    """Whether it is time to stop: at the thirteenth look."""
    return next(looks) >= 13


def test_it_is_studied_stopped_and_gone_on_with(tmp_path: Path, studied: Path) -> None:
    rings, parts = read_study(str(study(tmp_path))), tmp_path / "parts"

    def cut(todo: Todo, jobs: int, told: Told) -> bool:
        """Stop in the middle of every item that has not to wait for another."""
        for key, item in todo.items.items():
            if not todo.before(key):
                looks = iter(range(100))
                todo.work(item, partial(told, key), partial(_over, looks))
        return False

    for _ in ("in its bases", "in its transfers"):
        assert not run_study(rings, parts, engine=cut, jobs=1, progress=silent)
        steps = [files.read(path).header.step for path in parts.rglob("seed?.safetensors")]
        assert any(0 < step < 40 for step in steps)
    assert run_study(rings, parts, engine=here, jobs=1, progress=silent)
    assert weights(parts) == weights(studied)
    results = Folder(studied).results()
    assert len(results) == 2 * 2 + 4 * 2
    assert set(results["states"].dropna()) == {ring.STATES}


@pytest.mark.long
def test_its_study_is_killed_and_gone_on_with(tmp_path: Path, studied: Path) -> None:
    parts = tmp_path / "parts"
    words = ["study", "run", str(study(tmp_path)), "--out", str(parts), "--jobs", "1", "-q"]
    code = f"import sys, tests.ring; from diag.commands.app import run; sys.exit(run({words!r}))"
    running = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    while running.poll() is None and not list(parts.rglob("*.safetensors")):
        time.sleep(0.02)
    assert running.poll() is None
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert weights(parts) != weights(studied)
    assert command(words) == 0
    assert weights(parts) == weights(studied)


def test_the_commands_of_a_study(
    tmp_path: Path, studied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook, "SECONDS", 0.01)
    rings, out = str(study(tmp_path)), str(tmp_path / "out")
    assert command(["study", "run", rings, "--out", out, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "40 + 40 updates\n" in told
    assert "on this machine" in told
    assert command(["study", "report", str(studied), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["study"]["preset"] == "ring, ring-walked"
    assert report["study"]["settings"] == {"train.updates": "40", "transfer.updates": "40"}
    assert report["paper"] == []  # whose numbers are another world's


def test_settings_of_a_study_are_those_of_its_systems(tmp_path: Path) -> None:
    rings = read_study(str(study(tmp_path)), ["interacting=false", "transfer.updates=30"])
    assert not any(
        v.settings.interacting for v in rings.variants if isinstance(v.settings, ring.RingSettings)
    )
    assert {v.settings.transfer.updates for v in rings.variants} == {30}
    with pytest.raises(StudyError, match=r"unknown setting 'interactin'; did you mean 'interacting'"):
        read_study(str(study(tmp_path)), ["interactin=true"])
    with pytest.raises(StudyError, match=r"unknown setting 'loss\.terms'"):
        read_study(str(study(tmp_path)), ["loss.terms=bound"])


def test_a_system_that_nothing_measures_is_not_studied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(systems.SUBJECTS._registered, "ring")
    with pytest.raises(StudyError, match=r"found system 'ring', whose checkpoints nothing here measures"):
        read_study(str(study(tmp_path)))


BOTH = """
rules = [{ component = "*", action = "copy" }, { component = "encoder", action = "freeze", base = 1 }]
"""


def test_the_commands_that_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def go(*words: str) -> tuple[int, str]:
        status = command(list(words))
        return status, capsys.readouterr().err

    base, out = [str(tmp_path / "base" / f"seed{n}.safetensors") for n in (0, 1)], str(tmp_path / "t")
    assert go("train", "ring", "--seeds", "0,1", "--out", str(tmp_path / "base"), "--jobs", "1", "-q")[0] == 0
    plan = tmp_path / "both.toml"
    plan.write_text(BOTH)
    assert go("transfer", *base, "--plan", str(plan), "--out", out, "-q")[0] == 0
    made = files.read(tmp_path / "t" / "seed0.safetensors")
    assert [one["path"] for one in made.header.bases] == base
    assert torch.equal(made.tensors["encoder/0.weight"], files.read(base[1]).tensors["encoder/0.weight"])
    assert go("transfer", *base, "--plan", str(plan), "--out", out, "-q", "--resume")[0] == 0
    assert command(["show", made.path]) == 0
    shown = capsys.readouterr().out
    assert all(f"sha256 {one['sha256'][:16]}" in shown for one in made.header.bases)
    for words, told in (
        (
            ("transfer", base[0], "--plan", str(plan), "--out", out),
            "expected at least 2 bases of the run's 1",
        ),
        (("transfer", *base, "--out", out), "found 2 bases, expected a rule that takes base 1"),
        (
            ("train", "ring", "--preset", "simple-maze", "--out", out),
            "found a preset of 'crar', expected one of",
        ),
        (("train", "rinf", "--out", out), "did you mean 'diag train ring'"),
    ):
        status, line = go(*words, "--overwrite")
        assert (status, line.count("\n")) == (2, 1)
        assert told in line


def test_the_help_of_a_system_names_its_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["train", "ring", "--help"]) == 0
    assert "ring, ring-walked (default: ring)" in capsys.readouterr().out
    assert command(["train", "--help"]) == 0
    assert "Train ring base models." in capsys.readouterr().out
