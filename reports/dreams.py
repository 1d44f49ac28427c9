"""Charts of what world models foresee, over the steps ahead."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, finish, line_keys, multiples, pointed

WIDTH, HEIGHT = 250, 140


def drift(rows: pd.DataFrame) -> Any:
    """A panel a term, a line and a band a name; ``rows``: panel, name, step, value, low, high."""
    names = list(dict.fromkeys(rows["name"]))
    return lines(rows, names, "steps ahead")


def lines(rows: pd.DataFrame, names: list[str], x_title: str) -> Any:
    """A panel a quantity, a line and a band a name; all panels share one legend of these names."""
    keys = line_keys("name", names, [PALETTE[place % len(PALETTE)] for place in range(len(names))])
    panels = []
    for panel in dict.fromkeys(rows["panel"]):
        mine = rows[rows["panel"] == panel]
        base = alt.Chart(mine).encode(
            x=alt.X("step:Q", title=x_title, axis=alt.Axis(format="~s", tickCount=5))
        )
        y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False))
        band = base.mark_area(opacity=0.18, aria=False).encode(
            y=alt.Y("low:Q", title=None), y2="high:Q", color=keys["color"]
        )
        line = base.mark_line(strokeWidth=2, point=pointed(mine["step"]), aria=False).encode(
            y=y,
            **keys,
            tooltip=["name:N", "step:Q", alt.Tooltip("value:Q", format=".4f")],
        )
        panels.append(alt.layer(band, line).properties(title=panel, width=WIDTH, height=HEIGHT))
    return finish(multiples(panels, 2))
