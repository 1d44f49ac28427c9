"""The charts of probes: scores beside chance, and an embedding's projections in the colours of a variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.palette import PALETTE, SHAPES
from reports.spec import GREY, INK, LIVE, TEXT, Spec, Tree, finished, layer, n, q, rows, told

ROW, BETWEEN = 20, 10
"""Pixels of an embedding's row in a chart of scores, and between two variables."""

WIDTH = 380
"""Pixels of a chart of scores without its words at either side."""

PANEL, ALONE = 250, 330
"""Side of a panel in a row, and of one alone."""

MARKS = {"A": (PALETTE[0], "circle"), "B": (PALETTE[1], "triangle-up")}
"""Colour and shape of each embedding."""


def scores(frame: pd.DataFrame, x_title: str, chance_title: str) -> Spec:
    """Scores as points with their intervals, both embeddings of a variable below each other, and chance.

    ``frame``: panel (A or B), name, value, low, high, p, chance, chance_low, chance_high, change (words at
    the right of the variable, or empty), told and chance_told. Values are cut at −1.
    """
    names, letters = list(dict.fromkeys(frame["name"])), list(dict.fromkeys(frame["panel"]))
    numbers = ["value", "low", "high", "chance", "chance_low", "chance_high"]
    shown = frame.assign(**{name: frame[name].clip(lower=-1, upper=1) for name in numbers})
    least = min(0.0, float(shown[numbers].min().min()))
    scale = {"domain": [least, 1.0], "nice": False, "padding": 6}

    def x(field: str) -> Tree:
        return q(field, scale=scale, axis={"title": x_title, "tickCount": 6})

    inner = {"paddingInner": 0.0, "paddingOuter": 0.0}
    y = n(
        "name",
        sort=names,
        title=None,
        scale={"paddingInner": 0.3, "paddingOuter": 0.15},
        axis={"labelLimit": 150},
    )
    offset = n("panel", sort=letters, scale={"domain": letters, **inner}) if len(letters) > 1 else None
    legend = {"title": None, "orient": "top", "symbolSize": 90} if len(letters) > 1 else None
    colour, shape = (
        n(
            "panel",
            sort=letters,
            scale={"domain": letters, "range": [MARKS[letter][which] for letter in letters]},
            legend=legend,
        )
        for which in (0, 1)
    )
    grey = {"color": GREY, "height": ROW - 6}
    words = [n("told", title="score"), n("p", title="p"), n("chance_told", title=chance_title)]
    layers = [
        layer(
            {"type": "bar", "opacity": 0.4, **grey},
            x=x("chance_low"),
            x2={"field": "chance_high"},
            y=y,
            yOffset=offset,
        ),
        layer({"type": "tick", "thickness": 3, **grey}, x=x("chance"), y=y, yOffset=offset),
        layer(
            {"type": "rule", "strokeWidth": 2.5},
            x=x("low"),
            x2={"field": "high"},
            y=y,
            yOffset=offset,
            color=colour,
        ),
        layer(
            {"type": "point", "filled": True, "size": 85, "opacity": 1},
            x=x("value"),
            y=y,
            yOffset=offset,
            color=colour,
            shape=shape,
            tooltip=words,
        ),
    ]
    if (shown["change"] != "").any():
        mark = {"type": "text", "align": "left", "dx": 10, "fontSize": TEXT, "color": INK}
        first = rows(shown.loc[~shown["name"].duplicated(), ["name", "change"]])
        layers.append(layer(mark, first, x={"value": "width"}, y=y, text=n("change")))
    height = len(names) * (len(letters) * ROW + BETWEEN)
    return finished({"data": rows(shown), "layer": layers, "width": WIDTH, "height": height})


@dataclass(frozen=True)
class Panel:
    """One projection of one embedding: its axes' titles (empty where they mean nothing), and its points.

    ``points``: x, y, value and row.
    """

    letter: str
    """Name of the embedding; empty where there is one alone."""
    method: str
    axes: tuple[str, str]
    points: pd.DataFrame
    ranges: tuple[tuple[float, float], tuple[float, float]] | None = None
    """Ends of both axes, where panels share them."""

    @property
    def title(self) -> str:
        """Words above the panel."""
        return f"{self.letter}: {self.method}" if self.letter else self.method[:1].upper() + self.method[1:]


