"""The charts of a repair: numbers from stage to stage, and what training made of each candidate."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, finish
from reports.spec import INK


def stages(rows: pd.DataFrame, title: str, reference: float | None = None, name: str = "base") -> Any:
    """A point a stage with its interval; ``rows`` has stage, value, low and high (they may be NaN).

    ``reference`` is drawn as a dashed line with its ``name``.
    """
    order = list(rows["stage"])
    base = alt.Chart(rows).encode(
        y=alt.Y("stage:N", sort=order, title=None, axis=alt.Axis(ticks=False)),
        tooltip=["stage", *(alt.Tooltip(f"{c}:Q", format=".3f") for c in ("value", "low", "high"))],
    )

    def x(column: str) -> Any:
        return alt.X(f"{column}:Q", title=title, scale=alt.Scale(padding=14))

    layers: list[Any] = []
    if reference is not None:
        line = alt.Chart(pd.DataFrame({"value": [reference], "name": [name]}))
        layers += [
            line.mark_rule(color=INK, strokeDash=[4, 3]).encode(x=x("value")),
            line.mark_text(color=INK, fontSize=12, align="left", dx=4, dy=2, baseline="top").encode(
                x=x("value"), y=alt.value(0), text="name:N"
            ),
        ]
    layers += [
        base.mark_rule(strokeWidth=2, color=PALETTE[0]).encode(x=x("low"), x2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1, color=PALETTE[0]).encode(x=x("value")),
    ]
    return finish(alt.layer(*layers).properties(width=420, height=36 * len(order) + 14))


def candidates(rows: pd.DataFrame, base: float) -> Any:
    """Loss before and after training from each map, and the base's own; ``rows``: map, before, after."""
    order = list(rows["map"])
    both = rows.melt(["map", "updates"], ["before", "after"], var_name="when", value_name="loss")
    y = alt.Y("map:N", sort=order, title=None, axis=alt.Axis(labelLimit=230, ticks=False))
    x = alt.X("loss:Q", title="loss on the target task", scale=alt.Scale(padding=14))
    shown = alt.Chart(both)
    line = alt.Chart(pd.DataFrame({"loss": [base], "name": ["base"]}))
    kinds = ["before", "after"]
    key = {"title": None, "sort": kinds}
    return finish(
        alt.layer(
            line.mark_rule(color=INK, strokeDash=[4, 3]).encode(x=x),
            line.mark_text(color=INK, fontSize=12, align="left", dx=4, baseline="top").encode(
                x=x, y=alt.value(0), text="name:N"
            ),
            alt.Chart(rows).mark_rule(color="#888888").encode(x=alt.X("before:Q"), x2="after:Q", y=y),
            shown.mark_point(filled=True, size=70, opacity=1).encode(
                x=x,
                y=y,
                color=alt.Color(
                    "when:N", scale=alt.Scale(domain=kinds, range=["#888888", PALETTE[0]]), **key
                ),
                shape=alt.Shape("when:N", scale=alt.Scale(domain=kinds, range=["square", "circle"]), **key),
                tooltip=["map", "when", alt.Tooltip("loss:Q", format=".4f"), "updates"],
            ),
        ).properties(width=320, height=26 * len(order) + 14)
    )
