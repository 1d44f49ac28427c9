"""Read known variables of each row from ``.npz`` files, mappings and tables; never unpickles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from diag.sources.arrays import checked_keys, is_table
from diag.sources.naming import says_order
from diag.sources.numbers import native
from diag.sources.numpy_file import read_members
from diag.sources.safe.members import MAGIC
from diag.sources.supplied import Supplied
from diag.subject import SubjectError, Taken

VARIABLES = "the variables"
"""Stands for the path in errors about variables that come from no file."""

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


def variables_of(given: Any, supplied: Supplied) -> tuple[dict[str, NDArray[Any]], Taken]:
    """Variables of each row by name, from a file, a mapping or a pandas, Arrow or Polars table.

    Beside it, what tells the rows apart: the parts of ``supplied.key`` that are there, which are then no
    variables, or a table's index; and the columns that say the rows' order. Raises SubjectError.
    """
    named = isinstance(given, str | os.PathLike)
    place = os.fspath(given) if isinstance(given, str | os.PathLike) else VARIABLES
    stored: Mapping[str, Any] = {}
    if named:
        read: Mapping[str, Any] = open_variables(place)
    elif is_table(given):
        from diag.sources.frames import columns_of

        index, columns = columns_of(given, place)
        stored = {name: columns[name] for name in index.columns}
        read = {name: values for name, values in columns.items() if name not in stored}
    else:
        read = given
    arrays = {str(name): native(values, place, repr(str(name)), EXPECTED) for name, values in read.items()}
    key: dict[str, NDArray[Any]] = {}
    if supplied.key is not None:
        every = {**arrays, **{n: native(v, place, repr(n), EXPECTED) for n, v in stored.items()}}
        parts = (
            (supplied.key,) if supplied.key in every else tuple(p.strip() for p in supplied.key.split(","))
        )
        if all(part in every for part in parts):
            key = {part: every[part] for part in parts}
            for part in parts:
                arrays.pop(part, None)
    elif stored:
        key = {name: native(values, place, repr(name), EXPECTED) for name, values in stored.items()}
    rows = len(next(iter(key.values()))) if key else 0
    order = {n: v for n, v in arrays.items() if says_order(n) and v.ndim == 1 and v.dtype.kind in "iufU"}
    words = (supplied.key or "") if supplied.key is not None else "the stored index"
    keys = checked_keys(key, rows, place)
    asked = bool(key) and supplied.key is not None
    return arrays, Taken((), key=words if key else "", keys=keys, asked=asked, order=order)
