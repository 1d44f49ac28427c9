"""The gate as a page: every transfer and check, numbers against limits, and the worst embeddings."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from diag.checks.result import WORST, Checked, Finding, Gate, Outcome, Threshold
from diag.outputs.check_words import (
    BAD,
    ORDER,
    PairOutcome,
    accepted_words,
    bad,
    limit,
    limits_words,
    not_checked,
    outcome,
    place,
    reason,
    setting_value,
    status_words,
    told,
    warnings,
    worst_first,
)
from diag.outputs.embeddings_html import embeddings_figure, has_picture
from diag.outputs.layout import ending
from diag.outputs.names import against, short_names
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import hundredths, span, version
from diag.wording import listed, plural
from reports import Figure, Key, Page, Section
from reports.checks import against_limits, matrix
from trainers.safe_text import plain

DRAWN = 24
"""Most transfers in the chart: the worst ones."""

PICTURES = 3
"""Most transfers whose embeddings are drawn, a picture each."""

ROWS = 60
"""Most transfers in the matrix: the worst ones."""

MOST_NAMED = 12
"""Most transfers in the command that checks them again."""

LABEL = 26
"""Most cells of a transfer's name in the chart."""

MARKS: dict[Outcome, str] = {"pass": "✓", "warn": "!", "fail": "✗", "inconclusive": "?", "skipped": "–"}


def page(gate: Gate) -> Page:
    """A gate as a page."""
    pairs = sorted(worst_first(gate), key=_badness)
    names = dict(zip(map(id, pairs), short_names([c.transfer for c in pairs]), strict=True))
    not_passed = [c for c in pairs if outcome(c) in BAD]
    pictured = [c for c in not_passed if c.comparison is not None and has_picture(c.comparison.picture)]
    pictured = pictured[:PICTURES]
    drawn = set(map(id, pictured))
    sections = [
        *_overview(pairs, names),
        *_errors([c for c in pairs if outcome(c) == "error"]),
        *_pictures(pictured, names),
        *_others([c for c in not_passed if id(c) not in drawn], names),
        *_chart(pairs, names),
        *_limits(gate),
    ]
    if words := warnings(gate):
        sections.append(Section("Warnings", warning_words(list(map(plain, words)))))
    sections += _next(gate, not_passed)
    return Page(
        _heading(pairs, names),
        gate.outcome,
        plain(gate.summary),
        _facts(gate),
        sections,
        footer(),
        kind="check",
        keys=_keys(gate, pairs),
    )


def _badness(checked: Checked) -> tuple[int, int, float]:
    """Sort key, worst first: the outcome, how many checks failed, and how little the base's R² is."""
    compared = checked.comparison
    ladder = () if compared is None else compared.ladder
    r2 = next((s.r2.value for s in ladder if s.transform == "identity" and s.r2.value is not None), 0.0)
    return ORDER.index(outcome(checked)), -sum(f.outcome == "fail" for f in checked.findings), r2


def _heading(pairs: list[Checked], names: dict[int, str]) -> str:
    """What was checked: the one transfer by name, or how many."""
    if len(pairs) == 1:
        return plain(against(pairs[0].base, pairs[0].transfer))
    bases = list(dict.fromkeys(c.base for c in pairs))
    if not bases:
        return "No transfers"
    of = Path(bases[0]).stem if len(bases) == 1 else plural(len(bases), "base")
    return plain(f"{plural(len(pairs), 'transfer')} of {of}")


_COUNTED: tuple[tuple[PairOutcome, str], ...] = (
    ("error", "could not be checked"),
    ("fail", "failed"),
    ("inconclusive", "undecided"),
    ("warn", "passed with warnings"),
    ("pass", "passed"),
)


def _keys(gate: Gate, pairs: list[Checked]) -> list[Key]:
    """How many transfers ended how, and the exit status; for one transfer, its checks."""
    if len(pairs) == 1:
        ends = [f.outcome for f in pairs[0].findings]
        counts = {name: ends.count(name) for name in ("fail", "inconclusive", "warn", "pass")}
        words = {"fail": "checks failed", "inconclusive": "undecided", "warn": "warnings", "pass": "passed"}
        keys = [Key(words[name], str(count)) for name, count in counts.items() if count]
    else:
        ended = [outcome(c) for c in pairs]
        keys = [Key(words, f"{ended.count(name):,}") for name, words in _COUNTED if name in ended]
    return [*keys[:4], Key("exit status", str(gate.exit_status))]


