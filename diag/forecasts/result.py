"""Results of the forecasts: of one transfer or base, and of fitting a forecast to studies and judging it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diag.forecasts.features import View
from diag.forecasts.model import FIRST_STOP, Forecaster, Probability
from diag.result import SCHEMA_VERSION, FileRef, Verdict, finite, measure_tree
from diag.shown import Shown
from probes import Measure
from probes import share as wilson

Outcome = Literal["matched", "succeeded"]
"""The end of a transfer that a forecast gives the probability of."""


@dataclass(frozen=True, repr=False)
class Forecast(Shown, kind="forecast"):
    """Forecast of how a transfer ends, or of how the transfers of a base do."""

    checkpoint: FileRef
    base: FileRef | None
    """The base of the transfer; None where the checkpoint is a base itself."""
    verdict: Verdict
    outcome: str
    """``matched`` or ``succeeded``."""
    probability: Probability
    """Probability that the transfer ends with ``outcome``; for a base, the expected share of its transfers
    that do."""
    share: float | None
    """Fraction of the transfer's training completed; None for a base."""
    model_share: float | None
    """The share of training that the model used was fitted at."""
    stop: bool | None
    """Whether the stopping rule would stop it here; None for a base, and for a transfer that is finished."""
    stop_below: float | None
    """The probability below which the rule stops a transfer here; None where it stops none."""
    fitted_to: dict[str, Any]
    """The data that the model was fitted to: studies, bases and transfers."""
    common: float
    """Share of the model's transfers that ended with ``outcome``: the forecast that knows nothing else."""
    warnings: tuple[str, ...]
    diagnosis: str = "forecast"

    def shown_state(self) -> list[str]:
        return [*super().shown_state(), f"{self.outcome} {self.probability.value:.0%}"]

    def shown_files(self) -> list[str]:
        return [ref.path for ref in (self.checkpoint, self.base) if ref is not None]

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        refs = {"checkpoint": self.checkpoint, "base": self.base}
        return {
            "schema_version": SCHEMA_VERSION,
            "diagnosis": self.diagnosis,
            **{n: None if r is None else {"path": r.path, "sha256": r.sha256} for n, r in refs.items()},
            "verdict": self.verdict.to_tree(),
            "outcome": self.outcome,
            "probability": self.probability.to_tree(),
            "share": self.share,
            "model_share": self.model_share,
            "stop": self.stop,
            "stop_below": self.stop_below,
            "fitted_to": self.fitted_to,
            "common": self.common,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Bin:
    """Forecasts between two probabilities: their mean, and how many of them came true."""

    low: float
    high: float
    forecast: float
    came_true: int
    of: int

    @property
    def rate(self) -> Measure:
        """Share of the forecasts that came true, with Wilson's interval."""
        return wilson(self.came_true / self.of, self.of)

    def to_tree(self) -> dict[str, Any]:
        return dict(vars(self))


MEASURES = ("right", "gain", "brier", "auc", "slope")


@dataclass(frozen=True)
class Judged:
    """Quality of the forecasts at one share of the budget, on bases that were not seen."""

    view: View
    share: float
    n: int
    right: Measure
    """Share of the outcomes forecast right (the likelier end); its interval resamples bases."""
    base_rate: float
    """Share of the outcomes that always forecasting the commoner end gets right."""
    gain: Measure
    """:attr:`right` minus :attr:`base_rate`, resampled by base."""
    brier: Measure
    brier_base_rate: float
    auc: Measure
    slope: Measure
    """Slope of the outcomes' logit on that of the forecasts: 1 is calibrated, below 1 is too sure."""
    bins: tuple[Bin, ...]
    given: tuple[Measure, Measure]
    """Mean chance given to the transfers that ended well, and to the others; intervals resample bases."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "view": self.view,
            "share": self.share,
            "n": self.n,
            "base_rate": self.base_rate,
            "brier_base_rate": self.brier_base_rate,
            **{name: measure_tree(getattr(self, name)) for name in MEASURES},
            "bins": [b.to_tree() for b in self.bins],
            "given": {n: measure_tree(m) for n, m in zip(("well", "not"), self.given, strict=True)},
        }


@dataclass(frozen=True)
class Stopping:
    """Updates saved and successes lost by the stopping rule, on bases that it was not chosen on."""

    saved: Measure
    """Share of all the transfers' updates that stopping saves."""
    lost: Measure
    """Share of the successes that the rule would have stopped; its interval resamples bases."""
    successes: int
    bases_with_successes: int
    bases_losing: int
    """Number of bases that lose any of their successes."""
    most_bases_lost: float
    """Upper end of the exact 95% interval of the share of bases that lose successes."""
    ended_at: Mapping[float, tuple[int, int]]
    """{share of the budget given (1: all): (transfers that ended well, transfers that did not)}."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "saved": measure_tree(self.saved),
            "lost": measure_tree(self.lost),
            "successes": self.successes,
            "bases_with_successes": self.bases_with_successes,
            "bases_losing": self.bases_losing,
            "most_bases_lost": self.most_bases_lost,
            "ended_at": [
                {"share": share, "well": well, "not": others}
                for share, (well, others) in self.ended_at.items()
            ],
        }


@dataclass(frozen=True)
class BasesJudged:
    """Forecasts from a base alone, each by a model of the other bases."""

    names: tuple[str, ...]
    forecast: tuple[float, ...]
    rate: tuple[float, ...]
    error: Measure
    """Mean absolute difference of the forecast rate from the observed rate."""
    error_of_mean: float
    """Mean absolute difference of the observed rate from the mean of the other bases."""
    rank: Measure
    """Spearman's correlation of forecast and observed rates."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "error": measure_tree(self.error),
            "error_of_mean": finite(self.error_of_mean),
            "rank": measure_tree(self.rank),
            "bases": [
                {"base": n, "forecast": f, "rate": r}
                for n, f, r in zip(self.names, self.forecast, self.rate, strict=True)
            ],
        }


