"""Parquet files -> embeddings, episodes and returns, read batch by batch into arrays of known size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.arrays import checked_keys, returns_alone, returns_of, subject_of
from diag.sources.naming import EPISODES, KEY, OVERRIDE, RETURNS, Choice, choice_of
from diag.sources.opening import Opening
from diag.sources.safe.bounds import check_readable, check_unpacked, line, listed, shown
from diag.sources.safe.parquet_pages import Declared, declared
from diag.sources.supplied import Supplied
from diag.subject import Subject, SubjectError, Taken

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_BYTES = 2**24
"""Most bytes that are unpacked at a time, beside the arrays that they go to."""

MOST_NUMBER_BYTES = 8
"""Most bytes of a number, whatever its type."""

EXPECTED = (
    f"columns of numbers, one a dimension, or a column {KEY!r} of lists of equal length; "
    f"perhaps {EPISODES!r} and {RETURNS!r} beside them"
)


DAMAGED = (OSError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError)
"""Exceptions from reading a damaged file, beside pyarrow's own."""


def open_table(opening: Opening) -> Subject:
    """The embeddings in a Parquet file; raises SubjectError for anything else.

    Every column of numbers is a dimension, unless its name says that it counts or labels rows
    (:mod:`diag.sources.naming`) or one is called ``embeddings``: then its lists, nested or not, are the
    embeddings. ``supplied.columns`` names others. ``episodes`` names each row's episode, and the values of
    ``returns`` that are there are returns of episodes. Rows are told apart by the columns of
    ``supplied.key``, or by the index that pandas stored.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_readable(opening.path)
    try:
        with pq.ParquetFile(opening.path) as file:
            schema = file.schema_arrow
            if len(set(schema.names)) < len(schema.names):
                raise SubjectError(opening.path, "several columns of one name", EXPECTED)
            index = Index.of(schema)
            choice = choice_of(schema.names, opening.supplied, opening.path, index.names)
            labels = labelling(choice, index, schema.names)
            words = [name for name in labels if _are_words(schema.field(name).type)]
        # As a dictionary, so that a long word in a million rows is held once until its length is known.
        with pq.ParquetFile(opening.path, read_dictionary=words or None) as file:
            arrays = _arrays(file, choice, labels, declared(opening.path), opening.path)
    except SubjectError:
        raise
    except (*DAMAGED, pa.ArrowException) as error:
        raise SubjectError(opening.path, f"no whole Parquet file ({line(error)})", EXPECTED) from None
    return table_subject(arrays, choice, index, opening.path, opening.sha256, opening.supplied)


@dataclass(frozen=True)
class Index:
    """A table's index as pandas stores it: columns that hold it, or a range of numbers."""

    columns: tuple[str, ...] = ()
    range: tuple[int, int, int] | None = None
    """Start, stop and step of an index that no column holds."""
    range_name: str | None = None

    @classmethod
    def of(cls, schema: pa.Schema) -> Index:
        """The index of a table that pandas wrote; an empty one where its schema says nothing sensible."""
        try:
            parts = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls()
        if not isinstance(parts, list):
            return cls()
        columns = tuple(dict.fromkeys(p for p in parts if isinstance(p, str) and p in schema.names))
        if columns or len(parts) != 1 or not isinstance(parts[0], dict):
            return cls(columns)
        said = [parts[0].get(part) for part in ("start", "stop", "step")]
        bounds = [b for b in said if isinstance(b, int) and abs(b) < 2**62]
        name = parts[0].get("name")
        if len(bounds) < len(said) or not bounds[2]:
            return cls()
        return cls((), (bounds[0], bounds[1], bounds[2]), name if isinstance(name, str) else None)

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which ``--key`` may name the index."""
        return (*self.columns, *([] if self.range_name is None else [self.range_name]))

    def range_of(self, rows: int) -> NDArray[np.int64] | None:
        """The index's range (rows,); None where it has none of this length."""
        if self.range is None or len(range(*self.range)) != rows:
            return None
        return np.arange(*self.range, dtype=np.int64)


def labelling(choice: Choice, index: Index, names: Sequence[str]) -> tuple[str, ...]:
    """The columns that are read beside the embedding: the key, or the index, the order and the episodes."""
    key = choice.key or index.columns
    own = [EPISODES] if EPISODES in names else []
    return tuple(dict.fromkeys(name for name in (*own, *key, *choice.order) if name in names))


def table_subject(
    arrays: Mapping[str, NDArray[Any]],
    choice: Choice,
    index: Index,
    path: str,
    sha256: str,
    supplied: Supplied,
) -> Subject:
    """The subject of a table's columns: :data:`KEY`, put together, and those of :func:`labelling` by name."""
    returns = returns_of(arrays[RETURNS], path) if RETURNS in arrays else None
    if KEY not in arrays:
        assert returns is not None
        return returns_alone(returns, path, sha256)
    rows = len(arrays[KEY])
    numbered = index.range_of(rows)
    key = {name: arrays[name] for name in choice.key or index.columns if name in arrays}
    if numbered is not None and (index.range_name in choice.key or not (choice.key or index.columns)):
        key[index.range_name or "index"] = numbered
    taken = Taken(
        choice.embedding,
        choice.embedding != (KEY,) and arrays[KEY].shape[1:] == (len(choice.embedding),),
        choice.left_out,
        choice.chosen,
        ", ".join(choice.key) if choice.key else "the stored index" if key else "",
        checked_keys(key, rows, path),
        asked=bool(choice.key),
        common=supplied.common_rows,
        order={name: arrays[name] for name in choice.order if name in arrays},
    )
    return subject_of(arrays[KEY], path, sha256, arrays.get(EPISODES), returns, taken)