def _facts(gate: Gate) -> list[tuple[str, str]]:
    bases = list(dict.fromkeys(c.base for c in gate.checked))
    shas = {c.base: c.refs[0].sha256 for c in gate.checked if c.refs is not None}
    facts = [
        (
            f"base {place + 1}" if len(bases) > 1 else "base",
            plain(base + (f", sha256 {shas[base]}" if base in shas else "")),
        )
        for place, base in enumerate(bases)
    ]
    facts.append(("limits", plain(limits_words(gate))))
    if gate.baseline is not None:
        facts.append(("baseline", plain(accepted_words(gate) or gate.baseline)))
    unchecked = not_checked(gate)
    if unchecked:
        facts.append(("not checked", plain("; ".join(unchecked))))
    words = status_words(gate).removeprefix("exit status ")
    facts.append(("exit status", f"{words}{', strict' if gate.strict else ''}"))
    facts.append(("transfer-diag", version() or "not installed"))
    return facts


READING = (
    "Each mark stands beside the number that was judged: ✓ passes; ✗ fails; ? means that the data cannot "
    "tell; ! is a warning; – means that the check could not be run; (✓) is accepted by the baseline."
)
"""How to read the marks."""


def _overview(pairs: list[Checked], names: dict[int, str]) -> Iterator[Section]:
    """What failed first: a row a transfer, a column a check; for a single transfer a row a check."""
    if len(pairs) == 1 and pairs[0].findings:
        rows = [
            {"check": plain(f.name), "result": _mark(f), "95% interval": _span(f), **_limit(f.threshold)}
            for f in sorted(pairs[0].findings, key=_rank)
        ]
        yield Section("Every check", _sentences(pairs[0]), table=pd.DataFrame(rows), notes=[READING])
    elif len(pairs) > 1:
        checks = list(dict.fromkeys(f.check for c in pairs for f in c.findings if f.outcome != "skipped"))
        rows = [
            {"transfer": names[id(c)], "outcome": outcome(c)}
            | {plain(check): _mark_of([f for f in c.findings if f.check == check]) for check in checks}
            for c in pairs
        ]
        notes = [
            READING,
            "If a check has several parts, such as one for each loss, the table shows its worst part.",
        ]
        yield Section(
            "What failed first",
            _failed_most(pairs, checks),
            _matrix(pairs, names, checks),
            pd.DataFrame(rows),
            notes,
            folded=bool(checks),
            short="Overview",
        )


def _failed_most(pairs: list[Checked], checks: list[str]) -> list[str]:
    """Which checks failed how often, the most frequent first."""
    counts = {
        check: sum(any(f.check == check and f.outcome == "fail" for f in c.findings) for c in pairs)
        for check in checks
    }
    failed = sorted((c for c in counts if counts[c]), key=lambda check: -counts[check])
    words = []
    if failed:
        told = [f"{check} in {counts[check]} of {len(pairs):,} transfers" for check in failed]
        words.append(plain(f"Failed: {listed(told)}."))
    if len(pairs) > ROWS:
        words.append(f"The picture shows the worst {ROWS} of {len(pairs):,} transfers; the table has all.")
    return words


