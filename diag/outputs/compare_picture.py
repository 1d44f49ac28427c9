"""The base's embedding beside the transfer's, for a terminal: the same states in the same frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diag.comparisons.picture import MOST_COLOURS, Drawn
from diag.comparisons.result import Comparison
from diag.outputs.layout import wrapped
from diag.outputs.terminal import beside, canvas, columns, framed, limits_of

MOST_STATES = 2000
"""States that are drawn at most, evenly over all."""

MARKS = "ox+*#@"
"""A mark for each category; as many as a picture can have."""

TALLEST = 18
"""Lines of a panel at most, so that both and the verdict are on one screen."""


def render(result: Comparison) -> str:
    """Two panels of characters, and a line that says what the marks are."""
    drawn = result.picture.drawn(MOST_STATES)
    both = np.concatenate([drawn.base, drawn.transfer])
    limits = limits_of(both[:, 0], both[:, 1])
    width = min((columns() - 5) // 2, 2 * TALLEST)
    marks, legend = _marks(drawn, result.picture.colour)
    panels = []
    for title, places in (("base", drawn.base), ("transfer", drawn.transfer)):
        panel = canvas(width, max(4, width // 2), limits)
        for (x, y), mark in zip(places.tolist(), marks, strict=True):
            if np.isfinite([x, y]).all():
                panel.point(x, y, marker=str(mark))
        panels.append(framed(panel, title))
    axes = (
        "axis 0 upwards, the states in the base's order to the right"
        if drawn.view.flat
        else "axis 0 to the right, axis 1 upwards"
        if result.dimensions[0] <= 2
        else "the base's first two principal components"
    )
    words = f"{axes[0].upper()}{axes[1:]}; {legend}"
    return "\n".join([*(f"  {line}" for line in beside(*panels)), *wrapped(f"{words}.")])


def _marks(drawn: Drawn, colour: str | None) -> tuple[NDArray[np.str_], str]:
    """The mark of each state, and what it says: its category, or the quarter of the base's panel it is in.

    Without categories every state would look alike, and a panel that is mirrored or turned could not be told
    from one that is not.
    """
    names = list(dict.fromkeys(drawn.colours.tolist()))
    if colour is not None and 1 < len(names) <= MOST_COLOURS:
        known = dict(zip(names, MARKS, strict=False))
        told = ", ".join(f"{mark} {name}" for name, mark in known.items())
        return np.array([known[name] for name in drawn.colours.tolist()]), f"{colour}: {told}"
    middle = np.median(drawn.base, axis=0)
    right, upper = (drawn.base > middle).T
    marks = np.array(list(MARKS[:4]))[2 * upper + right]
    left_below, right_below, left_above, right_above = tuple(MARKS)[:4]
    return marks, (
        f"a mark is the quarter of the base's panel that a state is in: {left_above} upper left, "
        f"{right_above} upper right, {left_below} lower left, {right_below} lower right"
    )
