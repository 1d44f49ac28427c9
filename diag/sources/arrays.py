"""``.npy`` and ``.npz`` files of embeddings -> a Subject; never unpickles, and maps large files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.bounds import content_of, listed, sha256_of, shown
from diag.sources.members import MAGIC, ZIP_BEGINS, PickledError, read_archive, read_array, read_header
from diag.subject import Subject, SubjectError

KEY = "embeddings"
"""The array that is read from a file that holds several."""

EPISODES = "episodes"
"""The array beside it that names each row's episode."""

RETURNS = "returns"
"""The array of the returns of episodes that the agent played on its own task."""

MAPPED_BYTES = 2**28
"""Size from which an ``.npy`` file is mapped, not read: its pages then come and go as they are needed."""

EXPECTED = "numbers of shape (n, ...), one row a state, the same states in both files"


def from_array(embeddings: Any, name: str) -> Subject:
    """A subject of embeddings (n, ...) in memory, numpy or torch; ``name`` stands for its path."""
    array = as_numpy(embeddings)
    sha256 = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return _subject(array, name, sha256)


def as_numpy(values: Any) -> NDArray[Any]:
    """An array or a tensor as an array; raises TypeError for numbers that numpy has no type for."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16, whose numbers float32 holds exactly.
        values = (values.float() if "bfloat16" in str(values.dtype) else values).numpy()
    return np.asarray(values)


def open_arrays(path: str) -> Subject:
    """The embeddings (n, ...) in a numpy file; raises SubjectError for anything else."""
    file = Path(path)
    try:
        if file.suffix == ".npy" and file.stat().st_size >= MAPPED_BYTES:
            return _mapped(path)
    except (OSError, ValueError):  # a name with a null byte is the latter
        pass  # read_members says what is wrong
    arrays, content = read_members(path)
    return ready(arrays, path, hashlib.sha256(content).hexdigest())


def ready(arrays: Mapping[str, NDArray[Any]], path: str, sha256: str) -> Subject:
    """The subject of a file's arrays by name: embeddings, their episodes, returns, or returns alone.

    The embeddings are :data:`KEY`, or the only array beside :data:`EPISODES` and :data:`RETURNS`. Raises
    SubjectError.
    """
    returns = returns_of(arrays[RETURNS], path) if RETURNS in arrays else None
    others = [name for name in arrays if name not in (EPISODES, RETURNS)]
    if KEY not in arrays and returns is not None and not others:
        return Subject(path, sha256, returns=returns, label=f"returns of {len(returns)} episodes")
    if KEY not in arrays and len(others) != 1:
        raise SubjectError(path, f"arrays {listed(arrays) or '(none)'}", f"one array, or one named {KEY!r}")
    array = arrays[KEY if KEY in arrays else others[0]]
    return _subject(array, path, sha256, arrays.get(EPISODES), returns)


def returns_of(values: NDArray[Any], path: str) -> NDArray[np.float64]:
    """The returns (episodes,) in an array; raises SubjectError."""
    expected = "finite numbers of shape (episodes,), the return of each"
    if values.dtype.kind not in "fiub" or values.ndim != 1 or not len(values):
        raise SubjectError(path, f"{RETURNS} of {values.dtype} {values.shape}", expected)
    if not np.isfinite(values).all():
        found = f"{int((~np.isfinite(values)).sum())} of {len(values)} {RETURNS} not finite"
        raise SubjectError(path, found, expected)
    return values.astype(np.float64)


def read_labels(path: str) -> NDArray[Any]:
    """The labels (n,) in a ``.npy`` file, whole numbers or words: each row's episode. Raises SubjectError."""
    expected = "whole numbers or words of shape (n,), one a row"
    arrays = list(read_members(path)[0].values())
    if len(arrays) != 1 or arrays[0].ndim != 1 or arrays[0].dtype.kind not in "iubU":
        shapes = ", ".join(f"{a.dtype} {a.shape}" for a in arrays) or "no array"
        raise SubjectError(path, shapes, expected)
    return arrays[0]


def read_members(
    path: str, file: str = "an array file", expected: str = EXPECTED, whole: str = "numpy file"
) -> tuple[dict[str, NDArray[Any]], bytes]:
    """Every array of a numpy file by name, that of an ``.npy`` as :data:`KEY`, and the file's bytes.

    Raises SubjectError, with ``file`` as what was expected where nothing can be read, and ``expected``
    where it holds something other than a ``whole``.
    """
    content = content_of(path, file, (MAGIC, *ZIP_BEGINS))
    found: Mapping[str, NDArray[Any] | None]
    try:
        if content.startswith(ZIP_BEGINS):
            found = read_archive(content, path, expected)
        else:
            found = {KEY: read_array(io.BytesIO(content), len(content))}
    except SubjectError:
        raise
    except Exception as error:  # numpy, zipfile, zlib and tokenize each raise their own for damaged files
        raise _damaged(path, error, content[:8], expected, whole) from None
    arrays = {name: array for name, array in found.items() if array is not None}
    if len(arrays) < len(found):
        raise SubjectError(path, "a member that is no array", expected)
    return arrays, content


def _mapped(path: str) -> Subject:
    with Path(path).open("rb") as file:
        begins = file.read(8)
        file.seek(0)
        try:
            read_header(file, Path(path).stat().st_size)
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:
            raise _damaged(path, error, begins) from None
    _check_embeddings(array, path)  # before a long file is read through
    return _subject(array, path, sha256_of(path))


def _damaged(
    path: str, error: Exception, begins: bytes, expected: str = EXPECTED, whole: str = "numpy file"
) -> SubjectError:
    pickled = isinstance(error, PickledError) or begins.startswith(b"\x80")
    found = "pickled objects, which are never loaded" if pickled else f"no whole {whole}"
    return SubjectError(path, found, expected)


def _subject(
    array: NDArray[Any],
    path: str,
    sha256: str,
    episodes: NDArray[Any] | None = None,
    returns: NDArray[np.float64] | None = None,
) -> Subject:
    _check_embeddings(array, path)
    if episodes is not None and (episodes.shape != array.shape[:1] or episodes.dtype.kind not in "iubU"):
        found = f"{EPISODES} of {shown(episodes.dtype)} {episodes.shape}"
        raise SubjectError(path, found, f"whole numbers or words of shape ({len(array)},)")
    label = f"embeddings {array.shape}"
    return Subject(path, sha256, embeddings=array, episodes=episodes, returns=returns, label=label)


def _check_embeddings(array: NDArray[Any], path: str) -> None:
    if array.dtype.kind not in "fiub":
        raise SubjectError(path, f"{shown(array.dtype)} values", EXPECTED)
    if array.ndim < 2 or 0 in array.shape:
        raise SubjectError(path, f"shape {array.shape}", EXPECTED)
