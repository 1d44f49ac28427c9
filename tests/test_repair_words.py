"""What a repair says beside what it did: updates trained, maps taken, and whole sentences."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diag
from diag.commands import app as cli
from diag.outputs.registry import text
from diag.outputs.repair_text import facts
from diag.repairs.asked import RepairError
from diag.repairs.fits import Fit
from diag.repairs.result import Repair, Stage, Training
from diag.repairs.search import Candidate, Search
from diag.repairs.verdict import verdict_of, writes
from diag.result import Verdict
from diag.subject import SubjectError
from probes import Map, Measure, Relation
from tests.conftest import EXAMPLES
from trainers import checkpoint as files

BASE, BENT = (EXAMPLES / f"{name}.safetensors" for name in ("base", "mirrored"))
BUDGET = 30_000
RELATIONS: tuple[Relation | None, ...] = ("matched", "flipped", "affine", "rotated", "collapsed", None)
DOUBLED = re.compile(r"\b([a-zA-Z]+) \1\b")
"""``trained on on the task's losses``."""


@pytest.fixture(scope="module")
def mended() -> Repair:
    """A repair of arrays, whose parts others are made from."""
    y = np.random.default_rng(0).normal(size=(40, 2)) * [1.0, 0.5]
    return diag.repair(y, y * [1.0, -1.0])


numbers = st.floats(0, 1).map(lambda v: round(v, 3))


@st.composite
def cases(
    draw: st.DrawFn,
) -> tuple[Relation | None, float, float, Fit | None, Search | None, Training | None]:
    """What a repair can have done: a map or a search, and training or none, with any outcome."""
    unpaired, trained = draw(st.booleans()), draw(st.booleans())
    own = draw(st.integers(1, 2000))
    search = chosen = training = None
    if unpaired:
        others = draw(st.integers(1, 3000))
        candidates = (
            Candidate("negated: 1", 0.2, 0.1, own, True),
            Candidate("as it is", 0.2, 0.2, others, True),
        )
        margin = Measure(0.02, 0.01, 0.03)
        flags = draw(st.booleans()), draw(st.booleans())
        search = Search("permutations", 8, candidates, margin, 0.1, own + others, *flags)
        training = Training("task", own + others, BUDGET, own)
    else:
        r2 = draw(numbers)
        chosen = Fit("signs", "map", Measure(r2, r2 - 0.1, r2 + 0.1), Map())
        if trained:
            training = Training(draw(st.sampled_from(("paired", "task"))), own, BUDGET, own)
    return draw(st.sampled_from(RELATIONS)), draw(numbers), draw(numbers), chosen, search, training


@given(case=cases(), force=st.booleans())
def test_the_verdict_says_what_was_done_and_no_more(
    mended: Repair,
    case: tuple[Relation | None, float, float, Fit | None, Search | None, Training | None],
    force: bool,
) -> None:
    relation, before, after, chosen, search, training = case
    made = replace(mended.before.comparison, verdict=Verdict("pass", "", relation))
    first = replace(mended.before, r2=before)
    last = Stage("trained" if training else "folded", made, after, {}, training.own if training else 0)
    verdict = verdict_of(first, last, chosen, search, training, force)
    words = verdict.summary
    assert DOUBLED.search(words) is None
    assert " by and " not in words
    assert "part and" not in words
    assert words.endswith(".")
    assert "\n" not in words
    assert ("not written" in words) == (not writes(verdict, force))
    told = [int(n.replace(",", "")) for n in re.findall(r"([\d,]+) updates? of training", words)]
    assert told in ([], [training.own if training is not None else None])
    if verdict.status in ("pass", "warn"):
        assert f"R² {after:.2f} ({before:.2f} before)" in words
        assert len(told) == (training is not None)
        assert ("a map chosen without pairs (negated: 1)" in words) == (search is not None)
        assert ("by signs" in words) == (chosen is not None)
    if verdict.status == "warn":  # advises what was not done
        assert ("train on with --train" in words) == (training is None)
    shown = facts(replace(mended, chosen=chosen, search=search, training=training, few=None))
    assert all(DOUBLED.search(line) is None for line in shown)
    trained = [line for line in shown if line.startswith("trained ")]
    assert len(trained) == (training is not None)
    if training is not None:
        assert re.search(rf" for {training.updates:,} updates? \({training.share:.1%} of", trained[0])
        with_pairs = "trained with the pairs" in trained[0]
        assert with_pairs == (training.mode == "paired")
        assert (f"divided among 2 maps: {training.own:,} of them" in trained[0]) == (search is not None)


