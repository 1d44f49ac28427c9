"""A fitted forecast as a page: how often right, how calibrated, what stopping saves, and bases alone."""

from __future__ import annotations

import pandas as pd

from diag.forecasts.result import BasesJudged, ForecastReport, Judged
from diag.outputs import study_forecast_words as words
from diag.outputs.forecast_words import fitted_words
from diag.outputs.sections import footer
from diag.wording import plural
from reports import Figure, Key, Page, Section, forecasts

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
    sections = [
        _course(result),
        _accuracy(result),
        _calibration(result.at("embedding")),
        _stopping(result),
        _bases(result),
        _next(result),
    ]
    title = ", ".join(map(str, known["studies"]))
    verdict = result.verdict
    return Page(
        title,
        verdict.status,
        verdict.summary,
        facts,
        sections,
        footer(),
        kind="study forecast",
        keys=_keys(result),
    )


def _early(result: ForecastReport) -> Judged:
    """Quality of the embedding's forecasts at the share nearest to where stopping begins."""
    at, _ = result.ahead_early
    return next(j for j in result.at("embedding") if j.share == at)


def _keys(result: ForecastReport) -> list[Key]:
    early, rule = _early(result), result.stopping
    return [
        Key(f"right {words.done(early.share)} of the updates", *_parted(words.share(early.right))),
        Key("by always naming the commoner end", f"{early.base_rate:.0%}"),
        Key("updates saved by stopping", *_parted(words.share(rule.saved))),
        Key(f"lost of {words.successes(result)}", *_parted(words.share(rule.lost))),
    ]


def _parted(told: str) -> tuple[str, str]:
    """A number and its interval: ``95% [91%, 98%]`` in two."""
    value, _, interval = told.partition(" ")
    return value, interval


def _course(result: ForecastReport) -> Section:
    """The chance given on the way, by how the transfers ended."""
    names = (f"ended {result.outcome}", "did not")
    rows = [
        {
            "name": name,
            "share": j.share,
            "value": m.value,
            "low": m.low,
            "high": m.high,
            "said": f"{words.done(j.share)}: {name}, {words.share(m)}",
        }
        for j in result.at("embedding")
        for name, m in zip(names, j.given, strict=True)
        if m.value is not None
    ]
    rate = result.forecaster.fitted_to["ended_well"] / result.forecaster.fitted_to["transfers"]
    first, last = (result.at("embedding")[place] for place in (0, -1))
    told = [
        f"{words.done(j.share).capitalize()} of the updates, transfers that ended {result.outcome} were "
        f"given a chance of {words.share(j.given[0])}, and the others of {words.share(j.given[1])}."
        for j in dict.fromkeys((first, last))
    ]
    table = pd.DataFrame(
        [
            {
                "updates done": f"{j.share * 100:g}%",
                **{name: words.share(m) for name, m in zip(names, j.given, strict=True)},
            }
            for j in result.at("embedding")
        ]
    )
    chart = forecasts.course(pd.DataFrame(rows), rate, f"all that ended {result.outcome}")
    notes = [
        "Means of the chances that were given from the embedding, each by a model that was not fitted to the "
        "transfer's base. The bands are 95% intervals and resample bases. The further the two lines part, "
        "the more a forecast tells."
    ]
    figure = Figure(chart, "The mean chance given over the updates done, by how transfers ended.")
    return Section("The chance on the way", told, figure, table, notes, folded=True, short="Chance")


def _next(result: ForecastReport) -> Section:
    told = [
        "The model forecasts a transfer from a checkpoint on its way, and a training loop asks it by "
        "diag.watch (docs/forecast.md)."
    ]
    commands = ["diag forecast transfer.step5000.safetensors --model forecast.json"]
    return Section("What to do next", told, commands=commands, short="Next")


