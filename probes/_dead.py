"""Units of an embedding that a rectifier never lets through."""

from __future__ import annotations

from probes._measure import ArrayLike, Measure, as_matrix


def dead_units(x: ArrayLike) -> Measure:
    """Share of the columns of x (n, d) that are at or below 0 in every row: max(x, 0) is constant in them.

    It is a count over the rows given and has no interval: rows that are drawn again can only lose the one in
    which a unit lives, and so resamples lie above it and not around it.

    >>> dead_units([[1.0, -2.0, 0.0, 3.0], [-1.0, -1.0, 0.0, 2.0]]).value
    0.5
    """
    return Measure(float((as_matrix(x) <= 0).all(0).mean()))
