"""The gate for GitHub Actions: annotations on the lines of the limits, and a table in the step's summary.

A step shows ten annotations of a kind and drops the rest without a word. So the worst come first, ten of
a kind are written, and the tenth says how many more there are; the summary has them all.
"""

import html
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from diag.checks.result import Checked, Finding, Gate
from diag.outputs.check_words import (
    accepted_words,
    bad,
    every_bad,
    fails,
    in_tree,
    limits_words,
    not_checked,
    outcome,
    reason,
    source_root,
    status_words,
    told,
    warnings,
    worst_first,
)
from trainers.safe_text import plain

Kind = Literal["error", "warning", "notice"]

MOST = 10
"""Most annotations of one kind that GitHub shows for a step."""

SUMMARY_BYTES = 900_000
"""Most bytes of a step's summary: GitHub refuses more than 1 MiB, and the step may write more than this
gate."""

SUMMARY_FILE = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True)
class _Annotation:
    kind: Kind
    title: str
    message: str
    file: str | None = None
    line: int | None = None


def annotations(gate: Gate) -> str:
    """Workflow commands, one a line, worst first; empty where all is well."""
    written = []
    every = list(_annotations(gate, source_root()))
    for kind in ("error", "warning", "notice"):
        own = [a for a in every if a.kind == kind]
        shown = own[:MOST]
        if more := len(own) - len(shown):
            words = f"{shown[-1].message} (and {more} more: the step's summary has all of them)"
            shown[-1] = replace(shown[-1], message=words)
        written += [_command(a) for a in shown]
    return "\n".join(written)


def append_summary(gate: Gate) -> None:
    """Append :func:`step_summary` to the file that ``GITHUB_STEP_SUMMARY`` names, where it names one.

    Raises OSError where that file cannot be written.
    """
    if place := os.environ.get(SUMMARY_FILE):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(step_summary(gate))


def step_summary(gate: Gate) -> str:
    """Markdown: the outcome in one sentence, a table of the transfers, worst first, and what else to know."""
    head = f"### diag check: {gate.outcome}\n\n{_cell(gate.summary)}\n\n"
    tail = "".join(f"\n{_cell(words)}\n" for words in _notes(gate))
    rows = ["| outcome | transfer | found |\n|---|---|---|\n"]
    left = SUMMARY_BYTES - len((head + tail).encode())
    pairs = worst_first(gate)
    for number, checked in enumerate(pairs):
        cell = "<br>".join(_told(checked))
        row = f"| {outcome(checked)} | <code>{_cell(checked.transfer)}</code> | {cell} |\n"
        if (left := left - len(row.encode())) < 0:
            more = len(pairs) - number
            rows.append(f"\n{more} more transfers are left out: the summary would be too long.\n")
            break
        rows.append(row)
    return head + ("".join(rows) if pairs else "") + tail


def _annotations(gate: Gate, root: Path) -> Iterator[_Annotation]:
    """The annotations of a gate, worst first within each kind."""
    for checked in worst_first(gate):
        if outcome(checked) == "error":
            name = checked.transfer
            yield _Annotation("error", "not checked", f"{name}: {reason(checked)}", _file(name, root))
    if not gate.checked:
        yield _Annotation("error", "nothing checked", gate.summary)
    for checked, finding in every_bad(gate):
        yield _of_finding(gate, checked, finding, root)
    for words in warnings(gate):
        yield _Annotation("notice", "warning", words)
    if gate.is_held:
        yield _Annotation("notice", f"diag check: {gate.outcome}", _sentence(status_words(gate)))


def _of_finding(gate: Gate, checked: Checked, finding: Finding, root: Path) -> _Annotation:
    kind: Kind = "warning" if finding.outcome == "warn" else "notice"
    if fails(gate, checked, finding):
        kind = "error"
    title, message = f"{finding.name}: {finding.outcome}", f"{checked.transfer}: {finding.message}"
    limit = finding.threshold
    if limit is not None and limit.file is not None:
        return _Annotation(kind, title, message, _file(limit.file, root), limit.line)
    return _Annotation(kind, title, message, _file(checked.transfer, root))


def _file(path: str, root: Path) -> str:
    return in_tree(path, root) or path


def _command(annotation: _Annotation) -> str:
    known = {"file": annotation.file, "line": annotation.line, "title": annotation.title}
    properties = ",".join(f"{n}={escaped(str(v), ':,')}" for n, v in known.items() if v is not None)
    return f"::{annotation.kind} {properties}::{escaped(annotation.message)}"


def escaped(words: str, also: str = "") -> str:
    """Words as data of a workflow command; a property's value has ``also`` ``:`` and ``,`` escaped.

    >>> escaped("100%: a, b"), escaped("100%: a, b", ":,")
    ('100%25: a, b', '100%25%3A a%2C b')
    """
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + also else c for c in plain(words))


def _told(checked: Checked) -> Iterator[str]:
    if outcome(checked) == "error":
        yield _cell(reason(checked))
    for finding in bad(checked):
        yield f"{finding.outcome} <b>{_cell(finding.name)}</b>: {_cell(told(finding))}"


def _notes(gate: Gate) -> Iterator[str]:
    yield from (f"Warning: {words}" for words in warnings(gate))
    yield from (f"Not checked: {words}." for words in not_checked(gate))
    if taken := accepted_words(gate):
        yield f"{taken}."
    yield f"Limits: {limits_words(gate)}. {_sentence(status_words(gate))}"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _cell(words: str) -> str:
    """Words for a table's cell: whatever Markdown or HTML would read as its own, as a character reference.

    >>> _cell("a|b `c` <d>")
    'a&#124;b &#96;c&#96; &lt;d&gt;'
    """
    return "".join(f"&#{ord(c)};" if c in "|`\\*_[]~$" else c for c in html.escape(plain(words), quote=False))
