"""diag.watch: the forecast inside anyone's own training loop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import probes
from diag._forecast import in_words
from diag._threads import one_thread
from diag.forecasts.model import Forecaster, Probability, read_model


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

    base: Any
    updates: int
    forecaster: Forecaster
    quiet: bool = False
    looks: list[Look] = field(default_factory=list)

    def __call__(self, step: int, embed: Callable[[], Any]) -> bool:
        """After ``step + 1`` updates: whether the stopping rule says to stop.

        ``embed`` gives the embeddings (n, d) of the paired observations; it is called at the shares of the
        budget that the model knows, once each. Raises ProbeError for arrays that do not pair, ValueError
        for steps beyond the budget.
        """
        done = step + 1
        if not 0 < done <= self.updates:
            raise ValueError(f"step is {step}, expected 0 to {self.updates - 1}")
        due = [share for share in self.forecaster.shares if round(share * self.updates) <= done]
        if len(due) <= len(self.looks) or done == self.updates:
            return False
        row = measures_of(embed(), self.base)
        found = self.forecaster.probability(row, due[-1])
        stop = found.value < self.forecaster.stop_below.get(due[-1], 0.0)
        # Shares that were passed over count as looked at: a loop may be taken up again late.
        look = Look(step, done / self.updates, found, stop, row)
        self.looks += [look] * (len(due) - len(self.looks))
        if not self.quiet:
            advice = "; stop" if stop else ""
            chance = f"{in_words(found)} that it ends {self.forecaster.outcome}"
            sys.stderr.write(f"{look.share:.0%} of the updates: {chance}{advice}\n")
        return stop

    @property
    def probability(self) -> Probability | None:
        """Of the last look; None before the first."""
        return self.looks[-1].probability if self.looks else None


def watch(base: Any, *, updates: int, model: str | Forecaster | None = None, quiet: bool = False) -> Watch:
    """Watch a transfer while it trains: how likely is it to end in the base's embedding space?

    ``base`` are the base's embeddings (n, d) of states whose observations on the new task are at hand,
    ``updates`` the budget. The model knows transfers with frozen models on the embedding; the shipped one
    comes from the simple maze. Raises ForecastError or ProbeError.
    """
    if updates < 1:
        raise ValueError(f"updates is {updates}, expected at least 1")
    known = model if isinstance(model, Forecaster) else read_model(model)
    return Watch(probes.as_matrix(_array(base), "base"), updates, known, quiet)


def measures_of(embedding: Any, base: Any) -> dict[str, float]:
    """What the forecast looks at, of paired embeddings (n, d); raises ProbeError."""
    with one_thread():
        x, y = probes.as_matrix(_array(embedding), "embedding"), probes.as_matrix(base, "base")
        steps = {step.transform: step.r2 for step in probes.ladder(x, y).steps}
        _, own = probes.nearest_own(x, y)
        distance = probes.l2(x, y)
        spread = probes.collapse(x, y).variance_ratio

    def value(measure: probes.Measure) -> float:
        return np.nan if measure.value is None else measure.value

    return {
        **{f"r2_{rung}": value(r2) for rung, r2 in steps.items()},
        "own_states": float(own.sum()),
        "states": float(len(own)),
        "l2_relative": value(distance.relative),
        "variance_ratio": value(spread),
    }


def _array(values: Any) -> Any:
    """Without a tensor's graph."""
    return values.detach() if hasattr(values, "detach") else values
