"""An accepted state: what was found once does not fail again, unless it got worse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diag
from diag.checks import CheckError
from diag.checks import baseline as baselines
from diag.checks.baseline import Accepted, Content, Entry, against
from diag.checks.judging import Found, judged
from diag.checks.result import WORST, Finding, Gate, Outcome
from diag.checks.settings import Checks, GateSettings
from diag.outputs import check_text
from diag.subject import Subject
from probes import Measure
from tests.gated import near, played, said, states

RELATIVE = {"check.returns.relative": False, "check.returns.margin": 1.0}
RETURNS = np.array([9.0, 10.0, 11.0] * 30)


def gate(*shifts: float, baseline: Path | None = None, **config: Any) -> Gate:
    """A base, and transfers whose returns are shifted by so much; the margin is 1."""
    transfers = [played(RETURNS + shift, f"t{i}.npz") for i, shift in enumerate(shifts)]
    settings = RELATIVE | {name.replace("__", "."): value for name, value in config.items()}
    return diag.check(played(RETURNS, "base.npz"), *transfers, config=settings, baseline=baseline)


@pytest.fixture
def accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of a transfer that is worse by 3, accepted."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "accepted.json"
    place.write_text(baselines.text(gate(-3.0), place))
    return place


def outcomes(found: Gate) -> list[str]:
    return [c.outcome for c in found.checked]


def test_what_was_accepted_does_not_fail_again(accepted: Path) -> None:
    assert gate(-3.0).outcome == "fail"
    again = gate(-3.0, -3.0, baseline=accepted)
    assert outcomes(again) == ["pass", "fail"]  # the second is no accepted one
    finding = said(again, "returns")
    assert (finding.accepted, finding.outcome, finding.before_baseline) == (True, "pass", "fail")
    assert finding.message.endswith("; accepted by the baseline")
    assert again.baseline == str(accepted)


@pytest.mark.parametrize(
    ("shift", "outcome", "accepted_now"),
    [
        (-3.1, "pass", True),
        (-2.0, "pass", True),
        (-4.0, "fail", False),
        (0.0, "pass", False),
        (5.0, "pass", False),
        (-1.0, "pass", True),
    ],
)
def test_as_long_as_it_is_no_worse(accepted: Path, shift: float, outcome: str, accepted_now: bool) -> None:
    found = gate(shift, baseline=accepted)
    finding = said(found, "returns")
    assert (found.outcome, finding.accepted) == (outcome, accepted_now)


@pytest.mark.parametrize(("level", "expected"), [("error", "fail"), ("warn", "warn"), ("off", "pass")])
def test_what_got_worse_is_told_within_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b.json").write_text(baselines.text(gate(5.0), "b.json"))
    found = gate(0.0, baseline=Path("b.json"), worse_than_baseline=level)
    assert found.outcome == expected
    finding = said(found, "returns")
    assert ("worse than the baseline's 5 [4.76, 5.24]" in finding.message) == (level != "off")
    assert gate(4.9, baseline=Path("b.json"), worse_than_baseline=level).outcome == "pass"


def test_written_anew_it_accepts_the_same(accepted: Path) -> None:
    """Also what passes now because it was accepted."""
    again = gate(-3.0, baseline=accepted)
    text = baselines.text(again, accepted)
    assert text == accepted.read_text()
    accepted.write_text(text)
    assert gate(-3.0, baseline=accepted).outcome == "pass"


def test_the_same_gate_gives_the_same_bytes(accepted: Path) -> None:
    assert baselines.text(gate(-3.0), accepted) == accepted.read_text()
    assert json.loads(accepted.read_text())["format"] == 1


def test_transfers_are_named_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a repository may be cloned elsewhere, and the gate run from any folder of it."""
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "runs").mkdir(parents=True)
    (old / "ci").mkdir()
    np.savez(old / "base.npz", returns=RETURNS)
    np.savez(old / "runs" / "t.npz", returns=RETURNS - 3)
    monkeypatch.chdir(old)
    found = diag.check("base.npz", "runs/t.npz", config=RELATIVE)
    Path("ci/accepted.json").write_text(baselines.text(found, "ci/accepted.json"))
    assert "../runs/t.npz" in Path("ci/accepted.json").read_text()
    monkeypatch.chdir(tmp_path)
    old.rename(new)
    monkeypatch.chdir(new / "runs")
    again = diag.check("../base.npz", "t.npz", config=RELATIVE, baseline="../ci/accepted.json")
    assert again.outcome == "pass"
    whole = diag.check(
        new / "base.npz", new / "runs" / "t.npz", config=RELATIVE, baseline=new / "ci" / "accepted.json"
    )
    assert whole.outcome == "pass"


