"""The forecast check: whether a transfer that has updates left to do will end matched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from diag.checks.judging import Found, absent, idle, judged
from diag.checks.kind import Check, Level, Share
from diag.checks.pair import Pair
from probes import Measure


class ForecastCheck(Check):
    """The probability that a transfer ends matched, where it has updates left to do (docs/forecast.md)."""

    name: ClassVar[str] = "forecast"
    asks: ClassVar[str] = "the probability that a transfer with updates left to do ends matched"
    limited_by: ClassVar[tuple[str, ...]] = ("min",)

    level: Level = "warn"
    min: Share = Field(0.5, description="Least probability that passes")

    def measured(self, pair: Pair) -> Iterator[Found]:
        """Hold the probability that the transfer ends matched, with its interval, against the limit."""
        base, transfer = pair.base.subject, pair.transfer
        if transfer.share is None or transfer.made_from is None:
            yield absent(self.name, "the file does not say how much of its training is done")
        elif transfer.share >= 1:
            yield idle(self.name, "the transfer is finished")
        elif not transfer.frozen:
            yield idle(self.name, "nothing frozen reads the embedding")
        elif transfer.made_from != base.identity:
            yield absent(self.name, "the transfer was made from another base")
        else:
            from diag.forecasts import ForecastError
            from diag.forecasts.expected import of_transfer
            from diag.forecasts.model import read_model

            try:
                expected = of_transfer(transfer, base, read_model())
            except ForecastError as error:  # too early for any model
                yield absent(self.name, str(error))
                return
            chance = expected.probability
            done = f"with {transfer.share:.0%} of the updates done"
            words = "; ".join([*expected.warnings, f"{done}, the chance that it ends {expected.outcome}"])
            measure = Measure(chance.value, chance.low, chance.high)
            yield judged(self.name, words, measure, "min", least=self.min)
