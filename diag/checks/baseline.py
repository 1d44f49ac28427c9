"""A baseline: accepted findings, which fail again only where they get worse."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pydantic

from diag.checks import CheckError
from diag.checks.judging import EXACT, Found, shown
from diag.checks.kind import Tree
from diag.checks.result import WORST, Finding, Gate, Outcome
from diag.checks.settings import GateSettings
from diag.result import FileRef, finite
from probes import Measure
from trainers.safe_text import in_words, whole

MOST_BYTES = 2**24
EXPECTED = "a baseline of diag check --write-baseline"
ELSEWHERE = 1e-4
"""Relative worsening of a number that is put down to another processor: single precision knows numbers to
some 1e-6, and a count of resamples jumps by one. A baseline written on one machine is read on others."""
LONGEST = 200
"""Most characters of a baseline's mistake that an error repeats."""

SHOWN = 12
"""Characters of a hash that an error shows: enough to tell two files apart."""


class Entry(Tree):
    """One finding as it was accepted."""

    outcome: Outcome
    word: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None


class Content(Tree):
    """A baseline file: the base, and ``{transfer: {finding: entry}}`` relative to the file's folder."""

    format: Literal[1] = 1
    base: str | None = None
    """SHA-256 of the base that the transfers were held against; None in files of older versions."""
    accepted: Mapping[str, Mapping[str, Entry]]


@dataclass(frozen=True)
class Accepted:
    """A baseline that was read."""

    file: str
    content: Content

    def entry(self, transfer: str, name: str) -> Entry | None:
        """The accepted state of a finding on the transfer at a path; None where there is none."""
        return self.content.accepted.get(_key(transfer, self.file), {}).get(name)

    def warning_for(self, base: FileRef) -> str | None:
        """A warning where the file does not name its base; raises CheckError where it names another.

        What was accepted beside one base says nothing of a transfer's distance from another.
        """
        known = self.content.base
        if known is None:
            return (
                f"the baseline {self.file} does not say which base it was accepted against: "
                "--write-baseline with --overwrite writes it anew, with its base"
            )
        if known != base.sha256:
            other = f"a baseline that was accepted against another base (sha256 {known[:SHOWN]}…)"
            wanted = f"one of {base.path} (sha256 {base.sha256[:SHOWN]}…)"
            raise CheckError(
                f"{self.file}: found {other}, expected {wanted}; without --baseline, "
                "--write-baseline with --overwrite accepts what is found now"
            )
        return None


def read(path: str | os.PathLike[str]) -> Accepted:
    """The baseline in a file; raises CheckError."""
    name = os.fspath(path)
    try:
        content = whole(name, MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise CheckError(f"{in_words(name)}: found {reason}, expected {EXPECTED}") from None
    if len(content) > MOST_BYTES:
        raise CheckError(f"{name}: found more than {MOST_BYTES >> 20} MiB, expected {EXPECTED}")
    try:
        return Accepted(name, Content.model_validate_json(content))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        words = f"{where}: {first['msg']}" if where else first["msg"]
        fault = f"no baseline ({' '.join(words.split())[:LONGEST]})"
        raise CheckError(f"{name}: found {fault}, expected {EXPECTED}") from None


def text(gate: Gate, path: str | os.PathLike[str]) -> str:
    """The baseline at ``path`` that accepts everything in a gate's result; raises CheckError."""
    name = os.fspath(path)
    if gate.errors:
        raise CheckError(f"{name}: found a transfer that could not be checked ({gate.errors[0].error})")
    accepted = {
        _key(one.transfer, name): {f.name: _entry(f) for f in one.findings if f.outcome != "skipped"}
        for one in gate.checked
    }
    base = next((one.refs[0].sha256 for one in gate.checked if one.refs is not None), None)
    tree = Content(base=base, accepted=accepted).model_dump(mode="json", exclude_defaults=True)
    return json.dumps({"format": 1, **tree}, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _entry(finding: Finding) -> Entry:
    measure = finding.measure or Measure(None)
    value, low, high = (finite(end) for end in (measure.value, measure.low, measure.high))
    outcome = finding.before_baseline or finding.outcome
    return Entry(outcome=outcome, word=finding.word, value=value, low=low, high=high)


def against(
    accepted: Accepted | None, transfer: str, answer: Found, finding: Finding, settings: GateSettings
) -> Finding:
    """Hold a finding against the baseline: it passes where it is no worse, and says so where it is worse."""
    entry = None if accepted is None else accepted.entry(transfer, finding.name)
    if entry is None or finding.outcome == "skipped":
        return finding
    before = Measure(entry.value, entry.low, entry.high)
    if _is_worse(answer, before):
        if settings.worse_than_baseline == "off":
            return finding
        words = f"{finding.message}; worse than the baseline's {shown(before)}"
        worst: Outcome = "fail" if settings.worse_than_baseline == "error" else "warn"
        if finding.counts:
            worst = min(finding.outcome, worst, key=WORST.index)
        return replace(finding, message=words, outcome=worst)
    known = WORST.index(entry.outcome) <= WORST.index(finding.outcome) and entry.word == answer.word
    if finding.outcome == "pass" or not known:
        return finding
    words = f"{finding.message}; accepted by the baseline"
    return replace(finding, message=words, outcome="pass", accepted=True, before_baseline=finding.outcome)


def _is_worse(answer: Found, before: Measure) -> bool:
    """Whether the whole interval is on the worse side of the one that was accepted, by more than rounding."""
    now = answer.measure
    if now is None or now.value is None or before.value is None:
        return False
    low, high = (now.value if end is None else end for end in (now.low, now.high))
    low_before, high_before = (before.value if end is None else end for end in (before.low, before.high))
    end = low_before if answer.better == "higher" else high_before
    slack = ELSEWHERE * abs(end) + EXACT
    return high < end - slack if answer.better == "higher" else low > end + slack


def _key(transfer: str, file: str) -> str:
    return Path(os.path.relpath(transfer, Path(file).parent)).as_posix()
