"""States to look at one by one: both embeddings and every state's distance, brushed together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, SHAPES, finish
from reports.embeddings import HALVES, TICK
from reports.spec import INK

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
) -> Any:
    """Base, transfer and the states in order of distance; what is brushed in one stands out in all.

    ``points`` has state, height, half, rank, distance, the columns of ``facts`` {column: name}, perhaps
    image (a data address), and ``b<axis>`` and ``t<axis>`` for each of ``axes`` {axis: title}; the two
    ``chosen`` axes are drawn at first, and others can be where there are more. ``unrelated`` is drawn as
    the distance of different states. ``group`` is a column of categories that colour the points in place of
    their height; ``shared`` gives both embeddings the same axes.
    """
    brush = alt.selection_interval(name="brush", resolve="global")
    params: list[Any] = []
    across, up = (f"'{axis}'" for axis in chosen)
    if len(axes) > 2:
        params = [
            alt.param(
                name=name,
                value=axis,
                bind=alt.binding_select(options=list(axes), labels=list(axes.values()), name=f"{title} "),
            )
            for name, axis, title in (("across", chosen[0], "Across:"), ("up", chosen[1], "Up:"))
        ]
        across, up = "across", "up"
    tooltip: list[Any] = [alt.Tooltip("state:Q"), *(alt.Tooltip(c, title=name) for c, name in facts.items())]
    tooltip.append(alt.Tooltip("distance:Q", title="distance from the base", format=".3~g"))
    if "image" in points:
        tooltip.append(alt.Tooltip("image:N", title="image"))
    colour, shape = _marks(points, group, brush)
    fixed = len(axes) <= 2
    title = (lambda place: axes[chosen[place]]) if fixed else (lambda place: None)
    names = json.dumps(dict(axes))
    lines = f"'up: ' + {names}[up], 'across: ' + {names}[across]"

    # Every panel has the places in both: a box in one is told by its fields to all.
    chosen_axes = (("x", across), ("y", up))
    placed = {f"{of}{axis}": f"datum['{of}' + {name}]" for of in "bt" for axis, name in chosen_axes}

    def scattered(which: str, panel: str, name: str) -> Any:
        plain, ticks = alt.Scale(zero=False, nice=False, padding=8), alt.Axis(tickCount=SIDE // TICK)
        marks = (
            alt.Chart(points, name=name)
            .transform_calculate(**placed)
            .mark_point(filled=True, size=40 if len(points) < 200 else 24, opacity=0.9)
            .encode(
                x=alt.X(f"{which}x:Q", title=title(0), scale=plain, axis=ticks),
                y=alt.Y(f"{which}y:Q", title=title(1), scale=plain, axis=ticks),
                color=colour,
                shape=shape,
                tooltip=tooltip,
            )
        )
        layers = [marks]
        if shared:  # an unseen line over the extent of the other embedding
            other = "t" if which == "b" else "b"
            ends = {
                f"{end}_{other}{axis}": f"{end}({other}{axis})" for end in ("min", "max") for axis in "xy"
            }
            layers.append(
                alt.Chart(points)
                .transform_calculate(**placed)
                .transform_aggregate(**ends)
                .mark_rule(opacity=0)
                .encode(
                    x=alt.X(f"min_{other}x:Q", title=title(0)),
                    x2=f"max_{other}x:Q",
                    y=alt.Y(f"min_{other}y:Q", title=title(1)),
                    y2=f"max_{other}y:Q",
                )
            )
        text: Any = panel if fixed else {"expr": f"['{panel}', {lines}]"}
        heading = alt.TitleParams(text=text)
        return alt.layer(*layers).properties(width=SIDE, height=SIDE, title=heading)

    far = (
        alt.Chart(points)
        .transform_calculate(**placed)
        .mark_point(filled=True, size=24, opacity=0.9)
        .encode(
            x=alt.X("rank:Q", title="states, nearest first", scale=alt.Scale(nice=False, padding=6)),
            y=alt.Y("distance:Q", title="distance from the base"),
            color=colour,
            shape=shape,
            tooltip=tooltip,
        )
        .properties(name=_VIEWS[2])
    )
    third: Any = far
    if unrelated is not None:
        line = alt.Chart(pd.DataFrame({"distance": [unrelated], "told": ["from another state"]}))
        third = alt.layer(
            line.mark_rule(color=INK, strokeDash=[4, 3]).encode(y="distance:Q"),
            line.mark_text(color=INK, align="left", dx=4, dy=-7, fontSize=12).encode(
                x=alt.value(0), y="distance:Q", text="told:N"
            ),
            far,
        )
    third = third.properties(width=SIDE, height=SIDE, title="distance of each state")
    chart = alt.concat(
        scattered("b", "base", _VIEWS[0]), scattered("t", "transfer", _VIEWS[1]), third, columns=3, spacing=26
    )
    chart = chart.add_params(*params) if params else chart
    # One box for all panels: added panel by panel it would be one of several, and Altair warns of that. Names
    # are read back because Altair numbers them.
    units = [unit for panel in chart.concat for unit in getattr(panel, "layer", [panel])]
    drawn = [unit.name for unit in units if isinstance(unit.name, str)]
    views = alt.TopLevelSelectionParameter(
        name="brush", select=alt.IntervalSelectionConfig(type="interval", resolve="global"), views=drawn
    )
    chart.params = [*([] if chart.params is alt.Undefined else chart.params), views]
    return finish(chart)


def _marks(points: pd.DataFrame, group: str, brush: Any) -> tuple[Any, Any]:
    """Colour and shape of the points: of their category, or of their height in the base."""
    grey = alt.value("#88888855")
    if group:
        groups = list(dict.fromkeys(points[group]))
        colours, shapes = (alt.Scale(domain=groups, range=kinds) for kinds in (PALETTE, SHAPES))
        return (
            alt.condition(brush, alt.Color(f"{group}:N", legend=None, scale=colours), grey),
            alt.Shape(f"{group}:N", legend=None, scale=shapes),
        )
    heights = alt.Scale(range=HALVES, interpolate="rgb")
    halves = alt.Scale(domain=["upper half", "lower half"], range=["triangle-up", "circle"])
    return (
        alt.condition(brush, alt.Color("height:Q", legend=None, scale=heights), grey),
        alt.Shape("half:N", legend=None, scale=halves),
    )
