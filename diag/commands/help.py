"""Help and suggestions: how the commands that typer makes are shown, and what a mistyped one stands for."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperGroup

ALIKE = 0.6
"""Likeness of two words, from 0 to 1, from which one may be a slip for the other (difflib's own default)."""


def command_of(app: typer.Typer) -> Any:
    """The command of an app, whose help shows names for values, and no types of Python."""
    command = typer.main.get_command(app)
    for _, part in _parts(command, ()):
        for parameter in part.params:
            if parameter.param_type_name == "argument":
                _named(parameter)
    return command


def _named(argument: Any) -> None:
    """Show an argument by its name alone: ``BASE``, not ``{BASE} <path>``."""
    name = argument.metavar or argument.name.upper()
    record = argument.get_help_record

    def shown(context: Any) -> tuple[str, str] | None:
        row = record(context)
        return None if row is None else (name, row[1])

    argument.get_help_record = shown
    argument.get_usage_pieces = lambda context: [name if argument.required else f"[{name}]"]


def _parts(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A command and all below it, each with the words that lead to it."""
    yield path, command
    for name, part in getattr(command, "commands", {}).items():
        yield from _parts(part, (*path, name))


class Group(TyperGroup):
    """Commands, of which one that is mistyped, shortened or misplaced is asked after."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names; raises a usage error that says which one was meant."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            root = ctx.find_root()
            known = [
                path for path, part in _parts(root.command, ()) if path and not hasattr(part, "commands")
            ]
            below = tuple(ctx.command_path.split()[1:])
            if meant := meant_by(args[0], known, below):
                words = " or ".join(f"'{root.info_name} {' '.join(path)}'" for path in meant)
                ctx.fail(f"No such command {args[0]!r}: did you mean {words}?")
        return super().resolve_command(ctx, args)


def meant_by(word: str, known: list[tuple[str, ...]], below: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The commands that a word may stand for, those ``below`` the same group first.

    >>> known = [("compare-embeddings",), ("check",), ("study", "report")]
    >>> meant_by("compare", known), meant_by("chekc", known), meant_by("report", known)
    ([('compare-embeddings',)], [('check',)], [('study', 'report')])
    """

    def likely(path: tuple[str, ...]) -> bool:
        names = [path[-1], *path[-1].split("-")]
        return path[-1].startswith(word) or bool(get_close_matches(word, names, 1, ALIKE))

    likeliest = [path for path in known if likely(path)]
    own = [path for path in likeliest if path[: len(below)] == below]
    return (own or likeliest)[:3]
