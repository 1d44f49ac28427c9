"""The gate as SARIF 2.1.0, for code scanning and editors.

A result is what did not pass, the worst first, and as many as consumers take: what is cut is said. Its
place is the line of its limit where a file sets one, since that is what somebody can read and change, else
the transfer. Passes are left out, and so is what a baseline accepts:
GitHub, the widest reader, opens an alert for a result whatever its ``suppressions`` or ``baselineState``
say (github/codeql-action#1230), and a result that is not there means the same to every reader. The run's
``properties`` list what was accepted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from diag.checks.result import Checked, Finding, Gate
from diag.outputs.check_words import (
    accepted,
    every_bad,
    fails,
    in_tree,
    limit,
    not_checked,
    outcome,
    place,
    reason,
    setting_value,
    source_root,
    status_words,
    warnings,
    whole,
)
from diag.outputs.words import version
from diag.result import finite
from trainers.safe_text import plain

Tree = dict[str, Any]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MOST, SHOWN = 25_000, 5_000
"""Results of a run that code scanning takes, and that it shows (GitHub docs, "SARIF support for code
scanning", limits): a run with more is refused as a whole."""

ROOT = "%SRCROOT%"
"""Name of the folder that places are relative to; where it lies differs from machine to machine."""


def render(gate: Gate) -> str:
    """The log as JSON."""
    root = source_root()
    checks = list(dict.fromkeys(f.check for c in gate.checked for f in c.findings))
    listed = _worst_first(gate)
    run = {
        "tool": {"driver": {**_driver(), "rules": [_rule(name) for name in checks]}},
        "automationDetails": {"id": "diag-check/"},
        "originalUriBaseIds": {ROOT: {"description": _message("The root of the source tree.")}},
        "invocations": [_invocation(gate, root)],
        "results": [
            _result(gate, checked, finding, checks.index(finding.check), root)
            for checked, finding in listed[:MOST]
        ],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "outcome": gate.outcome,
            "summary": plain(gate.summary),
            "findings": {"found": len(listed), "listed": min(len(listed), MOST)},
            "strict": gate.strict,
            "notChecked": [plain(words) for words in not_checked(gate)],
            "accepted": [
                {"transfer": plain(c.transfer), "finding": plain(f.name)} for c, f in accepted(gate)
            ],
        },
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def cut(gate: Gate) -> str | None:
    """Findings that the log leaves out or code scanning does not show, in words; None for none."""
    count = len(every_bad(gate))
    if count <= SHOWN:
        return None
    words = f"{count:,} findings did not pass"
    if count > MOST:
        words += f"; this log lists the worst {MOST:,} of them, as many as a run may have, and leaves out "
        words += f"{count - MOST:,}"
    return f"{words}; code scanning shows the worst {SHOWN:,}; JSON, JUnit and the page have all of them"


def _worst_first(gate: Gate) -> list[tuple[Checked, Finding]]:
    """Findings that did not pass, errors first, then warnings: a reader that shows some shows the first."""
    levels = ("error", "warning", "note")
    return sorted(every_bad(gate), key=lambda pair: levels.index(_level(gate, *pair)))


def _driver() -> Tree:
    known = version()
    return {"name": "transfer-diag"} | ({} if known is None else {"semanticVersion": known})


def _rule(name: str) -> Tree:
    """A check, in the words of its settings."""
    from diag.checks.kind import Check
    from diag.checks.settings import Checks

    settings = getattr(Checks(), name) if name in Checks.model_fields else None
    title = f"The check {name}." if settings is None else " ".join((type(settings).__doc__ or "").split())
    lines = [title]
    for field, meaning in () if settings is None else type(settings).model_fields.items():
        # Where a check only changes a default, the meaning stands in the settings of every check.
        words = meaning.description or Check.model_fields[field].description
        lines.append(f"check.{name}.{field} (default {setting_value(getattr(settings, field))}): {words}.")
    warns = settings is not None and settings.level == "warn"
    return {
        "id": plain(name),
        "shortDescription": _message(title),
        "fullDescription": _message(title),
        "help": {"text": "\n\n".join(_message(line)["text"] for line in lines)},
        "defaultConfiguration": {"level": "warning" if warns else "error"},
    }


def _result(gate: Gate, checked: Checked, finding: Finding, rule: int, root: Path) -> Tree:
    transfer = _location(checked.transfer, root)
    own = finding.threshold
    at_limit = None if own is None or own.file is None else _location(own.file, root, own.line)
    result: Tree = {
        "ruleId": plain(finding.check),
        "ruleIndex": rule,
        "level": _level(gate, checked, finding),
        "message": _message(f"{checked.transfer}: {finding.name}: {finding.message}"),
        "locations": [transfer if at_limit is None else at_limit],
        "partialFingerprints": _fingerprints(checked, finding, root),
        "properties": _numbers(finding),
    }
    if at_limit is not None:
        result["relatedLocations"] = [{**transfer, "message": _message("The transfer.")}]
    return result


def _level(gate: Gate, checked: Checked, finding: Finding) -> str:
    """Level of a result: an error where it fails the gate, a note where the data cannot tell."""
    if fails(gate, checked, finding):
        return "error"
    return "warning" if finding.outcome == "warn" else "note"


def _numbers(finding: Finding) -> Tree:
    tree: Tree = {"outcome": finding.outcome}
    if finding.of:
        tree["of"] = plain(finding.of)
    if (measure := finding.measure) is not None:
        tree |= {"value": finite(measure.value), "low": finite(measure.low), "high": finite(measure.high)}
    if finding.threshold is not None:
        tree["limit"] = plain(f"{limit(finding.threshold)} ({place(finding.threshold)})")
    return tree


def _fingerprints(checked: Checked, finding: Finding, root: Path) -> dict[str, str]:
    """Fingerprints of a finding: equal for one check of one transfer, whatever its number and line.

    GitHub reads the first name only; left to itself it would take the limit's line for the finding, and all
    the transfers that it fails for one.
    """
    parts = [finding.check, finding.of, _address(checked.transfer, root)["uri"]]
    fingerprint = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    return {"primaryLocationLineHash": f"{fingerprint}:1", "checkOfTransfer/v1": fingerprint}


def _invocation(gate: Gate, root: Path) -> Tree:
    words = [*([] if (left := cut(gate)) is None else [f"{left}."]), *warnings(gate)]
    told = [*_errors(gate, root), *({"level": "warning", "message": _message(w)} for w in words)]
    return {
        "executionSuccessful": gate.outcome != "error",
        "exitCode": gate.exit_status,
        "exitCodeDescription": status_words(gate),
        "toolExecutionNotifications": told,
    }


def _errors(gate: Gate, root: Path) -> Iterator[Tree]:
    if not gate.checked:
        yield {"level": "error", "message": _message(gate.summary)}
    for checked in gate.checked:
        if outcome(checked) == "error":
            message = _message(f"{checked.transfer}: {reason(checked)}")
            yield {"level": "error", "message": message, "locations": [_location(checked.transfer, root)]}


def _location(path: str, root: Path, line: int | None = None) -> Tree:
    physical: Tree = {"artifactLocation": _address(path, root)}
    if line is not None:
        physical["region"] = {"startLine": line}
    return {"physicalLocation": physical}


def _address(path: str, root: Path) -> Tree:
    """Location of a file: relative to the source tree, or absolute where it lies outside."""
    inside = in_tree(path, root)
    if inside is not None:
        return {"uri": quote(_bytes(inside)), "uriBaseId": ROOT}
    absolute = "/" + whole(path).as_posix().lstrip("/")
    return {"uri": "file://" + quote(_bytes(absolute), safe="/:")}


def _bytes(path: str) -> bytes:
    """A path as the file system has it: a name that is not UTF-8 comes as lone surrogates."""
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogatepass")


def _message(words: str) -> Tree:
    """Plain text; braces are doubled, for single ones hold a place."""
    return {"text": plain(words).replace("{", "{{").replace("}", "}}")}
