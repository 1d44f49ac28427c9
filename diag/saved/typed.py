"""Values of known types as plain JSON, and back: the type hints of dataclasses say how.

Nothing is lost on the way. NaN and infinity are the strings ``NaN``, ``Infinity`` and ``-Infinity``; an array
is its bytes in base64 with its type and shape (:mod:`diag.saved.arrays`); a mapping whose keys are no strings
is a list of pairs. A dataclass may have a method ``to_save()`` that gives what is saved in its place, and
fields that are not saved, which are marked so in their metadata and have a default.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from inspect import get_annotations
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from diag.saved.arrays import array_of, is_array, tree_of_array
from diag.saved.error import FormError
from diag.saved.frames import frame_of, is_frame, tree_of_frame
from trainers.safe_text import value as in_brief

NOT_SAVED: Mapping[str, bool] = {"saved": False}
"""Metadata of a field that is not saved: ``field(default=None, metadata={"saved": False})``."""

WORDS_OF_FLOATS: Mapping[str, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(value: Any, hint: Any) -> Any:
    """A value as plain JSON; raises FormError for one that its hint does not describe."""
    if hint is Any:
        return _tagged(value)
    if is_dataclass(hint) and isinstance(hint, type):
        return _encode_fields(value, hint)
    if is_array(hint):
        return tree_of_array(value, _tagged)
    if is_frame(hint):
        return tree_of_frame(value, _tagged)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _first(encode, value, arguments)
    if origin is Literal:
        return _plain(value, type(value))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise FormError("", f"a {type(value).__name__}", "a mapping")
        return _encode_mapping(value, *arguments)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
            raise FormError("", f"a {type(value).__name__}", "a sequence")
        kinds = _kinds(hint, len(value))
        return [encode(item, kind) for item, kind in zip(value, kinds, strict=True)]
    return _plain(value, hint)


def decode(tree: Any, hint: Any, where: str = "") -> Any:
    """The value that :func:`encode` made plain; raises FormError, which names the place in the tree."""
    try:
        return _decoded(tree, hint, where)
    except FormError:
        raise
    except (TypeError, ValueError, OverflowError) as error:  # numpy, pandas and dict refuse it in their words
        words = f"values that go together in no such thing ({type(error).__name__})"
        raise FormError(where, words, "those of one that was saved") from None


def _decoded(tree: Any, hint: Any, where: str) -> Any:
    if hint is Any:
        return _untagged(tree, where)
    if is_dataclass(hint) and isinstance(hint, type):
        return _decode_fields(tree, hint, where)
    if is_array(hint):
        return array_of(tree, where, _untagged)
    if is_frame(hint):
        return frame_of(tree, where, _untagged)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _first(lambda value, kind: decode(value, kind, where), tree, arguments)
    if origin is Literal:
        return _one_of(tree, arguments, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _decode_mapping(tree, arguments, where)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        items = _list(tree, where)
        kinds = _kinds(hint, len(items), where)
        return tuple(
            decode(item, kind, f"{where}[{place}]")
            for place, (item, kind) in enumerate(zip(items, kinds, strict=True))
        )
    return _read(tree, hint, where)


def fields_saved(kind: type) -> list[tuple[Field[Any], Any]]:
    """The fields of a dataclass that are saved, each with its resolved type hint."""
    return list(_hinted(kind))


_HINTED: dict[type, tuple[tuple[Field[Any], Any], ...]] = {}


def _hinted(kind: type) -> tuple[tuple[Field[Any], Any], ...]:
    """Hints are resolved field by field, so that types of fields that are not saved need not be there."""
    if kind in _HINTED:
        return _HINTED[kind]
    found = []
    for one in fields(kind):
        if not one.init or not one.metadata.get("saved", True):
            continue
        home = next(c for c in kind.__mro__ if one.name in get_annotations(c))
        alone = type("alone", (), {"__annotations__": {one.name: one.type}})
        found.append((one, get_type_hints(alone, vars(sys.modules[home.__module__]))[one.name]))
    return _HINTED.setdefault(kind, tuple(found))


def _encode_fields(value: Any, hint: type) -> dict[str, Any]:
    if type(value) is not hint:
        raise FormError("", f"a {type(value).__name__}", f"a {hint.__name__}")
    kept = value.to_save() if hasattr(value, "to_save") else value
    return {one.name: encode(getattr(kept, one.name), kind) for one, kind in _hinted(hint)}


def _decode_fields(tree: Any, hint: type, where: str) -> Any:
    if not isinstance(tree, dict):
        raise FormError(where, in_brief(tree), f"the fields of a {hint.__name__}")
    known = {one.name: (one, kind) for one, kind in _hinted(hint)}
    for name in tree:
        if name not in known:
            raise FormError(where, f"a field {in_brief(name)}", f"those of a {hint.__name__}")
    given = {}
    for name, (one, kind) in known.items():
        place = f"{where}.{name}" if where else name
        if name in tree:
            given[name] = decode(tree[name], kind, place)
        elif one.default is MISSING and one.default_factory is MISSING:
            raise FormError(place, "nothing", f"this field of a {hint.__name__}")
    return hint(**given)


def _encode_mapping(value: Mapping[Any, Any], key: Any, kind: Any) -> Any:
    pairs = [(encode(name, key), encode(item, kind)) for name, item in value.items()]
    return dict(pairs) if _is_text(key) else [list(pair) for pair in pairs]


def _decode_mapping(tree: Any, arguments: tuple[Any, ...], where: str) -> dict[Any, Any]:
    key, kind = arguments
    if not _is_text(key):
        pairs = [_list(pair, f"{where}[{place}]") for place, pair in enumerate(_list(tree, where))]
        if any(len(pair) != 2 for pair in pairs):
            raise FormError(where, "a list of other things", "a list of pairs")
    elif isinstance(tree, dict):
        pairs = [[name, item] for name, item in tree.items()]
    else:
        raise FormError(where, in_brief(tree), "an object")
    return {decode(name, key, where): decode(item, kind, f"{where}.{name}") for name, item in pairs}


def _is_text(key: Any) -> bool:
    """Whether the keys of a mapping are all strings."""
    return key is str or (get_origin(key) is Literal and all(isinstance(one, str) for one in get_args(key)))


def _kinds(hint: Any, length: int, where: str = "") -> list[Any]:
    """The type of each item of a sequence."""
    arguments = get_args(hint)
    if get_origin(hint) is not tuple or (len(arguments) == 2 and arguments[1] is Ellipsis):
        return [arguments[0]] * length
    if len(arguments) != length:
        raise FormError(where, f"{length} values", f"{len(arguments)}")
    return list(arguments)


def _first(convert: Any, value: Any, kinds: tuple[Any, ...]) -> Any:
    """What the first member of a union that fits makes of a value; None comes first."""
    if value is None and NoneType in kinds:
        return None
    wrong: FormError | None = None
    for kind in kinds:
        if kind is not NoneType:
            try:
                return convert(value, kind)
            except FormError as error:
                wrong = wrong or error
    raise wrong or FormError("", in_brief(value), "null")


def _plain(value: Any, hint: Any) -> Any:
    """A string, a number or a truth value."""
    value = value.item() if isinstance(value, np.generic) else value
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(hint, type) and isinstance(value, _ALLOWED.get(hint, ())):
        return value
    raise FormError("", in_brief(value), str(hint))


def _read(tree: Any, hint: Any, where: str) -> Any:
    if hint is float and isinstance(tree, str) and tree in WORDS_OF_FLOATS:
        return WORDS_OF_FLOATS[tree]
    fits = isinstance(hint, type) and isinstance(tree, _ALLOWED.get(hint, ()))
    if fits and not (hint is float and abs(tree) > sys.float_info.max):
        return tree
    raise FormError(where, in_brief(tree), _NAMES.get(hint, str(hint)))


_ALLOWED: Mapping[type, tuple[type, ...]] = {str: (str,), float: (float, int), int: (int,), bool: (bool,)}
"""Python's types of numbers: an int may stand for a float, and a truth value for an int."""