def test_a_relation_has_to_be_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    y = states(80)
    alone = {f"check.{name}.level": "off" for name in Checks.model_fields if name != "relation"}
    np.save("base.npy", y)
    np.save("t.npy", near(y * [1, -1, 1]))
    found = diag.check("base.npy", "t.npy", config=alone)
    assert said(found, "relation").word == "flipped"
    Path("b.json").write_text(baselines.text(found, "b.json"))
    assert diag.check("base.npy", "t.npy", config=alone, baseline="b.json").outcome == "pass"
    np.save("t.npy", near(y[:, [1, 0, 2]]))
    again = diag.check("base.npy", "t.npy", config=alone, baseline="b.json")
    assert (again.outcome, said(again, "relation").word) == ("fail", "permuted")
    np.save("t.npy", near(y))
    assert diag.check("base.npy", "t.npy", config=alone, baseline="b.json").outcome == "pass"


def entry(outcome: Outcome, *ends: float, word: str = "") -> Entry:
    value, low, high = ends or (None, None, None)
    return Entry(outcome=outcome, word=word, value=value, low=low, high=high)


def beside(before: Entry, finding: Finding, found: Found, worse: str = "warn") -> Finding:
    accepted = Accepted("b.json", Content(accepted={"t.npy": {finding.name: before}}))
    settings = GateSettings(worse_than_baseline=worse)  # type: ignore[arg-type]
    return against(accepted, "t.npy", found, finding, settings)


RANKS: Sequence[Outcome] = ("fail", "inconclusive", "warn")


@pytest.mark.parametrize("now", RANKS)
@pytest.mark.parametrize("before", [*RANKS, "pass"])
def test_only_what_was_as_bad_is_accepted(before: Outcome, now: Outcome) -> None:
    found = Found("cka", "unsure", "it is so")
    finding = Finding("cka", now, found.message)
    after = beside(entry(before), finding, found)
    assert after.accepted == (WORST.index(before) <= WORST.index(now))
    assert after.outcome == ("pass" if after.accepted else now)


def test_a_number_that_is_lower_the_better_is_worse_above() -> None:
    found = judged("l2", "the distance", Measure(0.3, 0.29, 0.31), "max", most=0.35)
    finding = Finding("l2", "pass", found.message, measure=found.measure, better=found.better)
    assert beside(entry("pass", 0.2, 0.15, 0.25), finding, found).outcome == "warn"
    assert beside(entry("pass", 0.2, 0.15, 0.295), finding, found).outcome == "pass"
    assert beside(entry("pass", 0.5, 0.45, 0.55), finding, found).outcome == "pass"


@pytest.mark.parametrize("ends", [(1.0,), (1.0, 1.0, 1.0), (0.8,), (0.8, 0.7, 0.9), (500.0,)])
def test_another_processor_makes_nothing_worse(ends: tuple[float, ...]) -> None:
    """A score without a width too, whose last digits another processor rounds otherwise."""
    for by, outcome in ((1 - 1e-15, "pass"), (1 - 1e-6, "pass"), (0.5, "warn")):
        found = judged("r2", "R²", Measure(*(by * end for end in ends)), "min", least=0.1)
        finding = Finding("r2", "pass", found.message, measure=found.measure, better=found.better)
        before = entry("pass", *(ends if len(ends) == 3 else 3 * ends))
        assert beside(before, finding, found).outcome == outcome


def test_what_misses_a_limit_by_rounding_meets_it() -> None:
    exact = {"least": 1.0}, {"most": 1.0}
    for limit, value in zip(exact, (1 - 3e-8, 1 + 3e-8), strict=True):
        assert judged("cka", "CKA", Measure(value, value, value), "x", **limit).state == "good"
    for limit, value in zip(exact, (1 - 1e-5, 1 + 1e-5), strict=True):
        assert judged("cka", "CKA", Measure(value, value, value), "x", **limit).state == "bad"


def test_what_a_warn_check_cannot_decide_is_told_where_it_got_worse() -> None:
    found = judged("cka", "CKA", Measure(0.8, 0.75, 0.85), "min", least=0.8)
    finding = Finding("cka", "inconclusive", found.message, level="warn", measure=found.measure)
    assert not finding.counts
    after = beside(entry("pass", 0.95, 0.93, 0.97), finding, found)
    assert (after.outcome, after.counts) == ("warn", True)
    whole = replace(finding, level="error")
    assert beside(entry("pass", 0.95, 0.93, 0.97), whole, found).outcome == "inconclusive"
    assert beside(entry("pass", 0.95, 0.93, 0.97), whole, found, "error").outcome == "fail"


