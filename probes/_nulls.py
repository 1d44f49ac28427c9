"""p-values of similarity measures: the chance that unrelated embeddings score as much, exact or from moments.

Four null hypotheses, by what may be exchanged if the embeddings have nothing to do with each other:

============  ======================================================================  ==================
moments       rows, by the first moments of all n! permutations                       costs one measure
permutation   rows, by random members of a group of permutations                      ``draws`` of them
shift         the time of one rollout against that of the other, round in a circle    every shift
episodes      whole episodes                                                          ``draws`` of them
============  ======================================================================  ==================

Rows of a rollout resemble their neighbours: exchanging them one by one finds "significance" in anything
(docs/results.md); shifts and whole episodes keep what holds them together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probes._cca import too_few, whitening
from probes._measure import ROUNDING, ArrayLike, Floats, Labels, ProbeError, as_pair, is_constant
from probes._moments import Moments
from probes._resampling import compressed
from probes._rollout import memory
from probes._states import numbered_rows

Null: TypeAlias = Literal["moments", "permutation", "shift", "episodes"]
Measured: TypeAlias = Literal["cka", "cca", "procrustes"]

DRAWS = 1000
MIN_MOMENTS = 4
"""Rows that the variance over permutations needs: it divides by n − 3."""
MIN_MEMORIES = 20
"""Least length of a rollout, in multiples of its memory, whose shifts give p-values (docs/results.md)."""
MIN_EPISODES = 5
"""Episodes below which there are too few orders (4! = 24) for a p-value of 0.05 worth the name."""
MOST_LOST = 0.5
"""Share of rows that cutting episodes to one length may cost."""

FEW = 50
"""Rows below which a circle has too few shifts, and orders are drawn one by one."""

ENOUGH = 0.95
"""Share of the draws asked for that suffices, so that the shifts of one relabelling may be a few too few."""

CHUNK = 2**23
"""Numbers in a batch of permuted data: 64 MB."""


@dataclass(frozen=True)
class Independence:
    """A measure beside what it would be for unrelated embeddings."""

    value: float | None
    """The measure, on the rows that the test used (every distinct state once)."""
    p: float | None
    """Probability that unrelated embeddings score at least as much."""
    mean: float | None
    """Mean score of unrelated embeddings, where the null gives it: small samples make every measure large."""
    deviation: float | None
    null: Null
    draws: int
    """Exchanges that were tried; 0 for moments."""
    reason: str | None = None

    @property
    def p_floor(self) -> float | None:
        """The least p that so many exchanges can give; None for moments, whose tail has no least."""
        return 1 / (1 + self.draws) if self.draws else None


def independence(
    x: ArrayLike,
    y: ArrayLike,
    *,
    measure: Measured = "cka",
    null: Null | None = None,
    groups: Labels | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Independence:
    """Test whether x (n, d₁) and y (n, d₂) are related at all, by ``cka``, ``cca`` or ``procrustes``.

    ``null`` is one of the table above: by default ``moments`` (``permutation`` for ``procrustes``), or
    ``episodes`` where ``groups`` (n,) name each row's episode. For ``cca`` the moments are those of
    Pillai's trace, the sum of its squared correlations. p is never 0. Raises ProbeError.

    The first two moments over all permutations are exact (Kazi-Aoual et al. 1995); the third is that
    of large n, and p the tail of Pearson's type III distribution (Josse, Pagès and Husson 2008).

    >>> rng = np.random.default_rng(1)
    >>> x, y = rng.normal(size=(2, 300, 256))
    >>> result = independence(x, y)
    >>> round(result.value, 2), round(result.mean, 2), result.p > 0.05
    (0.46, 0.46, True)
    """
    if measure not in ("cka", "cca", "procrustes"):
        raise ProbeError(f"measure is {measure!r}, expected cka, cca or procrustes")
    chosen = _null(null, measure, groups)
    left, right = as_pair(x, y)
    if draws < 1:
        raise ProbeError(f"draws is {draws}, expected at least 1")

    def undefined(reason: str) -> Independence:
        return Independence(None, None, None, None, chosen, 0, reason)

    if chosen in ("moments", "permutation"):
        _, first = np.unique(numbered_rows(left, right), return_index=True)
        left, right = left[first], right[first]
    for name, matrix in (("x", left), ("y", right)):
        if is_constant(matrix):
            return undefined(f"{name} is constant")
    shape = (0, 0)
    if chosen == "episodes":
        assert groups is not None
        episodes = _episodes(np.asarray(groups), len(left))
        if isinstance(episodes, str):
            return undefined(episodes)
        shape = episodes.shape
        left, right = left[episodes.reshape(-1)], right[episodes.reshape(-1)]
    pair, reason = _prepared(measure, compressed(left), compressed(right))
    if reason:
        return undefined(reason)
    n = len(left)
    value = float(pair.score((pair.a.T @ pair.b)[None])[0])
    if chosen == "moments":
        if n < MIN_MOMENTS:
            return undefined(f"{n} rows, at least {MIN_MOMENTS} are needed")
        p, mean, deviation = _tail(n, _Traces.of(pair.a), _Traces.of(pair.b), pair.trace)
        if measure == "cca":  # the moments are of the sum of squares, not of the mean correlation
            return Independence(value, p, None, None, chosen, 0)
        return Independence(value, p, mean, deviation, chosen, 0)
    rng = np.random.default_rng(seed)
    if chosen == "shift":
        lasts = memory(left, right)
        if n < MIN_MEMORIES * lasts:
            needed = int(np.ceil(MIN_MEMORIES * lasts))
            return undefined(f"{n} steps of a rollout that remembers {lasts:.0f}, {needed} are needed")
        chance = _shifted(pair, np.arange(1, n) if measure == "cka" else _some(n, draws, rng))
    elif chosen == "episodes":
        chance = _permuted(pair, draws, _episode_orders(shape, draws, rng))
    elif n < FEW:
        orders = rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
        chance = _permuted(pair, draws, orders.__getitem__)
    else:
        # Shifts after a random relabelling are a group of permutations as good as any, and by Fourier
        # transforms much cheaper (exact: Hemerik and Goeman 2018, theorem 1); few rows take several.
        turns = int(np.ceil(ENOUGH * draws / (n - 1)))
        each = -(-draws // turns)
        circles = [_shifted(pair.reordered(rng.permutation(n)), _some(n, each, rng)) for _ in range(turns)]
        chance = np.concatenate(circles)[:draws]
    # A score that equals the value but for rounding counts as equal.
    p = (1 + int((chance >= value * (1 - 1e-10)).sum())) / (1 + len(chance))
    return Independence(value, p, float(chance.mean()), float(chance.std()), chosen, len(chance))


def _null(null: Null | None, measure: Measured, groups: Labels | None) -> Null:
    if null is None:
        return "episodes" if groups is not None else "permutation" if measure == "procrustes" else "moments"
    if null not in ("moments", "permutation", "shift", "episodes"):
        raise ProbeError(f"null is {null!r}, expected moments, permutation, shift or episodes")
    if (null == "episodes") != (groups is not None):
        raise ProbeError("groups name episodes, expected with null='episodes' and with no other")
    if null == "moments" and measure == "procrustes":
        raise ProbeError("procrustes has no moments in closed form, expected another null")
    return null


@dataclass(frozen=True)
class _Pair:
    """Rows a (n, d₁) and b (n, d₂) whose cross-products give a measure; no permutation changes the rest."""

    a: Floats
    b: Floats
    pairs: int | None
    """Divisor of the sum of singular values, which is then the measure; None where it is the sum of
    squares."""

    def score(self, c: Floats) -> Floats:
        """(m, d₁, d₂) cross-products -> (m,) values of the measure."""
        if self.pairs is None:
            return np.asarray(np.square(c).sum((-2, -1)))
        return singular_sums(c) / self.pairs

    @property
    def trace(self) -> float:
        """tr(aaᵀbbᵀ), the sum of squares."""
        return float(np.square(self.a.T @ self.b).sum())

    def reordered(self, order: NDArray[np.int64]) -> _Pair:
        """The same pairs of rows in another order."""
        return _Pair(self.a[order], self.b[order], self.pairs)


def _prepared(measure: Measured, x: Floats, y: Floats) -> tuple[_Pair, str]:
    """The rows prepared for a measure, and the reason why it is undefined, empty where it is not."""
    m = Moments.of(x, y, norms=False)
    a, b = m.x_frame(x) - m.x / m.n, m.y_frame(y) - m.y / m.n
    if measure == "cca":
        left, right = whitening(m.x_scatter, m.x_moves), whitening(m.y_scatter, m.y_moves)
        ranks = left.shape[1], right.shape[1]
        return _Pair(a @ left, b @ right, min(ranks)), too_few(m.n, sum(ranks))
    if measure == "procrustes":
        return _Pair(a / np.linalg.norm(a), b / np.linalg.norm(b), 1), ""
    sizes = np.sqrt(np.linalg.norm(m.x_scatter)), np.sqrt(np.linalg.norm(m.y_scatter))
    return _Pair(a / sizes[0], b / sizes[1], None), ""


def singular_sums(c: Floats) -> Floats:
    """(m,) sums of singular values of c (m, d₁, d₂)."""
    if min(c.shape[1:]) == 1:
        return np.asarray(np.linalg.norm(c, axis=(1, 2)))
    if c.shape[1:] == (2, 2):
        determinant = c[:, 0, 0] * c[:, 1, 1] - c[:, 0, 1] * c[:, 1, 0]
        return np.asarray(np.sqrt(np.square(c).sum((1, 2)) + 2 * np.abs(determinant)))
    return np.asarray(np.linalg.svd(c, compute_uv=False).sum(1))


def association(m: Moments) -> float | None:
    """p of CKA from sums alone, by moments; None for fewer than 4 rows or a constant."""
    if m.n < MIN_MOMENTS or not m.x_moves.any() or not m.y_moves.any():
        return None
    trace = float(np.square(m.cross_scatter).sum())
    return _tail(m.n, _Traces.of_sums(m), _Traces.of_sums(m.swapped), trace)[0]


def _tail(n: int, k: _Traces, m: _Traces, trace: float) -> tuple[float, float, float]:
    """p, mean and standard deviation of tr(KM) under permutations."""
    mean, variance, skewness = permutation_moments(n, k, m)
    if variance <= ROUNDING * mean**2:  # what rounding leaves where all permutations score alike
        return 1.0, mean, 0.0
    return pearson_tail((trace - mean) / np.sqrt(variance), skewness), mean, float(np.sqrt(variance))


@dataclass(frozen=True)
class _Traces:
    """tr K, tr K², tr K³ and Σ Kᵢᵢ² of a kernel K = XXᵀ whose rows sum to 0."""

    first: float
    second: float
    third: float
    diagonal: float

    @classmethod
    def of(cls, x: Floats) -> _Traces:
        return cls._of_scatter(x.T @ x, float(np.square(np.square(x).sum(1)).sum()))

    @classmethod
    def of_sums(cls, m: Moments) -> _Traces:
        """The traces of x's kernel, from sums over rows."""
        return cls._of_scatter(m.x_scatter, m.x_fourth)

    @classmethod
    def _of_scatter(cls, scatter: Floats, diagonal: float) -> _Traces:
        third = float(((scatter @ scatter) * scatter).sum())
        return cls(float(np.trace(scatter)), float(np.square(scatter).sum()), third, diagonal)


