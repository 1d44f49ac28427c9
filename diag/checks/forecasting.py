"""The forecast check: will a transfer that has updates left to do end matched?"""

from __future__ import annotations

from collections.abc import Iterator

from diag.checks.judging import Found, absent, idle, judged
from diag.checks.settings import ForecastCheck
from diag.subject import Subject
from probes import Measure


def of_forecast(base: Subject, transfer: Subject, limits: ForecastCheck) -> Iterator[Found]:
    """The probability that it ends as the shipped model foretells, with its interval."""
    if transfer.share is None or transfer.made_from is None:
        yield absent("forecast", "the file does not say how far a training it is from")
    elif transfer.share >= 1:
        yield idle("forecast", "the transfer is finished")
    elif not transfer.frozen:
        yield idle("forecast", "nothing frozen reads the embedding")
    elif transfer.made_from != base.identity:
        yield absent("forecast", "the transfer was made from another base")
    else:
        from diag.forecasts import ForecastError
        from diag.forecasts.forecast import forecast

        try:
            found = forecast(transfer.path, base=base.path)
        except ForecastError as error:  # too early for any model
            yield absent("forecast", str(error))
            return
        chance = Measure(found.probability.value, found.probability.low, found.probability.high)
        words = f"with {transfer.share:.0%} of the updates done, the chance that it ends {found.outcome}"
        words = "; ".join([*found.warnings, words])
        yield judged("forecast", words, chance, "min", least=limits.min)
