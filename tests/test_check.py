"""The gate: what becomes of what its checks answer, and the exit status."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diag
from diag.checks import CheckError
from diag.checks.config import Config, with_settings
from diag.checks.judging import Found, State
from diag.checks.result import Checked, Finding, Gate
from diag.checks.run import DRAWN, thinned
from diag.checks.settings import Checks
from diag.checks.settling import settled
from diag.checks.written import text as written
from diag.subject import SubjectError
from tests.conftest import EXAMPLES
from tests.gated import CHECKS, EPISODES, EQUALS, embedded, near, of, only, played, said, states
from trainers.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def both() -> Gate:
    """The examples by the defaults: a transfer that landed, and one that is mirrored."""
    return diag.check(*(EXAMPLES / f"{n}.safetensors" for n in ("base", "matched", "mirrored")))


def test_the_examples(both: Gate) -> None:
    assert [c.outcome for c in both.checked] == ["pass", "fail"]
    assert (both.outcome, both.exit_status) == ("fail", 1)
    assert both.summary == "Of 2 transfers 1 failed, 1 passed."
    outcomes = {f.name: f.outcome for f in both.checked[1].findings}
    failed = {name for name, outcome in outcomes.items() if outcome == "fail"}
    assert failed == {"relation", "r2", "l2"}
    warned = {name for name, outcome in outcomes.items() if outcome == "warn"}
    assert warned == {"states", "cka", "probe[column]"}
    assert outcomes["loss_ratio[total]"] == "pass"  # small losses do not give it away
    relation = said(both, "relation", 1)
    assert relation.word == "flipped"
    assert relation.message.startswith("Flipped: the base's embedding with axis 1 negated")
    assert "0 of 31 states lie nearest" in said(both, "states", 1).message


def test_findings_stand_in_the_order_of_the_settings(both: Gate) -> None:
    for checked in both.checked:
        order = [CHECKS.index(f.check) for f in checked.findings]
        assert order == sorted(order)
        assert {CHECKS[number] for number in order} == set(CHECKS) - {"layers"}  # off unless asked for
        names = [f.name for f in checked.findings]
        assert len(names) == len(set(names))


def test_the_whole_result_is_json(both: Gate) -> None:
    tree = json.loads(json.dumps(both.to_tree(), allow_nan=False))
    assert (tree["outcome"], tree["exit_status"]) == ("fail", 1)
    assert tree["settings"]["check"]["r2"]["min"] == 0.8
    worst = tree["checked"][1]["findings"][1]
    set_in = {"file": None, "line": None, "origin": "default"}
    assert worst["threshold"] == {"name": "check.r2.min", "value": 0.8, **set_in}
    assert worst["measure"]["high"] < 0.8


def test_every_number_that_fails_has_an_interval(both: Gate) -> None:
    for checked in both.checked:
        for finding in checked.findings:
            if finding.measure is not None and finding.name not in ("states", "collapse[rank]"):
                assert finding.measure.low is not None, finding.name


def twice(gate: Gate) -> list[Any]:
    return [{**c.to_tree(), "seconds": 0} for c in gate.checked]


def test_the_same_gate_twice_says_the_same() -> None:
    y = states(60)
    one, again, other = (
        diag.check(embedded(y, "base"), embedded(near(y), "t"), config={"seed": seed}) for seed in (3, 3, 4)
    )
    assert twice(one) == twice(again)
    assert [said(gate, "r2").measure != said(one, "r2").measure for gate in (again, other)] == [False, True]


@pytest.mark.parametrize("level", ["error", "warn"])
@pytest.mark.parametrize("on", [None, "pass", "warn", "fail"])
@pytest.mark.parametrize("state", ["good", "odd", "bad", "unsure", "absent", "idle"])
@pytest.mark.parametrize("asked", [True, False])
def test_what_becomes_of_what_was_found(level: str, on: str | None, state: State, asked: bool) -> None:
    """Level, on_inconclusive, --strict and a wish of the configuration, each with each."""
    config = with_settings(Config(), {"check.cka.level": level, "check.cka.on_inconclusive": on})
    config = replace(config, given=frozenset({"cka"} if asked else ()))
    found = settled(Found("cka", state, "it is so"), config)
    unsure = state == "unsure" or (state == "absent" and asked)
    expected = {"good": "pass", "odd": "warn", "bad": "fail", "absent": "skipped", "idle": "skipped"}.get(
        state
    )
    if unsure:
        expected = on or "inconclusive"
    if state == "absent" and asked and level == "warn":
        expected = "warn"
    if level == "warn" and expected == "fail":
        expected = "warn"
    assert (found.outcome, found.level) == (expected, level)
    assert found.message.startswith("asked for, but ") == (state == "absent" and asked)
    good = Finding("r2", "pass", "fine")
    for strict in (False, True):
        gate = Gate((Checked("a", "b", (good, found)),), strict)
        status = {"fail": 1, "inconclusive": 4 if strict and level == "error" else 0}.get(found.outcome, 0)
        assert gate.exit_status == status


@pytest.mark.parametrize(
    ("outcomes", "outcome", "status", "strict"),
    [
        (["pass"], "pass", 0, 0),
        (["pass", "warn"], "warn", 0, 0),
        (["warn", "inconclusive"], "inconclusive", 0, 4),
        (["fail", "inconclusive"], "fail", 1, 1),
        (["pass", "skipped"], "error", 2, 2),
        (["skipped"], "error", 2, 2),
        (["fail", "error"], "error", 2, 2),
        ([], "error", 2, 2),
    ],
)
def test_the_exit_status_is_of_the_worst(outcomes: list[str], outcome: str, status: int, strict: int) -> None:
    pairs = [
        Checked("a", "b", error="no file")
        if o == "error"
        else Checked("a", "b", (Finding("r2", o, ""), Finding("l2", "skipped", "")))  # type: ignore[arg-type]
        for o in outcomes
    ]
    gates = [Gate(tuple(pairs), strict) for strict in (False, True)]
    assert [g.outcome for g in gates] == [outcome] * 2
    assert [g.exit_status for g in gates] == [status, strict]


def test_what_only_warn_checks_could_not_tell_is_no_pass() -> None:
    """Nothing was found out; beside anything that was, it does not count."""
    unsure = Finding("cka", "inconclusive", "", level="warn")
    assert Checked("a", "b", (unsure, Finding("l2", "skipped", ""))).outcome == "inconclusive"
    assert Checked("a", "b", (unsure, Finding("l2", "pass", ""))).outcome == "pass"


@pytest.mark.parametrize(
    ("allow", "state"), [(["matched"], "fail"), (["matched", "flipped"], "inconclusive")]
)
def test_not_matched_and_more_is_not_known(both: Gate, allow: list[str], state: str) -> None:
    """Surely not matched is a failure where nothing else is allowed, and else it may be what is."""
    result = both.checked[1].comparison
    assert result is not None
    lost = replace(result, verdict=replace(result.verdict, relation=None, axes=(), status="fail"))
    config = with_settings(Config(), {"check.relation.allow": allow})
    [found] = config.settings.check.relation.of(lost)
    assert settled(found, config).outcome == state


def test_what_is_off_does_not_look() -> None:
    y = states(40)
    pair = embedded(y, "base"), embedded(near(y), "t")
    assert set(of(diag.check(*pair, config=only("l2")))) == {"l2"}
    gate = diag.check(*pair, config=only())
    assert (gate.outcome, gate.exit_status, gate.checked[0].findings) == ("error", 2, ())


def test_no_check_that_can_be_run_is_no_pass() -> None:
    gate = diag.check(
        played([1.0, 2.0], "a.npz"), played([1.0, 2.0], "b.npz"), config=only("r2", "loss_ratio")
    )
    assert (gate.outcome, gate.exit_status) == ("error", 2)
    assert "no pass" in gate.summary


def test_what_is_asked_for_and_cannot_be_run_is_not_passed() -> None:
    assert of(diag.check(*EQUALS))["r2"] == "skipped"
    asked = {"check.r2.min": 0.9}
    gate = diag.check(*EQUALS, config=asked)
    assert said(gate, "r2").message == "asked for, but the files hold no embeddings"
    assert (gate.outcome, gate.exit_status) == ("inconclusive", 0)
    assert diag.check(*EQUALS, config=asked, strict=True).exit_status == 4
    assert diag.check(*EQUALS, config={"check.r2.on_inconclusive": "fail"}).exit_status == 1
    passed = asked | {"check.r2.on_inconclusive": "pass"}
    assert diag.check(*EQUALS, config=passed, strict=True).outcome == "pass"


def test_the_written_defaults_change_nothing(tmp_path: Path) -> None:
    """Though every check is named there."""
    (tmp_path / "diag.toml").write_text(written())
    with_file, without = diag.check(*EQUALS, config=tmp_path / "diag.toml"), diag.check(*EQUALS)
    assert of(with_file) == of(without)
    limit = said(with_file, "returns").threshold
    assert limit is not None
    assert limit.line is not None
    assert (tmp_path / "diag.toml").read_text().splitlines()[limit.line - 1] == "margin = 0.1"


def broken(folder: Path, examples: Path) -> dict[str, Path]:
    """Transfers that cannot be used, by what is wrong with them."""
    good = (examples / "matched.safetensors").read_bytes()
    found = {name: folder / f"{name}.npy" for name in ("absent", "folder", "x" * 300)}
    found["folder"].mkdir()
    for name, content in {
        "short.safetensors": good[: len(good) // 2],
        "text.npy": b"no array",
        "pickle.npy": b"\x80\x04N.",
        "empty.safetensors": b"",
    }.items():
        found[name] = folder / name
        found[name].write_bytes(content)
    found["link"] = folder / "link.npy"
    found["link"].symlink_to("link.npy")
    np.save(folder / "rows.npy", states(39))
    np.save(folder / "nan.npy", np.full((40, 3), np.nan))
    np.save(folder / "one.npy", np.ones((40, 0)))
    return found | {name: folder / f"{name}.npy" for name in ("rows", "nan", "one")}


def test_a_transfer_that_cannot_be_used_does_not_stop_the_others(tmp_path: Path, examples: Path) -> None:
    y = states(40)
    wrong = list(broken(tmp_path, examples).values())
    seen: list[tuple[int, int]] = []
    gate = diag.check(
        embedded(y, "base"),
        *wrong,
        embedded(near(y), "fine"),
        embedded(-y, "mirrored"),
        config=only("r2"),
        progress=lambda done, of: seen.append((done, of)),
    )
    assert [c.outcome for c in gate.checked[-2:]] == ["pass", "fail"]
    for checked, path in zip(gate.checked, wrong, strict=False):
        assert checked.error is not None
        assert checked.error.startswith(str(path))
        assert "\n" not in checked.error
    assert len(gate.errors) == len(wrong)
    assert (gate.outcome, gate.exit_status) == ("error", 2)
    assert "could not be checked" in gate.summary
    assert seen == [(n, len(wrong) + 2) for n in range(len(wrong) + 3)]


def test_a_base_that_cannot_be_used_is_an_error(tmp_path: Path, examples: Path) -> None:
    for path in broken(tmp_path, examples).values():
        if path.stem not in ("rows", "nan"):
            with pytest.raises((SubjectError, CheckpointError, OSError)):
                diag.check(path, examples / "matched.safetensors")


@pytest.mark.parametrize("config", [None, only("returns")])
def test_the_base_is_no_transfer_of_itself(tmp_path: Path, config: dict[str, Any] | None) -> None:
    """Under no name, and whatever is looked at."""
    np.savez(tmp_path / "base.npz", embeddings=states(40), returns=np.arange(9.0))
    (tmp_path / "link.npz").symlink_to(tmp_path / "base.npz")
    (tmp_path / "hard.npz").hardlink_to(tmp_path / "base.npz")
    base = tmp_path / "base.npz"
    gate = diag.check(
        base, base, tmp_path / "link.npz", tmp_path / ".." / tmp_path.name / "hard.npz", config=config
    )
    assert [c.error is not None and "found the base itself" in c.error for c in gate.checked] == [True] * 3
    subject = embedded(states(40), "here")
    assert "the base itself" in str(diag.check(subject, subject, config=config).checked[0].error)


def test_a_copy_of_the_base_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "base.npy", states(40))
    shutil.copy(tmp_path / "base.npy", tmp_path / "copy.npy")
    [checked] = diag.check(tmp_path / "base.npy", tmp_path / "copy.npy").checked
    assert "equal byte for byte" in checked.warnings[0]


def test_an_unfrozen_transfer_whose_place_cannot_be_told(both: Gate) -> None:
    result = both.checked[1].comparison
    assert result is not None
    lost = replace(result.verdict, relation=None, axes=(), status="inconclusive")
    [found] = Checks().relation.of(replace(result, frozen=(), verdict=lost))
    assert (found.state, "nothing frozen reads the embedding" in found.message) == ("good", True)


def test_a_gate_keeps_of_a_large_embedding_what_a_picture_needs(both: Gate) -> None:
    result = both.checked[1].comparison
    assert result is not None
    assert thinned(result) is result
    many = {name: np.repeat(values, 5000, 0) for name, values in result.picture.variables.items()}
    large = replace(
        result.picture, base=np.zeros((155_000, 2)), transfer=np.ones((155_000, 2)), variables=many
    )
    seen = np.zeros((155_000, 3), np.uint8), np.ones((155_000, 3), np.uint8)
    predictions = np.zeros((155_000, 4, 2))
    large = replace(large, base_predictions=predictions, transfer_predictions=None, observed=seen)
    few = thinned(replace(result, picture=large)).picture
    assert few.base.shape == few.transfer.shape == (DRAWN // 2, 2)
    assert few.base_predictions is not None
    assert {len(few.base_predictions), *map(len, few.variables.values())} == {DRAWN // 2}
    assert few.observed is not None
    assert few.observed[1].shape == (DRAWN // 2, 3)
    assert few.base.base is None  # the rest is let go


def test_settings_by_name_or_from_a_file(tmp_path: Path) -> None:
    worse = EQUALS[0], played(EPISODES - 3, "t.npz")
    place = tmp_path / "gate.toml"
    place.write_text("[check.returns]\nlevel = 'warn'\nmargin = 0.2\n")
    gate = diag.check(*worse, config=place, strict=True)
    assert (gate.config, gate.strict, gate.outcome) == (str(place), True, "warn")
    limit = said(gate, "returns").threshold
    assert limit is not None
    assert (limit.value, limit.file, limit.line) == (0.2, str(place), 3)
    assert diag.check(*worse, config={"check.returns.margin": 0.5}).outcome == "pass"
    with pytest.raises(CheckError, match=r"did you mean 'check\.returns\.margin'"):
        diag.check(*worse, config={"check.returns.margins": 0.5})
    with pytest.raises(CheckError, match="no such file"):
        diag.check(*worse, config=tmp_path / "absent.toml")