def _accuracy(result: ForecastReport) -> Section:
    rows, table = [], []
    for j in result.judged:
        cells = words.Accuracy.of(j)
        line = {"view": cells.view, "share": j.share, "value": j.right.value, "low": j.right.low}
        rows.append({**line, "high": j.right.high, "said": f"{cells.done}: {cells.right}"})
        table.append(
            {
                "forecast": f"{cells.done}, {cells.view}",
                "right": cells.right,
                "commoner end": cells.commoner_end,
                "Brier": cells.brier,
                "Brier of the mean": cells.brier_of_mean,
                "AUC": cells.auc,
                "slope": cells.slope,
            }
        )
    chart = forecasts.accuracy(pd.DataFrame(rows), result.judged[0].base_rate)
    described = "The share of outcomes that are forecast right over the updates done, with 95% intervals."
    early = _early(result)
    told = [
        f"{words.done(early.share).capitalize()} of the updates {words.share(early.right)} of the outcomes "
        f"are forecast right from the embedding; always naming the commoner end gets {early.base_rate:.0%}.",
        words.ahead_words(result),
    ]
    notes = [
        "The likelier end counts as the forecast. The dashed line is what one gets by always naming the "
        f"commoner end. {words.ACCURACY_WORDS[0]}",
        words.ACCURACY_WORDS[1],
    ]
    figure, title = Figure(chart, described), "How often it is right"
    return Section(title, told, figure, pd.DataFrame(table), notes, folded=True, short="Accuracy")


def _calibration(judged: list[Judged]) -> Section:
    rows, table, within = [], [], 0
    last = judged[-MOST_PANELS:]
    for j in last:
        for b in j.bins:
            within += (b.rate.low or 0.0) <= b.forecast <= (1.0 if b.rate.high is None else b.rate.high)
            said = words.came_true(b)
            line = {"panel": words.done(j.share), "forecast": b.forecast, "share": b.rate.value, "of": b.of}
            rows.append({**line, "low": b.rate.low, "high": b.rate.high, "said": said})
            table.append(
                {
                    "updates done": f"{j.share * 100:g}%",
                    "chance given": f"{b.forecast:.0%}",
                    "came true": f"{b.came_true} of {b.of}",
                    "share, 95%": words.share(b.rate),
                }
            )
    told = [
        f"In {within} of {plural(len(rows), 'bin')} the interval of what came true holds the chance that was "
        f"given. The slope is {words.slope(last[0].slope)} {words.done(last[0].share)} of the updates and "
        f"{words.slope(last[-1].slope)} {words.done(last[-1].share)}, where 1 is calibrated."
    ]
    notes = [
        "Each point is a bin of forecasts for bases that the model had not seen, beside the share of them "
        "that came true. On the dashed line as many come true as were forecast. The intervals are Wilson's "
        "and take transfers for independent; since transfers share bases, the true ones are wider."
    ]
    figure = Figure(forecasts.calibration(pd.DataFrame(rows)), "Forecasts beside outcomes, by updates done.")
    title = "Whether the chances are as said"
    return Section(title, told, figure, pd.DataFrame(table), notes, folded=True, short="Calibration")


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
    table = pd.DataFrame([{"measure": name, "share, 95%": said} for name, said in shares.items()])
    told = [
        f"It saves {words.share(rule.saved)} of the updates and loses {words.share(rule.lost)} of the "
        f"{words.successes(result)}.",
        words.stopping_words(result),
    ]
    notes = [
        "The rule stops a transfer when its chance falls below half of the lowest chance that any success "
        "was given, on bases that the rule is not judged on. The chart shows when transfers of each end "
        "would have been stopped."
    ]
    figure = Figure(forecasts.stopping(pd.DataFrame(rows), names), "Bars of transfers stopped at each share.")
    title = "What stopping early saves and loses"
    return Section(title, told, figure, table, notes, short="Stopping")


def _bases(result: ForecastReport) -> Section:
    bases: BasesJudged | None = result.bases
    title = "From a base alone"
    if bases is None:
        return Section(title, [words.NO_BASES], short="Bases")
    rows = [
        {"base": name, "forecast": p, "rate": rate, "said": f"{name}: forecast {p:.0%}, was {rate:.0%}"}
        for name, p, rate in words.each_base(bases)
    ]
    told = [words.bases_words(bases)]
    notes = [
        "This forecast is made before any transfer. It looks at what the base's encoder makes of the target "
        "task, and at how the base's frozen models take mirrored copies of its own embedding."
    ]
    table = pd.DataFrame(
        [
            {"base": name, "forecast": f"{p:.0%}", "ended well": f"{rate:.0%}"}
            for name, p, rate in words.each_base(bases)
        ]
    )
    chart = forecasts.bases(pd.DataFrame(rows), result.forecaster.mean_rate)
    figure = Figure(chart, "The forecast rate of each base beside the rate it had.")
    return Section(title, told, figure, table, notes, folded=True, short="Bases")
