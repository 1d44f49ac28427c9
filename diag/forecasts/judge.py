"""Judge a forecast on bases that it was not fitted to: its accuracy, its calibration and what it saves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.forecasts import ForecastError
from diag.forecasts.features import View
from diag.forecasts.fit import FEWEST_BASES, At, Known, at, by_base, descended, logistic
from diag.forecasts.model import FIRST_STOP
from diag.forecasts.result import BasesJudged, Bin, Judged, Stopping
from probes import Floats, Measure

FOLDS = 10
"""Number of folds of bases, so that the stopping rule is chosen from forecasts of bases that were not
seen."""

SAFETY = 0.5
"""Factor on the lowest forecast of any success: a transfer whose forecast is below the product may be
stopped."""

RESAMPLES = 1000
"""Number of bootstrap samples of bases."""

RESAMPLES_OF_FITS = 200
"""Number of bootstrap samples where each takes a fit or a sort: two digits of such intervals are enough."""

CALIBRATION_PENALTY = 1e-3
"""Penalty of the calibration fit: tiny, yet enough for a finite slope where forecasts separate the two
ends."""

BINS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)

Bools: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Judge:
    """Known transfers, with their bases parted into those fitted to and those judged on."""

    transfers: Known
    seed: int = 0
    held: frozenset[str] = frozenset()
    """The bases to judge on, all others fitted to; empty: each is judged by models of others."""

    def parts(self, groups: NDArray[Any], folds: int | None = None) -> Iterator[tuple[Bools, Bools]]:
        """Rows to fit to and rows to forecast, by their bases (n,), in folds of bases (default: one each)."""
        if self.held:
            test = np.isin(groups, list(self.held))
            yield ~test, test
        else:
            yield from _folds(groups, folds or len(np.unique(groups)))


def judge_of(
    transfers: Known, seed: int = 0, held_seeds: Collection[int] = (), held_folders: Sequence[Path] = ()
) -> Judge:
    """A judge that holds out the bases of these seeds, or of these studies, or none.

    Raises ForecastError where few are left.
    """
    of = transfers.rows.drop_duplicates("group").set_index("group")
    places = [folder.resolve().as_posix() for folder in held_folders]
    out = of["base_seed"].isin(list(held_seeds)) | of["folder"].isin(places)
    held = frozenset(str(g) for g in of.index[out])
    if (held_seeds or places) and (not held or len(transfers.groups) - len(held) < FEWEST_BASES):
        left = f"{len(held)} bases to judge on and {len(transfers.groups) - len(held)} to fit to"
        raise ForecastError(f"found {left}, expected at least 1 and {FEWEST_BASES}")
    ends = transfers.ended.to_numpy(bool)[np.isin(transfers.group_of(), list(held))]
    if held and (ends.all() or not ends.any()):
        raise ForecastError("found one end only among the bases to judge on, expected both")
    return Judge(transfers, seed, held)


def _folds(groups: NDArray[Any], number: int) -> Iterator[tuple[Bools, Bools]]:
    """Rows to fit to and rows to forecast, for each of ``number`` folds of groups."""
    names, where = np.unique(groups, return_inverse=True)
    fold = where % number
    for one in range(min(number, len(names))):
        yield fold != one, fold == one


def unseen(judge: Judge, view: View, share: float) -> tuple[Floats, At]:
    """Forecasts (n,) at a share, each by a model that was not fitted to its base, and the runs forecast."""
    seen = at(judge.transfers, share, view)
    forecast = np.full(len(seen.y), np.nan)
    for fit, test in judge.parts(seen.groups):
        forecast[test] = seen[fit].model()(seen.x[test])
    tested = np.asarray(np.isfinite(forecast))
    return forecast[tested], seen[tested]


def judged(judge: Judge, view: View, share: float) -> Judged:
    """Judge the forecasts at a share of the budget on bases that were not seen."""
    p, seen = unseen(judge, view, share)
    y, groups = seen.y, seen.groups
    logit = np.log(np.clip(p, _LEAST_P, 1 - _LEAST_P) / (1 - np.clip(p, _LEAST_P, 1 - _LEAST_P)))
    commoner = y.mean() > 0.5

    def right(rows: Rows) -> float:
        return float(((p[rows] > 0.5) == y[rows]).mean())

    def gain(rows: Rows) -> float:
        return right(rows) - float((y[rows] == commoner).mean())

    def brier(rows: Rows) -> float:
        return float(np.square(p[rows] - y[rows]).mean())

    def auc(rows: Rows) -> float:
        return _auc(p[rows], y[rows])

    def slope(rows: Rows) -> float:
        return _slope(logit[rows], y[rows])

    def given(end: bool) -> Callable[[Rows], float]:
        return lambda rows: float(p[rows][y[rows] == end].mean()) if (y[rows] == end).any() else np.nan

    rate = float(y.mean())
    quick = {f.__name__: over_bases(f, groups, judge.seed) for f in (right, gain, brier)}
    slow = {f.__name__: over_bases(f, groups, judge.seed, RESAMPLES_OF_FITS) for f in (auc, slope)}
    return Judged(
        view,
        share,
        len(y),
        base_rate=max(rate, 1 - rate),
        brier_base_rate=rate * (1 - rate),
        bins=tuple(_bins(p, y)),
        given=(over_bases(given(True), groups, judge.seed), over_bases(given(False), groups, judge.seed)),
        **quick,
        **slow,
    )


_LEAST_P = 1e-6


def _auc(p: Floats, y: Bools) -> float:
    """Probability that a success's forecast is above a failure's, ties half; NaN for one end only."""
    from scipy.stats import rankdata

    well, others = int(y.sum()), int((~y).sum())
    if not well or not others:
        return np.nan
    return float((rankdata(p)[y].sum() - well * (well + 1) / 2) / (well * others))


def _slope(logit: Floats, y: Bools) -> float:
    if not 0 < y.sum() < len(y) or np.ptp(logit) < 1e-9:
        return np.nan
    return float(descended(logit[:, None], y.astype(float), np.ones(len(y)), CALIBRATION_PENALTY)[0])


def _bins(p: Floats, y: Bools) -> Iterator[Bin]:
    for low, high in pairwise(BINS):
        inside = (p >= low) & ((p < high) | (high == 1.0))
        if inside.any():
            yield Bin(low, high, float(p[inside].mean()), int(y[inside].sum()), int(inside.sum()))


def over_bases(
    function: Callable[[Rows], float], groups: NDArray[Any], seed: int, resamples: int = RESAMPLES
) -> Measure:
    """A function of rows, with the 95% interval that resampling whole bases gives."""
    names, where = np.unique(groups, return_inverse=True)
    rows = [np.flatnonzero(where == i) for i in range(len(names))]
    rng = np.random.default_rng(seed)
    value = function(np.arange(len(groups)))
    drawn = [
        function(np.concatenate([rows[i] for i in rng.integers(len(names), size=len(names))]))
        for _ in range(resamples)
    ]
    if not np.isfinite(value):
        return Measure.undefined("one end only")
    kept = [d for d in drawn if np.isfinite(d)]
    low, high = np.quantile(kept, [0.025, 0.975]) if kept else (value, value)
    return Measure(value, float(low), float(high))


@dataclass(frozen=True, eq=False)
class _Course:
    """The forecasts of each run over the shares: p (n, s), NaN where there is none."""

    p: Floats
    ended: Bools
    shares: Floats

    def __getitem__(self, rows: Bools) -> _Course:
        return _Course(self.p[rows], self.ended[rows], self.shares)


def _course(transfers: Known, forecasts: Callable[[float], pd.Series[float]]) -> _Course:
    table = pd.DataFrame({share: forecasts(share) for share in transfers.shares}).reindex(
        transfers.ended.index
    )
    return _Course(table.to_numpy(np.float64), transfers.ended.to_numpy(bool), np.array(transfers.shares))


def _stopped_at(course: _Course, below: Floats) -> Floats:
    """The share of the budget at which each run is stopped (n,); 1 where it never is."""
    stops = course.p < below
    first = np.where(stops.any(1), stops.argmax(1), len(course.shares))
    return np.append(course.shares, 1.0)[first]


def stop_below(course: _Course) -> Floats:
    """Limit (s,) at each share below which to stop: :data:`SAFETY` times the lowest forecast of any success.

    On other bases, a limit that loses nothing here would lose some successes: hence the factor. Where no
    success was seen nothing is stopped.
    """
    successes = course.p[course.ended]
    lowest = np.where(np.isfinite(successes), successes, np.inf).min(0, initial=np.inf)
    return np.where((course.shares >= FIRST_STOP) & np.isfinite(lowest), SAFETY * lowest, 0.0)


def _out_of_fold(transfers: Known, keep: Bools) -> Callable[[float], pd.Series[float]]:
    """Forecasts at a share of the runs to keep, each by a model of those among them in other folds."""

    def forecasts(share: float) -> pd.Series[float]:
        seen = at(transfers, share)
        seen = seen[np.isin(seen.runs, transfers.ended.index[keep])]
        p = np.full(len(seen.runs), np.nan)
        for fit, test in _folds(seen.groups, FOLDS):
            p[test] = seen[fit].model()(seen.x[test])
        return pd.Series(p, index=seen.runs)

    return forecasts


def chosen_stops(transfers: Known) -> dict[float, float]:
    """The stopping rule fitted to all transfers: for each share the probability below which to stop."""
    course = _course(transfers, _out_of_fold(transfers, np.ones(len(transfers.ended), bool)))
    return dict(zip(course.shares.tolist(), stop_below(course).tolist(), strict=True))


def stopping(judge: Judge) -> Stopping:
    """Judge what the stopping rule saves and loses, chosen and applied on different bases."""
    transfers, given = judge.transfers, shares_given(judge)
    tested = np.isfinite(given)
    return _weighed(
        given[tested], transfers.ended.to_numpy(bool)[tested], transfers.group_of()[tested], judge.seed
    )


def shares_given(judge: Judge) -> Floats:
    """Share of the budget (n,) that each run gets under a stopping rule chosen on other bases.

    Models and limits are both fitted to other bases; NaN for runs that are not judged.
    """
    transfers = judge.transfers
    groups = transfers.group_of()
    given = np.full(len(groups), np.nan)
    for fit, test in judge.parts(groups, FOLDS):
        below = stop_below(_course(transfers, _out_of_fold(transfers, fit))[fit])

        def of_fit(share: float, fit: Bools = fit) -> pd.Series[float]:
            seen = at(transfers, share)
            model = seen[np.isin(seen.runs, transfers.ended.index[fit])].model()
            return pd.Series(model(seen.x), index=seen.runs)

        given[test] = _stopped_at(_course(transfers, of_fit), below)[test]
    return given


def _weighed(given: Floats, ended: Bools, groups: NDArray[Any], seed: int) -> Stopping:
    """Updates saved and successes lost when each run gets its share ``given`` (n,) of the budget."""
    from scipy.stats import beta

    def saved(rows: Rows) -> float:
        return float(1 - given[rows].mean())

    def lost(rows: Rows) -> float:
        return float((given[rows] < 1)[ended[rows]].mean()) if ended[rows].any() else np.nan

    landed, losing = (len(np.unique(groups[rows])) for rows in (ended, ended & (given < 1)))
    return Stopping(
        over_bases(saved, groups, seed),
        over_bases(lost, groups, seed),
        int(ended.sum()),
        landed,
        losing,
        1.0 if losing == landed else float(beta.ppf(0.975, losing + 1, landed - losing)),
        {
            float(share): (int((ended & (given == share)).sum()), int((~ended & (given == share)).sum()))
            for share in np.unique(given)
        },
    )


def bases_judged(judge: Judge) -> BasesJudged | None:
    """Judge forecasts from bases alone, each by a model of the other bases; None for too few bases."""
    from scipy.stats import spearmanr

    x, rates, names = by_base(judge.transfers)
    if len(names) < FEWEST_BASES:
        return None
    forecasts, means = np.full(len(names), np.nan), np.full(len(names), np.nan)
    for fit, test in judge.parts(np.array(names)):
        if fit.any():
            forecasts[test] = logistic(x[fit], rates[fit], np.ones(fit.sum()))(x[test])
            means[test] = rates[fit].mean()
    tested = np.isfinite(forecasts)
    forecast, rate, mean = forecasts[tested], rates[tested], means[tested]
    if not len(rate):
        return None

    def error(rows: Rows) -> float:
        return float(np.abs(forecast[rows] - rate[rows]).mean())

    def rank(rows: Rows) -> float:
        if np.ptp(rate[rows]) == 0 or np.ptp(forecast[rows]) == 0:
            return np.nan
        return float(spearmanr(forecast[rows], rate[rows]).statistic)

    each = np.arange(len(rate))
    return BasesJudged(
        tuple(n for n, t in zip(names, tested, strict=True) if t),
        tuple(forecast.tolist()),
        tuple(rate.tolist()),
        over_bases(error, each, judge.seed),
        float(np.abs(mean - rate).mean()),
        over_bases(rank, each, judge.seed, RESAMPLES_OF_FITS),
    )
