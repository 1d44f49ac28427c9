"""A file on disk -> a Subject, by what the file is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError, Task

ARRAY_SUFFIXES = (".npy", ".npz")


def open_subject(
    path: str | os.PathLike[str], supplied: Supplied = NOTHING, task: Task | None = None
) -> Subject:
    """The subject in a file: ``.npy``/``.npz`` are embeddings, anything else must be a checkpoint.

    ``supplied`` is what a file of weights alone does not say; ``task`` is the task (``source`` or
    ``target``) that the file's model sees, for files that do not say it themselves.

    Raises SubjectError, or CheckpointError, for files that are neither.
    """
    name = os.fspath(path)
    if Path(name).is_dir():
        raise SubjectError(name, "a folder", "a checkpoint or array file")
    if name.endswith(ARRAY_SUFFIXES):
        from diag.sources.arrays import open_arrays

        return open_arrays(name)
    from diag.sources.native import open_native

    return open_native(name)


def opened(what: Any, name: str, supplied: Supplied = NOTHING, task: Task | None = None) -> Subject:
    """The subject of a path, of an array or tensor of embeddings (called ``name``), or a subject as it is."""
    if isinstance(what, Subject):
        return what
    if isinstance(what, str | os.PathLike):
        return open_subject(what, supplied, task)
    from diag.sources.arrays import from_array

    return from_array(what, name)


def same_file(a: str, b: str) -> bool:
    """Whether two paths lead to one file."""
    try:
        return Path(a).samefile(b)
    except OSError:
        return False
