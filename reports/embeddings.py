"""Two embeddings in the same axes, before and after the best map, each state joined with itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from reports.palette import PALETTE, SHAPES
from reports.spec import GREY, Spec, Tree, colours, finished, layer, n, q, rows

HALVES = ["#0072B2", "#8a8f96", "#D55E00"]
"""From the lower to the upper end of the base: all three stand out on a light and on a dark page."""

SHADES = ["#0072b2", "#2379ab", "#4581a4", "#68889d", "#8a8f96", "#9d8371", "#b0774b", "#c26a26", "#d55e00"]
"""The same in steps: in a drawing, marks of one colour are one element."""

JOINED = 150
"""Most states that are joined with themselves by a line: more would cover each other."""

WIDTH = 1200
"""Pixels of all panels together, with room for an axis beside each."""

MOST_COLUMNS = 4

MOST_SIDE, BESIDE = 330, 58
"""Largest side of a panel, and the room beside it, in pixels."""


TICK = 50
"""Pixels from one number of an axis to the next, at the least: closer ones run into each other."""


@dataclass(frozen=True)
class Panel:
    """A panel: its title, the columns with the places of its points, and where its lines begin."""

    title: str
    places: str
    """Prefix of the columns ``<places>_x`` and ``<places>_y``."""
    over: str = ""
    """Prefix of the places beneath, drawn as rings and joined with the points; empty for none."""
    plain: bool = False
    """Whether to leave out what would lie beneath the points."""


@dataclass(frozen=True)
class Ground:
    """What lies beneath the points of a panel: lines of a transition model, and the density of all states."""

    lines: pd.DataFrame | None = None
    """x, y, x2, y2"""
    density: pd.DataFrame | None = None
    """x, x2, y, y2, states"""


@dataclass(frozen=True)
class Look:
    """How points are told apart."""

    colour: str = ""
    """Column of the categories that colour the points; empty to colour them by their height in the base."""
    title: str = ""
    """Title of the categories, or of the base's vertical axis."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """{column: name} of what else is known of a state, for tooltips."""
    axes: tuple[str, str] = ("axis 0", "axis 1")
    shared: bool = True
    """Whether all panels have the same axes."""
    grounds: Mapping[str, Ground] = field(default_factory=dict)
    """{places: what lies beneath}"""


