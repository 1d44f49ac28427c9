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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probes._maps import AXIS_BY_AXIS, RUNGS, SHIFTED, Map, Rung, axis_products, fit, fitted, steady
from probes._measure import CONSTANT_BASE, ArrayLike, Bools, Floats, Labels, Measure, as_pair, is_constant
from probes._moments import Moments
from probes._resampling import Groups, interval, labels, make_groups
from probes._states import SAME, numbered_rows

SPLIT_WORK = 10**8
"""Most n·d² summed over all splits, about a second's work; below 64 dimensions the cost no longer grows with
d."""

SPLIT_ROWS = 6400
"""Most rows summed over all splits: which half a row falls into matters where rows are few, hardly where they
are many."""

MOST_PERMUTED = 2048
"""Dimensions up to which axes are assigned: the cost grows with their cube, to about a second here."""

MIN_STATES = 8
"""Distinct states below which nothing is fitted: a half would hold fewer than 4."""

Candidate: TypeAlias = tuple[Rung, bool]
"""A rung, and whether it is shifted."""

CANDIDATES: tuple[Candidate, ...] = (
    *((rung, False) for rung in RUNGS),
    *((rung, True) for rung in SHIFTED),
)
"""Every candidate, in the order of :attr:`Ladder.draws`."""


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
    """(d,) stability of the signs that are fitted with an offset; empty where they are undefined."""
    groups: int
    """Number of resampled groups: states, or bundles of them."""
    dimensions: tuple[int, int]
    """Columns of the embedding that is mapped, and of the one that it is mapped to."""
    rows: int
    """Distinct rows: what maps are fitted to."""

    def __getitem__(self, transform: Rung) -> Step:
        return self.steps[RUNGS.index(transform)]

    def difference(self, upper: Rung, lower: Rung) -> Measure:
        """R² of one rung minus R² of another, with its paired interval."""
        a, b = self[upper].r2, self[lower].r2
        if a.value is None or b.value is None:
            return Measure.undefined(a.reason or b.reason or "a rung is undefined")
        draws = self.draws[:, RUNGS.index(upper)] - self.draws[:, RUNGS.index(lower)]
        return interval(a.value - b.value, draws, self.groups)


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
    are averaged (default: 1 to 100, by :data:`SPLIT_ROWS` and :data:`SPLIT_WORK`). Raises ProbeError.
    """
    transfer, base = as_pair(x, y)
    state = labels(groups, transfer, base)
    return climb(transfer, base, state, np.square(base - base.mean(0)).sum(1), splits, seed)


def climb(
    x: Floats, y: Floats, state: NDArray[np.int64], spread: Floats, splits: int | None, seed: int
) -> Ladder:
    """The ladder of x and y (n, d); ``spread`` (n,) is the variation of each row of y to explain."""
    resampling = make_groups(state, seed)
    total = resampling.resampled(spread[:, None])[:, 0]
    count, dimensions = int(state.max()) + 1, (x.shape[1], y.shape[1])
    scored = _scored(CANDIDATES, x, y, state, splits, seed)
    reasons, errors, sums = scored.reasons, scored.errors, scored.sums
    steps, draws = [], np.full((len(total), len(CANDIDATES)), np.nan)
    for column, candidate in enumerate(CANDIDATES):
        reason = reasons[candidate]
        if reason is not None:
            steps.append(Step(candidate[0], Measure.undefined(reason), None))
            continue
        error = errors[candidate]
        with np.errstate(divide="ignore", invalid="ignore"):
            draws[:, column] = 1 - resampling.resampled(error[:, None])[:, 0] / total
        value = 1 - float(error.sum() / spread.sum())
        r2 = interval(value, draws[:, column], resampling.count, high=1.0)
        steps.append(Step(candidate[0], r2, _fit(*candidate, x, y, sums)))
    return Ladder(
        tuple(steps[: len(RUNGS)]),
        tuple(steps[len(RUNGS) :]),
        count,
        draws,
        _sign_stability(x, y, resampling),
        _sign_stability(steady(x, x.mean(0)), steady(y, y.mean(0)), resampling),
        resampling.count,
        dimensions,
        scored.rows,
    )


def held_out(
    x: ArrayLike,
    y: ArrayLike,
    rungs: Sequence[Rung] = RUNGS,
    *,
    groups: Labels | None = None,
    splits: int | None = None,
    seed: int = 0,
) -> dict[Rung, float | None]:
    """R² of some rungs {rung: R²}, those of :func:`ladder` without intervals, maps and comparisons.

    None where a rung is undefined. For many pairs, such as the points of a curve: intervals and the maps of
    rungs that nobody asked for are most of a ladder's cost. Raises ProbeError.
    """
    transfer, base = as_pair(x, y)
    state = labels(groups, transfer, base)
    spread = float(np.square(base - base.mean(0)).sum())
    scored = _scored([(rung, False) for rung in rungs], transfer, base, state, splits, seed)
    return {
        rung: 1 - float(scored.errors[rung, False].sum()) / spread if (rung, False) in scored.errors else None
        for rung in rungs
    }


class _Scored(NamedTuple):
    """Candidates as they do on rows that they were not fitted to."""

    reasons: Mapping[Candidate, str | None]
    """Why a candidate is undefined; None where it is not."""
    errors: Mapping[Candidate, Floats]
    """{candidate: (n,) squared error of each row}, of those that are defined."""
    sums: Moments | None
    """Sums over all rows, where a candidate needs products between axes."""
    rows: int
    """Distinct rows."""


def _scored(
    candidates: Sequence[Candidate],
    x: Floats,
    y: Floats,
    state: NDArray[np.int64],
    splits: int | None,
    seed: int,
) -> _Scored:
    """Fit each candidate on one half of the states and score it on the other, over several splits."""
    count, (rows, columns) = int(state.max()) + 1, y.shape
    affordable = min(SPLIT_WORK // (rows * max(columns, 64) ** 2), SPLIT_ROWS // rows)
    splits = splits or int(np.clip(affordable, 1, 100))
    rng = np.random.default_rng([seed, 1])
    halves = [(rng.permutation(count) < count // 2)[state] for _ in range(splits)]
    dimensions, constant = (x.shape[1], columns), is_constant(y)
    distinct = int(numbered_rows(x, y).max()) + 1
    reasons = {c: why_undefined(*c, dimensions, count, distinct, constant) for c in candidates}
    wanted = [c for c in candidates if reasons[c] is None]
    # Sums cost d², which wide embeddings of few states, where only axes can be compared, need not pay.
    sums = None if all(rung in AXIS_BY_AXIS for rung, _ in wanted) else Moments.of(x, y, norms=False)
    return _Scored(reasons, _held_out_errors(wanted, x, y, sums, halves), sums, distinct)


def why_undefined(
    rung: Rung, shifted: bool, dimensions: tuple[int, int], states: int, rows: int, constant: bool
) -> str | None:
    """Why a rung cannot be fitted to so many states or episodes, and distinct rows; None if it can."""
    if constant:
        return CONSTANT_BASE
    d, base = dimensions
    if rung == "identity" and not shifted and d == base:
        return None
    if states < MIN_STATES:
        return f"{states} distinct states, at least {MIN_STATES} are needed for a fit"
    if rung != "affine" and d != base:
        return f"the embeddings have {d} and {base} dimensions"
    if rung == "permutation" and d > MOST_PERMUTED:
        return f"{d} dimensions, an assignment is sought up to {MOST_PERMUTED}"
    # A rotation is fitted through d×d cross-products; below d states in a half it is not determined.
    if rung in ("orthogonal", "similarity", "affine") and rows // 2 <= d:
        return f"{rows} distinct states, more than {2 * d + 1} are needed to fit {d} dimensions on a half"
    return None


def _held_out_errors(
    candidates: list[Candidate], x: Floats, y: Floats, sums: Moments | None, halves: list[Bools]
) -> dict[Candidate, Floats]:
    """{candidate: (n,) squared error of each row under maps fitted without its half}, over all splits."""
    errors = {candidate: np.zeros(len(y)) for candidate in candidates}
    as_it_is: Candidate = ("identity", False)
    if as_it_is in errors:
        errors[as_it_is] = np.square(x - y).sum(1)
    to_fit = [candidate for candidate in candidates if candidate != as_it_is]
    for half in halves if to_fit else ():
        (one_x, other_x), (one_y, other_y) = ((rows[half], rows[~half]) for rows in (x, y))
        first = None if sums is None else Moments.of(one_x, one_y, sums.frames, norms=False)
        second = None if sums is None or first is None else sums - first
        for part, scored, fit_x, fit_y, held_x, held_y in (
            (first, ~half, one_x, one_y, other_x, other_y),
            (second, half, other_x, other_y, one_x, one_y),
        ):
            for candidate in to_fit:
                missed = _fit(*candidate, fit_x, fit_y, part)(held_x) - held_y
                errors[candidate][scored] += np.einsum("ij,ij->i", missed, missed) / len(halves)
    return errors


def _fit(rung: Rung, shifted: bool, x: Floats, y: Floats, sums: Moments | None) -> Map:
    return fit(rung, x, y, shifted) if sums is None else fitted(rung, sums, shifted)


def _sign_stability(x: Floats, y: Floats, resampling: Groups) -> Floats:
    if x.shape != y.shape:
        return np.empty(0)
    total, size = axis_products(x, y)
    return stability_of(total, resampling.resampled(x * y), size)


def stability_of(total: Floats, draws: Floats, size: Floats) -> Floats:
    """(d,) share of resamples ``draws`` (m, d) of Σ x·y in which each axis keeps its sign in ``total``.

    ``size`` (d,) is the most that the sum could be: beside it, what rounding leaves is no minus.
    """
    negative: Floats = (draws < -SAME * size).mean(0)
    stability: Floats = np.where(total < -SAME * size, negative, 1 - negative)
    return stability
