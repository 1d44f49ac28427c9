"""Similarities without intervals, by the shortest way: for arrays that need no frame to keep their digits.

Sums in frames (:mod:`probes._moments`) serve resamples, streams, and numbers far from zero or of odd sizes.
Most arrays are neither, and of one value alone a few products are all the work. What is not plain, such as a
constant, numbers that are not finite, or an offset of many spreads, goes the long way, which has the words.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from probes._measure import ArrayLike, Floats, real_matrix

LEAST, MOST = 1e-50, 1e50
"""Sums of squares about the mean whose fourth powers float64 holds."""

FAR = 1e6
"""Square of the offset from zero, as a multiple of the mean square about it, beyond which centring costs
digits: six of sixteen."""

NEAR = 16.0
"""The same up to which the mean need not be taken off first: taking it off the products costs one digit."""

LARGE = 2**15
"""Numbers from which taking the mean off the products is quicker than writing centred rows."""

WORTH = 1.25
"""Time of products of rows, as a multiple of those of columns with as many terms: they are all symmetric, and
such are the slower ones."""

_REAL = frozenset("fiub")


class Side(NamedTuple):
    """One of two arrays: rows, with or without their mean."""

    rows: Floats
    """(n, d), of any real type where the mean has not been taken off."""
    mean: Floats | None
    """(d,) the mean that is still in the rows; None where they are centred."""
    square: float
    """Σ‖x − x̄‖²."""


def plain(x: ArrayLike, y: ArrayLike, *, centred: bool = False) -> tuple[Side, Side] | None:
    """Both arrays (n, d) ready for products; None where one of them is not plain, or rows are no pairs."""
    with np.errstate(invalid="ignore", over="ignore"):
        left = _side(x, centred)
        if left is None:
            return None
        right = _side(y, centred)
    return None if right is None or len(left.rows) != len(right.rows) else (left, right)


def _side(x: ArrayLike, centred: bool) -> Side | None:
    if type(x) is not np.ndarray:
        if not hasattr(x, "detach"):
            return None
        x = real_matrix(x)
    if x.ndim != 2 or x.dtype.kind not in _REAL or x.dtype.itemsize > 8:
        return None
    n, d = x.shape
    if n < 2 or not d:
        return None
    mean: Floats = np.add.reduce(x, 0, dtype=np.float64)
    mean /= n
    offset = n * float(mean.dot(mean))
    if not centred and x.size >= LARGE and x.dtype == np.float64 and x.flags.c_contiguous:
        flat = x.reshape(-1)
        square = float(flat.dot(flat)) - offset
        if LEAST <= square <= MOST and offset <= NEAR * square:
            return Side(x, mean, square)
    rows: Floats = x - mean
    flat = rows.reshape(-1)
    square = float(flat.dot(flat))
    # NaN and infinity come through to the sum, and are in no range.
    return Side(rows, None, square) if LEAST <= square <= MOST and offset <= FAR * square else None


def _product(one: Side, other: Side) -> Floats:
    """(d₁, d₂) Σ (x − x̄)ᵀ(y − ȳ)."""
    product: Floats = one.rows.T @ other.rows
    if one.mean is not None and other.mean is not None:
        product -= np.multiply.outer(one.mean, len(one.rows) * other.mean)
    return product


def _square(matrix: Floats) -> float:
    """The squared Frobenius norm."""
    flat = matrix.reshape(-1)
    return float(flat.dot(flat))


def _shape(x: ArrayLike) -> tuple[int, ...]:
    return tuple(getattr(x, "shape", ()))


def _wide(x: ArrayLike, y: ArrayLike) -> bool:
    """Whether products of rows are fewer than those of columns."""
    one, other = _shape(x), _shape(y)
    if len(one) != 2 or len(other) != 2:
        return False
    n, p, q = *one, other[1]
    return WORTH * n * (p + q) < p * p + q * q + 2 * p * q


def biased_value(x: ArrayLike, y: ArrayLike) -> float | None:
    """Linear CKA of x (n, d₁) and y (n, d₂); None where the long way is to be gone."""
    wide = _wide(x, y)
    pair = plain(x, y, centred=wide)
    if pair is None:
        return None
    left, right = pair
    if wide:
        k, m = left.rows @ left.rows.T, right.rows @ right.rows.T
        cross, x_own, y_own = float(k.reshape(-1).dot(m.reshape(-1))), _square(k), _square(m)
    else:
        cross = _square(_product(left, right))
        x_own, y_own = _square(_product(left, left)), _square(_product(right, right))
    return min(1.0, cross / (sqrt(x_own) * sqrt(y_own)))


def debiased_value(x: ArrayLike, y: ArrayLike, positive: float) -> float | None:
    """CKA of unbiased HSICs (Song et al. 2012, equation 5); None where the long way is to be gone.

    Of centred rows the sums of a kernel's rows without their diagonal are the diagonal, negated. ``positive``
    is the share of the biased self-similarity that the unbiased one must exceed.
    """
    wide = _wide(x, y)
    pair = plain(x, y, centred=True)
    if pair is None or (n := len(pair[0].rows)) < 4:
        return None
    (a, _, x_total), (b, _, y_total) = pair
    if wide:
        k, m = a @ a.T, b @ b.T
        xy, xx, yy = float(k.reshape(-1).dot(m.reshape(-1))), _square(k), _square(m)
        aa, bb = k.diagonal(), m.diagonal()
    else:
        xy, xx, yy = _square(a.T @ b), _square(a.T @ a), _square(b.T @ b)
        aa, bb = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
    rows, pairs = 1 + 2 / (n - 2), (n - 1) * (n - 2)
    x_self = xx - rows * float(aa.dot(aa)) + x_total**2 / pairs
    y_self = yy - rows * float(bb.dot(bb)) + y_total**2 / pairs
    if x_self <= positive * xx or y_self <= positive * yy:
        return None
    both = xy - rows * float(aa.dot(bb)) + x_total * y_total / pairs
    # No similarity is above one; rounding is.
    return min(1.0, both / (sqrt(x_self) * sqrt(y_self)))


def overlap_value(x: ArrayLike, y: ArrayLike) -> float | None:
    """Procrustes similarity of x (n, d₁) and y (n, d₂); None where the long way is to be gone."""
    shape = _shape(x)
    if len(shape) != 2 or shape[1] > shape[0]:  # the long way turns wide arrays into fewer dimensions
        return None
    pair = plain(x, y)
    if pair is None or pair[1].rows.shape[1] > shape[0]:
        return None
    left, right = pair
    singular = np.linalg.svd(_product(left, right), compute_uv=False)
    return min(1.0, float(singular.sum()) / (sqrt(left.square) * sqrt(right.square)))
