"""Answers of commands: a result in the form that was asked for, progress, words on what was kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diag.commands.options import Html, Json, Quiet, Static, Verbose
from diag.commands.output_files import JSON, Outputs
from diag.commands.progress import in_percent, progress_bar
from diag.commands.timing import Outlook
from diag.outputs.colour import painted
from diag.outputs.registry import renderer


@contextmanager
def timed(words: str, total: int, quiet: bool, then: str = "") -> Iterator[Callable[[int], None]]:
    """A bar for long work, and a line, once it has begun, on how long the rest will take, and ``then``."""

    def told(left: str) -> None:
        if not quiet:
            note(f"{words}: {left} to go on this machine{then}")

    with progress_bar(words, total, quiet) as bar:
        outlook = Outlook(total, told)

        def advance(more: int) -> None:
            bar(more)
            outlook.advance(more)

        yield advance


@contextmanager
def percent(words: str, quiet: bool, brief: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal for work that says how much of how much is done; lines elsewhere if not brief."""
    with progress_bar(words, 100, quiet, brief=brief) as advance:
        yield in_percent(advance)


class Stopped(Exception):  # noqa: N818 (no error: a person asked for it)
    """Ctrl-C, with words on what was kept and how to go on."""


@contextmanager
def stoppable(words: str) -> Iterator[None]:
    """Say on Ctrl-C what was kept, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped; {words}") from None


def answer(
    result: Any,
    kind: str,
    outputs: Outputs,
    quiet: bool,
    verbose: bool,
    others: Mapping[str, Callable[[], str]] | None = None,
    picture: bool | None = False,
) -> None:
    """Write the outputs that were asked for, and print the result; ``kind`` names its renderers.

    ``others`` are the renderers of options that one command alone has. ``picture`` says whether a
    picture in characters stands below the text: None for where a terminal can show it.
    """

    pages = {
        "--html": lambda: renderer(kind, "html")(result, outputs.static),
        "--json": lambda: _kept(renderer(kind, "json")(result)),
    }
    outputs.write({**pages, **(others or {})})
    if outputs.printed:
        return
    brief, text = renderer(kind, "brief"), renderer(kind, "text")
    words = brief(result) if quiet else text(result, verbose)
    if is_drawn(picture, quiet):
        words += f"\n\n{renderer(kind, 'picture')(result)}"
    write_line(words)
    told(outputs, quiet)


def _kept(text: str) -> str:
    """JSON, with a word on standard error where the result cannot be read back from it."""
    from diag.outputs.json import unsaved

    if why := unsaved(text):
        note(f"{JSON}: diag report cannot read this result back: {why}; the documented JSON is whole")
    return text


def is_drawn(picture: bool | None, quiet: bool) -> bool:
    """Whether a picture in characters is drawn: as ``--picture`` says, else where a terminal can show it."""
    if picture is not None or quiet:
        return bool(picture)
    from diag.outputs.terminal import can_show

    return can_show(sys.stdout)


@dataclass(frozen=True)
class AnswerOptions:
    """The forms that a command's answer is wanted in, and how much is said beside it."""

    json: Json = None
    html: Html = None
    static: Static = False
    quiet: Quiet = False
    verbose: Verbose = False

    def outputs(
        self,
        *inputs: Path | None,
        others: Mapping[str, Path | None] | None = None,
        picture: bool | None = False,
    ) -> Outputs:
        """The places of the outputs, none of them an input that is there; raises UsageError.

        ``others`` are those of options that one command alone has, such as ``--out``; ``picture`` is the one
        that asks for a picture below the text.
        """
        asked = {"--json": self.json, "--html": self.html, **(others or {})}
        places = (place for place in inputs if place is not None)
        printed = "--picture" if picture else None
        return Outputs.of(asked, *places, printed=printed).with_static(self.static)


REPORTS = {"--html": "report", "--out": "model"}
"""Name in the text of the file of an option, where it is not the option's own."""


def told(outputs: Outputs, quiet: bool) -> None:
    """Say below a text where the files are that were written beside it."""
    names = {REPORTS.get(o, o.lstrip("-")): outputs.written(o) for o in (*REPORTS, *outputs.places)}
    if lines := [f"{name}: {place}" for name, place in names.items() if place is not None]:
        say(quiet, "\n" + "\n".join(lines))


def say(quiet: bool, words: str) -> None:
    """Write words to standard output, unless the command is to be quiet."""
    if not quiet:
        write_line(words)


def note(words: str) -> None:
    """Write words to standard error."""
    sys.stderr.write(words + "\n")


def write_line(words: str) -> None:
    """Write a line to standard output, with statuses in colour on a terminal."""
    sys.stdout.write(painted(words, sys.stdout) + "\n")
