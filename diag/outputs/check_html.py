"""The gate as a page: every transfer and check, numbers against limits, and the worst embeddings."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from diag.checks.result import WORST, Checked, Finding, Gate, Outcome, Threshold
from diag.outputs.check_words import (
    BAD,
    accepted_words,
    bad,
    limit,
    limits_words,
    not_checked,
    outcome,
    place,
    reason,
    status_words,
    told,
    warnings,
    worst_first,
)
from diag.outputs.layout import ending
from diag.outputs.sections import comparison_chart, footer, picture_words, warning_words
from diag.outputs.words import number, span
from reports import Figure, Page, Section
from reports.checks import against_limits
from trainers.safe_text import plain

DRAWN = 24
"""Most transfers in the chart: the worst ones."""

PICTURES = 3
"""Most transfers whose embeddings are drawn, a picture each."""

LABEL = 26
"""Most cells of a transfer's name in the chart."""

MARKS: dict[Outcome, str] = {"pass": "✓", "warn": "!", "fail": "✗", "inconclusive": "?", "skipped": "–"}


def page(gate: Gate) -> Page:
    """A gate as a page."""
    pairs = worst_first(gate)
    names = dict(zip(map(id, pairs), short_names([c.transfer for c in pairs]), strict=True))
    not_passed = [c for c in pairs if outcome(c) in BAD]
    pictured = [c for c in not_passed if c.comparison is not None][:PICTURES]
    drawn = set(map(id, pictured))
    sections = [
        *_overview(pairs, names),
        *_errors([c for c in pairs if outcome(c) == "error"]),
        *_chart(pairs, names),
        *_pictures(pictured),
        *_others([c for c in not_passed if id(c) not in drawn]),
        *_limits(gate),
    ]
    if words := warnings(gate):
        sections.append(Section("Warnings", warning_words(list(map(plain, words)))))
    return Page("check", gate.outcome, plain(gate.summary), _facts(gate), sections, footer())


def _facts(gate: Gate) -> list[tuple[str, str]]:
    bases = list(dict.fromkeys(c.base for c in gate.checked))
    facts = [("base" if number == 0 else "", plain(base)) for number, base in enumerate(bases)]
    facts.append(("limits", plain(limits_words(gate))))
    if gate.baseline is not None:
        facts.append(("baseline", plain(accepted_words(gate) or gate.baseline)))
    for line, words in enumerate(not_checked(gate)):
        facts.append(("not checked" if line == 0 else "", plain(words)))
    words = status_words(gate).removeprefix("exit status ")
    facts.append(("exit status", f"{words}{', strict' if gate.strict else ''}"))
    return facts


def short_names(paths: list[str]) -> list[str]:
    """Paths without the folder and the ending that they share; in full where only that tells two apart.

    >>> short_names(["runs/t/a.npy", "runs/t/b.npy"]), short_names(["x/a.npy"])
    (['a', 'b'], ['a'])
    """
    places = [Path(path) for path in paths]
    try:
        shared = os.path.commonpath([place.parent for place in places])
    except ValueError:
        return list(map(plain, paths))
    endings = {place.suffix for place in places}
    short = [str(place.relative_to(shared)) if shared else str(place) for place in places]
    if len(endings) == 1:
        short = [name.removesuffix(*endings) for name in short]
    return list(map(plain, short if len(set(short)) == len(set(paths)) else paths))


def _overview(pairs: list[Checked], names: dict[int, str]) -> Iterator[Section]:
    """A row a transfer, a column a check; for a single transfer a row a check."""
    words = (
        "Each mark stands beside the number that was judged: ✓ passes; ✗ fails; ? means that the data cannot "
        "tell; ! is a warning; – means that the check could not be run; (✓) is accepted by the baseline."
    )
    if len(pairs) == 1 and pairs[0].findings:
        rows = [
            {"check": plain(f.name), "": _mark(f), "95% interval": _span(f), **_limit(f.threshold)}
            for f in pairs[0].findings
        ]
        yield Section("Every check", [words], table=pd.DataFrame(rows))
    elif len(pairs) > 1:
        checks = dict.fromkeys(f.check for c in pairs for f in c.findings if f.outcome != "skipped")
        rows = [
            {"transfer": names[id(c)], "": outcome(c)}
            | {plain(check): _mark_of([f for f in c.findings if f.check == check]) for check in checks}
            for c in pairs
        ]
        words += " If a check has several parts, such as one for each loss, the table shows its worst part."
        yield Section("Every transfer", [words], table=pd.DataFrame(rows))


def _mark_of(findings: list[Finding]) -> str:
    """The mark of the worst of some findings."""
    return _mark(min(findings, key=_rank)) if findings else ""


def _rank(finding: Finding) -> tuple[int, float]:
    """Sort key, worst first: the outcome, then how far a number lies on the wrong side of its limit."""
    value = None if finding.measure is None else finding.measure.value
    held = _held_to(finding)
    ahead = 0.0 if value is None or math.isnan(held) else value - held
    return WORST.index(finding.outcome), ahead if finding.better == "higher" else -ahead


