"""Options that are handed to a command as one value: the command line knows nothing of it."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Annotated

import typer

from diag.commands.bundles import bundled
from diag.commands.check import check
from diag.commands.help import command_of


@dataclass(frozen=True)
class Size:
    """Two options."""

    width: Annotated[int, typer.Option("--width", metavar="N", help="Its width.")] = 3
    height: Annotated[int | None, typer.Option("--height", metavar="N", help="Its height.")] = None


_calls: list[tuple[str, Size, bool]] = []


@bundled
def draw(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name.")],
    *,
    size: Size,
    bold: Annotated[bool, typer.Option("--bold", help="Thick lines.")] = False,
) -> None:
    """Draw."""
    _calls.append((name, size, bold))


def test_options_stand_where_the_bundle_stood_and_come_as_one_value() -> None:
    assert list(signature(draw).parameters) == ["name", "width", "height", "bold"]
    app = typer.Typer()
    app.command()(draw)
    _calls.clear()
    command_of(app).main(["square", "--height", "4", "--bold"], standalone_mode=False)
    command_of(app).main(["line"], standalone_mode=False)
    assert _calls == [("square", Size(3, 4), True), ("line", Size(), False)]


def test_the_check_command_has_its_options_in_the_order_of_their_ideas() -> None:
    names = list(signature(check).parameters)
    first = ["files", "config", "settings", "strict", "exit_zero", "unfrozen", "baseline", "write_baseline"]
    assert names[: len(first)] == first
    assert names[-3:] == ["overwrite", "quiet", "verbose"]
    assert len(names) == len(set(names)) == 35