def test_numbers_that_are_none_are_written_as_none(accepted: Path) -> None:
    found = gate(-3.0)
    strange = Measure(float("inf"), float("nan"), None)
    findings = (replace(said(found, "returns"), measure=strange),)
    text = baselines.text(replace(found, checked=(replace(found.checked[0], findings=findings),)), accepted)
    kept = json.loads(text)["accepted"]["t0.npz"]["returns"]
    assert (kept.get("value"), kept.get("low"), kept.get("high")) == (None, None, None)
    assert baselines.read(accepted).content.format == 1


def test_a_state_with_a_transfer_that_could_not_be_checked_is_not_accepted(tmp_path: Path) -> None:
    found = diag.check(played(RETURNS, "base.npz"), tmp_path / "absent.npz")
    with pytest.raises(CheckError, match="found a transfer that could not be checked"):
        baselines.text(found, tmp_path / "b.json")


def test_a_finding_that_has_no_data_any_more_is_left_out(accepted: Path) -> None:
    found = gate(-3.0, check__returns__level="off", baseline=accepted)
    assert found.outcome == "error"  # nothing was checked


def test_a_baseline_knows_its_base(accepted: Path) -> None:
    """What was accepted beside one base says nothing of how a transfer lies to another."""
    assert json.loads(accepted.read_text())["base"] == gate(-3.0).checked[0].refs[0].sha256  # type: ignore[index]
    other = Subject("other.npz", "another", returns=RETURNS + 1)
    transfer = played(RETURNS - 3.0, "t0.npz")
    with pytest.raises(CheckError) as error:
        diag.check(other, transfer, config=RELATIVE, baseline=accepted)
    words = str(error.value)
    assert words.startswith(f"{accepted}: found a baseline that was accepted against another base (sha256 ")
    assert "expected one of other.npz (sha256 another" in words
    assert "--write-baseline with --overwrite" in words
    assert "\n" not in words
    moved = replace(played(RETURNS, "base.npz"), path="elsewhere/base.npz")
    assert diag.check(moved, transfer, config=RELATIVE, baseline=accepted).outcome == "pass"


def test_a_baseline_of_an_older_version_is_taken_with_a_word(accepted: Path) -> None:
    tree = json.loads(accepted.read_text())
    del tree["base"]
    accepted.write_text(json.dumps(tree))
    found = gate(-3.0, baseline=accepted)
    assert found.outcome == "pass"
    assert found.warnings == (
        f"the baseline {accepted} does not say which base it was accepted against: --write-baseline with "
        "--overwrite writes it anew, with its base",
    )
    assert found.warnings[0] in " ".join(check_text.render(found).split())
    accepted.write_text(baselines.text(found, accepted))
    assert gate(-3.0, baseline=accepted).warnings == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found no baseline (Invalid JSON"),
        ("[]", "found no baseline ("),
        ("{}", "found no baseline (accepted: Field required)"),
        ('{"format": 2, "accepted": {}}', "format: Input should be 1"),
        ('{"accepted": {"t": {"r2": {"outcome": "good"}}}}', "accepted.t.r2.outcome: "),
        ('{"accepted": {"t": {"r2": {"outcome": "pass", "value": NaN}}}}', "found no baseline"),
        ('{"accepted": {}, "more": 1}', "more: Extra inputs are not permitted"),
        (b'{"accepted": "\xff"}', "found no baseline (Invalid JSON"),
        ("[" * 100_000, "found no baseline (Invalid JSON"),
        ('{"accepted": {"' + "x" * 10_000 + '": 3}}', "found no baseline (accepted.xxx"),
        (b"\x80\x04pickle", "found no baseline (Invalid JSON"),
    ],
)
def test_a_damaged_baseline_is_one_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    place = tmp_path / "b.json"
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CheckError) as error:
        baselines.read(place)
    told = str(error.value)
    assert words in told
    assert told.endswith("expected a baseline of diag check --write-baseline")
    assert "\n" not in told
    assert len(told) < 500


def test_a_baseline_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="found no such file or directory, expected a baseline"):
        baselines.read(tmp_path / "absent.json")
    with pytest.raises(CheckError, match="found is a directory"):
        baselines.read(tmp_path)