def _mark(finding: Finding) -> str:
    """A finding as mark and number, ``✗ 0.59``; the mark alone where the check has no number."""
    mark = "(✓)" if finding.accepted else MARKS[finding.outcome]
    measure = finding.measure
    if measure is None or measure.value is None:
        return mark
    # A count has no interval and no decimals.
    count = measure.low is None and measure.value.is_integer()
    return f"{mark} {measure.value:.0f}" if count else f"{mark} {number(measure.value)}"


def _span(finding: Finding) -> str:
    return "" if finding.measure is None else span(finding.measure)


def _limit(threshold: Threshold | None) -> dict[str, str]:
    """A limit and where it was set, for a table."""
    if threshold is None:
        return {"limit": "", "set in": ""}
    return {"limit": plain(limit(threshold)), "set in": plain(place(threshold))}


def _chart(pairs: list[Checked], names: dict[int, str]) -> Iterator[Section]:
    """The chart, where there is a number to draw."""
    labels = _labels([names[id(checked)] for checked in pairs[:DRAWN]])
    rows = [row for checked, name in zip(pairs, labels, strict=False) for row in _rows(checked, name)]
    if not rows:
        return
    frame = pd.DataFrame(rows)
    words = [
        "Each point is the number that was judged, with its 95% interval. The dashed line is the limit, and "
        "numbers on the shaded side do not pass. A number fails only if its whole interval lies there.",
        "Numbers that lie far beyond a limit are drawn at the edge.",
    ]
    if any(f.accepted for c in pairs for f in c.findings):
        words.append("A number that passes on the shaded side is accepted by the baseline.")
    if len(pairs) > DRAWN:
        words.append(f"The chart shows the worst {DRAWN} of {len(pairs):,} transfers.")
    described = "Points with intervals beside limits: a panel for each check, a line for each transfer."
    yield Section("Numbers and limits", words, Figure(against_limits(frame), described))


def _labels(names: list[str]) -> list[str]:
    """Names short enough for an axis, numbered where the cut makes two alike."""
    short = [ending(name, LABEL) for name in names]
    if len(set(short)) == len(short):
        return short
    return [f"{place}  {ending(name, LABEL - 4)}" for place, name in enumerate(names, 1)]


def _rows(checked: Checked, name: str) -> Iterator[dict[str, Any]]:
    for finding in checked.findings:
        measure = finding.measure
        value = None if measure is None else measure.value
        if measure is None or value is None or not math.isfinite(value) or finding.outcome == "skipped":
            continue
        held = _held_to(finding)
        side = "at least" if finding.better == "higher" else "at most"
        words = "" if math.isnan(held) else f", {side} {held:g}"
        yield {
            "check": plain(finding.name),
            "title": plain(f"{finding.name}{words}"),
            "transfer": name,
            "value": value,
            "low": _finite(measure.low),
            "high": _finite(measure.high),
            "limit": held,
            "better": finding.better,
            "outcome": finding.outcome,
            "said": plain(finding.message),
        }


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else math.nan


def _held_to(finding: Finding) -> float:
    """The limit of a finding on the scale of its measure; NaN where it is none (as a margin)."""
    own = finding.threshold
    if own is None or isinstance(own.value, bool) or not isinstance(own.value, int | float):
        return math.nan
    return float(own.value) if own.name.split(".")[-1] != "margin" else math.nan


def _pictures(pairs: list[Checked]) -> Iterator[Section]:
    """Findings of the worst transfers, and their embeddings beside the base's."""
    described = "Scatter plots of the base's and the transfer's embedding of the same states."
    for checked in pairs:
        compared = checked.comparison
        assert compared is not None
        chart = comparison_chart(compared)
        words = [*_sentences(checked), *(picture_words(compared.picture) if checked is pairs[0] else ())]
        yield Section(_title(checked), words, Figure(chart, described))


def _others(pairs: list[Checked]) -> Iterator[Section]:
    """Findings of the other transfers that did not pass, without pictures."""
    for checked in pairs:
        yield Section(_title(checked), _sentences(checked))


def _title(checked: Checked) -> str:
    return f"{plain(checked.transfer)}: {outcome(checked)}"


def _sentences(checked: Checked) -> list[str]:
    return [plain(f"{MARKS[f.outcome]} {f.name}: {told(f)}") for f in bad(checked)]


def _errors(pairs: list[Checked]) -> Iterator[Section]:
    if pairs:
        words = [plain(f"{c.transfer}: {reason(c)}") for c in pairs]
        yield Section("Could not be checked", words)


def _limits(gate: Gate) -> Iterator[Section]:
    """Every limit that something was held to, and where it was set."""
    every = [f.threshold for c in gate.checked for f in c.findings if f.threshold is not None]
    known = {t.name: t for t in every}
    if known and len(gate.checked) > 1:
        yield Section("Limits", table=pd.DataFrame(map(_limit, known.values())))
