"""Planes with their channels first, and a map of channels as a map of whole embeddings of planes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes import Floats, Layout, Map


def on_planes(fit: Map, layout: Layout = "channels first") -> Callable[[Floats], Floats]:
    """The map of planes, (n, channels, height, width) or with channels last, that takes each place by fit.

    >>> from probes import Map
    >>> negated = on_planes(Map(signs=(1, -1)))
    >>> negated(np.ones((1, 2, 1, 3))).tolist()
    [[[[1.0, 1.0, 1.0]], [[-1.0, -1.0, -1.0]]]]
    """
    axis = 1 if layout == "channels first" else -1

    def mapped(x: Floats) -> Floats:
        last = np.moveaxis(x, axis, -1)
        moved = fit(last.reshape(-1, last.shape[-1]).astype(np.float64))
        return np.ascontiguousarray(np.moveaxis(moved.reshape(*last.shape[:-1], -1), -1, axis))

    return mapped


def as_planes(x: NDArray[Any], layout: Layout) -> Floats:
    """An array with four axes as (n, channels, height, width) in double precision."""
    return np.asarray(x if layout == "channels first" else np.moveaxis(x, -1, 1), np.float64)
