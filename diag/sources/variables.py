"""``.npz`` files of named variables -> what is known of each row; never unpickles."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.subject import SubjectError

EXPECTED = "a .npz of named arrays, a row a state: (n,) numbers, booleans or strings, or (n, k) numbers"


def open_variables(path: str | os.PathLike[str]) -> Mapping[str, NDArray[Any]]:
    """The named arrays of an ``.npz`` file, in its order; raises SubjectError for anything else."""
    name = os.fspath(path)
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise SubjectError(name, (error.strerror or str(error)).lower(), EXPECTED) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old headers: what cannot be read is an error all the same
            loaded = np.load(io.BytesIO(content), allow_pickle=False)
            arrays = None if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded}
    except Exception as error:  # numpy, zipfile, zlib and tokenize each raise their own for damaged files
        pickled = "ickle" in str(error) and content.startswith((b"PK", b"\x80"))
        found = "pickled objects, which are never loaded" if pickled else "no whole .npz archive"
        raise SubjectError(name, found, EXPECTED) from None
    if arrays is None:
        raise SubjectError(name, "a single array without a name", EXPECTED)
    if not arrays:
        raise SubjectError(name, "an archive without arrays", EXPECTED)
    for key, values in arrays.items():
        if not isinstance(values, np.ndarray) or values.ndim not in (1, 2) or 0 in values.shape:
            raise SubjectError(name, f"{key!r} of shape {np.shape(values)}", EXPECTED)
    return arrays
