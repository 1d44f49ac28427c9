"""diag.watch: the forecast inside your own training loop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import probes
from diag.forecasts import ForecastError
from diag.forecasts.features import measures_of
from diag.forecasts.model import Forecaster, Probability, limit_words, percent, read_model
from diag.forecasts.rest import AT_REST, Rest, at_rest, moved
from diag.repeatable import UnsteadyError, examined
from diag.repeatable.generators import kept, pinned
from probes import Floats

LOOK = "the embedding in evaluation mode: model.eval() before it is taken, and model.train() after"
"""Expected embedding, in errors about looks that are taken in training mode."""


@dataclass(frozen=True)
class Look:
    """One look at an embedding during training; as a string, one sentence or two."""

    step: int
    share: float
    probability: Probability
    """Probability that the transfer ends well; where the embedding is at rest, bounded by the look before."""
    stop: bool
    """Whether the stopping rule says to stop."""
    measures: dict[str, float]
    stop_below: float | None
    """The probability below which the rule stops at this share; None where it does not go by the
    probability."""
    moved: float | None
    """Mean L2 distance from the look before, over the base's spread; None at the first look."""
    rest: Rest | None
    """The resting place of the embedding; None while it moves."""
    outcome: str = "matched"

    def __str__(self) -> str:
        p = self.probability
        chance = f"{percent(p.value)} [{percent(p.low)}, {percent(p.high)}]"
        done = f"{self.share:.0%} of the updates"
        rest = self.rest
        if rest is not None and rest.stops(self.share):
            axes = f" (negated: {', '.join(map(str, rest.axes))})" if rest.axes else ""
            return (
                f"{done}: stop. The embedding lies {rest.relation}{axes}, and has not moved by more than "
                f"{AT_REST:.0%} of the base's spread since {rest.since:.0%} of them: what is at rest "
                f"elsewhere does not end {self.outcome}. (The forecast, fitted to transfers that move, "
                f"is {chance}.)"
            )
        words = f"{done}: {chance} that it ends {self.outcome}"
        if self.stop:
            return f"{words}, which is below {percent(self.stop_below or 0.0)}; stop"
        return f"{words}; {limit_words(self.stop_below)}"


@dataclass(eq=False, repr=False)
class Watch:
    """Calls that look at the embedding at a few shares of the budget, and cost nothing in between.

    ::

        watch = diag.watch(base_embeddings, updates=80_000)    # (n, d): paired observations, base encoder
        for step in range(80_000):
            ...                                                 # a step of training
            if watch(step, lambda: encoder(observations)):      # (n, d): the same states on the new task
                break                                           # it will not end matched

    It stops where the forecast is below the model's limit for that share, and where the embedding is at rest
    elsewhere than the base's (:mod:`diag.forecasts.rest`). As a string it says what every look saw.
    """

    base: Floats
    updates: int
    forecaster: Forecaster
    quiet: bool = False
    looks: list[Look] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Warnings about how the embedding was taken."""
    _due: int = 0
    """Number of the model's shares that have been passed, looked at or not (a loop may be resumed late)."""
    _resting: tuple[float, Floats] | None = None
    """The share since which the embedding has not moved, and the embedding (n, d) then."""
    _last: Floats | None = None
    """The embedding (n, d) of the last look."""

    def __call__(self, step: int, embed: Callable[[], Any]) -> bool:
        """Whether the stopping rule says to stop after ``step + 1`` updates.

        ``embed`` gives the embeddings (n, d) of the paired observations; it is called at the shares of the
        budget that the model knows. Raises ProbeError for arrays that do not pair or are not finite,
        ForecastError for a base all of whose states are at one place and for an ``embed`` that does not
        repeat itself (:mod:`diag.repeatable`), ValueError for steps beyond the budget.

        At a look ``embed`` is called three times, to see that it gives the same. The global generators, and
        the buffers of the modules that it calls, are afterwards as they were: training goes on as without.
        """
        done = step + 1
        if not 0 < done <= self.updates:
            raise ValueError(f"step is {step}, expected 0 to {self.updates - 1}")
        due = sum(round(share * self.updates) <= done for share in self.forecaster.shares)
        if due <= self._due or done == self.updates:
            return False
        self._due = due
        look = self._look(step, done / self.updates, self._taken(embed))
        self.looks.append(look)
        if not self.quiet:
            sys.stderr.write(f"{look}\n")
        return look.stop

    def _taken(self, embed: Callable[[], Any]) -> Any:
        """Call ``embed`` once it is known to repeat itself; leaves no trace in what it calls."""
        try:
            chance = examined(embed, remedy=LOOK, keepers=(embed,))
        except UnsteadyError as error:
            raise ForecastError(f"diag.watch: {error}") from None
        if chance is not None and chance.matters:
            words = chance.words("diag.watch", "the embeddings that it is given")
            if words not in self.warnings:
                self.warnings.append(words)
                if not self.quiet:
                    sys.stderr.write(f"warning: {words}\n")
        with kept() if chance is None else pinned(chance.seed):
            return embed()

    def _look(self, step: int, share: float, embedding: Any) -> Look:
        x = probes.as_matrix(embedding, "embedding")
        row = measures_of(x, self.base)
        probability = self.forecaster.probability(row, share)
        way = None if self._last is None else moved(x, self._last, self.base)
        rest = None
        if self._resting is not None and moved(x, self._resting[1], self.base) <= AT_REST:
            rest = at_rest(x, self.base, self._resting[0])
            probability = rest.bounded(probability, self.looks[-1].probability, self.forecaster.outcome)
        else:
            self._resting = share, x.copy()  # an encoder may write its next answer into the same array
        self._last = x.copy()
        stop = self.forecaster.stops(probability, share) or (rest is not None and rest.stops(share))
        limit = self.forecaster.limit_at(share)
        return Look(step, share, probability, stop, row, limit, way, rest, self.forecaster.outcome)

    @property
    def probability(self) -> Probability | None:
        """Probability at the last look; None before the first."""
        return self.looks[-1].probability if self.looks else None

    def __repr__(self) -> str:
        n, d = self.base.shape
        seen = f"{len(self.looks)} look{'' if len(self.looks) == 1 else 's'}"
        last = f", the last: {self.looks[-1]}" if self.looks else ""
        return f"<diag.watch of {n} states in {d} dimensions over {self.updates:,} updates: {seen}{last}>"

    def __str__(self) -> str:
        return "\n".join(map(str, self.looks)) or "No look yet: the first is at " + self._first()

    def _first(self) -> str:
        share = self.forecaster.shares[0]
        return f"{share:.0%} of the {self.updates:,} updates."


def watch(
    base: Any,
    *,
    updates: int,
    model: str | os.PathLike[str] | Forecaster | None = None,
    quiet: bool = False,
) -> Watch:
    """Watch how likely a transfer is, while it trains, to end in the base's embedding space.

    ``base`` are the base's embeddings (n, d) of states whose observations on the new task are at hand,
    ``updates`` the budget; arrays or tensors. The model knows transfers with frozen models on the
    embedding; the shipped one comes from the simple maze. Raises ForecastError or ProbeError.
    """
    if updates < 1:
        raise ValueError(f"updates is {updates}, expected at least 1")
    known = model if isinstance(model, Forecaster) else read_model(model)
    return Watch(probes.as_matrix(base, "base"), updates, known, quiet)
