"""States to look at one by one: both embeddings and every state's distance, brushed together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from reports.charts import finish
from reports.embeddings import HALVES

_INK = "currentColor"

SIDE = 320

_VIEWS = ["in the base", "in the transfer", "by distance"]


def explorer(
    points: pd.DataFrame,
    axes: Mapping[str, str],
    chosen: tuple[str, str],
    facts: Mapping[str, str],
    unrelated: float | None = None,
) -> Any:
    """Base, transfer and the states in order of distance; what is brushed in one stands out in all.

    ``points`` has state, height, half, rank, distance, the columns of ``facts`` {column: name}, perhaps
    image (a data address), and ``b<axis>`` and ``t<axis>`` for each of ``axes`` {axis: title}; the two
    ``chosen`` axes are drawn at first, and others can be where there are more. ``unrelated`` is drawn as
    the distance of different states.
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
    colour = alt.condition(
        brush,
        alt.Color("height:Q", legend=None, scale=alt.Scale(range=HALVES, interpolate="rgb")),
        alt.value("#88888855"),
    )
    shape = alt.Shape(
        "half:N",
        legend=None,
        scale=alt.Scale(domain=["upper half", "lower half"], range=["triangle-up", "circle"]),
    )
    names = tuple(axes[axis] for axis in chosen) if len(axes) <= 2 else ("axis across", "axis up")

    def scattered(which: str, title: str, name: str) -> Any:
        return (
            alt.Chart(points)
            .transform_calculate(
                **{f"{which}x": f"datum['{which}' + {across}]", f"{which}y": f"datum['{which}' + {up}]"}
            )
            .mark_point(filled=True, size=40 if len(points) < 200 else 24, opacity=0.9)
            .encode(
                x=alt.X(f"{which}x:Q", title=names[0], scale=alt.Scale(zero=False, nice=False, padding=8)),
                y=alt.Y(f"{which}y:Q", title=names[1], scale=alt.Scale(zero=False, nice=False, padding=8)),
                color=colour,
                shape=shape,
                tooltip=tooltip,
            )
            .properties(width=SIDE, height=SIDE, title=title, name=name)
        )

    far = (
        alt.Chart(points)
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
        line = alt.Chart(pd.DataFrame({"distance": [unrelated], "told": ["different states"]}))
        third = alt.layer(
            line.mark_rule(color=_INK, strokeDash=[4, 3]).encode(y="distance:Q"),
            line.mark_text(color=_INK, align="left", dx=4, dy=-7, fontSize=12).encode(
                x=alt.value(0), y="distance:Q", text="told:N"
            ),
            far,
        )
    third = third.properties(width=SIDE, height=SIDE, title="distance of each state")
    chart = alt.concat(
        scattered("b", "base", _VIEWS[0]), scattered("t", "transfer", _VIEWS[1]), third, columns=3, spacing=26
    )
    # One box for all panels: added panel by panel it would be one of several, and Altair warns of that.
    views = alt.TopLevelSelectionParameter(
        name="brush", select=alt.IntervalSelectionConfig(type="interval", resolve="global"), views=_VIEWS
    )
    chart = chart.add_params(*params) if params else chart
    chart.params = [*([] if chart.params is alt.Undefined else chart.params), views]
    return finish(chart)
