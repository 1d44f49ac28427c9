"""The number that a measure returns, the arrays that it accepts, and the error for those that it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    ArrayLike: TypeAlias = NDArray[Any] | Tensor
else:
    ArrayLike: TypeAlias = Any

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

Labels: TypeAlias = Sequence[Any] | NDArray[Any]
"""(n,) the state or episode of each row; rows of one label stay together."""

CONSTANT_BASE = "the base's embedding is constant"

SMALLEST, LARGEST = 1e-100, 1e100
"""Sizes whose squares float64 can still tell from 0 and from infinity, with room for sums."""


class ProbeError(ValueError):
    """Arrays that a measure cannot take; the message says what was found and what was expected."""


@dataclass(frozen=True)
class Measure:
    """One number with its 95% interval, or None and the reason why there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    p: float | None = None
    """Probability that unrelated embeddings score at least this (:func:`probes.independence`)."""
    p_floor: float | None = None
    """The least p that the exchanges tried could give, 1 / (1 + draws); None where p is a fitted tail."""

    @classmethod
    def undefined(cls, reason: str) -> Measure:
        """No number, and why."""
        return cls(None, reason=reason)


def real_matrix(x: ArrayLike, name: str = "x") -> Floats:
    """``x`` as float64 (n, d), trailing axes flattened; from numpy or torch, on any device.

    Raises :class:`ProbeError` for no columns and for what is not real numbers.
    """
    if hasattr(x, "detach"):
        x = x.detach().cpu().double().numpy()
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise ProbeError(f"{name} holds {array.dtype} values, expected real numbers")
    if array.ndim < 2:
        raise ProbeError(f"{name} has shape {array.shape}, expected (n, d) or (n, ...)")
    columns = prod(array.shape[1:])
    if columns == 0:
        raise ProbeError(f"{name} has shape {array.shape}: no columns")
    return np.asarray(array.reshape(array.shape[0], columns), np.float64)


def finite_rows(matrix: Floats) -> Bools:
    """(n,) which rows of (n, d) hold no NaN and no infinity."""
    return np.asarray(np.isfinite(matrix).all(1))


def as_matrix(x: ArrayLike, name: str = "x") -> Floats:
    """``x`` as finite float64 (n, d), trailing axes flattened; from numpy or torch, on any device.

    Raises :class:`ProbeError` for fewer than two rows, no columns, non-numbers and non-finite values.
    """
    matrix = real_matrix(x, name)
    if len(matrix) < 2:
        raise ProbeError(f"{name} has {len(matrix)} rows, expected at least 2")
    # NaN and infinity come through to the least and the largest: two passes without a copy.
    least, most = float(matrix.min()), float(matrix.max())
    if not (isfinite(least) and isfinite(most)):
        bad = int((~finite_rows(matrix)).sum())
        raise ProbeError(
            f"{name} has {bad} of {len(matrix)} rows with NaN or infinity, expected finite numbers"
        )
    _check_largest(max(most, -least), name)
    return matrix


def check_size(matrix: Floats, name: str) -> None:
    """Raises :class:`ProbeError` for numbers whose squares float64 cannot hold."""
    _check_largest(float(max(matrix.max(initial=0.0), -matrix.min(initial=0.0))), name)


def _check_largest(largest: float, name: str) -> None:
    if not (largest == 0 or SMALLEST <= largest <= LARGEST):
        raise ProbeError(f"{name} has values of size {largest:.0e}, expected {SMALLEST:.0e} to {LARGEST:.0e}")


def drop_nonfinite(*arrays: ArrayLike) -> tuple[tuple[ArrayLike, ...], Bools]:
    """Arrays (n, ...) without the rows in which any of them has NaN or infinity, and which rows stay (n,).

    Raises :class:`ProbeError` where the numbers of rows differ or fewer than two stay.
    """
    rows = [len(array) for array in arrays]
    if len(set(rows)) != 1:
        raise ProbeError(f"arrays have {' and '.join(map(str, rows))} rows, expected pairs")
    stay = np.ones(rows[0], np.bool_)
    for array in arrays:
        stay &= finite_rows(real_matrix(array))
    if stay.sum() < 2:
        raise ProbeError(f"{int(stay.sum())} of {len(stay)} rows are finite, expected at least 2")
    return tuple(array[stay] for array in arrays), stay


def as_pair(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """Two matrices with the same number of rows; raises :class:`ProbeError`."""
    left, right = as_matrix(x, "x"), as_matrix(y, "y")
    if len(left) != len(right):
        raise ProbeError(f"x has {len(left)} rows and y has {len(right)}, expected pairs")
    return left, right


ROUNDING = 1e-12
"""Deviations below this share of the largest value are what float64 leaves of a constant."""


def is_constant(x: Floats) -> bool:
    """Whether all rows of x (n, d) are equal, to rounding."""
    return bool(np.abs(x - x.mean(0)).max() <= ROUNDING * np.abs(x).max())
