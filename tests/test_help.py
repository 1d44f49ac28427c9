"""What help shows, what slips are taken for, and what a shell completes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import commands, run
from tests.conftest import EXAMPLES

ROOT = Path(__file__).parent.parent

BASE = str(EXAMPLES / "base.safetensors")


@pytest.mark.parametrize("name", commands())
def test_help_has_names_examples_and_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    status, out, _ = run(capsys, *name.split(), "--help")
    assert status == 0
    assert "Example" in out
    assert f"  diag {name}" in out
    assert max(map(len, out.splitlines())) <= 80
    assert not re.search(r"<(?!N>)[a-z]|\{|list\[|Path\b|range", out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "a", "b"], "did you mean 'diag compare-embeddings'?"),
        (["landscpae"], "did you mean 'diag landscape'?"),
        (["list"], "'diag study list'"),
        (["study", "rn"], "did you mean 'diag study run'?"),
        (["train", "cra"], "did you mean 'diag train crar'?"),
        (["show", "--jsn", BASE], "did you mean --json?"),
        (["probe", "--adaptor", "x:y", BASE], "did you mean --adapter?"),
    ],
)
def test_slips_are_asked_after(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_shell_completes_commands_and_options() -> None:
    def completed(line: str) -> str:
        environment = {"_DIAG_COMPLETE": "complete_bash", "COMP_WORDS": line, "PYTHONPATH": str(ROOT)}
        environment["COMP_CWORD"] = str(len(line.split(" ")) - 1)
        command = [sys.executable, "-m", "diag"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout

    assert completed("diag lands").split() == ["landscape"]
    assert "--adapter" in completed("diag probe --ad").split()
