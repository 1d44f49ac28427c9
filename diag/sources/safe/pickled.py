"""Follow a pickle of ``torch.save`` symbolically, without executing any of it.

Its operations are those of a machine with a stack. Here the stack holds what kind of thing would stand there,
so that everything which no state dict needs can be refused before any of it is done: calls of anything but
tensors, storages and mappings; tuples as keys, which are hashed part by part though a tuple may hold another
twice that holds another twice; and lists where a library would write out what it found instead of a number.

Beside their weights, people save settings and counters as objects of well-known libraries: a namespace of
arguments, a path, a number of numpy. Such a class, by its name, is never imported: an empty stand-in takes
its place, so that whatever the pickle does to it does nothing.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Part: TypeAlias = "tuple[str, tuple[Part, ...]]"
"""A symbolic value on the stack: its kind, and for a tuple its elements."""

MAPPING, SIZE, DEVICE = "collections OrderedDict", "torch Size", "torch device"

CALLED = re.compile(
    rf"{MAPPING}|torch\._utils _rebuild_(tensor_v2|parameter)|torch [A-Z][A-Za-z0-9]*Storage|{SIZE}"
)
"""Everything that the pickle of a state dict may call: its mapping, its tensors and the types of their
numbers."""

STOOD_IN = re.compile(
    r"((argparse|types|pathlib|datetime|typing|enum|numpy|omegaconf|lightning|pytorch_lightning"
    r"|lightning_fabric|lightning_utilities)(\.\w+)*|__main__) \w+"
    r"|(builtins|__builtin__) (int|float|str|bool|list|dict|tuple|bytes|object)|collections defaultdict"
)
"""Names of classes that stand beside weights as settings or counters, and get a stand-in."""

MAPPINGS = re.compile(r".* (defaultdict|AttributeDict)")
"""Those of them that are mappings, whose items are kept."""

DTYPE = re.compile(r"torch (b?float|u?int|complex)\d+|torch bool")
"""Types of numbers, which are named and never called."""

BYTES = "_codecs encode"
"""The call by which this protocol writes bytes: of a word, which it copies."""

ENCODING = "latin1"
"""The one encoding by which it does: punycode takes the square of a word's length in time."""

MOST_NAMES = 256
"""Most classes that are stood in for: torch's loader goes through all of them at each name and call."""

MOST_COPIED = 2**26
"""Most bytes that all such copies may take: as many as there are times the longest word."""

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


def follow(pickled: bytes) -> frozenset[str]:
    """The dotted names of classes that are to be stood in for; the file of most pickles has none.

    Raises UnusualError for pickles that are no state dict's; ValueError or IndexError for damaged ones.
    """
    stack: list[Part] = []
    memo: dict[int, Part] = {}
    foreign = set[str]()
    longest = copies = 0
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
                if STOOD_IN.fullmatch(argument):
                    foreign.add(argument.replace("__builtin__", "builtins").replace(" ", "."))
                    if len(foreign) > MOST_NAMES:
                        raise UnusualError(f"names more than {MOST_NAMES} classes beside tensors")
                elif argument not in (BYTES, DEVICE) and not (
                    CALLED.fullmatch(argument) or DTYPE.fullmatch(argument)
                ):
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
                call, arguments = stack.pop(-2), stack.pop()
                copies += call[1][:1] == ((BYTES, ()),)
                if copies * longest > MOST_COPIED:
                    raise UnusualError("copies a word more often than it has room for")
                stack.append(_made(call, arguments))
            case "NEWOBJ" if _is_foreign(stack[-2]):
                stack.append(_made(*(stack.pop(-2), stack.pop())))
            case "BUILD" if stack[-2][0] == "stand-in":
                stack.pop()
            case "BUILD":  # attributes: a state dict's, of the versions of its modules
                _check(stack.pop(), "dict")
                _check(stack[-1], "mapping")
            case name if name in PLAIN:
                longest = max(longest, len(argument)) if PLAIN[name] == "word" else longest
                stack.append((PLAIN[name], ((ENCODING, ()),) if argument == ENCODING else ()))
            case name:
                raise UnusualError(f"has the operation {name}")
    return frozenset(foreign)


def _is_foreign(part: Part) -> bool:
    return part[0] == "call" and STOOD_IN.fullmatch(part[1][0][0]) is not None


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
    if _is_foreign(call):
        return ("mapping" if MAPPINGS.fullmatch(name) else "stand-in"), ()
    if DTYPE.fullmatch(name):
        raise UnusualError(f"calls {name.replace(' ', '.')}")
    if name in (BYTES, DEVICE):
        for one in arguments[1]:
            _check(one, "word", "number")
        if name == BYTES and [one[1] for one in arguments[1][1:]] != [((ENCODING, ()),)]:
            raise UnusualError(f"encodes a word otherwise than in {ENCODING}")
        return "stand-in", ()
    if name == MAPPING and arguments[1]:
        raise UnusualError("makes a mapping of a list")
    for one in arguments[1]:
        _check(one, "storage", "tensor", "number", "truth", "tuple", "mapping")
        for inner in one[1]:
            _check(inner, "number")
    return ("mapping" if name == MAPPING else "tuple" if name == SIZE else "tensor"), ()
