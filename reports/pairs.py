"""The chart of walls between every two of several checkpoints: a matrix with a number in every cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from reports.charts import WIDE, finish

CELL, ALONE, LEAST = 76, 96, 22
"""Pixels of a cell where checkpoints are few, beside another matrix and alone, and where they are many."""

TALL = 0.62
"""A cell's height, as a share of its width: a number is wider than it is tall."""


def matrices(ways: Mapping[str, pd.DataFrame], title: str, highest: float) -> Any:
    """A matrix a way {name: cells}, side by side while two fit beside the words, else below each other."""
    count = max(frame["start"].nunique() for frame in ways.values())
    beside = len(ways) > 1 and count * CELL * len(ways) <= WIDE - 150
    across = len(ways) if beside else 1
    charts = [_matrix(cells, title, highest, across).properties(title=name) for name, cells in ways.items()]
    return finish(alt.concat(*charts, columns=across, spacing=26))


def _matrix(cells: pd.DataFrame, title: str, highest: float, across: int) -> Any:
    """Rows from, columns to; ``cells``: start, end, value (none on the diagonal), words, told, dark.

    ``words`` stands in the cell, ``told`` is shown beside the pointer, and ``dark`` says that light letters
    are read better there. Colours go from 0 to ``highest``.
    """
    names = list(dict.fromkeys(cells["start"]))
    most = CELL if across > 1 else ALONE
    size = max(LEAST, min(most, (WIDE - 90) // len(names)))
    rows = alt.Y("start:N", sort=names, title="from", axis=alt.Axis(ticks=False, domain=False))
    columns = alt.X(
        "end:N",
        sort=names,
        title="to",
        axis=alt.Axis(ticks=False, domain=False, labelAngle=0, orient="top"),
    )
    base = alt.Chart(cells).encode(x=columns, y=rows)
    heat = base.mark_rect(aria=False, stroke="#88888866").encode(
        color=alt.condition(
            "isValid(datum.value)",
            alt.Color(
                "value:Q",
                title=title,
                scale=alt.Scale(scheme="cividis", domain=[0, highest or 1.0], clamp=True),
                legend=alt.Legend(orient="bottom", gradientLength=200),
            ),
            alt.value("transparent"),
        ),
        tooltip=["told:N"],
    )
    letters = base.mark_text(fontSize=max(8, min(12, size // 5)), aria=False)
    on_light = letters.transform_filter("datum.value !== null && !datum.dark").encode(
        text="words:N", color=alt.value("black"), tooltip=["told:N"]
    )
    on_dark = letters.transform_filter("datum.dark").encode(
        text="words:N", color=alt.value("white"), tooltip=["told:N"]
    )
    plain = letters.transform_filter("datum.value === null").encode(text="words:N", tooltip=["told:N"])
    drawn = alt.layer(heat, on_light, on_dark, plain)
    return drawn.properties(width=size * len(names), height=size * TALL * len(names))
