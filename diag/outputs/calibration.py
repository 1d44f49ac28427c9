"""A calibration of the gate, for a terminal and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs.layout import Column, table, wrapped
from diag.outputs.text import short
from diag.wording import plural
from probes import Measure

if TYPE_CHECKING:
    from diag.checks.result import Calibration, Rate
    from reports import Page

HEADER = ("check", "alarms", "95% interval", "unsure", "limit", "95% pass")


def brief(found: Calibration) -> str:
    """One line."""
    pairs = plural(found.pairs, "pair")
    are = "is" if found.pairs == 1 else "are"
    return f"False alarms: {_percent(found.alarms)} of {pairs} that {are} known to be equal."


def text(found: Calibration, verbose: bool = False) -> str:
    """The rates as a table, and what they rest on."""
    rows = [_row(rate) for rate in found.rates]
    widths = [max(len(row[i]) for row in [HEADER, *rows]) for i in range(len(HEADER))]
    columns = [
        Column(title, room if place == 0 else room + 2, "<" if place == 0 else ">")
        for place, (title, room) in enumerate(zip(HEADER, widths, strict=True))
    ]
    lines = [
        *wrapped(brief(found), "", "  "),
        *(line for w in words(found) for line in wrapped(w, "  ", "  ")),
    ]
    lines += ["", *table(columns, rows)]
    failed = [one for one in found.checked if one.outcome == "fail"]
    if failed:
        shown = failed if verbose else failed[:5]
        lines += ["", "  failed:"]
        lines += [line for one in shown for line in wrapped([short(one.base), short(one.transfer)], "    ")]
        lines += [f"    and {len(failed) - len(shown)} more (--verbose)"] if len(shown) < len(failed) else []
    return "\n".join(lines)


def page(found: Calibration) -> str:
    """The same as a page's text."""
    from reports import render

    return render(built(found))


def built(found: Calibration) -> Page:
    """The same as a page."""
    from diag.outputs.html import footer
    from reports import Page, Section

    rates = pd.DataFrame([_row(rate) for rate in found.rates], columns=list(HEADER))
    failed = pd.DataFrame(
        [(one.base, one.transfer) for one in found.checked if one.outcome == "fail"],
        columns=["base", "transfer"],
    )
    sections = [Section("Each check", words(found), table=rates)]
    if len(failed):
        told = ["These pairs failed a check. Please make sure that they are truly equal."]
        sections.append(Section("Pairs that failed", told, table=failed))
    status = "warn" if len(failed) else "pass"
    facts = [("pairs", str(found.pairs)), ("files", str(len(found.files)))]
    return Page("check --calibrate", status, brief(found), facts, sections, footer())


def words(found: Calibration) -> Sequence[str]:
    """What the rates rest on, and what to do with them."""
    of = plural(len(found.files), "file")
    rest = plural(found.independent, "pair")
    if found.base is not None:
        how = f"{of} were each checked against {short(found.base)}. The intervals rest on {rest}."
    else:
        drawn = (
            ""
            if found.pairs == found.possible
            else f" ({found.pairs} of {found.possible} pairs, drawn at random)"
        )
        how = (
            f"{of} were checked against each other{drawn}. Since a file stands in several pairs, the "
            f"intervals rest on the {rest} that share no file."
        )
    return (
        how,
        "An alarm is a check that was sure of a fault although there is none. The last column is the limit "
        "that 95% of these pairs would pass outright; with a stricter one the check can often not be sure.",
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
