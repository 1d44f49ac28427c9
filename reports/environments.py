"""The charts of environment metrics: bars with intervals by look and plan, curves by plan a panel a look."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, WIDE, finish, multiples
from reports.spec import GREY, TEXT

KNOWN = {
    "random": GREY,
    "freeze-embedding": PALETTE[3],
    "freeze-head": PALETTE[0],
    "update-all": PALETTE[4],
    "freeze-all": PALETTE[2],
    "from-scratch": PALETTE[1],
}
"""Colours of plans, those of the third paper's figures where the palette has them."""

BAR = 13
"""Height of a bar."""


def bars(rows: pd.DataFrame) -> Any:
    """Bars with intervals, a panel a quantity; ``rows``: panel, look, plan, value, low, high, told."""
    looks, plans = list(dict.fromkeys(rows["look"])), list(dict.fromkeys(rows["plan"]))
    # Every panel has the same rows, also where a plan has no bar in it: what is level belongs together.
    offset = alt.YOffset("plan:N", sort=plans, scale=alt.Scale(domain=plans))
    rows_of, ticks = alt.Scale(domain=looks), alt.Axis(tickCount=8)
    charts = []
    for panel in dict.fromkeys(rows["panel"]):
        mine = rows[rows["panel"] == panel]
        base = alt.Chart(mine).encode(
            y=alt.Y("look:N", sort=looks, title=None, scale=rows_of, axis=alt.Axis(labelLimit=150)),
            yOffset=offset,
            color=_colour(plans),
        )
        drawn = base.mark_bar(opacity=0.85, aria=False).encode(
            x=alt.X("value:Q", title=panel, axis=ticks), x2=alt.datum(0), tooltip=["told:N"]
        )
        spans = (
            alt.Chart(mine)
            .mark_rule(strokeWidth=1.5, color="currentColor")
            .encode(
                y=alt.Y("look:N", sort=looks, title=None, scale=rows_of),
                yOffset=offset,
                x=alt.X("low:Q", title=panel, axis=ticks),
                x2="high:Q",
            )
        )
        height = (BAR * len(plans) + 12) * len(looks)
        charts.append(alt.layer(drawn, spans).properties(width=WIDE - 220, height=height))
    return finish(alt.concat(*charts, columns=2))


def curves(rows: pd.DataFrame, lines: pd.DataFrame, unit: str) -> Any:
    """Mean returns with bands; ``rows``: look, plan, frames, mean, low, high, runs.

    ``lines`` (look, score, name) are drawn through the panel of their look.
    """
    plans = list(dict.fromkeys(rows["plan"]))
    known = [rows["low"].min(), rows["high"].max(), *lines["score"]]
    scale = alt.Scale(domain=[float(min(known)), float(max(known))], nice=True)
    charts = []
    for look in dict.fromkeys(rows["look"]):
        base = alt.Chart(rows[rows["look"] == look]).encode(
            x=alt.X("frames:Q", title=unit, axis=alt.Axis(format="~s", tickCount=5)), color=_colour(plans)
        )
        band = base.mark_area(opacity=0.13, aria=False).encode(
            y=alt.Y("low:Q", title="mean return", scale=scale), y2="high:Q"
        )
        line = base.mark_line(strokeWidth=1.8, aria=False).encode(
            y=alt.Y("mean:Q", title="mean return", scale=scale),
            tooltip=["plan:N", "frames:Q", alt.Tooltip("mean:Q", format=".2f"), "runs:Q"],
        )
        rule = (
            alt.Chart(lines[lines["look"] == look])
            .mark_rule(strokeDash=[4, 3], color=GREY)
            .encode(y=alt.Y("score:Q", title="mean return", scale=scale), tooltip=["name:N"])
        )
        title = alt.Title(look, fontSize=TEXT)
        charts.append(alt.layer(rule, band, line).properties(title=title, width=300, height=180))
    return finish(multiples(charts, 3))


def _colour(plans: list[str]) -> Any:
    spare = [PALETTE[5], "#8C6D31", "#6B6B6B", "#8B1A1A", "#3B3B98"]
    others = [plan for plan in plans if plan not in KNOWN]
    colours = KNOWN | {plan: spare[i % len(spare)] for i, plan in enumerate(others)}
    return alt.Color(
        "plan:N",
        title=None,
        sort=plans,
        scale=alt.Scale(domain=plans, range=[colours[plan] for plan in plans]),
        legend=alt.Legend(columns=6, symbolOpacity=1),
    )