def projections(panels: Sequence[Panel], variable: str, values: Sequence[str] | tuple[float, float]) -> Spec:
    """An embedding's projections, coloured by a variable: side by side, or live the one that is chosen.

    ``values`` are the categories in the order of their colours, or the least and the greatest number. All
    panels share the colours, none the axes; the row at the pointer is marked in every panel.
    """
    marks = _marks(variable, values)
    side = PANEL if len(panels) > 1 else ALONE
    still = finished({"concat": [_panel(panel, marks, side) for panel in panels], "columns": 4})
    methods = list(dict.fromkeys(panel.method for panel in panels))
    letters = list(dict.fromkeys(panel.letter for panel in panels))
    points = [f"points_{place}" for place in range(len(letters))]
    params: list[Tree] = []
    if len(methods) > 1:
        bind = {"input": "radio", "options": methods, "name": "projection "}
        params.append({"name": "view", "value": methods[0], "bind": bind})
    select = {"type": "point", "fields": ["row"], "on": "pointermove", "clear": "pointerout", "nearest": True}
    params.append({"name": "near", "select": select, "views": points})
    drawn = []
    for letter, name in zip(letters, points, strict=True):
        own = [panel for panel in panels if panel.letter == letter]
        drawn.append(_chosen(own, marks, name, PANEL if len(letters) > 1 else ALONE))
    return Spec(finished({"concat": drawn, "columns": 2, "params": params}).tree, still.tree)


def _chosen(panels: Sequence[Panel], marks: _Marks, name: str, side: int) -> Tree:
    """All projections of one embedding in one panel, which shows that of the choice ``view``."""
    data = pd.concat([panel.points.assign(method=panel.method) for panel in panels], ignore_index=True)
    if len(panels) == 1:
        x, y = _axes(panels[0])
        title: Any = panels[0].title
    else:
        titles = {panel.method: _told(panel) for panel in panels}
        cases = [f"view == {method!r} ? {words!r}" for method, words in titles.items()]
        title = {"text": {"expr": " : ".join([*cases, "''"])}}
        scale = {"nice": False, "padding": 10, "zero": False}
        x, y = (q(field, scale=scale, axis={"title": None, "grid": False}) for field in "xy")
    ring = {"type": "point", "size": 190, "strokeWidth": 2.5, "color": INK, "opacity": 1, "filled": False}
    near = {"param": "near", "empty": False}
    layers = [
        {**layer(marks.point(len(panels[0].points)), x=x, y=y, **marks.channels), "name": name},
        layer(ring, where=near, name=f"{LIVE}{name}", x=x, y=y),
    ]
    tree = {"data": rows(data), "layer": layers, "title": title, "width": side, "height": side}
    return tree | ({"transform": [{"filter": "datum.method == view"}]} if len(panels) > 1 else {})


def _told(panel: Panel) -> str:
    axes = " and ".join(axis for axis in panel.axes if axis)
    return f"{panel.letter}: {axes}".removeprefix(": ") if axes else panel.title


def _panel(panel: Panel, marks: _Marks, side: int) -> Tree:
    x, y = _axes(panel)
    drawn = layer(marks.point(len(panel.points)), rows(panel.points), x=x, y=y, **marks.channels)
    return {**drawn, "title": panel.title, "width": side, "height": side}


def _axes(panel: Panel) -> tuple[Tree, Tree]:
    bare = {} if any(panel.axes) else _BARE
    x, y = (
        q(
            field,
            scale={"nice": False, "padding": 10, "zero": False} | ({"domain": list(ends)} if ends else {}),
            axis={"title": title or None, "tickCount": 5, "grid": False, **bare},
        )
        for field, title, ends in zip("xy", panel.axes, panel.ranges or (None, None), strict=True)
    )
    return x, y


_BARE = {"labels": False, "ticks": False}


@dataclass(frozen=True)
class _Marks:
    """Points in the colours of a variable: their channels, and their mark for so many of them."""

    variable: str
    channels: Tree
    form: str
    """Format of the variable's numbers; empty for categories."""

    def point(self, count: int) -> Tree:
        """The mark, smaller where there are many."""
        words = told({"data row": ("row", ""), f"{self.variable} ": ("value", self.form)})
        mark = {"type": "point", "filled": True, "size": 46 if count < 200 else 24, "opacity": 1}
        return {**mark, "stroke": GREY, "strokeWidth": 0.5, "tooltip": words}


def _marks(variable: str, values: Sequence[str] | tuple[float, float]) -> _Marks:
    if values and isinstance(values[0], str):
        names = list(values)
        scales = ({"domain": names, "range": palette[: max(1, len(names))]} for palette in (PALETTE, SHAPES))
        colour, shape = (n("value", title=variable, sort=names, scale=scale) for scale in scales)
        return _Marks(variable, {"color": colour, "shape": shape}, "")
    # The ends of the scheme would vanish on a dark page and on a light one.
    scale = {"scheme": {"name": "viridis", "extent": [0.22, 0.95]}, "domain": list(values)}
    legend = {"gradientLength": 180, "format": ".3~g"}
    return _Marks(variable, {"color": q("value", title=variable, scale=scale, legend=legend)}, ".4~g")
