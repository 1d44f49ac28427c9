"""``.npy`` and ``.npz`` files of embeddings -> a Subject; never unpickles."""

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

MAGIC = b"\x93NUMPY"

EXPECTED = "numbers of shape (n, ...), one row a state, the same states in both files"


def from_array(embeddings: Any, name: str) -> Subject:
    """A subject of embeddings (n, ...) in memory, numpy or torch; ``name`` stands for its path."""
    if hasattr(embeddings, "detach"):
        embeddings = embeddings.detach().cpu().numpy()
    array = np.asarray(embeddings)
    return _subject(array, name, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest())


def open_arrays(path: str) -> Subject:
    """The embeddings (n, ...) in a numpy file; raises SubjectError for anything else."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SubjectError(path, (error.strerror or str(error)).lower(), "an array file") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old headers: what cannot be read is an error all the same
            loaded = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            array = loaded
        else:
            keys = list(loaded.keys())
            if KEY not in keys and len(keys) != 1:
                raise SubjectError(
                    path, f"arrays {', '.join(keys) or '(none)'}", f"one array, or one named {KEY!r}"
                )
            array = loaded[KEY if KEY in keys else keys[0]]
    except SubjectError:
        raise
    except Exception as error:  # numpy, zipfile, zlib and tokenize each raise their own for damaged files
        pickled = "ickle" in str(error) and content.startswith((MAGIC, b"PK", b"\x80"))
        found = "pickled objects, which are never loaded" if pickled else "no whole numpy file"
        raise SubjectError(path, found, EXPECTED) from None
    if not isinstance(array, np.ndarray):
        raise SubjectError(path, "a member that is no array", EXPECTED)
    return _subject(array, path, hashlib.sha256(content).hexdigest())


def _subject(array: NDArray[Any], path: str, sha256: str) -> Subject:
    if array.dtype.kind not in "fiub":
        raise SubjectError(path, f"{array.dtype} values", EXPECTED)
    if array.ndim < 2 or 0 in array.shape:
        raise SubjectError(path, f"shape {array.shape}", EXPECTED)
    bad = int((~np.isfinite(array.reshape(len(array), -1))).any(1).sum())
    if bad:
        raise SubjectError(path, f"{bad} of {len(array)} rows with NaN or infinity", "finite numbers")
    return Subject(path, sha256, embeddings=array, label=f"embeddings {array.shape}")
