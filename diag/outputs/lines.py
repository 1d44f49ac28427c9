"""Lines that several texts for a terminal share: headlines, labels beside numbers, warnings and bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from diag.outputs.layout import USUAL, ending, filled, width, wrapped
from diag.outputs.words import column_words
from diag.result import Columns, Verdict

WIDTH = USUAL
"""Columns that layouts are made for; a wider terminal's further columns go to names and bars."""

BAR = 24
"""Characters of a bar from 0 to 1 in a terminal of :data:`WIDTH` columns."""

LABEL = 34
"""Cells for a measure's name."""

_SPARKS = "▁▂▃▄▅▆▇█"


def headline(verdict: Verdict) -> str:
    """The status in capitals and the summary of a verdict, wrapped: ``FAIL  Flipped: …``."""
    tag = f"{verdict.status.upper()}  "
    return filled(verdict.summary, tag, " " * len(tag))


def warning_lines(warnings: Iterable[str]) -> list[str]:
    """Warnings, wrapped, after an empty line."""
    told = [filled(f"warning: {w}", "  ", "    ") for w in warnings]
    return ["", *told] if told else []


def column_lines(columns: Columns | None) -> list[str]:
    """The compared columns and the key of the rows, wrapped; no line where the files name none."""
    return [] if columns is None else wrapped(column_words(columns))


def short(path: str, room: int | None = None) -> str:
    """The end of a path, cut to fit a line that begins with what the file is."""
    return ending(path, width() - 12 if room is None else room)


def bar_room(beside: int) -> int:
    """Characters for a bar of 0 to 1 beside ``beside`` others: 24 where there are 80."""
    return max(0, width() - beside)


def labelled(label: str, words: str, end: str = "", room: int = LABEL) -> list[str]:
    """A label and its words side by side, or below each other where they do not fit into a line."""
    line = f"  {label:{room}} {words}"
    line = f"{line:60} {end}" if end else line
    if len(line) <= width():
        return [line]
    inner = " " * (len(label) - len(label.lstrip()) + 4)
    return [*wrapped(label.strip(), inner[2:]), *wrapped([*words.split(), *([end] if end else [])], inner)]


def sparkline(values: Sequence[float] | NDArray[np.float64], width: int = 40) -> str:
    """``width`` characters of bars from the least to the greatest; a gap where a value is not finite.

    >>> sparkline([0, 1, 2, 3], width=4)
    '▁▃▆█'
    """
    known = np.asarray(values, dtype=float)
    picked = known[np.round(np.linspace(0, len(known) - 1, width)).astype(int)]
    finite = picked[np.isfinite(picked)]
    if not len(finite):
        return " " * width
    low, span = finite.min(), finite.max() - finite.min()
    top = len(_SPARKS) - 1
    return "".join(
        " " if not np.isfinite(v) else _SPARKS[0 if span <= 0 else round(float((v - low) / span) * top)]
        for v in picked
    )
