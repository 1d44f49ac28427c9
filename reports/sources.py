"""Charts of several sources: measures side by side, and what remains of each along a training."""

from __future__ import annotations

import pandas as pd

from reports.palette import PALETTE, SHAPES
from reports.spec import Spec, Tree, colours, finished, layer, n, q, rows

WIDTH, ROW = 230, 34
"""Pixels of a panel's width, and of each source's line."""

COLUMNS = 2


def beside(frame: pd.DataFrame) -> Spec:
    """Each source's value with its interval, a panel a measure.

    ``frame``: panel, title (of its axis), name, value, low, high, told, first (whether it is told apart).
    """
    order = list(dict.fromkeys(frame["name"]))
    panels: list[Tree] = []
    for number, (panel, own) in enumerate(frame.groupby("panel", sort=False)):
        title = str(own["title"].iloc[0])
        x = q(
            "value",
            scale={"zero": False, "nice": True},
            axis={"title": title, "tickCount": 4, "labelOverlap": True},
        )
        labels = {"title": None, "ticks": False, "domain": False, "labels": number % COLUMNS == 0}
        y = n("name", sort=order, scale={"domain": order}, axis={**labels, "labelLimit": 170})
        span = {"type": "rule", "strokeWidth": 3, "opacity": 0.55, "color": PALETTE[0]}
        point = {"type": "point", "filled": True, "size": 80, "opacity": 1, "color": PALETTE[0]}
        first = {**point, "size": 150, "shape": "diamond", "color": PALETTE[1]}
        seen = [n("told", title="source")]
        layers = [
            layer(span, x={**x, "field": "low"}, x2={"field": "high"}, y=y),
            layer(point, where="!datum.first", x=x, y=y, tooltip=seen),
            layer(first, where="datum.first", x=x, y=y, tooltip=seen),
        ]
        panels.append(
            {
                "data": rows(own),
                "layer": layers,
                "title": str(panel),
                "width": WIDTH,
                "height": ROW * len(order),
            }
        )
    return finished({"concat": panels, "columns": COLUMNS})


def remaining(frame: pd.DataFrame) -> Spec:
    """What remains of each source's fraction along a training, with its interval, a panel a component.

    ``frame``: panel, name, update, value, low, high, told.
    """
    names = list(dict.fromkeys(frame["name"]))
    panels: list[Tree] = []
    for number, (panel, own) in enumerate(frame.groupby("panel", sort=False)):
        x = q("update", title="update", scale={"nice": False, "padding": 8}, axis={"tickCount": 5})
        y = q("value", title="what remains" if number % COLUMNS == 0 else None, axis={"tickCount": 5})
        legend = {"title": None}
        colour = n("name", sort=names, scale=colours(names, PALETTE), legend=legend)
        shape = n("name", sort=names, scale=colours(names, SHAPES), legend=legend)
        band = {"type": "area", "opacity": 0.15}
        layers = [
            layer(band, x=x, y={**y, "field": "low"}, y2={"field": "high"}, color=colour),
            layer({"type": "line", "strokeWidth": 2}, x=x, y=y, color=colour),
            layer(
                {"type": "point", "filled": True, "size": 60, "opacity": 1},
                x=x,
                y=y,
                color=colour,
                shape=shape,
                tooltip=[n("told", title="source")],
            ),
        ]
        panels.append(
            {
                "data": rows(own),
                "layer": layers,
                "title": str(panel),
                "width": WIDTH,
                "height": 2 * WIDTH // 3,
            }
        )
    return finished({"concat": panels, "columns": COLUMNS})
