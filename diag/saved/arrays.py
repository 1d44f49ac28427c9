"""Arrays as plain JSON, to the bit: their bytes in base64, or a list where they hold words or objects."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any, get_origin

import numpy as np
from numpy.typing import NDArray

from diag.saved.error import FormError
from trainers.safe_text import value as in_brief

NUMBERS = frozenset(("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"))
"""Types of arrays of numbers and truth values, as numpy writes them."""

MOST_LETTERS = 2**26
"""Most letters of an array of words, each of which takes as much room as the longest: 256 MB."""

TEXT, OBJECTS = "text", "objects"
"""Types of arrays whose values stand in a list."""


def is_array(hint: Any) -> bool:
    """Whether a type hint is that of a numpy array."""
    return get_origin(hint) is np.ndarray or hint is np.ndarray


def tree_of_array(values: Any, tagged: Callable[[Any], Any]) -> dict[str, Any]:
    """An array of any shape as plain JSON; ``tagged`` makes a value of any type plain."""
    if not isinstance(values, np.ndarray):
        raise FormError("", f"a {type(values).__name__}", "an array")
    shape = list(values.shape)
    if values.dtype.kind == "U":
        return {"type": TEXT, "shape": shape, "values": values.ravel().tolist()}
    if values.dtype.kind == "O":
        return {"type": OBJECTS, "shape": shape, "values": [tagged(one) for one in values.ravel()]}
    little = values.dtype.newbyteorder("<").str
    if little not in NUMBERS:
        raise FormError("", f"an array of {values.dtype}", "one of numbers or of words")
    content = np.ascontiguousarray(values, dtype=little).tobytes()
    return {"type": little, "shape": shape, "base64": base64.b64encode(content).decode("ascii")}


def array_of(tree: Any, where: str, untagged: Callable[[Any, str], Any]) -> NDArray[Any]:
    """The array that :func:`tree_of_array` made plain; raises FormError."""
    if not isinstance(tree, dict):
        raise FormError(where, in_brief(tree), "an array")
    shape, kind = tree.get("shape"), tree.get("type")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise FormError(f"{where}.shape", in_brief(shape), "the sides of an array")
    content = _content(tree, kind, where, untagged)
    if math.prod(shape) != content.size:
        raise FormError(where, f"{content.size} values", f"{math.prod(shape)}, as its shape says")
    return content.reshape(shape)


def _content(
    tree: dict[str, Any], kind: Any, where: str, untagged: Callable[[Any, str], Any]
) -> NDArray[Any]:
    """The values in a row."""
    if kind in (TEXT, OBJECTS):
        listed = tree.get("values")
        if not isinstance(listed, list):
            raise FormError(f"{where}.values", in_brief(listed), "a list")
        if kind == OBJECTS:
            objects = np.empty(len(listed), dtype=object)
            objects[:] = [untagged(one, f"{where}.values") for one in listed]
            return objects
        if not all(isinstance(one, str) for one in listed):
            raise FormError(f"{where}.values", "something else", "words")
        if max(map(len, listed), default=0) * len(listed) > MOST_LETTERS:
            raise FormError(f"{where}.values", "words of very different lengths", "short ones")
        return np.array(listed, dtype=np.str_)
    if not isinstance(kind, str) or kind not in NUMBERS:
        raise FormError(f"{where}.type", in_brief(kind), f"one of {', '.join(sorted(NUMBERS))}")
    try:
        content = base64.b64decode(tree.get("base64", ""), validate=True)
        little = np.frombuffer(content, dtype=kind)
    except (TypeError, ValueError, binascii.Error):
        raise FormError(f"{where}.base64", "something else", f"bytes of {kind} in base64") from None
    return little.astype(little.dtype.newbyteorder("="))
