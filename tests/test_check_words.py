"""What the gate's outputs say beside what it found: the same words everywhere, none that contradict it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import diag
from diag.checks import config as configs
from diag.checks.judging import Found, judged
from diag.checks.kind import Check
from diag.checks.result import Checked, Finding, Gate, Level, Origin, Outcome, Threshold
from diag.checks.settings import Checks
from diag.checks.settling import settled
from diag.commands import app as cli
from diag.outputs import check_github, check_junit, check_sarif, check_text
from diag.outputs.check_words import bad, not_checked, outcome, place, setting_value, status_words, told
from diag.outputs.registry import html
from probes import Measure
from tests.gated import near, said, small, states
from tests.gates import NOTHING, UNREAD, checked, finding, gate

CHECKS = ("r2", "l2", "cka", "probe")
ORIGINS: tuple[Origin, ...] = ("default", "world", "command", "call")
RENDERERS: Mapping[str, Callable[[Gate], str]] = {
    "text": check_text.render,
    "page": html,
    "JUnit": check_junit.render,
    "SARIF": check_sarif.render,
    "GitHub": check_github.step_summary,
}


@st.composite
def _findings(draw: st.DrawFn, check: str) -> Finding:
    outcomes: tuple[Outcome, ...] = ("pass", "warn", "fail", "inconclusive", "skipped")
    outcome = draw(st.sampled_from(outcomes))
    if outcome == "skipped":
        why = draw(st.sampled_from(("no data", "no losses", "finished")))
        return finding(check, "skipped", f"{check} has {why}", measure=None, limit=None)
    own = Threshold(f"check.{check}.min", 0.8, origin=draw(st.sampled_from(ORIGINS)))
    if draw(st.booleans()):
        own = replace(own, file="diag.toml", line=draw(st.integers(1, 99)))
    value = draw(st.floats(-1, 1))
    words = f"{check} is {value:.3g}; wanted at least 0.8"
    levels: tuple[Level, ...] = ("error", "warn")
    level = draw(st.sampled_from(levels))
    made = finding(check, outcome, words, measure=Measure(value), level=level)
    return replace(made, threshold=own)


@st.composite
def gates(draw: st.DrawFn) -> Gate:
    """Gates over one to five transfers, whose checks end in whatever way, under any option."""
    pairs: list[Checked] = []
    for number in range(draw(st.integers(1, 5))):
        own = draw(st.lists(st.sampled_from(CHECKS), min_size=1, unique=True))
        pairs.append(checked(f"t{number}.npy", *(draw(_findings(check)) for check in own)))
    held = draw(st.sampled_from((None, "--exit-zero", "--write-baseline")))
    return gate(*pairs, strict=draw(st.booleans()), held_by=held)


@given(gates())
def test_what_failed_of_a_transfer_is_not_among_what_was_not_checked_of_it(result: Gate) -> None:
    """And all that is left out is there, with its transfer and its reason."""
    looked = [c for c in result.checked if outcome(c) != "error"]
    lines = not_checked(result)
    left_out = {(c.transfer, f.name, f.message) for c in looked for f in c.findings if f.outcome == "skipped"}
    told_of = set()
    for line in lines:
        head, _, why = line.partition(": ")
        name, _, of = head.partition(" of ")
        named, _, more = of.partition(" and ")
        transfers = named.split(", ") if of else [c.transfer for c in looked]
        assert {(t, name, why) for t in transfers} <= left_out
        told_of |= {(t, name, why) for t in transfers}
        if more:  # the rest is counted
            assert int(more.removesuffix(" more")) == len([x for x in left_out if x[1:] == (name, why)]) - 3
            told_of |= {x for x in left_out if x[1:] == (name, why)}
    assert told_of == left_out


@given(gates())
def test_every_output_says_the_same_of_a_limit(result: Gate) -> None:
    """Text, page, JSON, JUnit, SARIF and GitHub: what was held to, and where it comes from."""
    junit = ET.fromstring(check_junit.render(result))
    sarif = json.loads(check_sarif.render(result))["runs"][0]["results"]
    text, summary = (" ".join(r(result).split()) for r in (check_text.render, check_github.step_summary))
    tree = result.to_tree()
    for pair, suite, written in zip(result.checked, junit, tree["checked"], strict=True):
        cases = [case for case in suite if case.tag == "testcase"]
        for one, case, kept in zip(pair.findings, cases, written["findings"], strict=False):
            own = one.threshold
            if own is None:
                continue
            details = "".join(case.itertext())
            assert f"limit: {own.name} = {setting_value(own.value)} ({place(own)})" in details
            assert kept["threshold"]["value"] == own.value
            assert kept["threshold"]["origin"] == ("file" if own.file is not None else own.origin)
            if one in bad(pair) and outcome(pair) != "error":
                assert told(one) in text
                assert check_github._cell(told(one)) in summary
    limits = [r["properties"]["limit"] for r in sarif if "limit" in r["properties"]]
    every = [f for c in result.checked for f in bad(c) if f.threshold is not None]
    assert sorted(limits) == sorted(
        f"{f.threshold.name} = {f.threshold.value} ({place(f.threshold)})" for f in every if f.threshold
    )


@given(gates())
def test_every_output_says_the_status_that_the_command_ends_with(result: Gate) -> None:
    assert result.exit_status == (0 if result.is_held else result.own_status)
    assert result.is_held == (result.held_by is not None and result.own_status in (1, 4))
    assert result.to_tree()["exit_status"] == result.exit_status
    run = json.loads(check_sarif.render(result))["runs"][0]["invocations"][0]
    assert (run["exitCode"], run["exitCodeDescription"]) == (result.exit_status, status_words(result))
    summary = check_github.step_summary(result)
    assert f"xit status {result.exit_status}" in summary
    if result.is_held:
        assert f"it would be {result.own_status}" in status_words(result)
        for name, render in RENDERERS.items():
            if name != "page":  # it takes a tenth of a second: below
                shown = " ".join(render(result).split())
                assert status_words(result).removeprefix("exit status ") in shown, name
        assert status_words(result) in check_text.brief(result)
        assert "held there by" in check_github.annotations(result)
    else:
        assert "held there" not in check_text.render(result) + check_junit.render(result)


@pytest.mark.parametrize("held", [None, "--exit-zero"])
def test_the_page_says_it_too(held: str | None) -> None:
    page = html(gate(checked("t.npy", finding()), held_by=held))
    assert ("0, held there by --exit-zero; it would be 1" in page) == (held is not None)


def test_a_fault_is_never_held_at_zero() -> None:
    """What could not be checked exits with 2, whatever the options."""
    for pair in (UNREAD, NOTHING):
        result = gate(pair, held_by="--exit-zero")
        assert (result.exit_status, result.is_held) == (2, False)


def test_a_check_that_looks_at_one_transfer_is_left_out_of_the_other_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    y = states(60)
    for name, array in (("base", y), ("flipped", y * [1, -1, 1]), ("narrow", near(y)[:, :2])):
        np.save(f"{name}.npy", array)
    assert cli.run(["check", "base.npy", "flipped.npy", "narrow.npy"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "fail l2: the relative L2 distance is" in shown
    words = "l2 of narrow.npy: the base's embedding has 3 dimensions, and the transfer's has 2"
    assert f"not checked: {words}" in shown
    assert "not checked: returns: the transfer has no returns" in shown
    assert "--verbose says why" not in shown


def test_a_world_s_own_number_is_the_same_in_text_and_page(examples: Path) -> None:
    result = diag.check(examples / "base.safetensors", examples / "mirrored.safetensors")
    own = said(result, "states").threshold
    assert own is not None
    assert (own.value, own.origin) == (29, "world")
    shown = " ".join(check_text.render(result).split())
    assert "at least 29 wanted (the world's own number; check.states.min is unset)" in shown
    for name in ("page", "JUnit"):
        words = unescape(RENDERERS[name](result))
        assert "check.states.min = 29" in words
        assert "the world's own number" in words, name
        assert "unset" not in words.replace("check.states.min is unset", ""), name
    asked = diag.check(
        examples / "base.safetensors", examples / "mirrored.safetensors", config={"check.states.min": 20}
    )
    own = said(asked, "states").threshold
    assert own is not None
    assert (own.value, own.origin) == (20, "call")
    assert "(check.states.min, set in the call)" in " ".join(check_text.render(asked).split())


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (configs.Config(), "default check.r2.min"),
        (configs.with_settings(configs.Config(), {"check.r2.min": 0.8}), "check.r2.min, set in the call"),
        (
            configs.with_overrides(configs.Config(), ["check.r2.min=0.8"]),
            "check.r2.min, set on the command line",
        ),
    ],
)
def test_a_limit_says_who_set_it_even_to_its_default(config: configs.Config, words: str) -> None:
    found = settled(Found("r2", "bad", "R² is 0.1", limit="min"), config)
    assert told(found) == f"R² is 0.1 ({words})"


def test_limits_that_were_changed_are_not_called_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("base.npy", states(30))
    np.save("t.npy", near(states(30)))
    assert cli.run(["check", "base.npy", "t.npy", "-v"]) == 0
    assert "limits: the defaults\n" in capsys.readouterr().out
    command = [
        "check",
        "base.npy",
        "t.npy",
        "-v",
        "--set",
        "check.r2.min=0.9",
        "--strict",
        "--html",
        "h.html",
    ]
    assert cli.run(command) == 0
    words = (
        "the defaults, and check.r2.min = 0.9 (set on the command line); "
        "strict = true (set on the command line)"
    )
    assert f"limits: {words}" in " ".join(capsys.readouterr().out.split())
    assert words in Path("h.html").read_text()
    called = diag.check("base.npy", "t.npy", config={"check.r2.min": 0.9})
    assert "Limits: the defaults, and check.r2.min = 0.9 (set in the call)." in check_github.step_summary(
        called
    ).replace("&#95;", "_")


def test_what_is_set_on_top_of_a_file_is_no_line_of_it(tmp_path: Path) -> None:
    (tmp_path / "diag.toml").write_text("[check.r2]\nmin = 0.9\n")
    config = configs.read(tmp_path / "diag.toml")
    assert config.threshold("check.r2.min").line == 2
    on_top = configs.with_overrides(config, ["check.r2.min=0.7"]).threshold("check.r2.min")
    assert (on_top.file, on_top.origin, on_top.value) == (None, "command", 0.7)
    table = configs.with_settings(config, {"check.loss_ratio.terms": {"a.b": 2.0}})
    assert table.threshold("check.loss_ratio.terms.a.b").origin == "call"
    other = configs.with_settings(table, {"check.loss_ratio.terms": {"c": 3.0}})
    assert set(other.origins) == {"check.loss_ratio.terms", "check.loss_ratio.terms.c"}


@pytest.mark.parametrize("taken", ["pass", "warn", "fail"])
@pytest.mark.parametrize("level", ["error", "warn"])
def test_what_the_data_cannot_tell_says_what_it_counts_as(taken: str, level: str) -> None:
    """A pass or a failure whose words are only "the data cannot tell" would contradict itself."""
    settings = {"check.r2.on_inconclusive": taken, "check.r2.level": level}
    config = configs.with_settings(configs.Config(), settings)
    found = settled(Found("r2", "unsure", "R² is 0.8, and the data cannot tell", limit="min"), config)
    counts = {"pass": "a pass", "warn": "a warning", "fail": "a failure"}[found.outcome]
    assert found.message.endswith(f"; that counts as {counts} (check.r2.on_inconclusive)")
    plain = settled(Found("r2", "unsure", "R² is 0.8", limit="min"), configs.Config())
    assert (plain.outcome, plain.message) == ("inconclusive", "R² is 0.8")


def test_rules_say_defaults_in_the_words_of_a_configuration() -> None:
    """Not in Python's: ``None``, ``('matched',)``, ``True``."""
    every = [finding(name, "fail", f"{name} fails", limit=None) for name in Checks.model_fields]
    run = json.loads(check_sarif.render(gate(checked("t.npy", *every))))["runs"][0]
    helps = [rule["help"]["text"] for rule in run["tool"]["driver"]["rules"]]
    assert len(helps) == len(Checks.model_fields)
    for words in helps:
        assert not any(bad in words for bad in ("None", "True", "False", "('", "default {"))
    assert "check.states.min (default unset)" in "".join(helps)
    assert "check.relation.allow (default matched)" in "".join(helps)
    assert Check.model_fields["level"].description is not None


