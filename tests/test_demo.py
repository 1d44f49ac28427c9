"""The demo, made short: it goes on to other bases, resumes, and says what it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from diag import cli


def test_a_short_demo(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diag import _demo

    monkeypatch.setattr(_demo, "BASE_SEEDS", (0, 1))
    arguments = ["demo", "--out", str(tmp_path), "--set", "train.updates=30", "--set", "transfer.updates=20"]
    assert cli.run([*arguments, "--jobs", "1"]) == 0
    told = capsys.readouterr().out
    assert "going on to another base" in told
    assert f"Look at {tmp_path / 'index.html'}" in told
    page = (tmp_path / "index.html").read_text()
    for words in ("One base, eight transfers", "The verdicts", "How many succeed", "All bases tried"):
        assert words in page
    before = (tmp_path / "base" / "seed0.safetensors").stat().st_mtime_ns
    assert cli.run([*arguments, "--jobs", "1", "-q"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'index.html'}\n"
    assert (tmp_path / "base" / "seed0.safetensors").stat().st_mtime_ns == before
