"""diag check as a command: what it refuses to write over, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from diag.commands import app as cli


@pytest.fixture
def here(tmp_path: Path, examples: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the examples, and arrays."""
    for name in ("base", "matched", "mirrored"):
        shutil.copy(examples / f"{name}.safetensors", tmp_path)
    y = np.random.default_rng(0).normal(size=(40, 3)) * [1, 0.7, 0.4]
    np.save(tmp_path / "b.npy", y)
    np.save(tmp_path / "t.npy", y + 0.01)
    np.savez(tmp_path / "pairs.npz", source=y, target=y)
    (tmp_path / "mine.py").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["--pairs", "pairs.npz", "--junit-xml", "pairs.npz"],
        ["--adapter", "mine:encoder", "--sarif", "mine.py"],
        ["--html", "t.npy"],
        ["--html", "same", "--sarif", "same"],
        ["--config", "diag.toml", "--junit-xml", "diag.toml"],
        ["--baseline", "accepted.json", "--html", "accepted.json"],
    ],
)
def test_nothing_that_is_read_is_written_over(
    here: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "diag.toml").write_text("")
    (here / "accepted.json").write_text('{"format": 1, "accepted": {}}')
    before = {f.name: f.read_bytes() for f in here.iterdir()}
    assert cli.run(["check", "b.npy", "t.npy", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {f.name: f.read_bytes() for f in here.iterdir()} == before


def test_a_pattern_leaves_out_the_base_and_is_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", "base.safetensors", "*.safetensors", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [Path(c["transfer"]["path"]).name for c in told["checked"]] == [
        "matched.safetensors",
        "mirrored.safetensors",
    ]
    assert cli.run(["check", "m*.safetensors", "base.safetensors"]) == 2
    assert "expected one base" in capsys.readouterr().err


def test_a_base_that_cannot_be_read_stands_in_every_report(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = ["--junit-xml", "j.xml", "--sarif", "s.sarif", "--html", "h.html"]
    assert cli.run(["check", "none.npy", "t.npy", "b.npy", "--format", "github", *reports]) == 2
    told = capsys.readouterr()
    assert "::error" in told.out
    assert told.err.count("\n") == 1
    for name in reports[1::2]:
        assert "none.npy" in (here / name).read_text()


def test_an_older_baseline_is_replaced_only_with_overwrite(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(here / "f.npy", np.load(here / "b.npy") * [1, -1, 1])
    command = ["check", "b.npy", "f.npy", "--write-baseline", "accepted.json"]
    assert cli.run(command) == 0
    assert capsys.readouterr().out.startswith("accepted: accepted.json\n")
    before = (here / "accepted.json").read_bytes()
    again = ["check", "b.npy", "t.npy", "--write-baseline", "accepted.json"]
    for words in (again, [*again, "--baseline", "accepted.json"], [*again, "--exit-zero", "--quiet"]):
        assert cli.run(words) == 2
        told = capsys.readouterr()
        wanted = "found a file, expected another name, or --overwrite to accept anew over it"
        assert told.err == f"diag: accepted.json: {wanted}\n"
        assert told.out == ""
        assert (here / "accepted.json").read_bytes() == before
    assert cli.run([*again, "--overwrite"]) == 0
    assert capsys.readouterr().out.startswith("accepted anew, over what was there: accepted.json\n")
    assert (here / "accepted.json").read_bytes() != before


def test_a_baseline_of_another_base_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", "b.npy", "t.npy", "--write-baseline", "accepted.json"]) == 0
    capsys.readouterr()
    np.save(here / "other.npy", np.load(here / "b.npy") + 0.02)
    assert cli.run(["check", "other.npy", "t.npy", "--baseline", "accepted.json", "--html", "h.html"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("diag: accepted.json: found a baseline that was accepted against another base")
    assert told.err.count("\n") == 1
    assert not (here / "h.html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--exit-zero"], "exit status 0, held there by --exit-zero; it would be 1"),
        pytest.param(
            ["--write-baseline", "new.json"],
            "exit status 0, held there by --write-baseline; it would be 1",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_status_that_is_held_is_said_in_every_output(
    here: Path,
    options: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(here / "summary.md"))
    np.save(here / "f.npy", np.load(here / "b.npy") * [1, -1, 1])
    reports = ["--junit-xml", "j.xml", "--sarif", "s.sarif", "--html", "h.html", "--format", "github"]
    assert cli.run(["check", "b.npy", "f.npy", *options, *reports]) == 0
    assert words in (here / "summary.md").read_text().replace("Exit", "exit")
    assert words.replace("exit status 0", "Exit status 0") in capsys.readouterr().out
    for name in ("j.xml", "s.sarif", "h.html"):
        assert words.removeprefix("exit status ") in (here / name).read_text()
    assert cli.run(["check", "b.npy", "f.npy", "--exit-zero", "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert (tree["exit_status"], tree["own_status"], tree["held_by"]) == (0, 1, "--exit-zero")
    assert cli.run(["check", "b.npy", "t.npy", "--exit-zero"]) == 0
    assert "held" not in capsys.readouterr().out


def test_a_frozen_reader_may_be_insisted_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(here / "f.npy", np.load(here / "b.npy") * [1, -1, 1])
    assert cli.run(["check", "b.npy", "f.npy", "--unfrozen", "-q"]) == 0
    assert cli.run(["check", "b.npy", "f.npy", "--frozen", "-q"]) == 1


def test_what_was_asked_for_and_has_no_data_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["check", "b.npy", "t.npy", "--set", "check.probe.max_drop=0.1"]) == 0
    assert "probe: asked for, but nothing is known of the states" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--junit-xml", "x.xml"], ["--strict"], ["--format", "github"]])
def test_a_calibration_takes_no_options_of_a_gate(
    here: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["check", "--calibrate", ".", *words]) == 2
    assert "--calibrate and " in capsys.readouterr().err
