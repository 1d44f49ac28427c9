"""A file on disk -> a Subject, by what the file is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from diag.sources import recognised
from diag.sources.opening import Opening
from diag.sources.safe.bounds import check_holdable, check_ordinary
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Source: TypeAlias = "str | os.PathLike[str] | NDArray[Any] | Tensor | Subject"
"""An input of a diagnosis: a file's path, embeddings (n, ...) in memory, or a subject as it is."""

ARRAY_SUFFIXES = (".npy", ".npz")

OPENERS: Mapping[str, str] = {
    **dict.fromkeys(ARRAY_SUFFIXES, "arrays:open_arrays"),
    ".parquet": "tables:open_table",
    ".pq": "tables:open_table",
    ".safetensors": "tensors:open_tensors",
    ".pt": "tensors:open_saved",
    ".pth": "tensors:open_saved",
    ".onnx": "exported:open_onnx",
    ".pt2": "exported:open_exported",
    ".zip": "sb3.policy:open_sb3_file",
}
"""The function of this package that opens files of a suffix; what it imports is loaded when it is called.
What is in a file goes before its name (diag/sources/recognised.py)."""


def open_subject(
    path: str | os.PathLike[str], supplied: Supplied = NOTHING, task: Task | None = None
) -> Subject:
    """The subject in a file: a checkpoint of ours whatever its name, otherwise by its suffix.

    ``supplied`` is what a file of weights alone does not say; ``task`` is the task (``source`` or
    ``target``) that the file's model sees, for files that do not say it themselves. docs/sources.md lists
    what each suffix gives, and how a package adds one.

    Raises SubjectError, or CheckpointError, for files that are neither.
    """
    name = os.fspath(path)
    if os.path.isdir(name):  # noqa: PTH112 (which a name that is too long makes no fault of)
        raise SubjectError(name, *recognised.folder_of(name))
    check_ordinary(name, "a checkpoint or array file")
    opening = Opening(name, task, supplied)
    return opening.completed(_opened(opening))


def _opened(opening: Opening) -> Subject:
    name = opening.path
    suffix = Path(name).suffix.lower()
    from diag.sources.tensors import NATIVE, header_of

    header = header_of(name)
    if header is not None and NATIVE in header:
        return _native(opening)
    begins = recognised.looked_at(name)
    if (told := recognised.incomplete_of(name, begins)) is not None:
        raise SubjectError(name, *told)
    own = suffix in OPENERS
    if own and suffix not in ARRAY_SUFFIXES:
        from diag.sources.plugins import check_own

        check_own(suffix, name)
    known = recognised.opener_of(name, begins)
    if not own:
        return _unknown(opening, header is not None, known, begins)
    if suffix != ".safetensors" and header is not None:
        known = "tensors:open_tensors"
    # Of a pickle whose name says torch, torch's opener has more to say.
    pickled = suffix in (".pt", ".pth") and begins.startswith(b"\x80")
    if known is None and header is None and not pickled:
        told = recognised.foreign_of(name, begins)
        if told is not None:
            raise SubjectError(name, *told)
    if suffix == ".safetensors" and header is None and known is None:
        return _native(opening)  # which says what is wrong
    return _by(known or OPENERS[suffix], opening)


def _by(opener: str, opening: Opening) -> Subject:
    """What an opener of this package, ``module:function``, makes of a file."""
    module, _, function = opener.partition(":")
    if module == "arrays":
        from diag.sources.arrays import open_arrays

        return open_arrays(opening.path, opening.supplied)
    open_: Callable[[Opening], Subject] = getattr(import_module(f"diag.sources.{module}"), function)
    return open_(opening)


def _native(opening: Opening) -> Subject:
    """A checkpoint of ours, which sees the pairs that were handed over where there are any."""
    from diag.sources.native import open_native

    check_holdable(opening.path)
    subject = open_native(opening.path)
    if opening.tasks is None or subject.tasks is None:
        return subject
    from diag.sources.pairs import SeenBy

    # How many of its world's states make a success says nothing of other observations.
    return replace(subject, tasks=SeenBy(opening.tasks, subject.tasks, opening.path), success_states=None)


def _unknown(opening: Opening, tensors: bool, known: str | None, begins: bytes) -> Subject:
    """A file of another suffix, or of none: by an installed source, or by what is in it."""
    from diag.sources.plugins import open_plugin, suffixes

    subject = open_plugin(opening)
    if subject is not None:
        return subject
    if tensors:
        known = "tensors:open_tensors"
    if known is not None:
        return _by(known, opening)
    if (told := recognised.foreign_of(opening.path, begins)) is not None:
        raise SubjectError(opening.path, *told)
    from trainers.checkpoint import CheckpointError

    try:
        return _native(opening)
    except CheckpointError as error:
        if not os.path.isfile(opening.path):  # noqa: PTH113 (as above)
            raise
        every = ", ".join((*OPENERS, *suffixes()))
        expected = f"{error.expected}, or a file of a known suffix ({every}; docs/sources.md adds others)"
        raise CheckpointError(error.path, error.found, expected) from None


def opened(what: Any, name: str, supplied: Supplied = NOTHING, task: Task | None = None) -> Subject:
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
