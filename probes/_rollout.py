"""One long rollout: for how many steps it remembers, and the blocks that may be resampled as if apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from probes._measure import ROUNDING, ArrayLike, Floats, as_pair, is_constant

LEAST_BLOCKS = 10
"""Blocks that a rollout is cut into at the least: fewer give no interval."""

BLOCK_MEMORIES = 4
"""A block's length in memories: what is left of the correlation between neighbours then hardly counts."""

NEGLIGIBLE = 0.05
"""Autocorrelation at which its sum is broken off: what follows is noise."""


def memory(x: ArrayLike, y: ArrayLike) -> float:
    """Steps after which what x (n, d₁) and y (n, d₂) have in common is forgotten; 1 for independent rows.

    1 + 2·Σ_k r_x(k)·r_y(k): by this factor correlation inflates the variance of Σ x·y of unrelated
    rollouts (Bartlett 1935). r are autocorrelations pooled over axes, summed until they are negligible.
    """
    left, right = as_pair(x, y)
    both = _autocorrelation(left) * _autocorrelation(right)
    small = np.flatnonzero(both < NEGLIGIBLE)
    end = int(small[0]) if len(small) else len(both)
    return float(max(1.0, 2 * both[:end].sum() - 1))


def rollout_blocks(x: ArrayLike, y: ArrayLike) -> NDArray[np.int64]:
    """(n,) the block of each step of one rollout, for ``groups``: neighbours that hang together stay so."""
    left, right = as_pair(x, y)
    n = len(left)
    # A memory that is a whole number but for rounding is taken as that number.
    steps = np.ceil(BLOCK_MEMORIES * memory(left, right) * (1 - ROUNDING))
    length = int(np.clip(steps, 1, max(1, n // LEAST_BLOCKS)))
    return np.asarray(np.arange(n) // length, np.int64)


def _autocorrelation(x: Floats) -> Floats:
    """(n // 2,) of x (n, d) at steps 0, 1, …, pooled over axes."""
    from scipy import fft

    n = len(x)
    centred = x - x.mean(0)
    if is_constant(x):
        return np.ones(1)
    largest = np.abs(centred).max()
    size = fft.next_fast_len(2 * n, real=True)
    power = np.square(np.abs(fft.rfft((centred / largest).T, size))).sum(0)
    lagged = fft.irfft(power, size)[: max(n // 2, 1)]
    return np.asarray(lagged / lagged[0])
