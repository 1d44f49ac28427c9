"""Words and rows of a forecast that was fitted to studies, which its text and its page share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diag.outputs.words import difference, number, span
from diag.wording import percent_interval, plural

if TYPE_CHECKING:
    from diag.forecasts.result import BasesJudged, Bin, ForecastReport, Judged
    from probes import Measure

VIEWS = {"embedding": "the embedding", "losses": "losses alone"}
"""The inputs of a forecast, in words."""

ACCURACY_WORDS = (
    "Each base is forecast by a model that was not fitted to it. The intervals are 95% intervals and "
    "resample bases.",
    "Brier is the mean squared error of the probability, beside the error of always giving the mean. AUC is "
    "how often a transfer that ends well was given the higher chance. A slope of 1 means calibrated chances; "
    "a slope below 1 means chances that are too sure.",
)

NO_BASES = (
    "A base alone cannot be judged here: too few bases' checkpoints were found, or their embeddings are too "
    "wide."
)


def outcome_words(result: ForecastReport) -> str:
    """The outcome that is forecast, and how many of the transfers ended so."""
    known = result.forecaster.fitted_to
    return f"{result.outcome}, as {known['ended_well']:,} of {plural(known['transfers'], 'transfer')} ended"


def done(part: float) -> str:
    """A share of the updates as a label: ``at 1.5%``."""
    return f"at {part * 100:g}%"


def share(measure: Measure) -> str:
    """A share with its interval in percent: ``95% [91%, 98%]``; a dash for no number."""
    return percent_interval(measure.value, measure.low, measure.high)


@dataclass(frozen=True)
class Accuracy:
    """The cells of one share of the updates in a table of how often forecasts are right."""

    done: str
    view: str
    right: str
    commoner_end: str
    brier: str
    brier_of_mean: str
    auc: str
    slope: str

    @classmethod
    def of(cls, judged: Judged) -> Accuracy:
        """The numbers of one share in words."""
        return cls(
            done(judged.share),
            VIEWS[judged.view],
            share(judged.right),
            f"{judged.base_rate:.0%}",
            number(judged.brier.value, 3),
            number(judged.brier_base_rate, 3),
            number(judged.auc.value),
            slope(judged.slope),
        )


def slope(measure: Measure) -> str:
    """A calibration slope with its interval: ``0.9 [0.8, 13]``; a dash for no number."""
    if measure.value is None or measure.low is None or measure.high is None:
        return "–"
    value, low, high = (f"{v:.{int(abs(v) < 9.95)}f}" for v in (measure.value, measure.low, measure.high))
    return f"{value} [{low}, {high}]"


def came_true(part: Bin) -> str:
    """Forecasts of a bin that came true: ``12%: 3 of 25``."""
    return f"{part.forecast:.0%}: {part.came_true} of {part.of}"


def ahead_words(result: ForecastReport) -> str:
    """Whether the embedding tells more than losses do at the updates where stopping begins, in a sentence."""
    at, lower = result.ahead_early
    if lower.value is None or lower.low is None or lower.high is None:
        return f"It cannot be said whether the embedding tells more than losses do: {lower.reason}."
    sure = "tells more than losses alone" if lower.low > 0 else "is not shown to tell more than losses alone"
    return (
        f"After {at * 100:g}% of the updates, the embedding {sure}: its Brier score is "
        f"{difference(lower, 3, more='lower', less='higher')}."
    )


def limits(result: ForecastReport) -> list[tuple[str, str]]:
    """Each share at which the rule stops anything, with the chance below which it does: ``at 5%, 0.25%``."""
    below = result.forecaster.stop_below
    return [(done(at), f"{number(100 * p)}%") for at, p in below.items() if p > 0]


def rule_words(result: ForecastReport) -> str:
    """Clause that says what the model's stopping rule does."""
    if not (below := limits(result)):
        return "the model's rule stops no transfer"
    chances = ", ".join(f"{chance} {at}" for at, chance in below)
    return f"the model's rule stops a transfer if its chance is below {chances}"


def successes(result: ForecastReport) -> str:
    """Number of the transfers that ended well: ``25 that ended matched``."""
    return f"{result.stopping.successes} that ended {result.outcome}"


def stopping_words(result: ForecastReport) -> str:
    """Two sentences that say how far the stopping rule can be trusted."""
    rule = result.stopping
    of = plural(rule.bases_with_successes, "base")
    who = f"{rule.bases_losing} of {of}" if rule.bases_losing else f"None of {of}"
    return (
        f"{who} with successes would lose a success. So few bases cannot exclude that "
        f"{rule.most_bases_lost:.0%} of all such bases would."
    )


def bases_words(bases: BasesJudged) -> str:
    """Mean error of the forecasts from bases alone, beside that of always naming the mean."""
    return (
        f"The forecasts are off by {number(bases.error.value)} {span(bases.error)} on average over "
        f"{plural(len(bases.rate), 'base')}; always naming the mean of the other bases is off by "
        f"{number(bases.error_of_mean)}. The rank correlation is {number(bases.rank.value)} "
        f"{span(bases.rank)}."
    )


def each_base(bases: BasesJudged) -> Iterator[tuple[str, float, float]]:
    """Name of each base, the share of its transfers forecast to end well, and the share that did."""
    return zip(bases.names, bases.forecast, bases.rate, strict=True)
