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
"""End of a transfer that a forecast is of."""


@dataclass(frozen=True, repr=False)
class Forecast(Shown, kind="forecast"):
    """Forecast of how a transfer ends, or of how the transfers of a base do."""

    checkpoint: FileRef
    base: FileRef | None
    """None where the checkpoint is a base itself."""
    verdict: Verdict
    outcome: str
    """``matched`` or ``succeeded``."""
    probability: Probability
    """Probability that the transfer ends so; for a base, the expected share of its transfers that do."""
    share: float | None
    """Fraction of the transfer's training completed; None for a base."""
    model_share: float | None
    """The share whose model answered."""
    stop: bool | None
    """Whether the stopping rule would stop it here; None for a base, and for a transfer that is finished."""
    stop_below: float | None
    """The probability below which the rule stops a transfer here; None where it stops none."""
    fitted_to: dict[str, Any]
    """The data that the model was fitted to: studies, bases and transfers."""
    common: float
    """The share of all transfers there that ended so: the forecast that knows nothing."""
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
        """Share that came true, with Wilson's interval."""
        return wilson(self.came_true / self.of, self.of)

    def to_tree(self) -> dict[str, Any]:
        return dict(vars(self))


MEASURES = ("right", "gain", "brier", "auc", "slope")


@dataclass(frozen=True)
class Judged:
    """Forecasts at one share of the budget, of bases that were not seen."""

    view: View
    share: float
    n: int
    right: Measure
    """Share of the outcomes forecast right (the likelier end); its interval resamples bases."""
    base_rate: float
    """Share that always forecasting the commoner end gets right."""
    gain: Measure
    """:attr:`right` less that, base by base."""
    brier: Measure
    brier_base_rate: float
    auc: Measure
    slope: Measure
    """Slope of the outcomes' logit on the forecasts': 1 is calibrated, below 1 is too sure."""
    bins: tuple[Bin, ...]

    def to_tree(self) -> dict[str, Any]:
        return {
            "view": self.view,
            "share": self.share,
            "n": self.n,
            "base_rate": self.base_rate,
            "brier_base_rate": self.brier_base_rate,
            **{name: measure_tree(getattr(self, name)) for name in MEASURES},
            "bins": [b.to_tree() for b in self.bins],
        }


@dataclass(frozen=True)
class Stopping:
    """Gains and losses of stopping below a limit on the forecast, on bases it was not chosen on."""

    saved: Measure
    """Share of all updates of transfers."""
    lost: Measure
    """Share of the successes that it would have stopped; its interval resamples bases."""
    successes: int
    bases_with_successes: int
    bases_losing: int
    """Number of bases with successes that lose any of them."""
    most_bases_lost: float
    """Upper end of the exact 95% interval of that share: what so many bases cannot exclude."""
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
    """Mean distance of the forecast rate from the rate."""
    error_of_mean: float
    """Mean distance of the rate from the other bases' mean."""
    rank: Measure
    """Spearman's correlation of the two."""

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
    """The judgement of a forecast, and the forecaster that all of the studies give."""

    outcome: Outcome
    forecaster: Forecaster
    judged: tuple[Judged, ...]
    """Both views at every share."""
    ahead: Mapping[float, Measure]
    """Mean squared error from losses alone minus that from the embedding, for each share."""
    stopping: Stopping
    bases: BasesJudged | None
    judged_on: int
    """Bases; none of them was fitted to by what it is judged on."""
    verdict: Verdict
    diagnosis: str = "study-forecast"

    def shown_files(self) -> list[str]:
        """The studies that it was fitted to."""
        return [str(name) for name in self.forecaster.fitted_to.get("studies", [])]

    def at(self, view: str) -> list[Judged]:
        """One view's, by share."""
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
