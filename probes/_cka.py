"""Linear centred kernel alignment."""

from __future__ import annotations

import numpy as np

from probes._measure import ArrayLike, Floats, Measure, centred_unit
from probes._resampling import Labels, similarity

MIN_DEBIASED = 4
"""Rows that the unbiased estimate needs: it divides by n − 3."""


def cka(x: ArrayLike, y: ArrayLike, *, debiased: bool = False, groups: Labels | None = None) -> Measure:
    """Linear CKA of x (n, d₁) and y (n, d₂): ‖XᵀY‖² / (‖XᵀX‖·‖YᵀY‖), columns centred.

    Kornblith et al., arXiv 1905.00414, equation 3: biased, and so well above 0 for unrelated data when n
    is not large against d. ``debiased`` puts the unbiased HSIC (Song et al. 2012, equation 5) in its
    place, about 0 there. 1 for any rotation, reflection or scale of x, mirror images included.
    """
    return similarity(x, y, groups, _debiased if debiased else _alignment, low=-1.0 if debiased else 0.0)


def _debiased(x: Floats, y: Floats) -> tuple[float | None, str]:
    if len(x) < MIN_DEBIASED:
        return None, f"{len(x)} rows, at least {MIN_DEBIASED} are needed"
    a, b = centred_unit(x), centred_unit(y)
    own = _unbiased_hsic(a, a) * _unbiased_hsic(b, b)
    if own <= 0:
        return None, "an unbiased self-similarity is not positive"
    return float(_unbiased_hsic(a, b) / np.sqrt(own)), ""


def _unbiased_hsic(x: Floats, y: Floats) -> float:
    """n(n − 3) times Song et al.'s estimate, for linear kernels without their diagonals, in O(n·d²)."""
    n = len(x)
    x_norms, y_norms = np.square(x).sum(1), np.square(y).sum(1)
    x_sums, y_sums = x @ x.sum(0) - x_norms, y @ y.sum(0) - y_norms
    products = (x @ x.T * (y @ y.T)).sum() if n < min(x.shape[1], y.shape[1]) else np.square(x.T @ y).sum()
    trace = products - (x_norms * y_norms).sum()
    total = x_sums.sum() * y_sums.sum() / ((n - 1) * (n - 2))
    return float(trace + total - 2 / (n - 2) * (x_sums * y_sums).sum())


def _alignment(x: Floats, y: Floats) -> tuple[float | None, str]:
    a, b = centred_unit(x), centred_unit(y)
    n = len(a)
    if n < min(a.shape[1], b.shape[1]):
        left, right = a @ a.T, b @ b.T
        cross = float((left * right).sum())
        own = float(np.linalg.norm(left) * np.linalg.norm(right))
    else:
        cross = float(np.square(a.T @ b).sum())
        own = float(np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    return min(1.0, cross / own), ""
