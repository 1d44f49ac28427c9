"""Do the same states lie near each other in both embeddings?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from probes._distance import NEAREST_LIMIT, distances_by_part, rounding_distance
from probes._measure import ArrayLike, Floats, Labels, Measure, ProbeError, as_pair, is_constant
from probes._resampling import interval, labels, make_groups

NEIGHBOURS = 10
"""k, as in Huh et al., arXiv 2405.07987, who take 10."""


def knn_overlap(
    x: ArrayLike, y: ArrayLike, *, k: int = NEIGHBOURS, groups: Labels | None = None, seed: int = 0
) -> Measure:
    """Mean share of a row's k nearest rows that x (n, d₁) and y (n, d₂) have in common.

    Rows that are equally far within rounding share the last places. 1 for any map that keeps the order of
    distances, mirror images included; k/(n − 1) is expected of unrelated data. Raises ProbeError unless
    0 < k < n.
    """
    transfer, base = as_pair(x, y)
    n = len(base)
    if not 0 < k < n:
        raise ProbeError(f"k is {k}, expected 1 to {n - 1} for {n} rows")
    for name, matrix in (("x", transfer), ("y", base)):
        if is_constant(matrix):
            return Measure.undefined(f"{name} is constant")
    if n > NEAREST_LIMIT:
        return Measure.undefined(f"{n} rows, computed up to {NEAREST_LIMIT}")
    shared = np.empty(n)
    for (part, ours), (_, theirs) in zip(_neighbours(transfer, k), _neighbours(base, k), strict=True):
        shared[part] = np.minimum(ours, theirs).sum(1) / k
    resampling = make_groups(labels(groups, transfer, base), seed)
    sums = resampling.resampled(np.stack([shared, np.ones(n)], 1))
    return interval(float(shared.mean()), sums[:, 0] / sums[:, 1], resampling.count, 0.0, 1.0)


def _neighbours(x: Floats, k: int) -> Iterator[tuple[slice, Floats]]:
    """Rows of x (n, d), some at a time, with the weight (rows, n) of each row among their k nearest others.

    1 for a neighbour. Rows that are as far as the k-th, within rounding, share the places that are left:
    which of them came first would hang on a last bit, and they are many where states repeat or lie in a
    lattice.
    """
    slack = rounding_distance(x)
    for part, squares in distances_by_part(x, x):
        rows = np.arange(len(squares))
        squares[rows, rows + part.start] = np.inf
        last = np.sqrt(np.partition(squares, k - 1, axis=1)[:, k - 1 : k])
        nearer = squares < np.square(np.maximum(last - slack, 0))
        tied = ~nearer & (squares <= np.square(last + slack))
        left = k - nearer.sum(1, keepdims=True)
        yield part, nearer + tied * (left / tied.sum(1, keepdims=True))
