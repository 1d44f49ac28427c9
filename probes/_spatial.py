"""Embeddings on a grid: which axes are its channels, and the symmetries of a rectangle or a square."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from probes._measure import ArrayLike, Floats, ProbeError

Grid: TypeAlias = Callable[[Floats], Floats]

GRIDS: dict[str, Grid] = {
    "as it is": lambda x: x,
    "mirrored left to right": lambda x: x[:, :, ::-1],
    "mirrored top to bottom": lambda x: x[:, ::-1],
    "turned by 180°": lambda x: x[:, ::-1, ::-1],
    "mirrored along the diagonal": lambda x: x.transpose(0, 2, 1, 3),
    "turned by 90°": lambda x: np.rot90(x, 1, (1, 2)),
    "turned by 270°": lambda x: np.rot90(x, 3, (1, 2)),
    "mirrored along the other diagonal": lambda x: np.rot90(x, 2, (1, 2)).transpose(0, 2, 1, 3),
}
"""The symmetries of a square, by what has to be done to the transfer's grid (n, H, W, C); a rectangle has the
first four of them. Turns are counter-clockwise, rows being counted downwards."""

UNTURNED = "as it is"

BACK: dict[str, str] = {"turned by 90°": "turned by 270°", "turned by 270°": "turned by 90°"}
"""Symmetries that are not undone by doing them again, and what undoes them."""

Layout = Literal["channels last", "channels first"]
LAYOUTS: tuple[Layout, ...] = ("channels last", "channels first")


def layout_of(shape: tuple[int, ...]) -> Layout:
    """The likelier order of the axes of (n, a, b, c): channels first where b and c alone make a square.

    >>> layout_of((500, 3, 6, 6)), layout_of((500, 6, 6, 3)), layout_of((500, 4, 5, 3))
    ('channels first', 'channels last', 'channels last')
    """
    _, a, b, c = shape
    return "channels first" if b == c and a != b else "channels last"


def is_spatial(x: ArrayLike, y: ArrayLike, layout: Layout | None = None) -> bool:
    """Whether both have four axes, over one grid of more than one place; raises ProbeError for no layout."""
    if layout is not None and layout not in LAYOUTS:
        raise ProbeError(f"layout is {layout!r}, expected one of {', '.join(LAYOUTS)}")
    a, b = tuple(x.shape), tuple(y.shape)
    if len(a) != 4 or len(b) != 4 or len(a) != len(b):
        return False
    places = slice(2, 4) if (layout or layout_of(b)) == "channels first" else slice(1, 3)
    return a[0] == b[0] and a[places] == b[places] and int(np.prod(a[places])) > 1


def as_grid(x: Any, layout: Layout) -> Floats:
    """A numpy array with four axes as (n, H, W, C)."""
    return np.asarray(x.transpose(0, 2, 3, 1) if layout == "channels first" else x)


def grids_of(height: int, width: int) -> tuple[str, ...]:
    """Names of the symmetries of a grid: eight of a square, four of another rectangle.

    Of a single row or column there are two, since mirroring it across changes nothing.
    """
    here = np.arange(height * width, dtype=np.float64).reshape(1, height, width, 1)
    seen: dict[tuple[float, ...], str] = {}
    for name, turn in GRIDS.items():
        moved = turn(here)
        if moved.shape == here.shape:
            seen.setdefault(tuple(moved.ravel()), name)
    return tuple(seen.values())


def channels(x: Floats) -> Floats:
    """(n·H·W, C): a row for each place."""
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])
