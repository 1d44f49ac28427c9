"""The expected end of an open transfer beside its base, or of the transfers of an open base."""

from __future__ import annotations

from collections.abc import Iterator

from diag.embed import embedding
from diag.forecasts.base import base_features
from diag.forecasts.features import measures_of
from diag.forecasts.model import Forecaster, Probability, in_words, kind_of, percent
from diag.forecasts.result import Forecast
from diag.result import FileRef, Status, Verdict
from diag.subject import Subject, require
from trainers.threads import one_thread

LIKELY, UNLIKELY = 0.5, 0.05
"""Above the first, or below the second, the whole interval has to lie for a verdict of pass, or fail."""

LITTLE = "a forecast from a base alone tells little more than the mean of other bases (docs/forecast.md)"
FINISHED = "the transfer is finished: diag compare-embeddings says how it ended"


@one_thread()
def of_transfer(subject: Subject, base: Subject, known: Forecaster) -> Forecast:
    """The probability that a transfer ends well, by a model, from its embedding beside its base's.

    Raises SubjectError for a subject that lacks what it takes, and ForecastError where the model knows
    nothing of so early a checkpoint.
    """
    share = require(subject, "share", subject.share)
    chance = known.probability(measures_of(embedding(subject), embedding(base)), share)
    going = share < 1
    stop = known.stops(chance, share) if going else None
    return Forecast(
        FileRef.of(subject),
        FileRef.of(base),
        _verdict(chance, known, share, stop),
        known.outcome,
        chance,
        share,
        known.nearest(share),
        stop,
        known.limit_at(share) if going else None,
        dict(known.fitted_to),
        known.mean_rate,
        tuple(_warnings(known, kind_of(*require(subject, "training", subject.training)), share)),
    )


@one_thread()
def of_base(base: Subject, known: Forecaster) -> Forecast:
    """The expected rate of a base's transfers that end well, by a model.

    Raises ForecastError where the model knows nothing of bases.
    """
    rate = known.rate(base_features(base))
    expected = f"{in_words(rate)} of its transfers are expected to end {known.outcome}"
    words = f"{expected}; {known.mean_rate:.0%} of all the transfers that the model knows did."
    return Forecast(
        FileRef.of(base),
        None,
        Verdict(_status(rate), words),
        known.outcome,
        rate,
        None,
        None,
        None,
        None,
        dict(known.fitted_to),
        known.mean_rate,
        (LITTLE,),
    )


def _warnings(known: Forecaster, kind: str, share: float) -> Iterator[str]:
    kinds = known.fitted_to.get("kinds", [kind])
    if kind not in kinds:
        yield f"the model knows transfers of {'; '.join(kinds)}, and this one is of {kind}"
    if share >= 1:
        yield FINISHED


def _status(probability: Probability) -> Status:
    if probability.low > LIKELY:
        return "pass"
    if probability.high < UNLIKELY:
        return "fail"
    return "warn" if probability.high < LIKELY else "inconclusive"


def _verdict(probability: Probability, known: Forecaster, share: float, stop: bool | None) -> Verdict:
    limit = known.limit_at(share)
    advice = f"; the stopping rule would stop it here, below {percent(limit)}" if stop and limit else ""
    if share >= 1:
        seen = f"a transfer that looked like it at {known.nearest(share):.0%} of them"
        words = f"All of its updates are done, and nothing is left to forecast: {seen} would have ended"
        return Verdict(
            _status(probability), f"{words} {known.outcome} with a chance of {in_words(probability)}."
        )
    done = f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
    words = (
        f"{done} of its updates are done; the chance that it ends {known.outcome} is {in_words(probability)}"
    )
    return Verdict(_status(probability), f"{words}{advice}.")
