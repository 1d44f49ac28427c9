"""A calibration of the gate as a page: how often each check alarms on pairs known to be equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs.calibrate_text import HEADER, brief, row, words
from diag.outputs.sections import footer
from reports import Page, Section

if TYPE_CHECKING:
    from diag.checks.result import Calibration


def page(result: Calibration) -> Page:
    """A calibration of the gate as a page."""
    rates = pd.DataFrame([row(rate) for rate in result.rates], columns=list(HEADER))
    failed = pd.DataFrame(
        [(one.base, one.transfer) for one in result.checked if one.outcome == "fail"],
        columns=["base", "transfer"],
    )
    sections = [Section("Each check", words(result), table=rates)]
    if len(failed):
        told = ["These pairs failed a check. Please make sure that they are truly equal."]
        sections.append(Section("Pairs that failed", told, table=failed))
    status = "warn" if len(failed) else "pass"
    facts = [("pairs", str(result.pairs)), ("files", str(len(result.files)))]
    return Page("check --calibrate", status, brief(result), facts, sections, footer())
