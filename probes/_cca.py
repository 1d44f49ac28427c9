"""Canonical correlation analysis, exactly, from covariances in float64."""

from __future__ import annotations

import numpy as np

from probes._alignment import RELATIVE_RANK
from probes._measure import ArrayLike, Floats, Measure, as_pair
from probes._resampling import Labels, jackknife, labels

INTERVAL_COST = 10**9
"""n·d² up to which the interval, twenty times the cost of the value, is computed."""


def cca(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None) -> Measure:
    """Mean canonical correlation of x (n, d₁) and y (n, d₂) over min(rank x, rank y) pairs (Hotelling 1936).

    1 for any invertible linear map of x, mirror images included; undefined where n ≤ rank x + rank y,
    since unrelated data would then score 1.
    """
    transfer, base = as_pair(x, y)
    value, reason = _mean_correlation(transfer, base)
    if value is None:
        return Measure.undefined(reason)
    if len(base) * max(transfer.shape[1], base.shape[1]) ** 2 > INTERVAL_COST:
        return Measure(value, reason="no interval at this size")
    state = labels(groups, transfer, base)

    def left_out(stay: np.ndarray) -> float:
        found, _ = _mean_correlation(transfer[stay], base[stay])
        return float("nan") if found is None else found

    return jackknife(state, left_out, value)


def _mean_correlation(x: Floats, y: Floats) -> tuple[float | None, str]:
    whitened = []
    for name, matrix in (("x", x), ("y", y)):
        white = _whiten(matrix)
        if white is None:
            return None, f"{name} is constant"
        whitened.append(white)
    n, ranks = len(x), [w.shape[1] for w in whitened]
    if n <= sum(ranks):
        return None, f"{n} rows, more than rank x + rank y = {sum(ranks)} are needed"
    correlations = np.linalg.svd(whitened[0].T @ whitened[1], compute_uv=False)
    return float(np.clip(correlations, 0, 1).mean()), ""


def _whiten(x: Floats) -> Floats | None:
    """Centred x in an orthonormal basis of its columns, (n, rank); None where it is constant."""
    centred = x - x.mean(0)
    scale = np.abs(centred).max()
    if scale <= 1e-12 * max(1e-300, np.abs(x).max()):
        return None
    values, vectors = np.linalg.eigh((centred / scale).T @ (centred / scale))
    keep = values > values[-1] * RELATIVE_RANK
    return np.asarray((centred / scale) @ (vectors[:, keep] / np.sqrt(values[keep])))
