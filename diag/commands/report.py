"""The command that shows saved results again, one or many in a page: ``diag report``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diag.commands.answer import is_drawn, note, say, write_line
from diag.commands.options import Picture, Quiet, Static, Verbose
from diag.commands.output_files import Outputs, UsageError

if TYPE_CHECKING:
    from diag.outputs.combined import Part
    from diag.shown import Shown
    from reports import Page

MOST_PARTS = 500
"""Most results of one page: a browser takes about a second for each hundred pictures."""


def report(
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE|DIR...",
            help="Saved results (--json=FILE of any command), folders of them, or of studies.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PAGE", help="The page (default: print the results' texts)."),
    ] = None,
    static: Static = False,
    picture: Picture = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show saved results again, in one page or as text; nothing is measured anew.

    Every diagnosis writes its result with --json=FILE. One file becomes the page that --html would have
    written; several, or a folder, become one page with an index on top. The folder of a study gives its
    report, its environment metrics where it has scores, and every saved result that lies in it. A file that
    a folder holds and that cannot be read has a row in the index; one that is named ends the command with
    exit status 2.

    \b
    Examples:
      diag compare-embeddings base.npy transfer.npy --json=compared.json
      diag report compared.json -o compared.html
      diag report compared.json wall.json probed.json -o all.html --static
      diag report runs/maze -o maze.html
    """
    if static and out is None:
        raise UsageError("found --static without --out, expected a page that is to be static")
    if picture and out is not None:
        raise UsageError("found --picture with --out, expected it with the texts of the results")
    outputs = Outputs.of({"--out": out}, *(place for place in places if place.is_file()))
    found = list(_found(places, quiet))
    if not found:
        words = f"{', '.join(map(str, places))}: found no saved results"
        raise UsageError(f"{words}, expected files that --json=FILE of a command wrote")
    if len(found) > MOST_PARTS:
        raise UsageError(f"found {len(found)} saved results, expected {MOST_PARTS} in a page at most")
    if out is None:
        _printed(found, is_drawn(picture, quiet), quiet, verbose)
        return
    outputs.write({"--out": lambda: _rendered(found, static)})
    if not outputs.printed:
        _told(found, quiet)
        say(quiet, f"report: {out}")


class Unread:
    """A file of a folder that says it is a saved result and cannot be read."""

    def __init__(self, words: str) -> None:
        self.words = words


def _found(places: list[Path], quiet: bool) -> Iterator[tuple[str, Shown | Unread]]:
    """Every result that was asked for, with its name; raises ResultError for a named file without one."""
    from diag.saved.kinds import load

    for place in places:
        if place.is_dir():
            yield from _in_folder(place, str(place) if len(places) > 1 else "", quiet)
        else:
            yield str(place), load(place)


def _in_folder(folder: Path, name: str, quiet: bool) -> Iterator[tuple[str, Shown | Unread]]:
    """The study of a folder, and the saved results below it, in the order of their paths."""
    from diag.saved.kinds import ResultError, holds_result, result_in, tree_in

    yield from _study(folder, quiet)
    for path in sorted(folder.rglob("*.json")):
        below = path.relative_to(folder)
        if any(part.startswith(".") for part in below.parts) or not path.is_file():
            continue
        try:
            tree = tree_in(str(path))
        except ResultError:  # no JSON, or too much of it: a file of somebody else
            continue
        if not holds_result(tree):
            continue
        result: Any
        try:
            result = result_in(tree, str(path))
        except ResultError as error:
            result = Unread(str(error))
        yield str(Path(name) / below), result


def _study(folder: Path, quiet: bool) -> Iterator[tuple[str, Shown]]:
    if not (folder / "study.json").is_file():
        return
    from diag.studies import StudyError
    from diag.studies.environments.metrics import environment_metrics
    from diag.studies.reading import report_of

    if not quiet:
        note(f"reading the study in {folder}, and its environment metrics; of a large one this takes minutes")
    yield str(folder), report_of(folder)
    try:
        yield f"{folder}: environment metrics", environment_metrics(folder)
    except StudyError:
        return  # most studies earn no returns, or have nothing from scratch to hold them against


def _rendered(found: list[tuple[str, Any]], static: bool) -> str:
    from diag.outputs.combined import combined
    from reports import render

    parts = [_part(name, result) for name, result in found]
    alone = parts[0].page if len(parts) == 1 else None
    return render(combined(parts) if alone is None else alone, live=not static)


def _part(name: str, result: Shown | Unread) -> Part:
    from diag.outputs.combined import Part

    if isinstance(result, Unread):
        return Part(name, problem=result.words)
    return Part(name, _page(result))


def _page(result: Shown) -> Page:
    from diag.outputs.combined import with_lacks
    from diag.outputs.registry import page
    from diag.saved.kinds import left_out

    return with_lacks(page(result), left_out(result))


def _printed(found: list[tuple[str, Any]], drawn: bool, quiet: bool, verbose: bool) -> None:
    from diag.outputs.registry import RENDERERS, renderer

    for place, (name, result) in enumerate(found):
        if isinstance(result, Unread):
            note(f"diag: {result.words}")
            continue
        if quiet:
            write_line(f"{name}: {renderer(result.kind, 'brief')(result)}")
            continue
        if len(found) > 1:
            write_line(f"{'' if place == 0 else chr(10)}== {name}\n")
        write_line(renderer(result.kind, "text")(result, verbose))
        if drawn and "picture" in RENDERERS[result.kind]:
            write_line(f"\n{renderer(result.kind, 'picture')(result)}")


def _told(found: list[tuple[str, Any]], quiet: bool) -> None:
    """Say which files of folders could not be read."""
    for _, result in found:
        if isinstance(result, Unread) and not quiet:
            note(f"diag: {result.words}")
