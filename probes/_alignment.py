"""The ladder of transformations from one embedding to another, fitted and scored.

How must an embedding be moved to lie on another? The rungs, from the smallest group of maps to the
largest, each sending the transfer's embedding x to the base's y:

==============  ===========================================  =======================
identity        x                                            nothing to fit
signs           x·diag(s), s ∈ {−1, +1}^d                    flipped axes
permutation     x·P, P a signed permutation                  swapped axes
orthogonal      x·Q + b, QᵀQ = I                             rotations, reflections
similarity      c·x·Q + b                                    and a scale
affine          x·A + b                                      any linear map
==============  ===========================================  =======================

The first three rungs have no offset, because frozen models read absolute coordinates; each also has a
``shifted`` variant with one, so that a mirrored and displaced embedding is not taken for a rotated one.

Each rung is fitted on one half of the distinct states and scored on the other, both ways round and over
several splits; R² is pooled over the axes. Similarity measures such as CKA or CCA are 1 for x and −x;
comparing rungs tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from probes._measure import ArrayLike, Floats, Measure, ProbeError, as_pair, is_constant
from probes._resampling import Groups, Labels, interval, labels, make_groups

Rung = Literal["identity", "signs", "permutation", "orthogonal", "similarity", "affine"]
SHIFTED: tuple[Rung, ...] = ("identity", "signs", "permutation")
RUNGS: tuple[Rung, ...] = ("identity", "signs", "permutation", "orthogonal", "similarity", "affine")

RELATIVE_RANK = 1e-12
"""Covariance eigenvalues below this share of the largest count as zero: float64 keeps 15 digits."""

SPLIT_WORK = 10**8
"""n·d² over all splits, about a second's work; below 64 dimensions the cost no longer grows with d."""

MOST_PERMUTED = 2048
"""Dimensions up to which axes are assigned: the cost grows with their cube, to about a second here."""

CONSTANT_BASE = "the base's embedding is constant"

MIN_STATES = 8
"""Distinct states below which nothing is fitted: a half would hold fewer than 4."""


@dataclass(frozen=True)
class Map:
    """x ↦ x[:, order]·signs + offset, or x·matrix + offset: the map of a rung, fitted on all states."""

    signs: tuple[int, ...] | None = None
    order: tuple[int, ...] | None = None
    """``order[j]`` is the transfer axis that becomes base axis j."""
    matrix: Floats | None = None
    offset: Floats | None = None

    def __call__(self, x: Floats) -> Floats:
        """The mapped rows of x (n, d)."""
        moved = x if self.order is None else x[:, list(self.order)]
        if self.signs is not None:
            moved = moved * np.array(self.signs)
        if self.matrix is not None:
            moved = moved @ self.matrix
        return moved if self.offset is None else moved + self.offset


@dataclass(frozen=True)
class Step:
    """One rung: held-out R² with its interval, and the map fitted on all states."""

    transform: Rung
    r2: Measure
    map: Map | None


@dataclass(frozen=True)
class Ladder:
    """All rungs for one pair of embeddings, and the resamples that their comparison rests on."""

    steps: tuple[Step, ...]
    shifted: tuple[Step, ...]
    """Identity, signs and permutation, each with an offset."""
    states: int
    """Distinct states."""
    draws: Floats
    """(resamples, rungs) R² of each resample, ``steps`` and then ``shifted``, paired over the columns;
    NaN where a rung is undefined."""
    sign_stability: Floats
    """(d,) share of resamples in which each axis keeps its sign; empty where signs are undefined."""
    shifted_sign_stability: Floats
    """The same for the signs with an offset."""

    def __getitem__(self, transform: Rung) -> Step:
        return self.steps[RUNGS.index(transform)]

    def difference(self, upper: Rung, lower: Rung) -> Measure:
        """R² of one rung minus R² of another, with its paired interval."""
        a, b = self[upper].r2, self[lower].r2
        if a.value is None or b.value is None:
            return Measure.undefined(a.reason or b.reason or "a rung is undefined")
        return interval(
            a.value - b.value, self.draws[:, RUNGS.index(upper)] - self.draws[:, RUNGS.index(lower)]
        )


