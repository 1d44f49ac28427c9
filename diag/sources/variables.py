"""``.npz`` files of named variables -> what is known of each row; never unpickles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from diag.sources.arrays import read_members
from diag.sources.members import MAGIC
from diag.subject import SubjectError

EXPECTED = "a .npz of named arrays, a row a state: (n,) numbers, booleans or strings, or (n, k) numbers"


def open_variables(path: str | os.PathLike[str]) -> Mapping[str, NDArray[Any]]:
    """The named arrays of an ``.npz`` file, in its order; raises SubjectError for anything else."""
    name = os.fspath(path)
    arrays, content = read_members(name, EXPECTED, EXPECTED, ".npz archive")
    if content.startswith(MAGIC):
        raise SubjectError(name, "a single array without a name", EXPECTED)
    if not arrays:
        raise SubjectError(name, "an archive without arrays", EXPECTED)
    for key, values in arrays.items():
        if values.ndim not in (1, 2) or 0 in values.shape:
            raise SubjectError(name, f"{key!r} of shape {values.shape}", EXPECTED)
    return arrays
