"""The charts: DataFrames in, Altair charts out; they draw what they are given and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from reports.palette import DASHES as DASHES
from reports.palette import PALETTE as PALETTE
from reports.palette import SHAPES as SHAPES
from reports.palette import STATUS_COLOURS as STATUS_COLOURS
from reports.spec import INK, LOOKS

MOST_POINTED = 24
"""Most steps of lines whose points are drawn too: more run into each other, and each is bytes in the page."""


def pointed(steps: pd.Series, size: int = 18) -> Any:
    """Marks on a line's points where these are few, for ``mark_line(point=...)``."""
    return alt.OverlayMarkDef(size=size) if steps.nunique() <= MOST_POINTED else False


WIDE, PANEL = 640, 190
"""Widths in pixels: of a chart alone, and of one of three side by side."""

# Text and lines take the page's own colour, so that a chart reads on a light and on a dark page.
_INK = INK


def finish(chart: Any, **others: Any) -> Any:
    """The chart with the looks that all charts share; ``others`` are further parts of ``alt.Config``.

    It is set at once and in place: Altair's ``configure_...`` methods would copy all data six times.
    """
    chart.config = alt.Config(**LOOKS, **others)
    return chart


def line_keys(field: str, names: Sequence[str], colours: Sequence[str], columns: int = 4) -> dict[str, Any]:
    """Colour and dash of lines by name, as encodings with one legend that draws each line as it is."""
    legend = alt.Legend(symbolType="stroke", symbolStrokeWidth=2.5, symbolSize=400, columns=columns)
    key: dict[str, Any] = {"title": None, "sort": list(names), "legend": legend if len(names) > 1 else None}
    dashes = [DASHES[place % len(DASHES)] for place in range(len(names))]
    return {
        "color": alt.Color(f"{field}:N", scale=alt.Scale(domain=names, range=list(colours)), **key),
        "strokeDash": alt.StrokeDash(f"{field}:N", scale=alt.Scale(domain=names, range=dashes), **key),
    }


def multiples(panels: Sequence[Any], columns: int) -> Any:
    """Panels in rows, whose common x title stands below the last of each column only."""
    for panel in panels[: max(0, len(panels) - columns)]:
        for layer in getattr(panel, "layer", [panel]):
            if isinstance(layer.encoding.x, alt.X):
                layer.encoding.x = layer.encoding.x.title(None)
    return alt.concat(*panels, columns=columns)


def embeddings(
    points: pd.DataFrame,
    lines: pd.DataFrame,
    columns: int = 3,
    axes: tuple[str, str] = ("axis 0", "axis 1"),
    colour: str | None = None,
) -> Any:
    """Small multiples of embeddings: a point per state, a line per predicted transition.

    ``points`` has panel, x, y, group and state; ``lines`` has panel, x, y, x2, y2 (it may be empty).
    Panels keep their order of first appearance and share their axes, which are named ``axes``. ``colour`` is
    the name of the variable whose categories the groups are.
    """
    data = pd.concat([points.assign(kind="state"), lines.assign(kind="transition")], ignore_index=True)
    order = list(dict.fromkeys(points["panel"]))
    groups = list(dict.fromkeys(points["group"]))
    # A single group is no group: it needs no key.
    key = {"sort": groups} | ({"title": colour} if len(groups) > 1 else {"legend": None})
    scale = alt.Scale(nice=False, padding=8, zero=False)
    base = alt.Chart(data).encode(
        x=alt.X("x:Q", title=axes[0], scale=scale), y=alt.Y("y:Q", title=axes[1], scale=scale)
    )
    drawn = (
        base.transform_filter("datum.kind == 'transition'")
        .mark_rule(opacity=0.35, strokeWidth=0.7, color="#888888")
        .encode(x2="x2:Q", y2="y2:Q")
    )
    marks = (
        base.transform_filter("datum.kind == 'state'")
        .mark_point(filled=True, size=42, opacity=0.95)
        .encode(
            color=alt.Color("group:N", scale=alt.Scale(domain=groups, range=PALETTE), **key),
            shape=alt.Shape("group:N", scale=alt.Scale(domain=groups, range=SHAPES), **key),
            tooltip=[
                "state:N",
                "group:N",
                alt.Tooltip("x:Q", format=".2f"),
                alt.Tooltip("y:Q", format=".2f"),
            ],
        )
    )
    count = len(order)
    width = PANEL if count > 2 else 280
    return finish(
        alt.layer(drawn, marks)
        .properties(width=width, height=width)
        .facet(facet=alt.Facet("panel:N", title=None, sort=order), columns=min(columns, count))
    )


