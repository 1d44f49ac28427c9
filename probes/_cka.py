"""Linear centred kernel alignment."""

from __future__ import annotations

import numpy as np

from probes._measure import ArrayLike, Floats, Measure, is_constant
from probes._resampling import Labels, similarity


def cka(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None) -> Measure:
    """Linear CKA of x (n, d₁) and y (n, d₂): ‖XᵀY‖² / (‖XᵀX‖·‖YᵀY‖), columns centred.

    Kornblith et al., arXiv 1905.00414, equation 3 (the biased estimate: well above 0 for unrelated data
    when n is not large against d). 1 for any rotation, reflection or scale of x, mirror images included.
    """
    return similarity(x, y, groups, _alignment)


def _alignment(x: Floats, y: Floats) -> tuple[float | None, str]:
    unit = []
    for name, matrix in (("x", x), ("y", y)):
        if is_constant(matrix):
            return None, f"{name} is constant"
        centred = matrix - matrix.mean(0)
        unit.append(centred / np.abs(centred).max())
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
