"""A gate's configuration: found, read, and every mistake in it named with its line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pydantic

from diag.checks import CheckError
from diag.checks.lines import key_lines
from diag.checks.result import Threshold
from diag.checks.settings import GateSettings, setting_names
from trainers.settings import assigned, unknown_name

NAME, PROJECT, TABLE = "diag.toml", "pyproject.toml", ("tool", "diag")

TERMS = ["check", "loss_ratio", "terms"]
"""The one table whose keys are the user's."""

MOST_BYTES = 2**18
"""Larger files are no configuration; parsing one could take minutes."""

MOST_MISTAKES = 10
"""Named on the one line of an error; of more, the rest are counted."""


@dataclass(frozen=True)
class Config:
    """The settings of a gate and where each was set."""

    settings: GateSettings = field(default_factory=GateSettings)
    file: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict)
    """The line of every setting's dotted name, and of every table's, that the file holds."""
    given: frozenset[str] = frozenset()
    """Names of the checks that somebody set anything of: these are wanted, not merely offered."""

    def threshold(self, name: str) -> Threshold:
        """The limit of this dotted name; raises KeyError for a name that is no setting."""
        value: Any = self.settings
        for part in name.split("."):
            value = value[part] if isinstance(value, Mapping) else getattr(value, part)
        if isinstance(value, Mapping | tuple):
            value = dict(value) if isinstance(value, Mapping) else list(value)
        line = self.lines.get(name)
        return Threshold(name, value, None if line is None else self.file, line)


def find(folder: Path) -> Path | None:
    """A folder's configuration: the nearest ``diag.toml`` or ``[tool.diag]`` up to its repository's root.

    In one folder ``diag.toml`` comes first. A ``pyproject.toml`` that cannot be parsed counts as one, so that
    reading it names the mistake.
    """
    for place in (folder, *folder.parents):
        if (own := place / NAME).is_file():
            return own
        if (project := place / PROJECT).is_file() and _has_table(project):
            return project
        if (place / ".git").exists():
            return None
    return None


def _has_table(project: Path) -> bool:
    try:
        tree = tomllib.loads(project.read_bytes()[: 2**22].decode(errors="replace"))
    except (OSError, ValueError, RecursionError):
        return b"[tool.diag" in project.read_bytes()[: 2**22] if project.is_file() else False
    tool = tree.get(TABLE[0])
    return isinstance(tool, dict) and TABLE[1] in tool


def read(path: str | os.PathLike[str]) -> Config:
    """The configuration in a file: all of a ``diag.toml``, ``[tool.diag]`` of a ``pyproject.toml``.

    Raises CheckError, which names every mistake with its line and the nearest name that exists.
    """
    name = os.fspath(path)
    text = _text(name)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CheckError(f"{name}: found no valid TOML ({error})") from None
    except (RecursionError, ValueError):
        raise CheckError(
            f"{name}: found TOML that is nested too deeply, or a number of too many digits"
        ) from None
    prefix = TABLE if Path(name).name == PROJECT else ()
    for part in prefix:
        inner = tree.get(part)
        if not isinstance(inner, dict):
            raise CheckError(
                f"{name}: found no table [{'.'.join(prefix)}], expected one with a gate's settings"
            )
        tree = inner
    depth = len(prefix)
    lines = {".".join(p[depth:]): line for p, line in key_lines(text).items() if p[:depth] == prefix}
    settings = _validated(tree, name, lines)
    return Config(settings, name, lines, _given(tree))


def with_overrides(config: Config, assignments: Sequence[str]) -> Config:
    """The configuration with ``name=value`` assignments on top; raises CheckError or SettingsError."""
    return with_settings(config, dict(assigned(assignment) for assignment in assignments))


def with_settings(config: Config, values: Mapping[str, Any]) -> Config:
    """The configuration with settings by dotted name on top; raises CheckError."""
    if not values:
        return config
    tree = config.settings.model_dump(mode="json")
    given, lines = set(config.given), dict(config.lines)
    for name, value in values.items():
        *path, leaf = name.split(".")
        if name not in setting_names() and path != TERMS:
            raise CheckError(unknown_name("setting", name, setting_names()))
        node = tree
        for part in path:
            node = node[part]
        wants_list = isinstance(node.get(leaf), list) and not isinstance(value, list)
        node[leaf] = [value] if wants_list else value
        lines.pop(name, None)
        if path[:1] == ["check"]:
            given.add(path[1])
    return Config(_validated(tree, "settings", {}), config.file, lines, frozenset(given))


def _text(name: str) -> str:
    expected = "a configuration for diag check"
    try:
        with Path(name).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise CheckError(
            f"{name}: found {(error.strerror or str(error)).lower()}, expected {expected}"
        ) from None
    if len(content) > MOST_BYTES:
        raise CheckError(f"{name}: found more than {MOST_BYTES // 1024} KiB, expected {expected}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise CheckError(f"{name}:{line}: found bytes that are no UTF-8, expected {expected}") from None


def _given(tree: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(tree.get("check", {}))


def _validated(tree: Mapping[str, Any], name: str, lines: Mapping[str, int]) -> GateSettings:
    try:
        return GateSettings.model_validate(tree)
    except pydantic.ValidationError as error:
        mistakes = _mistakes(error.errors(include_url=False, include_context=False), lines)
        told = [f"{name}:{line}: {words}" if line else f"{name}: {words}" for line, words in mistakes]
        more = [f"and {len(told) - MOST_MISTAKES} more"] if len(told) > MOST_MISTAKES else []
        raise CheckError("; ".join(told[:MOST_MISTAKES] + more)) from None


def _mistakes(errors: Iterable[Any], lines: Mapping[str, int]) -> list[tuple[int, str]]:
    """Line (0: unknown) and words of every mistake, one a setting."""
    found: dict[str, tuple[int, str]] = {}
    for error in errors:
        path = [str(part) for part in error["loc"] if isinstance(part, str)]
        name = ".".join(path)
        if error["type"] == "extra_forbidden":
            found[name] = (lines.get(name, 0), _unknown(path))
            continue
        value = repr(error.get("input"))
        shown = value if len(value) <= 40 else f"{value[:37]}…"
        found.setdefault(name, (lines.get(name, 0), f"{name!r} is {shown}, expected {_expected(error)}"))
    return sorted(found.values())


def _unknown(path: Sequence[str]) -> str:
    """An unknown key beside those of its own table, named as they stand in the file."""
    *table, leaf = path
    prefix = "".join(f"{part}." for part in table)
    known = sorted(
        {n.removeprefix(prefix).partition(".")[0] for n in setting_names() if n.startswith(prefix)}
    )
    words = unknown_name("setting", leaf, known)
    return words.replace(repr(leaf), repr(f"{prefix}{leaf}"), 1)


def _expected(error: Any) -> str:
    words = str(error["msg"]).removeprefix("Input should be ").removeprefix("a valid ")
    if error["type"] == "literal_error":
        nearest = get_close_matches(str(error["input"]), re.findall("'(.+?)'", words), 1, cutoff=0.5)
        words += "".join(f"; did you mean {one!r}?" for one in nearest)
    return words[:1].lower() + words[1:]
