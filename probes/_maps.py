"""The families of maps from one embedding to another, and the least-squares member of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from probes._cca import RELATIVE_RANK
from probes._measure import ROUNDING, Floats, ProbeError
from probes._moments import Frame, Moments
from probes._states import SAME

Rung = Literal["identity", "signs", "permutation", "orthogonal", "similarity", "affine"]
RUNGS: tuple[Rung, ...] = ("identity", "signs", "permutation", "orthogonal", "similarity", "affine")
SHIFTED: tuple[Rung, ...] = ("identity", "signs", "permutation")
"""The rungs without an offset, which have a variant with one."""


@dataclass(frozen=True)
class Map:
    """x ↦ x[:, order]·signs + offset, or x·matrix + offset: the best member of a rung."""

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


AXIS_BY_AXIS: tuple[Rung, ...] = ("identity", "signs")
"""Rungs that need no products between axes: cheap at any width."""


def fit(rung: Rung, x: Floats, y: Floats, shifted: bool = False) -> Map:
    """The least-squares map of a rung from x to y, both (n, d); ``shifted`` gives any rung an offset."""
    if rung not in AXIS_BY_AXIS:
        return fitted(rung, Moments.of(x, y), shifted)
    x_mean, y_mean = (x.mean(0), y.mean(0)) if shifted else (np.zeros(x.shape[1]), np.zeros(y.shape[1]))
    signs = None
    if rung == "signs":
        products, sizes = axis_products(*(steady(x, x_mean), steady(y, y_mean)) if shifted else (x, y))
        signs = _signs(products, sizes)
    return Map(signs=signs, offset=y_mean - Map(signs=signs)(x_mean[None])[0] if shifted else None)


def fitted(rung: Rung, m: Moments, shifted: bool = False) -> Map:
    """The least-squares map of a rung from x to y, from sums over their rows."""
    match rung:
        case "identity":
            plain = Map()
        case "signs":
            products, sizes = cross_products(m, shifted)
            plain = Map(signs=_signs(np.diag(products), np.diag(sizes)))
        case "permutation":
            from scipy.optimize import linear_sum_assignment

            products, sizes = cross_products(m, shifted)
            gains = np.abs(products) + SAME * sizes * _preference(products, sizes)
            # Rows are base axes, so that the assignment reads: base axis j takes transfer axis order[j].
            _, order = linear_sum_assignment(gains.T, maximize=True)
            chosen = order, np.arange(products.shape[1])
            plain = Map(
                signs=_signs(products[chosen], sizes[chosen]), order=tuple(int(axis) for axis in order)
            )
        case "orthogonal" | "similarity":
            matrix, values = _turn(m.cross_scatter)
            if rung == "similarity":
                scale = values.sum() / np.trace(m.x_scatter) if m.x_moves.any() else 0.0
                matrix = matrix * (scale * m.y_frame.unit / m.x_frame.unit)
            plain = Map(matrix=matrix)
        case "affine":
            values, vectors = np.linalg.eigh(m.x_scatter)
            # A constant x can only be mapped to the mean of y.
            keep = values > (values[-1] * RELATIVE_RANK if m.x_moves.any() else np.inf)
            kept = vectors[:, keep]
            matrix = (kept / values[keep]) @ (kept.T @ m.cross_scatter)
            plain = Map(matrix=matrix * (m.y_frame.unit / m.x_frame.unit))
        case _:
            raise ProbeError(f"rung is {rung!r}, expected one of {', '.join(RUNGS)}")
    if not shifted and rung in SHIFTED:
        return plain
    x_mean = m.x_frame.origin + m.x_frame.unit * m.x / m.n
    y_mean = m.y_frame.origin + m.y_frame.unit * m.y / m.n
    return replace(plain, offset=y_mean - plain(x_mean[None])[0])


def _turn(products: Floats) -> tuple[Floats, Floats]:
    """(d, d) the orthogonal matrix Q with the largest trace of Qᵀ·products, and their singular values.

    Directions in which there is nothing to turn (a constant axis) stay as near to where they are as they
    can: what rounding leaves there would turn them at will.
    """
    from scipy.linalg import svd

    left, values, right = svd(products, full_matrices=False)
    empty = values <= RELATIVE_RANK * values[0]
    if empty.any():
        ours, _, theirs = svd(left[:, empty].T @ right[empty].T)
        left[:, empty] = left[:, empty] @ ours @ theirs
    return np.asarray(left @ right), values


def cross_products(m: Moments, centred: bool) -> tuple[Floats, Floats]:
    """(d, d) Σ xᵀy of the rows as they are, or less their means; and the most that each could be."""
    if centred:
        squares = (np.clip(np.diag(v), 0, None) for v in (m.x_scatter, m.y_scatter))
        # An axis that does not vary has no sign, but rounding would give it one.
        return m.cross_scatter * np.outer(m.x_moves, m.y_moves), np.sqrt(np.outer(*squares))
    x_frame, y_frame = m.frames
    x_sum = x_frame.unit * m.x + m.n * x_frame.origin
    products = x_frame.unit * y_frame.unit * m.xy + np.outer(x_sum, y_frame.origin)
    sizes = np.outer(*(_squares(*side) for side in ((x_frame, m.x, m.xx, m.n), (y_frame, m.y, m.yy, m.n))))
    return np.asarray(products + np.outer(x_frame.origin, y_frame.unit * m.y)), np.sqrt(sizes)


def _squares(frame: Frame, total: Floats, squares: Floats, n: int) -> Floats:
    """(d,) Σ x² of the rows as they are."""
    about = frame.unit**2 * np.diag(squares) + 2 * frame.unit * frame.origin * total
    return np.asarray(np.clip(about + n * np.square(frame.origin), 0, None))


def _preference(products: Floats, sizes: Floats) -> Floats:
    """(d, d) which of equally good assignments is taken: axes stay, keep their sign, and move little.

    Two axes with the same numbers in them could otherwise change places with the last bit.
    """
    axes = np.arange(len(products))
    apart = np.subtract.outer(axes, axes)
    kept = products >= -SAME * sizes
    return np.asarray((apart == 0) + 0.5 * kept - 0.25 * np.square(apart / len(axes)))


def steady(x: Floats, mean: Floats) -> Floats:
    """x (n, d) less its mean (d,), exactly 0 where an axis does not vary: rounding would give it a sign."""
    centred = x - mean
    varies = np.abs(centred).max(0) > ROUNDING * np.abs(x).max(0)
    return np.asarray(centred * varies)


def axis_products(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(d,) Σ x·y of each axis of x and y (n, d), and the most that it could be: √(Σ x² · Σ y²)."""
    return (x * y).sum(0), np.sqrt(np.square(x).sum(0) * np.square(y).sum(0))


def _signs(products: Floats, sizes: Floats) -> tuple[int, ...]:
    """−1 where an axis is negated; 1 where nothing but rounding tells."""
    return tuple(-1 if product < -SAME * size else 1 for product, size in zip(products, sizes, strict=True))
