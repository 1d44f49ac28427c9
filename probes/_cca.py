"""Canonical correlation analysis, exactly, from covariances in float64."""

from __future__ import annotations

import numpy as np

from probes._alignment import RELATIVE_RANK
from probes._measure import ROUNDING, ArrayLike, Floats, Measure, is_constant
from probes._resampling import Labels, similarity


def cca(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None) -> Measure:
    """Mean canonical correlation of x (n, d₁) and y (n, d₂) over min(rank x, rank y) pairs (Hotelling 1936).

    1 for any invertible linear map of x, mirror images included; undefined where n ≤ rank x + rank y,
    since unrelated data would then score 1.
    """
    return similarity(x, y, groups, _mean_correlation)


def _mean_correlation(x: Floats, y: Floats) -> tuple[float | None, str]:
    whitened = []
    for name, matrix in (("x", x), ("y", y)):
        if is_constant(matrix):
            return None, f"{name} is constant"
        whitened.append(_whiten(matrix))
    n, ranks = len(x), [w.shape[1] for w in whitened]
    if n <= sum(ranks):
        return None, f"{n} rows, more than rank x + rank y = {sum(ranks)} are needed"
    correlations = np.linalg.svd(whitened[0].T @ whitened[1], compute_uv=False)
    return float(np.clip(correlations, 0, 1).mean()), ""


def _whiten(x: Floats) -> Floats:
    """Centred x in an orthonormal basis of its columns, (n, rank), each column first brought to unit size."""
    centred = x - x.mean(0)
    sizes = np.abs(centred).max(0)
    moving = sizes > ROUNDING * np.abs(x).max(0)
    unit = centred[:, moving] / sizes[moving]
    if unit.shape[1] >= len(unit):
        left, values, _ = np.linalg.svd(unit, full_matrices=False)
        basis: Floats = left[:, values > values[0] * np.sqrt(RELATIVE_RANK)]
        return basis
    values, vectors = np.linalg.eigh(unit.T @ unit)
    keep = values > values[-1] * RELATIVE_RANK
    return np.asarray(unit @ (vectors[:, keep] / np.sqrt(values[keep])))
