"""The demo: a first page from shipped checkpoints, transfers within a time, words for what was left out."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from diag.commands import app as cli
from diag.commands.demo import run as demo
from diag.commands.demo.measured import best_first, exact_mirror, mean_losses, shown
from diag.commands.demo.shipped import NAMES, shipped
from diag.comparisons.conclusion import conclusion, outcome
from diag.sources import open_subject
from trainers.checkpoint import read


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo without training: its folder, and what it said."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    words: list[str] = []
    settings = demo.read_preset("simple-maze-demo")
    made = demo.Demo(folder, settings, (), (), 0.0, 1, False, words.append, _silent)
    assert made.run() == folder / "index.html"
    return folder, "\n".join(words)


def _silent(words: str, total: int) -> demo.AbstractContextManager[demo.Callable[[int], None]]:
    from diag.commands.progress import progress_bar

    return progress_bar(words, total, quiet=True)


def test_the_first_page_needs_no_training_and_shows_what_the_readme_claims(first: tuple[Path, str]) -> None:
    folder, words = first
    page = (folder / "index.html").read_text()
    for column in ("ended", "in place", "loss", "transition", "CKA", "R²", "R² mirrored", "flip"):
        assert re.search(rf"<th[^>]*>{re.escape(column)}</th>", page)
    for meaning in ("In place:", "CKA, like", "Flipped:", "Affine:", "Undecided:", "The flip metric is"):
        assert meaning in page
    assert "Two transfers of one base" in page
    assert "index.html: it was there after" in words
    assert not list(folder.glob("transfers/*"))
    assert "--minutes 0" not in words


def test_losses_and_cka_do_not_tell_the_two_apart_and_the_conclusion_does(examples: Path) -> None:
    base = open_subject(examples / "base.safetensors")
    landed, mirrored = best_first(
        [shown(name, base, examples / f"{name}.safetensors") for name in ("mirrored", "matched")]
    )
    assert (landed.name, mirrored.name) == ("matched", "mirrored")
    assert (landed.outcome, mirrored.outcome) == ("landed", "mirrored")
    assert mirrored.loss < 1.2 * landed.loss < 2 * mean_losses(base)[0]
    assert "diag repair" in conclusion(mirrored.comparison)
    assert conclusion(landed.comparison).startswith("It landed")


def test_an_exact_mirror_image_scores_one_and_costs_more_than_any_transfer(examples: Path) -> None:
    base = open_subject(examples / "base.safetensors")
    mirror = exact_mirror(base)
    assert mirror.comparison.measures["cka"].value == pytest.approx(1.0)  # up to rounding, any processor
    assert mirror.comparison.relation == "flipped"
    assert mirror.comparison.verdict.axes == (0,)
    assert outcome(mirror.comparison) == "mirrored"
    assert mirror.transition_loss > 10 * mean_losses(base)[1]


def test_the_shipped_checkpoints_are_the_examples(examples: Path) -> None:
    for name in NAMES:
        assert shipped(name).read_bytes() == (examples / f"{name}.safetensors").read_bytes()
    with pytest.raises(ValueError, match="expected one of base, matched, mirrored"):
        shipped("bas")


ONE_RATE = ("transfer.learning_rate=4e-4",)

SHORT = ["--jobs", "1", "--set", "transfer.updates=20", "--set", "train.updates=20"]


@pytest.mark.long
def test_a_short_demo_trains_resumes_and_shows_everything(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["demo", "--out", str(tmp_path), *SHORT, "--bases", "1"]
    assert cli.run(arguments) == 0
    told = capsys.readouterr().out
    assert f"Look at {tmp_path / 'index.html'}" in told
    page = (tmp_path / "index.html").read_text()
    for words in ("One base, 12 transfers", "Do the losses tell?", "How many succeed", "base 1 and its"):
        assert words in page
    place = tmp_path / "transfers" / "low" / "seed3.safetensors"
    before = place.stat().st_mtime_ns
    assert cli.run([*arguments, "-q"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'index.html'}\n"
    assert place.stat().st_mtime_ns == before


@pytest.mark.long
def test_what_does_not_fit_into_the_time_is_left_out_and_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine where an update takes a second for each seed, two minutes hold few transfers."""
    settings = demo.read_preset("simple-maze-demo").with_overrides(["transfer.updates=20"])
    monkeypatch.setattr(demo, "seconds_an_update", lambda run, members: 1.0 * members)
    monkeypatch.setattr(demo, "TRANSFER_SEEDS", (0, 1, 2, 3))
    words: list[str] = []
    made = demo.Demo(tmp_path, settings, ONE_RATE, (), 1.3, 1, False, words.append, _silent)
    base = open_subject(shipped("base")).path
    done = made._transfers(Path(base), "the shipped base", tmp_path / "transfers", 78.0)
    assert [t.name for t in done[0].transfers] == ["transfer 0", "transfer 1"]
    assert len(made.left_out) == 1
    assert made.left_out[0].startswith("2 of 4 transfers of the shipped base are not trained")
    assert "`diag demo --minutes 3`" in made.left_out[0]


@pytest.mark.long
def test_a_training_that_turns_out_slow_is_stopped_kept_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = demo.read_preset("simple-maze-demo").with_overrides(["transfer.updates=200"])
    monkeypatch.setattr(demo, "seconds_an_update", lambda run, members: 0.0)
    monkeypatch.setattr(demo, "TRANSFER_SEEDS", (0,))
    words: list[str] = []
    made = demo.Demo(tmp_path, settings, ONE_RATE, (), 0.5, 1, False, words.append, _silent)
    place = tmp_path / "transfers"
    ticks = itertools.count()
    with monkeypatch.context() as slow:
        slow.setattr(demo, "monotonic", lambda: float(next(ticks)))  # every look at the clock costs a second
        assert made._transfers(shipped("base"), "the shipped base", place, demo.FINISH + 10) == []
    assert "were stopped when their time was up" in made.left_out[0]
    assert read(place / "seed0.safetensors").header.step < 200
    again = demo.Demo(tmp_path, settings, ONE_RATE, (), 9.0, 1, False, words.append, _silent)
    done = again._transfers(shipped("base"), "the shipped base", place, 300.0)
    assert len(done) == 1
    assert read(place / "seed0.safetensors").header.step == 200
