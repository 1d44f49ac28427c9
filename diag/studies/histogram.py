"""Histograms of a number over the transfers of a study, failures stacked on successes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 24
"""Bars of a histogram: about as many as there are transfers of a base."""


@dataclass(frozen=True)
class Bar:
    """Transfers of one outcome whose number lies in [left, right]; they stack from ``low`` to ``high``."""

    left: float
    right: float
    low: int
    high: int
    outcome: str


def stacked(values: NDArray[np.float64], outcomes: NDArray[np.str_]) -> tuple[Bar, ...]:
    """Bars of the finite ones of values (n,) by outcome (n,); none where no value is finite."""
    known = np.isfinite(values)
    values, outcomes = values[known], outcomes[known]
    if not len(values):
        return ()
    edges = np.histogram_bin_edges(values, BINS)
    bars: list[Bar] = []
    below = np.zeros(len(edges) - 1, int)
    for outcome in ("success", "failure"):
        counts = np.histogram(values[outcomes == outcome], edges)[0]
        bars += [
            Bar(float(edges[i]), float(edges[i + 1]), int(below[i]), int(below[i] + counts[i]), outcome)
            for i in np.flatnonzero(counts)
        ]
        below += counts
    return tuple(bars)
