"""States by rows: rows that are equal within rounding show one state, numbered by first appearance.

Draws, halves and bundles follow these numbers. A number that hung on a last bit (a hash of floats, a cell
of a grid) would deal them anew on every processor, and with them whatever they decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probes._measure import ROUNDING, ArrayLike, Bools, Floats, ProbeError, as_matrix

Ints: TypeAlias = NDArray[np.int64]

SAME = 1e-5
"""Difference of two numbers, as a share of what two rows differ by typically (:func:`typical`), that is put
down to rounding. A network in single precision (6e-8 a step) gives one observation outputs that lie apart by
some 1e-7 from processor to processor, and by ten times that where sums cancel; what differs by less than 1e-5
counts for less than 1e-10 of the variance, which no measure sees."""

PAIRS = 1000
"""Pairs of rows that tell what two rows differ by typically: to some 5%, where factors of ten would do."""

PAIR_NUMBERS = 2**22
"""Most numbers in the pairs of rows that :data:`PAIRS` counts (32 MB): wider rows need fewer pairs."""

MOST_SORTS = 16
"""Columns that rows are told apart by, one after the other. Rows of a continuum that is denser than rounding
all along would take them all, however many there are."""

CACHED = 2**16
"""Numbers that keys are made of at once: 0.5 MB, which stay in the processor's cache."""

BLOCK = 2**22
"""Numbers taken side by side (32 MB) where rows are compared over all columns."""


def states(*matrices: ArrayLike) -> Ints:
    """(n,) the state that each row of paired matrices (n, d₁), (n, d₂), … shows, numbered by appearance.

    Rows are one state where no number differs by more than :data:`SAME` of the typical difference. Rows that
    lie so close all along that this would chain ever farther ones together stay apart unless they are equal
    in double precision. Raises :class:`ProbeError` for what are no finite numbers, or no pairs.

    >>> import numpy as np
    >>> states(np.array([[2.0], [1.0], [2.0 + 1e-12], [3.0]])).tolist()
    [0, 1, 0, 2]
    """
    rows = [as_matrix(matrix) for matrix in matrices]
    if len({len(matrix) for matrix in rows}) != 1:
        raise ProbeError(f"found {' and '.join(str(len(m)) for m in rows)} rows, expected pairs")
    return numbered_rows(*rows)


def numbered_rows(*matrices: Floats) -> Ints:
    """:func:`states` of matrices that are known to be finite and to pair."""
    _, first, exact = np.unique(row_keys(*matrices), return_index=True, return_inverse=True)
    tolerances = [_tolerances(matrix) for matrix in matrices]
    different = matrices if len(first) == len(exact) else [matrix[first] for matrix in matrices]
    if len(first) == len(exact):
        first, exact = np.arange(len(exact)), np.arange(len(exact))
    leader, unsure = np.arange(len(first)), np.arange(len(first))
    for level in range(2):
        some = different if len(unsure) == len(first) else [matrix[unsure] for matrix in different]
        merged, left = _merged(some, [tolerance[level] for tolerance in tolerances])
        leader[unsure] = unsure[merged]
        unsure = unsure[left]
        if len(unsure) == 0:
            break
    return numbered(leader[exact.reshape(-1)])


def numbered(labels: Sequence[Any] | NDArray[Any]) -> Ints:
    """(n,) labels as numbers from 0 without gaps, in order of appearance.

    Draws by group (folds, shuffles, resamples) are then the same however the groups are named.
    """
    _, first, inverse = np.unique(np.asarray(labels), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.reshape(-1)].astype(np.int64)


