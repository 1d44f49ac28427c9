"""The forecast of one transfer, or of a base's transfers, as a page."""

from __future__ import annotations

import pandas as pd

from diag._forecast import Forecast
from diag.outputs.forecast_text import done, fitted_words
from diag.outputs.html import footer, warning_words
from reports import Page, Section, render


def page(result: Forecast) -> str:
    """The page of a forecast: the chance with its interval, beside what is known without looking."""
    p, of_base = result.probability, result.base is None
    facts = [("outcome", result.outcome)]
    if result.base is not None:
        facts.append(("base", f"{result.base.path} ({result.base.label})"))
    name = "base" if of_base else "transfer"
    facts.append((name, f"{result.checkpoint.path} ({result.checkpoint.label})"))
    if result.share is not None:
        facts.append(("updates done", f"{result.share:.1%}"))
    if result.model_share is not None:
        facts.append(("model", f"that for {result.model_share:.1%} of the updates"))
    facts.append(("fitted to", fitted_words(result.fitted_to)))
    if result.stop is not None:
        facts.append(("stopping rule", "would stop it here" if result.stop else "would let it go on"))
    what = f"share that ends {result.outcome}" if of_base else f"chance that it ends {result.outcome}"
    rows = [
        (what, _percent(p.value), f"{_percent(p.low)} to {_percent(p.high)}"),
        ("of all transfers that the model knows", _percent(result.common), ""),
    ]
    table = pd.DataFrame(rows, columns=["", "forecast", "95% interval"])
    words = [
        "The forecast comes from a model that was fitted to finished transfers; the last row is what it "
        "would say without having seen this checkpoint.",
        *warning_words(result.warnings),
    ]
    title = "forecast" if result.share is None else f"forecast {done(result.share)}"
    sections = [Section("How it is expected to end", words, table=table)]
    return render(Page(title, result.verdict.status, result.verdict.summary, facts, sections, footer()))


def _percent(value: float) -> str:
    """Near 0 and 1, where a whole percent would say never or always, with more digits."""
    return f"{value:.0%}" if 0.01 <= value <= 0.99 else f"{value:.2%}"
