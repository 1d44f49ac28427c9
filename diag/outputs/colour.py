"""Colours for the words that say how something ended, where the reader has a terminal that shows them."""

from __future__ import annotations

import os
import re
from typing import TextIO

STYLES = {
    "pass": "bold green",
    "warn": "bold yellow",
    "fail": "bold red",
    "inconclusive": "bold cyan",
    "error": "bold magenta",
}

_STATUS = re.compile(rf"^( *)({'|'.join(STYLES)}|{'|'.join(map(str.upper, STYLES))})(?=  )", re.MULTILINE)
"""A status at the beginning of a line, followed by two spaces, as every text sets it."""


def painted(words: str, stream: TextIO) -> str:
    """``words`` with each line's status in its colour, if ``stream`` is a terminal that shows colours.

    ``NO_COLOR``, ``FORCE_COLOR`` and ``TERM=dumb`` are heeded as rich heeds them; anything else gets
    ``words`` as they are.
    """
    if not (stream.isatty() or os.environ.get("FORCE_COLOR")):
        return words
    from rich.console import COLOR_SYSTEMS, Console
    from rich.style import Style

    console = Console(file=stream)
    if console.color_system is None or console.no_color:
        return words
    system = COLOR_SYSTEMS[console.color_system]

    def coloured(line: re.Match[str]) -> str:
        style = Style.parse(STYLES[line[2].lower()])
        return line[1] + style.render(line[2], color_system=system)

    return _STATUS.sub(coloured, words)
