"""Open files on disk as Subjects, by what each file is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from diag.sources import foreign_files, formats
from diag.sources.content import Content
from diag.sources.folders import by_itself, is_model, open_folder
from diag.sources.opening import Opening
from diag.sources.plugins import check_own, open_plugin, suffixes
from diag.sources.safe.bounds import check_ordinary
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class Table(Protocol):
    """A table with named columns in memory: pandas', Arrow's or Polars'."""

    @property
    def columns(self) -> Any:
        """The table's columns, or their names."""
        ...


Source: TypeAlias = "str | os.PathLike[str] | NDArray[Any] | Table | Tensor | Subject"
"""An input of a diagnosis: a file's path, embeddings (n, ...) in memory, or a subject as it is."""


def open_subject(
    path: str | os.PathLike[str], supplied: Supplied = NOTHING, task: Task | None = None
) -> Subject:
    """The subject in a file: a checkpoint of diag whatever its name, otherwise by its content and suffix.

    ``supplied`` is what a file of weights alone does not say; ``task`` is the task (``source`` or
    ``target``) that the file's model sees, for files that do not say it themselves. docs/sources.md lists
    what each suffix gives, and how a package adds one.

    Raises SubjectError, or CheckpointError, for files that are neither.
    """
    name = os.fspath(path)
    if os.path.isdir(name):  # noqa: PTH112 (which a name that is too long makes no fault of)
        if is_model(name):
            folder = by_itself(Opening(name, task, supplied))
            return folder.completed(open_folder(folder))
        raise SubjectError(name, *foreign_files.folder_of(name))
    check_ordinary(name, "a checkpoint or array file")
    opening = Opening(name, task, supplied)
    return opening.completed(_opened(opening))


def _opened(opening: Opening) -> Subject:
    """The subject in a file: by its content, by an installed source for its suffix, or by its suffix."""
    content = Content(opening.path)
    held, named = formats.held_by(content), formats.named(content.suffix)
    if held is formats.CHECKPOINT:
        return held.open(opening)
    if (told := foreign_files.incomplete_of(content)) is not None:
        raise SubjectError(opening.path, *told)
    if named is None:
        subject = open_plugin(opening)
        if subject is not None:
            return subject
    elif not named.quick:
        check_own(content.suffix, opening.path)
    if held is not None:
        return held.open(opening)
    if (told := foreign_files.foreign_of(content)) is not None:
        raise SubjectError(opening.path, *told)
    return _unknown(opening) if named is None else named.open(opening)


def _unknown(opening: Opening) -> Subject:
    """The error for a file that nothing tells the format of, with every suffix that would."""
    from trainers.checkpoint import CheckpointError

    try:
        return formats.CHECKPOINT.open(opening)
    except CheckpointError as error:
        if not os.path.isfile(opening.path):  # noqa: PTH113 (as above)
            raise
        every = ", ".join((*formats.SUFFIXES, *suffixes()))
        expected = f"{error.expected}, or a file of a known suffix ({every}; docs/sources.md adds others)"
        raise CheckpointError(error.path, error.found, expected) from None


def opened(what: Source, name: str, supplied: Supplied = NOTHING, task: Task | None = None) -> Subject:
    """The subject of a path, of embeddings in memory (an array, a tensor or a table, called ``name``), or a
    subject as it is.
    """
    if isinstance(what, Subject):
        return what
    if isinstance(what, str | os.PathLike):
        return open_subject(what, supplied, task)
    from diag.sources.arrays import from_array, is_table

    if is_table(what):
        from diag.sources.frames import from_frame

        return from_frame(what, name, supplied)
    return from_array(what, name, supplied)


def same_file(a: str, b: str) -> bool:
    """Whether two paths lead to one file."""
    try:
        return Path(a).samefile(b)
    except OSError:
        return False
