"""The command line for tests: every command of it, and what one says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from diag.commands import app as cli
from diag.commands.help import command_of

READING = ("compare-embeddings", "landscape", "layers", "probe", "check", "repair", "show")
"""The commands that take files of any kind."""


def commands() -> dict[str, Any]:
    """Every command that does something, by the words that call it."""
    return dict(_below(command_of(cli.app), ""))


def _below(group: Any, words: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        path = f"{words} {name}".strip()
        if hasattr(command, "commands"):
            yield from _below(command, path)
        else:
            yield path, command


def options(command: Any) -> set[str]:
    """The long options of a command."""
    return {o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")} | {
        "--help"
    }


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    status = cli.run(list(arguments))
    told = capsys.readouterr()
    return status, told.out, told.err
