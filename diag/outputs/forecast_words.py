"""Sentences on forecasts that their texts and pages share, of one checkpoint and of whole studies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diag.outputs.words import difference, number, span
from diag.wording import noun, percent_interval, plural
from trainers.safe_text import plain

if TYPE_CHECKING:
    from diag.forecasts.result import BasesJudged, Forecast, ForecastReport, Stopping
    from probes import Measure

VIEWS = {"embedding": "the embedding", "losses": "losses alone"}
"""The inputs of a forecast, in words."""


def what_words(result: Forecast) -> str:
    """Name of the forecast probability: ``chance of matched``, or of a base ``share matched``."""
    return f"chance of {result.outcome}" if result.base is not None else f"share {result.outcome}"


def model_words(result: Forecast) -> str:
    """A sentence that says which transfers the model was fitted to and which of its parts answered."""
    words = f"The model was fitted to {fitted_words(result.fitted_to)}"
    if result.model_share is not None:
        words += f"; the answer is that for {result.model_share:.0%} of the updates"
    if result.stop is not None:
        from diag.forecasts.model import limit_words

        words += f"; {limit_words(result.stop_below)}"
    return f"{words}."


def fitted_words(known: dict[str, Any]) -> str:
    """Transfers and bases that a model was fitted to, with their studies, worlds and algorithms."""
    studies = plain(", ".join(map(str, known.get("studies", []))))
    kinds = plain("; ".join(map(str, known.get("kinds", []))))
    transfers, bases = (known.get(name) for name in ("transfers", "bases"))
    words = f"{_many(transfers, 'transfer')} of {_many(bases, 'base')}"
    return f"{words} ({studies}: {kinds})" if studies or kinds else words


def _many(count: Any, one: str) -> str:
    return plural(count, one) if isinstance(count, int) else f"an unknown number of {noun(0, one)}"


ACCURACY_WORDS = (
    "Each base is forecast by a model that was not fitted to it. The intervals are 95% intervals and "
    "resample bases.",
    "Brier is the mean squared error of the probability, beside the error of always giving the mean. AUC is "
    "how often a transfer that ends well was given the higher chance. A slope of 1 means calibrated chances; "
    "a slope below 1 means chances that are too sure.",
)


def done(part: float) -> str:
    """A share of the updates as a label: ``at 1.5%``."""
    return f"at {part * 100:g}%"


def share(measure: Measure) -> str:
    """A share with its interval in percent: ``95% [91%, 98%]``; a dash for no number."""
    return percent_interval(measure.value, measure.low, measure.high)


def ahead_words(result: ForecastReport) -> str:
    """Whether the embedding tells more than losses do at the updates where stopping begins, in a sentence."""
    at, lower = result.ahead_early
    if lower.value is None or lower.low is None or lower.high is None:
        return f"It cannot be said whether the embedding tells more than losses do: {lower.reason}."
    sure = "tells more than losses alone" if lower.low > 0 else "is not shown to tell more than losses alone"
    return (
        f"{_start(at)} the embedding {sure}: its Brier score is "
        f"{difference(lower, 3, more='lower', less='higher')}."
    )


def _start(part: float) -> str:
    return f"After {part * 100:g}% of the updates,"


def slope(measure: Measure) -> str:
    """A calibration slope with its interval: ``0.9 [0.8, 13]``; a dash for no number."""
    if measure.value is None or measure.low is None or measure.high is None:
        return "–"
    value, low, high = (f"{v:.{int(abs(v) < 9.95)}f}" for v in (measure.value, measure.low, measure.high))
    return f"{value} [{low}, {high}]"


def stopping_words(stopping: Stopping) -> list[str]:
    """Sentences that say how far the stopping rule can be trusted."""
    of = plural(stopping.bases_with_successes, "base")
    who = f"{stopping.bases_losing} of {of}" if stopping.bases_losing else f"None of {of}"
    return [
        f"{who} with successes would lose a success. So few bases cannot exclude that "
        f"{stopping.most_bases_lost:.0%} of all such bases would."
    ]


NO_BASES = (
    "A base alone cannot be judged here: too few bases' checkpoints were found, or their embeddings are too "
    "wide."
)


def bases_words(bases: BasesJudged) -> str:
    """Mean error of the forecasts from bases alone, beside that of always naming the mean."""
    return (
        f"The forecasts are off by {number(bases.error.value)} {span(bases.error)} on average over "
        f"{plural(len(bases.rate), 'base')}; always naming the mean of the other bases is off by "
        f"{number(bases.error_of_mean)}. The rank correlation is {number(bases.rank.value)} "
        f"{span(bases.rank)}."
    )
