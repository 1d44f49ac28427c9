"""The charts of networks compared layer by layer: a line a layer, and a map of each with each."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, WIDE, finish

CELL, LEAST = 18, 5
"""Pixels of a map's cell where layers are few, and where they are many."""

MEASURES = {
    "R² as it is": (PALETTE[4], "circle"),
    "R² units matched": (PALETTE[1], "triangle-up"),
    "R² best linear map": (PALETTE[0], "square"),
    "CKA without bias": (PALETTE[3], "diamond"),
}
"""Colours and shapes of what is drawn of each layer."""


def by_layer(rows: pd.DataFrame) -> Any:
    """A line a measure over the layers in their order; ``rows``: layer, measure, value, low, high, told."""
    order = list(dict.fromkeys(rows["layer"]))
    names = [name for name in MEASURES if name in set(rows["measure"])]
    colours, shapes = zip(*(MEASURES[name] for name in names), strict=True)
    cut = rows.assign(
        shown=rows["value"].clip(lower=-1), low=rows["low"].clip(lower=-1), high=rows["high"].clip(lower=-1)
    )
    base = alt.Chart(cut).encode(
        x=alt.X("layer:N", sort=order, title=None, axis=alt.Axis(labelAngle=-50, labelLimit=150)),
        color=alt.Color("measure:N", title=None, scale=alt.Scale(domain=names, range=list(colours))),
    )
    y = alt.Y("shown:Q", title="R², CKA (cut at −1)", scale=alt.Scale(domain=[-1, 1]))
    band = base.mark_area(opacity=0.15, aria=False).encode(y=alt.Y("low:Q", title=y["title"]), y2="high:Q")
    line = base.mark_line(strokeWidth=1.5, aria=False).encode(y=y)
    points = base.mark_point(filled=True, size=46, opacity=1).encode(
        y=y,
        shape=alt.Shape("measure:N", title=None, scale=alt.Scale(domain=names, range=list(shapes))),
        tooltip=["told:N"],
    )
    return finish(alt.layer(band, line, points).properties(width=WIDE - 60, height=230))


def heat_map(cells: pd.DataFrame, rows: pd.DataFrame, columns: pd.DataFrame, title: str) -> Any:
    """Every layer with every other, and beside and above it the best of each row and column.

    ``cells``: base, transfer, value, told; ``rows``: base, value, told; ``columns``: transfer, value, told.
    """
    base, transfer = (list(dict.fromkeys(cells[name])) for name in ("base", "transfer"))
    size = max(LEAST, min(CELL, 430 // max(len(base), len(transfer))))
    width, height = size * len(transfer), size * len(base)
    labels = size >= 9
    colour = alt.Color(
        "value:Q",
        title=title,
        scale=alt.Scale(scheme="cividis", domain=[0, 1], clamp=True),
        legend=alt.Legend(orient="bottom", gradientLength=200),
    )
    down = alt.Y("base:N", sort=base, title="base", axis=alt.Axis(labels=labels, ticks=False, labelLimit=150))
    along = alt.X(
        "transfer:N",
        sort=transfer,
        title="transfer",
        axis=alt.Axis(labels=labels, ticks=False, labelLimit=150, labelAngle=-60),
    )
    plain_y = alt.Y("base:N", sort=base, title=None, axis=None)
    plain_x = alt.X("transfer:N", sort=transfer, title=None, axis=None)
    middle = (
        alt.Chart(cells)
        .mark_rect(aria=False)
        .encode(x=along, y=down, color=colour, tooltip=["told:N"])
        .properties(width=width, height=height)
    )
    scale = alt.Scale(domain=[0, 1], clamp=True)
    above = (
        alt.Chart(columns)
        .mark_bar(color=PALETTE[5], aria=False)
        .encode(
            x=plain_x,
            y=alt.Y("value:Q", title="best", scale=scale, axis=alt.Axis(values=[0, 1])),
            tooltip=["told:N"],
        )
        .properties(width=width, height=42)
    )
    beside = (
        alt.Chart(rows)
        .mark_bar(color=PALETTE[5], aria=False)
        .encode(
            y=plain_y,
            x=alt.X("value:Q", title="best", scale=scale, axis=alt.Axis(values=[0, 1], orient="top")),
            tooltip=["told:N"],
        )
        .properties(width=42, height=height)
    )
    return finish(
        alt.vconcat(above, alt.hconcat(middle, beside, spacing=6), spacing=6).resolve_scale(
            color="independent"
        )
    )
