"""Which of several sources comes first by one measure, and whether that is more than the rows' chance.

Every source is measured on the same rows, so that their differences are paired: the delete-a-part jackknife
(Tukey 1958) over parts of whole histories gives each difference its spread. An interval of each pair is so
wide that all of them hold at once in 95% of samples (Bonferroni), since the first is chosen by the same
numbers; a source is named where all its differences from the others exclude 0.

What is resampled are histories. How another training of the same source would have ended is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from diag.result import finite
from probes import Floats, Measure
from probes._resampling import LEVEL, jackknife_half

PARTS = 20
"""Parts that histories are dealt to, each left out once."""

FEWEST = 4
"""Parts that an interval needs."""


@dataclass(frozen=True)
class Ranking:
    """The order of sources by one measure."""

    what: str
    """What is measured: a component, a loss term, …"""
    measure: str
    """``cka_debiased``, ``loss`` or ``r2``."""
    best: int | None
    """Number of the source that comes first; None where fewer than two have a number."""
    second: int | None
    """Number of the source whose difference from it is least sure."""
    lead: Measure
    """By how much the first is better than that one, above 0, with its interval among all pairs."""

    @property
    def apart(self) -> bool:
        """Whether the first is told apart from every other."""
        return self.lead.low is not None and self.lead.low > 0

    def to_tree(self) -> dict[str, object]:
        """The documented JSON."""
        return {
            "what": self.what,
            "measure": self.measure,
            "best": self.best,
            "second": self.second,
            "lead": finite(self.lead.value),
            "low": finite(self.lead.low),
            "high": finite(self.lead.high),
            "told_apart": self.apart,
            "reason": self.lead.reason,
        }


def ranked(what: str, measure: str, values: Floats, without: Floats, higher: bool = True) -> Ranking:
    """Rank sources by values (k,), with values (parts, k) without each part; NaN counts as unknown.

    ``higher`` says that more is better.
    """
    known = np.flatnonzero(np.isfinite(values) & np.isfinite(without).all(0))
    if len(known) < 2:
        return Ranking(what, measure, None, None, Measure.undefined("fewer than two sources have a number"))
    sign, parts = (1.0 if higher else -1.0), len(without)
    best = int(known[np.argmax(sign * values[known])])
    others = [int(i) for i in known if i != best]
    leads = [float(sign * (values[best] - values[i])) for i in others]
    if parts < FEWEST:
        place = int(np.argmin(leads))
        few = Measure(leads[place], reason=f"{parts} histories, at least {FEWEST} are needed for an interval")
        return Ranking(what, measure, best, others[place], few)
    pairs = len(list(combinations(known, 2)))
    halves = jackknife_half(without[:, [best]] - without[:, others], 1 - (1 - LEVEL) / pairs)
    place = int(np.argmin(np.array(leads) - halves))
    lead, half = leads[place], float(halves[place])
    return Ranking(what, measure, best, others[place], Measure(lead, lead - half, lead + half))


def jackknifed(value: float, without: Floats, low: float = -np.inf) -> Measure:
    """``value`` with the interval, from ``low`` on, of its values (parts,) without each part."""
    parts = len(without)
    if not np.isfinite(value):
        return Measure.undefined("it is no number")
    if parts < FEWEST or not np.isfinite(without).all():
        return Measure(value, reason="too few histories for an interval")
    half = float(jackknife_half(without))
    return Measure(value, max(low, value - half), value + half)


def dealt(groups: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(n,) the part of each row: whole histories, dealt at random into :data:`PARTS` or fewer."""
    number = np.unique(groups, return_inverse=True)[1].reshape(-1)
    count = int(number.max()) + 1
    order = np.random.default_rng(0).permutation(count) % min(count, PARTS)
    return np.asarray(order[number], np.int64)


def without_each(
    parts: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """The rows (n,) that are left without each part."""
    return [np.asarray(parts != part, np.bool_) for part in range(int(parts.max()) + 1)]
