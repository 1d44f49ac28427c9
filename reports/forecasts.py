"""The charts of forecasts: accuracy, calibration, transfers stopped early, and bases one by one."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, WIDE, finish
from reports.studies import OUTCOMES

_INK = "currentColor"
_GREY = "#888888"

SIDE = 130
"""Pixels of a side of a calibration panel, four to a row."""

_PERCENT = alt.Axis(format="%")


def accuracy(rows: pd.DataFrame, commoner: float) -> Any:
    """Lines with bands over shares of the budget; ``rows``: view, share, value, low, high, said.

    ``commoner`` is what always naming the commoner end gets, a dashed line.
    """
    views = list(dict.fromkeys(rows["view"]))
    shares = sorted(set(rows["share"]))
    x = alt.X(
        "share:Q",
        title="updates that are done",
        scale=alt.Scale(type="log", domain=[shares[0], shares[-1]], nice=False, padding=10),
        axis=alt.Axis(format="~%", values=shares),
    )
    colour = alt.Color(
        "view:N",
        title=None,
        sort=views,
        scale=alt.Scale(domain=views, range=PALETTE),
        legend=alt.Legend(symbolOpacity=1, symbolType="stroke", symbolStrokeWidth=3),
    )
    least = min(float(rows["low"].min()), commoner)
    scale = alt.Scale(domain=[least, 1.0], zero=False, nice=False, padding=6)
    base = alt.Chart(rows).encode(x=x, color=colour, tooltip=["view:N", "said:N"])
    band = base.mark_area(opacity=0.15).encode(
        y=alt.Y("low:Q", title="forecast right", axis=_PERCENT, scale=scale), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2, point=True).encode(
        y=alt.Y("value:Q", scale=scale), strokeDash=alt.StrokeDash("view:N", sort=views, legend=None)
    )
    flat = alt.Chart(pd.DataFrame({"value": [commoner], "words": ["the commoner end"]}))
    rule = flat.mark_rule(strokeDash=[4, 3], color=_GREY).encode(y=alt.Y("value:Q", scale=scale))
    words = flat.mark_text(align="right", baseline="top", dy=4, dx=-4, fontSize=10, color=_GREY).encode(
        x=alt.value(WIDE - 120), y="value:Q", text="words:N"
    )
    return finish(alt.layer(rule, words, band, line).properties(width=WIDE - 120, height=210))


def chance(rows: pd.DataFrame) -> Any:
    """Probabilities with their intervals, one below the other; ``rows``: name, value, low, high."""
    names = list(rows["name"])
    base = alt.Chart(rows).encode(y=alt.Y("name:N", sort=names, title=None))
    scale = alt.Scale(domain=[0, 1])
    spans = base.mark_rule(strokeWidth=2, color=PALETTE[0]).encode(
        x=alt.X("low:Q", title="probability", axis=_PERCENT, scale=scale), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=70, opacity=1, color=PALETTE[0]).encode(
        x=alt.X("value:Q", scale=scale), tooltip=["name:N", alt.Tooltip("value:Q", format=".1%")]
    )
    return finish(alt.layer(spans, points).properties(width=WIDE - 140, height=60))


def calibration(rows: pd.DataFrame) -> Any:
    """Forecasts beside how many came true; ``rows``: panel, forecast, share, low, high, said."""
    diagonal = (
        alt.Chart(pd.DataFrame({"forecast": [0.0, 1.0], "share": [0.0, 1.0]}))
        .mark_line(strokeDash=[4, 3], color=_GREY, strokeWidth=1)
        .encode(x="forecast:Q", y="share:Q")
    )
    charts = []
    for place, panel in enumerate(dict.fromkeys(rows["panel"])):
        mine = rows[rows["panel"] == panel]
        axis = alt.Axis(format="%", values=[0, 0.5, 1])
        base = alt.Chart(mine).encode(
            x=alt.X("forecast:Q", title="forecast", axis=axis, scale=alt.Scale(domain=[0, 1])),
            tooltip=["said:N"],
        )
        title = "came true" if place % 4 == 0 else None
        y_scale = alt.Scale(domain=[0, 1])
        spans = base.mark_rule(strokeWidth=2, color=PALETTE[0], opacity=0.6).encode(
            y=alt.Y("low:Q", title=title, axis=axis, scale=y_scale), y2="high:Q"
        )
        points = base.mark_point(filled=True, size=45, opacity=1, color=PALETTE[0]).encode(
            y=alt.Y("share:Q", title=title, axis=axis, scale=y_scale)
        )
        charts.append(
            alt.layer(diagonal, spans, points).properties(
                title=alt.Title(panel, fontWeight="normal", fontSize=11), width=SIDE, height=SIDE
            )
        )
    return finish(alt.concat(*charts, columns=4))


def stopping(rows: pd.DataFrame, names: tuple[str, str]) -> Any:
    """Bars of transfers stopped at each share; ``rows``: when, outcome, count, of ``names`` (well, not)."""
    order = list(dict.fromkeys(rows["when"]))
    colour = alt.Color(
        "outcome:N",
        title=None,
        sort=list(names),
        scale=alt.Scale(domain=list(names), range=[OUTCOMES["success"], OUTCOMES["failure"]]),
    )
    base = alt.Chart(rows).encode(y=alt.Y("when:N", sort=order, title=None))
    bars = base.mark_bar(opacity=0.85).encode(
        x=alt.X("count:Q", title="transfers", axis=alt.Axis(tickMinStep=1)),
        color=colour,
        yOffset=alt.YOffset("outcome:N", sort=list(names)),
        tooltip=["when:N", "outcome:N", "count:Q"],
    )
    words = base.mark_text(align="left", dx=4, fontSize=10, color=_INK).encode(
        x="count:Q", yOffset=alt.YOffset("outcome:N", sort=list(names)), text="count:Q"
    )
    return finish(alt.layer(bars, words).properties(width=WIDE - 120, height=34 * len(order)))


def bases(rows: pd.DataFrame, mean: float) -> Any:
    """Forecast rate beside the observed rate, a point a base; ``rows``: base, forecast, rate, said."""
    scale = alt.Scale(domain=[0, 1])
    diagonal = (
        alt.Chart(pd.DataFrame({"forecast": [0.0, 1.0], "rate": [0.0, 1.0]}))
        .mark_line(strokeDash=[4, 3], color=_GREY, strokeWidth=1)
        .encode(x="forecast:Q", y="rate:Q")
    )
    upright = (
        alt.Chart(pd.DataFrame({"forecast": [mean], "words": ["the mean of all"]}))
        .mark_rule(strokeDash=[1, 3], color=_GREY)
        .encode(x="forecast:Q", tooltip=["words:N"])
    )
    points = (
        alt.Chart(rows)
        .mark_point(filled=True, size=55, opacity=0.6, color=PALETTE[0])
        .encode(
            x=alt.X("forecast:Q", title="forecast from the base alone", axis=_PERCENT, scale=scale),
            y=alt.Y("rate:Q", title="its transfers that ended well", axis=_PERCENT, scale=scale),
            tooltip=["said:N"],
        )
    )
    return finish(alt.layer(diagonal, upright, points).properties(width=280, height=280))
