"""The gate as JUnit XML: a suite a transfer, a case a finding.

It keeps to what Jenkins' ``junit-10.xsd`` allows, the strictest of the schemas in use, so that a limit's
file and line stand in the words and not in attributes. JUnit has no word for "cannot tell": an
inconclusive finding is *skipped*, and an *error* under ``--strict``, where it fails the gate; it is never
a failure, and never a pass. A pair that could not be checked is an error too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from diag.checks.result import Checked, Finding, Gate
from diag.outputs.check_words import fails, limit, outcome, place, reason, status_words
from trainers.safe_text import plain

Ending = Literal["failure", "error", "skipped", "passed"]


@dataclass(frozen=True)
class _Case:
    """A test case: how it ended, in one line, and what more there is to say."""

    name: str
    ending: Ending
    message: str
    kind: str
    details: str = ""


def render(gate: Gate) -> str:
    """The XML document; the same gate gives the same bytes."""
    root = ET.Element("testsuites", {"name": "diag check"})
    suites = [_suite(gate, checked) for checked in gate.checked] or [_nothing(gate)]
    root.extend(suites)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(s.get(name, "0")) for s in suites)))
    root.set("time", _time(sum(c.seconds for c in gate.checked)))
    ET.indent(root)
    # The tree's own declaration names the locale's encoding.
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(gate: Gate, checked: Checked) -> ET.Element:
    return _built(checked.transfer, list(_cases(gate, checked)), checked.seconds, _facts(gate, checked))


def _nothing(gate: Gate) -> ET.Element:
    """The suite of a gate that ran no check, an error: most readers would take an empty file for a pass."""
    return _built("diag check", [_Case("check", "error", gate.summary, "nothing checked")], 0.0, [])


def _cases(gate: Gate, checked: Checked) -> Iterator[_Case]:
    for finding in checked.findings:
        yield _case(gate, checked, finding)
    if outcome(checked) == "error":
        yield _Case("check", "error", reason(checked), "not checked")


def _case(gate: Gate, checked: Checked, finding: Finding) -> _Case:
    ending: Ending = "passed"
    match finding.outcome:
        case "fail":
            ending = "failure"
        case "inconclusive":
            ending = "error" if fails(gate, checked, finding) else "skipped"
        case "skipped":
            ending = "skipped"
    details = [f"{finding.outcome}: {finding.message}"]
    if finding.accepted:
        details.append("accepted by the baseline")
    if finding.threshold is not None:
        details.append(f"limit: {limit(finding.threshold)} ({place(finding.threshold)})")
    kind = f"{finding.check} {finding.outcome}"
    return _Case(finding.name, ending, finding.message, kind, "\n".join(map(plain, details)))


def _built(name: str, cases: list[_Case], seconds: float, facts: list[tuple[str, str]]) -> ET.Element:
    """A suite, the time of which its cases share equally, since checks share what is read and embedded."""

    def count(ending: Ending) -> str:
        return str(sum(case.ending == ending for case in cases))

    suite = ET.Element(
        "testsuite",
        {
            "name": plain(name),
            "tests": str(len(cases)),
            "failures": count("failure"),
            "errors": count("error"),
            "skipped": count("skipped"),
            "time": _time(seconds),
        },
    )
    if facts:
        properties = ET.SubElement(suite, "properties")
        for fact, value in facts:
            ET.SubElement(properties, "property", {"name": fact, "value": plain(value)})
    for case in cases:
        known = {"classname": plain(name), "name": plain(case.name), "time": _time(seconds / len(cases))}
        element = ET.SubElement(suite, "testcase", known)
        if case.ending == "passed":
            ET.SubElement(element, "system-out").text = case.details
        else:
            words = {"type": plain(case.kind), "message": plain(case.message)}
            ET.SubElement(element, case.ending, words).text = case.details or None
    return suite


def _facts(gate: Gate, checked: Checked) -> list[tuple[str, str]]:
    status = status_words(gate).removeprefix("exit status ")
    facts = [("base", checked.base), ("strict", str(gate.strict).lower()), ("exit status", status)]
    if checked.refs is not None:
        facts += [("base.sha256", checked.refs[0].sha256), ("transfer.sha256", checked.refs[1].sha256)]
    facts += [(n, v) for n, v in (("config", gate.config), ("baseline", gate.baseline)) if v is not None]
    return facts + [("warning", words) for words in checked.warnings]


def _time(seconds: float) -> str:
    """Seconds to three decimals, as every JUnit schema accepts them."""
    return f"{seconds:.3f}"
