"""The charts of agents that act: what they earn, on their way, beside distances, and what predicts it."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, SHAPES, WIDE, finish
from reports.studies import OUTCOMES, RELATIONS

_INK = "currentColor"
GREY = "#888888"

PANEL, TALL = 175, 120
"""Width and height of one of three panels side by side."""

LINE = 30
"""Height of a row of points."""

_COLOURS = [*PALETTE, "#8C6D31", "#6B6B6B", "#8B1A1A", "#3B3B98"]
"""More names than the palette has, in the order that they are given."""


def earned(rows: pd.DataFrame, bases: pd.DataFrame, lines: pd.DataFrame) -> Any:
    """Scores of transfers by base; ``rows``: base, score, outcome, told; ``bases``: base, score.

    ``lines`` (score, name) are drawn through all rows.
    """
    order = list(dict.fromkeys(bases["base"]))
    y = alt.Y("base:N", sort=order, title="base")
    x = alt.X(
        "score:Q",
        title="score (mean return of an episode)",
        scale=alt.Scale(zero=False, padding=14),
        axis=alt.Axis(tickCount=8),
    )
    points = (
        alt.Chart(rows)
        .mark_point(filled=True, size=60, opacity=0.75, aria=False)
        .encode(x=x, y=y, color=_outcomes(), shape=_outcome_shapes(), tooltip=["told:N"])
    )
    own = (
        alt.Chart(bases)
        .mark_tick(thickness=3, height=LINE - 8, color=OUTCOMES["base"], aria=False)
        .encode(x=x, y=y, tooltip=[alt.Tooltip("score:Q", title="the base's own", format=".2f")])
    )
    rules = alt.Chart(lines).mark_rule(strokeDash=[4, 3], color=GREY).encode(x="score:Q")
    names = (
        alt.Chart(lines)
        .mark_text(align="center", baseline="bottom", dy=-4, fontSize=10, color=GREY)
        .encode(x="score:Q", y=alt.value(0), text="name:N")
    )
    return finish(
        alt.layer(rules, names, own, points).properties(width=WIDE - 120, height=LINE * max(len(order), 1))
    )


def on_the_way(
    returns: pd.DataFrame, distances: pd.DataFrame, lines: pd.DataFrame, marks: pd.DataFrame
) -> Any:
    """Score and distance over updates, a panel a base and a line a run.

    ``returns``: panel, run, step, score, outcome; ``distances``: panel, run, step, l2, outcome; ``lines``
    (score, name) and ``marks`` (l2, name) are drawn through all panels of their kind.
    """
    panels = list(
        dict.fromkeys([*distances["panel"], *returns["panel"]] if len(returns) else distances["panel"])
    )
    rows = []
    for start in range(0, len(panels), 3):
        for table, value, title, rules in (
            (returns, "score", "score", lines),
            (distances, "l2", "L2 distance to the base", marks),
        ):
            charts = [
                _runs(
                    table[table["panel"] == panel], table, value, title if not place else None, rules, panel
                )
                for place, panel in enumerate(panels[start : start + 3])
                if len(table)
            ]
            if charts:
                rows.append(alt.hconcat(*charts))
    return finish(alt.vconcat(*rows))


def _runs(
    mine: pd.DataFrame, every: pd.DataFrame, value: str, title: str | None, rules: pd.DataFrame, panel: str
) -> Any:
    known = [*every[value], *(rules[value] if len(rules) else [])]
    scale = alt.Scale(domain=[float(min(known)), float(max(known))], nice=True)
    y = alt.Y(f"{value}:Q", title=title, scale=scale)
    x = alt.X(
        "step:Q",
        title="updates",
        axis=alt.Axis(format="~s", tickCount=4),
        scale=alt.Scale(domain=[0, float(every["step"].max())]),
    )
    drawn = (
        alt.Chart(mine)
        .mark_line(strokeWidth=1.5, opacity=0.8, point=alt.OverlayMarkDef(size=14), aria=False)
        .encode(
            x=x,
            y=y,
            color=_outcomes(),
            detail="run:N",
            tooltip=["run:N", "outcome:N", "step:Q", alt.Tooltip(f"{value}:Q", format=".2f")],
        )
    )
    layers = [drawn]
    if len(rules):
        layers.insert(
            0, alt.Chart(rules).mark_rule(strokeDash=[4, 3], color=GREY).encode(y=y, tooltip=["name:N"])
        )
    return alt.layer(*layers).properties(
        title=alt.Title(panel, fontSize=11) if value == "score" else "", width=PANEL, height=TALL
    )


def against_score(rows: pd.DataFrame, marks: pd.DataFrame, lines: pd.DataFrame) -> Any:
    """Score against the distance to the base; ``rows``: l2, score, relation, base, told.

    ``marks`` (l2, score, name) are numbers of others, ``lines`` (score, name) standards.
    """
    names = [n for n in RELATIONS if n in set(rows["relation"])]
    names += sorted(set(rows["relation"]) - set(names))
    bases = list(dict.fromkeys(rows["base"]))
    far = max(float(known) for known in (*rows["l2"], *marks["l2"]))
    x = alt.X("l2:Q", title="L2 distance to the base's embeddings", scale=alt.Scale(domain=[0, 1.08 * far]))
    y = alt.Y("score:Q", title="score", scale=alt.Scale(zero=False, padding=12))
    key = {"orient": "right", "symbolOpacity": 1, "symbolLimit": 24}
    points = (
        alt.Chart(rows)
        .mark_point(filled=True, size=75, opacity=0.85, aria=False)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "relation:N",
                title="relation",
                sort=names,
                scale=alt.Scale(domain=names, range=[RELATIONS.get(n, "#444444") for n in names]),
                legend=alt.Legend(**key),
            ),
            shape=alt.Shape(
                "base:N",
                title="base",
                sort=bases,
                scale=alt.Scale(domain=bases, range=[SHAPES[i % len(SHAPES)] for i in range(len(bases))]),
                legend=alt.Legend(**key) if len(bases) > 1 else None,
            ),
            tooltip=["told:N"],
        )
    )
    layers = [points]
    if len(lines):
        rule = alt.Chart(lines)
        layers.insert(0, rule.mark_rule(strokeDash=[4, 3], color=GREY).encode(y=y))
        layers.insert(
            1,
            rule.mark_text(align="right", baseline="bottom", dx=-3, dy=-2, fontSize=10, color=GREY).encode(
                x=alt.value(WIDE - 160), y=y, text="name:N"
            ),
        )
    if len(marks):
        paper = alt.Chart(marks)
        layers.append(paper.mark_point(shape="circle", size=190, color=GREY, strokeWidth=2).encode(x=x, y=y))
        layers.append(
            paper.mark_text(align="center", dy=18, fontSize=10, color=GREY).encode(x=x, y=y, text="name:N")
        )
    return finish(alt.layer(*layers).properties(width=WIDE - 160, height=300))


def _by_name(names: pd.Series, legend: Any) -> Any:
    """A colour for each name, in the order in which they come."""
    known = list(dict.fromkeys(names))
    colours = [_COLOURS[i % len(_COLOURS)] for i in range(len(known))]
    scale = alt.Scale(domain=known, range=colours)
    return alt.Color("name:N", title=None, sort=known, scale=scale, legend=legend)


def rocs(rows: pd.DataFrame) -> Any:
    """ROC curves; ``rows``: row, column, name, alarms, found, order, a panel a row and a column."""
    chance = pd.DataFrame({"alarms": [0.0, 1.0], "found": [0.0, 1.0]})
    lines = []
    for row in dict.fromkeys(rows["row"]):
        own = rows[rows["row"] == row]
        legend = alt.Legend(orient="right", symbolOpacity=1, symbolStrokeWidth=3, labelLimit=220)
        colour = _by_name(own["name"], legend)
        panels = []
        for column in dict.fromkeys(own["column"]):
            x = alt.X(
                "alarms:Q", title="successes taken for failures", axis=alt.Axis(format="%", tickCount=3)
            )
            y = alt.Y("found:Q", title="failures found", axis=alt.Axis(format="%", tickCount=3))
            grey = alt.Chart(chance).mark_line(strokeDash=[4, 3], color=GREY, aria=False).encode(x=x, y=y)
            curves = (
                alt.Chart(own[own["column"] == column])
                .mark_line(strokeWidth=2, aria=False)
                .encode(x=x, y=y, color=colour, order="order:Q", tooltip=["name:N"])
            )
            panels.append(
                alt.layer(grey, curves).properties(
                    title=alt.Title(column, fontSize=11, fontWeight="normal"), width=195, height=195
                )
            )
        lines.append(alt.hconcat(*panels, title=row))
    return finish(alt.vconcat(*lines).resolve_scale(color="independent"))


def means(rows: pd.DataFrame, lines: pd.DataFrame, columns: int = 2) -> Any:
    """Mean scores over updates with bands; ``rows``: panel, name, step, mean, low, high; ``lines``: score.

    Panels share their score axis, and their names' colours where they have the same names.
    """
    panels = list(dict.fromkeys(rows["panel"]))
    known = [rows["low"].min(), rows["high"].max(), *(lines["score"] if len(lines) else [])]
    scale = alt.Scale(domain=[float(min(known)), float(max(known))], nice=True)
    charts = []
    for panel in panels:
        mine = rows[rows["panel"] == panel]
        colour = _by_name(mine["name"], alt.Legend(columns=3, labelLimit=200, symbolOpacity=1))
        base = alt.Chart(mine).encode(
            x=alt.X("step:Q", title="updates", axis=alt.Axis(format="~s", tickCount=5))
        )
        band = base.mark_area(opacity=0.15, aria=False).encode(
            y=alt.Y("low:Q", title="score", scale=scale), y2="high:Q", color=colour
        )
        line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=18), aria=False).encode(
            y=alt.Y("mean:Q", title="score", scale=scale),
            color=colour,
            tooltip=["name:N", "step:Q", alt.Tooltip("mean:Q", format=".2f"), "runs:Q"],
        )
        layers = [band, line]
        if len(lines):
            rule = alt.Chart(lines).mark_rule(strokeDash=[4, 3], color=GREY)
            layers.insert(0, rule.encode(y=alt.Y("score:Q", scale=scale, title="score"), tooltip=["name:N"]))
        width = 280 if columns == 2 else WIDE - 120
        charts.append(alt.layer(*layers).properties(title=panel, width=width, height=180))
    return finish(alt.concat(*charts, columns=columns).resolve_scale(color="independent"))


def sweep(points: pd.DataFrame, runs: pd.DataFrame, lines: pd.DataFrame, setting: str) -> Any:
    """Scores at each value of a setting; ``points``: name, mean, low, high, said; ``runs``: name, score."""
    order = list(points["name"])
    x = alt.X("name:N", sort=order, title=setting, axis=alt.Axis(labelAngle=0))
    y = alt.Y("score:Q", title="score", scale=alt.Scale(zero=False, padding=12))
    dots = (
        alt.Chart(runs)
        .mark_point(filled=True, size=50, opacity=0.7, xOffset=12, aria=False)
        .encode(x=x, y=y, color=_outcomes(), shape=_outcome_shapes(), tooltip=["told:N"])
    )
    base = alt.Chart(points).encode(x=x)
    spans = base.mark_rule(strokeWidth=2, color=_INK).encode(y=alt.Y("low:Q", title="score"), y2="high:Q")
    middles = base.mark_point(filled=True, size=70, opacity=1, color=_INK, shape="square").encode(
        y=alt.Y("mean:Q", title="score")
    )
    words = base.mark_text(baseline="top", fontSize=10, color=GREY, dy=4, lineBreak="\n").encode(
        y=alt.value(0), text="said:N"
    )
    layers = [spans, middles, dots, words]
    if len(lines):
        layers.insert(
            0, alt.Chart(lines).mark_rule(strokeDash=[4, 3], color=GREY).encode(y=y, tooltip=["name:N"])
        )
    return finish(alt.layer(*layers).properties(width=WIDE - 120, height=240))


def losses(rows: pd.DataFrame) -> Any:
    """Medians and quartiles of each loss on a logarithmic axis; ``rows``: term, who, middle, low, high."""
    terms, who = list(dict.fromkeys(rows["term"])), list(dict.fromkeys(rows["who"]))
    colour = alt.Color(
        "who:N",
        title=None,
        sort=who,
        scale=alt.Scale(domain=who, range=[OUTCOMES[n] for n in who]),
        legend=alt.Legend(symbolOpacity=1),
    )
    base = alt.Chart(rows).encode(
        y=alt.Y("term:N", sort=terms, title=None), yOffset=alt.YOffset("who:N", sort=who), color=colour
    )
    axis = {"title": "loss", "scale": alt.Scale(type="log"), "axis": alt.Axis(format="~g", tickCount=6)}
    spans = base.mark_rule(strokeWidth=2, aria=False).encode(x=alt.X("low:Q", **axis), x2="high:Q")
    dots = base.mark_point(filled=True, size=60, opacity=1, aria=False).encode(
        x=alt.X("middle:Q", **axis), tooltip=["who:N", "term:N", alt.Tooltip("middle:Q", format=".3g")]
    )
    return finish(alt.layer(spans, dots).properties(width=WIDE - 160, height=16 * len(who) * len(terms)))


def _outcomes() -> Any:
    names = list(OUTCOMES)
    return alt.Color(
        "outcome:N",
        title=None,
        sort=names,
        scale=alt.Scale(domain=names, range=list(OUTCOMES.values())),
        legend=alt.Legend(symbolOpacity=1),
    )


def _outcome_shapes() -> Any:
    names = list(OUTCOMES)
    return alt.Shape(
        "outcome:N",
        title=None,
        sort=names,
        scale=alt.Scale(domain=names, range=["circle", "triangle-down", "square"]),
    )
