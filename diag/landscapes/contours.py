"""Filled contours of a grid of values as rings of points, for pictures of planes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import contourpy
import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COUNT = 10
"""About how many levels a picture has: more cannot be told apart by their colours."""

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
"""Round numbers that levels are multiples of, times a power of ten."""


def levels(values: Floats, logarithmic: bool, count: int = COUNT) -> list[float]:
    """Round levels inside the range of the finite ``values``, about ``count`` of them, rising.

    ``logarithmic`` levels (1, 2, 5, 10, …) need values above 0; where these span too little for three of
    them, the levels are evenly spaced. A constant has no level.

    >>> levels(np.array([0.0, 1.0]), False)
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    >>> levels(np.array([0.3, 40.0]), True)
    [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
    """
    known = values[np.isfinite(values)]
    if not len(known) or known.min() == known.max():
        return []
    low, high = float(known.min()), float(known.max())
    if logarithmic:
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = _decades(low, high, steps)
            if len(found) <= 1.5 * count:
                break
        if len(found) >= 3:
            return found
    return _even(low, high, count)


def _decades(low: float, high: float, steps: Sequence[int]) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, (last - first) // (2 * COUNT))
    found = [float(f"{step}e{power}") for power in range(first, last + 1, every) for step in steps]
    return [level for level in found if low < level < high]


def _even(low: float, high: float, count: int) -> list[float]:
    raw = high / count - low / count  # the whole range could be infinite
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in _STEPS if s * power >= raw * (1 - 1e-9))
    found = np.arange(math.floor(low / step) + 1, math.ceil(high / step)) * step
    return [float(f"{level:.12g}") for level in found if low < level < high]


def rings(x: Floats, y: Floats, values: Floats, at: Sequence[float], logarithmic: bool) -> pd.DataFrame:
    """The regions at or above each level, the lowest first, so that each is drawn over the one before.

    ``x`` (n,), ``y`` (m,), ``values`` (m, n); what is not finite is left out. The frame has x, y, band,
    order, low and high (the levels that the band lies between; None without end); rows without x part the
    rings of a band, outer ones and holes running in opposite directions.
    """
    known = np.isfinite(values)
    parts = [pd.DataFrame(columns=["x", "y", "band", "order", "low", "high"])]
    if not known.any():
        return parts[0]
    scaled = np.where(known, values, np.nan)
    ends = np.array(at, float)
    if logarithmic:
        scaled, ends = np.log(scaled), np.log(ends)
    else:  # from −1 to 1: nothing overflows between two corners, and nothing is too small for a step of 1
        size = float(np.nanmax(np.abs(scaled))) or 1.0
        scaled, ends = scaled / size, ends / size
    grid = np.ma.masked_invalid(scaled)
    top = float(np.nanmax(scaled)) + 1.0
    maker = contourpy.contour_generator(x, y, grid, fill_type=contourpy.FillType.OuterOffset)
    for band, low in enumerate([float(np.nanmin(scaled)) - 1.0, *ends]):
        found = maker.filled(low, top)
        pieces = [
            points[start:end]
            for points, offsets in zip(*found, strict=True)
            for start, end in pairwise(offsets)
        ]
        if not pieces:
            continue
        gap = np.full((1, 2), np.nan)
        joined = np.concatenate([rows for piece in pieces for rows in (piece, gap)])[:-1]
        frame = pd.DataFrame({"x": joined[:, 0], "y": joined[:, 1]})
        frame["band"], frame["order"] = band, np.arange(len(frame))
        frame["low"] = None if band == 0 else at[band - 1]
        frame["high"] = None if band == len(at) else at[band]
        parts.append(frame)
    return pd.concat(parts[1:] or parts, ignore_index=True)
