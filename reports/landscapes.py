"""The charts of landscapes: losses along ways and on planes, and the embedding's spread along them."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, WIDE, finish

ALONG = "t (A at 0, B at 1)"
SMALL, LOW = 270, 120
"""Width and height of one of two panels side by side."""

ENDS = pd.DataFrame({"t": [0.0, 1.0]})


def slices(curves: pd.DataFrame) -> Any:
    """Losses along a path by term and task; ``curves`` has t, loss, low, high, term and task."""
    tasks = list(dict.fromkeys(curves["task"]))
    rows = []
    for term in dict.fromkeys(curves["term"]):
        colour = _colour("task", "data of task", tasks)
        base = alt.Chart(curves[curves["term"] == term]).encode(x=alt.X("t:Q", title=ALONG))
        y = alt.Y("loss:Q", title=None)
        band = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", title=None), y2="high:Q", color=colour)
        line = base.mark_line(strokeWidth=2).encode(
            y=y,
            color=colour,
            strokeDash=alt.StrokeDash("task:N", legend=None, sort=tasks),
            tooltip=["task", "term", alt.Tooltip("t:Q", format=".2f"), alt.Tooltip("loss:Q", format=".4f")],
        )
        rows.append(alt.layer(_ends(), band, line).properties(title=term, width=SMALL, height=LOW))
    return finish(alt.concat(*rows, columns=2))


def ways(curves: pd.DataFrame) -> Any:
    """The total loss along each way; ``curves`` has t, loss, low, high and way."""
    names = list(dict.fromkeys(curves["way"]))
    colour = _colour("way", None, names, columns=1)
    base = alt.Chart(curves).encode(x=alt.X("t:Q", title=ALONG))
    band = base.mark_area(opacity=0.15).encode(
        y=alt.Y("low:Q", title="total loss"), y2="high:Q", color=colour
    )
    line = base.mark_line(strokeWidth=2).encode(
        y=alt.Y("loss:Q", title="total loss"),
        color=colour,
        strokeDash=alt.StrokeDash("way:N", legend=None, sort=names),
        tooltip=["way", alt.Tooltip("t:Q", format=".2f"), alt.Tooltip("loss:Q", format=".4f")],
    )
    return finish(alt.layer(band, line).properties(width=WIDE - 60, height=240))


def small_lines(values: pd.DataFrame, title: str | None) -> Any:
    """A panel a quantity, a line a name; ``values``: quantity, name, t, value, and perhaps low and high.

    One legend of this title serves all panels; without one each panel has its own.
    """
    panels = []
    banded = {"low", "high"} <= set(values.columns)
    for quantity in dict.fromkeys(values["quantity"]):
        part = values[values["quantity"] == quantity]
        names = list(dict.fromkeys(part["name"]))
        colour = _colour("name", title, names, columns=0 if title else 1)
        base = alt.Chart(part).encode(x=alt.X("t:Q", title=ALONG))
        line = base.mark_line(strokeWidth=2).encode(
            y=alt.Y("value:Q", title=None),
            color=colour,
            strokeDash=alt.StrokeDash("name:N", legend=None, sort=names),
            tooltip=["name", alt.Tooltip("t:Q", format=".2f"), alt.Tooltip("value:Q", format=".3f")],
        )
        layers = [_ends(), line]
        if banded and part["low"].notna().any():
            band = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", title=None), y2="high:Q", color=colour)
            layers.insert(1, band)
        panels.append(alt.layer(*layers).properties(title=quantity, width=SMALL, height=LOW))
    drawn = alt.concat(*panels, columns=2)
    return finish(drawn if title else drawn.resolve_scale(color="independent", strokeDash="independent"))


def plane(cells: pd.DataFrame, marks: pd.DataFrame, axes: tuple[str, str], logarithmic: bool) -> Any:
    """The total loss on a plane: alpha, beta, loss, task and the cells' edges; ``marks``: alpha, beta, name.

    ``cells`` also has alpha2 and beta2, the far edges of each cell. A trail of several marks is joined.
    """
    panels = []
    for task in dict.fromkeys(cells["task"]):
        scale = alt.Scale(type="log" if logarithmic else "linear", scheme="viridis")
        heat = (
            alt.Chart(cells[cells["task"] == task])
            .mark_rect(x2Offset=0.6, y2Offset=-0.6)  # over the seams that smoothed edges would leave
            .encode(
                x=alt.X("alpha:Q", title=f"α: {axes[0]}", scale=alt.Scale(nice=False)),
                x2="alpha2:Q",
                y=alt.Y("beta:Q", title=f"β: {axes[1]}", scale=alt.Scale(nice=False)),
                y2="beta2:Q",
                color=alt.Color("loss:Q", title="total loss", scale=scale),
                tooltip=[
                    alt.Tooltip("alpha:Q", title="α from", format=".3f"),
                    alt.Tooltip("beta:Q", title="β from", format=".3f"),
                    alt.Tooltip("loss:Q", format=".4f"),
                ],
            )
        )
        base = alt.Chart(marks).encode(x="alpha:Q", y="beta:Q")
        trail = (
            base.transform_filter("datum.order >= 0")
            .mark_line(color="white", strokeWidth=1.5, opacity=0.8)
            .encode(order="order:Q")
        )
        points = base.mark_point(filled=True, size=28, color="white", opacity=1)
        names = base.mark_text(
            fontWeight="bold", fontSize=13, color="white", stroke="black", strokeWidth=0.4, dx=9, dy=-9
        ).encode(text="name:N")
        panels.append(
            alt.layer(heat, trail, points, names).properties(title=f"{task} task", width=255, height=255)
        )
    return finish(alt.concat(*panels, columns=2))


def _ends() -> Any:
    return alt.Chart(ENDS).mark_rule(strokeDash=[2, 3], color="#888888", opacity=0.6).encode(x="t:Q")


def _colour(field: str, title: str | None, names: list[str], columns: int = 0) -> Any:
    return alt.Color(
        f"{field}:N",
        title=title,
        sort=names,
        scale=alt.Scale(domain=names, range=PALETTE[: max(1, len(names))]),
        legend=alt.Legend(columns=columns, labelLimit=500, symbolType="stroke", symbolOpacity=1),
    )
