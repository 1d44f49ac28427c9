"""Correlation of each axis of one embedding with an axis of another: a negated axis stands at −1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes._distance import same_shape
from probes._maps import steady
from probes._measure import ArrayLike, Floats, Labels, ProbeError
from probes._moments import Moments
from probes._resampling import (
    JACKKNIFE_GROUPS,
    MIN_JACKKNIFE,
    NEARLY_ONE,
    bundles,
    fisher_jackknife,
    labels,
)


@dataclass(frozen=True)
class AxisCorrelations:
    """Pearson's correlation of d axes of y, each with an axis of x."""

    values: Floats
    """(d,) correlations; NaN where either axis is constant."""
    low: Floats
    """(d,) lower ends of 95% intervals; NaN where there are too few states for one."""
    high: Floats
    shares: Floats
    """(d,) share of y's variance that each axis of y holds; NaN where y is constant."""
    reason: str | None = None
    """Why there is no correlation at all."""


def axis_correlations(
    x: ArrayLike, y: ArrayLike, *, order: Sequence[int] | None = None, groups: Labels | None = None
) -> AxisCorrelations:
    """Correlation of axis j of y with axis ``order[j]`` of x (by default j), both (n, d) or (n, ...).

    The interval is the delete-a-part jackknife's on Fisher's scale, over parts of whole states or of
    ``groups`` (n,), as that of :func:`probes.cka`. Offsets and positive scales change nothing; a sign changes
    the sign. Raises :class:`ProbeError`.

    >>> y = np.random.default_rng(0).normal(size=(200, 3))
    >>> axis_correlations(y * [1, -2, 1], y).values.round(6).tolist()
    [1.0, -1.0, 1.0]
    """
    transfer, base = same_shape(x, y)
    state = labels(groups, transfer, base)
    if order is not None:
        transfer = transfer[:, list(_checked(order, base.shape[1]))]
    a, b = steady(transfer, transfer.mean(0)), steady(base, base.mean(0))
    part = bundles(state, JACKKNIFE_GROUPS)
    by_part = np.argsort(part, kind="stable")
    starts = np.searchsorted(part[by_part], np.arange(int(part.max()) + 1))
    ends = np.append(starts[1:], len(part))
    a, b = a[by_part], b[by_part]
    parts = [
        (
            np.array([float(end - start)]),
            a[start:end].sum(0),
            b[start:end].sum(0),
            *(np.einsum("ij,ij->j", v[start:end], w[start:end]) for v, w in ((a, a), (b, b), (a, b))),
        )
        for start, end in zip(starts, ends, strict=True)
    ]
    return _correlations([np.stack(column) for column in zip(*parts, strict=True)])


def correlations_of(parts: Sequence[Moments], order: Sequence[int] | None = None) -> AxisCorrelations:
    """The same from sums over parts of the rows, which share their frames and have as many axes."""
    first = parts[0]
    if len(first.x) != len(first.y):
        raise ProbeError(f"x has {len(first.x)} dimensions and y has {len(first.y)}, expected equal")
    d = len(first.y)
    taken = np.arange(d) if order is None else np.array(_checked(order, d))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    # What rounding leaves of a constant axis correlates with nothing.
    moving = total.x_moves[taken], total.y_moves
    rows = [
        (
            np.array([float(m.n)]),
            m.x[taken] * moving[0],
            m.y * moving[1],
            np.diag(m.xx)[taken] * moving[0],
            np.diag(m.yy) * moving[1],
            m.xy[taken, np.arange(d)] * moving[0] * moving[1],
        )
        for m in parts
    ]
    return _correlations([np.stack(column) for column in zip(*rows, strict=True)])


def _checked(order: Sequence[int], d: int) -> tuple[int, ...]:
    if sorted(order) != list(range(d)):
        raise ProbeError(f"order has {len(order)} axes, expected each of {d} once")
    return tuple(order)


def _correlations(sums: list[Floats]) -> AxisCorrelations:
    """Correlations from the sums of each of k parts: n (k, 1), and x, y, x², y², xy (k, d)."""
    whole = [column.sum(0) for column in sums]
    values, variances = _pearson(whole)
    spread = variances.sum()
    shares = variances / spread if spread > 0 else np.full(len(values), np.nan)
    none = np.full(len(values), np.nan)
    reason = None
    if not np.isfinite(values).any():
        reason = "x is constant" if spread > 0 else "y is constant"
    parts = len(sums[0])
    if parts < MIN_JACKKNIFE or reason is not None:
        return AxisCorrelations(values, none, none.copy(), shares, reason)
    without = _pearson([total - column for total, column in zip(whole, sums, strict=True)])[0]
    low, high = fisher_jackknife(values, np.arctanh(np.clip(without, -NEARLY_ONE, NEARLY_ONE)))
    return AxisCorrelations(values, np.fmin(low, values), np.fmax(high, values), shares)


def _pearson(sums: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Correlations (..., d) from sums n (..., 1), x, y, x², y², xy (..., d); and n times y's variances."""
    n, x, y, xx, yy, xy = sums
    own = np.clip(xx - x * x / n, 0, None), np.clip(yy - y * y / n, 0, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (xy - x * y / n) / (np.sqrt(own[0]) * np.sqrt(own[1]))
    return np.clip(values, -1.0, 1.0), own[1]
