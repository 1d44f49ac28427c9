"""Two embeddings in the same axes, before and after the best map, each state joined with itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, SHAPES, finish
from reports.spec import GREY

HALVES = ["#0072B2", "#8a8f96", "#D55E00"]
"""From the lower to the upper end of the base: all three stand out on a light and on a dark page."""


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


def side_by_side(points: pd.DataFrame, panels: Sequence[Panel], look: Look) -> Any:
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
    return finish(alt.concat(*drawn, columns=columns, spacing=26))


def _extent(
    points: pd.DataFrame, places: Sequence[str], axis: str, grounds: Mapping[str, Ground]
) -> list[float]:
    """Both ends of an axis that all panels share, with some room."""
    columns = [points[f"{place}_{axis}"] for place in places]
    columns += [g.density[c] for g in grounds.values() if g.density is not None for c in (axis, f"{axis}2")]
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
) -> Any:
    def scale(axis: str) -> alt.Scale:
        if look.shared:
            return alt.Scale(domain=ends[axis], nice=False, zero=False)
        both = [panel.places, *([panel.over] if panel.over else ())]
        return alt.Scale(domain=_extent(points, both, axis, {}), nice=False, zero=False)

    def at(places: str) -> dict[str, Any]:
        ticks = alt.Axis(tickCount=max(3, side // TICK))
        up = alt.Y(f"{places}_y:Q", title=look.axes[1] if first else None, scale=scale("y"), axis=ticks)
        return {"x": alt.X(f"{places}_x:Q", title=look.axes[0], scale=scale("x"), axis=ticks), "y": up}

    ground = Ground() if panel.plain else look.grounds.get(panel.places, Ground())
    layers = []
    if ground.density is not None:
        layers.append(_cells(ground.density, scale))
    if ground.lines is not None:
        layers.append(
            alt.Chart(ground.lines)
            .mark_rule(opacity=0.5, strokeWidth=0.8, color=GREY)
            .encode(x=alt.X("x:Q", scale=scale("x")), y=alt.Y("y:Q", scale=scale("y")), x2="x2:Q", y2="y2:Q")
        )
    base = alt.Chart(points)
    few = len(points) <= JOINED
    if panel.over:
        joined = base if few else alt.Chart(points.iloc[:: -(-len(points) // JOINED)])
        layers += [
            base.mark_point(size=34 if few else 16, strokeWidth=1, color=GREY, opacity=0.9).encode(
                **at(panel.over)
            ),
            joined.mark_rule(opacity=0.55, strokeWidth=1.1, color=GREY).encode(
                **at(panel.over), x2=f"{panel.places}_x:Q", y2=f"{panel.places}_y:Q"
            ),
        ]
    size = 46 if few else 22
    layers.append(
        base.mark_point(filled=True, size=size, opacity=0.95).encode(
            **at(panel.places), **_marks(points, look), tooltip=_tooltip(look)
        )
    )
    return alt.layer(*layers).properties(width=side, height=side, title=panel.title)


def _marks(points: pd.DataFrame, look: Look) -> dict[str, Any]:
    if look.colour:
        groups = list(dict.fromkeys(points[look.colour]))
        colours, shapes = (alt.Scale(domain=groups, range=kinds) for kinds in (PALETTE, SHAPES))
        key = {"title": look.title, "sort": groups}
        return {
            "color": alt.Color(f"{look.colour}:N", scale=colours, **key),
            "shape": alt.Shape(f"{look.colour}:N", scale=shapes, **key),
        }
    return {
        "color": alt.Color("height:Q", legend=None, scale=alt.Scale(range=HALVES, interpolate="rgb")),
        "shape": alt.Shape(
            "half:N",
            title=look.title,
            scale=alt.Scale(domain=["upper half", "lower half"], range=["triangle-up", "circle"]),
            legend=alt.Legend(
                symbolFillColor={"expr": f"datum.label === 'upper half' ? '{HALVES[2]}' : '{HALVES[0]}'"},
                symbolStrokeColor={"expr": f"datum.label === 'upper half' ? '{HALVES[2]}' : '{HALVES[0]}'"},
            ),
        ),
    }


def _tooltip(look: Look) -> list[Any]:
    return [alt.Tooltip("state:Q"), *(alt.Tooltip(column, title=name) for column, name in look.facts.items())]


def _cells(density: pd.DataFrame, scale: Any) -> Any:
    return (
        alt.Chart(density)
        .mark_rect(color=GREY)
        .encode(
            x=alt.X("x:Q", scale=scale("x")),
            x2="x2:Q",
            y=alt.Y("y:Q", scale=scale("y")),
            y2="y2:Q",
            opacity=alt.Opacity("states:Q", legend=None, scale=alt.Scale(type="sqrt", range=[0.04, 0.6])),
            tooltip=["states:Q"],
        )
    )
