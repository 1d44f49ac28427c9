"""Judging a forecast on bases that it was not fitted to: how often right, how calibrated, what it saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.forecasts.features import VIEWS, Floats, View
from diag.forecasts.fit import Known, at, by_base, logistic
from diag.forecasts.model import shares_of
from diag.result import finite, measure_tree
from probes import Measure

FOLDS = 10
"""In which the bases of a fit are parted, to choose the stopping rule from forecasts of bases not seen."""

SAFETY = 0.5
"""Of the lowest forecast that any success was given: below it, a transfer may be stopped."""

RESAMPLES = 1000

BINS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Bin:
    """Forecasts between two probabilities: their mean, and how many of them came true."""

    low: float
    high: float
    forecast: float
    came_true: int
    of: int

    def to_tree(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Judged:
    """Forecasts at one share of the budget, of bases that were not seen."""

    view: View
    share: float
    n: int
    right: Measure
    """Share of the outcomes forecast right (the likelier end); its interval resamples bases."""
    base_rate: float
    """What always forecasting the commoner end would get."""
    brier: Measure
    brier_base_rate: float
    auc: Measure
    slope: Measure
    """Of the outcomes' logit on the forecasts': 1 is calibrated, below 1 is too sure."""
    bins: tuple[Bin, ...]

    def to_tree(self) -> dict[str, Any]:
        return {
            "view": self.view,
            "share": self.share,
            "n": self.n,
            "base_rate": self.base_rate,
            "brier_base_rate": self.brier_base_rate,
            **{name: measure_tree(getattr(self, name)) for name in ("right", "brier", "auc", "slope")},
            "bins": [b.to_tree() for b in self.bins],
        }


@dataclass(frozen=True)
class Stopping:
    """What a rule would have done on bases it was not chosen on: stop where the forecast is below a limit."""

    saved: Measure
    """Share of all updates of transfers."""
    lost: Measure
    """Share of the successes that it would have stopped; its interval resamples bases."""
    successes: int
    bases_with_successes: int
    most_bases_lost: float
    """Upper 95% limit of the share of bases with successes that lose any: what so few bases can exclude."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "saved": measure_tree(self.saved),
            "lost": measure_tree(self.lost),
            "successes": self.successes,
            "bases_with_successes": self.bases_with_successes,
            "most_bases_lost": self.most_bases_lost,
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
    """The same of always forecasting the other bases' mean."""
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


def unseen(found: Known, share: float, view: View) -> tuple[Floats, Bools, NDArray[Any]]:
    """Forecasts (n,) at a share, each by a model of all other bases; outcomes (n,) and bases (n,)."""
    seen = at(found, share, view)
    forecast = np.empty(len(seen.y))
    for fit, test in _leaving(seen.groups, len(np.unique(seen.groups))):
        forecast[test] = seen[fit].model()(seen.x[test])
    return forecast, seen.y, seen.groups


def _leaving(groups: NDArray[Any], parts: int) -> Iterator[tuple[Bools, Bools]]:
    """The groups in so many parts: what to fit to, and what to forecast."""
    names = np.unique(groups)
    part = dict(zip(names, np.arange(len(names)) % parts, strict=True))
    where = np.array([part[g] for g in groups])
    for number in range(min(parts, len(names))):
        yield where != number, where == number


def judged(found: Known, view: View, share: float, seed: int = 0) -> Judged:
    """How good the forecasts at a share are on bases that were not seen."""
    from sklearn.metrics import roc_auc_score

    p, y, groups = unseen(found, share, view)

    def right(rows: NDArray[np.int64]) -> float:
        return float(((p[rows] > 0.5) == y[rows]).mean())

    def brier(rows: NDArray[np.int64]) -> float:
        return float(np.square(p[rows] - y[rows]).mean())

    def auc(rows: NDArray[np.int64]) -> float:
        both = 0 < y[rows].sum() < len(rows)
        return float(roc_auc_score(y[rows], p[rows])) if both else np.nan

    def slope(rows: NDArray[np.int64]) -> float:
        logit = np.log(np.clip(p[rows], 1e-6, 1 - 1e-6) / (1 - np.clip(p[rows], 1e-6, 1 - 1e-6)))
        return _slope(logit, y[rows])

    rate = float(y.mean())
    measures = {f.__name__: over_bases(f, groups, seed) for f in (right, brier, auc, slope)}
    return Judged(
        view,
        share,
        len(y),
        base_rate=max(rate, 1 - rate),
        brier_base_rate=rate * (1 - rate),
        bins=tuple(_bins(p, y)),
        **measures,
    )


def _slope(logit: Floats, y: Bools) -> float:
    from sklearn.linear_model import LogisticRegression

    if not 0 < y.sum() < len(y) or np.ptp(logit) < 1e-9:
        return np.nan
    return float(LogisticRegression(C=1e3, max_iter=500).fit(logit[:, None], y).coef_[0, 0])


def _bins(p: Floats, y: Bools) -> Iterator[Bin]:
    for low, high in pairwise(BINS):
        inside = (p >= low) & ((p < high) | (high == 1.0))
        if inside.any():
            yield Bin(low, high, float(p[inside].mean()), int(y[inside].sum()), int(inside.sum()))


