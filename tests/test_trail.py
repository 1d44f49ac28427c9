"""Checkpoints along a training: their order, what is kept of each, and how the page tells it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import diag
from diag.commands import app as cli
from diag.outputs.json import render
from diag.outputs.registry import html
from diag.subject import SubjectError
from tests.test_html import outline


@pytest.fixture
def way(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A base of two axes, and a transfer whose second axis goes over to the other side in four steps."""
    y = rng.normal(size=(60, 2))
    np.save(tmp_path / "base.npy", y)
    for step, sign in ((200, 0.9), (1000, 0.1), (3000, -0.8)):
        moved = y * [1, sign] + 0.05 * rng.normal(size=y.shape)
        np.save(tmp_path / f"seed0.step{step}.npy", moved)
    np.save(tmp_path / "seed0.npy", y * [1, -1] + 0.05 * rng.normal(size=y.shape))
    return tmp_path


def test_every_checkpoint_is_compared_in_the_order_of_its_number(way: Path) -> None:
    found = diag.compare(way / "base.npy", way / "seed0.npy", trail=str(way / "seed0*.npy"))
    assert [Path(stop.name).name for stop in found.trail] == [
        "seed0.step200.npy",
        "seed0.step1000.npy",
        "seed0.step3000.npy",
    ]
    assert [stop.comparison.relation for stop in found.trail][::2] == ["matched", "flipped"]
    alone = diag.compare(way / "base.npy", way / "seed0.step3000.npy")
    assert found.trail[-1].comparison.measures == alone.measures
    tree = json.loads(render(found))["trail"]
    assert [stop["relation"] for stop in tree][::2] == ["matched", "flipped"]
    assert tree[-1]["axes"] == [1]
    assert tree[0]["r2"]["value"] > 0.9 > 0 > tree[-1]["r2"]["value"]
    assert tree[-1]["r2_signs"]["value"] > 0.9


def test_the_page_has_the_curve_the_panels_and_the_slider(way: Path) -> None:
    found = diag.compare(way / "base.npy", way / "seed0.npy", trail=str(way / "seed0.step*.npy"))
    words = " ".join(" ".join(outline(html(found)).words).split())
    for told in ("How it came there", "Checkpoint by checkpoint", "See it happen"):
        assert told in words
    assert "Matched from seed0.step200" in words
    assert "flipped from seed0.step3000" in words
    assert "How it came there" not in html(diag.compare(way / "base.npy", way / "seed0.npy"))


def test_the_command_takes_a_pattern_and_refuses_one_that_matches_nothing(
    way: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = [str(way / "base.npy"), str(way / "seed0.npy")]
    assert cli.run(["compare-embeddings", *pair, "--trail", str(way / "seed0.step*.npy"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["trail"]) == 3
    assert cli.run(["compare-embeddings", *pair, "--trail", str(way / "other*.npy")]) == 2
    assert "no file that matches" in capsys.readouterr().err
    # No output may take the place of a file that is read.
    stop = way / "seed0.step200.npy"
    assert cli.run(["compare-embeddings", *pair, "--trail", str(stop), f"--json={stop}"]) == 2


def test_shares_of_the_training_order_checkpoints(examples: Path) -> None:
    base, transfer = (diag.open_subject(examples / f"{n}.safetensors") for n in ("base", "mirrored"))
    matched = diag.open_subject(examples / "matched.safetensors")
    found = diag.compare(base, transfer, trail=[matched])
    assert found.share == found.trail[0].share == 1.0
    with pytest.raises(SubjectError, match="at most 60"):
        diag.compare(base, transfer, trail=[matched] * 61)
