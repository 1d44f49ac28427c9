"""Parquet files -> embeddings, episodes and returns, read batch by batch into arrays of known size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.arrays import EPISODES, KEY, RETURNS, ready
from diag.sources.bounds import check_readable, check_unpacked, line, shown
from diag.sources.opening import Opening
from diag.sources.parquet_pages import Declared, declared
from diag.subject import Subject, SubjectError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_BYTES = 2**24
"""What is unpacked at a time, beside the arrays that it goes to."""

MOST_NUMBER_BYTES = 8
"""Of a number, whatever its type."""

EXPECTED = (
    f"columns of numbers, one a dimension, or a column {KEY!r} of lists of equal length; "
    f"perhaps {EPISODES!r} and {RETURNS!r} beside them"
)


DAMAGED = (OSError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError)
"""What reading raises where a file is not what it says, beside errors of pyarrow's own."""


def open_table(opening: Opening) -> Subject:
    """The embeddings in a Parquet file; raises SubjectError for anything else.

    Every column of numbers is a dimension, in their order, unless one is called ``embeddings``: then its
    lists, nested or not, are the embeddings. ``episodes`` names each row's episode, and the values of
    ``returns`` that are there are returns of episodes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_readable(opening.path)
    try:
        with pq.ParquetFile(opening.path) as file:
            words = EPISODES in file.schema_arrow.names and _are_words(file.schema_arrow.field(EPISODES).type)
        # As a dictionary, so that a long word in a million rows is held once until its length is known.
        with pq.ParquetFile(opening.path, read_dictionary=[EPISODES] if words else None) as file:
            arrays = _arrays(file, declared(opening.path), opening.path)
    except SubjectError:
        raise
    except (*DAMAGED, pa.ArrowException) as error:
        raise SubjectError(opening.path, f"no whole Parquet file ({line(error)})", EXPECTED) from None
    return ready(arrays, opening.path, opening.sha256)


def _arrays(file: pq.ParquetFile, held: Mapping[str, Declared], path: str) -> dict[str, NDArray[Any]]:
    schema = file.schema_arrow
    if len(set(schema.names)) < len(schema.names):
        raise SubjectError(path, "several columns of one name", EXPECTED)
    index = _pandas_index(schema)
    names = [name for name in schema.names if name not in index]
    columns = [KEY] if KEY in names else [name for name in names if name not in (EPISODES, RETURNS)]
    beside = [name for name in (EPISODES, RETURNS) if name in names]
    whole = sum((held.get(name, Declared()) for name in (*columns, *beside)), Declared())
    if whole.prefixed:
        raise SubjectError(path, "words in an encoding that unpacks without bound", "another encoding")
    packed = Path(path).stat().st_size
    check_unpacked(path, max(whole.size, MOST_NUMBER_BYTES * whole.numbers), packed)
    arrays = {}
    if EPISODES in names:
        arrays[EPISODES] = _labels(file, packed, path)
    if RETURNS in names:
        arrays[RETURNS] = _column(file, RETURNS).drop_null().to_numpy(zero_copy_only=False)
    if columns or RETURNS not in names:
        values = sum(held.get(name, Declared()).numbers for name in columns)
        arrays[KEY] = _embeddings(file, columns, values, path)
    return arrays


def _embeddings(file: pq.ParquetFile, columns: list[str], values: int, path: str) -> NDArray[Any]:
    """Of one column of lists, or of several columns of numbers; so many values in all, at most."""
    rows = file.metadata.num_rows
    if not rows or not values:
        raise SubjectError(path, f"{rows} rows of {len(columns)} columns", EXPECTED)
    types = [file.schema_arrow.field(name).type for name in columns]
    if columns == [KEY]:
        types = [_number_type(types[0])]
    for name, kind in zip(columns, types, strict=True):
        if not _is_number(kind):
            raise SubjectError(path, f"column {shown(name)!r} of {line(str(kind))}", EXPECTED)
    dtype = np.result_type(*(t.to_pandas_dtype() for t in types))
    found: NDArray[Any] | None = None
    done = 0
    batch_rows = max(1, BATCH_BYTES // max(1, values * dtype.itemsize // rows))
    for batch in file.iter_batches(batch_size=batch_rows, columns=columns, use_threads=False):
        parts = [_numbers(batch.column(name), name, path) for name in columns]
        part = parts[0] if columns == [KEY] else np.stack(parts, 1)
        if found is None:
            if rows * math.prod(part.shape[1:]) > values:
                raise SubjectError(path, f"{rows} rows of {values} numbers in all", EXPECTED)
            found = np.empty((rows, *part.shape[1:]), dtype)
        if part.shape[1:] != found.shape[1:] or done + len(part) > rows:
            raise SubjectError(path, f"rows of shape {part.shape[1:]} beside {found.shape[1:]}", EXPECTED)
        found[done : done + len(part)] = part
        done += len(part)
    if found is None or done < rows:
        raise SubjectError(path, f"{done} of {rows} rows", "a whole Parquet file")
    return found


def _numbers(column: pa.Array, name: str, path: str) -> NDArray[Any]:
    """(rows, ...) of a column of numbers, or of lists of them, in which nothing is missing."""
    import pyarrow as pa

    shape = [len(column)]
    if isinstance(column, pa.FixedShapeTensorArray):
        return np.asarray(column.to_numpy_ndarray())
    while _is_list(column.type):
        if column.null_count:
            raise SubjectError(path, f"a missing row in column {shown(name)!r}", "a list in each row")
        if pa.types.is_fixed_size_list(column.type):
            shape.append(column.type.list_size)
        else:
            lengths = np.unique(column.value_lengths().to_numpy(zero_copy_only=False))
            if len(lengths) > 1:
                found = f"lists of {lengths[0]} to {lengths[-1]} in column {shown(name)!r}"
                raise SubjectError(path, found, "lists of equal length")
            shape.append(int(lengths[0]) if len(lengths) else 0)
        column = column.flatten()
    # Where a fraction is missing, it is NaN, as everywhere.
    if column.null_count and not pa.types.is_floating(column.type):
        raise SubjectError(path, f"a missing number in column {shown(name)!r}", "a number in each row")
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(shape)


def _labels(file: pq.ParquetFile, packed: int, path: str) -> NDArray[Any]:
    """(n,) whole numbers or words, each row's episode."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _column(file, EPISODES)
    if column.null_count:
        raise SubjectError(path, f"rows without one of the {EPISODES}", "one for each row")
    if not pa.types.is_dictionary(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    words = column.dictionary
    if not _are_words(words.type):
        return np.asarray(column.cast(words.type).to_numpy(zero_copy_only=False))
    check_unpacked(path, 4 * (pc.max(pc.utf8_length(words)).as_py() or 1) * len(column), packed)
    labels: NDArray[Any] = np.asarray(words.to_pylist(), dtype=np.str_)
    return np.asarray(labels[column.indices.to_numpy(zero_copy_only=False)])


def _column(file: pq.ParquetFile, name: str) -> Any:
    return file.read(columns=[name], use_threads=False).unify_dictionaries().column(0).combine_chunks()


def _number_type(kind: pa.DataType) -> pa.DataType:
    """The type of the numbers in lists, nested or not."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    while _is_list(kind):
        kind = kind.value_type
    return kind


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _are_words(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _pandas_index(schema: pa.Schema) -> set[str]:
    """The columns that pandas wrote of a table's index, which are no dimensions."""
    try:
        index = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()
    return {name for name in index if isinstance(name, str)} if isinstance(index, list) else set()
