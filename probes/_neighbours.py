"""Do the same states lie near each other in both embeddings?"""

from __future__ import annotations

import numpy as np

from probes._distance import NEAREST_LIMIT, distances_by_part
from probes._measure import ArrayLike, Floats, Measure, ProbeError, as_pair, is_constant
from probes._resampling import Labels, interval, labels, make_groups

NEIGHBOURS = 10
"""k, as in Huh et al., arXiv 2405.07987, who take 10."""


def knn_overlap(
    x: ArrayLike, y: ArrayLike, *, k: int = NEIGHBOURS, groups: Labels | None = None, seed: int = 0
) -> Measure:
    """Mean share of a row's k nearest rows that x (n, d₁) and y (n, d₂) have in common.

    1 for any map that keeps the order of distances, mirror images included; k/(n − 1) is expected of
    unrelated data. Raises ProbeError unless 0 < k < n.
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
    ours, theirs = _nearest(transfer, k), _nearest(base, k)
    shared = (ours[:, :, None] == theirs[:, None, :]).any(2).mean(1)
    resampling = make_groups(labels(groups, transfer, base), seed)
    sums = resampling.resampled(np.stack([shared, np.ones(n)], 1))
    return interval(float(shared.mean()), sums[:, 0] / sums[:, 1], resampling.count, 0.0, 1.0)


def _nearest(x: Floats, k: int) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """(n, k) each row's nearest other rows."""
    from scipy.spatial import KDTree

    n, d = x.shape
    if d <= 16:  # above it a tree visits nearly every row
        found = KDTree(x).query(x, k + 1)[1].reshape(n, -1)
    else:
        found = np.concatenate(
            [np.argpartition(near, k, axis=1)[:, : k + 1] for _, near in distances_by_part(x, x)]
        )
    itself = found == np.arange(n)[:, None]
    # Where equal rows push a row out of its own list, its last neighbour goes instead.
    itself[~itself.any(1), -1] = True
    return np.asarray(found[~itself].reshape(n, k))