def ladder(
    x: ArrayLike,
    y: ArrayLike,
    *,
    groups: Labels | None = None,
    splits: int | None = None,
    seed: int = 0,
) -> Ladder:
    """Fit and score every rung for the transfer's embedding x and the base's y, both (n, d) or (n, ...).

    ``groups`` (n,) names the state or episode of each sample: a group never stands in both halves, and
    the bootstrap resamples whole groups. By default equal rows are one state. ``splits`` random halves
    are averaged (default: as many as :data:`SPLIT_WORK` allows, from 1 to 100). Raises ProbeError.
    """
    transfer, base = as_pair(x, y)
    state = labels(groups, transfer, base)
    states = int(state.max()) + 1
    resampling = make_groups(state, seed)
    spread = np.square(base - base.mean(0)).sum(1)
    total = resampling.resampled(spread[:, None])[:, 0]
    rng = np.random.default_rng([seed, 1])
    rows, columns = base.shape
    splits = splits or int(np.clip(SPLIT_WORK // (rows * max(columns, 64) ** 2), 1, 100))
    halves = [_halves(state, rng) for _ in range(splits)]

    rungs = [(rung, False) for rung in RUNGS] + [(rung, True) for rung in SHIFTED]
    steps, draws = [], np.full((len(total), len(rungs)), np.nan)
    for column, (rung, shifted) in enumerate(rungs):
        reason = _why_undefined(rung, shifted, transfer, base, states)
        if reason is not None:
            steps.append(Step(rung, Measure.undefined(reason), None))
            continue
        error = _held_out_error(rung, shifted, transfer, base, halves)
        with np.errstate(divide="ignore", invalid="ignore"):
            draws[:, column] = 1 - resampling.resampled(error[:, None])[:, 0] / total
        value = 1 - float(error.sum() / spread.sum())
        fitted = fit(rung, transfer, base, shifted)
        steps.append(Step(rung, interval(value, draws[:, column], high=1.0), fitted))
    return Ladder(
        tuple(steps[: len(RUNGS)]),
        tuple(steps[len(RUNGS) :]),
        states,
        draws,
        _sign_stability(transfer, base, resampling),
        _sign_stability(transfer - transfer.mean(0), base - base.mean(0), resampling),
    )


def fit(rung: Rung, x: Floats, y: Floats, shifted: bool = False) -> Map:
    """The least-squares map of a rung from x to y, both (n, d); ``shifted`` gives any rung an offset."""
    if shifted:
        x_mean, y_mean = x.mean(0), y.mean(0)
        plain = fit(rung, x - x_mean, y - y_mean)
        return replace(plain, offset=y_mean - plain(x_mean[None])[0])
    match rung:
        case "identity":
            return Map()
        case "signs":
            return Map(signs=_signs((x * y).sum(0)))
        case "permutation":
            from scipy.optimize import linear_sum_assignment

            products = x.T @ y
            # Rows are base axes, so that the assignment reads: base axis j takes transfer axis order[j].
            _, order = linear_sum_assignment(np.abs(products.T), maximize=True)
            chosen = products[order, np.arange(y.shape[1])]
            return Map(signs=_signs(chosen), order=tuple(int(axis) for axis in order))
        case "orthogonal" | "similarity":
            from scipy.linalg import svd

            x_mean, y_mean = x.mean(0), y.mean(0)
            centred = x - x_mean
            left, values, right = svd(centred.T @ (y - y_mean), full_matrices=False)
            matrix = left @ right
            if rung == "similarity":
                matrix = matrix * (values.sum() / max(np.square(centred).sum(), np.finfo(float).tiny))
            return Map(matrix=matrix, offset=y_mean - x_mean @ matrix)
        case "affine":
            x_mean, y_mean = x.mean(0), y.mean(0)
            matrix = _least_squares(x - x_mean, y - y_mean)
            return Map(matrix=matrix, offset=y_mean - x_mean @ matrix)
        case _:
            raise ProbeError(f"rung is {rung!r}, expected one of {', '.join(RUNGS)}")


def _least_squares(x: Floats, y: Floats) -> Floats:
    """argmin ‖x·A − y‖ for centred x, by the pseudo-inverse of its covariance: O(n·d² + d³)."""
    from scipy.linalg import eigh

    values, vectors = eigh(x.T @ x)
    keep = values > values[-1] * RELATIVE_RANK
    scaled = vectors[:, keep] / values[keep]
    return np.asarray(scaled @ (vectors[:, keep].T @ (x.T @ y)))


def _signs(products: Floats) -> tuple[int, ...]:
    return tuple(-1 if product < 0 else 1 for product in products)


def _why_undefined(rung: Rung, shifted: bool, x: Floats, y: Floats, states: int) -> str | None:
    if is_constant(y):
        return CONSTANT_BASE
    if rung == "identity" and not shifted and x.shape == y.shape:
        return None
    if states < MIN_STATES:
        return f"{states} distinct states, at least {MIN_STATES} are needed for a fit"
    d = x.shape[1]
    if rung != "affine" and d != y.shape[1]:
        return f"the embeddings have {d} and {y.shape[1]} dimensions"
    if rung == "permutation" and d > MOST_PERMUTED:
        return f"{d} dimensions, an assignment is sought up to {MOST_PERMUTED}"
    # A rotation is fitted through d×d cross-products; below d states in a half it is not determined.
    if rung in ("orthogonal", "similarity", "affine") and states // 2 <= d:
        return f"{states} distinct states, more than {2 * d + 1} are needed to fit {d} dimensions on a half"
    return None


def _halves(state: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(n,) True for the samples of a random half of the states."""
    count = int(state.max()) + 1
    half: NDArray[np.bool_] = rng.permutation(count) < count // 2
    return half[state]


def _held_out_error(
    rung: Rung, shifted: bool, x: Floats, y: Floats, halves: Sequence[NDArray[np.bool_]]
) -> Floats:
    """(n,) squared error of each sample under maps fitted without its half, averaged over the splits."""
    if rung == "identity" and not shifted:
        as_it_is: Floats = np.square(x - y).sum(1)
        return as_it_is
    error = np.zeros(len(y))
    for half in halves:
        for fitted, scored in ((half, ~half), (~half, half)):
            mapped = fit(rung, x[fitted], y[fitted], shifted)(x[scored])
            error[scored] += np.square(mapped - y[scored]).sum(1)
    return error / len(halves)


def _sign_stability(x: Floats, y: Floats, resampling: Groups) -> Floats:
    if x.shape != y.shape:
        return np.empty(0)
    products = x * y
    negative: Floats = (resampling.resampled(products) < 0).mean(0)
    stability: Floats = np.where(products.sum(0) < 0, negative, 1 - negative)
    return stability
