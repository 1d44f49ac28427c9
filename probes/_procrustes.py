"""Procrustes similarity: how much of one shape a rotation and a scale carry onto another."""

from __future__ import annotations

import numpy as np

from probes._measure import ArrayLike, Floats, Measure, centred_unit
from probes._resampling import Labels, similarity


def procrustes(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None) -> Measure:
    """‖XᵀY‖_* of x (n, d₁) and y (n, d₂), centred and brought to unit norm: 1 for equal shapes, 0 at worst.

    Its arc cosine is the angular shape distance of Williams et al., arXiv 2110.14739, equation 4. 1 for
    any rotation, reflection or scale of x, mirror images included.
    """
    return similarity(x, y, groups, _overlap)


def _overlap(x: Floats, y: Floats) -> tuple[float | None, str]:
    a, b = (centred / np.linalg.norm(centred) for centred in (centred_unit(x), centred_unit(y)))
    return float(min(1.0, np.linalg.svd(a.T @ b, compute_uv=False).sum())), ""
