"""Embeddings as arrays, in memory or out of a file, and what stands beside them -> a Subject."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.naming import EPISODES, KEY, RETURNS, choice_of, is_bookkeeping
from diag.sources.numbers import WHOLE_OR_WORDS, described, native, real_numbers, row_labels
from diag.sources.numpy_file import read_members
from diag.sources.safe.names import listed, shown
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError, Taken

FILE = "an array file"

EXPECTED = "numbers of shape (n, ...), one row a state, the same states in both files"


def from_array(embeddings: Any, name: str, supplied: Supplied = NOTHING) -> Subject:
    """A subject of embeddings (n, ...) in memory, numpy or torch; ``name`` stands for its path.

    Raises SubjectError for anything but real numbers.
    """
    array = real_numbers(embeddings, name, "values", EXPECTED)
    sha256 = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return subject_of(array, name, sha256, taken=unnamed(supplied, name))


def is_table(what: Any) -> bool:
    """Whether an object in memory is a table with named columns: pandas', Arrow's or Polars'."""
    return hasattr(what, "columns") or hasattr(what, "column_names")


def unnamed(supplied: Supplied, path: str) -> Taken | None:
    """The record of an array without named columns: no key; ``chosen`` where a person asked for all."""
    if supplied.key is not None:
        raise SubjectError(path, "an array without a name, and so no key", "a .npz or a table for --key")
    if supplied.columns not in ((), ("*",)):
        raise SubjectError(path, "an array whose columns have no names", "a table for --columns, or '*'")
    return Taken((), chosen=True) if supplied.columns else None


def ready(
    arrays: Mapping[str, NDArray[Any]], path: str, sha256: str, supplied: Supplied = NOTHING
) -> Subject:
    """The subject of a file's arrays by name: embeddings, their episodes, returns, or returns alone.

    The embeddings are :data:`KEY`, or the only array that is nothing else (:func:`embedding_names`); arrays
    (n,) that ``supplied.columns`` names are a dimension each. Raises SubjectError.
    """
    returns = returns_of(arrays[RETURNS], path) if RETURNS in arrays else None
    choice = choice_of(list(arrays), supplied, path, what="array")
    names = choice.embedding if choice.chosen else embedding_names(arrays, choice.key)
    if not names and returns is not None:
        return returns_alone(returns, path, sha256)
    by_column = choice.chosen and all(arrays[name].ndim == 1 for name in names)
    if not by_column and len(names) != 1:
        expected = f"one array, or one named {KEY!r}; --columns NAME says which"
        raise SubjectError(path, f"arrays {listed(arrays) or '(none)'}", expected)
    array = _side_by_side({n: arrays[n] for n in names}, path) if by_column else arrays[names[0]]
    check_embeddings(array, path)
    key = {name: native(arrays[name], path, f"key {name!r}", "a key (n,)") for name in choice.key}
    order = {
        name: arrays[name]
        for name in arrays
        if name in choice.order and arrays[name].shape == (len(array),) and name not in names
    }
    taken = Taken(
        tuple(names),
        by_column,
        tuple(name for name in choice.left_out if name not in names),
        choice.chosen,
        ", ".join(choice.key),
        checked_keys(key, len(array), path),
        asked=bool(key),
        common=supplied.common_rows,
        order={n: native(v, path, n, "numbers or words") for n, v in order.items() if v.dtype.kind in "iufU"},
    )
    return subject_of(array, path, sha256, arrays.get(EPISODES), returns, taken)


def returns_alone(returns: NDArray[np.float64], path: str, sha256: str) -> Subject:
    """The subject of a file that holds no embeddings, but returns (episodes,)."""
    return Subject(path, sha256, returns=returns, label=f"returns of {len(returns)} episodes")


