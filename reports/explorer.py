"""States to look at one by one: both embeddings and every state's distance, brushed together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.embeddings import TICK, by_group, by_height
from reports.embeddings import tooltip as told_of
from reports.spec import INK, TEXT, Spec, Tree, finished, layer, n, q, rows

SIDE = 320

_VIEWS = ["in the base", "in the transfer", "by distance"]


def explorer(
    points: pd.DataFrame,
    axes: Mapping[str, str],
    chosen: tuple[str, str],
    facts: Mapping[str, str],
    unrelated: float | None = None,
    *,
    group: str = "",
    shared: bool = True,
) -> Spec:
    """Base, transfer and the states in order of distance; what is brushed in one stands out in all.

    ``points`` has state, height, half, rank, distance, the columns of ``facts`` {column: name}, perhaps
    image (a data address), and ``b<axis>`` and ``t<axis>`` for each of ``axes`` {axis: title}; the two
    ``chosen`` axes are drawn at first, and others can be where there are more. ``unrelated`` is drawn as
    the distance of different states. ``group`` is a column of categories that colour the points in place of
    their height; ``shared`` gives both embeddings the same axes.
    """
    params: list[Tree] = []
    across, up = (json.dumps(axis) for axis in chosen)
    fixed = len(axes) <= 2
    if not fixed:
        params = [
            {"name": name, "value": axis, "bind": _choice(axes, title)}
            for name, axis, title in (("across", chosen[0], "Across:"), ("up", chosen[1], "Up:"))
        ]
        across, up = "across", "up"
    tooltip = [*told_of(facts), q("distance", title="distance from the base", format=".3~g")]
    if "image" in points:
        tooltip.append(n("image", title="image"))
    marks: Tree = {**_marks(points, group), "tooltip": tooltip}
    title = (lambda place: axes[chosen[place]]) if fixed else (lambda place: None)
    names = json.dumps(dict(axes))
    lines = f"'up: ' + {names}[up], 'across: ' + {names}[across]"

    # Every panel has the places in both: a box in one is told by its fields to all.
    chosen_axes = (("x", across), ("y", up))
    placed = [
        {"calculate": f"datum['{of}' + {name}]", "as": f"{of}{axis}"}
        for of in "bt"
        for axis, name in chosen_axes
    ]

    def scattered(which: str, panel: str, name: str) -> Tree:
        plain, ticks = {"zero": False, "nice": False, "padding": 8}, {"tickCount": SIDE // TICK}
        mark = {"type": "point", "filled": True, "size": 40 if len(points) < 200 else 24, "opacity": 0.9}
        across, up = (
            q(f"{which}{axis}", title=title(place), scale=plain, axis=ticks)
            for place, axis in enumerate("xy")
        )
        layers = [{**layer(mark, name=name, x=across, y=up, **marks), "transform": placed}]
        if shared:  # an unseen line over the extent of the other embedding
            other = "t" if which == "b" else "b"
            ends = [
                {"op": end, "field": f"{other}{axis}", "as": f"{end}_{other}{axis}"}
                for end in ("min", "max")
                for axis in "xy"
            ]
            unseen = layer(
                {"type": "rule", "opacity": 0},
                x=q(f"min_{other}x", title=title(0)),
                x2={"field": f"max_{other}x"},
                y=q(f"min_{other}y", title=title(1)),
                y2={"field": f"max_{other}y"},
            )
            layers.append({**unseen, "transform": [*placed, {"aggregate": ends}]})
        heading: Any = panel if fixed else {"expr": f"['{panel}', {lines}]"}
        return {"layer": layers, "width": SIDE, "height": SIDE, "title": {"text": heading}}

    third = []
    if unrelated is not None:
        line = rows([{"distance": unrelated, "told": "from another state"}])
        words = {"type": "text", "color": INK, "align": "left", "dx": 4, "dy": -7, "fontSize": TEXT}
        third = [
            layer({"type": "rule", "color": INK, "strokeDash": [4, 3]}, line, y=q("distance")),
            layer(words, line, x={"value": 0}, y=q("distance"), text=n("told")),
        ]
    far = layer(
        {"type": "point", "filled": True, "size": 24, "opacity": 0.9},
        name=_VIEWS[2],
        x=q("rank", title="states, nearest first", scale={"nice": False, "padding": 6}),
        y=q("distance", title="distance from the base"),
        **marks,
    )
    third.append({**far, "transform": placed})
    panels = [
        scattered("b", "base", _VIEWS[0]),
        scattered("t", "transfer", _VIEWS[1]),
        {"layer": third, "width": SIDE, "height": SIDE, "title": "distance of each state"},
    ]
    # One box for all panels: added panel by panel it would be one of several.
    params.append({"name": "brush", "select": {"type": "interval", "resolve": "global"}, "views": _VIEWS})
    return finished({"data": rows(points), "concat": panels, "columns": 3, "spacing": 26, "params": params})


def _choice(axes: Mapping[str, str], title: str) -> Tree:
    """A list from which a reader chooses an axis."""
    return {"input": "select", "options": list(axes), "labels": list(axes.values()), "name": f"{title} "}


def _marks(points: pd.DataFrame, group: str) -> Tree:
    """Colour and shape of the points, by category or by height in the base; grey outside of the box."""
    marks: Tree = by_group(points, group, legend=None) if group else by_height(legend=None)
    brushed = {"condition": {"param": "brush", **marks["color"]}, "value": "#88888855"}
    return {**marks, "color": brushed}
