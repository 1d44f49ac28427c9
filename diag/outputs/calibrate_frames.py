"""The gate's alarms among equal pairs as a table: a row for each check."""

from __future__ import annotations

import pandas as pd

from diag.checks.result import Calibration
from diag.outputs.tidy import cells, number


def frames(result: Calibration) -> dict[str, pd.DataFrame]:
    """``checks``: the share of the pairs that each alarmed at."""
    rows = [
        {
            "check": rate.name,
            "level": rate.level,
            "pairs": rate.pairs,
            **cells(rate.alarms),
            "undecided": rate.undecided,
            "limit": number(rate.limit),
            "clears": number(rate.clears),
        }
        for rate in result.rates
    ]
    return {"checks": pd.DataFrame(rows)}
