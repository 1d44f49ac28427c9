"""The canonical correlation of an embedding with a known variable on rows that it was not fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes._linear import FOLDS, folds_of
from probes._measure import ROUNDING, ArrayLike, Floats, Labels, Measure, ProbeError, is_constant
from probes._resampling import interval, make_groups
from probes._states import numbered
from probes._variable_cca import RANK
from probes._variables import Ints, Variable, distinct_rows, paired

FEWEST_NEW = 10
"""Held-out rows below which there is no correlation worth the name."""

MOST_DRAWS, WORK = 5, 4 * 10**9
"""Random embeddings, each fitted and scored as the embedding is: fewer where rows times dimensions squared
times so many are more than this, some ten seconds."""


@dataclass(frozen=True)
class HeldOutCCA:
    """The leading canonical correlation on held-out rows, and what random embeddings come to there."""

    value: Measure
    """Correlation of the two canonical variates, over the new rows of all folds."""
    random: tuple[float, ...] = ()
    """The same of random embeddings with as many distinct rows and dimensions; about 0."""
    folds: int = 0
    rows: int = 0
    """Rows that it is taken on: those that no row of another fold is equal to."""

    @property
    def random_most(self) -> float | None:
        """The most that a random embedding reached."""
        return max(self.random, default=None)


def held_out_cca(
    x: ArrayLike,
    variable: ArrayLike | Variable,
    *,
    groups: Labels | None = None,
    folds: int = FOLDS,
    draws: int = MOST_DRAWS,
    seed: int = 0,
) -> HeldOutCCA:
    """Leading canonical correlation of x (n, d) with a variable of its rows, on rows held out.

    The leading pair of directions is fitted to all folds but one (:func:`probes.variable_cca` on these rows)
    and applied to that one; the correlation is that of what it gives on all rows. Left out are rows that
    another fold has as well, such as those that begin an episode: they could be recited. In many dimensions
    the correlation in sample flatters itself: of d random directions and n rows it is about √(d/n), and here
    about 0. The interval is a bootstrap over groups of the held-out rows. ``groups`` names the episode of
    each row, which is held out whole; equal rows of x are one group where none are given. Undefined for
    constants, for fewer than two groups a fold and where the rows of a fit are no more than the ranks.
    Raises :class:`ProbeError`.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> found = held_out_cca(x, x @ [1, 2, 3])
    >>> round(found.value.value, 6), found.random_most < 0.5
    (1.0, True)
    """
    if folds < 2:
        raise ProbeError(f"folds is {folds}, expected at least 2")
    if draws < 0:
        raise ProbeError(f"draws is {draws}, expected 0 or more")
    given = paired(x, variable, groups, seed)
    rows, target = len(given.x), given.target
    reason = "the embedding is constant" if is_constant(given.x) else target.unusable
    if reason is None and given.count < 2 * folds:
        count = "1 group" if given.count == 1 else f"{given.count} groups"
        reason = f"{count}, at least {2 * folds} needed for {folds} folds"
    if reason is not None:
        return HeldOutCCA(Measure.undefined(reason), rows=rows)
    rng = np.random.default_rng(seed)
    state, fold = distinct_rows(given.x), folds_of(given.index, None, folds, rng)
    pairs = _variates(given.x, target.columns, state, fold, folds)
    if isinstance(pairs, str):
        return HeldOutCCA(Measure.undefined(pairs), rows=rows)
    new = np.isfinite(pairs[:, 0])
    if new.sum() < FEWEST_NEW:
        few = f"{int(new.sum())} held-out rows that are in no other fold, at least {FEWEST_NEW} needed"
        return HeldOutCCA(Measure.undefined(few), rows=rows)
    u, v = np.where(new[:, None], pairs, 0.0).T
    sums = np.stack([new.astype(float), u, v, u * u, v * v, u * v], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(_correlation(sums.sum(0)[None])[0])
        resamples = _correlation(make_groups(given.index, seed).resampled(sums))
    if not np.isfinite(value):
        return HeldOutCCA(Measure.undefined("what is fitted is constant on held-out rows"), rows=rows)
    distinct, d = int(state.max()) + 1, given.x.shape[1]
    count = min(draws, max(1, WORK // (rows * d * d)))
    chance = []
    for _ in range(count):
        made = _variates(rng.normal(size=(distinct, d))[state], target.columns, state, fold, folds)
        if not isinstance(made, str):
            a, b = made[new].T
            chance.append(float(np.corrcoef(a, b)[0, 1]) if min(a.std(), b.std()) > 0 else 0.0)
    return HeldOutCCA(
        interval(value, resamples, given.count, low=-1.0, high=1.0), tuple(chance), folds, int(new.sum())
    )


def _correlation(sums: Floats) -> Floats:
    """(m,) correlations from sums (m, 6) of 1, u, v, u², v² and uv."""
    n, u, v, uu, vv, uv = sums.T
    variances = (uu - u * u / n) * (vv - v * v / n)
    return np.asarray((uv - u * v / n) / np.sqrt(np.where(variances > 0, variances, np.nan)))


def _variates(x: Floats, y: Floats, state: Ints, fold: Ints, folds: int) -> Floats | str:
    """(n, 2) what the directions fitted to the other folds give at each row, or why there are none.

    It is NaN at rows that are equal to one of the other folds.
    A row counts as lying at most one range beyond what was fitted, as for linear probes.
    """
    found = np.empty((len(x), 2))
    for number in range(folds):
        test = fold == number
        left, right = _whitening(x[~test]), _whitening(y[~test])
        if left is None or right is None:
            return "a constant in the rows of a fold"
        distinct = int(numbered(state[~test]).max()) + 1
        ranks = left.turn.shape[1] + right.turn.shape[1]
        if distinct <= ranks:
            return f"{distinct} distinct rows to fit to, more than {ranks} dimensions needed"
        turns, _, back = np.linalg.svd(left(x[~test]).T @ right(y[~test]), full_matrices=False)
        first = back[0] * np.sign(back[0][np.abs(back[0]).argmax()])
        sign = np.sign(back[0] @ first)
        found[test, 0] = left(x[test]) @ turns[:, 0] * sign
        found[test, 1] = right(y[test]) @ first
        found[np.flatnonzero(test)[np.isin(state[test], state[~test])]] = np.nan
    return found


@dataclass(frozen=True)
class _Whitening:
    """A map to uncorrelated directions, of unit variance on the rows that it was fitted to."""

    centre: Floats
    low: Floats
    high: Floats
    turn: Floats
    """(d, rank)."""

    def __call__(self, x: Floats) -> Floats:
        span = self.high - self.low
        inside = np.clip(x, self.low - span, self.high + span)
        return np.asarray((inside - self.centre) @ self.turn)


def _whitening(x: Floats) -> _Whitening | None:
    """The whitening of x (n, d); None where no column varies."""
    centre = x.mean(0)
    centred = x - centre
    sizes = np.abs(centred).max(0)
    moving = sizes > ROUNDING * np.abs(x).max(0)
    if not moving.any():
        return None
    unit = centred[:, moving] / sizes[moving]
    r = np.linalg.qr(unit, mode="r") if len(unit) > unit.shape[1] else unit
    _, values, back = np.linalg.svd(r, full_matrices=False)
    keep = values > RANK * values[0]
    turn = np.zeros((x.shape[1], int(keep.sum())))
    turn[moving] = np.sqrt(len(x)) * (back[keep] / values[keep, None]).T / sizes[moving][:, None]
    return _Whitening(centre, x.min(0), x.max(0), turn)
