"""What the commands share: progress, a result in the form that was asked for, files that can be written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diag._progress import in_percent, progress_bar
from diag.outputs.colour import painted


class UsageError(ValueError):
    """Options that contradict each other."""


@contextmanager
def percent(words: str, quiet: bool, brief: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal for work that says how much of how much is done; lines elsewhere if not brief."""
    with progress_bar(words, 100, quiet, brief=brief) as advance:
        yield in_percent(advance)


@contextmanager
def kept(folder: Path | None, used: bool) -> Iterator[None]:
    """Say on Ctrl-C what was kept in a folder, and how to go on with it."""
    if folder is not None and not used:
        raise UsageError(
            f"--save {folder}: found no plane to save, expected --third, --random-plane or --trail"
        )
    try:
        yield
    except KeyboardInterrupt:
        if folder is not None:
            note(f"stopped; {folder} holds the rows that are done, and the same command goes on with them")
        raise


def answer(result: Any, kind: str, json: bool, html: Path | None, quiet: bool, verbose: bool) -> None:
    """Write the report if one was asked for, then print the result; ``kind`` names its renderers."""
    if html is not None:
        from diag.outputs import html as page

        write_file(html, getattr(page, kind)(result))
    if json:
        from diag.outputs.json import render

        write_line(render(result))
        return
    from diag.outputs import text

    write_line(text.brief(result.verdict) if quiet else getattr(text, kind)(result, verbose))
    say(quiet or html is None, f"\nreport: {html}")


def say(quiet: bool, words: str) -> None:
    if not quiet:
        write_line(words)


def note(words: str) -> None:
    sys.stderr.write(words + "\n")


def write_line(words: str) -> None:
    sys.stdout.write(painted(words, sys.stdout) + "\n")


def check_writable(path: Path | None, *inputs: Path) -> None:
    """Refuse a place that cannot be written before any work is done for it."""
    if path is not None:
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
    from trainers.checkpoint import write_atomically

    write_atomically(path.resolve(), content.encode())
