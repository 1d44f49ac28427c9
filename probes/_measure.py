"""What a measure returns, what it accepts, and the error it raises for what it does not accept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    ArrayLike: TypeAlias = NDArray[Any] | Tensor
else:
    ArrayLike: TypeAlias = Any

Floats: TypeAlias = NDArray[np.float64]


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

    @classmethod
    def undefined(cls, reason: str) -> Measure:
        """No number, and why."""
        return cls(None, reason=reason)


def as_matrix(x: ArrayLike, name: str = "x") -> Floats:
    """``x`` as float64 (n, d), trailing axes flattened; from numpy or torch, on any device.

    Raises :class:`ProbeError` for fewer than two rows, no columns, non-numbers and non-finite values.
    """
    if hasattr(x, "detach"):
        x = x.detach().cpu().double().numpy()
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise ProbeError(f"{name} holds {array.dtype} values, expected real numbers")
    if array.ndim < 2:
        raise ProbeError(f"{name} has shape {array.shape}, expected (n, d) or (n, ...)")
    if array.shape[0] < 2:
        raise ProbeError(f"{name} has {array.shape[0]} rows, expected at least 2")
    matrix = array.reshape(array.shape[0], -1).astype(np.float64, copy=False)
    if matrix.shape[1] == 0:
        raise ProbeError(f"{name} has shape {array.shape}: no columns")
    bad = int((~np.isfinite(matrix)).any(1).sum())
    if bad:
        raise ProbeError(
            f"{name} has {bad} of {len(matrix)} rows with NaN or infinity, expected finite numbers"
        )
    largest = float(np.abs(matrix).max())
    if not (largest == 0 or SMALLEST <= largest <= LARGEST):
        raise ProbeError(f"{name} has values of size {largest:.0e}, expected {SMALLEST:.0e} to {LARGEST:.0e}")
    return matrix


def as_pair(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """Two matrices with the same number of rows; raises :class:`ProbeError`."""
    left, right = as_matrix(x, "x"), as_matrix(y, "y")
    if len(left) != len(right):
        raise ProbeError(f"x has {len(left)} rows and y has {len(right)}, expected pairs")
    return left, right


ROUNDING = 1e-12
"""Deviations below this share of the largest value are what float64 leaves of a constant."""


def centred_unit(x: Floats) -> Floats:
    """Centred columns of x (n, d), the largest deviation brought to 1; x must not be constant."""
    centred = x - x.mean(0)
    return np.asarray(centred / np.abs(centred).max())


def is_constant(x: Floats) -> bool:
    """Whether all rows of x (n, d) are equal, to rounding."""
    return bool(np.abs(x - x.mean(0)).max() <= ROUNDING * np.abs(x).max())
