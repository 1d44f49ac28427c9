"""A calibration of the gate, for a terminal and as a page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs.text import WIDTH, short
from probes import Measure

if TYPE_CHECKING:
    from diag.checks.calibrate import Calibration, Rate

HEADER = ("check", "alarms", "95% interval", "unsure", "limit", "95% pass")


def brief(found: Calibration) -> str:
    """One line."""
    return f"False alarms: {_percent(found.alarms)} of {found.pairs} pairs that are known to be equal."


def text(found: Calibration, verbose: bool = False) -> str:
    """The rates as a table, and what they rest on."""
    rows = [HEADER, *(_row(rate) for rate in found.rates)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    table = [
        "  ".join(
            ["", row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    lines = [brief(found), *(f"  {line}" for paragraph in words(found) for line in _wrapped(paragraph))]
    lines += ["", *table]
    failed = [one for one in found.checked if one.outcome == "fail"]
    if failed:
        shown = failed if verbose else failed[:5]
        lines += ["", "  failed:"]
        lines += [f"    {short(one.base)}  {short(one.transfer)}" for one in shown]
        lines += [f"    and {len(failed) - len(shown)} more (--verbose)"] if len(shown) < len(failed) else []
    return "\n".join(lines)


def page(found: Calibration) -> str:
    """The same as a page."""
    from diag.outputs.html import footer
    from reports import Page, Section, render

    table = pd.DataFrame([_row(rate) for rate in found.rates], columns=list(HEADER))
    failed = pd.DataFrame(
        [(one.base, one.transfer) for one in found.checked if one.outcome == "fail"],
        columns=["base", "transfer"],
    )
    sections = [Section("Each check", words(found), table=table)]
    if len(failed):
        sections.append(Section("Pairs that failed", ["Look at these: are they truly equal?"], table=failed))
    status = "warn" if len(failed) else "pass"
    facts = [("pairs", str(found.pairs)), ("files", str(len(found.files)))]
    return render(Page("check --calibrate", status, brief(found), facts, sections, footer()))


def words(found: Calibration) -> Sequence[str]:
    """What the rates rest on, and what to do with them."""
    of = f"{len(found.files)} files"
    if found.base is not None:
        how = f"{of}, each against {short(found.base)}: intervals rest on {found.independent} pairs."
    else:
        drawn = "" if found.pairs == found.possible else f" ({found.pairs} of {found.possible} pairs drawn)"
        how = (
            f"{of}, against each other{drawn}: files recur, so that intervals rest on the "
            f"{found.independent} pairs that share none."
        )
    return (
        how,
        "An alarm is a check that was sure of a fault where there is none. 95% pass: the limit that 95% of "
        "these pairs would pass outright; a limit stricter than it will often not be able to tell.",
    )


def _row(rate: Rate) -> tuple[str, ...]:
    return (
        rate.name,
        _share(rate.alarms.value),
        _interval(rate.alarms),
        _share(rate.undecided),
        "" if rate.limit is None else f"{rate.limit:.3g}",
        "" if rate.clears is None else f"{rate.clears:.3g}",
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _interval(measure: Measure) -> str:
    return "" if measure.low is None or measure.high is None else f"[{measure.low:.1%}, {measure.high:.1%}]"


def _percent(measure: Measure) -> str:
    return f"{_share(measure.value)} {_interval(measure)}"


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, WIDTH - 2)
