"""Curves cut where they pass through 0, for pictures that fill them above and below it."""

from __future__ import annotations

import numpy as np

from probes import Floats


def crossed(t: Floats, values: Floats) -> tuple[Floats, Floats]:
    """A curve (n,) over rising ``t`` (n,) with a point of its own wherever it passes through 0.

    The line between two neighbours is straight. Both come back as long as each other.

    >>> crossed(np.array([0.0, 1.0]), np.array([-1.0, 3.0]))
    (array([0.  , 0.25, 1.  ]), array([-1.,  0.,  3.]))
    """
    turns = np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)
    # Values of both signs, so that the share lies between 0 and 1 whatever their size.
    size = np.maximum(np.abs(values[turns]), np.abs(values[turns + 1]))
    before, after = np.abs(values[turns]) / size, np.abs(values[turns + 1]) / size
    share = before / (before + after)
    through = t[turns] + share * (t[turns + 1] - t[turns])
    at = turns + 1
    return np.insert(t, at, through), np.insert(values, at, 0.0)
