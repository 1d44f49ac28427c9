"""Linear centred kernel alignment."""

from __future__ import annotations

import numpy as np

from probes._cca import INTERVAL_COST
from probes._measure import ArrayLike, Floats, Measure, as_pair
from probes._resampling import Labels, jackknife, labels


def cka(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None) -> Measure:
    """Linear CKA of x (n, d₁) and y (n, d₂): ‖XᵀY‖² / (‖XᵀX‖·‖YᵀY‖), columns centred.

    Kornblith et al., arXiv 1905.00414, equation 3 (the biased estimate: well above 0 for unrelated data
    when n is not large against d). 1 for any rotation, reflection or scale of x, mirror images included.
    """
    transfer, base = as_pair(x, y)
    value, reason = _alignment(transfer, base)
    if value is None:
        return Measure.undefined(reason)
    if len(base) * max(transfer.shape[1], base.shape[1]) ** 2 > INTERVAL_COST:
        return Measure(value, reason="no interval at this size")
    state = labels(groups, transfer, base)

    def left_out(stay: np.ndarray) -> float:
        found, _ = _alignment(transfer[stay], base[stay])
        return float("nan") if found is None else found

    return jackknife(state, left_out, value)


def _alignment(x: Floats, y: Floats) -> tuple[float | None, str]:
    unit = []
    for name, matrix in (("x", x), ("y", y)):
        centred = matrix - matrix.mean(0)
        scale = np.abs(centred).max()
        if scale <= 1e-12 * max(1e-300, np.abs(matrix).max()):
            return None, f"{name} is constant"
        unit.append(centred / scale)
    a, b = unit
    n = len(a)
    if n < min(a.shape[1], b.shape[1]):
        left, right = a @ a.T, b @ b.T
        cross = float((left * right).sum())
        own = float(np.linalg.norm(left) * np.linalg.norm(right))
    else:
        cross = float(np.square(a.T @ b).sum())
        own = float(np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    return min(1.0, cross / own), ""