def test_a_margin_that_is_a_share_says_of_what() -> None:
    """``margin of 2`` beside ``check.returns.margin = 0.1`` would be two limits."""
    from tests.gated import played

    returns = np.array([19.0, 20.0, 21.0] * 30)
    result = diag.check(played(returns, "b"), played(returns - 5, "t"))
    words = said(result, "returns").message
    assert words.endswith("worse by more than the margin of 2 (10% of the reference's mean)")


def test_of_a_generated_gate_the_numbers_in_a_message_are_those_that_were_judged() -> None:
    """A finding of the real checks: outcome, number and limit agree, over noise of every size."""
    rng = np.random.default_rng(0)
    y = states(20)
    for noise in (0.0, 0.3, 0.6, 3.0):
        own = small(y + noise * rng.normal(size=y.shape), {"a": 1.0 + noise})
        result = diag.check(small(y, {"a": 1.0}).subject("b", "source"), own.subject("t", "target"))
        for one in result.checked[0].findings:
            if not _judges_a_number(one):
                continue
            assert one.threshold is not None
            limit, measure = one.threshold.value, one.measure
            assert measure is not None
            ends = [measure.value if end is None else end for end in (measure.low, measure.high)]
            assert all(end is not None for end in ends)
            low, high = (float(end) for end in ends if end is not None)
            good = low >= limit if one.better == "higher" else high <= limit
            wrong = high < limit if one.better == "higher" else low > limit
            assert (one.outcome == "pass") == good, one
            assert one.bad == wrong, one
            assert ("the data cannot tell" in one.message) == (not good and not wrong)
            assert f"{limit:g}" in one.message


