"""Measures of a comparison on one scale with their intervals, and how often chance would score as much."""

from __future__ import annotations

import pandas as pd

from reports.palette import PALETTE
from reports.spec import GREY, INK, TEXT, Spec, Tree, colours, finished, layer, n, q
from reports.spec import rows as table


def measures(rows: pd.DataFrame) -> Spec:
    """A line a measure; ``rows`` has name, value, low, high (they may be NaN), p (words) and blind.

    Measures that are ``blind`` to flips are hollow.
    """
    order = list(rows["name"])
    least = min(0.0, float(rows[["value", "low"]].min().min()))
    most = max(1.0, float(rows[["value", "high"]].max().max()))
    kinds = ["sees flips", "blind to flips"]
    shown = rows.assign(kind=[kinds[int(blind)] for blind in rows["blind"]])
    y = n("name", sort=order, title=None, axis={"labelLimit": 250, "ticks": False})
    tooltip = [n("name"), *(q(c, format=".3f") for c in ("value", "low", "high")), n("p")]
    scale = {"domain": [least, most], "nice": False, "padding": 8}

    def x(column: str) -> Tree:
        return q(column, title="score (1 is equality)", scale=scale)

    present = [kind for kind in kinds if kind in set(shown["kind"])]
    looks = {kinds[0]: (PALETTE[0], "circle"), kinds[1]: (GREY, "square")}
    palette, shapes = zip(*(looks[kind] for kind in present), strict=True)
    colour, shape = (
        n("kind", title=None, sort=present, scale=colours(present, kept)) for kept in (palette, shapes)
    )
    mark = {"type": "point", "filled": True, "size": 75, "opacity": 1}
    ends: Tree = {"x": x("low"), "x2": {"field": "high"}}
    layers = [
        layer({"type": "rule", "strokeWidth": 2}, **ends, y=y, color=colour, tooltip=tooltip),
        layer(mark, x=x("value"), y=y, color=colour, shape=shape, tooltip=tooltip),
    ]
    if (rows["p"] != "").any():
        shown["told"] = "p " + shown["p"]
        words = {"type": "text", "align": "left", "dx": 14, "fontSize": TEXT, "color": INK}
        layers.append(
            layer(words, where="datum.p !== ''", x={"datum": most}, y=y, text=n("told"), tooltip=tooltip)
        )
    return finished({"data": table(shown), "layer": layers, "width": _WIDTH, "height": 28 * len(order)})


_WIDTH = 290
