"""Fit maps and last layers that lead a failed embedding back to the base's, scored on held-out pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

import probes
from diag.result import finite, measure_tree, numbers
from probes import Floats, Map, Measure, Rung

Method = Literal["map", "last-layer"]
"""``map``: a map of the embedding, folded into the last layer. ``last-layer``: that layer anew, by ridge
regression of the base's embedding on the last hidden layer."""

METHODS: tuple[Method, ...] = ("map", "last-layer")

MAPS: tuple[Rung, ...] = ("identity", "signs", "permutation", "orthogonal", "similarity", "affine")
"""Rungs of the ladder that are fitted, each with an offset: a bent mirror image is not centred on the
origin."""

RIDGES = (0.01, 0.1, 1.0)
"""Penalties on the last layer's weights, as shares of the hidden units' mean square times the pairs."""

FOLDS, ROUNDS = 5, 10
"""Number of folds behind held-out scores, and how often they are drawn anew; fewer than ten pairs are left
out one by one."""

CLOSE = 0.05
"""Difference in held-out R² within which fewer pairs do as well as all."""

ROUNDING = 1e-12
"""Share of the largest number below which an embedding's variation is rounding."""

EQUAL = 1e-6
"""Difference in held-out R² within which two candidates do equally well. Two maps that are both exact leave
what rounding in single precision leaves of R², 1e-7² = 1e-14 times some conditioning; a gain of 1e-6 is one
that no state shows and no reader acts upon."""

ORDERS = 60
"""Number of random orders of the pairs, from which the smallest sufficient number is estimated."""

FEWEST = 3
"""Fewest pairs that anything is fitted to."""


@dataclass(frozen=True)
class Fit:
    """One candidate: held-out R² with its interval, and the map fitted to all pairs."""

    name: str
    """A rung's name, or ``last layer, ridge 0.1``."""
    method: Method
    r2: Measure
    map: Map
    """Map of the embedding (n, d), or of the last hidden layer (n, units); of planes, at each place."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON; the last layer's own weights are in the file."""
        tree = {"name": self.name, "method": self.method, **measure_tree(self.r2), "map": None}
        if self.method == "map":
            width = len(self.map.offset) if self.map.offset is not None else 0
            offset = self.map(np.zeros((1, width)))[0]
            matrix = self.map(np.eye(width)) - offset
            tree["map"] = {"matrix": [numbers(row) for row in matrix], "offset": numbers(offset)}
        return tree


@dataclass(frozen=True)
class Few:
    """The smallest number of pairs whose mean held-out R² is within CLOSE of that of all."""

    pairs: Measure
    """The smallest sufficient number of pairs, with an interval over random choices of pairs."""
    curve: tuple[tuple[int, float], ...]
    """(pairs, mean held-out R²)."""

    def to_tree(self) -> dict[str, Any]:
        curve = [{"pairs": k, "r2": finite(r2)} for k, r2 in self.curve]
        return {**measure_tree(self.pairs), "curve": curve}


Fitter: TypeAlias = Callable[[Floats, Floats], Map]


@dataclass(frozen=True)
class _Candidate:
    name: str
    method: Method
    inputs: Floats
    fit: Fitter
    least: int
    """Fewest pairs that determine the candidate."""

    def fitted(self, y: Floats, rows: Any = slice(None)) -> Map:
        """The candidate fitted to some of the pairs, at all of their places."""
        return self.fit(*(v[rows].reshape(-1, v.shape[-1]) for v in (self.inputs, y)))

    def errors(self, fitted: Map, y: Floats, rows: Any) -> Floats:
        """(m,) squared error of each of some pairs under a map, summed over its places."""
        mapped = fitted(self.inputs[rows].reshape(-1, self.inputs.shape[-1])).reshape(y[rows].shape)
        return np.asarray(np.square(mapped - y[rows]).sum((1, 2)))


def by_place(x: Floats) -> Floats:
    """(n, places, d): a vector for each place of planes (n, d, height, width), or one place for (n, d).

    >>> by_place(np.zeros((5, 3, 2, 4))).shape, by_place(np.zeros((5, 3))).shape
    ((5, 8, 3), (5, 1, 3))
    """
    return np.ascontiguousarray(x.reshape(*x.shape[:2], -1).swapaxes(1, 2))


