"""The command line as a person meets it: help, one line for every mistake, exit statuses, files."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diag.commands import app as cli
from tests.conftest import EXAMPLES

BASE, MIRRORED, MATCHED = (str(EXAMPLES / f"{n}.safetensors") for n in ("base", "mirrored", "matched"))


def diag(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.run(list(arguments))
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["train"],
        ["train", "crar"],
        ["transfer"],
        ["compare-embeddings"],
        ["landscape"],
        ["show"],
    ],
)
def test_help(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    status, out, _ = diag(capsys, *command, "--help")
    assert status == 0
    assert out.startswith("Usage: diag")
    if command not in ([], ["train"]):
        assert "Example" in out
        assert "--quiet" in out
        assert "--verbose" in out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from diag.commands.app import run; run(['--help']); "
        "print([m for m in ('torch', 'numpy', 'pandas', 'altair', 'scipy', 'gymnasium') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_comparing_arrays_does_not_import_torch(tmp_path: Path) -> None:
    y = np.random.default_rng(0).normal(size=(50, 2))
    np.save(tmp_path / "a.npy", y)
    np.save(tmp_path / "b.npy", -y)
    arguments = ["compare-embeddings", str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]
    code = f"import sys; from diag.commands.app import run; run({arguments!r}); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False"


def test_the_whole_job_on_short_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    quick = ["--set", "train.updates=30", "--set", "transfer.updates=30"]
    base, moved = tmp_path / "base", tmp_path / "t0"
    status, out, err = diag(
        capsys, "train", "crar", "--preset", "simple-maze", "--seeds", "0-1", "--out", str(base), *quick
    )
    assert (status, out) == (0, f"wrote 2 checkpoints to {base}\n")
    assert ": begun\n" in err
    assert ": done in " in err
    assert sorted(p.name for p in base.iterdir()) == [
        "seed0.safetensors",
        "seed0.safetensors.resume",
        "seed1.safetensors",
        "seed1.safetensors.resume",
    ]
    source = str(base / "seed0.safetensors")
    status, _, _ = diag(capsys, "transfer", source, "--seeds", "0", "--out", str(moved), *quick)
    assert status == 0
    status, out, _ = diag(capsys, "compare-embeddings", source, str(moved / "seed0.safetensors"), "--json")
    assert status == 0
    assert json.loads(out)["diagnosis"] == "compare-embeddings"
    again = diag(capsys, "train", "crar", "--seeds", "0-1", "--out", str(base), *quick)
    assert again[0] == 2
    assert "already there" in again[2]
    status, out, _ = diag(capsys, "train", "crar", "--seeds", "0-1", "--out", str(base), *quick, "--resume")
    assert (status, out) == (0, f"{base}: all 2 seeds are trained already\n")


def test_a_diagnosis_exits_0_whatever_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = diag(capsys, "compare-embeddings", BASE, MIRRORED)
    assert (status, err) == (0, "")
    assert out.startswith("FAIL  Flipped")
    status, out, _ = diag(capsys, "compare-embeddings", BASE, MATCHED, "-q")
    assert status == 0
    assert len(out.splitlines()) == 1
    assert out.startswith("pass  Matched")


def test_landscape(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "wall.html"
    status, out, _ = diag(
        capsys,
        "landscape",
        MIRRORED,
        MATCHED,
        "--points",
        "7",
        "--third",
        BASE,
        "--steps",
        "5",
        "--quick",
        "--html",
        str(page),
    )
    assert status == 0
    assert "escape" in out
    assert "5 × 5 points through A, B and C" in out
    assert f"report: {page}" in out
    assert page.read_text().startswith("<!doctype html>")
    status, out, _ = diag(
        capsys, "landscape", MIRRORED, MATCHED, "--points", "5", "--task", "source", "--quick", "--json"
    )
    assert list(json.loads(out)["tasks"]) == ["source"]


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = diag(capsys, "show", MIRRORED)
    assert status == 0
    for words in (
        "crar transfer, plan freeze-dynamics",
        "simple-maze, target task",
        "parent",
        "38,682",
        "frozen",
    ):
        assert words in out
    status, out, _ = diag(capsys, "show", BASE, "--json")
    tree = json.loads(out)
    assert (tree["system"], tree["plan"], tree["base"]) == ("crar", None, None)
    assert {c["name"]: c["parameters"] for c in tree["components"]} == {"encoder": 38682, "transition": 1662}
    assert len(diag(capsys, "show", BASE, "-q")[1].splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["show"], "Missing argument 'FILE'"),
        (["show", "--wrong", BASE], "--wrong"),
        (["show", "nowhere.safetensors"], "nowhere.safetensors: found no such file"),
        (["compare-embeddings", BASE, BASE], "found the base itself"),
        (["compare-embeddings", BASE, "{pickle}"], "a pickle, which is never loaded"),
        (["compare-embeddings", BASE, "{text}"], "no whole safetensors file"),
        (["compare-embeddings", BASE, "{array}"], "the same kind of file"),
        (["compare-embeddings", BASE, MIRRORED, "--html", "/nowhere/x.html"], "expected one to write to"),
        (["compare-embeddings", BASE, MIRRORED, "--html", "{folder}"], "expected a file to write"),
        (["compare-embeddings", BASE, MIRRORED, "--margin", "7"], "--margin"),
        (["compare-embeddings", "{array}", "{other}", "--html", "{array}"], "an input of this command"),
        (["train", "crar", "--set", "train.updates=30", "--keep", "50", "--out", "{new}"], "--keep 50"),
        (["landscape", BASE, BASE], "different files"),
        (["landscape", BASE, "{array}"], "no parameters"),
        (["landscape", BASE, MIRRORED, "--points", "1"], "--points"),
        (["landscape", BASE, MIRRORED, "--task", "sauce"], "expected source or target"),
        (["train", "crar", "--preset", "simple-mase", "--out", "{new}"], "did you mean 'simple-maze"),
        (["train", "crar", "--set", "train.updats=1", "--out", "{new}"], "did you mean 'train.updates'"),
        (["train", "crar", "--seeds", "x", "--out", "{new}"], "expected numbers such as 0-3"),
        (["train", "crar", "--out", "{text}"], "cannot write there"),
        (["train", "crar", "--out", "{new}", "--device", "abacus"], "cannot be used here"),
        (["train", "crar", "--out", "{new}", "--resume", "--overwrite"], "contradict"),
        (["train", "crar"], "Missing option '--out'"),
        (["transfer", "{text}", "--out", "{new}"], "no whole safetensors file"),
        (["transfer", BASE, "--plan", "freeze", "--out", "{new}"], "unknown plan 'freeze'"),
        (["transfer", BASE, "--set", "model.embedding=3", "--out", "{new}"], "encoder/4"),
    ],
)
def test_mistakes_get_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], words: str
) -> None:
    places = {name: tmp_path / name for name in ("pickle", "text", "array.npy", "other.npy", "folder", "new")}
    places["pickle"].write_bytes(pickle.dumps([1]))
    places["text"].write_text("not a checkpoint")
    np.save(places["array.npy"], np.random.default_rng(0).normal(size=(31, 2)))
    places["folder"].mkdir()
    np.save(places["other.npy"], np.random.default_rng(1).normal(size=(31, 2)))
    filled = [a.format(**{n.partition(".")[0]: p for n, p in places.items()}) for a in arguments]
    status, out, err = diag(capsys, *filled)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("diag: ")
    assert words in err
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("seed*"))


def test_faults_of_the_program_exit_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from diag.sources import description

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of cheese")

    monkeypatch.setattr(description, "show", broken)
    status, out, err = diag(capsys, "show", BASE)
    assert (status, out) == (3, "")
    assert err == "diag: internal error: RuntimeError: out of cheese (see --verbose)\n"
    status, _, err = diag(capsys, "show", BASE, "--verbose")
    assert status == 3
    assert "Traceback" in err


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    from diag.sources import description

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(description, "show", interrupted)
    assert cli.run(["show", BASE]) == 130


def test_a_reader_that_goes_away_is_no_fault() -> None:
    command = f"{sys.executable} -m diag show {BASE} --json --verbose | head -c 1"
    found = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert found.stderr == ""
    assert found.returncode == 0
