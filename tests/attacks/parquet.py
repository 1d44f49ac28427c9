"""Parquet tables of odd types, and footers that lie."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.attacks.attack import Attack, Seeds
from tests.attacks.trees import WORDS, deep


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def _whole(field: int, before: int, value: int, kind: int = 5) -> bytes:
    """A number of Thrift's compact protocol, after the field ``before``."""
    return bytes([(field - before) << 4 | kind]) + _varint((value << 1) ^ (value >> 63))


def _list(field: int, before: int, count: int, content: bytes) -> bytes:
    """A list of structs that says that it has so many."""
    return bytes([(field - before) << 4 | 9, 15 << 4 | 12]) + _varint(count) + content


def _element(name: bytes, children: int | None = None) -> bytes:
    """A part of a schema: a column, or a group of so many."""
    kind = b"" if children is not None else _whole(1, 0, 5)
    start = kind + _whole(3, 1 if kind else 0, 0) + b"\x18" + _varint(len(name)) + name
    return start + (b"" if children is None else _whole(5, 4, children)) + b"\0"


def _file(elements: list[bytes], rows: int = 0, count: int | None = None, groups: int = 0) -> bytes:
    """A table without data: a footer with a schema of these elements."""
    schema = _list(2, 1, len(elements) if count is None else count, b"".join(elements))
    footer = _whole(1, 0, 1) + schema + _whole(3, 2, rows, 6) + _list(4, 3, groups, b"") + b"\0"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


COLUMN = _element(b"a")

FOOTERS = (
    _file([_element(b"schema", 1), COLUMN]),
    _file([_element(b"schema", 1), COLUMN], rows=2**62),
    _file([_element(b"schema", 1), COLUMN], rows=-1),
    _file([_element(b"schema", 1), COLUMN], count=2**31 - 1),
    _file([_element(b"schema", 1), COLUMN], groups=2**31 - 1),
    *(_file([_element(b"schema", count), COLUMN]) for count in (0, 2, -1, 2**31 - 1)),
    *(_file([_element(b"schema", 1), *[_element(b"g", 1)] * depth, COLUMN]) for depth in (50, 110, 100_000)),
    *(_file([_element(b"schema", count), *[COLUMN] * count]) for count in (2, 50_000)),
    _file([_element(b"schema", 1), _element(b"\x1b[2J\0\xff")]),
    _file([_element(b"schema", 1), _element(b"x" * 1_000_000)]),
    _file([]),
    _file([COLUMN]),
    b"PAR1" + struct.pack("<I", 2**32 - 1) + b"PAR1",
    b"PAR1" + struct.pack("<I", 0) + b"PAR1",
    b"PAR1PAR1",
    b"PARE" + struct.pack("<I", 0) + b"PARE",
)
"""Whole files that say more than they have, or nest too deep."""


def _tables() -> tuple[Callable[[Random], Any], ...]:
    """Arrow tables of every odd kind."""
    import pyarrow as pa

    n = 30
    numbers = pa.array(np.arange(90.0))

    def nested(rng: Random) -> Any:
        column = pa.array(np.zeros(1))
        for _ in range(rng.choice((5, 40, 99))):
            column = pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column)
        return {"embeddings": column}

    def listed(rng: Random) -> Any:
        offsets = sorted(rng.randrange(91) for _ in range(n - 1))
        return {"embeddings": pa.ListArray.from_arrays(pa.array([0, *offsets, 90], pa.int32()), numbers)}

    kinds = (
        *(pa.string(), pa.large_string(), pa.binary(), pa.decimal128(20, 3), pa.timestamp("ns"), pa.date32()),
        *(pa.float16(), pa.uint64(), pa.int8(), pa.bool_(), pa.null(), pa.duration("s"), pa.time64("us")),
    )
    return (
        nested,
        listed,
        lambda rng: {"a": pa.nulls(n, rng.choice(kinds)), "b": np.zeros(n)},
        lambda rng: {rng.choice(WORDS): np.arange(n), "b": pa.nulls(n, rng.choice(kinds))},
        lambda rng: {"embeddings": pa.nulls(n, rng.choice(kinds))},
        lambda rng: {"returns": [rng.choice((None, 1.0, float("nan"))) for _ in range(n)]},
        lambda rng: {"episodes": [rng.choice(("a", None, *WORDS)) for _ in range(n)], "a": np.zeros(n)},
        lambda rng: {
            "episodes": pa.array([rng.choice(WORDS[:8]) for _ in range(n)]).dictionary_encode(),
            "a": np.ones(n),
        },
        lambda rng: {"a": pa.array([{"x": {"y": [1]}}] * n), "b": np.zeros(n)},
        lambda rng: {"a": pa.array([[("k", 1)]] * n, pa.map_(pa.string(), pa.int64()))},
        lambda rng: {str(i): np.zeros(1) for i in range(rng.choice((0, 1, 2000)))},
        lambda rng: {"a": np.zeros(rng.choice((0, 1, 2)))},
        lambda rng: {"a": pa.array(np.zeros(4 * 10**7, np.int8))},
        lambda rng: {"embeddings": pa.nulls(n, pa.list_(pa.float64(), rng.choice((0, 1, 10**6))))},
        lambda rng: {
            "embeddings": pa.ListArray.from_arrays(
                pa.array([0, 4 * 10**7], pa.int32()), pa.array(np.zeros(4 * 10**7, np.int8))
            )
        },
        lambda rng: {"embeddings": [[float("inf")] * 3, [float("nan")] * 3, [1e308] * 3] * 10},
    )


PANDAS = (
    b"",
    b"{",
    b"[]",
    b'{"index_columns": 3}',
    b'{"index_columns": [{"a": 1}]}',
    b'{"index_columns": ["a", "b"]}',
    deep("[", "]", 100_000).encode(),
    b'{"index_columns": [' + b'"a",' * 100_000 + b'"a"]}',
    b"\xff\xfe",
)


def tables(rng: Random, seeds: Seeds, number: int) -> Attack:
    """Parquet of other types and shapes, with lying metadata, or with numbers of its footer overwritten."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if number < len(FOOTERS):
        return Attack("a.parquet", FOOTERS[number])
    number -= len(FOOTERS)
    name = rng.choice(("columns.parquet", "lists.parquet", "frame.parquet", "grid.parquet"))
    if number % 2:
        content = bytearray(seeds[name])
        footer = int.from_bytes(content[-8:-4], "little")
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = len(content) - 1 - rng.randrange(min(footer + 8, len(content)))
            if rng.random() < 0.6:
                content[at] = rng.choice((0, 1, 0x15, 0x19, 0x7F, 0x80, 0xFF, content[at] ^ 1))
            else:  # a varint without end, or an enormous one
                content[at : at + 5] = rng.choice(
                    (b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x80" * 12)
                )
        return Attack(name, bytes(content))
    makers = _tables()
    maker = makers[number // 2] if number // 2 < len(makers) else rng.choice(makers)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a.parquet"
        table = pa.table(maker(rng))
        if rng.random() < 0.2:
            table = table.replace_schema_metadata({b"pandas": rng.choice(PANDAS), b"\xff": b"\0"})
        packing = rng.choice(("zstd", "snappy", "gzip", "none", "brotli", "lz4"))
        pq.write_table(table, place, compression=packing, use_dictionary=rng.random() < 0.5)
        return Attack("a.parquet", place.read_bytes())
