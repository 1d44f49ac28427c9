"""Similarities of many layers with many others, from batches that are never held together.

A layer's features of a batch of b inputs are known here by their kernel alone, the (b, b) products of its
rows: layers of any size and shape cost the same, and every layer is compared with every other by one product
of matrices. Unbiased estimates of a batch may be averaged over batches, and only they (Nguyen et al. 2021,
arXiv 2010.15327, section 3): so the answer does not depend on how large a batch is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probes._cka import MIN_DEBIASED, UNBIASED_ZERO
from probes._measure import Floats, Measure, ProbeError
from probes._resampling import MIN_JACKKNIFE, NEARLY_ONE, fisher_jackknife


@dataclass(frozen=True)
class LayerSimilarity:
    """Debiased CKA of every layer of x with every layer of y, NaN where one does not vary."""

    value: Floats
    """(layers of x, layers of y)"""
    low: Floats
    """Lower ends of the 95% intervals; NaN from fewer than four batches."""
    high: Floats
    batches: int
    rows: int

    def measure(self, i: int, j: int) -> Measure:
        """One pair of layers."""
        if not np.isfinite(self.value[i, j]):
            return Measure.undefined("an unbiased self-similarity is not positive")
        low, high = float(self.low[i, j]), float(self.high[i, j])
        if not np.isfinite(low + high):
            few = f"{self.batches} batches, at least {MIN_JACKKNIFE} are needed for an interval"
            return Measure(float(self.value[i, j]), reason=few)
        return Measure(float(self.value[i, j]), low, high)


class LayerKernels:
    """Sums over batches of the kernels of two networks' layers, and their debiased CKA.

    >>> rng = np.random.default_rng(0)
    >>> sums = LayerKernels()
    >>> for _ in range(8):
    ...     x = rng.normal(size=(32, 5))
    ...     sums.add([x @ x.T], [x @ x.T, -2 * x @ -x.T])
    >>> sums.similarity().value.round(6)
    array([[1., 1.]])
    """

    def __init__(self) -> None:
        self.rows = 0
        self._cross: list[Floats] = []
        self._own: tuple[list[Floats], list[Floats]] = ([], [])
        self._biased: tuple[list[Floats], list[Floats]] = ([], [])

    def add(self, x: Sequence[Floats], y: Sequence[Floats]) -> None:
        """Take the kernels (b, b) of the layers of both networks for the same b inputs.

        Whatever is added to all rows of a layer's features changes nothing: let it be their mean taken off,
        so that rounding is small. Raises ProbeError for fewer than four rows, other shapes, NaN and infinity.
        """
        rows = len(x[0]) if len(x) else 0
        if rows < MIN_DEBIASED or not len(y):
            raise ProbeError(
                f"{rows} rows, expected at least {MIN_DEBIASED} of a layer or more on both sides"
            )
        sides = [np.stack([_centred(kernel, rows) for kernel in side]) for side in (x, y)]
        flat = [side.reshape(len(side), -1) for side in sides]
        weight = rows * rows / (rows * (rows - 3))  # a batch's mean, times its rows
        self._cross.append(flat[0] @ flat[1].T * weight)
        for own, biased, side, kernels in zip(self._own, self._biased, flat, (x, y), strict=True):
            own.append(np.square(side).sum(1) * weight)
            biased.append(np.array([float(np.square(_doubly(k)).sum()) for k in kernels]))
        self.rows += rows

    def similarity(self) -> LayerSimilarity:
        """CKA = Σ HSIC(x, y) / √(Σ HSIC(x, x) · Σ HSIC(y, y)), sums over batches.

        Intervals are a jackknife's over batches, on Fisher's scale, about the corrected estimate.
        """
        cross, own = np.stack(self._cross), [np.stack(side) for side in self._own]
        vary = [
            side.sum(0) > UNBIASED_ZERO * np.stack(b).sum(0)
            for side, b in zip(own, self._biased, strict=True)
        ]
        k = len(cross)
        value = _ratio(cross.sum(0), *(side.sum(0) for side in own))
        value[~vary[0]] = np.nan
        value[:, ~vary[1]] = np.nan
        low, high = np.full_like(value, np.nan), np.full_like(value, np.nan)
        if k >= MIN_JACKKNIFE:
            without = np.stack(
                [_ratio(cross.sum(0) - cross[i], *(side.sum(0) - side[i] for side in own)) for i in range(k)]
            )
            with np.errstate(invalid="ignore"):
                scaled = np.arctanh(np.clip(without, -NEARLY_ONE, NEARLY_ONE))
            low, high = fisher_jackknife(value, scaled)
        return LayerSimilarity(value, low, high, k, self.rows)


def _centred(kernel: Floats, rows: int) -> Floats:
    """A kernel without its diagonal, less the means of rows and columns (Székely and Rizzo 2014, eq. 3.1).

    The product of two of them, summed, is b(b − 3) times the unbiased HSIC of Song et al. 2012.
    """
    if kernel.shape != (rows, rows):
        raise ProbeError(f"a kernel of shape {kernel.shape}, expected ({rows}, {rows}) in each layer")
    if not np.isfinite(kernel).all():
        raise ProbeError("a kernel with NaN or infinity, expected finite numbers")
    off = np.array(kernel, np.float64)
    np.fill_diagonal(off, 0.0)
    sums = off.sum(0)
    off -= sums / (rows - 2)
    off -= (sums / (rows - 2))[:, None]
    off += sums.sum() / ((rows - 1) * (rows - 2))
    np.fill_diagonal(off, 0.0)
    return off


def _doubly(kernel: Floats) -> Floats:
    """A kernel less the means of its rows and columns."""
    means = kernel.mean(0)
    return np.asarray(kernel - means - means[:, None] + means.mean())


def _ratio(cross: Floats, x: Floats, y: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(cross / np.sqrt(np.outer(np.clip(x, 0, None), np.clip(y, 0, None))))


# --- How well the features of one layer are read from those of another --------------------------------------

AXES = 64
"""Principal axes of a layer that another is read on, and that are read: the most of its variance."""


def layer_fits(
    xs: Sequence[NDArray[np.floating]], ys: Sequence[NDArray[np.floating]], seed: int = 0
) -> Floats:
    """Held-out R² (layers of x, layers of y) of the best linear map from each layer of x to each of y.

    Features are (n, d), of the same n inputs. Each layer is taken on its first :data:`AXES` principal axes,
    found, as the maps are, on one half of the inputs; the other half scores them, both ways round. R² is
    pooled over axes, and no less than −1; NaN where a layer of y does not vary. Raises ProbeError.
    """
    n = len(xs[0])
    if n < 2 * MIN_DEBIASED:
        raise ProbeError(f"{n} inputs, expected at least {2 * MIN_DEBIASED}")
    half = np.random.default_rng([seed, 2]).permutation(n) < n // 2
    left = np.zeros((len(xs), len(ys)))
    for fitted in (half, ~half):
        ours = [_on_axes(features, fitted) for features in xs]
        theirs = [_on_axes(features, fitted, whiten=False) for features in ys]
        for i, (fit_x, held_x) in enumerate(ours):
            for j, (fit_y, held_y) in enumerate(theirs):
                error = np.square(held_y - held_x @ (fit_x.T @ fit_y)).sum()
                spread = np.square(held_y).sum()
                left[i, j] += (error / spread if spread > 0 else np.nan) / 2
    return np.asarray(np.clip(1 - left, -1.0, 1.0))


def _on_axes(
    features: NDArray[np.floating], fitted: NDArray[np.bool_], *, whiten: bool = True
) -> tuple[Floats, Floats]:
    """A layer on its principal axes: the half that finds them, and the other half.

    ``whiten`` makes the first half's columns orthonormal, so that a map to anything is a product.
    """
    first, second = (np.asarray(features[rows], np.float64) for rows in (fitted, ~fitted))
    mean = first.mean(0)
    first, second = first - mean, second - mean
    values, vectors = np.linalg.eigh(first.T @ first)
    most = min(AXES, len(first) // 4)
    keep = (values > values[-1] * 1e-10) & (np.arange(len(values)) >= len(values) - most)
    axes = vectors[:, keep] / (np.sqrt(values[keep]) if whiten else 1.0)
    return first @ axes, second @ axes
