"""A file on disk -> a Subject, by what the file is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from diag.subject import Subject, SubjectError

ARRAY_SUFFIXES = (".npy", ".npz")


def open_subject(path: str | os.PathLike[str]) -> Subject:
    """The subject in a file: ``.npy``/``.npz`` are embeddings, anything else must be a checkpoint.

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


def opened(what: Any, name: str) -> Subject:
    """The subject of a path, of an array or tensor of embeddings (called ``name``), or a subject as it is."""
    if isinstance(what, Subject):
        return what
    if isinstance(what, str | os.PathLike):
        return open_subject(what)
    from diag.sources.arrays import from_array

    return from_array(what, name)


def same_file(a: str, b: str) -> bool:
    """Whether two paths lead to one file."""
    try:
        return Path(a).samefile(b)
    except OSError:
        return False