@dataclass(frozen=True, repr=False)
class ForecastReport(Shown, kind="study_forecast"):
    """The judgement of a forecast, and the forecaster fitted to all of the studies."""

    outcome: Outcome
    forecaster: Forecaster
    judged: tuple[Judged, ...]
    """Quality of the forecasts from either view at every share."""
    ahead: Mapping[float, Measure]
    """Mean squared error from losses alone minus that from the embedding, for each share."""
    stopping: Stopping
    bases: BasesJudged | None
    judged_on: int
    """Number of bases judged on; no model is judged on a base that it was fitted to."""
    verdict: Verdict
    diagnosis: str = "study-forecast"

    def shown_files(self) -> list[str]:
        """The studies that it was fitted to."""
        return [str(name) for name in self.forecaster.fitted_to.get("studies", [])]

    def at(self, view: str) -> list[Judged]:
        """Quality of one view's forecasts, by share."""
        return [j for j in self.judged if j.view == view]

    @property
    def ahead_early(self) -> tuple[float, Measure]:
        """:attr:`ahead` at the share nearest to where stopping begins."""
        return min(self.ahead.items(), key=lambda item: abs(item[0] - FIRST_STOP))

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON; the forecaster itself goes to a file of its own."""
        return {
            "schema_version": SCHEMA_VERSION,
            "diagnosis": self.diagnosis,
            "verdict": self.verdict.to_tree(),
            "outcome": self.outcome,
            "fitted_to": dict(self.forecaster.fitted_to),
            "judged_on": self.judged_on,
            "judged": [j.to_tree() for j in self.judged],
            "ahead": [{"share": share, **measure_tree(m)} for share, m in self.ahead.items()],
            "stopping": self.stopping.to_tree(),
            "bases": None if self.bases is None else self.bases.to_tree(),
        }
