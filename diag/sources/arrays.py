"""``.npy`` and ``.npz`` files of embeddings -> a Subject; never unpickles, and maps large files."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.subject import Subject, SubjectError

KEY = "embeddings"
"""The array that is read from an ``.npz`` that holds several."""

EPISODES = "episodes"
"""The array of an ``.npz`` that names each row's episode."""

MAGIC = b"\x93NUMPY"

MAPPED_BYTES = 2**28
"""Size from which an ``.npy`` file is mapped, not read: its pages then come and go as they are needed."""

EXPECTED = "numbers of shape (n, ...), one row a state, the same states in both files"


def from_array(embeddings: Any, name: str) -> Subject:
    """A subject of embeddings (n, ...) in memory, numpy or torch; ``name`` stands for its path."""
    if hasattr(embeddings, "detach"):
        embeddings = embeddings.detach().cpu()
        # numpy has no bfloat16, whose numbers float32 holds exactly.
        embeddings = (embeddings.float() if "bfloat16" in str(embeddings.dtype) else embeddings).numpy()
    array = np.asarray(embeddings)
    sha256 = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return _subject(array, name, sha256)


def open_arrays(path: str) -> Subject:
    """The embeddings (n, ...) in a numpy file; raises SubjectError for anything else."""
    file = Path(path)
    try:
        if file.suffix == ".npy" and file.stat().st_size >= MAPPED_BYTES:
            return _mapped(path)
    except OSError:
        pass  # read_members says what is wrong
    arrays, content = read_members(path)
    keys = list(arrays)
    if KEY not in arrays and len(set(keys) - {EPISODES}) != 1:
        raise SubjectError(path, f"arrays {', '.join(keys) or '(none)'}", f"one array, or one named {KEY!r}")
    array = arrays[KEY if KEY in arrays else next(key for key in keys if key != EPISODES)]
    return _subject(array, path, hashlib.sha256(content).hexdigest(), arrays.get(EPISODES))


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
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SubjectError(path, (error.strerror or str(error)).lower(), file) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old headers: what cannot be read is an error all the same
            loaded = np.load(io.BytesIO(content), allow_pickle=False)
            arrays = {KEY: loaded} if isinstance(loaded, np.ndarray) else {k: loaded[k] for k in loaded}
    except Exception as error:  # numpy, zipfile, zlib and tokenize each raise their own for damaged files
        raise _damaged(path, error, content[:8], expected, whole) from None
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise SubjectError(path, "a member that is no array", expected)
    return arrays, content


def _mapped(path: str) -> Subject:
    with Path(path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        begins = file.read(8)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        raise _damaged(path, error, begins) from None
    return _subject(array, path, sha256)


def _damaged(
    path: str, error: Exception, begins: bytes, expected: str = EXPECTED, whole: str = "numpy file"
) -> SubjectError:
    pickled = "ickle" in str(error) and begins.startswith((MAGIC, b"PK", b"\x80"))
    found = "pickled objects, which are never loaded" if pickled else f"no whole {whole}"
    return SubjectError(path, found, expected)


def _subject(array: NDArray[Any], path: str, sha256: str, episodes: NDArray[Any] | None = None) -> Subject:
    if array.dtype.kind not in "fiub":
        raise SubjectError(path, f"{array.dtype} values", EXPECTED)
    if array.ndim < 2 or 0 in array.shape:
        raise SubjectError(path, f"shape {array.shape}", EXPECTED)
    if episodes is not None and (episodes.shape != array.shape[:1] or episodes.dtype.kind not in "iubU"):
        found = f"{EPISODES} of {episodes.dtype} {episodes.shape}"
        raise SubjectError(path, found, f"whole numbers or words of shape ({len(array)},)")
    label = f"embeddings {array.shape}"
    return Subject(path, sha256, embeddings=array, episodes=episodes, label=label)
