"""The charts of forecasts: chances, accuracy, calibration, transfers stopped early, and bases one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from reports.palette import OUTCOMES, PALETTE, SHAPES
from reports.spec import (
    GREY,
    INK,
    TEXT,
    Spec,
    Tree,
    colours,
    finished,
    haloed,
    layer,
    n,
    q,
    rows,
)

WIDTH = 500
"""Pixels of a chart beside its words, without its axis."""

SIDE, COLUMNS = 230, 4
"""Side of a panel of calibration, and how many stand side by side."""

_PERCENT: Tree = {"format": ".0%", "values": [0, 0.25, 0.5, 0.75, 1]}
_ENDS = [OUTCOMES["success"], OUTCOMES["failure"]]


def course(frame: pd.DataFrame, common: float, words: str) -> Spec:
    """The chance given over the shares of the budget, by how the transfers ended, with bands.

    ``frame``: name, share, value, low, high, said. ``common`` is the share of all that ended well, which
    ``words`` name.
    """
    names = list(dict.fromkeys(frame["name"]))
    x, y = _shares(frame), q("value", scale={"domain": [0, 1]}, axis={"title": "chance given", **_PERCENT})
    scale = {"domain": names, "range": _ENDS[: len(names)]}
    legend = {"title": None, "symbolSize": 90}
    colour = n("name", sort=names, scale=scale, legend=legend)
    shape = n("name", sort=names, scale={"domain": names, "range": SHAPES[: len(names)]}, legend=legend)
    layers = [
        *_level(common, words),
        layer(
            {"type": "area", "opacity": 0.22},
            x=x,
            y={**y, "field": "low"},
            y2={"field": "high"},
            color=colour,
        ),
        layer({"type": "line", "strokeWidth": 2.5}, x=x, y=y, color=colour),
        layer(
            {"type": "point", "filled": True, "size": 70, "opacity": 1},
            x=x,
            y=y,
            color=colour,
            shape=shape,
            tooltip=[n("said", title="mean chance")],
        ),
    ]
    return finished({"data": rows(frame), "layer": layers, "width": WIDTH, "height": 260})


def accuracy(frame: pd.DataFrame, commoner: float) -> Spec:
    """How often forecasts are right, a point with its interval for each share and each view beside it.

    ``frame``: view, share, value, low, high, said. ``commoner`` is what always naming the commoner end gets.
    """
    views = list(dict.fromkeys(frame["view"]))
    done = [f"{share * 100:g}%" for share in sorted(set(frame["share"]))]
    shown = frame.assign(done=[f"{share * 100:g}%" for share in frame["share"]])
    low = max(0.0, min(float(frame["low"].min()), commoner) - 0.03)
    y = q(
        "value",
        scale={"domain": [low, 1.0], "nice": False, "zero": False},
        axis={"title": "forecasts right", "format": ".0%", "tickCount": 5},
    )
    x = n(
        "done",
        sort=done,
        axis={"title": "updates done", "labelAngle": 0, "grid": False},
        scale={"paddingInner": 0.35, "paddingOuter": 0.2},
    )
    offset = n("view", sort=views, scale={"domain": views})
    colour = n("view", sort=views, scale=colours(views, PALETTE), legend={"title": None, "symbolSize": 90})
    shape = n("view", sort=views, scale={"domain": views, "range": SHAPES[: len(views)]})
    layers = [
        *_level(commoner, "always the commoner end"),
        layer(
            {"type": "rule", "strokeWidth": 2.5},
            x=x,
            xOffset=offset,
            y={**y, "field": "low"},
            y2={"field": "high"},
            color=colour,
        ),
        layer(
            {"type": "point", "filled": True, "size": 80, "opacity": 1},
            x=x,
            xOffset=offset,
            y=y,
            color=colour,
            shape=shape,
            tooltip=[n("view"), n("said", title="right")],
        ),
    ]
    return finished({"data": rows(shown), "layer": layers, "width": WIDTH, "height": 240})


def chance(frame: pd.DataFrame) -> Spec:
    """Chances from 0 to 100%, one below the other, with their intervals and their numbers.

    ``frame``: name, value, low, high, said; the first is the forecast, the others are there to compare.
    """
    names = list(frame["name"])
    x = q("value", scale={"domain": [0, 1]}, axis={"title": None, "grid": False, **_PERCENT})
    y = n("name", sort=names, title=None, axis={"ticks": False, "domain": False, "labelPadding": 8})
    first, others = "datum.place == 0", "datum.place > 0"
    shown = rows(frame.assign(place=range(len(frame)), all=1.0))
    track = {"type": "bar", "height": 14, "color": GREY, "opacity": 0.18, "cornerRadius": 7}
    span = {"type": "bar", "height": 14, "color": PALETTE[0], "opacity": 0.5, "cornerRadius": 3}
    point = {"type": "point", "filled": True, "size": 150, "opacity": 1, "color": PALETTE[0]}
    tick = {"type": "tick", "thickness": 4, "height": 20, "color": INK}
    word = {"type": "text", "align": "left", "dx": 12, "fontSize": TEXT + 1, "color": INK}
    told = [n("said", title="chance")]
    layers = [
        layer(track, x={**x, "field": "all"}, y=y),
        layer(span, where=first, x={**x, "field": "low"}, x2={"field": "high"}, y=y),
        layer(point, where=first, x=x, y=y, tooltip=told),
        layer(tick, where=others, x=x, y=y, tooltip=told),
        layer(word, x={"value": "width"}, y=y, text=n("said")),
    ]
    return finished({"data": shown, "layer": layers, "width": 330, "height": 46 * len(names)})


def calibration(frame: pd.DataFrame) -> Spec:
    """Chances given beside how many came true, a panel a share of the budget.

    ``frame``: panel, forecast, share, low, high, of, said. The area of a point is the number of forecasts of
    its bin, ``of``.
    """
    line = rows([{"forecast": 0.0, "share": 0.0}, {"forecast": 1.0, "share": 1.0}])
    scale = {"domain": [0, 1]}
    few = {"format": ".0%", "values": [0, 0.5, 1]}
    size = q(
        "of",
        scale={"domain": [0, float(frame["of"].max())], "range": [20, 420]},
        legend={
            "title": "forecasts of a bin",
            "orient": "top",
            "format": ",.0f",
            "symbolFillColor": PALETTE[0],
        },
    )
    panels: list[Tree] = []
    for name in dict.fromkeys(frame["panel"]):
        title = None if panels else "came true"
        x = q("forecast", scale=scale, axis={"title": None, **few})
        y = q("share", scale=scale, axis={"title": title, **few})
        dashed = {"type": "line", "strokeDash": [4, 3], "color": GREY, "strokeWidth": 1.2}
        span = {"type": "rule", "strokeWidth": 2.5, "color": PALETTE[0], "opacity": 0.7}
        point = {"type": "point", "filled": True, "opacity": 0.85, "color": PALETTE[0]}
        layers = [
            layer(dashed, line, x=x, y=y),
            layer(span, x=x, y={**y, "field": "low"}, y2={"field": "high"}),
            layer(point, x=x, y=y, size=size, tooltip=[n("said", title="forecast, came true")]),
        ]
        own = rows(frame[frame["panel"] == name])
        panels.append({"data": own, "layer": layers, "title": name, "width": SIDE, "height": SIDE})
    words = {
        "text": "chance given",
        "orient": "bottom",
        "anchor": "middle",
        "frame": "bounds",
        "fontWeight": "normal",
        "fontSize": TEXT,
        "offset": 8,
    }
    return finished({"concat": panels, "columns": min(COLUMNS, len(panels)), "title": words})


def stopping(frame: pd.DataFrame, names: tuple[str, str]) -> Spec:
    """Bars of transfers stopped at each share; ``frame``: when, outcome, count, of ``names`` (well, not)."""
    order = list(dict.fromkeys(frame["when"]))
    scale = {"domain": list(names), "range": _ENDS}
    colour = n("outcome", sort=list(names), scale=scale, legend={"title": None})
    y = n("when", sort=order, title=None, scale={"paddingInner": 0.25, "paddingOuter": 0.1})
    offset = n("outcome", sort=list(names), scale={"domain": list(names)})
    x = q("count", axis={"title": "transfers", "tickMinStep": 1, "tickCount": 6})
    word = {"type": "text", "align": "left", "dx": 5, "fontSize": TEXT, "color": INK}
    layers = [
        layer(
            {"type": "bar", "opacity": 0.9},
            x=x,
            y=y,
            yOffset=offset,
            color=colour,
            tooltip=[n("when", title="stopped"), n("outcome"), q("count")],
        ),
        layer(word, x=x, y=y, yOffset=offset, text=q("count")),
    ]
    return finished({"data": rows(frame), "layer": layers, "width": WIDTH - 40, "height": 46 * len(order)})


def bases(frame: pd.DataFrame, mean: float) -> Spec:
    """Forecast rate beside the observed rate, a point a base; ``frame``: base, forecast, rate, said."""
    axis = {"format": ".0%", "tickCount": 5}
    x = q("forecast", scale={"domain": [0, 1]}, axis={"title": "forecast from the base alone", **axis})
    y = q("rate", scale={"domain": [0, 1]}, axis={"title": "its transfers that ended well", **axis})
    line = rows([{"forecast": 0.0, "rate": 0.0}, {"forecast": 1.0, "rate": 1.0}])
    upright = rows([{"forecast": mean, "rate": 1.0, "words": "the mean of all"}])
    near = {"align": "left" if mean < 0.6 else "right", "dx": 5 if mean < 0.6 else -5, "dy": 8, "color": GREY}
    point = {"type": "point", "filled": True, "size": 70, "opacity": 0.65, "color": PALETTE[0]}
    layers = [
        layer({"type": "line", "strokeDash": [4, 3], "color": GREY, "strokeWidth": 1.2}, line, x=x, y=y),
        layer({"type": "rule", "strokeDash": [1, 3], "color": GREY}, upright, x=x),
        *haloed(near, upright, x=x, y=y, text=n("words")),
        layer(point, rows(frame), x=x, y=y, tooltip=[n("said", title="base")]),
    ]
    return finished({"layer": layers, "width": 380, "height": 340})


def _shares(frame: pd.DataFrame) -> Tree:
    """A channel of the shares of the budget, evenly apart on a logarithmic scale."""
    shares = sorted(set(frame["share"]))
    ends = [shares[0] / 1.15, shares[-1] * 1.15]
    return q(
        "share",
        scale={"type": "log", "domain": ends, "nice": False},
        axis={"title": "updates done", "format": "~%", "values": shares, "grid": False},
    )


def _level(value: float, words: str) -> list[Tree]:
    """A dashed line across a chart, with words at its right end."""
    data = rows([{"value": value, "words": words}])
    rule = {"type": "rule", "strokeDash": [5, 4], "color": GREY, "strokeWidth": 1.5}
    mark: Mapping[str, object] = {"align": "right", "baseline": "bottom", "dx": -4, "dy": -3, "color": GREY}
    drawn: Sequence[Tree] = haloed(dict(mark), data, x={"value": "width"}, y=q("value"), text=n("words"))
    return [layer(rule, data, y=q("value")), *drawn]
