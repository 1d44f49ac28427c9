"""One checkpoint's forecast as a page: its chance beside that of all transfers that the model knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs.forecast_words import KNOWN, model_words, what_words
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import named
from reports import Figure, Page, Section, forecasts

if TYPE_CHECKING:
    from diag.forecasts.result import Forecast


def page(result: Forecast) -> Page:
    """A forecast as a page."""
    facts = [("checkpoint", named(result.checkpoint))]
    if result.base is not None:
        facts.append(("base", named(result.base)))
    if result.share is not None:
        facts.append(("updates done", f"{result.share:.1%} of the transfer's"))
    facts.append(("outcome", result.outcome))
    sections = [_chance(result)]
    if result.warnings:
        sections.append(Section("Warnings", warning_words(result.warnings)))
    return Page("forecast", result.verdict.status, result.verdict.summary, facts, sections, footer())


def _chance(result: Forecast) -> Section:
    p = result.probability
    rows = pd.DataFrame(
        [
            {"name": what_words(result), "value": p.value, "low": p.low, "high": p.high},
            {
                "name": KNOWN,
                "value": result.common,
                "low": result.common,
                "high": result.common,
            },
        ]
    )
    words = [
        "The upper point is the forecast with its 95% interval. The lower point is the share of all the "
        f"transfers known to the model that ended {result.outcome}, which is the forecast of somebody who "
        "knows nothing about this one.",
        model_words(result),
    ]
    if result.stop is not None:
        does = "would stop" if result.stop else "would not stop"
        words.append(f"The model's stopping rule {does} this transfer here.")
    figure = Figure(forecasts.chance(rows), "The forecast with its interval, above that of all transfers.")
    return Section("The forecast", words, figure)
