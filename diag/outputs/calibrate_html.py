"""A calibration of the gate as a page: how often each check alarms on pairs known to be equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from diag.outputs.calibrate_text import HEADER, brief, row, words
from diag.outputs.sections import footer
from diag.outputs.words import version
from diag.wording import plural
from reports import Figure, Key, Page, Section
from reports.checks import alarms

if TYPE_CHECKING:
    from diag.checks.result import Calibration


MOST_OPEN = 12
"""Most pairs that are listed without a fold."""


def page(result: Calibration) -> Page:
    """A calibration of the gate as a page."""
    rates = pd.DataFrame([row(rate) for rate in result.rates], columns=list(HEADER))
    failed = pd.DataFrame(
        [(one.base, one.transfer) for one in result.checked if one.outcome == "fail"],
        columns=["base", "transfer"],
    )
    told, *notes = words(result)
    figure = _figure(result)
    sections = [
        Section("Each check", [told], figure, rates, notes, folded=figure is not None, short="Checks")
    ]
    if len(failed):
        asked = ["These pairs failed a check. Please make sure that they are truly equal."]
        sections.append(
            Section("Pairs that failed", asked, table=failed, short="Failed", folded=len(failed) > MOST_OPEN)
        )
    status = "warn" if len(failed) else "pass"
    facts = [
        ("pairs", f"{result.pairs:,} of {result.possible:,} possible"),
        ("files", f"{len(result.files):,}"),
        ("base", result.base or "none: the files were checked against each other"),
        ("transfer-diag", version() or "not installed"),
    ]
    title = f"False alarms among {plural(len(result.files), 'file')}"
    return Page(
        title, status, brief(result), facts, sections, footer(), kind="check --calibrate", keys=_keys(result)
    )


def _keys(result: Calibration) -> list[Key]:
    rate, low, high = result.alarms.value, result.alarms.low, result.alarms.high
    span = "" if low is None or high is None else f"[{low:.1%}, {high:.1%}]"
    return [
        Key("false alarms", "–" if rate is None else f"{rate:.1%}", span),
        Key("undecided", f"{result.undecided:.1%}"),
        Key("pairs", f"{result.pairs:,}", f"{result.independent:,} share no file"),
    ]


def _figure(result: Calibration) -> Figure | None:
    rows = pd.DataFrame(
        [
            {
                "check": rate.name,
                "alarms": rate.alarms.value,
                "low": np.nan if rate.alarms.low is None else rate.alarms.low,
                "high": np.nan if rate.alarms.high is None else rate.alarms.high,
                "undecided": rate.undecided,
            }
            for rate in result.rates
            if rate.alarms.value is not None
        ]
    )
    if rows.empty:
        return None
    return Figure(alarms(rows), "Points with intervals: the share of equal pairs in which each check alarms.")
