"""Outputs of a command and where they go: one rule for ``--json``, ``--html`` and all the others.

Each names a file; ``-`` is standard output, in place of the text. ``--json`` alone is ``--json=-``: what
scripts use most needs no place. Everything is rendered before anything is written, and a file is replaced as
a whole or not at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

STANDARD_OUTPUT = Path("-")

JSON, HTML = "--json", "--html"

_PRINTED = f"{JSON}={STANDARD_OUTPUT}"


class UsageError(ValueError):
    """Options that contradict each other."""


def with_places(arguments: list[str]) -> list[str]:
    """A command line whose ``--json`` names its place, as those of the other outputs do.

    Raises UsageError for a place after a blank, where the parser could not tell it from a file to read.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    placed: list[str] = []
    for index, argument in enumerate(arguments[:end]):
        following = arguments[index + 1] if index + 1 < end else ""
        if argument == JSON and following.endswith(".json"):
            words = f"{JSON}={following} to write there, or {JSON} alone to print"
            raise UsageError(f"found {JSON} {following}, expected {words}")
        if argument == str(STANDARD_OUTPUT) and placed and placed[-1] == _PRINTED:
            continue
        placed.append(_PRINTED if argument == JSON else argument)
    return [*placed, *arguments[end:]]


@dataclass(frozen=True)
class Outputs:
    """The outputs that were asked for, by option."""

    places: Mapping[str, Path]
    static: bool = False
    """Whether pages have no scripts."""

    @classmethod
    def of(cls, asked: Mapping[str, Path | None], *inputs: Path, printed: str | None = None) -> Outputs:
        """The places of the options that are not None; raises UsageError before any work is done for them.

        ``inputs`` are not written over. ``printed`` is an option that prints in place of the text, if any.
        """
        places = {option: place for option, place in asked.items() if place is not None}
        shown = [o for o, place in places.items() if place == STANDARD_OUTPUT]
        shown += [printed] if printed is not None else []
        if len(shown) > 1:
            names = " and ".join(o if o in (JSON, printed) else f"{o} {STANDARD_OUTPUT}" for o in shown)
            raise UsageError(f"found {names}, which all print to standard output; expected one of them")
        files: dict[Path, str] = {}
        for option, place in places.items():
            if place == STANDARD_OUTPUT:
                continue
            check_writable(place, *inputs)
            if (other := files.setdefault(place.resolve(), option)) != option:
                raise UsageError(f"{place}: found one file for {other} and {option}, expected one each")
        return cls(places)

    def with_static(self, static: bool) -> Outputs:
        """The outputs with pages that have no scripts; raises UsageError where no page was asked for."""
        if static and HTML not in self.places:
            raise UsageError(f"found --static without {HTML}, expected a page that is to be static")
        return replace(self, static=static)

    @property
    def printed(self) -> bool:
        """Whether one of them goes to standard output, where then nothing else may."""
        return STANDARD_OUTPUT in self.places.values()

    def written(self, option: str) -> Path | None:
        """The file of an option, None where it has none."""
        place = self.places.get(option)
        return None if place == STANDARD_OUTPUT else place

    def write(self, render: Mapping[str, Callable[[], str]]) -> None:
        """Render all that is asked for, and then write it; ``render`` has every option's content."""
        contents = {option: render[option]() for option in self.places}
        for option, place in self.places.items():
            if place == STANDARD_OUTPUT:
                write_out(contents[option])
            else:
                write_file(place, contents[option])


def write_out(content: str) -> None:
    """Write to standard output what is to be a file there, whatever the terminal's encoding."""
    whole = content if content.endswith("\n") else content + "\n"
    sys.stdout.flush()
    if (binary := getattr(sys.stdout, "buffer", None)) is None:
        sys.stdout.write(whole)
    else:
        binary.write(whole.encode())
        binary.flush()


def check_writable(path: Path | None, *inputs: Path) -> None:
    """Refuse a place that cannot be written before any work is done for it."""
    if path is None:
        return
    if path == STANDARD_OUTPUT:
        raise UsageError("found - for standard output, expected a file to write")
    if any(path.exists() and file.exists() and path.samefile(file) for file in inputs):
        raise UsageError(f"{path}: found an input of this command, expected another file to write")
    folder = path.parent
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no ordinary file"
        raise UsageError(f"{path}: found {kind}, expected a file to write")
    if not folder.is_dir():
        raise UsageError(f"{path}: found no folder {folder}, expected one to write to")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{path}: found a folder that cannot be written, expected one that can")


def write_file(path: Path, content: str) -> None:
    """Write a file whole, or not at all."""
    from trainers.checkpoint import write_atomically

    write_atomically(path.resolve(), content.encode())
