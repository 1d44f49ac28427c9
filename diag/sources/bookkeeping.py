"""Ready embeddings of two files -> whether columns that no encoder made decide how they compare.

A step, a time or an environment's number is equal in both files by construction, and beside the dimensions
of an embedding it is most of their variance: any transfer then looks matched. Names give some of these away
(:mod:`diag.sources.naming`); this looks at the numbers, for arrays without names and for names unheard of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import probes
from diag.sources.safe.names import listed
from diag.subject import Subject, SubjectError

BLOCK_BYTES = 2**24
"""Bytes of each array that are read at a time: memory stays flat however long the files."""

JUDGED_ROWS = 4000
"""Most rows on which the relation with and without some columns is taken, so that it costs less than the
comparison."""

SAME_STEP = 1e-4
"""Relative difference of two steps of a counter, beyond rounding: clocks are not exact."""

FEWEST_VALUES = 3
"""Fewest distinct whole numbers of a column that may count something: codes of zeros and ones are
embeddings."""


@dataclass(frozen=True)
class Likeness:
    """Columns of two arrays that are equal or count rows: of numbers (n, d), or channels (n, h, w, d)."""

    equal: NDArray[np.bool_]
    """(d,) whether a column is equal in both arrays and not constant; all False for arrays of different
    shapes."""
    same: bool
    """Whether the arrays are equal as a whole."""
    counters: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    """(d,) for each array: whether a column goes up, or down, by the same step from each row to the next."""
    counts: NDArray[np.bool_]
    """(d,) whether the first array's column holds whole numbers, at least :data:`FEWEST_VALUES` different
    ones."""
    all_whole: bool
    """Whether the first array holds nothing but whole numbers, as codes do."""


def check_bookkeeping(
    base: Subject, transfer: Subject, a: NDArray[Any], b: NDArray[Any], names: Sequence[str] = ()
) -> Likeness | None:
    """Refuse embeddings (n, ...) that hold a counter, or whole numbers that are equal in both files.

    The likeness of the columns, for :func:`check_equal_columns`; None where there are too few rows to
    tell. Raises SubjectError.
    """
    if len(a) < probes.MIN_STATES:
        return None
    columns = likeness_of(a, b)
    if columns.same:
        return columns
    counted = [c.any() and not c.all() for c in columns.counters]
    if all(counted):
        words = _words(np.flatnonzero(columns.counters[1]), names)
        raise _refused(transfer, f"{words} by the same step from each row to the next, as in {base.path}")
    suspect = columns.equal & columns.counts
    if suspect.any() and not columns.all_whole:
        words = _words(np.flatnonzero(suspect), names, "holds", "hold")
        raise _refused(transfer, f"{words} the same whole numbers as in {base.path}, where others differ")
    return columns


def check_equal_columns(
    base: Subject,
    transfer: Subject,
    a: NDArray[Any],
    b: NDArray[Any],
    columns: Likeness | None,
    groups: NDArray[Any] | None,
    margin: float,
    names: Sequence[str] = (),
) -> None:
    """Refuse embeddings that match only for columns that are equal in both files to the last bit.

    The relation of the other columns alone must be ``matched`` too, within ``margin``. Raises SubjectError.
    """
    if columns is None or columns.same or not columns.equal.any() or columns.equal.all():
        return
    rows = np.unique(np.linspace(0, len(a) - 1, JUDGED_ROWS).astype(np.int64))
    x, y = _in_columns(b[rows]), _in_columns(a[rows])
    finite = np.isfinite(x.reshape(len(x), -1)).all(1) & np.isfinite(y.reshape(len(y), -1)).all(1)
    x, y = x[finite], y[finite]
    labels = None if groups is None else groups[rows][finite]

    def relation(kept: NDArray[np.bool_]) -> str | None:
        judged = probes.relation(x[..., kept], y[..., kept], groups=labels, margin=margin)
        return judged.relation

    if relation(np.ones_like(columns.equal)) != "matched":
        return
    others = relation(~columns.equal)
    if others != "matched":
        words = _words(np.flatnonzero(columns.equal), names, "equals", "equal")
        alone = f"the others alone are {others}" if others else "of the others alone no relation can be told"
        raise _refused(transfer, f"{words} {base.path}'s to the last bit, and {alone}")


def likeness_of(a: NDArray[Any], b: NDArray[Any]) -> Likeness:
    """Likeness of the columns of two arrays (n, ...), read block by block while any is in question."""
    here, there = _in_columns(a[:1]), _in_columns(b[:1])
    shared = here.shape == there.shape
    looks = _Look(here, _eps(a)), _Look(there, _eps(b))
    equal = np.full(here.shape[-1], shared)
    same = shared
    step = max(2, BLOCK_BYTES // max(1, a[:1].nbytes, b[:1].nbytes))
    for start in range(0, len(a), step):
        x, y = _in_columns(a[start : start + step]), _in_columns(b[start : start + step])
        if shared:
            alike = (x == y) | (np.isnan(x) & np.isnan(y))
            own = alike.reshape(-1, alike.shape[-1]).all(0)
            equal &= own
            same &= bool(own.all())
        for look, values in zip(looks, (x, y), strict=True):
            look.at(values)
        if not equal.any() and not all(look.counter.any() for look in looks):
            break
    first, second = looks
    return Likeness(
        equal & first.varies, same, (first.counter, second.counter), first.counts, bool(first.whole.all())
    )


class _Look:
    """Columns of one array that vary or count rows, as far as it was read."""

    def __init__(self, first: NDArray[Any], eps: float) -> None:
        """``eps`` is the relative distance of neighbouring numbers of its type."""
        size = first.shape[-1]
        self.counter, self.whole = np.full(size, first.ndim == 2), np.ones(size, np.bool_)
        self.varies = np.zeros(size, np.bool_)
        self._first, self._last = first, first
        self._step: NDArray[np.float64] | None = None
        self._eps = eps
        self._values: list[set[float]] = [set() for _ in range(size)]

    def at(self, values: NDArray[np.float64]) -> None:
        """Take in the next rows."""
        flat = values.reshape(-1, values.shape[-1])
        with np.errstate(invalid="ignore"):
            self.varies |= (values != self._first).reshape(flat.shape).any(0)
            self.whole &= (flat == np.round(flat)).all(0)
            if self.counter.any() and values.ndim == 2:
                self._count(values)
        for column in np.flatnonzero(self.whole):
            if len(self._values[column]) < FEWEST_VALUES:
                self._values[column] |= set(np.unique(flat[:, column])[:FEWEST_VALUES].tolist())
        self.counter &= np.isfinite(flat).all(0)

    @property
    def counts(self) -> NDArray[np.bool_]:
        """(d,) which columns hold whole numbers of several values."""
        several = np.array([len(values) >= FEWEST_VALUES for values in self._values], np.bool_)
        return np.asarray(self.whole & several)

    def _count(self, values: NDArray[np.float64]) -> None:
        """Keep the columns that still go by the same step; the first block has two rows at least."""
        steps = np.diff(values if self._step is None else np.concatenate([self._last, values]), axis=0)
        self._last = values[-1:]
        if not len(steps):
            return
        if self._step is None:
            self._step = np.median(steps, axis=0)
        size = np.abs(self._step)
        rounding = 4 * self._eps * np.abs(values).max(0)
        near = np.abs(steps - self._step) <= np.maximum(SAME_STEP * size, rounding)
        self.counter &= near.all(0) & (size > 4 * rounding)


def _eps(values: NDArray[Any]) -> float:
    return float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else 0.0


def _in_columns(values: NDArray[Any]) -> NDArray[np.float64]:
    """Rows as (n, d), or as (n, h, w, d) of a grid, whose channels are its columns."""
    return np.asarray(values if values.ndim == 4 else values.reshape(len(values), -1), np.float64)


def _words(columns: NDArray[np.int64], names: Sequence[str], one: str = "goes", several: str = "go") -> str:
    called = [names[c] if len(names) > c else c + 1 for c in columns]
    kind = "column" if len(called) == 1 else "columns"
    return f"{kind} {listed(called)}, which {one if len(called) == 1 else several}"


def _refused(transfer: Subject, fault: str) -> SubjectError:
    expected = "dimensions of an embedding alone: leave out what only counts or labels rows, or "
    named = transfer.taken is not None and transfer.taken.by_column
    expected += "name the dimensions by --columns NAMES" if named else "say --columns '*' if all are meant"
    return SubjectError(transfer.path, fault, expected)
