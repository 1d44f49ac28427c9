"""Follow a pickle of ``torch.save`` symbolically, without executing any of it.

Its operations are those of a machine with a stack. Here the stack holds what kind of thing would stand there,
so that everything which no state dict needs can be refused before any of it is done: calls of anything but
tensors, storages and mappings; tuples as keys, which are hashed part by part though a tuple may hold another
twice that holds another twice; and lists where a library would write out what it found instead of a number.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Part: TypeAlias = "tuple[str, tuple[Part, ...]]"
"""A symbolic value on the stack: its kind, and for a tuple its elements."""

MAPPING, SIZE = "collections OrderedDict", "torch Size"

CALLED = re.compile(
    rf"{MAPPING}|torch\._utils _rebuild_(tensor_v2|parameter)|torch [A-Z][A-Za-z0-9]*Storage|{SIZE}"
)
"""Everything that the pickle of a state dict may call: its mapping, its tensors and the types of their
numbers."""

PLAIN: Mapping[str, str] = {
    **dict.fromkeys(("NONE", "NEWTRUE", "NEWFALSE"), "truth"),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), "number"),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINSTRING"), "word"),
    **{f"EMPTY_{kind.upper()}": kind for kind in ("list", "dict", "set", "tuple")},
    "MARK": "mark",
}
"""{operation: the kind of value that it pushes on the stack, doing nothing else}."""

KEYS = ("word", "number", "truth")

STORED = ("word", "call", "word", "word", "number")
"""Kinds in the reference to a stored tensor, ``("storage", type, name, device, numbers)``."""


class UnusualError(ValueError):
    """A pickle that does what no state dict needs; its words say what."""


def follow(pickled: bytes) -> None:
    """Raises UnusualError for pickles that are no state dict's; ValueError or IndexError for damaged ones."""
    stack: list[Part] = []
    memo: dict[int, Part] = {}
    argument: Any
    for operation, argument, _ in pickletools.genops(pickled):
        match operation.name:
            case "PROTO" | "STOP":
                pass
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                if argument not in memo:
                    raise ValueError("a part that was never there")
                stack.append(memo[argument])
            case "GLOBAL":
                if not CALLED.fullmatch(argument):
                    raise UnusualError(f"calls {argument.replace(' ', '.')}")
                stack.append(("call", ((argument, ()),)))
            case "TUPLE":
                stack.append(("tuple", _marked(stack)))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(operation.name[-1])
                stack[-count:] = [("tuple", tuple(stack[-count:]))]
            case "APPEND":
                stack.pop()
                _check(stack[-1], "list")
            case "APPENDS":
                _marked(stack)
                _check(stack[-1], "list")
            case "SETITEM" | "SETITEMS":
                items = _marked(stack) if operation.name == "SETITEMS" else (stack.pop(-2), stack.pop())
                _check(stack[-1], "dict", "mapping")
                for key in items[::2]:
                    _check(key, *KEYS)
            case "BINPERSID":
                stack.append(_stored(stack.pop()))
            case "REDUCE":
                stack.append(_made(*(stack.pop(-2), stack.pop())))
            case "BUILD":  # attributes: a state dict's, of the versions of its modules
                _check(stack.pop(), "dict")
                _check(stack[-1], "mapping")
            case name if name in PLAIN:
                stack.append((PLAIN[name], ()))
            case name:
                raise UnusualError(f"has the operation {name}")


def _marked(stack: list[Part]) -> tuple[Part, ...]:
    """Take the parts above the last mark, and the mark, from the stack."""
    parts = []
    while (part := stack.pop())[0] != "mark":
        parts.append(part)
    return tuple(reversed(parts))


def _check(part: Part, *kinds: str) -> None:
    if part[0] not in kinds:
        raise UnusualError(f"has a {part[0]} in place of a {kinds[0]}")


def _stored(part: Part) -> Part:
    """The symbolic value of a tensor's numbers, which lie elsewhere in the file."""
    _check(part, "tuple")
    if len(part[1]) != len(STORED):
        raise ValueError("a storage of other parts")
    for one, kind in zip(part[1], STORED, strict=True):
        _check(one, kind)
    return "storage", ()


def _made(call: Part, arguments: Part) -> Part:
    """The kind of value that a call returns; raises UnusualError for calls that no state dict makes."""
    _check(call, "call")
    _check(arguments, "tuple")
    name = call[1][0][0]
    if name == MAPPING and arguments[1]:
        raise UnusualError("makes a mapping of a list")
    for one in arguments[1]:
        _check(one, "storage", "tensor", "number", "truth", "tuple", "mapping")
        for inner in one[1]:
            _check(inner, "number")
    return ("mapping" if name == MAPPING else "tuple" if name == SIZE else "tensor"), ()
