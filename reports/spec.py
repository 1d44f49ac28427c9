"""Vega-Lite specifications as plain trees: short words for what charts are made of.

A chart with many panels and rows is built and copied piece by piece by Altair, which takes seconds; a tree
takes none. What is written here can be opened there: ``altair.Chart.from_dict(spec.to_dict())``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite, log10
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Tree = dict[str, Any]

LIVE = "live_"
"""Beginning of the names of layers that only a pointer brings out: drawings leave them out."""

TEXT = 12
"""Pixels of a chart's letters: pages draw charts at about their own size."""

INK, PAPER, GREY = "currentColor", "var(--paper)", "#888888"
"""Colours of letters and brackets, of the page behind them, and of lines that only guide the eye."""

_WORDS = {
    "labelColor": INK,
    "titleColor": INK,
    "labelFontSize": TEXT,
    "titleFontSize": TEXT,
    "titleFontWeight": "normal",
}

LOOKS: Tree = {
    # Letters differ from machine to machine in width: the margin keeps the widest on the page.
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "padding": 10,
    "axis": {
        "domainColor": INK,
        "tickColor": INK,
        "gridColor": "#88888833",
        "labelFlush": False,
        "labelLimit": 240,
        **_WORDS,
    },
    "legend": {
        "orient": "top",
        "symbolOpacity": 1,
        "symbolBaseFillColor": INK,
        "symbolBaseStrokeColor": INK,
        "labelLimit": 300,
        "columnPadding": 24,
        **_WORDS,
    },
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": TEXT + 1, "labelFontWeight": "bold"},
    "title": {"color": INK, "fontWeight": "bold", "fontSize": TEXT + 1, "anchor": "start", "frame": "group"},
    "view": {"stroke": "#88888855"},
}
"""The looks that all charts share."""


@dataclass(frozen=True)
class Spec:
    """A whole chart, and how it stands on paper where that is another."""

    tree: Tree
    still: Tree | None = None

    def to_dict(self) -> Tree:
        """The specification."""
        return self.tree


def finished(tree: Tree) -> Spec:
    """A chart with the looks that all share."""
    return Spec({"$schema": "https://vega.github.io/schema/vega-lite/v6.1.0.json", "config": LOOKS, **tree})


def rows(table: pd.DataFrame | Sequence[Mapping[str, Any]]) -> Tree:
    """Data of a chart; what is not finite becomes null, and numbers have the digits that can be seen."""
    if isinstance(table, Sequence):
        names = dict.fromkeys(name for row in table for name in row)
        columns = {name: _plain([row.get(name) for row in table]) for name in names}
    else:
        columns = {str(name): _plain(table[name].tolist()) for name in table.columns}
    return {"values": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


DIGITS = 6
"""Significant digits of a number, or more: the range of its column has so many."""


def _plain(values: Sequence[Any]) -> list[Any]:
    """A column as JSON takes it.

    >>> _plain([0.123456789, float("nan")]), _plain([1e6 + 0.12345678, 1e6])
    ([0.123457, None], [1000000.123457, 1000000.0])
    """
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    finite = [value for value in values if isinstance(value, float) and isfinite(value)]
    digits = DIGITS
    if finite and (least := min(finite)) < (most := max(finite)):
        size, half = max(abs(least), abs(most)), most / 2 - least / 2  # the whole could be infinite
        digits = min(17, DIGITS + max(0, ceil(log10(size) - log10(half) - log10(2)))) if half else 17
    return [_one(value, digits) for value in values]


def _one(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if isfinite(value) else None
    return None if type(value).__name__ in MISSING else value


MISSING = ("NAType", "NaTType")
"""Types of what pandas writes where a cell has no value."""


def q(field: str, **more: Any) -> Tree:
    """A channel of numbers."""
    return {"field": field, "type": "quantitative", **more}


def n(field: str, **more: Any) -> Tree:
    """A channel of names."""
    return {"field": field, "type": "nominal", **more}


def layer(
    mark: str | Tree,
    data: Tree | None = None,
    *,
    where: Any = None,
    name: str = "",
    **encoding: Any,
) -> Tree:
    """One mark; ``where`` keeps the rows that it holds for, channels of None are left out."""
    tree: Tree = {"mark": mark if isinstance(mark, dict) else {"type": mark}}
    if name:
        tree["name"] = name
    if data is not None:
        tree["data"] = data
    if where is not None:
        tree["transform"] = [{"filter": where}]
    tree["encoding"] = {channel: value for channel, value in encoding.items() if value is not None}
    return tree


def told(fields: Mapping[str, tuple[str, str]]) -> Tree:
    """A mark's tooltip: titles, each with its field and the format of its number (empty for words).

    Where the nearest mark is sought, Vega-Lite looks for words in the wrong place, and finds numbers alone:
    this looks in both.
    """
    cells = []
    for title, (field, form) in fields.items():
        value = f"(datum.datum || datum)[{json.dumps(field)}]"
        words = json.dumps(title)
        cells.append(f"{words}: {f'format({value}, {json.dumps(form)})' if form else value}")
    return {"expr": f"{{{', '.join(cells)}}}"}


def haloed(mark: Tree, data: Tree | None = None, **more: Any) -> list[Tree]:
    """Words that can be read over lines: once broadly in the colour of the page, then in ink."""
    behind = {"color": PAPER, "stroke": PAPER, "strokeWidth": 4, "strokeJoin": "round"}
    return [
        layer({"type": "text", "fontSize": TEXT, **mark, **behind}, data, **more),
        layer({"type": "text", "fontSize": TEXT, "color": INK, **mark}, data, **more),
    ]


def colours(names: Sequence[str], palette: Sequence[str]) -> Tree:
    """A scale that gives each name its colour, from the palette's beginning."""
    return {"domain": list(names), "range": [palette[i % len(palette)] for i in range(max(1, len(names)))]}
