"""Find and read a gate's configuration, and name every mistake in it with its line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from typing import Any

import pydantic

from diag.checks import CheckError
from diag.checks.lines import MOST_PARTS, has_long_keys, key_lines
from diag.checks.lines import Path as Keys
from diag.checks.losses import TERMS
from diag.checks.result import Origin, Threshold
from diag.checks.settings import Checks, GateSettings, setting_names
from trainers.safe_text import in_words, whole
from trainers.settings import assigned, unknown_name

NAME, PROJECT, TABLE = "diag.toml", "pyproject.toml", ("tool", "diag")

MOST_BYTES = 2**18
"""Most bytes of a configuration: parsing a larger file could take minutes."""

MOST_MISTAKES = 10
"""Most mistakes that an error names on its one line; further ones are counted."""

LONGEST = 80
"""Most characters of the file that an error repeats in one place."""


@dataclass(frozen=True)
class Config:
    """The settings of a gate and where each was set."""

    settings: GateSettings = field(default_factory=GateSettings)
    file: str | None = None
    lines: Mapping[str, int] = field(default_factory=dict)
    """The line of every setting's dotted name, and of every table's, that the file holds."""
    given: frozenset[str] = frozenset()
    """Names of the checks with a setting that somebody set: these are asked for, not merely offered.

    A table just as ``--write-config`` writes it says nothing.
    """
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Origin of each dotted name that was set on top of the file: the command line, or the call."""

    def place(self, name: str) -> str:
        """The place where a setting was set, to begin an error with: ``diag.toml:3``, or ``settings``."""
        parts = name.split(".")
        above = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]  # an inline table has one line
        line = next((self.lines[one] for one in above if one in self.lines), None)
        if self.file is None or line is None or self.origins.keys() & set(above):
            return "settings"
        return f"{self.file}:{line}"

    def threshold(self, name: str) -> Threshold:
        """The limit of this dotted name; raises KeyError for a name that is no setting."""
        if (term := name.removeprefix(f"{TERMS}.")) != name:
            value: Any = self.settings.check.loss_ratio.terms[term]
        else:
            value = attrgetter(name)(self.settings)
        if isinstance(value, Mapping | tuple):
            value = dict(value) if isinstance(value, Mapping) else list(value)
        line = self.lines.get(name)
        file = None if line is None else self.file
        return Threshold(name, value, file, line, self.origins.get(name, "default"))


def find(folder: Path) -> Path | None:
    """A folder's configuration: the nearest ``diag.toml`` or ``[tool.diag]`` up to its repository's root.

    In one folder ``diag.toml`` comes first. A ``pyproject.toml`` that cannot be parsed, but names the table,
    counts as one, so that reading it names the mistake; so does a link that leads nowhere.
    """
    for place in (folder, *folder.parents):
        if (own := place / NAME).is_file() or own.is_symlink():
            return own
        if (project := place / PROJECT).is_file() and _has_table(project):
            return project
        if (place / ".git").exists():
            return None
    return None


def _has_table(project: Path) -> bool:
    try:
        content = _content(project)
        tool = _tree(content.decode()).get(TABLE[0])
    except OSError:
        return False
    except (ValueError, RecursionError):
        return b"[tool.diag" in content
    return isinstance(tool, dict) and TABLE[1] in tool


def read(path: str | os.PathLike[str]) -> Config:
    """The configuration in a file: all of a ``diag.toml``, ``[tool.diag]`` of a ``pyproject.toml``.

    Raises CheckError, which names every mistake with its line and the nearest name that exists.
    """
    name = os.fspath(path)
    text = _text(name)
    try:
        tree = _tree(text)
    except tomllib.TOMLDecodeError as error:
        raise CheckError(_no_toml(name, text, str(error))) from None
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
    places = {keys[depth:]: line for keys, line in key_lines(text).items() if keys[:depth] == prefix}
    settings = _validated(tree, name, places)
    lines = {".".join(keys): line for keys, line in places.items()}
    return Config(settings, name, lines, _given(tree))


def _tree(text: str) -> dict[str, Any]:
    """The tree of a TOML file; raises TOMLDecodeError, or ValueError or RecursionError for too much."""
    if has_long_keys(text):
        raise ValueError(f"a key of more than {MOST_PARTS} parts")
    return tomllib.loads(text)


def _no_toml(name: str, text: str, words: str) -> str:
    """The parser's words with the line in front, as with every other mistake."""
    place = re.search(r" \(at line (\d+), (column \d+)\)$", words)
    if place is None:  # at the end of the document
        return f"{name}:{text.rstrip().count(chr(10)) + 1}: found no valid TOML ({_cut(words)})"
    return f"{name}:{place[1]}: found no valid TOML ({_cut(words[: place.start()])}, {place[2]})"


def with_overrides(config: Config, assignments: Sequence[str]) -> Config:
    """The configuration with ``name=value`` assignments on top; raises CheckError or SettingsError."""
    return with_settings(config, dict(assigned(assignment) for assignment in assignments), "command")