def typical(x: Floats) -> float:
    """Typical difference between numbers of two rows of x (n, d), in x's unit; 0 where all rows are equal.

    (mean √|difference|)² over pairs of rows drawn once and for all: one row of n that lies far out counts for
    1/n² of its distance, and so hides no difference between the others.
    """
    n, d = x.shape
    rng = np.random.default_rng([65, n])
    count = int(np.clip(PAIR_NUMBERS // d, 16, PAIRS))
    one = rng.integers(n, size=count)
    other = (one + 1 + rng.integers(max(n - 1, 1), size=count)) % n
    return float(np.square(np.sqrt(np.abs(x[one] - x[other])).mean()))


def _tolerances(x: Floats) -> tuple[float, float]:
    """Differences in x (n, d) that are put down to rounding in single precision, and in double."""
    some = x[:: max(1, len(x) // PAIRS)]
    double = ROUNDING * float(np.square(np.sqrt(np.abs(some)).mean()))
    return max(SAME * typical(x), double), double


def _merged(matrices: Sequence[Floats], tolerances: Sequence[float]) -> tuple[Ints, Bools]:
    """(n,) the first row of each row's state, itself where it is alone; and (n,) which rows are unsure.

    Sorted by one column after the other, rows part wherever the next one is farther than the tolerance. A run
    that no column parts is a state where it is nowhere wider than the tolerance: no row's state hangs on
    where a cell's edge falls. A wider run is unsure.
    """
    leader, unsure = np.arange(len(matrices[0])), np.zeros(len(matrices[0]), np.bool_)
    rows, run = np.arange(len(leader)), np.zeros(len(leader), np.int64)
    columns = _columns(matrices, tolerances)
    sorts, compared, quiet = 0, 0, 0
    while len(rows):
        matrix, tolerance, j = next(columns)
        rows, run, sorted_now, parted = _parted(rows, run, matrix[rows, j], tolerance)
        sorts, quiet = sorts + sorted_now, 0 if parted else quiet + 1
        last = quiet >= sum(matrix.shape[1] for matrix in matrices) or sorts >= MOST_SORTS
        # To compare all columns costs as much as many sorts: it is tried after 1, 2, 4, … of them.
        if len(rows) and (last or sorts >= 2 * compared):
            compared = max(sorts, 1)
            starts = _starts(run)
            narrow = _narrow(matrices, tolerances, rows, starts)
            sizes = np.diff(np.append(starts, len(rows)))
            done = np.repeat(narrow, sizes)
            leader[rows[done]] = np.repeat(np.minimum.reduceat(rows, starts), sizes)[done]
            rows, run = rows[~done], run[~done]
        if last:
            unsure[rows] = True
            break
    return leader, unsure


def _columns(matrices: Sequence[Floats], tolerances: Sequence[float]) -> Iterator[tuple[Floats, float, int]]:
    """The first column of each matrix, then the second of each, …, over and over."""
    while True:
        for j in range(max(matrix.shape[1] for matrix in matrices)):
            for matrix, tolerance in zip(matrices, tolerances, strict=True):
                if j < matrix.shape[1]:
                    yield matrix, tolerance, j


def _parted(rows: Ints, run: Ints, values: Floats, tolerance: float) -> tuple[Ints, Ints, bool, bool]:
    """Rows sorted into runs whose neighbours' values are no farther apart than the tolerance, without those
    that are alone; whether they had to be sorted; and whether a run fell apart."""
    if values.max() - values.min() <= tolerance:
        return rows, run, False, False
    order = np.lexsort((values, run))
    rows, run, values = rows[order], run[order], values[order]
    same = run[1:] == run[:-1]
    apart = ~same | (values[1:] - values[:-1] > tolerance)
    begins = np.concatenate([[True], apart])
    alone = begins & np.concatenate([apart, [True]])
    return rows[~alone], np.cumsum(begins)[~alone], True, bool((apart & same).any())


def _starts(run: Ints) -> Ints:
    """Index of the first element of each run in sorted run numbers."""
    return np.flatnonzero(np.concatenate([[True], run[1:] != run[:-1]]))


def _narrow(matrices: Sequence[Floats], tolerances: Sequence[float], rows: Ints, starts: Ints) -> Bools:
    """(runs,) which runs of rows are nowhere wider than the tolerance."""
    narrow = np.ones(len(starts), np.bool_)
    width = max(1, BLOCK // len(rows))
    for matrix, tolerance in zip(matrices, tolerances, strict=True):
        for first in range(0, matrix.shape[1], width):
            if not narrow.any():
                return narrow
            block = matrix[:, first : first + width][rows]
            widest = np.maximum.reduceat(block, starts) - np.minimum.reduceat(block, starts)
            narrow &= (widest <= tolerance).all(1)
    return narrow


def row_keys(*matrices: Floats) -> NDArray[np.uint64]:
    """(n,) a number for each row of matrices (n, d) side by side: equal for equal rows, else different.

    Two different rows of a billion share one with probability below 0.03: 64 mixed bits. A last bit gives
    another number: it tells what is exactly equal, and nothing may be drawn by it.
    """
    keys = np.zeros(len(matrices[0]), np.uint64)
    for number, matrix in enumerate(matrices):
        random = np.random.default_rng([64, number]).bytes(16 * matrix.shape[1])
        factors = np.frombuffer(random, np.uint64).reshape(2, -1) | np.uint64(1)
        rows = max(1, CACHED // matrix.shape[1])
        for start in range(0, len(keys), rows):
            part = slice(start, start + rows)
            bits = (matrix[part] + 0.0).view(np.uint64)  # + 0.0 turns −0 into 0, and copies
            for shift, factor in zip((29, 32), factors, strict=True):
                bits ^= bits >> np.uint64(shift)
                bits *= factor
            keys[part] += bits.sum(1, dtype=np.uint64)
    keys ^= keys >> np.uint64(32)
    keys *= np.uint64(0x9E3779B97F4A7C15)
    return np.asarray(keys ^ (keys >> np.uint64(29)))