def _candidates(x: Floats, hidden: Floats | None, y: Floats, method: Method | None) -> Iterator[_Candidate]:
    """Candidates between arrays (n, places, …)."""
    places, d = y.shape[1:]
    same = x.shape == y.shape
    if method != "last-layer":
        needs = {"identity": 1, "signs": 2, "permutation": 2, "affine": d + 2}
        for rung in MAPS:
            if same or rung == "affine":
                least = needs.get(rung, d + 1)
                yield _Candidate(rung, "map", x, _mapping(rung), -(-least // places))
    if method != "map" and hidden is not None:
        for ridge in RIDGES:
            yield _Candidate(f"last layer, ridge {ridge:g}", "last-layer", hidden, _regressing(ridge), 3)


def _mapping(rung: Rung) -> Fitter:
    return lambda a, b: probes.fit(rung, a, b, shifted=True)


def _regressing(share: float) -> Fitter:
    def fit(hidden: Floats, y: Floats) -> Map:
        middle, target = hidden.mean(0), y.mean(0)
        centred = hidden - middle
        if np.abs(centred).max() <= ROUNDING * np.abs(hidden).max():
            # Inputs that are constant but for rounding explain nothing, and have no spread to divide by.
            return Map(matrix=np.zeros((hidden.shape[1], y.shape[1])), offset=target)
        scatter = centred.T @ centred
        penalty = share * max(np.trace(scatter) / len(scatter), np.finfo(float).tiny)
        matrix = np.linalg.solve(scatter + penalty * np.eye(len(scatter)), centred.T @ (y - target))
        return Map(matrix=matrix, offset=target - middle @ matrix)

    return fit


def fits(
    x: Floats, hidden: Floats | None, y: Floats, *, method: Method | None = None, seed: int = 0
) -> tuple[Fit, ...]:
    """Every candidate that these pairs determine, the best on held-out pairs first.

    x (n, d) is the failing embedding, ``hidden`` (n, units) what its last layer reads (None where that cannot
    be replaced), y (n, d') the base's; or all of them planes, (n, d, height, width), between whose channels
    one map at every place is fitted. Where no pair can be left out R² is undefined, and comes last.
    """
    candidates: list[Fit] = []
    x, y, hidden = by_place(x), by_place(y), None if hidden is None else by_place(hidden)
    for one in _candidates(x, hidden, y, method):
        if len(y) >= one.least:
            r2 = _held_out(one, y, seed)
            candidates.append(Fit(one.name, one.method, r2, one.fitted(y)))
    return ranked(candidates)


def ranked(candidates: Sequence[Fit]) -> tuple[Fit, ...]:
    """Candidates, the best first, among equals (:data:`EQUAL`) the one given first; undefined ones last.

    They are given with the smaller map first.
    """
    return tuple(_ranked(candidates))


def _ranked(candidates: Sequence[Fit]) -> Iterator[Fit]:
    left = list(candidates)
    while left:
        values = [fit.r2.value for fit in left]
        scores = [-np.inf if value is None or not np.isfinite(value) else value for value in values]
        yield left.pop(next(i for i, score in enumerate(scores) if score >= max(scores) - EQUAL))


def _folds(n: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Folds, each (n,) which rows are held out; each row is held out equally often."""
    if n < 2 * FOLDS:
        yield from np.eye(n, dtype=bool)
        return
    rng = np.random.default_rng([seed, 3])
    for _ in range(ROUNDS):
        fold = rng.permutation(n) % FOLDS
        yield from (fold == number for number in range(FOLDS))


def _held_out(one: _Candidate, y: Floats, seed: int) -> Measure:
    n = len(y)
    spread = np.square(y - y.mean(0)).sum((1, 2))
    if n <= one.least:
        return Measure.undefined(f"{n} pairs leave none to hold out")
    if np.sqrt(spread.max()) <= ROUNDING * np.abs(y).max():
        return Measure.undefined("the base's embedding is constant")
    errors, times = np.zeros(n), np.zeros(n)
    for out in _folds(n, seed):
        errors[out] += one.errors(one.fitted(y, ~out), y, out)
        times[out] += 1
    errors /= times
    resampling = probes.make_groups(np.arange(n), seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = 1 - resampling.resampled(errors[:, None])[:, 0] / resampling.resampled(spread[:, None])[:, 0]
    return probes.interval(1 - float(errors.sum() / spread.sum()), draws, resampling.count, high=1.0)


def few_pairs(
    chosen: Fit, x: Floats, hidden: Floats | None, y: Floats, *, method: Method | None = None, seed: int = 0
) -> Few | None:
    """The smallest number of pairs that the chosen candidate needs; None where its score is undefined.

    The candidate is fitted to the first k of the pairs in a random order and scored on the rest, over many
    orders.
    """
    x, y, hidden = by_place(x), by_place(y), None if hidden is None else by_place(hidden)
    one = next(c for c in _candidates(x, hidden, y, method) if c.name == chosen.name)
    n, held = len(y), max(3, len(y) // FOLDS)
    if chosen.r2.value is None or n - held < one.least:
        return None
    sizes = np.unique(np.geomspace(one.least, n - held, 16).round().astype(int))
    rng = np.random.default_rng([seed, 4])
    errors, totals = np.zeros((ORDERS, len(sizes))), np.zeros((ORDERS, len(sizes)))
    for row in range(ORDERS):
        order = rng.permutation(n)
        for column, k in enumerate(sizes):
            known, rest = order[:k], order[k:]
            errors[row, column] = one.errors(one.fitted(y, known), y, rest).sum()
            totals[row, column] = np.square(y[rest] - y.mean(0)).sum()
    resampling = probes.make_groups(np.arange(ORDERS), seed)
    # Fewer pairs are held against the largest size here, below n: with all, none are left to score on.
    curve = 1 - errors.sum(0) / totals.sum(0)
    draws = 1 - resampling.resampled(errors) / resampling.resampled(totals)
    value = _first(curve[None], sizes)[0]
    return Few(
        probes.interval(float(value), _first(draws, sizes), ORDERS, low=float(sizes[0]), high=float(n)),
        tuple((int(k), float(r2)) for k, r2 in zip(sizes, curve, strict=True)),
    )


def _first(curves: Floats, sizes: NDArray[np.int64]) -> Floats:
    """(m,) the least size from which each curve (m, sizes) stays within CLOSE of its last value."""
    enough = curves >= curves[:, -1:] - CLOSE
    stays = np.flip(np.logical_and.accumulate(np.flip(enough, 1), 1), 1)
    least: Floats = sizes[stays.argmax(1)].astype(np.float64)
    return least