def over_bases(
    function: Callable[[NDArray[np.int64]], float], groups: NDArray[Any], seed: int, resamples: int = 200
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
    groups: NDArray[Any]
    shares: Floats


def _course(found: Known, forecasts: Callable[[float], pd.Series[float]]) -> _Course:
    shares = shares_of(found.rows["share"].tolist())
    table = pd.DataFrame({share: forecasts(share) for share in shares}).reindex(found.ended.index)
    return _Course(
        table.to_numpy(np.float64), found.ended.to_numpy(bool), found.group_of().to_numpy(), np.array(shares)
    )


def _stopped_at(course: _Course, below: Floats) -> Floats:
    """The share of the budget that each run is given (n,): 1 where it is never stopped."""
    stops = course.p < below
    first = np.where(stops.any(1), stops.argmax(1), len(course.shares))
    return np.append(course.shares, 1.0)[first]


FIRST_STOP = 0.1
"""Of the budget: before, too many that end well look lost."""


def stop_below(course: _Course) -> Floats:
    """By share, the limit (s,) below which to stop: :data:`SAFETY` times the lowest of any success.

    The bases to come are others, and a limit that loses nothing here loses some there: hence the factor.
    """
    successes = course.p[course.ended]
    seen = np.isfinite(successes).any(0)
    lowest = np.nanmin(np.where(seen, successes, 0.0), axis=0)
    return np.where(course.shares >= FIRST_STOP, SAFETY * lowest, 0.0)


def _out_of_fold(found: Known, keep: Bools | None = None) -> Callable[[float], pd.Series[float]]:
    """Forecasts at a share by run, each by a model of bases in other folds; ``keep`` are the runs to use."""

    def forecasts(share: float) -> pd.Series[float]:
        seen = at(found, share)
        if keep is not None:
            seen = seen[np.isin(seen.runs, found.ended.index[keep])]
        p = np.full(len(seen.runs), np.nan)
        for fit, test in _leaving(seen.groups, FOLDS):
            p[test] = seen[fit].model()(seen.x[test])
        return pd.Series(p, index=seen.runs)

    return forecasts


def chosen_stops(found: Known) -> dict[float, float]:
    """The stopping rule of all that is known: by share, the probability below which to stop."""
    course = _course(found, _out_of_fold(found))
    return dict(zip(course.shares.tolist(), stop_below(course).tolist(), strict=True))


def stopping(found: Known, seed: int = 0) -> Stopping:
    """What the stopping rule saves and loses, chosen and applied on different bases."""
    groups = found.group_of().to_numpy()
    given = np.ones(len(groups))
    for fit, test in _leaving(groups, FOLDS):
        below = stop_below(_restricted(_course(found, _out_of_fold(found, fit)), fit))

        def of_fit(share: float, fit: Bools = fit) -> pd.Series[float]:
            seen = at(found, share)
            model = seen[np.isin(seen.runs, found.ended.index[fit])].model()
            return pd.Series(model(seen.x), index=seen.runs)

        given[test] = _stopped_at(_course(found, of_fit), below)[test]
    ended = found.ended.to_numpy(bool)

    def lost(rows: NDArray[np.int64]) -> float:
        return float((given[rows] < 1)[ended[rows]].mean()) if ended[rows].any() else np.nan

    landed = np.unique(groups[ended])
    losers = np.unique(groups[ended & (given < 1)])
    from scipy.stats import beta

    high = 1.0 if len(losers) == len(landed) else beta.ppf(0.975, len(losers) + 1, len(landed) - len(losers))
    return Stopping(
        over_bases(lambda rows: float(1 - given[rows].mean()), groups, seed),
        over_bases(lost, groups, seed),
        int(ended.sum()),
        len(landed),
        float(high),
    )


def _restricted(course: _Course, rows: Bools) -> _Course:
    return _Course(course.p[rows], course.ended[rows], course.groups[rows], course.shares)


def bases_judged(found: Known, seed: int = 0) -> BasesJudged | None:
    """Forecasts from bases alone, each by a model of the others; None where too few have features."""
    from scipy.stats import spearmanr

    x, rate, names = by_base(found)
    if len(names) < 3:
        return None
    each = np.arange(len(names))
    forecast, mean = np.empty(len(names)), np.empty(len(names))
    for i in each:
        others = each != i
        forecast[i] = logistic(x[others], rate[others], np.ones(others.sum()))(x[i : i + 1])[0]
        mean[i] = rate[others].mean()

    def error(rows: NDArray[np.int64]) -> float:
        return float(np.abs(forecast[rows] - rate[rows]).mean())

    def rank(rows: NDArray[np.int64]) -> float:
        if np.ptp(rate[rows]) == 0 or np.ptp(forecast[rows]) == 0:
            return np.nan
        return float(spearmanr(forecast[rows], rate[rows]).statistic)

    return BasesJudged(
        names,
        tuple(forecast.tolist()),
        tuple(rate.tolist()),
        over_bases(error, each, seed, RESAMPLES),
        float(np.abs(mean - rate).mean()),
        over_bases(rank, each, seed, RESAMPLES),
    )


def all_judged(found: Known, seed: int = 0) -> tuple[Judged, ...]:
    """Both views at every share."""
    shares = shares_of(found.rows["share"].tolist())
    return tuple(judged(found, view, share, seed) for view in VIEWS for share in shares)
