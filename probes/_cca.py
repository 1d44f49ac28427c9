"""Canonical correlation analysis and its two relatives, exactly, from covariances in float64."""

from __future__ import annotations

import numpy as np

from probes._measure import ROUNDING, ArrayLike, Floats, Labels, Measure, ProbeError
from probes._moments import Moments
from probes._resampling import similarity

VARIANCE_KEPT = 0.99
"""Share of the variance that SVCCA keeps (Raghu et al., section 2.1)."""

RELATIVE_RANK = 1e-12
"""Covariance eigenvalues below this share of the largest count as zero: float64 keeps 15 digits."""

WELL_CONDITIONED = 1e-10
"""Reciprocal condition above which a covariance is whitened by its Cholesky factor, three times faster
than by its eigenvectors; it leaves no direction near :data:`RELATIVE_RANK`."""


def cca(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None, interval: bool = True) -> Measure:
    """Mean canonical correlation of x (n, d₁) and y (n, d₂) over min(rank x, rank y) pairs (Hotelling 1936).

    1 for any invertible linear map of x, mirror images included; undefined where n ≤ rank x + rank y,
    since unrelated data would then score 1. The interval is the population's: where n is not large
    against the ranks it lies below the value, which is biased upwards.
    """
    return similarity(x, y, groups, mean_correlation, with_interval=interval)


def svcca(
    x: ArrayLike,
    y: ArrayLike,
    *,
    kept: float = VARIANCE_KEPT,
    groups: Labels | None = None,
    interval: bool = True,
) -> Measure:
    """CCA of the leading principal components of x and y that hold ``kept`` of their variance.

    Raghu et al., arXiv 1706.05806. The share is of the variance (squared singular values), not of the
    singular values' sum, which other libraries take. Raises ProbeError unless 0 < kept ≤ 1.
    """
    if not 0 < kept <= 1:
        raise ProbeError(f"kept is {kept}, expected more than 0 and at most 1")

    def score(m: Moments) -> tuple[float | None, str]:
        return _mean(m, _leading(m.x_scatter, kept), _leading(m.y_scatter, kept))

    return similarity(x, y, groups, score, with_interval=interval)


def pwcca(x: ArrayLike, y: ArrayLike, *, groups: Labels | None = None, interval: bool = True) -> Measure:
    """Projection-weighted CCA: each correlation weighted by how much of x its direction accounts for.

    Morcos et al., arXiv 1806.05759, section 3.2: weights Σ_j |⟨h_i, x_j⟩|, normalised, for the canonical
    variates h_i of x. Not symmetric: x is the one whose directions count.
    """
    return similarity(x, y, groups, weighted_correlation, with_interval=interval, rotates=False)


def mean_correlation(m: Moments) -> tuple[float | None, str]:
    """Mean canonical correlation from sums; x and y must vary."""
    return _mean(m, whitening(m.x_scatter, m.x_moves), whitening(m.y_scatter, m.y_moves))


def weighted_correlation(m: Moments) -> tuple[float | None, str]:
    """Projection-weighted correlation from sums; x and y must vary."""
    left, right = whitening(m.x_scatter, m.x_moves), whitening(m.y_scatter, m.y_moves)
    reason = too_few(m.n, left.shape[1] + right.shape[1])
    if reason:
        return None, reason
    turns, correlations, _ = np.linalg.svd(left.T @ m.cross_scatter @ right, full_matrices=False)
    weights = np.abs(turns.T @ left.T @ m.x_scatter).sum(1)
    return float((np.clip(correlations, 0, 1) * weights).sum() / weights.sum()), ""


def whitening(scatter: Floats, moving: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """W (d, rank) such that WᵀSW = 1 for the scatter S (d, d), its columns first brought to unit size."""
    from scipy.linalg import lapack

    sizes = np.sqrt(np.diag(scatter)[moving])
    d = len(scatter)
    whitener = np.zeros((d, len(sizes)))
    correlation = scatter[np.ix_(moving, moving)] / np.outer(sizes, sizes)
    factor, failed = lapack.dpotrf(correlation, lower=1)
    if not failed:
        condition, _ = lapack.dpocon(factor, np.abs(correlation).sum(0).max(), uplo="L")
        if condition > WELL_CONDITIONED:
            inverse, _ = lapack.dtrtri(factor, lower=1)
            whitener[moving] = inverse.T / sizes[:, None]
            return whitener
    values, vectors = np.linalg.eigh(correlation)
    keep = values > values[-1] * RELATIVE_RANK
    whitener[moving] = vectors / sizes[:, None]
    return np.asarray(whitener[:, keep] / np.sqrt(values[keep]))


def too_few(rows: int, ranks: int) -> str:
    """Why there is no CCA of so few rows; empty where there is one."""
    return "" if rows > ranks else f"{rows} rows, more than rank x + rank y = {ranks} are needed"


def _mean(m: Moments, left: Floats, right: Floats) -> tuple[float | None, str]:
    reason = too_few(m.n, left.shape[1] + right.shape[1])
    if reason:
        return None, reason
    correlations = np.linalg.svd(left.T @ m.cross_scatter @ right, compute_uv=False)
    return float(np.clip(correlations, 0, 1).mean()), ""


def _leading(scatter: Floats, kept: float) -> Floats:
    """W (d, k) that whitens the leading principal components with this share of the variance."""
    values, vectors = np.linalg.eigh(scatter)
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    share = np.cumsum(values) / values.sum()
    count = int(np.searchsorted(share, kept * (1 - ROUNDING))) + 1
    count = min(count, int((values > values[0] * RELATIVE_RANK).sum()))
    return np.asarray(vectors[:, :count] / np.sqrt(values[:count]))
