"""Read the sizes that a Parquet file's pages declare, before any of them is unpacked.

A page of forty bytes can stand for a billion numbers. How many it stands for is in its header, and the
headers follow one another, each with its page's length: they are walked here, in Thrift's compact protocol,
for sums that can be held against a bound. (The Parquet format, ``parquet.thrift``.)
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Struct: TypeAlias = "Mapping[int, Any]"
"""A Thrift struct: values by field number."""

MOST_DEPTH = 12
"""Most levels of nested structs and lists: the format has six."""

SLACK = 100
"""Bytes after a column that readers look into for the end of its last page, which some writers left out."""

PREFIXED = 7
"""The encoding of words by their common prefix with the word before: a million may share a million
letters."""

DATA, DATA_V2 = 5, 8
"""Numbers of the fields of a page's header that describe a page of data."""


@dataclass(frozen=True)
class Declared:
    """The contents of a column as its pages declare them."""

    numbers: int = 0
    """Number of values, each element of a list counted."""
    size: int = 0
    """Bytes of all pages when unpacked."""
    prefixed: bool = False
    """Whether words stand in the encoding :data:`PREFIXED`, whose unpacked size has no bound."""

    def __add__(self, other: Declared) -> Declared:
        return Declared(self.numbers + other.numbers, self.size + other.size, self.prefixed or other.prefixed)


def declared(path: str) -> dict[str, Declared]:
    """The declared contents of every column of a Parquet file, by its name in the schema.

    Raises ValueError, IndexError, KeyError or TypeError for files that are damaged, OSError where it cannot
    be read.
    """
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        footer = int.from_bytes(data[-8:-4], "little")
        if data[-4:] != b"PAR1" or footer + 12 > len(data):
            raise ValueError("no footer")
        columns: dict[str, Declared] = {}
        for group in _Reader(data, len(data) - 8 - footer).struct()[4]:
            for column in group[1]:
                about = column[3]
                name = about[3][0].decode()
                columns[name] = sum(_pages(data, about), columns.get(name, Declared()))
        return columns


def _pages(data: mmap.mmap, about: Struct) -> Iterator[Declared]:
    """The declared contents of each page of a column in one row group; ``about`` is the column's metadata."""
    if not about[5]:  # readers read no page of a column without values
        return
    start = min(at for at in (about[9], about.get(11, 0) or about[9]))
    end = start + about[7]
    if not 0 < start <= end <= len(data):
        raise ValueError("a column outside of the file")
    at = start
    while at < min(end + SLACK, len(data)):
        try:
            reader = _Reader(data, at)
            header = reader.struct()
            packed, size = header[3], header[2]
            if packed < 0 or size < 0:
                raise ValueError("a page of negative size")
        except (ValueError, IndexError, KeyError, TypeError):
            if at >= end:  # bytes behind the column need not be a page
                return
            raise
        held = header.get(DATA) or header.get(DATA_V2) or {}
        encoding = held.get(2 if DATA in header else 4)
        yield Declared(max(held.get(1, 0), 0), size, encoding == PREFIXED)
        at = reader.at + packed


class _Reader:
    """Reader of Thrift's compact protocol from a position in the data."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self.data, self.at = data, at

    def struct(self, depth: int = 0) -> Struct:
        fields: dict[int, Any] = {}
        field = 0
        while kind := self._byte():
            field = field + (kind >> 4) if kind >> 4 else self._whole()
            # A truth value is in the type itself.
            fields[field] = kind & 15 == 1 if kind & 15 in (1, 2) else self._value(kind & 15, depth + 1)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > MOST_DEPTH:
            raise ValueError("structs too deep in each other")
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._whole()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._varint())
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15, depth + 1) for _ in range(count)]
        if kind == 12:
            return self.struct(depth)
        raise ValueError(f"a value of type {kind}")  # such as maps, which the format does not use

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self.data):
            raise ValueError("words beyond the end")
        return self.data[self.at - count : self.at]

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number without end")

    def _whole(self) -> int:
        zigzag = self._varint()
        return (zigzag >> 1) ^ -(zigzag & 1)