def side_by_side(points: pd.DataFrame, panels: Sequence[Panel], look: Look) -> Spec:
    """A panel for each of some placings of the same states.

    ``points`` has a row a state: state, ``<places>_x`` and ``<places>_y`` for each placing, height (the
    base's vertical coordinate), half (``upper`` or ``lower``) and the columns that ``look`` names.
    """
    ends = {axis: _extent(points, [p.places for p in panels], axis, look.grounds) for axis in ("x", "y")}
    columns = min(len(panels), MOST_COLUMNS)
    side = min(MOST_SIDE, WIDTH // columns - BESIDE)
    drawn = [
        _panel(points, panel, look, ends, side, place % columns == 0) for place, panel in enumerate(panels)
    ]
    return finished({"data": rows(points), "concat": drawn, "columns": columns, "spacing": 26})


def _extent(
    points: pd.DataFrame, places: Sequence[str], axis: str, grounds: Mapping[str, Ground]
) -> list[float]:
    """Both ends of an axis that all panels share, with some room."""
    columns = [points[f"{place}_{axis}"] for place in places]
    columns += [g.density[c] for g in grounds.values() if g.density is not None for c in (axis, f"{axis}2")]
    return ends_of(columns)


def ends_of(columns: Sequence[Any]) -> list[float]:
    """Both ends of an axis that holds some columns, with some room."""
    least, most = min(float(c.min()) for c in columns), max(float(c.max()) for c in columns)
    room = 0.05 * (most - least) or 0.5
    return [least - room, most + room]


def _panel(
    points: pd.DataFrame,
    panel: Panel,
    look: Look,
    ends: Mapping[str, list[float]],
    side: int,
    first: bool,
) -> Tree:
    def scale(axis: str) -> Tree:
        both = [panel.places, *([panel.over] if panel.over else ())]
        domain = ends[axis] if look.shared else _extent(points, both, axis, {})
        return {"domain": domain, "nice": False, "zero": False}

    across, up = scale("x"), scale("y")

    def at(places: str) -> Tree:
        ticks = {"tickCount": max(3, side // TICK)}
        title = look.axes[1] if first else None
        return {
            "x": q(f"{places}_x", title=look.axes[0], scale=across, axis=ticks),
            "y": q(f"{places}_y", title=title, scale=up, axis=ticks),
        }

    ground = Ground() if panel.plain else look.grounds.get(panel.places, Ground())
    layers = []
    if ground.density is not None:
        layers.append(_cells(ground.density, across, up))
    if ground.lines is not None:
        rule = {"type": "rule", "opacity": 0.5, "strokeWidth": 0.8, "color": GREY}
        places: Tree = {"x": q("x", scale=across), "y": q("y", scale=up)}
        layers.append(layer(rule, rows(ground.lines), **places, x2={"field": "x2"}, y2={"field": "y2"}))
    few = len(points) <= JOINED
    if panel.over:
        joined = None if few else rows(points.iloc[:: -(-len(points) // JOINED)])
        layers.append(layer(ring(34 if few else 16), **at(panel.over)))
        ends_at: Tree = {f"{axis}2": {"field": f"{panel.places}_{axis}"} for axis in ("x", "y")}
        rule = {"type": "rule", "opacity": 0.55, "strokeWidth": 1.1, "color": GREY}
        layers.append(layer(rule, joined, **at(panel.over), **ends_at))
    mark = {"type": "point", "filled": True, "size": 46 if few else 22, "opacity": 0.95}
    layers.append(layer(mark, **at(panel.places), **_marks(points, look), tooltip=tooltip(look.facts)))
    return {"layer": layers, "width": side, "height": side, "title": panel.title}


def ring(size: int) -> Tree:
    """The mark of a state's place in the base, beneath its place in the transfer."""
    return {"type": "point", "size": size, "strokeWidth": 1, "color": GREY, "opacity": 0.9}


def _marks(points: pd.DataFrame, look: Look) -> Tree:
    if look.colour:
        return by_group(points, look.colour, title=look.title)
    return by_height(title=look.title, legend=OF_HALVES)


def by_group(points: pd.DataFrame, column: str, **key: Any) -> Tree:
    """Colour and shape of points by a column of categories; ``key`` is of the legend of both."""
    groups = list(dict.fromkeys(points[column]))
    return {
        "color": n(column, sort=groups, scale=colours(groups, PALETTE), **key),
        "shape": n(column, sort=groups, scale=colours(groups, SHAPES), **key),
    }


_ENDS = {"expr": f"datum.label === 'upper half' ? '{HALVES[2]}' : '{HALVES[0]}'"}

OF_HALVES = {"symbolFillColor": _ENDS, "symbolStrokeColor": _ENDS}
"""Legend of the halves of the base, in the colours of its ends."""


def by_height(**key: Any) -> Tree:
    """Colour of points by their height in the base, and shape by its half; ``key`` is of the shapes."""
    shapes = {"domain": ["upper half", "lower half"], "range": ["triangle-up", "circle"]}
    return {
        "color": q("height", legend=None, scale={"type": "quantize", "range": SHADES}),
        "shape": n("half", scale=shapes, **key),
    }


def tooltip(facts: Mapping[str, str]) -> list[Tree]:
    """What a pointer brings out of a state: its number, and ``facts`` {column: name}."""
    return [q("state"), *({"field": column, "title": name} for column, name in facts.items())]


def _cells(density: pd.DataFrame, across: Tree, up: Tree) -> Tree:
    shade = q("states", legend=None, scale={"type": "sqrt", "range": [0.04, 0.6]})
    return layer(
        {"type": "rect", "color": GREY},
        rows(density),
        x=q("x", scale=across),
        x2={"field": "x2"},
        y=q("y", scale=up),
        y2={"field": "y2"},
        opacity=shade,
        tooltip=[q("states")],
    )