@given(
    st.floats(-3, 3),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from((0.0, 0.35, 0.8, 1.0, 2.0, 0.1 + 0.2)),
    st.booleans(),
)
@example(0.7996, 0.0, 0.0, 0.8, True)
@example(0.35000001, 0.00001, 0.0, 0.35, False)
def test_the_numbers_as_they_read_give_the_outcome(
    value: float, below: float, above: float, limit: float, least: bool
) -> None:
    """``R² is 0.8; wanted at least 0.8`` and a failure contradict each other."""
    measure = Measure(value, value - below, value + above)
    sides = (limit, None) if least else (None, limit)
    found = judged("r2", "it", measure, "min", least=sides[0], most=sides[1])
    read = re.fullmatch(
        r"it is (\S+) \[(\S+), (\S+)\]; wanted (at least|at most) ([^,]+)(, and the data cannot tell)?",
        found.message,
    )
    assert read is not None
    low, high, bound = float(read[2]), float(read[3]), float(read[5])
    assert bound == limit
    good, bad = (low >= bound, high < bound) if least else (high <= bound, low > bound)
    assert found.state == ("good" if good else "bad" if bad else "unsure")
    assert (read[6] is not None) == (found.state == "unsure")


def _judges_a_number(one: Finding) -> bool:
    value: Any = None if one.threshold is None else one.threshold.value
    return one.measure is not None and isinstance(value, int | float) and one.check != "states"
