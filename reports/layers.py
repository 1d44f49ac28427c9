"""The charts of networks compared layer by layer: a line a measure, and a map of each layer with each."""

from __future__ import annotations

import json

import pandas as pd

from reports.palette import PALETTE
from reports.spec import GREY, INK, TEXT, Spec, Tree, finished, haloed, layer, n, q, rows

CELL, MOST, LEAST = 26, 46, 5
"""Pixels of a map's cell where its number is left out, where it is written, and at least."""

ROOM = 400
"""Pixels that a map's cells take at most, along and down."""

NUMBERED = 34
"""Pixels of a cell from which its number is written in it."""

STEP, SHORT, LONG = 34, 480, 1000
"""Pixels from layer to layer, and the least and greatest width of a chart of them."""

MARGIN = 46
"""Pixels of the bars at a map's side and above it."""

MEASURES = {
    "R² as it is": (PALETTE[4], "circle"),
    "R² units matched": (PALETTE[1], "triangle-up"),
    "R² best linear map": (PALETTE[0], "square"),
    "CKA without bias": (PALETTE[3], "diamond"),
}
"""Colours and shapes of what is drawn of each layer."""


def by_layer(frame: pd.DataFrame, first: str | None = None) -> Spec:
    """A line a measure over the layers in their order, with bands, and a rule at the ``first`` that differs.

    ``frame``: layer, measure, value, low, high, told.
    """
    order = list(dict.fromkeys(frame["layer"]))
    names = [name for name in MEASURES if name in set(frame["measure"])]
    palette, shapes = zip(*(MEASURES[name] for name in names), strict=True)
    shown = frame.assign(**{name: frame[name].clip(lower=-1) for name in ("value", "low", "high")})
    least = min(0.0, float(shown["low"].min()))
    title = "R², CKA (cut at −1)" if least <= -1 else "R², CKA"
    axis = {"title": None, "labelAngle": -50 if sum(map(len, order)) > 30 else 0, "labelLimit": 150}
    x = n(
        "layer",
        sort=order,
        axis={**axis, "labelOverlap": len(order) > 2 * LONG // STEP},
        scale={"type": "point", "padding": 0.5},
    )
    y = q("value", scale={"domain": [least, 1.02], "nice": False}, axis={"title": title, "tickCount": 6})
    legend = {"title": None, "symbolSize": 90, "columns": 2 if _wide(order) == SHORT else 4}
    colour = n("measure", sort=names, scale={"domain": names, "range": list(palette)}, legend=legend)
    shape = n("measure", sort=names, scale={"domain": names, "range": list(shapes)}, legend=legend)
    layers = [
        layer(
            {"type": "area", "opacity": 0.16},
            x=x,
            y={**y, "field": "low"},
            y2={"field": "high"},
            color=colour,
        ),
        layer({"type": "line", "strokeWidth": 1.8}, x=x, y=y, color=colour),
        layer(
            {"type": "point", "filled": True, "size": 62, "opacity": 1},
            x=x,
            y=y,
            color=colour,
            shape=shape,
            tooltip=[n("told", title="layer")],
        ),
    ]
    if first in order:
        late = order.index(first) > 0.6 * len(order)
        data = rows([{"layer": first, "value": least, "words": "first that differs"}])
        mark = {"align": "right" if late else "left", "dx": -6 if late else 6, "dy": -8, "baseline": "bottom"}
        rule = {"type": "rule", "strokeDash": [5, 4], "color": GREY, "strokeWidth": 1.5}
        layers = [layer(rule, data, x=x), *layers, *haloed(mark, data, x=x, y=y, text=n("words"))]
    return finished({"data": rows(shown), "layer": layers, "width": _wide(order), "height": 260})


def _wide(order: list[str]) -> int:
    return max(SHORT, min(LONG, STEP * len(order)))


FATES = {"moved": PALETTE[0], "kept": PALETTE[3], "moved though frozen": PALETTE[4]}
"""Colours of what became of weights."""


def weights(frame: pd.DataFrame) -> Spec:
    """How far weights moved, over the base's norm: a bar a row, in the colour of their fate.

    ``frame``: place (one a row), name, whole (whether it is a component rather than a layer of it), relative,
    fate (of :data:`FATES`), said (at the bar's end) and told.
    """
    order = frame["place"].tolist()
    fates = [fate for fate in FATES if fate in set(frame["fate"])]
    names = {str(place): name for place, name in zip(order, frame["name"], strict=True)}
    axis = {
        "title": None,
        "ticks": False,
        "labelLimit": 200,
        "labelExpr": f"{json.dumps(names)}[datum.label]",
    }
    y = n("place", sort=order, axis=axis, scale={"padding": 0.2})
    x = q("relative", axis={"title": "distance over the base's norm", "tickCount": 5})
    barred = [fate for fate in fates if (frame.loc[frame["fate"] == fate, "relative"] > 0).any()]
    legend = {"title": None, "symbolType": "square", "values": barred} if len(barred) > 1 else None
    colour = n("fate", scale={"domain": fates, "range": [FATES[fate] for fate in fates]}, legend=legend)
    solid = {"condition": {"test": "datum.whole", "value": 0.95}, "value": 0.5}
    word = {"type": "text", "align": "left", "dx": 5, "fontSize": TEXT, "color": INK}
    layers = [
        layer({"type": "bar"}, x=x, y=y, color=colour, opacity=solid, tooltip=[n("told", title="weights")]),
        layer(word, x=x, y=y, text=n("said")),
    ]
    return finished({"data": rows(frame), "layer": layers, "width": 380, "height": 22 * len(order) + 10})


def heat_map(
    cells: pd.DataFrame, along: pd.DataFrame, above: pd.DataFrame, title: str, first: str | None = None
) -> Spec:
    """Every layer with every other, and beside and above it the best of each row and column.

    ``cells``: base, transfer, value, told; ``along``: base, value, told (bars at the side); ``above``:
    transfer, value, told (bars on top). Cells bear their numbers where layers are few; a frame marks the
    layer ``first``, which is the first that differs.
    """
    base, transfer = (list(dict.fromkeys(cells[name])) for name in ("base", "transfer"))
    most = max(len(base), len(transfer))
    size = max(LEAST, min(MOST if ROOM // most >= NUMBERED else CELL, ROOM // most))
    width, height = size * len(transfer), size * len(base)
    labels = {"labels": size >= 9, "ticks": False, "domain": False, "labelLimit": 130, "titlePadding": 18}
    legend = {"title": title, "orient": "bottom", "gradientLength": min(200, max(90, width - 40))}
    colour = q("value", scale={"scheme": "cividis", "domain": [0, 1], "clamp": True}, legend=legend)
    down = n("base", sort=base, axis={"title": "base", **labels}, scale={"padding": 0})
    across = n(
        "transfer",
        sort=transfer,
        axis={"title": "transfer", "labelAngle": -60, **labels},
        scale={"padding": 0},
    )
    told = [n("told", title=title)]
    middle = [layer({"type": "rect"}, x=across, y=down, color=colour, tooltip=told)]
    if size >= NUMBERED:
        for test, ink in (("datum.value < 0.55", "white"), ("datum.value >= 0.55", "black")):
            word = {"type": "text", "fontSize": TEXT, "color": ink}
            middle.append(layer(word, where=test, x=across, y=down, text=q("value", format=".2f")))
    if first in base and first in transfer:
        frame = {"type": "rect", "filled": False, "stroke": PALETTE[4], "strokeWidth": 2.5}
        data = rows([{"base": first, "transfer": first, "told": "the first layer that differs"}])
        middle.append(layer(frame, data, x=across, y=down, tooltip=[n("told", title=first)]))
    bare = {"axis": None, "title": None, "scale": {"padding": 0.12}}
    scale = {"domain": [0, 1], "clamp": True}
    bar = {"type": "bar", "color": PALETTE[5]}
    best: Tree = {"title": "best", "values": [0, 1], "grid": False}
    return finished(
        {
            "vconcat": [
                {
                    **layer(
                        bar,
                        rows(above),
                        x=n("transfer", sort=transfer, **bare),
                        y=q("value", scale=scale, axis=best),
                        tooltip=told,
                    ),
                    "width": width,
                    "height": MARGIN,
                },
                {
                    "hconcat": [
                        {"data": rows(cells), "layer": middle, "width": width, "height": height},
                        {
                            **layer(
                                bar,
                                rows(along),
                                y=n("base", sort=base, **bare),
                                x=q("value", scale=scale, axis={**best, "orient": "top"}),
                                tooltip=told,
                            ),
                            "width": MARGIN,
                            "height": height,
                        },
                    ],
                    "spacing": 6,
                },
            ],
            "spacing": 6,
            "resolve": {"scale": {"color": "independent"}},
        }
    )
