"""Embeddings on a grid, (n, H, W, C): maps that act on channels, alike at every place, and mirrored grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from probes._cca import RELATIVE_RANK
from probes._measure import ArrayLike, Floats
from probes._states import SAME

Grid: TypeAlias = Callable[[Floats], Floats]

GRIDS: dict[str, Grid] = {
    "as it is": lambda x: x,
    "mirrored left-right": lambda x: x[:, :, ::-1],
    "mirrored up-down": lambda x: x[:, ::-1],
    "turned by 180°": lambda x: x[:, ::-1, ::-1],
    "mirrored along the diagonal": lambda x: x.transpose(0, 2, 1, 3),
    "turned by 90°": lambda x: np.rot90(x, 1, (1, 2)),
    "turned by 270°": lambda x: np.rot90(x, 3, (1, 2)),
    "mirrored along the other diagonal": lambda x: np.rot90(x, 2, (1, 2)).transpose(0, 2, 1, 3),
}
"""The symmetries of a square, by what has to be done to the transfer's grid; a rectangle has four of them."""

UNTURNED = "as it is"


def is_spatial(x: ArrayLike, y: ArrayLike) -> bool:
    """Whether both are (n, H, W, C) over one grid of more than one place."""
    a, b = tuple(x.shape), tuple(y.shape)
    return len(a) == len(b) == 4 and a[:3] == b[:3] and a[1] * a[2] > 1


def best_grid(x: Floats, y: Floats, margin: float) -> tuple[str, Floats]:
    """The grid under which a map of channels explains most of y (n, H, W, C), and x seen under it.

    The grid as it is is kept where it does as well to within ``margin`` of R². What stands still at a
    place, such as walls, does not count.
    """
    moving = y - y.mean(0)
    grids = {name: turned for name, turn in GRIDS.items() if (turned := turn(x)).shape[:3] == y.shape[:3]}
    explained = {name: _explained(turned - turned.mean(0), moving) for name, turned in grids.items()}
    # Among grids that explain equally much within rounding, as where nothing moves along one side, the first.
    name = next(name for name, r2 in explained.items() if r2 >= max(explained.values()) - SAME)
    if explained[UNTURNED] >= explained[name] - margin:
        name = UNTURNED
    return name, grids[name]


def _explained(x: Floats, y: Floats) -> float:
    """R² of the best linear map of channels, both (n, H, W, C) and centred."""
    a, b = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    values, vectors = np.linalg.eigh(a.T @ a)
    keep = values > max(values[-1] * RELATIVE_RANK, np.finfo(float).tiny)
    overlap = (vectors[:, keep] / np.sqrt(values[keep])).T @ (a.T @ b)
    return float(np.square(overlap).sum() / max(np.square(b).sum(), np.finfo(float).tiny))


def channels(x: Any) -> Floats:
    """(n·H·W, C): a row for each place."""
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])