def _matrix(pairs: list[Checked], names: dict[int, str], checks: list[str]) -> Figure | None:
    """Transfers by checks, each cell with sign and number."""
    shown = pairs[:ROWS]
    labels = _labels([names[id(checked)] for checked in shown])
    cells = []
    for checked, label in zip(shown, labels, strict=True):
        for check in checks:
            own = [f for f in checked.findings if f.check == check]
            if own:
                worst = min(own, key=_rank)
                cells.append(
                    {
                        "transfer": label,
                        "check": plain(check),
                        "outcome": worst.outcome,
                        "mark": _mark(worst),
                        "said": plain(worst.message),
                    }
                )
    if not cells:
        return None
    described = "A matrix of transfers and checks: each cell has a sign and the number that was judged."
    return Figure(matrix(pd.DataFrame(cells), labels), described)


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
    return f"{mark} {measure.value:.0f}" if count else f"{mark} {hundredths(measure.value)}"


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
    words = []
    if any(f.accepted for c in pairs for f in c.findings):
        words.append("A number that passes on the shaded side is accepted by the baseline.")
    if len(pairs) > DRAWN:
        words.append(f"The chart shows the worst {DRAWN} of {len(pairs):,} transfers.")
    notes = [
        "Each point is the number that was judged, with its 95% interval. The dashed line is the limit, and "
        "numbers on the shaded side do not pass. A number fails only if its whole interval lies there.",
        "Numbers that lie far beyond a limit are drawn at the edge.",
    ]
    described = "Points with intervals beside limits: a panel for each check, a line for each transfer."
    figure = Figure(
        against_limits(frame), described, "Dashed: the limit. Shaded: the side that does not pass."
    )
    yield Section("Numbers and limits", words, figure, notes=notes, short="Numbers")


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
        wanted = "" if math.isnan(held) else f"wanted: {side} {held:g}"
        yield {
            "check": plain(finding.name),
            "title": plain(finding.name),
            "wanted": wanted,
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


def _pictures(pairs: list[Checked], names: dict[int, str]) -> Iterator[Section]:
    """Findings of the worst transfers, and their embeddings before and after the best map."""
    for checked in pairs:
        compared = checked.comparison
        assert compared is not None
        figure = embeddings_figure(compared, short=True)
        if checked is not pairs[0]:
            figure = replace(figure, caption="")
        words, table = _found(checked)
        yield Section(_title(checked, names), words, figure, table, short=names[id(checked)])


def _others(pairs: list[Checked], names: dict[int, str]) -> Iterator[Section]:
    """Findings of the other transfers that did not pass, without pictures."""
    if not pairs:
        return
    if len(pairs) == 1:
        words, table = _found(pairs[0])
        yield Section(_title(pairs[0], names), words, table=table, short=names[id(pairs[0])])
        return
    rows = [
        {"transfer": names[id(c)], "outcome": outcome(c), "findings": "  ".join(_sentences(c))} for c in pairs
    ]
    yield Section("Others that did not pass", table=pd.DataFrame(rows), short="Others")


def _title(checked: Checked, names: dict[int, str]) -> str:
    return f"{names[id(checked)]}: {outcome(checked)}"


def _sentences(checked: Checked) -> list[str]:
    return [plain(f"{MARKS[f.outcome]} {f.name}: {told(f)}") for f in bad(checked)]


def _found(checked: Checked) -> tuple[list[str], pd.DataFrame | None]:
    """What did not pass: up to two findings as sentences, more of them as a table below the first."""
    if len(findings := bad(checked)) <= 2:
        return _sentences(checked), None
    rows = [
        {"check": f"{MARKS[f.outcome]}\N{NO-BREAK SPACE}{plain(f.name)}", "what was found": plain(told(f))}
        for f in findings
    ]
    failed = sum(f.outcome == "fail" for f in findings)
    ends = [(failed, "failed"), (len(findings) - failed, "warned")]
    counts = [f"{plural(count, 'check')} {what}" for count, what in ends if count]
    return [f"{listed(counts)}."], pd.DataFrame(rows)


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


def _next(gate: Gate, not_passed: list[Checked]) -> Iterator[Section]:
    """The command that checks again what did not pass, and one that looks closer at the worst."""
    if not not_passed:
        return
    first = not_passed[0]
    again = [c for c in not_passed if c.base == first.base][:MOST_NAMED]
    command = ["diag", "check", first.base, *(c.transfer for c in again)]
    command += ["--config", gate.config] if gate.config is not None else []
    for one in gate.on_top:
        value = setting_value(one.value).replace(", ", ",")
        command += ["--set", f"{one.name}={value}"]
    command += ["--baseline", gate.baseline] if gate.baseline is not None else []
    command += ["--strict"] if gate.strict else []
    commands = [command]
    if first.comparison is not None:
        commands.append(["diag", "compare-embeddings", first.base, first.transfer, "--html", "worst.html"])
    words = ["The first command checks again what did not pass; the second looks closer at the worst."]
    if first.comparison is None:
        words = ["This command checks again what did not pass."]
    if len(again) < len(not_passed):
        words.append(f"It names {len(again)} of {len(not_passed):,}.")
    if first.comparison is not None and first.comparison.conclusion:
        words.insert(0, f"On the worst: {first.comparison.conclusion}")
    yield Section(
        "What to do next",
        list(map(plain, words)),
        commands=[plain(shlex.join(c)) for c in commands],
        short="Next",
    )
