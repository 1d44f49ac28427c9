"""Embeddings at rest: one that has stopped moving away from the base's will not come back.

A forecast's models are fitted to transfers that move: of those that hover in a mirrored copy of the base's
embedding, some escape late. One that training does not move any more has nowhere to escape to: a step of the
gradient leads from a place to its neighbours, and where it leads nowhere the next one does not either. So an
embedding at rest will end with the relation that it has, and its chance can only fall with time where that is
another place than the base's, and only rise where it is the base's own. This cannot know what will move the
embedding later all the same, such as a rate that rises again or a part that is trained later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import probes
from diag.forecasts.model import FIRST_STOP, Probability
from probes import Floats, Relation
from trainers.threads import one_thread

AT_REST = 0.01
"""Mean L2 distance between two looks, over the base's spread, up to which an embedding has not moved. The 16
transfers of two bases of the simple maze that were looked at (eight to their end, eight to half of it) moved
by 0.040 or more between any two looks, mirrored as they were (benchmarks/rest.py)."""

LEAST_REST = 0.05
"""Share of the budget over which an embedding has to be at rest for the rule to stop its transfer."""

ASTRAY: tuple[Relation, ...] = ("flipped", "permuted", "rotated", "collapsed", "unrelated")
"""Relations of an embedding that lies elsewhere than the base's; a bent or rescaled one may still lie next to
it."""

ROUNDING = 1e-9
"""Room for rounding: 0.1 − 0.05 is not exactly 0.05 in floating point."""


@dataclass(frozen=True)
class Rest:
    """An embedding that has not moved for a while, and where it lies."""

    since: float
    """Share of the budget at the first look since which the embedding has not moved."""
    relation: Relation | None
    """Relation of the embedding to the base's; None where it cannot be told."""
    axes: tuple[int, ...]
    """Negated axes, where the relation has some."""

    @property
    def astray(self) -> bool:
        """Whether the embedding surely lies elsewhere than the base's."""
        return self.relation in ASTRAY

    def stops(self, share: float) -> bool:
        """Whether the stopping rule ends a transfer for having been at rest elsewhere until this share."""
        long = share - self.since >= LEAST_REST - ROUNDING
        return self.astray and long and share >= FIRST_STOP - ROUNDING

    def bounded(self, forecast: Probability, before: Probability, outcome: str) -> Probability:
        """The forecast, bounded by the one before of the same resting place, since less time is left.

        Elsewhere than the base's the chance of ending there does not rise; in the base's place the chance of
        ``matched`` does not fall.
        """
        if self.astray:
            value, high = min(forecast.value, before.value), min(forecast.high, before.high)
            return Probability(value, min(forecast.low, value), high)
        if self.relation == "matched" and outcome == "matched":
            value, low = max(forecast.value, before.value), max(forecast.low, before.low)
            return Probability(value, low, max(forecast.high, value))
        return forecast


def moved(x: Floats, before: Floats, base: Floats) -> float:
    """Mean L2 distance of paired embeddings (n, d) from where they were, over the base's spread."""
    spread = np.sqrt(np.square(base - base.mean(0)).sum(1).mean())
    return float(np.sqrt(np.square(x - before).sum(1)).mean() / spread)


def at_rest(x: Floats, base: Floats, since: float) -> Rest:
    """Relate an embedding (n, d) that has been at rest since a share of the budget to the base's (n, d)."""
    with one_thread():
        result = probes.relation(x, base, groups=probes.states(base))
    return Rest(since, result.relation, result.axes)