def _arrays(
    file: pq.ParquetFile, choice: Choice, labels: Sequence[str], held: Mapping[str, Declared], path: str
) -> dict[str, NDArray[Any]]:
    names, columns = file.schema_arrow.names, list(choice.embedding)
    beside = [*labels, *([RETURNS] if RETURNS in names else [])]
    whole = sum((held.get(name, Declared()) for name in (*columns, *beside)), Declared())
    if whole.prefixed:
        raise SubjectError(path, "words in an encoding that unpacks without bound", "another encoding")
    packed = Path(path).stat().st_size
    check_unpacked(path, max(whole.size, MOST_NUMBER_BYTES * whole.numbers), packed)
    arrays = {}
    for name in labels:
        # Columns that only say the order serve as a check, unless they are incomplete or of another type.
        if name not in choice.order or name in choice.key or _says_all(file, name):
            arrays[name] = _labels(file, name, packed, path)
    if RETURNS in names:
        arrays[RETURNS] = _column(file, RETURNS).drop_null().to_numpy(zero_copy_only=False)
    if not columns and choice.left_out and RETURNS not in names:
        raise SubjectError(path, f"no column but {listed(choice.left_out)}", f"{EXPECTED}; {OVERRIDE}")
    if columns or RETURNS not in names:
        values = sum(held.get(name, Declared()).numbers for name in columns)
        arrays[KEY] = _embeddings(file, columns, values, path)
    return arrays


def _embeddings(file: pq.ParquetFile, columns: list[str], values: int, path: str) -> NDArray[Any]:
    """Embeddings from one column of lists or several of numbers, at most ``values`` numbers."""
    rows = file.metadata.num_rows
    if not rows or not values:
        raise SubjectError(path, f"{rows} rows of {len(columns)} columns", EXPECTED)
    types = [file.schema_arrow.field(name).type for name in columns]
    alone = columns == [KEY] or (len(columns) == 1 and _holds_lists(types[0]))
    if alone:
        types = [_number_type(types[0])]
    for name, kind in zip(columns, types, strict=True):
        if not _is_number(kind):
            words = f"column {shown(name)!r} of {line(str(kind))}"
            raise SubjectError(path, words, f"{EXPECTED}; {OVERRIDE}")
    dtype = np.result_type(*(t.to_pandas_dtype() for t in types))
    embeddings: NDArray[Any] | None = None
    done = 0
    batch_rows = max(1, BATCH_BYTES // max(1, values * dtype.itemsize // rows))
    for batch in file.iter_batches(batch_size=batch_rows, columns=columns, use_threads=False):
        parts = [_numbers(batch.column(name), name, path) for name in columns]
        part = parts[0] if alone else np.stack(parts, 1)
        if embeddings is None:
            if rows * math.prod(part.shape[1:]) > values:
                raise SubjectError(path, f"{rows} rows of {values} numbers in all", EXPECTED)
            embeddings = np.empty((rows, *part.shape[1:]), dtype)
        if part.shape[1:] != embeddings.shape[1:] or done + len(part) > rows:
            raise SubjectError(
                path, f"rows of shape {part.shape[1:]} beside {embeddings.shape[1:]}", EXPECTED
            )
        embeddings[done : done + len(part)] = part
        done += len(part)
    if embeddings is None or done < rows:
        raise SubjectError(path, f"{done} of {rows} rows", "a whole Parquet file")
    return embeddings


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
                unequal = f"lists of {lengths[0]} to {lengths[-1]} in column {shown(name)!r}"
                raise SubjectError(path, unequal, "lists of equal length")
            shape.append(int(lengths[0]) if len(lengths) else 0)
        column = column.flatten()
    # Where a fraction is missing, it is NaN, as everywhere.
    if column.null_count and not pa.types.is_floating(column.type):
        raise SubjectError(path, f"a missing number in column {shown(name)!r}", "a number in each row")
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(shape)


def _labels(file: pq.ParquetFile, name: str, packed: int, path: str) -> NDArray[Any]:
    """A column (n,) that labels rows: whole numbers or words; in a key also other numbers and dates."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _column(file, name)
    if column.null_count:
        raise SubjectError(path, f"rows without one of the {shown(name)}", "one for each row")
    if not pa.types.is_dictionary(column.type):
        if not _can_label(column.type):
            kind = f"column {shown(name)!r} of {line(str(column.type))}"
            raise SubjectError(path, kind, "numbers, words or dates, to tell rows apart by")
        return np.asarray(column.to_numpy(zero_copy_only=False))
    words = column.dictionary
    if not _are_words(words.type):
        return np.asarray(column.cast(words.type).to_numpy(zero_copy_only=False))
    check_unpacked(path, 4 * (pc.max(pc.utf8_length(words)).as_py() or 1) * len(column), packed)
    labels: NDArray[Any] = np.asarray(words.to_pylist(), dtype=np.str_)
    return np.asarray(labels[column.indices.to_numpy(zero_copy_only=False)])


def _says_all(file: pq.ParquetFile, name: str) -> bool:
    return _can_label(file.schema_arrow.field(name).type) and not _column(file, name).null_count


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


def _holds_lists(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return _is_list(kind) or isinstance(kind, pa.BaseExtensionType)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _are_words(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _can_label(kind: pa.DataType) -> bool:
    import pyarrow as pa

    dates = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    return bool(_is_number(kind) or _are_words(kind) or dates or pa.types.is_dictionary(kind))