@pytest.mark.parametrize("how", ["permutations", "gradient"])
@pytest.mark.parametrize("train", [0, "0", "0%"])
def test_nothing_is_trained_unless_it_is_asked_for(how: str, train: int | str, tmp_path: Path) -> None:
    out = tmp_path / "mended.safetensors"
    with pytest.raises(RepairError, match=r"found --unpaired without --train: .* expected --train 5%"):
        diag.repair(BASE, BENT, out=out, unpaired=how, train=train)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    found = diag.repair(BASE, BENT, train=train)
    assert found.training is None
    assert [s.updates for s in found.stages] == [0, 0]
    assert "trained" not in text(found).replace("trained on with", "")


def test_fewer_updates_than_one_are_none() -> None:
    with pytest.raises(RepairError, match=r"--train 0\.001%: found less than one of 30,000 updates"):
        diag.repair(BASE, BENT, train="0.001%")


def test_fewer_updates_than_maps_are_refused() -> None:
    """One each would be more than was asked for."""
    with pytest.raises(SubjectError, match="found 9 updates to train on from 8 maps; expected --train 10"):
        diag.repair(BASE, BENT, unpaired="permutations", train=9)


@pytest.mark.long
def test_a_search_says_its_own_updates_and_those_of_all_maps(tmp_path: Path) -> None:
    out = tmp_path / "mended.safetensors"
    found = diag.repair(BASE, BENT, unpaired="permutations", train=10, force=True, out=out)
    assert found.search is not None
    assert found.training is not None
    assert sum(c.updates for c in found.search.candidates) == found.training.updates == 10
    assert found.after.updates == found.training.own == found.search.candidates[0].updates == 2
    assert files.read(out).header.metrics["repair"]["updates"] == 2
    shown = " ".join(text(found).split())
    assert (
        "trained on the task's losses for 10 updates (0.0% of the transfer's 30,000), divided among 8 maps"
        in (shown)
    )
    assert DOUBLED.search(shown.replace("before before", "")) is None


def test_arrays_are_mended_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--train`` is "0" there, and asks for nothing."""
    y = np.random.default_rng(0).normal(size=(40, 2)) * [1.0, 0.5]
    np.save(tmp_path / "base.npy", y)
    np.save(tmp_path / "t.npy", y * [1.0, -1.0])
    out = tmp_path / "out.npy"
    command = ["repair", str(tmp_path / "base.npy"), str(tmp_path / "t.npy"), "-o", str(out)]
    assert cli.run(command) == 0
    assert capsys.readouterr().out.startswith("PASS  Mended by signs: R² 1.00")
    assert np.allclose(np.load(out), y)
    assert cli.run([*command, "--overwrite", "--train", "5%"]) == 2
    assert "embeddings without an encoder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--unpaired", "permutations", "--train", "10"],
            "nothing was written, and the same command begins anew",
        ),
        ([], "nothing was written, and the same command begins anew"),
        (["--train", "10"], "nothing is written yet, and the same command goes on with what is trained"),
    ],
)
def test_being_stopped_promises_no_more_than_is_kept(
    options: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("diag.repairs.repair.repair", stopped)
    command = ["repair", str(BASE), str(BENT), "-o", str(tmp_path / "out.safetensors"), *options]
    assert cli.run(command) == 130
    assert f"stopped; {words}\n" in capsys.readouterr().err
