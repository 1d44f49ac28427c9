"""``.npy`` and ``.npz`` files: the arrays in them, by name; never unpickles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from diag.sources.naming import KEY
from diag.sources.safe.bounds import content_of
from diag.sources.safe.members import MAGIC, ZIP_BEGINS, PickledError, array_of, read_archive
from diag.subject import SubjectError


def read_members(
    path: str, file: str, expected: str, whole: str = "numpy file"
) -> tuple[dict[str, NDArray[Any]], bytes]:
    """Every array of a numpy file by name (an ``.npy``'s only array as :data:`KEY`), and the file's bytes.

    Raises SubjectError, with ``file`` as what was expected where nothing can be read, and ``expected``
    where it holds something other than a ``whole``.
    """
    content = content_of(path, file, (MAGIC, *ZIP_BEGINS))
    members: Mapping[str, NDArray[Any] | None]
    try:
        if content.startswith(ZIP_BEGINS):
            members = read_archive(content, path, expected)
        else:
            members = {KEY: array_of(content)}
    except SubjectError:
        raise
    except Exception as error:  # numpy, zipfile, zlib and tokenize each raise their own for damaged files
        raise damaged(path, error, content[:8], expected, whole) from None
    arrays = {name: array for name, array in members.items() if array is not None}
    if len(arrays) < len(members):
        raise SubjectError(path, "a member that is no array", expected)
    return arrays, content


def damaged(
    path: str, error: Exception, begins: bytes, expected: str, whole: str = "numpy file"
) -> SubjectError:
    """The error for a numpy file that cannot be read: pickled objects in it, or no ``whole``."""
    pickled = isinstance(error, PickledError) or begins.startswith(b"\x80")
    fault = "pickled objects, which are never loaded" if pickled else f"no whole {whole}"
    return SubjectError(path, fault, expected)
