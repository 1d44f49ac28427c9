"""Pictures in characters: when a terminal can show them, and the frame that they stand in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import numpy as np

from diag.outputs.layout import NARROWEST, WIDEST
from probes import Floats
from trainers.safe_text import plain

if TYPE_CHECKING:
    from plotille import Canvas

LEAST = 60
"""Columns of a terminal that pictures are drawn in unasked: in fewer, no more than a blot would be seen."""

Limits = tuple[float, float, float, float]
"""From x, from y, to x, to y."""


def can_show(stream: TextIO) -> bool:
    """Whether a stream is a terminal of at least :data:`LEAST` columns that can show braille patterns."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return False
    try:
        "⠿┌".encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return shutil.get_terminal_size((0, 0)).columns >= LEAST


def columns() -> int:
    """Columns of a picture: those of texts, and two less, so that no line of the terminal wraps."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, NARROWEST), WIDEST) - 2


def limits_of(x: Floats, y: Floats, margin: float = 0.04) -> Limits:
    """The rectangle of finite points, somewhat widened; of a side where nothing varies, one around it."""
    sides = []
    for values in (x, y):
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        more = margin * (high - low) or max(abs(high), 1.0)
        sides.append((low - more, high + more))
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def canvas(width: int, height: int, limits: Limits) -> Canvas:
    """An empty drawing of so many characters; each has 2 × 4 dots."""
    from plotille import Canvas  # most runs draw nothing on a terminal

    from_x, from_y, to_x, to_y = limits
    return Canvas(width, height, from_x, from_y, to_x, to_y)


def framed(drawn: Canvas, title: str) -> list[str]:
    """A drawing in a frame that bears its title; empty cells are blanks, which every font has."""
    lines = [line.replace("\N{BRAILLE PATTERN BLANK}", " ") for line in drawn.plot(linesep="\n").split("\n")]
    name = plain(title)[: max(0, drawn.width - 4)]
    top = f"┌─ {name} " if name else "┌"
    return [
        top + "─" * (drawn.width + 1 - len(top)) + "┐",
        *(f"│{line}│" for line in lines),
        "└" + "─" * drawn.width + "┘",
    ]


def beside(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """Two drawings of one height side by side."""
    return [f"{a} {b}" for a, b in zip(left, right, strict=True)]
