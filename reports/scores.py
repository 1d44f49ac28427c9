"""The charts of agents that act: what they earn, on their way, beside distances, and what predicts it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, SHAPES, WIDE, finish, line_keys, multiples, pointed
from reports.spec import GREY, INK, TEXT
from reports.studies import OUTCOMES, RELATIONS

PANEL, TALL, ACROSS = 240, 130, 4
"""Width and height of one of several panels side by side, and how many fit across a page."""

LINE = 30
"""Height of a row of points."""

ROC = 260
"""Side of a panel with ROC curves."""

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
    known = [float(v) for one in (rows, bases, lines) if len(one) for v in one["score"].dropna()]
    near = min(known, default=0.0) + 0.2 * (max(known, default=0.0) - min(known, default=0.0))
    names = (
        alt.Chart(lines)
        .mark_text(
            align={"expr": f"datum.score < {near} ? 'left' : 'center'"},
            baseline="bottom",
            dy=-4,
            fontSize=TEXT,
            color=GREY,
        )
        .encode(x="score:Q", y=alt.value(0), text="name:N")
    )
    return finish(
        alt.layer(rules, names, own, points).properties(width=WIDE - 120, height=LINE * max(len(order), 1))
    )


def on_the_way(runs: pd.DataFrame, value: str, rules: pd.DataFrame) -> Any:
    """A score or a distance over updates, a panel a base and a line a run.

    ``runs``: panel, run, step, outcome and the column ``value``; ``rules`` (the same column, and name) are
    drawn through all panels.
    """
    panels = list(dict.fromkeys(runs["panel"]))
    charts = [_runs(runs[runs["panel"] == panel], runs, value, rules, panel) for panel in panels]
    return finish(multiples(charts, 3 if len(charts) in (3, 5, 6) else min(ACROSS, len(charts))))


def _runs(mine: pd.DataFrame, every: pd.DataFrame, value: str, rules: pd.DataFrame, title: str) -> Any:
    known = [*every[value], *(rules[value] if len(rules) else [])]
    scale = alt.Scale(domain=[float(min(known)), float(max(known))], nice=True)
    y = alt.Y(f"{value}:Q", title=None, scale=scale)
    x = alt.X(
        "step:Q",
        title="updates",
        axis=alt.Axis(format="~s", tickCount=4),
        scale=alt.Scale(domain=[0, float(every["step"].max())]),
    )
    drawn = (
        alt.Chart(mine)
        .mark_line(strokeWidth=1.5, opacity=0.8, point=pointed(every["step"], 14), aria=False)
        .encode(
            x=x,
            y=y,
            color=_outcomes(set(every["outcome"])),
            detail="run:N",
            tooltip=["run:N", "outcome:N", "step:Q", alt.Tooltip(f"{value}:Q", format=".2f")],
        )
    )
    layers = [drawn]
    if len(rules):
        layers.insert(
            0, alt.Chart(rules).mark_rule(strokeDash=[4, 3], color=GREY).encode(y=y, tooltip=["name:N"])
        )
    return alt.layer(*layers).properties(title=title, width=PANEL, height=TALL)


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
            rule.mark_text(align="right", baseline="bottom", dx=-3, dy=-2, fontSize=TEXT, color=GREY).encode(
                x=alt.value(WIDE - 160), y=y, text="name:N"
            ),
        )
    if len(marks):
        paper = alt.Chart(marks)
        layers.append(paper.mark_point(shape="circle", size=190, color=GREY, strokeWidth=2).encode(x=x, y=y))
        layers.append(
            paper.mark_text(
                align={"expr": f"datum.l2 > {0.5 * far} ? 'right' : 'left'"},
                baseline="middle",
                dx={"expr": f"datum.l2 > {0.5 * far} ? -14 : 14"},
                fontSize=TEXT,
                color=GREY,
            ).encode(x=x, y=y, text="name:N")
        )
    return finish(alt.layer(*layers).properties(width=WIDE - 160, height=300))


def rocs(rows: pd.DataFrame) -> Any:
    """ROC curves; ``rows``: row, column, name, alarms, found, order, a panel a row and a column."""
    chance = pd.DataFrame({"alarms": [0.0, 1.0], "found": [0.0, 1.0]})
    charts = []
    for row in dict.fromkeys(rows["row"]):
        own = rows[rows["row"] == row]
        names = list(dict.fromkeys(own["name"]))
        keys = line_keys("name", names, [_COLOURS[place % len(_COLOURS)] for place in range(len(names))], 2)
        for column in dict.fromkeys(own["column"]):
            x = alt.X(
                "alarms:Q", title="successes taken for failures", axis=alt.Axis(format="%", tickCount=3)
            )
            y = alt.Y("found:Q", title="failures found", axis=alt.Axis(format="%", tickCount=3))
            grey = alt.Chart(chance).mark_line(strokeDash=[4, 3], color=GREY, aria=False).encode(x=x, y=y)
            curves = (
                alt.Chart(own[own["column"] == column])
                .mark_line(strokeWidth=2, aria=False)
                .encode(x=x, y=y, **keys, order="order:Q", tooltip=["name:N"])
            )
            drawn = alt.layer(grey, curves).properties(title=f"{row}, {column}", width=ROC, height=ROC)
            charts.append(drawn)
    return finish(multiples(charts, 2).resolve_scale(color="independent", strokeDash="independent"))


def areas(rows: pd.DataFrame) -> Any:
    """Areas under ROC curves with their intervals, a row a sign; ``rows``: name, way, value, low, high, told.

    A sign whose interval holds 0.5, the dashed line, is not shown to tell anything.
    """
    names, ways = list(dict.fromkeys(rows["name"])), list(dict.fromkeys(rows["way"]))
    scale = alt.Scale(domain=[0, 1], nice=False)
    base = alt.Chart(rows).encode(
        y=alt.Y("name:N", sort=names, title=None),
        yOffset=alt.YOffset("way:N", sort=ways),
        color=alt.Color("way:N", title=None, sort=ways, scale=alt.Scale(domain=ways, range=PALETTE[:2])),
        tooltip=["told:N"],
    )
    x_title = "how often a failure has the worse value (AUC)"
    spans = base.mark_rule(strokeWidth=2, aria=False).encode(
        x=alt.X("low:Q", title=x_title, scale=scale), x2="high:Q"
    )
    shapes = alt.Scale(domain=ways, range=["circle", "diamond"])
    dots = base.mark_point(filled=True, size=60, opacity=1, aria=False).encode(
        x=alt.X("value:Q", title=x_title, scale=scale),
        shape=alt.Shape("way:N", title=None, sort=ways, scale=shapes),
    )
    half = alt.Chart(pd.DataFrame({"value": [0.5]})).mark_rule(strokeDash=[4, 3], color=GREY)
    return finish(
        alt.layer(half.encode(x="value:Q"), spans, dots).properties(width=WIDE - 200, height=24 * len(names))
    )


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
        shown = list(dict.fromkeys(mine["name"]))
        keys = line_keys("name", shown, [_COLOURS[place % len(_COLOURS)] for place in range(len(shown))])
        base = alt.Chart(mine).encode(
            x=alt.X("step:Q", title="updates", axis=alt.Axis(format="~s", tickCount=5))
        )
        band = base.mark_area(opacity=0.15, aria=False).encode(
            y=alt.Y("low:Q", title="score", scale=scale), y2="high:Q", color=keys["color"]
        )
        line = base.mark_line(strokeWidth=2, point=pointed(mine["step"]), aria=False).encode(
            y=alt.Y("mean:Q", title="score", scale=scale),
            **keys,
            tooltip=["name:N", "step:Q", alt.Tooltip("mean:Q", format=".2f"), "runs:Q"],
        )
        layers = [band, line]
        if len(lines):
            rule = alt.Chart(lines).mark_rule(strokeDash=[4, 3], color=GREY)
            layers.insert(0, rule.encode(y=alt.Y("score:Q", scale=scale, title="score"), tooltip=["name:N"]))
        width = 280 if columns == 2 else WIDE - 120
        charts.append(alt.layer(*layers).properties(title=panel, width=width, height=180))
    named = {tuple(dict.fromkeys(rows.loc[rows["panel"] == panel, "name"])) for panel in panels}
    # Panels of the same names have one key for all of them.
    each = "shared" if len(named) == 1 else "independent"
    return finish(multiples(charts, columns).resolve_scale(color=each, strokeDash=each))


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
    spans = base.mark_rule(strokeWidth=2, color=INK).encode(y=alt.Y("low:Q", title="score"), y2="high:Q")
    middles = base.mark_point(filled=True, size=70, opacity=1, color=INK, shape="square").encode(
        y=alt.Y("mean:Q", title="score")
    )
    words = base.mark_text(baseline="top", fontSize=TEXT, color=GREY, dy=4, lineBreak="\n").encode(
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


def _outcomes(present: Collection[str] = OUTCOMES) -> Any:
    names = [name for name in OUTCOMES if name in present]
    return alt.Color(
        "outcome:N",
        title=None,
        sort=names,
        scale=alt.Scale(domain=names, range=[OUTCOMES[name] for name in names]),
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
