"""A known variable of each row: how it is read, which rows hang together, and what a shuffle of it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probes._measure import ArrayLike, Floats, Labels, ProbeError, as_matrix, is_constant
from probes._states import SAME, numbered, numbered_rows

Kind = Literal["numeric", "categorical"]

Ints: TypeAlias = NDArray[np.int64]

ROWS = 10_000
"""Rows that a probe of one embedding uses; of more, this many are drawn. A correlation from 10,000 rows is
known to about 0.01, and a probe of 1,280 dimensions stays a matter of seconds."""


MOST_COLUMNS = 64
"""Categories, or columns of numbers, up to which a variable is probed: more are names, not a variable."""


@dataclass(frozen=True)
class Variable:
    """One known variable of n rows, ready to be a target."""

    kind: Kind
    columns: Floats
    """(n, k): the numbers as they are, or a column for each category, 1 where the row has it."""
    codes: Ints
    """(n,) each row's category as an index of ``categories``; empty for numbers."""
    categories: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def unusable(self) -> str | None:
        """Why nothing can be said of it, or None."""
        if len(self.categories) > MOST_COLUMNS:
            return f"{len(self.categories)} categories, more than {MOST_COLUMNS}"
        if self.columns.shape[1] > MOST_COLUMNS:
            return f"{self.columns.shape[1]} columns, more than {MOST_COLUMNS}"
        return "the variable is constant" if is_constant(self.columns) else None

    def take(self, rows: Ints) -> Variable:
        """The variable of some rows; categories keep their numbers, present or not."""
        return Variable(self.kind, self.columns[rows], self.codes[rows[: len(self.codes)]], self.categories)

    def without(self, categories: Sequence[int]) -> tuple[Variable, Ints]:
        """A categorical variable without some of its categories, and the rows that remain."""
        rows = np.flatnonzero(~np.isin(self.codes, list(categories)))
        kept = [c for c in range(len(self.categories)) if c not in set(categories)]
        renumbered = np.searchsorted(np.array(kept, np.int64), self.codes[rows])
        names = tuple(self.categories[c] for c in kept)
        return Variable(self.kind, self.columns[rows][:, kept], renumbered, names), rows


def as_variable(
    values: ArrayLike | Variable, name: str = "variable", *, categorical: bool = False
) -> Variable:
    """A variable from (n,) numbers, booleans or strings, or (n, k) numbers.

    Booleans and strings are categories; all other numbers are numeric, integers too, for few distinct
    values do not tell a coordinate from a class: ``categorical`` says that (n,) numbers are classes.
    Raises :class:`ProbeError` for anything else and for values that are not finite.

    >>> as_variable([3, 1, 2]).kind, as_variable(["left", "door", "left"]).categories
    ('numeric', ('door', 'left'))
    """
    if isinstance(values, Variable):
        return values
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()  # bfloat16 too
    array = np.asarray(values)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "backslashreplace")
    if array.dtype.kind == "O" and all(isinstance(v, str) for v in array.flat):
        array = array.astype(str)
    words = array.ndim == 1 and array.dtype.kind in "bUT"
    if categorical and array.ndim == 1 and array.dtype.kind in "iuf":
        column = as_matrix(array[:, None], name)
        if array.dtype.kind == "f":  # classes that are equal within rounding are one: 0.1 + 0.2 and 0.3
            first = np.unique(numbered_rows(column), return_index=True)[1]
            array = np.array([float(f"{v:.12g}") for v in array[first]])[numbered_rows(column)]
        words = True
    if words:
        names, codes = np.unique(array, return_inverse=True)
        codes = codes.reshape(-1).astype(np.int64)
        shown = np.arange(len(names) if len(names) <= MOST_COLUMNS else 0)
        columns = (codes[:, None] == shown).astype(np.float64)
        return Variable("categorical", columns, codes, tuple(map(str, names.tolist())))
    if categorical or array.ndim not in (1, 2) or array.dtype.kind not in "fiub":
        expected = "(n,) numbers, booleans or strings" + ("" if categorical else ", or (n, k) numbers")
        raise ProbeError(f"{name} has shape {array.shape} and {array.dtype} values, expected {expected}")
    numbers = as_matrix(array.reshape(len(array), -1), name)
    return Variable("numeric", numbers, np.empty(0, np.int64))


@dataclass(frozen=True)
class Rows:
    """The rows that a probe uses: the embedding, the variable, and which of them hang together."""

    x: Floats
    """(n, d)."""
    target: Variable
    index: Ints
    """(n,) group numbers from 0 without gaps."""
    chosen: Ints
    """(n,) which of the given rows they are."""

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.index.max()) + 1


def paired(x: ArrayLike, values: ArrayLike | Variable, groups: Labels | None, seed: int) -> Rows:
    """Rows of an embedding (n, d) with a variable, at most :data:`ROWS`; raises :class:`ProbeError`."""
    matrix, variable = as_matrix(x), as_variable(values)
    if len(matrix) != len(variable):
        raise ProbeError(f"x has {len(matrix)} rows and the variable {len(variable)}, expected pairs")
    if groups is not None and np.shape(groups) != (len(matrix),):
        raise ProbeError(f"groups has shape {np.shape(groups)}, expected ({len(matrix)},)")
    chosen = sampled_rows(len(matrix), seed)
    matrix = matrix[chosen]
    index = distinct_rows(matrix) if groups is None else numbered(np.asarray(groups)[chosen])
    return Rows(matrix, variable.take(chosen), index, chosen)


def sampled_rows(n: int, seed: int, most: int = ROWS) -> Ints:
    """At most ``most`` of n rows, drawn without replacement, in their order."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False)).astype(np.int64)


def distinct_rows(x: Floats) -> Ints:
    """(n,) the state of each row of x (n, d), numbered by appearance.

    Equal rows are one state as far as the embedding can tell; apart, they would leak across a split.
    """
    return numbered_rows(x)


def shuffled_rows(variable: Variable, index: Ints, count: int, rng: np.random.Generator) -> Ints:
    """(count, n) rows to take a shuffled variable from, so that whole groups move and none is parted.

    Where each group has one value, groups trade values. Elsewhere the groups' stretches of rows are laid
    end to end in another order, so that what makes neighbours alike stays: a shuffle of single rows would
    call any two slow walks related.
    """
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(index.max() + 1))
    first = order[starts]
    within = np.abs(variable.columns - variable.columns[first][index]).max(0)
    if (within <= SAME * np.ptp(variable.columns, axis=0)).all():
        drawn = [first[rng.permutation(len(first))][index] for _ in range(count)]
        return np.array(drawn, np.int64).reshape(count, len(index))
    stretches = np.split(order, starts[1:])
    taken = np.empty((count, len(index)), np.int64)
    for draw in range(count):
        taken[draw, order] = np.concatenate([stretches[g] for g in rng.permutation(len(stretches))])
    return taken
