"""Means, and ratios of means, over bases and seeds, with bootstrap intervals that hold for few of them.

Units are resampled: whole bases with all of their transfers, because transfers of one base are not
independent; where there is one base, or nothing of a base is kept, single runs. A ratio's two groups are
resampled independently of each other. The value is the ratio of the two means and not the mean of ratios,
which a single poor run below the line could send anywhere.

Percentiles of the bootstrap of five units cover the truth in 83% of cases instead of 95%. The intervals here
are expanded percentiles (Hesterberg, The American Statistician 69, 2015: 371-386, section 5.3): the
percentiles α/2 = Φ(−√(n/(n−1)) · t) with Student's t of n − 1 degrees of freedom at 97.5%, of the smaller
group. They cover 92% for five units, 94% for eight (normal numbers; a test). Of three units no resampling
does better than their range, which covers 75%, and of two 50%.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from diag.studies.statistics import RESAMPLES
from probes import Floats, Measure


@dataclass(frozen=True, eq=False)
class Units:
    """Numbers of runs in units that are resampled as a whole."""

    values: tuple[Floats, ...]
    """The numbers of each unit's runs."""

    @classmethod
    def of(cls, values: Sequence[float], unit: Sequence[object]) -> Units:
        """Runs by the unit that each belongs to; runs whose number is not finite are left out."""
        own: dict[object, list[float]] = {}
        for value, name in zip(values, unit, strict=True):
            if np.isfinite(value):
                own.setdefault(name, []).append(float(value))
        return cls(tuple(np.array(numbers) for numbers in own.values()))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def runs(self) -> int:
        """Number of runs in all."""
        return sum(map(len, self.values))

    @cached_property
    def mean(self) -> float:
        """Mean over the runs; NaN where there are none."""
        return float(np.concatenate(self.values).mean()) if self.values else float("nan")

    def draws(self, seed: int) -> Floats:
        """(RESAMPLES,) means over runs of units drawn with replacement."""
        sums, sizes = (np.array([f(v) for v in self.values], float) for f in (np.sum, len))
        picked = np.random.default_rng(seed).integers(len(self), size=(RESAMPLES, len(self)))
        return np.asarray(sums[picked].sum(1) / sizes[picked].sum(1), np.float64)


def mean(units: Units) -> Measure:
    """The mean over runs, with an interval where there are two units or more."""
    if not len(units):
        return Measure.undefined("no run has it")
    if len(units) == 1:
        return Measure(units.mean)
    return Measure(units.mean, *_ends(units.draws(0), len(units)))


def combined(function: Callable[[Floats, Floats], Floats], one: Units, other: Units, reason: str) -> Measure:
    """A function of two means, such as their ratio, with an interval where both groups have two units.

    ``reason`` is why there is none where a group is empty. Resamples at which the function is not finite
    are left out.
    """
    if not (len(one) and len(other)):
        return Measure.undefined(reason)
    value = float(function(np.array([one.mean]), np.array([other.mean]))[0])
    fewest = min(len(one), len(other))
    if fewest == 1:
        return Measure(value)
    draws = function(one.draws(0), other.draws(1))
    return Measure(value, *_ends(draws[np.isfinite(draws)], fewest))


def of_one(function: Callable[[Floats], Floats], units: Units, reason: str) -> Measure:
    """A function of one mean, with an interval where there are two units or more."""
    if not len(units):
        return Measure.undefined(reason)
    value = float(function(np.array([units.mean]))[0])
    if len(units) == 1:
        return Measure(value)
    draws = function(units.draws(1))
    return Measure(value, *_ends(draws[np.isfinite(draws)], len(units)))


def _ends(draws: Floats, n: int) -> tuple[float, float]:
    """The expanded percentiles of resampled numbers of n units."""
    tail = float(stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
