"""diag.watch: the forecast inside anyone's own training loop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import probes
from diag._generators import kept, pinned
from diag.forecasts import ForecastError
from diag.forecasts.features import Floats, measures_of
from diag.forecasts.model import Forecaster, Probability, in_words, read_model
from diag.repeatable import UnsteadyError, examined

LOOK = "the embedding in evaluation mode: model.eval() before it is taken, and model.train() after"
"""What leads on where a look is taken in the middle of training."""


@dataclass(frozen=True)
class Look:
    """One look at an embedding on its way."""

    step: int
    share: float
    probability: Probability
    stop: bool
    measures: dict[str, float]


@dataclass
class Watch:
    """Calls that look at the embedding at a few shares of the budget, and cost nothing in between.

    ::

        watch = diag.watch(base_embeddings, updates=80_000)    # (n, d): paired observations, base encoder
        for step in range(80_000):
            ...                                                 # a step of training
            if watch(step, lambda: encoder(observations)):      # (n, d): the same states on the new task
                break                                           # it will not end matched
    """

    base: Floats
    updates: int
    forecaster: Forecaster
    quiet: bool = False
    looks: list[Look] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What is to be said of how the embedding was taken."""
    _due: int = 0
    """Of the model's shares, how many are behind: looked at, or passed over by a loop taken up late."""

    def __call__(self, step: int, embed: Callable[[], Any]) -> bool:
        """After ``step + 1`` updates: whether the stopping rule says to stop.

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
        share = done / self.updates
        row = measures_of(self._taken(embed), self.base)
        found = self.forecaster.probability(row, share)
        look = Look(step, share, found, self.forecaster.stops(found, share), row)
        self.looks.append(look)
        if not self.quiet:
            advice = "; stop" if look.stop else ""
            chance = f"{in_words(found)} that it ends {self.forecaster.outcome}"
            sys.stderr.write(f"{share:.0%} of the updates: {chance}{advice}\n")
        return look.stop

    def _taken(self, embed: Callable[[], Any]) -> Any:
        """What ``embed`` gives, once it is known to repeat itself; leaves no trace in what it calls."""
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

    @property
    def probability(self) -> Probability | None:
        """Of the last look; None before the first."""
        return self.looks[-1].probability if self.looks else None


def watch(
    base: Any,
    *,
    updates: int,
    model: str | os.PathLike[str] | Forecaster | None = None,
    quiet: bool = False,
) -> Watch:
    """Watch a transfer while it trains: how likely is it to end in the base's embedding space?

    ``base`` are the base's embeddings (n, d) of states whose observations on the new task are at hand,
    ``updates`` the budget; arrays or tensors. The model knows transfers with frozen models on the
    embedding; the shipped one comes from the simple maze. Raises ForecastError or ProbeError.
    """
    if updates < 1:
        raise ValueError(f"updates is {updates}, expected at least 1")
    known = model if isinstance(model, Forecaster) else read_model(model)
    return Watch(probes.as_matrix(base, "base"), updates, known, quiet)