def with_settings(config: Config, values: Mapping[str, Any], by: Origin = "call") -> Config:
    """The configuration with settings by dotted name on top, set ``by`` somebody; raises CheckError."""
    if not values:
        return config
    tree = config.settings.model_dump(mode="json")
    given, lines, origins = set(config.given), dict(config.lines), dict(config.origins)
    for name, value in values.items():
        term = name.removeprefix(f"{TERMS}.")
        if name not in setting_names() and term in ("", name):
            raise CheckError(unknown_name("setting", name, setting_names()))
        *path, leaf = name.split(".") if term == name else (*TERMS.split("."), term)
        node = tree
        for part in path:
            node = node[part]
        wants_list = isinstance(node.get(leaf), list) and not isinstance(value, list | tuple)
        node[leaf] = [value] if wants_list else value
        lines = {known: line for known, line in lines.items() if not f"{known}.".startswith(f"{name}.")}
        origins = {known: who for known, who in origins.items() if not f"{known}.".startswith(f"{name}.")}
        # A table of terms sets each of them.
        inner = [f"{name}.{key}" for key in value] if name == TERMS and isinstance(value, Mapping) else []
        origins |= dict.fromkeys([name, *inner], by)
        if path[:1] == ["check"]:
            given.add(path[1])
    return Config(_validated(tree, "settings", {}), config.file, lines, frozenset(given), origins)


def _content(path: Path) -> bytes:
    """The file's first bytes, one more than :data:`MOST_BYTES`, so that longer files show."""
    return whole(path, MOST_BYTES + 1)


def _text(name: str) -> str:
    expected = "a configuration for diag check"
    try:
        content = _content(Path(name))
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise CheckError(f"{in_words(name)}: found {reason}, expected {expected}") from None
    if len(content) > MOST_BYTES:
        raise CheckError(f"{name}: found more than {MOST_BYTES // 1024} KiB, expected {expected}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise CheckError(f"{name}:{line}: found bytes that are no UTF-8, expected {expected}") from None


def _given(tree: Mapping[str, Any]) -> frozenset[str]:
    # As --write-config writes them, without the settings that are unset.
    written = GateSettings().check.model_dump(mode="json", exclude_none=True)
    return frozenset(name for name, table in tree.get("check", {}).items() if table != written[name])


def _validated(tree: Mapping[str, Any], name: str, places: Mapping[Keys, int]) -> GateSettings:
    try:
        return GateSettings.model_validate(tree)
    except pydantic.ValidationError as error:
        every = error.errors(include_url=False, include_context=False)
    # One mistake a setting, in the order of the file.
    mistakes = {tuple(part for part in e["loc"] if isinstance(part, str)): e for e in reversed(every)}
    ordered = sorted((places.get(keys, 0), number, keys) for number, keys in enumerate(mistakes))
    told = [
        f"{name}:{line}: {words}" if line else f"{name}: {words}"
        for line, _, keys in ordered[:MOST_MISTAKES]
        for words in [_mistake(keys, mistakes[keys])]
    ]
    more = [f"and {len(ordered) - MOST_MISTAKES} more"] if len(ordered) > MOST_MISTAKES else []
    raise CheckError("; ".join(told + more))


def _mistake(keys: Keys, error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown(keys)
    return f"{_cut('.'.join(keys))!r} is {_shown(error['input'])}, expected {_expected(error)}"


def _unknown(keys: Keys) -> str:
    """An unknown key beside those of its own table, named as they stand in the file."""
    *table, leaf = keys
    prefix = "".join(f"{part}." for part in table)
    known = {n.removeprefix(prefix).partition(".")[0] for n in setting_names() if n.startswith(prefix)}
    if not table and leaf in Checks.model_fields:
        return f"unknown setting {leaf!r}; did you mean 'check.{leaf}'?"
    words = unknown_name("setting", _cut(leaf), sorted(known))
    return words.replace(repr(_cut(leaf)), repr(f"{prefix}{_cut(leaf)}"), 1)


EXPECTED = {
    "model_type": "a table",
    "mapping_type": "a table",
    "dict_type": "a table",
    "tuple_type": "a list",
    "too_short": "at least one",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
}
"""Expected values in plain words, by kind of pydantic error, where pydantic names Python's types."""


def _expected(error: Any) -> str:
    words = EXPECTED.get(error["type"], str(error["msg"]).removeprefix("Input should be "))
    if error["type"] == "literal_error":
        nearest = get_close_matches(str(error["input"]), re.findall("'(.+?)'", words), 1, cutoff=0.5)
        words += "".join(f"; did you mean {one!r}?" for one in nearest)
    return words


def _shown(value: Any) -> str:
    """A value as TOML writes it, or nearly."""
    return _cut(str(value).lower() if isinstance(value, bool) else repr(value), 40)


def _cut(words: str, most: int = LONGEST) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
