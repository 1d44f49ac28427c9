"""The default configuration as a commented ``diag.toml``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic

from diag.checks.config import NAME
from diag.checks.kind import Check
from diag.checks.settings import Checks, GateSettings

WIDTH = 100

ABOUT = f"""\
Limits of diag check. Everything here is the default: delete the tables that you do not change. The same
may stand in pyproject.toml, below [tool.diag]. A limit holds for the whole 95% interval of a number: on its
right side the check passes, on its wrong side it fails, across it the data cannot tell. A check whose table
you change is asked for: where a pair has no data for it, it is not left out, but inconclusive. How to choose
limits from runs that are known to be equal: diag check --calibrate (docs/check.md). This file is found as
{NAME} in the working directory or above it, up to the repository's root."""


def text() -> str:
    """A ``diag.toml`` with every setting at its default, and what each means."""
    lines = [*_comment(ABOUT), ""]
    lines += _fields(GateSettings, GateSettings(), skip=("check",))
    for name, field in Checks.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, Check)
        lines += ["", *_comment(kind.__doc__ or ""), f"[check.{name}]"]
        # Settings that every check has are explained once, above the first check.
        known = () if name == "relation" else tuple(Check.model_fields)
        lines += _fields(kind, getattr(Checks(), name), quiet=known)
    return "\n".join(lines) + "\n"


def table() -> str:
    """The checks as a table of Markdown, a row each: docs/check.md holds it, and a test compares."""
    lines = ["| name | question | limit | default | level |", "|---|---|---|---|---|"]
    for check in Checks().each():
        limits = ", ".join(f"`{name}`" for name in check.limited_by)
        values = [getattr(check, name) for name in check.limited_by]
        default = check.default or ", ".join(_in_table(value) for value in values if value != {})
        lines.append(f"| `{check.name}` | {check.asks} | {limits} | {default} | {check.level} |")
    return "\n".join(lines) + "\n"


def _in_table(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"`{_toml(value)}`"


def _fields(
    model: type[pydantic.BaseModel],
    values: pydantic.BaseModel,
    skip: tuple[str, ...] = (),
    quiet: tuple[str, ...] = (),
) -> Iterator[str]:
    for name, field in model.model_fields.items():
        value = getattr(values, name)
        if name in skip or (name in quiet and value is None):
            continue
        if field.description and name not in quiet:
            yield from _comment(f"{field.description}.")
        # TOML has no null: a setting that is unset stands there as a comment.
        yield f"# {name} =" if value is None else f"{name} = {_toml(value)}"


def _comment(words: str) -> list[str]:
    return textwrap.wrap(" ".join(words.split()), WIDTH, initial_indent="# ", subsequent_indent="# ")


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {_toml(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)
