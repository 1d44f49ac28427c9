"""A DataFrame as an HTML table: numbers to the right, words to the left, heads that sort a long one."""

from __future__ import annotations

import html
import re
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.spec import MISSING

if TYPE_CHECKING:
    import pandas as pd

SORTED_FROM = 6
"""Rows from which a table can be sorted by its heads: shorter ones are read at a glance."""

NARROW = 72
"""Most characters of a row, heads and cells at their widest, of a table that fits below a picture."""

_NUMBER = re.compile(r"[\[(✓✗!?–]*\s*[-−+±<>≥≤≈]*\s*\d.*|[–—?✓✗!()\s]*|nan|inf")
_LETTERS = re.compile(r"[A-Za-z]{4,}")


def rendered(table: pd.DataFrame) -> str:
    """The table's text, in a box that scrolls when it is wider than the page.

    Cells of the first column are heads of their rows. Missing cells are dashes.
    """
    names = [str(name) for name in table.columns]
    cells = [[_words(value) for value in row] for row in table.itertuples(index=False, name=None)]
    numeric = [_is_numeric([row[place] for row in cells]) for place in range(len(names))]
    head = "".join(
        _cell("th", name, right, ' scope="col"') for name, right in zip(names, numeric, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            _cell("th", cell, right, ' scope="row"') if place == 0 else _cell("td", cell, right)
            for place, (cell, right) in enumerate(zip(row, numeric, strict=True))
        )
        + "</tr>\n"
        for row in cells
    )
    sortable = ' class="sortable"' if len(cells) >= SORTED_FROM else ""
    # A box that scrolls can be reached by keyboard, and has a name that is read aloud.
    label = html.escape(_label(names), quote=True)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table{sortable}><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
    )


def is_narrow(table: pd.DataFrame) -> bool:
    """Whether the table fits below a picture that stands beside words."""
    widths = [
        max([len(str(name)), *(len(_words(value)) for value in table.iloc[:, place])])
        for place, name in enumerate(table.columns)
    ]
    return sum(widths) + 2 * len(widths) <= NARROW


def _label(names: list[str]) -> str:
    told = ", ".join(name for name in names if name.strip())
    return f"Table of {told}" if told else "Table"


def _words(value: Any) -> str:
    missing = type(value).__name__ in MISSING or (isinstance(value, float | np.floating) and isnan(value))
    return "–" if value is None or missing else str(value)


def _is_numeric(cells: list[str]) -> bool:
    """Whether a column holds numbers, intervals among them, rather than words."""
    told = [cell for cell in cells if cell.strip(" –")]
    return bool(told) and all(_NUMBER.fullmatch(cell) and not _LETTERS.search(cell) for cell in told)


def _cell(tag: str, words: str, right: bool, scope: str = "") -> str:
    kind = ' class="number"' if right else ""
    # A head without words would be a column without a name.
    return f"<{tag}{scope}{kind}>{html.escape(words)}</{tag}>"