def embedding_names(arrays: Mapping[str, Any], key: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the array that is the embedding: :data:`KEY`, or the only candidate; else of all candidates.

    Nothing else are :data:`EPISODES`, :data:`RETURNS`, the ``key``, and arrays (n,) called like bookkeeping.
    """
    if KEY in arrays:
        return (KEY,)
    others = [name for name in arrays if name not in (EPISODES, RETURNS, *key)]
    real = [name for name in others if not (arrays[name].ndim == 1 and is_bookkeeping(name))]
    if len(real) == 1 and all(arrays[n].shape == arrays[real[0]].shape[:1] for n in others if n not in real):
        return (real[0],)
    return tuple(others)


def checked_keys(keys: Mapping[str, NDArray[Any]], rows: int, path: str) -> tuple[NDArray[Any], ...]:
    """The parts of a key (rows,) each, numbers, words or dates; raises SubjectError for anything else."""
    for name, values in keys.items():
        if values.shape != (rows,) or values.dtype.kind not in "iufbUMm":
            part = described(values, f"key {name!r}")
            raise SubjectError(path, part, f"numbers, words or dates ({rows},), one a row")
        if values.dtype.kind in "fMm" and (missing := int((values != values).sum())):
            raise SubjectError(path, f"key {name!r} missing in {missing} rows", "one in each row")
    return tuple(keys.values())


def _side_by_side(columns: Mapping[str, NDArray[Any]], path: str) -> NDArray[Any]:
    """Arrays (n,) as the columns of one (n, d)."""
    rows = {len(values) for values in columns.values()}
    if len(rows) > 1:
        raise SubjectError(path, f"arrays of {' and '.join(map(str, sorted(rows)))} rows", "as many in each")
    numbers = [real_numbers(v, path, f"array {name!r}", EXPECTED) for name, v in columns.items()]
    return np.stack(numbers, 1)


def returns_of(values: NDArray[Any], path: str) -> NDArray[np.float64]:
    """The returns (episodes,) in an array; raises SubjectError."""
    expected = "finite numbers of shape (episodes,), the return of each"
    values = real_numbers(values, path, RETURNS, expected)
    if values.ndim != 1 or not len(values):
        raise SubjectError(path, described(values, RETURNS), expected)
    if not np.isfinite(values).all():
        not_finite = f"{int((~np.isfinite(values)).sum())} of {len(values)} {RETURNS} not finite"
        raise SubjectError(path, not_finite, expected)
    return values.astype(np.float64)


def read_labels(path: str) -> NDArray[Any]:
    """The labels (n,) in a ``.npy`` file, whole numbers or words: each row's episode. Raises SubjectError."""
    arrays = list(read_members(path, FILE, EXPECTED)[0].values())
    if len(arrays) != 1:
        shapes = ", ".join(described(a, "an array") for a in arrays) or "no array"
        raise SubjectError(path, shapes, WHOLE_OR_WORDS)
    return row_labels(arrays[0], path, "labels")


def subject_of(
    array: NDArray[Any],
    path: str,
    sha256: str,
    episodes: NDArray[Any] | None = None,
    returns: NDArray[np.float64] | None = None,
    taken: Taken | None = None,
) -> Subject:
    """The subject of embeddings (n, ...), and of what stands beside them; raises SubjectError."""
    check_embeddings(array, path)
    array = real_numbers(array, path, "values", EXPECTED)
    if episodes is not None:
        expected = f"whole numbers or words of shape ({len(array)},)"
        episodes = row_labels(episodes, path, EPISODES, expected)
        if len(episodes) != len(array):
            raise SubjectError(path, described(episodes, EPISODES), expected)
    label = f"embeddings {array.shape}"
    return Subject(
        path, sha256, embeddings=array, episodes=episodes, taken=taken, returns=returns, label=label
    )


def check_embeddings(array: NDArray[Any], path: str) -> None:
    """Raises SubjectError before anything is converted, or a long file read through."""
    if array.dtype.kind not in "fiub":
        words = described(array, "values")
        raise SubjectError(path, f"{shown(array.dtype)} values ({words})", EXPECTED)
    if array.ndim < 2 or 0 in array.shape:
        raise SubjectError(path, f"shape {array.shape}", EXPECTED)
