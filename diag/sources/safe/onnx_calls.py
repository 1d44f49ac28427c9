"""Count the operations of an ONNX file with its functions expanded where they are called.

A file may define functions of its own, which onnxruntime puts in the place of each call before it runs
anything: forty that each call the next one twice stand for a million million operations, and three thousand
that call the next one once for a stack that no process has. So the calls are added up first, read from the
file's own bytes (protobuf, by the numbers of ``onnx.proto3``).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

MOST_OPERATIONS = 2**15
"""Most operations of a program: the largest in use have some ten thousand; these take onnxruntime seconds."""

MOST_DEPTH = 64
"""Most levels of nested functions or branches."""

Span: TypeAlias = tuple[int, int]
"""A range of bytes in the file: its start and its end."""

Name: TypeAlias = tuple[bytes, bytes]
"""Name of a function: its domain, and its own."""

Calls: TypeAlias = dict[Name, int]
"""{type of operation: its number in a graph or a function, branches included}."""

MODEL_GRAPH, MODEL_FUNCTION, GRAPH_NODE, FUNCTION_NAME, FUNCTION_NODE, FUNCTION_DOMAIN = 7, 25, 1, 1, 7, 10
NODE_TYPE, NODE_ATTRIBUTE, NODE_DOMAIN, ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS = 4, 5, 7, 6, 11
"""Numbers of fields in onnx.proto3."""


class TooManyError(ValueError):
    """A program of too many operations, or too deep; its words say which."""


def check_calls(path: str) -> frozenset[str]:
    """The types of an ONNX file's operations, such as ``Dropout``, once their number is known to be bounded.

    Raises TooManyError for a program beyond the bounds, ValueError or IndexError for no protobuf, OSError
    where it cannot be read.
    """
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        main, functions = Calls(), dict[Name, Calls]()
        for number, span in _fields(data, (0, len(data))):
            if number == MODEL_GRAPH:
                _count(data, span, GRAPH_NODE, main, 0)
            elif number == MODEL_FUNCTION:
                name = _domain(data, span, FUNCTION_DOMAIN), _text(data, span, FUNCTION_NAME)
                _count(data, span, FUNCTION_NODE, functions.setdefault(name, {}), 0)
        _size(main, functions, {}, 0)
    types = {name for calls in (main, *functions.values()) for _, name in calls}
    return frozenset(name.decode(errors="replace") for name in types)


def _count(data: mmap.mmap, span: Span, node_field: int, calls: Calls, depth: int) -> None:
    """Add the operations in a range of the file to those of a graph."""
    if depth > MOST_DEPTH:
        raise TooManyError(f"branches more than {MOST_DEPTH} deep")
    for number, node in _fields(data, span):
        if number != node_field:
            continue
        name = _domain(data, node, NODE_DOMAIN), _text(data, node, NODE_TYPE)
        calls[name] = calls.get(name, 0) + 1
        if calls[name] > MOST_OPERATIONS:
            raise TooManyError(f"more than {MOST_OPERATIONS} operations")
        for inner, attribute in _fields(data, node):
            if inner == NODE_ATTRIBUTE:
                for part, graph in _fields(data, attribute):
                    if part in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                        _count(data, graph, GRAPH_NODE, calls, depth + 1)


def _size(calls: Calls, functions: Mapping[Name, Calls], known: dict[Name, int], depth: int) -> int:
    """Number of operations, with those of the functions that they call."""
    if depth > MOST_DEPTH:
        raise TooManyError(f"functions more than {MOST_DEPTH} deep")
    size = 0
    for name, times in calls.items():
        if name in functions and name not in known:
            known[name] = _size(functions[name], functions, known, depth + 1)
        size += times * known.get(name, 1)
    if size > MOST_OPERATIONS:
        raise TooManyError(f"more than {MOST_OPERATIONS} operations")
    return max(1, size)


def _domain(data: mmap.mmap, span: Span, wanted: int) -> bytes:
    domain = _text(data, span, wanted)
    return b"" if domain == b"ai.onnx" else domain  # the default domain by its long name


def _text(data: mmap.mmap, span: Span, wanted: int) -> bytes:
    """A text field of a message; the last one where it is repeated."""
    text = b""
    for number, (start, end) in _fields(data, span):
        if number == wanted:
            text = data[start:end]
    return text


def _fields(data: mmap.mmap, span: Span) -> Iterator[tuple[int, Span]]:
    """The fields of a message that have a length, with the range of their content."""
    at, end = span
    while at < end:
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                _, at = _varint(data, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(data, at)
                if at + length > end:
                    raise ValueError("a field beyond its message")
                yield tag >> 3, (at, at + length)
                at += length
            case 5:
                at += 4
            case other:
                raise ValueError(f"a field of wire type {other}")


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError("a number without end")
