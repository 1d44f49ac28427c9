"""Where each key of a TOML file stands: the standard library's parser gives values without places."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]

LONGEST = 200
"""Lines of one statement up to which its end is looked for; what follows a longer one has no place."""


def key_lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every table and key in ``text``, which must be valid TOML.

    A statement of TOML is TOML by itself, so each is found by parsing one line more until it is whole. Keys
    inside an inline table stand on its line.

    >>> key_lines("[check.r2]\\nmin = 0.9\\n")
    {('check',): 1, ('check', 'r2'): 1, ('check', 'r2', 'min'): 2}
    """
    found: dict[Path, int] = {}
    table: Path = ()
    lines = [f"{line}\n" for line in text.split("\n")]
    start = 0
    while start < len(lines):
        end = start + 1
        while (tree := _parsed("".join(lines[start:end]))) is None:
            end += 1
            if end > len(lines) or end - start > LONGEST:
                return found
        header = lines[start].lstrip().startswith("[")
        paths = list(_paths(tree))
        if header:
            table = paths[-1]
        for path in paths:
            found.setdefault(path if header else (*table, *path), start + 1)
        start = end
    return found


def _parsed(statement: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(statement)
    except (ValueError, RecursionError):
        return None


def _paths(tree: Mapping[str, Any], prefix: Path = ()) -> Iterator[Path]:
    """Every key's path, the outer before the inner; tables in an array as if there were one."""
    for key, value in tree.items():
        path = (*prefix, key)
        yield path
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, Mapping):
            yield from _paths(inner, path)
