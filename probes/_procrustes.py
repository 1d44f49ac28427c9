"""Procrustes similarity: how much of one shape a rotation and a scale carry onto another."""

from __future__ import annotations

import numpy as np

from probes._direct import overlap_value
from probes._measure import ArrayLike, Labels, Measure
from probes._moments import Moments
from probes._resampling import similarity


def procrustes(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None, interval: bool = True) -> Measure:
    """‖XᵀY‖_* of x (n, d₁) and y (n, d₂), centred and brought to unit norm: 1 for equal shapes, 0 at worst.

    Its arc cosine is the angular shape distance (:func:`shape_distance`). 1 for any rotation, reflection
    or scale of x, mirror images included. The interval is the population's.
    """
    if not interval and (value := overlap_value(x, y)) is not None:
        return Measure(value)
    return similarity(x, y, groups, shape_overlap, with_interval=interval)


def shape_distance(
    x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None, interval: bool = True
) -> Measure:
    """Angular Procrustes distance, in radians from 0 to π/2: a metric between shapes.

    Williams et al., arXiv 2110.14739, equation 4.

    >>> import numpy as np
    >>> y = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(shape_distance(-2 * y, y).value, 6)
    0.0
    """
    overlap = procrustes(x, y, groups=groups, interval=interval)
    angle, low, high = (
        None if v is None else float(np.arccos(v)) for v in (overlap.value, overlap.high, overlap.low)
    )
    return Measure(angle, low, high, overlap.reason)


def shape_overlap(m: Moments) -> tuple[float | None, str]:
    """Procrustes similarity from sums; x and y must vary."""
    size = np.sqrt(np.trace(m.x_scatter) * np.trace(m.y_scatter))
    return float(min(1.0, np.linalg.svd(m.cross_scatter, compute_uv=False).sum() / size)), ""