def distances(rows: pd.DataFrame) -> Any:
    """Mean L2 distance to the base per transfer; ``rows`` has name, l2, low, high, relation and status."""
    order = list(rows["name"])
    y = alt.Y("name:N", sort=order, title=None)
    statuses = list(dict.fromkeys(rows["status"]))
    bars = (
        alt.Chart(rows)
        .mark_bar(opacity=0.8)
        .encode(
            x=alt.X("l2:Q", title="mean L2 distance between the embeddings of a state"),
            y=y,
            color=alt.Color(
                "status:N",
                title="verdict",
                scale=alt.Scale(domain=statuses, range=[STATUS_COLOURS[s] for s in statuses]),
            ),
            tooltip=["name", "relation", "status", alt.Tooltip("l2:Q", format=".2f")],
        )
    )
    spans = alt.Chart(rows).mark_rule(strokeWidth=2, color=_INK).encode(x="low:Q", x2="high:Q", y=y)
    return finish(alt.layer(bars, spans).properties(width=WIDE - 140, height=24 * len(order)))


def success_margin(counts: pd.DataFrame) -> Any:
    """Transfers that succeed against the states that must be in place; ``counts``: required, count."""
    ends = [int(counts["required"].min()), int(counts["required"].max())]
    return finish(
        alt.Chart(counts)
        .mark_line(interpolate="step", point=True, color=PALETTE[0])
        .encode(
            x=alt.X(
                "required:Q",
                title="states that must be nearest to their own base state",
                axis=alt.Axis(tickMinStep=1, format="d"),
                scale=alt.Scale(domain=ends, nice=False, padding=12),
            ),
            y=alt.Y(
                "count:Q",
                title="transfers that succeed",
                axis=alt.Axis(tickMinStep=1, format="d"),
                scale=alt.Scale(domainMin=0),
            ),
            tooltip=["required", "count"],
        )
        .properties(width=WIDE - 160, height=150)
    )


@dataclass(frozen=True)
class Panel:
    """One projection: its title, its axes' titles (empty where they mean nothing), x, y, value and row."""

    title: str
    axes: tuple[str, str]
    points: pd.DataFrame


def projections(panels: Sequence[Panel], variable: str, kind: str) -> Any:
    """Small multiples of an embedding's projections, coloured by a ``numeric`` or ``categorical`` variable.

    All panels share the colours, none the axes.
    """
    if kind == "numeric":
        values = [float(p.points["value"].min()) for p in panels] + [
            float(p.points["value"].max()) for p in panels
        ]
        scale = alt.Scale(scheme="viridis", domain=[min(values), max(values)])
        marks = {"color": alt.Color("value:Q", title=variable, scale=scale)}
    else:
        names = sorted({str(v) for p in panels for v in p.points["value"]})
        colours = alt.Scale(domain=names, range=PALETTE)
        shapes = alt.Scale(domain=names, range=SHAPES)
        marks = {
            "color": alt.Color("value:N", title=variable, scale=colours),
            "shape": alt.Shape("value:N", title=variable, scale=shapes),
        }
    value = alt.Tooltip("value:Q" if kind == "numeric" else "value:N", title=variable)
    size = 300 if len(panels) > 1 else 360
    drawn = []
    for panel in panels:
        plain = {"scale": alt.Scale(nice=False, padding=8, zero=False)}
        if not any(panel.axes):
            plain["axis"] = alt.Axis(labels=False, ticks=False, grid=False)
        x, y = (
            alt.X("x:Q", title=panel.axes[0] or None, **plain),
            alt.Y("y:Q", title=panel.axes[1] or None, **plain),
        )
        drawn.append(
            alt.Chart(panel.points)
            .mark_point(
                filled=True,
                size=42 if len(panel.points) < 200 else 22,
                opacity=0.95,
                stroke="#88888888",
                strokeWidth=0.5,
            )
            .encode(x=x, y=y, tooltip=["row:Q", value], **marks)
            .properties(title=panel.title, width=size, height=size)
        )
    return finish(alt.concat(*drawn, columns=2))