def permutation_moments(n: int, k: _Traces, m: _Traces) -> tuple[float, float, float]:
    """Mean, variance and (for large n) skewness of tr(K·PMPᵀ) over permutations P of n ≥ 4 rows."""
    mean = k.first * m.first / (n - 1)

    def spread(t: _Traces) -> float:
        return (n - 1) * t.second - t.first**2

    def peak(t: _Traces) -> float:
        return n * (n + 1) * t.diagonal - (n - 1) * (t.first**2 + 2 * t.second)

    variance = 2 * spread(k) * spread(m) / ((n - 1) ** 2 * (n + 1) * (n - 2))
    variance += peak(k) * peak(m) / ((n + 1) * n * (n - 1) * (n - 2) * (n - 3))
    skewness = 2 * np.sqrt(2) * k.third * m.third / (k.second * m.second) ** 1.5
    return mean, variance, float(skewness)


def pearson_tail(z: float, skewness: float) -> float:
    """P(Z ≥ z) of Pearson's type III distribution with mean 0, variance 1 and this skewness > 0."""
    from scipy import special

    shape = 4 / skewness**2
    return float(special.gammaincc(shape, max(0.0, shape + z * np.sqrt(shape))))


def _some(n: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most ``draws`` of the shifts 1 … n − 1."""
    return np.sort(rng.permutation(n - 1)[:draws]) + 1


def _shifted(pair: _Pair, shifts: NDArray[np.int64]) -> Floats:
    """Scores with b shifted against a, by the correlation theorem."""
    from scipy import fft

    n, d = pair.a.shape
    if pair.pairs is not None and len(shifts) * d * pair.b.shape[1] > 4 * CHUNK:
        return _permuted(pair, len(shifts), lambda some: (np.arange(n) + shifts[some, None]) % n)
    ours, theirs = fft.rfft(pair.a.T), fft.rfft(pair.b.T)
    lagged = (fft.irfft(np.conj(axis) * theirs, n)[:, shifts] for axis in ours)
    if pair.pairs is None:  # sums of squares need no matrices side by side
        return np.asarray(sum(np.square(products).sum(0) for products in lagged))
    return pair.score(np.stack(list(lagged)).transpose(2, 0, 1))


def _permuted(pair: _Pair, draws: int, orders: Callable[[slice], NDArray[np.int64]]) -> Floats:
    """Scores with b's rows in other orders, (m, n) of any m draws, many in one matrix product."""
    n, d = pair.b.shape
    at_once = max(1, CHUNK // (n * d))
    scores = []
    for start in range(0, draws, at_once):
        some = orders(slice(start, min(start + at_once, draws)))
        products = (pair.a.T @ pair.b[some.T].reshape(n, -1)).reshape(-1, len(some), d)
        scores.append(pair.score(products.transpose(1, 0, 2)))
    return np.concatenate(scores)


def _episodes(
    groups: NDArray[np.generic], rows: int
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]] | str:
    """(episodes, length) row numbers, every episode cut to the shortest; or why there are none."""
    if groups.shape != (rows,):
        raise ProbeError(f"groups has shape {groups.shape}, expected ({rows},)")
    index = np.unique(groups, return_inverse=True)[1].reshape(-1)
    lengths = np.bincount(index)
    if len(lengths) < MIN_EPISODES:
        return f"{len(lengths)} episodes, at least {MIN_EPISODES} are needed"
    kept = int(lengths.min()) * len(lengths) / rows
    if kept < MOST_LOST:
        return f"cut to the shortest episode ({lengths.min()} rows), {1 - kept:.0%} of the rows would be lost"
    order = np.argsort(index, kind="stable")
    starts = np.cumsum(lengths) - lengths
    rows_of: np.ndarray[tuple[int, int], np.dtype[np.int64]] = order[
        starts[:, None] + np.arange(lengths.min())
    ]
    return rows_of


def _episode_orders(
    shape: tuple[int, int], draws: int, rng: np.random.Generator
) -> Callable[[slice], NDArray[np.int64]]:
    """Orders of rows that exchange whole episodes, (m, episodes·length) of any m draws."""
    episodes, length = shape
    orders = rng.permuted(np.tile(np.arange(episodes), (draws, 1)), axis=1)

    def rows(some: slice) -> NDArray[np.int64]:
        return np.asarray((orders[some, :, None] * length + np.arange(length)).reshape(-1, episodes * length))

    return rows
