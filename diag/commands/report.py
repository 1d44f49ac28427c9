"""The command that shows saved results again, one or many in a page: ``diag report``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from diag.commands.answer import is_drawn, note, say, write_line
from diag.commands.options import Picture, Quiet, Static, Verbose
from diag.commands.output_files import Outputs, UsageError
from trainers.safe_text import in_words

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
    if out is not None and out.suffix.lower() == ".json":
        raise UsageError(f"--out {out}: found a name of JSON, expected that of a page, as {out.stem}.html")
    outputs = Outputs.of({"--out": out}, *_inputs(places, out))
    listed = {place: _held(place) for place in places if place.is_dir()}
    expected = sum(len(listed.get(place, [place])) for place in places)
    if expected > MOST_PARTS:
        raise UsageError(f"found {expected} saved results, expected {MOST_PARTS} in a page at most")
    found = list(_found(places, listed, quiet))
    if not found:
        words = f"{', '.join(map(str, places))}: found no saved results"
        raise UsageError(f"{words}, expected files that --json=FILE of a command wrote")
    if out is None:
        _printed(found, is_drawn(picture, quiet), quiet, verbose)
        return
    outputs.write({"--out": lambda: _rendered(found, static)})
    if not outputs.printed:
        _told(found, quiet)
        say(quiet, f"report: {out}")


class Unread:
    """A file of a folder that says it is a saved result and cannot be read, or not be rendered."""

    def __init__(self, words: str) -> None:
        self.words = words


@dataclass(frozen=True)
class Found:
    """A result that was asked for, or why there is none."""

    name: str
    result: Shown | Unread
    path: Path | None = None
    """The file that it was read from; None for what is made of a study."""
    named: bool = False
    """Whether the file itself was named, and not a folder of it."""


def _inputs(places: list[Path], out: Path | None) -> Iterator[Path]:
    """What the page may not take the place of: files that were named, and all but pages in the folders."""
    for place in places:
        if place.is_file():
            yield place
        elif place.is_dir() and out is not None and out.exists():
            yield from (
                path for path in place.rglob("*") if path.suffix.lower() != ".html" and path.is_file()
            )


def _held(folder: Path) -> list[Path]:
    """The files below a folder that may have saved results, by their paths, and those that cannot be read."""
    from diag.saved.kinds import may_hold_result

    held = []
    for path in sorted(folder.rglob("*.json")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file():
            continue
        try:
            if may_hold_result(str(path)):
                held.append(path)
        except OSError:  # whoever reads it says why
            held.append(path)
    return held


def _found(places: list[Path], listed: Mapping[Path, list[Path]], quiet: bool) -> Iterator[Found]:
    """Every result that was asked for, with its name; raises ResultError for a named file without one."""
    from diag.saved.kinds import load

    for place in places:
        if place in listed:
            yield from _in_folder(place, listed[place], str(place) if len(places) > 1 else "", quiet)
        else:
            yield Found(str(place), load(place), place, named=True)


def _in_folder(folder: Path, held: list[Path], name: str, quiet: bool) -> Iterator[Found]:
    """The study of a folder, and the saved results below it."""
    from diag.saved.kinds import ResultError, holds_result, result_in, tree_in

    yield from _study(folder, quiet)
    for path in held:
        result: Any
        try:
            tree = tree_in(str(path))
            if not holds_result(tree):
                continue
            result = result_in(tree, str(path))
        except ResultError as error:
            result = Unread(str(error))
        except OSError as error:
            result = Unread(f"{in_words(str(path))}: {error.strerror or error}")
        yield Found(str(Path(name) / path.relative_to(folder)), result, path)


def _study(folder: Path, quiet: bool) -> Iterator[Found]:
    if not (folder / "study.json").is_file():
        return
    from diag.studies import StudyError
    from diag.studies.environments.metrics import environment_metrics
    from diag.studies.reading import report_of

    if not quiet:
        note(f"reading the study in {folder}, and its environment metrics; of a large one this takes minutes")
    yield Found(str(folder), report_of(folder))
    try:
        yield Found(f"{folder}: environment metrics", environment_metrics(folder))
    except StudyError:
        return  # most studies earn no returns, or have nothing from scratch to hold them against


FAULTS = (LookupError, TypeError, ValueError)
"""What rendering raises of a saved result whose parts do not go together: arrays of other shapes, a variable
that is not there, words that no encoding has. Only a file that was made by other means than ours has them."""

T = TypeVar("T")


def _or_unread(one: Found, rendered: Callable[[], T]) -> T | Unread:
    """What is rendered of a result, or why it cannot be; raises ResultError for a file that was named."""
    from diag.saved.kinds import ResultError

    if one.path is None:
        return rendered()
    try:
        return rendered()
    except FAULTS as error:
        words = f"a {one.result.kind} that cannot be rendered ({type(error).__name__})"  # type: ignore[union-attr]
        wrong = ResultError(str(one.path), words, "one whose parts go together, as --json wrote it")
        if one.named:
            raise wrong from error
        return Unread(str(wrong))


def _rendered(found: list[Found], static: bool) -> str:
    """The page of what was found; a part that cannot be rendered has its reason in its place."""
    parts = [_part(one) for one in found]
    try:
        return _document(parts, static)
    except FAULTS:  # each alone says which of them it is
        checked = [
            _part(one, partial(_document, [part], True)) for one, part in zip(found, parts, strict=True)
        ]
        if all((one.page is None) == (part.page is None) for one, part in zip(checked, parts, strict=True)):
            raise
        return _document(checked, static)


def _document(parts: list[Part], static: bool) -> str:
    from diag.outputs.combined import combined
    from reports import render

    alone = parts[0].page if len(parts) == 1 else None
    content = render(combined(parts) if alone is None else alone, live=not static)
    content.encode()  # lone surrogates, which nothing could write
    return content


def _part(one: Found, check: Callable[[], object] | None = None) -> Part:
    from diag.outputs.combined import Part

    if isinstance(one.result, Unread):
        return Part(one.name, problem=one.result.words)
    result = one.result

    def made() -> Page:
        if check is not None:
            check()
        return _page(result)

    drawn = _or_unread(one, made)
    if isinstance(drawn, Unread):
        note(f"diag: {drawn.words}")
        return Part(one.name, problem=drawn.words)
    return Part(one.name, drawn)


def _page(result: Shown) -> Page:
    from diag.outputs.combined import with_lacks
    from diag.outputs.registry import page
    from diag.saved.kinds import left_out

    return with_lacks(page(result), left_out(result))


def _printed(found: list[Found], drawn: bool, quiet: bool, verbose: bool) -> None:
    for place, one in enumerate(found):
        told: str | Unread
        if isinstance(one.result, Unread):
            told = one.result
        else:
            told = _or_unread(one, partial(_text, one.result, drawn, quiet, verbose))
        if isinstance(told, Unread):
            note(f"diag: {told.words}")
        elif quiet:
            write_line(f"{one.name}: {told}")
        else:
            if len(found) > 1:
                write_line(f"{'' if place == 0 else chr(10)}== {one.name}\n")
            write_line(told)


def _text(result: Shown, drawn: bool, quiet: bool, verbose: bool) -> str:
    from diag.outputs.registry import RENDERERS, renderer

    if quiet:
        return str(renderer(result.kind, "brief")(result))
    words = str(renderer(result.kind, "text")(result, verbose))
    if drawn and "picture" in RENDERERS[result.kind]:
        words += f"\n\n{renderer(result.kind, 'picture')(result)}"
    return words


def _told(found: list[Found], quiet: bool) -> None:
    """Say which files of folders could not be read."""
    for one in found:
        if isinstance(one.result, Unread) and not quiet:
            note(f"diag: {one.result.words}")
