"""Read arrays that a Stable-Baselines3 file holds as pickles, without unpickling anything.

The pickle's operations are followed on a stack that holds inert words of what would be made, never a thing
that is made: a call stays the name of what is called, beside its arguments. What then has the form in which
numpy pickles an array is read as one from its bytes; everything else is no array.
"""

from __future__ import annotations

import base64
import math
import pickletools
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARK = object()

FRESH = ("call", ("global", "numpy", "dtype"))
"""The symbolic call with which the pickled type of an array begins."""

BUFFERED = {("global", f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}
REBUILT = {("global", f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")}
"""Functions that pickled arrays call: ``BUFFERED`` in protocol 5, ``REBUILT`` in older ones, in numpy 1 and
2."""

MOST_OPERATIONS = 1000
"""Most operations of a pickled array, which usually takes some fifty."""


def array_of(words: Any) -> NDArray[Any] | None:
    """The array in ``{":serialized:": base64 of its pickle}``; None for anything else."""
    if not isinstance(words, dict) or not isinstance(words.get(":serialized:"), str):
        return None
    try:
        return _array(_followed(base64.b64decode(words[":serialized:"], validate=True)))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError):
        return None  # a pickle of another form, or a damaged one


def _followed(pickled: bytes) -> Any:
    """The pickle's result as an inert description: nothing in it is called."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    argument: Any
    for number, (operation, argument, _) in enumerate(pickletools.genops(pickled)):
        if number > MOST_OPERATIONS:
            raise ValueError("no array alone")
        match operation.name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                stack.append(MARK)
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(operation.name == "NEWTRUE")
            case "GLOBAL":
                stack.append(("global", *argument.split(" ")))
            case "STACK_GLOBAL":
                stack[-2:] = [("global", stack[-2], stack[-1])]
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(operation.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                start = len(stack) - 1 - stack[::-1].index(MARK)
                stack[start:] = [tuple(stack[start + 1 :])]
            case "REDUCE":
                stack[-2:] = [("call", stack[-2], stack[-1])]
            case "BUILD":
                stack[-2:] = [("built", stack[-2], stack[-1])]
            case name if "INT" in name or "LONG" in name or "UNICODE" in name or "BYTE" in name:
                stack.append(argument)
            case name:
                raise ValueError(name)
    (made,) = stack
    return made


def _array(made: Any) -> NDArray[Any]:
    """The array that an inert description stands for; raises ValueError and the like for any other."""
    if made[0] == "call" and made[1] in BUFFERED:
        data, kind, shape, order = made[2]
        fortran = order == "F"
    elif made[0] == "built" and made[1][:2][0] == "call" and made[1][1] in REBUILT:
        _, shape, kind, fortran, data = made[2]
    else:
        raise ValueError("another form")
    dtype = _type(kind)
    if not isinstance(data, bytes | bytearray) or not isinstance(shape, tuple) or len(shape) > 8:
        raise ValueError("another form")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("another form")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("another size")
    return np.frombuffer(bytes(data), dtype).reshape(shape, order="F" if fortran else "C")


def _type(words: Any) -> np.dtype[Any]:
    """The type of plain numbers that is pickled as ``dtype("f4", False, True)`` with the byte order set."""
    built, call, state = words
    if built != "built" or call[:2] != FRESH or not re.fullmatch(r"[fiub][1248]", call[2][0]):
        raise ValueError("another type")
    if state[1] not in ("<", ">", "|", "="):
        raise ValueError("another order")
    dtype: np.dtype[Any] = np.dtype(state[1] + call[2][0])
    return dtype
