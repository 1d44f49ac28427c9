"""A fitted forecast as a page: how often right, how calibrated, what stopping saves, and bases alone."""

from __future__ import annotations

import pandas as pd

from diag.forecasts.result import BasesJudged, ForecastReport, Judged
from diag.outputs import study_forecast_words as words
from diag.outputs.forecast_words import fitted_words
from diag.outputs.sections import footer
from diag.wording import plural
from reports import Figure, Page, Section, forecasts

MOST_PANELS = 8
"""Most shares of the updates whose calibration is drawn."""


def page(result: ForecastReport) -> Page:
    """A fitted forecast as a page."""
    known = dict(result.forecaster.fitted_to)
    facts = [
        ("outcome", words.outcome_words(result)),
        ("fitted to", fitted_words(known)),
        ("judged on", f"{plural(result.judged_on, 'base')}, each by a model that was not fitted to it"),
    ]
    sections = [_accuracy(result), _calibration(result.at("embedding")), _stopping(result), _bases(result)]
    title = f"Forecast: {', '.join(known['studies'])}"
    return Page(title, result.verdict.status, result.verdict.summary, facts, sections, footer())


def _accuracy(result: ForecastReport) -> Section:
    rows, table = [], []
    for j in result.judged:
        cells = words.Accuracy.of(j)
        line = {"view": cells.view, "share": j.share, "value": j.right.value, "low": j.right.low}
        rows.append({**line, "high": j.right.high, "said": f"{cells.done}: {cells.right}"})
        table.append(
            {
                "": f"{cells.done}, {cells.view}",
                "right": cells.right,
                "commoner end": cells.commoner_end,
                "Brier": cells.brier,
                "Brier of the mean": cells.brier_of_mean,
                "AUC": cells.auc,
                "slope": cells.slope,
            }
        )
    chart = forecasts.accuracy(pd.DataFrame(rows), result.judged[0].base_rate)
    described = "The share of outcomes that are forecast right over the updates done, with 95% bands."
    told = [
        "The likelier end counts as the forecast. The dashed line is what one gets by always naming the "
        f"commoner end. {words.ACCURACY_WORDS[0]}",
        words.ACCURACY_WORDS[1],
        words.ahead_words(result),
    ]
    return Section("How often it is right", told, Figure(chart, described), pd.DataFrame(table))


def _calibration(judged: list[Judged]) -> Section:
    rows = []
    for j in judged[-MOST_PANELS:]:
        for b in j.bins:
            said = words.came_true(b)
            line = {"panel": words.done(j.share), "forecast": b.forecast, "share": b.rate.value}
            rows.append({**line, "low": b.rate.low, "high": b.rate.high, "said": said})
    told = [
        "Each point is a bin of forecasts for bases that the model had not seen, beside the share of them "
        "that came true. On the dashed line as many come true as were forecast. The intervals are Wilson's "
        "and take transfers for independent; since transfers share bases, the true ones are wider."
    ]
    chart = forecasts.calibration(pd.DataFrame(rows))
    return Section("Whether the chances are as said", told, Figure(chart, "Forecasts beside outcomes."))


def _stopping(result: ForecastReport) -> Section:
    rule = result.stopping
    names = (f"ended {result.outcome}", "did not")
    rows = [
        {"when": "never" if part == 1 else words.done(part), "outcome": name, "count": count}
        for part, counts in rule.ended_at.items()
        for name, count in zip(names, counts, strict=True)
    ]
    shares = {
        "updates saved": words.share(rule.saved),
        f"lost of the {words.successes(result)}": words.share(rule.lost),
        **{f"stop {at} below": below for at, below in words.limits(result)},
    }
    table = pd.DataFrame([{"": name, "share, 95%": said} for name, said in shares.items()])
    told = [
        "The rule stops a transfer when its chance falls below half of the lowest chance that any success "
        "was given, on bases that the rule is not judged on. The chart shows when transfers of each end "
        "would have been stopped.",
        words.stopping_words(result),
    ]
    figure = Figure(forecasts.stopping(pd.DataFrame(rows), names), "Bars of transfers stopped at each share.")
    return Section("What stopping early saves and loses", told, figure, table)


def _bases(result: ForecastReport) -> Section:
    bases: BasesJudged | None = result.bases
    title = "From a base alone"
    if bases is None:
        return Section(title, [words.NO_BASES])
    rows = [
        {"base": name, "forecast": p, "rate": rate, "said": f"{name}: forecast {p:.0%}, was {rate:.0%}"}
        for name, p, rate in words.each_base(bases)
    ]
    told = [
        "This forecast is made before any transfer. It looks at what the base's encoder makes of the target "
        "task, and at how the base's frozen models take mirrored copies of its own embedding. "
        f"{words.bases_words(bases)}"
    ]
    chart = forecasts.bases(pd.DataFrame(rows), result.forecaster.mean_rate)
    return Section(title, told, Figure(chart, "The forecast rate of each base beside the rate it had."))
