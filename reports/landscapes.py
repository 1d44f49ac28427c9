"""The charts of landscapes: losses along ways and on planes, and the embedding's spread along them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from reports.along import along, beside, hovered, line_legend, panel, span_of
from reports.palette import PALETTE
from reports.spec import GREY, INK, Spec, Tree, finished, haloed, layer, n, q, rows, told

MAIN, MAIN_HEIGHT = 520, 300
"""Width and height of a panel of the first picture, which shows a task each."""

ONLY = 560
"""Width of a chart of one panel, which stands beside its words."""

LINE = 16
"""Pixels from a line of words in a chart to the next."""

SMALL, LOW = 340, 150
"""Width and height of one of three panels side by side."""

TINY = 90
"""Height of a panel that says only where something is positive."""

AGAINST, FOR = PALETTE[4], PALETTE[0]
"""Colours of what stands against the move to B, and of what is for it."""

WAY_COLOURS = [PALETTE[0], PALETTE[2], PALETTE[3], PALETTE[4], PALETTE[5], PALETTE[1]]
"""The straight line keeps the colour that it has in the first picture."""


@dataclass(frozen=True)
class Rise:
    """A height that is drawn where it is: from its foot to its top at one t, with its name and number.

    ``level`` holds the two ends (t, loss) of the line that the height is taken above.
    """

    at: float
    foot: float
    top: float
    clear: float
    """Upper end of the band at ``at``: words go above it."""
    words: str
    level: tuple[tuple[float, float], tuple[float, float]]
    beside: bool = False
    """Whether the words stand beside the bracket rather than above it."""


def totals(
    curves: pd.DataFrame, rises: Mapping[str, Sequence[Rise]], ends: pd.DataFrame, titles: Mapping[str, str]
) -> Spec:
    """The total loss, a panel a task, with A and B marked and each height drawn where it is.

    ``curves``: task, t, value, low, high; ``ends``: task, t, value, name.
    """
    tasks = list(dict.fromkeys(curves["task"]))
    panels = []
    for place, task in enumerate(tasks):
        frame = curves[curves["task"] == task].assign(name=task)
        drawn = rises.get(task, ())
        low, high = span_of(frame)
        # Words above the highest point need room.
        room = 0.2 * (high - low)
        high = max([high, *(rise.clear + room for rise in drawn if not rise.beside)])
        panels.append(
            panel(
                frame,
                size=(MAIN if len(tasks) > 1 else ONLY, MAIN_HEIGHT),
                names=[task],
                title=titles[task],
                y_title="total loss" if place == 0 else None,
                palette=[PALETTE[place % len(PALETTE)]],
                below=[_level(rise) for rise in drawn],
                above=[part for rise in drawn for part in _bracket(rise)]
                + _letters(ends[ends["task"] == task]),
                domain=(low, high),
            )
        )
    alone = {"scale": {"color": "independent", "strokeDash": "independent"}}
    return finished(beside(panels, 2, resolve=alone))


def _level(rise: Rise) -> Tree:
    """The line that a height is taken above."""
    ends = rows([{"t": t, "value": value} for t, value in rise.level])
    mark = {"type": "line", "strokeDash": [5, 4], "color": GREY, "strokeWidth": 1.2}
    return layer(mark, ends, x=q("t"), y=q("value"))


def _bracket(rise: Rise) -> list[Tree]:
    """A bar with a tick at either end, and its name and number beside or above it."""
    where: Tree
    if rise.beside:
        left, height = rise.at > 0.5, (rise.foot + rise.top) / 2
        where = {"align": "right" if left else "left", "dx": -8 if left else 8, "baseline": "middle"}
    else:
        align, height = "left" if rise.at < 0.25 else "right" if rise.at > 0.75 else "center", rise.clear
        where = {"align": align, "baseline": "bottom", "dy": -7 - LINE}
    foot, top = ({"t": rise.at, "value": value} for value in (rise.foot, rise.top))
    tick = {"type": "point", "shape": "stroke", "color": INK, "strokeWidth": 1.8, "size": 130, "opacity": 1}
    bar = {"type": "line", "color": INK, "strokeWidth": 1.8}
    words = rows([{"t": rise.at, "value": height, "words": rise.words}])
    mark = {"fontSize": 13, "fontWeight": "bold", "lineBreak": "\n", "lineHeight": LINE, **where}
    return [
        layer(bar, rows([foot, top]), x=q("t"), y=q("value")),
        layer(tick, rows([foot, top]), x=q("t"), y=q("value")),
        *haloed(mark, words, x=q("t"), y=q("value"), text=n("words")),
    ]


def _letters(ends: pd.DataFrame) -> list[Tree]:
    """A and B as dots at their own losses, with their letters."""
    words = [n("name", title="checkpoint"), q("value", title="total loss", format=".4~g")]
    dot = {"type": "point", "filled": True, "size": 90, "color": INK, "opacity": 1}
    layers = [layer(dot, rows(ends), x=q("t"), y=q("value"), tooltip=words)]
    for name, align, dx in (("A", "right", -9), ("B", "left", 9)):
        mark = {"align": align, "dx": dx, "fontSize": 14, "fontWeight": "bold"}
        own = rows(ends[ends["name"] == name])
        layers += haloed(mark, own, x=q("t"), y=q("value"), text=n("name"))
    return layers


def slices(curves: pd.DataFrame) -> Spec:
    """Losses along a path, a panel a term; ``curves`` has t, value, low, high, term and task."""
    return small_lines(curves.rename(columns={"task": "name", "term": "quantity"}), "data of the task")


def ways(curves: pd.DataFrame, peaks: pd.DataFrame) -> Spec:
    """The total loss along each way, its highest point marked.

    ``curves`` has t, value, low, high and name; ``peaks`` has t, value and told.
    """
    names = list(dict.fromkeys(curves["name"]))
    mark = {"type": "point", "filled": True, "shape": "triangle-down", "size": 90, "opacity": 1}
    highest = layer(
        {**mark, "color": INK, "yOffset": -8}, rows(peaks), x=q("t"), y=q("value"), tooltip=[n("told")]
    )
    one = panel(
        curves,
        size=(ONLY, 280),
        names=names,
        y_title="total loss",
        legend=line_legend(columns=1),
        palette=WAY_COLOURS,
        above=[highest],
    )
    return finished(beside([one], 1))


def small_lines(values: pd.DataFrame, title: str | None) -> Spec:
    """A panel a quantity, a line a name; ``values``: quantity, name, t, value, and perhaps low and high.

    One legend of this title serves all panels; a single name has none.
    """
    names = list(dict.fromkeys(values["name"]))
    legend = line_legend(title) if len(names) > 1 else None
    quantities = list(dict.fromkeys(values["quantity"]))
    size = (ONLY, 240) if len(quantities) == 1 else (SMALL, LOW)
    panels = [
        panel(values[values["quantity"] == quantity], size=size, names=names, title=quantity, legend=legend)
        for quantity in quantities
    ]
    return finished(beside(panels, 3))


def signed(
    values: pd.DataFrame,
    halves: pd.DataFrame,
    signs: Mapping[str, str],
    domain: tuple[float, float] | None = None,
) -> Spec:
    """A panel a name, filled down to 0 in one colour above it and in another below.

    ``values``: name, t, value; ``halves``: the same curves cut where they pass through 0, with above and
    below (the value, or 0 where it lies on the other side). ``signs`` holds what is above 0 and what is
    below, in words, each with its colour. All panels share the range of values, which ``domain`` may set.
    """
    low, high = min(0.0, float(values["value"].min())), max(0.0, float(values["value"].max()))
    room = 0.06 * ((high - low) or 1.0)
    scale = {"domain": list(domain or (low - room, high + room)), "nice": False}
    axis = {"title": None, "tickCount": 3, "grid": False}
    legend = {"title": None, "symbolType": "square", "symbolSize": 140, "columnPadding": 40}
    colour = n(
        "sign",
        sort=list(signs),
        scale={"domain": list(signs), "range": list(signs.values())},
        legend=legend,
    )
    area = {"type": "area", "opacity": 0.75}
    panels = []
    for name in dict.fromkeys(values["name"]):
        frame = values.loc[values["name"] == name, ["t", "value"]]
        x, y = along(frame, few=True), q("value", scale=scale, axis=axis)
        mine = halves[halves["name"] == name]
        filled = [
            layer(
                area,
                rows(mine[["t", side]].assign(sign=sign)),
                x=x,
                y=q(side, stack=None, scale=scale, axis=axis),
                color=colour,
            )
            for side, sign in zip(("above", "below"), signs, strict=True)
        ]
        words = told({"t": ("t", ".2f"), name: ("value", ".3~g")})
        layers = [
            *filled,
            layer({"type": "rule", "color": GREY}, rows([{"zero": 0.0}]), y=q("zero")),
            layer({"type": "line", "color": INK, "strokeWidth": 1.2}, x=x, y=y),
            *hovered(x, y, None, words, ".2~g"),
        ]
        panels.append({"data": rows(frame), "layer": layers, "title": name, "width": SMALL, "height": TINY})
    return finished(beside(panels, 3))


def plane(
    sheets: Mapping[str, pd.DataFrame],
    bands: Sequence[str],
    marks: pd.DataFrame,
    path: pd.DataFrame,
    axes: tuple[str, str],
    ranges: tuple[tuple[float, float], tuple[float, float]],
) -> Spec:
    """Filled contours of the total loss on a plane, with checkpoints and the way between them.

    ``sheets`` holds a panel's title and its rings of contours: alpha, beta, band, order and said, one of
    ``bands``, which rise; a row without alpha ends a ring. ``marks``: alpha, beta, name, order (−1 for what
    is no step of a trail), shown (whether it bears its name) and said; ``path``: alpha, beta, order, of the
    straight line from A to B. ``ranges`` are the ends of α and of β.
    """
    size = 400 if len(sheets) > 1 else 430
    legend = {
        "title": "total loss",
        "orient": "right",
        "symbolType": "square",
        "symbolSize": 260,
        "symbolStrokeWidth": 0,
        "values": list(reversed(bands)),
    }
    fill = n("said", sort=list(bands), scale={"domain": list(bands), "scheme": "viridis"}, legend=legend)
    white = {"type": "line", "color": "white", "strokeWidth": 2}
    point = {"type": "point", "filled": True, "size": 70, "color": "white", "stroke": "black"}
    word = {"type": "text", "fontWeight": "bold", "fontSize": 14, "dx": 11, "dy": -10}
    order = q("order")
    panels: list[Tree] = []
    for title, rings in sheets.items():
        y_title = None if panels else f"β: {axes[1]}"
        x, y = (
            q(
                field,
                scale={"domain": list(ends), "nice": False},
                axis={"grid": False, "tickCount": 5, "title": words},
            )
            for field, ends, words in zip(("alpha", "beta"), ranges, (None, y_title), strict=True)
        )
        filled = layer(
            {"type": "line", "filled": True, "strokeWidth": 0.6, "clip": True},
            rows(rings),
            x=x,
            y=y,
            order=order,
            detail=n("band"),
            fill=fill,
            stroke={"value": "#00000055"},
            tooltip=[n("said", title="total loss")],
        )
        layers = [filled]
        if len(path):
            dashed = {**white, "strokeDash": [6, 4], "opacity": 0.95}
            layers.append(layer(dashed, rows(path), x=x, y=y, order=order))
        own, named, words = rows(marks), "datum.shown", [n("said", title="checkpoint")]
        halo = {**word, "color": "black", "stroke": "black", "strokeWidth": 3.5}
        layers += [
            layer(white, own, where="datum.order >= 0", x=x, y=y, order=order),
            layer(
                {**point, "strokeWidth": 1, "opacity": 1},
                own,
                x=x,
                y=y,
                tooltip=words,
            ),
            layer(halo, own, where=named, x=x, y=y, text=n("name")),
            layer({**word, "color": "white"}, own, where=named, x=x, y=y, text=n("name")),
        ]
        panels.append({"layer": layers, "title": title, "width": size, "height": size})
    return finished(_sheets(panels, f"α: {axes[0]}"))


def _sheets(panels: list[Tree], title: str) -> Tree:
    tree = beside(panels, 2, title)
    del tree["params"]
    return tree
