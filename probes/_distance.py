"""Distances between paired embeddings: L2 per state, relative L2, and whose neighbour each state is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from probes._measure import (
    CONSTANT_BASE,
    ROUNDING,
    ArrayLike,
    Floats,
    Labels,
    Measure,
    ProbeError,
    as_pair,
    is_constant,
)
from probes._resampling import interval, labels, make_groups, share
from probes._states import SAME, typical

NEAREST_LIMIT = 20_000
"""Rows up to which all n² distances are computed: 20,000 × 256 take about eight seconds."""


@dataclass(frozen=True)
class Distance:
    """L2 distances between paired embeddings x and y."""

    per_state: Floats
    """(n,) ‖x_i − y_i‖."""
    per_axis: Floats
    """(d,) root mean square of x_i − y_i along each axis; its squares sum to the mean squared distance."""
    mean: Measure
    relative: Measure
    """The mean over the root mean square distance of the base's rows from their centre."""
    unrelated: float | None = None
    """Mean distance of rows of x from rows of y of other states: what :attr:`mean` would be if nothing tied a
    state's two places to each other. None for data that were read once."""


UNRELATED_PAIRS = 4000
"""Pairs of different states whose mean distance is taken: it is then known to about a hundredth of itself."""


def l2(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None, seed: int = 0) -> Distance:
    """L2 distances of the transfer's embedding x from the base's y, (n, d) or (n, ...), row by row."""
    transfer, base = same_shape(x, y)
    squares = np.square(transfer - base)
    each, axes = np.sqrt(squares.sum(1)), np.sqrt(squares.mean(0))
    state = labels(groups, transfer, base)
    resampling = make_groups(state, seed)
    spread = np.square(base - base.mean(0)).sum(1)
    sums = resampling.resampled(np.stack([each, spread, np.ones(len(each))], 1))
    mean = interval(float(each.mean()), sums[:, 0] / sums[:, 2], resampling.count, low=0.0)
    unrelated = _between_states(transfer, base, state, seed)
    if is_constant(base):
        return Distance(each, axes, mean, Measure.undefined(CONSTANT_BASE), unrelated)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = (sums[:, 0] / sums[:, 2]) / np.sqrt(sums[:, 1] / sums[:, 2])
    relative = interval(float(each.mean() / np.sqrt(spread.mean())), draws, resampling.count, low=0.0)
    return Distance(each, axes, mean, relative, unrelated)


def _between_states(x: Floats, y: Floats, state: NDArray[np.int64], seed: int) -> float | None:
    """Mean distance of a row of x from a row of y of another state; None where all rows are of one."""
    rows = np.random.default_rng([seed, 2]).permutation(len(x))[:UNRELATED_PAIRS]
    total, count = 0.0, 0
    for shift in range(1, min(len(rows), 1 + UNRELATED_PAIRS // len(rows))):
        other = np.roll(rows, shift)
        apart = state[rows] != state[other]
        total += float(np.linalg.norm(x[rows[apart]] - y[other[apart]], axis=1).sum())
        count += int(apart.sum())
    return total / count if count else None


def cosine(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None, seed: int = 0) -> Measure:
    """Mean cosine of the angle between paired rows of x and y, (n, d), about the origin: 1, or −1 for −x.

    Undefined where a row is zero.
    """
    transfer, base = same_shape(x, y)
    ours, theirs = np.linalg.norm(transfer, axis=1), np.linalg.norm(base, axis=1)
    # A row that is 0 but for rounding points in no direction.
    zero = (ours <= ROUNDING * ours.max()) | (theirs <= ROUNDING * theirs.max())
    if zero.any():
        return Measure.undefined(f"{int(zero.sum())} rows are zero")
    each = (transfer * base).sum(1) / (ours * theirs)
    resampling = make_groups(labels(groups, transfer, base), seed)
    sums = resampling.resampled(np.stack([each, np.ones(len(each))], 1))
    return interval(float(each.mean()), sums[:, 0] / sums[:, 1], resampling.count, -1.0, 1.0)


def nearest_own(
    x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None, seed: int = 0
) -> tuple[Measure, NDArray[np.bool_]]:
    """Share of rows of x whose nearest row of y is their own, and which are.

    Among rows that are equally near within rounding (those of one state, or of a lattice) the row's own
    counts as nearest. A frozen model asks just this: is each state where the model expects it to be?
    """
    transfer, base = same_shape(x, y)
    if is_constant(base):
        return Measure.undefined(CONSTANT_BASE), np.empty(0, np.bool_)
    if len(base) > NEAREST_LIMIT:
        reason = f"{len(base)} rows, computed up to {NEAREST_LIMIT}"
        return Measure.undefined(reason), np.empty(0, np.bool_)
    own = np.empty(len(base), np.bool_)
    slack = rounding_distance(base)
    for part, squares in distances_by_part(transfer, base):
        own_squares = squares[np.arange(len(squares)), np.arange(len(base))[part]]
        own[part] = np.sqrt(own_squares) <= np.sqrt(squares.min(1)) + slack
    state = labels(groups, transfer, base)
    weights = 1 / np.bincount(state)[state]
    count = int(state.max()) + 1
    rate = share(float((own * weights).sum() / count), count)
    return replace(rate, value=float(own.mean())), own


def distances_by_part(x: Floats, y: Floats) -> Iterator[tuple[slice, Floats]]:
    """Rows of x (n, d), some at a time, with their squared distances (rows, m) from those of y (m, d).

    They come from a matrix product, ten times faster than one by one.
    """
    centre = y.mean(0)
    a, b = x - centre, y - centre
    norms = np.square(b).sum(1)
    rows = max(1, 2**22 // len(b))
    for start in range(0, len(a), rows):
        part = slice(start, start + rows)
        squares = norms - 2 * (a[part] @ b.T)
        squares += np.square(a[part]).sum(1)[:, None]
        yield part, np.maximum(squares, 0, out=squares)


def rounding_distance(y: Floats) -> float:
    """The distance between rows of y (n, d) up to which they are equal within rounding."""
    return SAME * typical(y) * float(np.sqrt(y.shape[1]))


def same_shape(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    transfer, base = as_pair(x, y)
    if transfer.shape != base.shape:
        raise ProbeError(f"x has {transfer.shape[1]} dimensions and y has {base.shape[1]}, expected equal")
    return transfer, base
