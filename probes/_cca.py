"""Canonical correlation analysis and its two relatives, exactly, from covariances in float64."""

from __future__ import annotations

import numpy as np

from probes._alignment import RELATIVE_RANK
from probes._measure import ROUNDING, ArrayLike, Floats, Measure, ProbeError, centred_unit
from probes._resampling import Labels, similarity

VARIANCE_KEPT = 0.99
"""Share of the variance that SVCCA keeps (Raghu et al., section 2.1)."""


def cca(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None) -> Measure:
    """Mean canonical correlation of x (n, d₁) and y (n, d₂) over min(rank x, rank y) pairs (Hotelling 1936).

    1 for any invertible linear map of x, mirror images included; undefined where n ≤ rank x + rank y,
    since unrelated data would then score 1.
    """
    return similarity(x, y, groups, _mean_correlation)


def svcca(
    x: ArrayLike, y: ArrayLike, *, kept: float = VARIANCE_KEPT, groups: Labels | None = None
) -> Measure:
    """CCA of the leading principal components of x and y that hold ``kept`` of their variance.

    Raghu et al., arXiv 1706.05806. The share is of the variance (squared singular values), not of the
    singular values' sum, which other libraries take. Raises ProbeError unless 0 < kept ≤ 1.
    """
    if not 0 < kept <= 1:
        raise ProbeError(f"kept is {kept}, expected more than 0 and at most 1")

    def score(left: Floats, right: Floats) -> tuple[float | None, str]:
        return _mean_correlation(_leading(left, kept), _leading(right, kept))

    return similarity(x, y, groups, score)


def pwcca(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None) -> Measure:
    """Projection-weighted CCA: each correlation weighted by how much of x its direction accounts for.

    Morcos et al., arXiv 1806.05759, section 3.2: weights Σ_j |⟨h_i, x_j⟩|, normalised, for the canonical
    variates h_i of x. Not symmetric: x is the one whose directions count.
    """
    return similarity(x, y, groups, _weighted_correlation)


def _mean_correlation(x: Floats, y: Floats) -> tuple[float | None, str]:
    whitened, reason = _whitened_pair(x, y)
    if whitened is None:
        return None, reason
    correlations = np.linalg.svd(whitened[0].T @ whitened[1], compute_uv=False)
    return float(np.clip(correlations, 0, 1).mean()), ""


def _weighted_correlation(x: Floats, y: Floats) -> tuple[float | None, str]:
    whitened, reason = _whitened_pair(x, y)
    if whitened is None:
        return None, reason
    left, correlations, _ = np.linalg.svd(whitened[0].T @ whitened[1], full_matrices=False)
    weights = np.abs((whitened[0] @ left).T @ centred_unit(x)).sum(1)
    return float((np.clip(correlations, 0, 1) * weights).sum() / weights.sum()), ""


def _whitened_pair(x: Floats, y: Floats) -> tuple[tuple[Floats, Floats] | None, str]:
    left, right = _whiten(x), _whiten(y)
    ranks = left.shape[1] + right.shape[1]
    if len(x) <= ranks:
        return None, f"{len(x)} rows, more than rank x + rank y = {ranks} are needed"
    return (left, right), ""


def _leading(x: Floats, kept: float) -> Floats:
    """x in its leading principal components, (n, k)."""
    centred = x - x.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    share = np.cumsum(np.square(values)) / max(np.square(values).sum(), np.finfo(float).tiny)
    count = int(np.searchsorted(share, kept * (1 - ROUNDING))) + 1
    return np.asarray(left[:, :count] * values[:count])


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
