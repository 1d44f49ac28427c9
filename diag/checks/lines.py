"""The line of each key of a TOML file, which the standard library's parser does not give."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]

TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{0,5}'
    r"|'''(?:[^']|'(?!''))*+'{0,5}"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*"
    r"|[\[\]{}\n]",
    re.DOTALL,
)
"""Tokens that decide whether a line's end is a statement's: strings, comments and brackets.

A string without an end is one too, up to the text's or the line's: so no text takes more than one pass.
"""

MOST_PARTS = 32
"""Parts of a dotted key at most. The parser keeps every beginning of one: 100,000 would take it 40 GB."""

LONG_KEY = re.compile(rf'(?<![\w-])(?:(?:[\w-]++|")[ \t]*+\.[ \t]*+){{{MOST_PARTS}}}')


def has_long_keys(text: str) -> bool:
    """Whether a dotted key in ``text``, which need not be valid TOML, has more than :data:`MOST_PARTS`."""
    return LONG_KEY.search(TOKEN.sub(_blank, text)) is not None


def _blank(token: re.Match[str]) -> str:
    """Replace each string by one quote, since dots in it part no key, and each comment by nothing."""
    part = token[0]
    return '"' if part[0] in "\"'" else "" if part[0] == "#" else part


def key_lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every table and key in ``text``, which must be valid TOML.

    A statement of TOML is TOML by itself, so each is parsed alone. Keys inside an inline table, or in an
    array of them, stand where their statement begins.

    >>> key_lines("[check.r2]\\nmin = 0.9\\n")
    {('check',): 1, ('check', 'r2'): 1, ('check', 'r2', 'min'): 2}
    """
    lines: dict[Path, int] = {}
    table: Path = ()
    for line, statement in _statements(text):
        header = statement.lstrip().startswith("[")
        paths = list(_paths(tomllib.loads(statement)))
        if header:
            table = paths[-1]
        for path in paths:
            lines.setdefault(path if header else (*table, *path), line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with the line that it begins on: it ends with a line in no string and no bracket."""
    start = depth = 0
    line = first = 1
    for token in TOKEN.finditer(text):
        part = token[0]
        line += part.count("\n")
        depth += (part in ("[", "{")) - (part in ("]", "}"))
        if part == "\n" and depth == 0:
            if statement := text[start : token.end()].strip():
                yield first, statement
            start, first = token.end(), line
    if statement := text[start:].strip():
        yield first, statement


def _paths(tree: Mapping[str, Any], prefix: Path = ()) -> Iterator[Path]:
    """Every key's path, outer keys first; all tables of an array share one path."""
    for key, value in tree.items():
        path = (*prefix, key)
        yield path
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Mapping):
                yield from _paths(inner, path)
