"""The charts of studies: rates by base, outcomes, curves with bands, and embeddings as small multiples."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, SHAPES, WIDE, finish, line_keys, multiples, pointed
from reports.palette import OUTCOMES as OUTCOMES
from reports.spec import INK, TEXT

RELATIONS = {
    "matched": "#009E73",
    "flipped": "#D55E00",
    "permuted": "#CC79A7",
    "rotated": "#E69F00",
    "rescaled": "#56B4E9",
    "affine": "#0072B2",
    "collapsed": "#8C6D31",
    "unrelated": "#6B6B6B",
    "undecided": "#B5B5B5",
    "not finite": "#8B1A1A",
}

SMALL, LOW = 285, 120
"""Width and height of one of two panels side by side."""

PLAIN_SHAPES = ["square", "cross", "diamond", "triangle-up", "triangle-down", "circle"]
"""Shapes for small marks in great number: a square's outline is half as long as a circle's."""

MOST_ROOMY = 15
"""Most bases whose rows are high enough for words."""

DARK = 0.7
"""Share from which a cell of the matrix is dark."""

STAGE = 175
"""Side of a panel that shows a stage."""


def rates(rows: pd.DataFrame, published: pd.DataFrame, title: str = "base") -> Any:
    """Success by base with intervals; ``rows``: panel, base, share, low, high, said.

    ``published`` (name, share) are rates to hold them against, drawn as dashed lines in every panel.
    ``title`` says what ``base`` holds, such as plans.
    """
    panels = list(dict.fromkeys(rows["panel"]))
    charts = []
    for panel in panels:
        mine = rows[rows["panel"] == panel]
        order = list(mine["base"])
        y = alt.Y("base:N", sort=order, title=title if len(panels) == 1 else None)
        x = alt.X(
            "share:Q",
            title="transfers that succeed",
            axis=alt.Axis(format="%", tickCount=5),
            scale=alt.Scale(domain=[0, 1]),
        )
        base = alt.Chart(mine).encode(y=y, tooltip=["base:N", "said:N"])
        spans = base.mark_rule(strokeWidth=2, color=PALETTE[0]).encode(
            x=alt.X("low:Q", title="transfers that succeed"), x2="high:Q"
        )
        points = base.mark_point(filled=True, size=70, opacity=1, color=PALETTE[0]).encode(x=x)
        words = base.mark_text(align="left", dx=8, dy=-9, fontSize=TEXT, color=INK).encode(x=x, text="said:N")
        lines = (
            alt.Chart(published)
            .mark_rule(strokeDash=[4, 3], color="#888888")
            .encode(x="share:Q", tooltip=["name:N"])
        )
        names = (
            alt.Chart(published)
            .mark_text(align="center", baseline="bottom", dy=-3, fontSize=TEXT, color="#888888")
            .encode(x="share:Q", y=alt.value(0), text="name:N")
        )
        layers = [lines, names, spans, points] if len(published) else [spans, points]
        layers += [words] if len(panels) == 1 and len(order) <= MOST_ROOMY else []
        charts.append(
            alt.layer(*layers).properties(
                title=alt.Title("" if len(panels) == 1 else panel, offset=16),
                width=WIDE - 120 if len(panels) == 1 else 270,
                height=max(40, (28 if len(order) <= MOST_ROOMY else 16) * len(order)),
            )
        )
    return finish(multiples(charts, 2))


def matrix(cells: pd.DataFrame) -> Any:
    """Success of each variant (rows) under each plan (columns); ``cells``: variant, plan, share, said, told.

    A cell has its count in words, and is the darker the larger its share: neither hue nor order is needed.
    """
    variants, plans = list(dict.fromkeys(cells["variant"])), list(dict.fromkeys(cells["plan"]))
    # The dark half of the scale bears white letters.
    shown = cells.assign(dark=cells["share"] > DARK)
    base = alt.Chart(shown).encode(
        x=alt.X("plan:N", sort=plans, title=None, axis=alt.Axis(orient="top", labelAngle=0, domain=False)),
        y=alt.Y("variant:N", sort=variants, title=None, axis=alt.Axis(domain=False)),
        tooltip=["told:N"],
    )
    scale = alt.Scale(domain=[0, 1], range=["#F2F4F7", "#0072B2"])
    boxes = base.mark_rect(stroke="#88888866", aria=False).encode(
        color=alt.Color(
            "share:Q",
            title="transfers that succeed",
            scale=scale,
            legend=alt.Legend(format="%", gradientLength=180, tickCount=3),
        )
    )
    words = base.mark_text(fontSize=TEXT + 1, aria=False).encode(
        text="said:N",
        color=alt.condition(alt.datum.dark, alt.value("#FFFFFF"), alt.value("#1A1F26")),
    )
    width = max(300, min(WIDE - 130, 118 * len(plans)))
    drawn = alt.layer(boxes, words).properties(width=width, height=34 * len(variants))
    return finish(drawn, scale=alt.ScaleConfig(bandPaddingInner=0.04))


def relations(rows: pd.DataFrame, title: str = "base") -> Any:
    """Bars of the relations of each base's transfers; ``rows``: panel, base, relation, count, order.

    ``title`` says what ``base`` holds, such as plans.
    """
    panels = list(dict.fromkeys(rows["panel"]))
    names = [name for name in RELATIONS if name in set(rows["relation"])]
    names += sorted(set(rows["relation"]) - set(names))
    colours = alt.Scale(domain=names, range=[RELATIONS.get(name, "#444444") for name in names])
    charts = []
    for panel in panels:
        mine = rows[rows["panel"] == panel]
        order = list(dict.fromkeys(mine["base"]))
        charts.append(
            alt.Chart(mine)
            .mark_bar(stroke="#88888888", strokeWidth=0.5)
            .encode(
                x=alt.X("count:Q", title="transfers", axis=alt.Axis(tickMinStep=1)),
                y=alt.Y("base:N", sort=order, title=title),
                color=alt.Color("relation:N", title=None, scale=colours, sort=names),
                order="order:Q",
                tooltip=["base:N", "relation:N", "count:Q"],
            )
            .properties(
                title="" if len(panels) == 1 else panel,
                width=WIDE - 120 if len(panels) == 1 else 270,
                height=max(40, 18 * len(order)),
            )
        )
    return finish(multiples(charts, 2))


def outcomes(bars: pd.DataFrame) -> Any:
    """Histograms of successes and failures, stacked; ``bars``: panel, left, right, low, high, outcome."""
    names = [n for n in OUTCOMES if n in set(bars["outcome"])]
    colour = _outcome_colour(names)
    tooltip = ["outcome:N", *(alt.Tooltip(f"{c}:Q", format=".3f") for c in ("left", "right"))]
    charts = [
        alt.Chart(bars[bars["panel"] == panel])
        .mark_bar(stroke="#88888888", strokeWidth=0.5, aria=False)
        .encode(
            x=alt.X("left:Q", title=panel, scale=alt.Scale(zero=False)),
            x2="right:Q",
            y=alt.Y("low:Q", title="transfers", axis=alt.Axis(tickMinStep=1)),
            y2="high:Q",
            color=colour,
            tooltip=tooltip,
        )
        .properties(width=SMALL - 10, height=LOW + 20)
        for panel in dict.fromkeys(bars["panel"])
    ]
    return finish(alt.concat(*charts, columns=2))


def margins(rows: pd.DataFrame, needed: int | None) -> Any:
    """The share of transfers that succeed against the states required: required, share, name, said."""
    names = list(dict.fromkeys(rows["name"]))
    lines = (
        alt.Chart(rows)
        .mark_line(interpolate="step", point=True)
        .encode(
            x=alt.X(
                "required:Q",
                title="states that must be nearest to their own base state",
                scale=alt.Scale(zero=False, nice=False),
                axis=alt.Axis(tickMinStep=1),
            ),
            y=alt.Y(
                "share:Q",
                title="transfers that succeed",
                axis=alt.Axis(format="%"),
                scale=alt.Scale(domain=[0, 1]),
            ),
            color=_named("name", names),
            tooltip=["name:N", "required:Q", "said:N"],
        )
    )
    layers = [lines]
    if needed is not None:
        rule = alt.Chart(pd.DataFrame({"required": [needed]})).mark_rule(strokeDash=[4, 3], color="#888888")
        layers.insert(0, rule.encode(x="required:Q"))
    return finish(alt.layer(*layers).properties(width=WIDE - 120, height=130))


def curves(rows: pd.DataFrame, x_title: str = "updates") -> Any:
    """A panel a quantity, a line and a band an outcome; ``rows``: panel, step, value, low, high, outcome."""
    names = [n for n in OUTCOMES if n in set(rows["outcome"])]
    keys = line_keys("outcome", names, [OUTCOMES[name] for name in names])
    charts = []
    for panel in dict.fromkeys(rows["panel"]):
        mine = rows[rows["panel"] == panel]
        base = alt.Chart(mine).encode(x=_steps(x_title))
        y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False))
        band = base.mark_area(opacity=0.25, aria=False).encode(
            y=alt.Y("low:Q", title=None), y2="high:Q", color=keys["color"]
        )
        line = base.mark_line(strokeWidth=2, point=pointed(mine["step"]), aria=False).encode(
            y=y,
            **keys,
            tooltip=["outcome:N", "step:Q", alt.Tooltip("value:Q", format=".4f")],
        )
        charts.append(alt.layer(band, line).properties(title=panel, width=SMALL, height=LOW))
    return finish(multiples(charts, 2))


def scores(rows: pd.DataFrame) -> Any:
    """Mean scores and standard errors; ``rows``: panel, name, step, mean, low, high."""
    charts = []
    for panel in dict.fromkeys(rows["panel"]):
        mine = rows[rows["panel"] == panel]
        colour = _named("name", list(dict.fromkeys(mine["name"])))
        base = alt.Chart(mine).encode(x=_steps("updates"))
        band = base.mark_area(opacity=0.15, aria=False).encode(
            y=alt.Y("low:Q", title="score"), y2="high:Q", color=colour
        )
        line = base.mark_line(strokeWidth=2, point=pointed(mine["step"]), aria=False).encode(
            y=alt.Y("mean:Q", title="score", scale=alt.Scale(zero=False)),
            color=colour,
            tooltip=["name:N", "step:Q", alt.Tooltip("mean:Q", format=".2f")],
        )
        charts.append(alt.layer(band, line).properties(title=panel, width=SMALL, height=LOW + 60))
    return finish(multiples(charts, 2).resolve_scale(color="independent"))


def stages(points: pd.DataFrame, lines: pd.DataFrame, colour: str | None) -> Any:
    """Embeddings at growing steps, a row a run; ``points``: row, panel, x, y, group; ``lines`` with x2, y2.

    All panels have the same axes. ``colour`` is the name of the variable whose categories the groups are.
    """
    groups = list(dict.fromkeys(points["group"]))
    x_scale, y_scale = (
        alt.Scale(domain=[float(points[c].min()), float(points[c].max())], nice=False, padding=8)
        for c in "xy"
    )
    rows = []
    for row in dict.fromkeys(points["row"]):
        panels = []
        for panel in dict.fromkeys(points.loc[points["row"] == row, "panel"]):
            x = alt.X("x:Q", title="axis 0", scale=x_scale, axis=alt.Axis(tickCount=3))
            y = alt.Y("y:Q", title="axis 1", scale=y_scale, axis=alt.Axis(tickCount=3))
            own = lines[(lines["row"] == row) & (lines["panel"] == panel)]
            arrows = (
                alt.Chart(own.drop(columns=["row", "panel"]))
                .mark_rule(opacity=0.4, strokeWidth=0.7, color="#888888", clip=True, aria=False)
                .encode(x=x, y=y, x2="x2:Q", y2="y2:Q")
            )
            mine = points[(points["row"] == row) & (points["panel"] == panel)]
            states = (
                alt.Chart(mine.drop(columns=["row", "panel"]))
                .mark_point(filled=True, size=38, opacity=0.95, aria=False)
                .encode(x=x, y=y, **_groups(groups, colour))
            )
            title = alt.Title(panel, fontWeight="normal", fontSize=TEXT)
            panels.append(alt.layer(arrows, states) if len(own) else alt.layer(states))
            panels[-1] = panels[-1].properties(title=title, width=STAGE, height=STAGE)
        rows.append(alt.hconcat(*panels, title=row))
    return finish(alt.vconcat(*rows))


def sheet(points: pd.DataFrame, frames: pd.DataFrame, titles: pd.DataFrame, colour: str | None) -> Any:
    """Many small scatter plots in one picture, everything placed in pixels from its top left corner.

    ``points``: x, y, group; ``frames``: x, y, x2, y2 and label, one a panel; ``titles``: x, y, words, one a
    block of panels; ``colour`` is the name of the variable whose categories the groups are. A chart of facets
    would take half as much again in the page.
    """
    groups = list(dict.fromkeys(points["group"]))
    x, y = alt.X("x:Q", scale=None, axis=None), alt.Y("y:Q", scale=None, axis=None)
    boxes = (
        alt.Chart(frames)
        .mark_rect(fill=None, stroke="#88888855", aria=False)
        .encode(x=x, y=y, x2="x2:Q", y2="y2:Q")
    )
    labels = (
        alt.Chart(frames)
        .mark_text(align="left", dy=-4, fontSize=TEXT, color=INK, aria=False)
        .encode(x=x, y=y, text="label:N")
    )
    heads = (
        alt.Chart(titles)
        .mark_text(align="left", fontSize=12, fontWeight="bold", color=INK, aria=False)
        .encode(x=x, y=y, text="words:N")
    )
    marks = (
        alt.Chart(points)
        .mark_point(filled=True, size=16, opacity=1, strokeWidth=0, aria=False)
        .encode(x=x, y=y, **_groups(groups, colour, PLAIN_SHAPES))
    )
    width, height = float(frames["x2"].max()) + 1, float(frames["y2"].max()) + 1
    drawn = alt.layer(boxes, labels, heads, marks, view=alt.ViewBackground(stroke=None))
    drawn.usermeta = {"fixed": True}
    return finish(drawn.properties(width=max(width, WIDE), height=height))


def _steps(title: str) -> Any:
    return alt.X("step:Q", title=title, axis=alt.Axis(format="~s", tickCount=5))


def _groups(groups: list[str], title: str | None, shapes: list[str] = SHAPES) -> dict[str, Any]:
    """Colours and shapes of groups, with a legend of this title; without one there is no legend."""
    key = {"sort": groups} | ({"legend": None} if title is None else {"title": title})
    return {
        "color": alt.Color("group:N", scale=alt.Scale(domain=groups, range=PALETTE), **key),
        "shape": alt.Shape("group:N", scale=alt.Scale(domain=groups, range=shapes), **key),
    }


def _outcome_colour(names: list[str]) -> Any:
    return alt.Color(
        "outcome:N",
        title=None,
        sort=names,
        scale=alt.Scale(domain=names, range=[OUTCOMES[n] for n in names]),
        legend=alt.Legend(symbolOpacity=1),
    )


def _named(field: str, names: list[str]) -> Any:
    """Colours for names; more than the palette has take a longer one."""
    short = len(names) <= len(PALETTE)
    scale = (
        alt.Scale(domain=names, range=PALETTE[: len(names)])
        if short
        else alt.Scale(domain=names, scheme="tableau20")
    )
    legend = None if len(names) == 1 else alt.Legend(columns=6, labelLimit=300, symbolOpacity=1)
    return alt.Color(f"{field}:N", title=None, sort=names, scale=scale, legend=legend)
