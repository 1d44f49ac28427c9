"""A forecast fitted to transfers, and judged on bases that each part of it had not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from diag.forecasts.features import VIEWS
from diag.forecasts.fit import Known, fitted
from diag.forecasts.judge import (
    Judge,
    bases_judged,
    chosen_stops,
    judged,
    over_bases,
    stopping,
    unseen,
)
from diag.forecasts.model import FIRST_STOP, in_words
from diag.forecasts.result import ForecastReport, Judged, Outcome, Stopping
from diag.result import Verdict
from probes import Measure


def report_of(
    transfers: Known,
    judge: Judge,
    outcome: Outcome = "matched",
    progress: Callable[[int, int], None] | None = None,
) -> ForecastReport:
    """Fit a forecast to all transfers, and judge forecasts fitted to parts of them; raises ForecastError.

    Each of the judge's bases is forecast by models of others, or those that it holds out are, by one model of
    the rest. ``progress(done, of)`` is called as the work goes on.
    """
    report = progress or (lambda done, of: None)
    steps = 4 + len(VIEWS) * len(transfers.shares)
    report(1, steps)
    forecaster = fitted(transfers, outcome, chosen_stops(transfers), judge.seed)
    report(2, steps)
    each = []
    for view in VIEWS:
        for share in transfers.shares:
            each.append(judged(judge, view, share))
            report(2 + len(each), steps)
    ahead = {share: _ahead(judge, share) for share in transfers.shares}
    stops = stopping(judge)
    report(steps - 1, steps)
    of_bases = bases_judged(judge)
    report(steps, steps)
    judged_on = len(judge.held) or len(judge.transfers.groups)
    verdict = _verdict(each, stops, outcome, judged_on)
    return ForecastReport(outcome, forecaster, tuple(each), ahead, stops, of_bases, judged_on, verdict)


def _ahead(judge: Judge, share: float) -> Measure:
    errors = []
    for view in VIEWS:
        p, seen = unseen(judge, view, share)
        of = pd.MultiIndex.from_arrays([seen.runs, seen.groups], names=["run", "group"])
        errors.append(pd.Series(np.square(p - seen.y), index=of))
    less = (errors[1] - errors[0]).dropna()
    groups = less.index.get_level_values("group").to_numpy()
    return over_bases(lambda rows: float(less.to_numpy()[rows].mean()), groups, judge.seed)


def _verdict(each: Sequence[Judged], stops: Stopping, outcome: str, judged_on: int) -> Verdict:
    early = min((j for j in each if j.view == "embedding"), key=lambda j: abs(j.share - FIRST_STOP))
    words = (
        f"At {early.share:.0%} of the updates {in_words(early.right)} of the outcomes are forecast right "
        f"on bases not seen ({early.base_rate:.0%} by always naming the commoner); stopping saves "
        f"{stops.saved.value or 0.0:.0%} of the updates and loses {stops.lost.value or 0.0:.0%} of the "
        f"{stops.successes} that end {outcome} ({judged_on} bases, {early.n} transfers)."
    )
    return Verdict("pass" if (early.gain.low or 0.0) > 0 else "inconclusive", words)
