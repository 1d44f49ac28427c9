"""A forecast as a table of one row."""

from __future__ import annotations

import pandas as pd

from diag.forecasts.result import Forecast
from diag.outputs.tidy import number, span


def frames(result: Forecast) -> dict[str, pd.DataFrame]:
    """``forecast``: the probability, where the transfer stands, and what the stopping rule says."""
    row = {
        "checkpoint": result.checkpoint.path,
        "base": None if result.base is None else result.base.path,
        "outcome": result.outcome,
        **span(result.probability),
        "common": result.common,
        "share": number(result.share),
        "stop": result.stop,
        "stop_below": number(result.stop_below),
    }
    return {"forecast": pd.DataFrame([row])}
