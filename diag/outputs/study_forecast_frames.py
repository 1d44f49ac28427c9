"""A judged forecast as tables: a row for each measure at each share of the budget, and for each bin."""

from __future__ import annotations

import pandas as pd

from diag.forecasts.result import MEASURES, ForecastReport
from diag.outputs.tidy import cells


def frames(result: ForecastReport) -> dict[str, pd.DataFrame]:
    """``judged`` and ``bins``: how often forecasts between two probabilities came true."""
    judged = [
        {"view": one.view, "share": one.share, "n": one.n, "measure": name, **cells(getattr(one, name))}
        for one in result.judged
        for name in MEASURES
    ]
    bins = [
        {"view": one.view, "share": one.share, **vars(part), "rate": part.came_true / part.of}
        for one in result.judged
        for part in one.bins
    ]
    return {"judged": pd.DataFrame(judged), "bins": pd.DataFrame(bins)}