_NAMES: Mapping[Any, str] = {
    str: "a string",
    float: "a number",
    int: "an integer",
    bool: "true or false",
}


def _one_of(tree: Any, allowed: tuple[Any, ...], where: str) -> Any:
    for one in allowed:
        if type(one) is type(tree) and one == tree:
            return tree
    raise FormError(where, in_brief(tree), " or ".join(map(str, allowed)))


def _tagged(value: Any) -> Any:
    """A value of any plain type; what a list, a tuple and a dict are says a name in front of them."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": _plain(value, float)}
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        name = "list" if isinstance(value, list) else "tuple"
        return {name: [_tagged(item) for item in value]}
    if isinstance(value, Mapping):
        return {"dict": [[_tagged(key), _tagged(item)] for key, item in value.items()]}
    raise FormError("", f"a {type(value).__name__}", "a plain value")


def _untagged(tree: Any, where: str) -> Any:
    if tree is None or isinstance(tree, str | int | float):
        return tree
    if isinstance(tree, dict) and len(tree) == 1:
        ((name, held),) = tree.items()
        if name == "float":
            return _read(held, float, where)
        if name in ("list", "tuple"):
            items = [_untagged(item, f"{where}[{place}]") for place, item in enumerate(_list(held, where))]
            return items if name == "list" else tuple(items)
        if name == "dict":
            pairs = [_list(pair, where) for pair in _list(held, where)]
            if all(len(pair) == 2 and isinstance(pair[0], str | int | float) for pair in pairs):
                return {key: _untagged(item, f"{where}.{key}") for key, item in pairs}
    raise FormError(where, in_brief(tree), "a plain value")


def _list(tree: Any, where: str) -> list[Any]:
    if not isinstance(tree, list):
        raise FormError(where, in_brief(tree), "a list")
    return tree
