"""A forecast fitted to studies, and judged on bases that each part of it had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from diag._threads import one_thread
from diag.forecasts.fit import Outcome, fitted, known
from diag.forecasts.judge import (
    FIRST_STOP,
    BasesJudged,
    Judged,
    Stopping,
    all_judged,
    bases_judged,
    chosen_stops,
    stopping,
)
from diag.forecasts.model import Forecaster
from diag.result import SCHEMA_VERSION, Verdict


@dataclass(frozen=True)
class ForecastReport:
    """How good a forecast is, and the forecaster that all of the studies give."""

    outcome: Outcome
    forecaster: Forecaster
    judged: tuple[Judged, ...]
    """Both views at every share."""
    stopping: Stopping
    bases: BasesJudged | None
    verdict: Verdict
    diagnosis: str = "study-forecast"

    def at(self, view: str) -> list[Judged]:
        """One view's, by share."""
        return [j for j in self.judged if j.view == view]

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON; the forecaster itself goes to a file of its own."""
        return {
            "schema_version": SCHEMA_VERSION,
            "diagnosis": self.diagnosis,
            "verdict": self.verdict.to_tree(),
            "outcome": self.outcome,
            "fitted_to": dict(self.forecaster.fitted_to),
            "judged": [j.to_tree() for j in self.judged],
            "stopping": self.stopping.to_tree(),
            "bases": None if self.bases is None else self.bases.to_tree(),
        }


def forecast_report(folders: Sequence[Path], outcome: Outcome = "matched", seed: int = 0) -> ForecastReport:
    """Fit a forecast to studies, and judge it; raises StudyError or ForecastError."""
    with one_thread(), threadpool_limits(1):
        found = known(folders, outcome)
        forecaster = fitted(found, outcome, chosen_stops(found), seed)
        judged, stops = all_judged(found, seed), stopping(found, seed)
        return ForecastReport(
            outcome,
            forecaster,
            judged,
            stops,
            bases_judged(found, seed),
            _verdict(judged, stops, outcome, forecaster),
        )


def _verdict(judged: Sequence[Judged], stops: Stopping, outcome: str, forecaster: Forecaster) -> Verdict:
    embedding = [j for j in judged if j.view == "embedding"]
    early = min(embedding, key=lambda j: abs(j.share - FIRST_STOP))
    right, low, high = early.right.value, early.right.low, early.right.high
    assert right is not None
    assert low is not None
    assert high is not None
    known = forecaster.fitted_to
    words = (
        f"At {early.share:.0%} of the updates, {right:.0%} [{low:.0%}, {high:.0%}] of the outcomes are "
        f"forecast right on bases not seen ({early.base_rate:.0%} by always naming the commoner); "
        f"stopping saves {stops.saved.value or 0:.0%} of the updates and loses "
        f"{stops.lost.value or 0:.0%} of the {stops.successes} that end {outcome} "
        f"({known['bases']} bases, {known['transfers']} transfers)."
    )
    return Verdict("pass" if low > early.base_rate else "inconclusive", words)
