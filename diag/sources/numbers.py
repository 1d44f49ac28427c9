"""Convert numbers, labels and variables to arrays of types that numpy, torch and pandas all take.

Every array that enters goes through here, whatever it is to be: embeddings, observations, episodes, returns,
variables, keys. What comes out has the machine's byte order and a type that float64 holds; what is no number
is refused in words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.safe.names import listed, shown
from diag.subject import SubjectError

WHOLE_OR_WORDS = "whole numbers or words of shape (n,), one a row"

FRACTIONS = ("float16", "float32", "float64")
"""torch's types of fractions that numpy has."""

KINDS = {
    "O": "Python objects",
    "c": "complex numbers",
    "S": "bytes",
    "U": "words",
    "M": "dates",
    "m": "durations",
}
"""Words for numpy's kinds of types that are not real numbers."""


def real_numbers(values: Any, path: str, what: str, expected: str) -> NDArray[Any]:
    """Real numbers (n, ...) in the machine's byte order, long double as float64, bfloat16 as float32.

    Half precision, whole numbers and booleans keep their types. A file that is mapped stays so, and is
    converted batch by batch where it is read. Raises SubjectError, about ``what`` in ``path``, for anything
    but real numbers, and for numbers beyond float64.
    """
    array = native(values, path, what, expected)
    if array.dtype.kind not in "fiub":
        raise SubjectError(path, described(array, what), expected)
    return array


def row_labels(values: Any, path: str, what: str, expected: str = WHOLE_OR_WORDS) -> NDArray[Any]:
    """Labels (n,) in the machine's byte order: whole numbers, booleans or words.

    Raises SubjectError, about ``what`` in ``path``, for anything else.
    """
    array = native(values, path, what, expected)
    if array.ndim != 1 or array.dtype.kind not in "iubU":
        raise SubjectError(path, described(array, what), expected)
    return array


def known_values(values: Any, path: str, what: str, expected: str) -> NDArray[Any]:
    """Values of a variable, numbers, booleans or words, in the machine's byte order.

    Raises SubjectError, about ``what`` in ``path``, for anything else.
    """
    array = native(values, path, what, expected)
    if array.dtype.kind not in "fiubUS":
        raise SubjectError(path, described(array, what), expected)
    return array


def native(values: Any, path: str, what: str, expected: str) -> NDArray[Any]:
    """An array, a tensor, a pandas or Arrow column, or a list, as an array of a type that everything takes.

    Raises SubjectError for numbers that float64 cannot hold, and for values that are no array.
    """
    if isinstance(values, np.memmap):
        return values
    array = _as_array(values, path, what, expected)
    if array.dtype.kind == "O" and array.size and all(isinstance(v, str) for v in array.flat):
        array = array.astype(np.str_)
    if array.dtype.kind == "T":  # numpy's words of any length
        array = array.astype(np.str_)
    if array.dtype.kind == "f" and array.dtype.itemsize > np.dtype(np.float64).itemsize:
        with np.errstate(over="ignore"):
            held = array.astype(np.float64)
        if (beyond := int((np.isinf(held) & np.isfinite(array)).sum())) > 0:
            too_large = f"{what} of {array.dtype}, {beyond} of them beyond what float64 holds"
            raise SubjectError(path, too_large, expected)
        return held
    if array.dtype.kind in "fiuUMm":
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    return array


def described(array: NDArray[Any], what: str) -> str:
    """An array in words: ``embeddings of complex128 (3, 2), complex numbers``."""
    if array.dtype.names is not None:
        return f"{what} of records with fields {listed(array.dtype.names)} {array.shape}"
    kind = KINDS.get(array.dtype.kind)
    return f"{what} of {shown(array.dtype)} {array.shape}" + (f", {kind}" if kind else "")


def _as_array(values: Any, path: str, what: str, expected: str) -> NDArray[Any]:
    if hasattr(values, "detach"):
        try:
            values = values.detach().cpu().resolve_conj().resolve_neg()
            # numpy has no bfloat16 and no float8, whose numbers float32 holds exactly.
            narrow = values.is_floating_point() and str(values.dtype).removeprefix("torch.") not in FRACTIONS
            return np.asarray((values.float() if narrow else values).numpy())
        except (TypeError, RuntimeError):
            kind = f"{what} of type {values.dtype}"
            raise SubjectError(path, kind, "a type of numbers that numpy has") from None
    if isinstance(values, np.ma.MaskedArray):
        if not np.ma.is_masked(values):
            return np.asarray(values.data)
        if values.dtype.kind not in "fiub":
            raise SubjectError(path, f"{what} with masked values", expected)
        fractions = values.data.astype(np.result_type(values.dtype, np.float32))
        fractions[np.ma.getmaskarray(values)] = np.nan
        return np.asarray(fractions)
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and getattr(getattr(values, "dtype", None), "kind", "O") in "fiub":
            # pandas' numbers that may be missing; whole numbers of which some are missing become fractions
            array = np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError):
        unequal = f"{what} of unequal or unknown parts ({type(values).__name__})"
        raise SubjectError(path, unequal, expected) from None
    return array
