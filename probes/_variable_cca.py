"""The canonical correlation of an embedding with a known variable, next to what chance would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes._measure import ROUNDING, ArrayLike, Floats, Labels, ProbeError, is_constant
from probes._variables import Variable, distinct_rows, paired, shuffled_rows

DRAWS = 1000
"""Random embeddings: the smallest p-value is then 0.001."""

SHUFFLES = 199
"""Shuffles of whole groups, where groups are given: the smallest p-value is then 0.005."""

RANK = 1e-7
"""Singular values below this share of the largest are what float32 leaves of a missing dimension."""


@dataclass(frozen=True)
class VariableCCA:
    """The leading canonical correlation of an embedding with a variable, and of random embeddings."""

    value: float | None
    random_mean: float | None = None
    """The mean over random embeddings of the same size."""
    random_high: float | None = None
    """95% quantile over random embeddings of the same size."""
    random_most: float | None = None
    """The most that one of them reached."""
    factor: float | None = None
    """``value`` over ``random_mean``."""
    p: float | None = None
    """p-value by chance: (1 + times it does as well) / (1 + draws)."""
    draws: int = 0
    p_floor: float | None = None
    """The least p that the draws, and the shuffles of whole episodes where they decide, could give."""
    rows: int = 0
    """Rows used: all, or as many as :data:`probes.ROWS`."""
    reason: str | None = None
    """Why there is no value."""


def variable_cca(
    x: ArrayLike,
    variable: ArrayLike | Variable,
    *,
    groups: Labels | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> VariableCCA:
    """Leading canonical correlation of x (n, d) with a variable of its rows (Hotelling 1936).

    The largest correlation that any direction in x has with the variable (for categories, and for (n, k)
    numbers: with any combination of its columns). In many dimensions some direction always correlates, so
    it stands next to ``draws`` Gaussian embeddings with as many distinct rows and as many dimensions (the
    rank of x): the factor of latent-space generalisation with DreamerV2, section 3.3, and how often chance
    does as well. ``groups`` names the episode of each row: rows of an episode are alike, which random rows
    are not, so p is then the larger of that and of 199 shuffles of whole episodes. Undefined where the
    distinct rows are no more than the ranks of x and of the variable, since anything would then reach 1.
    Raises :class:`ProbeError`.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> result = variable_cca(x, x @ [1, 2, 3])
    >>> round(result.value, 9), result.factor > 5, result.p < 0.01
    (1.0, True, True)
    """
    if draws < 1:
        raise ProbeError(f"draws is {draws}, expected at least 1")
    given = paired(x, variable, groups, seed)
    rows, target = len(given.x), given.target
    reason = "the embedding is constant" if is_constant(given.x) else target.unusable
    if reason is not None:
        return VariableCCA(None, rows=rows, reason=reason)
    left, right = _basis(given.x), _basis(target.columns)
    distinct = int(distinct_rows(given.x).max()) + 1
    ranks = left.shape[1] + right.shape[1]
    if distinct <= ranks:
        reason = f"{distinct} distinct rows, more than {left.shape[1]} + {right.shape[1]} dimensions needed"
        return VariableCCA(None, rows=rows, reason=reason)
    value = _leading(left, right)
    rng = np.random.default_rng(seed)
    chance = _random_correlations(distinct - 1, left.shape[1], right.shape[1], draws, rng)
    p, tried = _share(chance, value), draws
    if groups is not None and given.count < rows:
        taken = shuffled_rows(target, given.index, SHUFFLES, rng)
        p = max(p, _share(np.array([_leading(left, right[t]) for t in taken]), value))
        tried = min(tried, len(taken))
    mean = float(chance.mean())
    return VariableCCA(
        value=value,
        random_mean=mean,
        random_high=float(np.quantile(chance, 0.95)),
        random_most=float(chance.max()),
        factor=value / mean,
        p=p,
        draws=draws,
        p_floor=1 / (1 + tried),
        rows=rows,
    )


def _share(chance: Floats, value: float) -> float:
    reached = int((chance >= value * (1 - ROUNDING)).sum())
    return (1 + reached) / (1 + len(chance))


def _leading(left: Floats, right: Floats) -> float:
    return min(1.0, float(np.linalg.svd(left.T @ right, compute_uv=False)[0]))


def _basis(x: Floats) -> Floats:
    """An orthonormal basis (n, rank) of the centred columns of x, each first brought to unit size."""
    centred = x - x.mean(0)
    sizes = np.abs(centred).max(0)
    moving = sizes > ROUNDING * np.abs(x).max(0)
    unit = centred[:, moving] / sizes[moving]
    if unit.shape[0] <= unit.shape[1]:
        left, values, _ = np.linalg.svd(unit, full_matrices=False)
        return np.asarray(left[:, values > RANK * values[0]])
    q, r = np.linalg.qr(unit)
    left, values, _ = np.linalg.svd(r)
    return np.asarray(q @ left[:, values > RANK * values[0]])


def _random_correlations(n: int, d: int, k: int, draws: int, rng: np.random.Generator) -> Floats:
    """(draws,) leading correlations of random d-dimensional subspaces of n dimensions with k given ones.

    Their squares are the largest eigenvalues of (A + B)⁻¹A with independent Wishart matrices A and B of
    max(d, k) and n − max(d, k) degrees of freedom (Mardia, Kent and Bibby 1979, section 3.7), each drawn
    by its Bartlett decomposition: no embedding need be made. For k = 1 that is a Beta(d/2, (n − d)/2).
    """
    small, large = min(d, k), max(d, k)
    a, b = (_wishart(freedom, small, draws, rng) for freedom in (large, n - large))
    lower = np.linalg.inv(np.linalg.cholesky(a + b))
    squares = np.linalg.eigvalsh(lower @ a @ lower.transpose(0, 2, 1))[:, -1]
    return np.asarray(np.sqrt(np.clip(squares, 0, 1)))


def _wishart(freedom: int, size: int, draws: int, rng: np.random.Generator) -> Floats:
    """(draws, size, size) standard Wishart matrices; needs freedom ≥ size."""
    factor = np.tril(rng.normal(size=(draws, size, size)), -1)
    diagonal = np.arange(size)
    factor[:, diagonal, diagonal] = np.sqrt(rng.chisquare(freedom - diagonal, size=(draws, size)))
    return np.asarray(factor @ factor.transpose(0, 2, 1))
