"""What a curve of returns says: its mean over the budget, its level at the end, and when it reached a level.

A point of a curve is the mean return since the point before, and counts for the updates between the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes import Floats

LAST = 0.1
"""Share of the budget at its end over which the level is taken that a run ends at."""

SMOOTHED = 0.05
"""Share of the budget over whose points a curve is averaged before it is asked whether it has reached a
level: one lucky point is no level. It is also the least number of frames that can be told."""


@dataclass(frozen=True, eq=False)
class Run:
    """The curve of one run."""

    step: Floats
    """(n,) updates, ascending."""
    score: Floats
    """(n,) mean return since the point before."""
    budget: float
    """Updates in all."""

    @property
    def _weights(self) -> Floats:
        return np.diff(self.step, prepend=0.0)

    def area(self) -> float:
        """The mean return over the budget: the area under the curve over its length."""
        return float(np.average(self.score, weights=self._weights))

    def end(self) -> float:
        """The mean return over the last tenth of the budget; of the last point, where it has no other."""
        last = self.step > (1 - LAST) * self.budget
        last[-1] = True
        return float(np.average(self.score[last], weights=self._weights[last]))

    def reached(self, level: float) -> float | None:
        """The updates after which the mean of the last points is ``level`` or more; None for never.

        Points within :data:`SMOOTHED` of the budget are averaged, and the first point that has a whole
        window behind it is the first that can be said to have reached anything.
        """
        window, weights = SMOOTHED * self.budget, self._weights
        begins = self.step - weights
        for here, now in enumerate(self.step):
            if now < window and here < len(self.step) - 1:
                continue
            inside = (begins[: here + 1] >= now - window - 1e-9) | (np.arange(here + 1) == here)
            if np.average(self.score[: here + 1][inside], weights=weights[: here + 1][inside]) >= level:
                return float(now)
        return None
