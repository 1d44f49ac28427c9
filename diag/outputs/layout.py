"""Text in columns: how wide the terminal is, lines that break between words, tables that fold."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, chop_cells

from trainers.safe_text import plain

USUAL = 80
"""Columns of text where there is no terminal and ``COLUMNS`` is unset."""

NARROWEST, WIDEST = 40, 120
"""Least and most columns of text: no table can be read in fewer, and longer lines tire the eye."""


def width() -> int:
    """Columns for text: ``COLUMNS``, or the terminal's; 80 where there is neither."""
    return min(max(shutil.get_terminal_size((USUAL, 24)).columns, NARROWEST), WIDEST)


def wrapped(
    words: str | Sequence[str], first: str = "  ", rest: str | None = None, room: int | None = None
) -> list[str]:
    """Words in lines of at most ``room`` cells (default: :func:`width`), wide characters counted as two.

    The first line begins with ``first``, the others with ``rest`` (two spaces more than ``first`` is
    indented by). Lines break between words only: a path or a hash that is longer than a line has one of its
    own. Scripts that put no spaces between words break anywhere. Of a sequence, what fits into a line is not
    broken at all.

    >>> wrapped("埋め込み " * 10, "", "  ")[1]
    '  埋め込み'
    """
    room = width() if room is None else room
    indent = " " * (len(first) - len(first.lstrip()) + 2) if rest is None else rest
    lines, line, fresh = [], first, True
    for word in _pieces(words, room - cell_len(indent)):
        if cell_len(f"{line}{'' if fresh else ' '}{word}") > room and line.strip():
            lines.append(line.rstrip())
            line, fresh = indent, True
        line += word if fresh else f" {word}"
        fresh = False
    return [*lines, line]


_WORD = re.compile(r"\[[^\s\[\]]+, [^\s\[\]]+\]\S*|\S+")
"""A word, or an interval."""


def _pieces(words: str | Sequence[str], room: int) -> list[str]:
    """Pieces that lines do not break: words, intervals, and of wide characters as many as a line holds."""
    given = _WORD.findall(plain(words)) if isinstance(words, str) else list(map(plain, words))
    pieces: list[str] = []
    for piece in given:
        for word in [piece] if cell_len(piece) <= room else piece.split():
            wide = cell_len(word) > max(room, len(word))
            pieces += chop_cells(word, room) if wide else [word]
    return pieces


def filled(words: str, first: str = "  ", rest: str | None = None) -> str:
    """:func:`wrapped` as one string."""
    return "\n".join(wrapped(words, first, rest))


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, the cells it takes, and on which side its words stand."""

    title: str
    width: int
    align: Literal["<", ">", "^"] = ">"


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], head: bool = True) -> list[str]:
    """Rows under their titles, two spaces in; folded where the terminal is too narrow for them.

    Folded, each row has a line for its first cell, and below it the others after their titles; cells that
    are empty are left out. Widths hold the gap to the column before.
    """
    titles = [c.title for c in columns]
    lines = [_line(columns, cells) for cells in ([titles, *rows] if head else rows)]
    if max(map(cell_len, lines), default=0) <= width():
        return lines
    return [line for cells in rows for line in folded(cells[0], list(zip(titles, cells, strict=True))[1:])]


def folded(name: str, cells: Sequence[tuple[str, str]]) -> list[str]:
    """A row's name, then its cells after their titles, in as many lines as they take."""
    told = [f"{title.strip()} {cell.strip()}".strip() for title, cell in cells if cell.strip()]
    pieces = [" ".join(one.split()) for one in told]
    pieces = [f"{one};" for one in pieces[:-1]] + pieces[-1:]
    return [*wrapped(name), *(wrapped(pieces, "    ", "    ") if pieces else [])]


def _line(columns: Sequence[Column], cells: Sequence[str]) -> str:
    return "  " + "".join(_padded(cell, c) for c, cell in zip(columns, cells, strict=True)).rstrip()


def _padded(words: str, column: Column) -> str:
    room = max(0, column.width - cell_len(words))
    left = {"<": 0, ">": room, "^": room // 2}[column.align]
    return " " * left + words + " " * (room - left)


def ending(path: str, room: int) -> str:
    """A path's end in at most ``room`` cells, from the beginning of a folder's or file's name if one fits.

    >>> ending("ab/重み.npy", 10), ending("ab/重み.npy", 9)
    ('…/重み.npy', '…重み.npy')
    """
    shown = plain(path)
    if cell_len(shown) <= room:
        return shown
    shown = shown[-room:]
    while cell_len(shown) > room - 1:
        shown = shown[1:]
    cut = shown.find("/", 0, len(shown) - 1)
    return "…" + (shown[cut:] if cut > 0 else shown)
