"""The gate's findings as a table: a row for each check of each pair."""

from __future__ import annotations

import pandas as pd

from diag.checks.result import Checked, Finding, Gate
from diag.outputs.tidy import cells


def frames(result: Gate) -> dict[str, pd.DataFrame]:
    """``findings``, and ``pairs``: each with its outcome, or why it could not be checked."""
    findings = [_row(one, finding) for one in result.checked for finding in one.findings]
    pairs = [
        {
            "base": one.base,
            "transfer": one.transfer,
            "outcome": "error" if one.error is not None else one.outcome,
            "error": one.error,
            "seconds": one.seconds,
        }
        for one in result.checked
    ]
    return {"findings": pd.DataFrame(findings), "pairs": pd.DataFrame(pairs)}


def _row(one: Checked, finding: Finding) -> dict[str, object]:
    limit = finding.threshold
    return {
        "base": one.base,
        "transfer": one.transfer,
        "check": finding.check,
        "of": finding.of,
        "outcome": finding.outcome,
        "level": finding.level,
        **cells(finding.measure),
        "limit": None if limit is None else limit.value,
        "accepted": finding.accepted,
        "message": finding.message,
    }
