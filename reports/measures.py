"""Measures of a comparison on one scale with their intervals, and how often chance would score as much."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, finish
from reports.spec import INK


def measures(rows: pd.DataFrame) -> Any:
    """A line a measure; ``rows`` has name, value, low, high (they may be NaN), p (words) and blind.

    Measures that are ``blind`` to flips are hollow.
    """
    order = list(rows["name"])
    least = min(0.0, float(rows[["value", "low"]].min().min()))
    most = max(1.0, float(rows[["value", "high"]].max().max()))
    kinds = ["sees flips", "blind to flips"]
    shown = rows.assign(kind=[kinds[int(blind)] for blind in rows["blind"]])
    base = alt.Chart(shown).encode(
        y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=250, ticks=False)),
        tooltip=["name", *(alt.Tooltip(f"{c}:Q", format=".3f") for c in ("value", "low", "high")), "p:N"],
    )
    scale = alt.Scale(domain=[least, most], nice=False, padding=8)

    def x(column: str) -> Any:
        return alt.X(f"{column}:Q", title="score (1 is equality)", scale=scale)

    present = [kind for kind in kinds if kind in set(shown["kind"])]
    colours = {kinds[0]: PALETTE[0], kinds[1]: "#888888"}
    shapes = {kinds[0]: "circle", kinds[1]: "square"}
    key = {"title": None, "sort": present}
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=present, range=[colours[kind] for kind in present]), **key
    )
    shape = alt.Shape(
        "kind:N", scale=alt.Scale(domain=present, range=[shapes[kind] for kind in present]), **key
    )
    layers = [
        base.mark_rule(strokeWidth=2).encode(x=x("low"), x2="high:Q", color=colour),
        base.mark_point(filled=True, size=75, opacity=1).encode(x=x("value"), color=colour, shape=shape),
    ]
    if (rows["p"] != "").any():
        layers.append(
            base.transform_filter("datum.p !== ''")
            .transform_calculate(told="'p ' + datum.p")
            .mark_text(align="left", dx=14, fontSize=12, color=INK)
            .encode(x=alt.datum(most), text="told:N")
        )
    return finish(alt.layer(*layers).properties(width=_WIDTH, height=28 * len(order)))


_WIDTH = 290
