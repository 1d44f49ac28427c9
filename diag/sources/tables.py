"""A table's columns and index, of a file or in memory -> a Subject, by one set of rules."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.arrays import checked_keys, returns_alone, returns_of, subject_of
from diag.sources.naming import EPISODES, KEY, RETURNS, Choice
from diag.sources.supplied import Supplied
from diag.subject import Subject, Taken

if TYPE_CHECKING:
    import pyarrow as pa

EXPECTED = (
    f"columns of numbers, one a dimension, or a column {KEY!r} of lists of equal length; "
    f"perhaps {EPISODES!r} and {RETURNS!r} beside them"
)


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
