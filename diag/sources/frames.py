"""Tables in memory, of pandas, Arrow or Polars -> a Subject, by the same rules as a Parquet file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.arrays import EXPECTED as NUMBERS
from diag.sources.naming import EPISODES, KEY, OVERRIDE, RETURNS, Choice, choice_of
from diag.sources.numbers import described, native, real_numbers
from diag.sources.safe.names import listed, shown
from diag.sources.supplied import NOTHING, Supplied
from diag.sources.tables import EXPECTED, Index, labelling, table_subject
from diag.subject import Subject, SubjectError


def from_frame(table: Any, name: str, supplied: Supplied = NOTHING) -> Subject:
    """A subject of a pandas, Arrow or Polars table in memory; ``name`` stands for its path.

    Columns and index are read by the rules of a Parquet file (:func:`diag.sources.parquet.open_table`).
    Raises SubjectError for anything but embeddings.
    """
    index, columns = columns_of(table, name)
    names = list(columns)
    choice = choice_of(names, supplied, name, index.names)
    arrays: dict[str, NDArray[Any]] = {}
    for label in labelling(choice, index, names):
        values = native(columns[label], name, f"column {shown(label)!r}", "numbers, words or dates")
        if values.dtype.kind in "iufbUMm" or label not in choice.order or label in choice.key:
            arrays[label] = values
    if RETURNS in columns:
        arrays[RETURNS] = _returns(columns[RETURNS], name)
    if choice.embedding:
        arrays[KEY] = _embeddings(columns, choice, name)
    elif RETURNS not in columns:
        columns_left = f"no column but {listed(choice.left_out) or '(none)'}"
        raise SubjectError(name, columns_left, f"{EXPECTED}; {OVERRIDE}")
    digest = hashlib.sha256("\n".join(choice.embedding).encode())
    for values in arrays.values():
        digest.update(np.ascontiguousarray(values).tobytes())
    return table_subject(arrays, choice, index, name, digest.hexdigest(), supplied)


def columns_of(table: Any, name: str) -> tuple[Index, Mapping[str, Any]]:
    """The index of a table, and its columns by name, those of the index among them."""
    if hasattr(table, "to_arrow"):  # Polars
        table = table.to_arrow()
    if hasattr(table, "column_names"):  # Arrow
        _check_names(table.column_names, name)
        return Index.of(table.schema), {n: _arrow(table, n) for n in table.column_names}
    _check_names([str(label) for label in table.columns], name)
    own = {str(label): table[label] for label in table.columns}
    index = table.index
    if type(index).__name__ == "RangeIndex":
        given = None if index.name is None else str(index.name)
        return Index((), (index.start, index.stop, index.step), given), own
    levels = {
        str(f"__index_level_{i}__" if label is None else label): index.get_level_values(i)
        for i, label in enumerate(index.names)
    }
    _check_names([*own, *levels], name)
    return Index(tuple(levels)), {**own, **levels}


def _check_names(names: Sequence[str], path: str) -> None:
    if len(set(names)) < len(names):
        raise SubjectError(path, "several columns of one name", EXPECTED)


def _arrow(table: Any, name: str) -> Any:
    column = table.column(name)
    if column.null_count and name in (EPISODES, *Index.of(table.schema).names):
        return np.asarray(column.to_pylist(), dtype=object)
    return column.to_numpy()


def _embeddings(columns: Mapping[str, Any], choice: Choice, path: str) -> NDArray[Any]:
    """Embeddings (n, d) from several columns of numbers, or (n, ...) from one column of lists."""
    if len(choice.embedding) == 1 and native(columns[choice.embedding[0]], path, "", "").dtype.kind == "O":
        (name,) = choice.embedding
        try:
            rows = np.stack([np.stack(row) if _is_nested(row) else np.asarray(row) for row in columns[name]])
        except (TypeError, ValueError):
            unequal = f"column {shown(name)!r} of unequal or missing lists"
            raise SubjectError(path, unequal, "lists of equal length") from None
        return real_numbers(rows, path, f"column {shown(name)!r}", EXPECTED)
    if choice.embedding == (KEY,):
        return real_numbers(columns[KEY], path, "values", NUMBERS)
    parts = []
    for name in choice.embedding:
        column = native(columns[name], path, f"column {shown(name)!r}", EXPECTED)
        if column.dtype.kind not in "fiub":
            kind = described(column, f"column {shown(name)!r}")
            raise SubjectError(path, kind, f"{EXPECTED}; {OVERRIDE}")
        parts.append(column)
    return np.stack(parts, 1)


def _is_nested(row: Any) -> bool:
    """Whether a row is a list of lists, which numpy holds as an array of arrays."""
    return getattr(row, "dtype", None) == np.dtype(object) and len(row) > 0


def _returns(values: Any, path: str) -> NDArray[Any]:
    numbers = real_numbers(values, path, RETURNS, "numbers, the return of each episode")
    return numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers
