"""Panels of lines along a way from A to B: bands, ends, and a rule at the pointer that all panels share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reports.palette import DASHES, PALETTE
from reports.spec import GREY, INK, LIVE, TEXT, Tree, colours, haloed, layer, n, q, rows, told

ALONG = "t, from A (0) to B (1)"
"""Title of the axis that all panels share."""

ROOM = 0.12
"""Share of a panel's height that is left above and below what lies between A and B."""

BEYOND = 0.35
"""Share of the height between A and B that a line may climb beyond the ends before it is cut."""

_NEAR = "near"
"""The selection of the t nearest to the pointer, which all panels of a chart share."""


def beside(panels: Sequence[Tree], columns: int, title: str = ALONG, **more: Any) -> Tree:
    """Panels in rows, with one title for the axis that they share below them all."""
    watched = [f"{LIVE}{place}" for place in range(len(panels))]
    named = [_named(panel, name) for panel, name in zip(panels, watched, strict=True)]
    words = {
        "text": title,
        "orient": "bottom",
        "anchor": "middle",
        "frame": "bounds",
        "fontWeight": "normal",
        "fontSize": TEXT,
        "offset": 8,
    }
    select = {
        "type": "point",
        "fields": ["t"],
        "on": "pointermove",
        "clear": "pointerout",
        "nearest": True,
    }
    tree: Tree = {"concat": named, "columns": min(columns, len(panels)), "title": words, **more}
    tree["params"] = [{"name": _NEAR, "select": select, "views": watched}]
    return tree


def _named(panel: Tree, name: str) -> Tree:
    """The panel with names for its live layers that no other panel has; ``name`` is that of its targets."""
    layers = []
    for place, part in enumerate(panel["layer"]):
        own = str(part.get("name", ""))
        own = name if own == LIVE else f"{name}_{place}" if own.startswith(LIVE) else ""
        layers.append({**part, "name": own} if own else part)
    return {**panel, "layer": layers}


def panel(
    frame: pd.DataFrame,
    *,
    size: tuple[int, int],
    names: Sequence[str],
    title: str = "",
    y_title: str | None = None,
    legend: Tree | None = None,
    palette: Sequence[str] = PALETTE,
    below: Sequence[Tree] = (),
    above: Sequence[Tree] = (),
    domain: tuple[float, float] | None = None,
) -> Tree:
    """Lines of ``frame``: t, value, name, and perhaps low and high, which make bands.

    ``below`` and ``above`` are layers that go under and over the lines. ``legend`` is None for no legend.
    ``size`` is (width, height) in pixels.
    """
    x = along(frame)
    scale = {"domain": list(domain or span_of(frame)), "nice": False, "zero": False}
    axis = {"tickCount": 5 if size[1] > 200 else 4, "title": y_title}
    y = q("value", scale=scale, axis=axis)
    colour = n("name", sort=list(names), scale=colours(names, palette), legend=legend)
    dashes = {"domain": list(names), "range": DASHES[: max(1, len(names))]}
    dash = n("name", sort=list(names), scale=dashes, legend=legend)
    words = {"line": ("name", ""), "t": ("t", ".2f"), "value": ("value", ".4~g")}
    layers = [_ends(), *below]
    if {"low", "high"} <= set(frame.columns) and frame["low"].notna().any():
        band = {"type": "area", "opacity": 0.2, "clip": True}
        low = q("low", scale=scale, axis=axis)
        layers.append(layer(band, x=x, y=low, y2={"field": "high"}, color=colour))
        words |= {f"95% {end}": (end, ".4~g") for end in ("low", "high")}
    line = {"type": "line", "strokeWidth": 2, "clip": True}
    layers += [layer(line, x=x, y=y, color=colour, strokeDash=dash), *above]
    layers += hovered(x, y, colour, told(words))
    used = [column for column in ("t", "value", "name", "low", "high") if column in frame.columns]
    drawn: Tree = {"data": rows(frame[used]), "layer": layers, "width": size[0], "height": size[1]}
    return {**drawn, "title": title} if title else drawn


def along(frame: pd.DataFrame, few: bool = False) -> Tree:
    """The channel of t, whose ticks at 0 and 1 are called A and B."""
    axis = {
        "values": [0, 0.5, 1] if few else [0, 0.25, 0.5, 0.75, 1],
        "labelExpr": "datum.value == 0 ? 'A' : datum.value == 1 ? 'B' : datum.label",
        "format": ".2~f",
        "grid": False,
        "title": None,
    }
    domain = [float(frame["t"].min()), float(frame["t"].max())]
    return q("t", scale={"domain": domain, "nice": False}, axis=axis)


def line_legend(title: str | None = None, **options: Any) -> Tree:
    """A legend whose symbols are lines, dashed as the lines that they name."""
    looks = {"symbolType": "stroke", "symbolOpacity": 1, "symbolStrokeWidth": 2.5, "symbolSize": 400}
    return {"title": title, "labelLimit": 500, **looks, **options}


def span_of(frame: pd.DataFrame) -> tuple[float, float]:
    """The range of values that a panel shows: all that lies between A and B, and a little beyond them."""
    columns = [name for name in ("value", "low", "high") if name in frame.columns]
    inside = frame.loc[frame["t"].between(0, 1), columns]
    inside = inside if inside.notna().any().any() else frame[columns]
    low, high = float(inside.min().min()), float(inside.max().max())
    span = high - low or abs(high) or 1.0
    least = max(float(frame[columns].min().min()), low - BEYOND * span)
    most = min(float(frame[columns].max().max()), high + BEYOND * span)
    floor = least - ROOM * span
    return (max(0.0, floor) if least >= 0 else floor), most + ROOM * span


def _ends() -> Tree:
    rule = {"type": "rule", "strokeDash": [2, 3], "color": GREY, "opacity": 0.7}
    return layer(rule, rows([{"t": 0.0}, {"t": 1.0}]), x=q("t"))


def hovered(
    x: Tree, y: Tree, colour: Mapping[str, Any] | None, tooltip: Tree, digits: str = ".3~g"
) -> list[Tree]:
    """What the pointer brings out: a rule at its t, and there each line's point and its value."""
    near: Tree = {"where": {"param": _NEAR, "empty": False}}
    point = {"type": "point", "filled": True, "size": 55, "opacity": 1, "clip": True}
    if colour is None:
        point["color"] = INK
    words = {"align": "left", "dx": 7, "dy": -8, "clip": True}
    # Nobody sees the targets: they are what the pointer is nearest to, and carry the tooltip.
    target = {"type": "point", "opacity": 0, "size": 90, "clip": True, "tooltip": tooltip}
    return [
        layer({"type": "rule", "color": GREY}, name=f"{LIVE}rule", x=x, **near),
        layer(point, name=f"{LIVE}point", x=x, y=y, color=colour, **near),
        *haloed(words, name=f"{LIVE}word", x=x, y=y, text=q(y["field"], format=digits), **near),
        layer(target, name=LIVE, x=x, y=y),
    ]
