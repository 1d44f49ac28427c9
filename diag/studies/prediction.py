"""Does a measure of a transfer predict whether it succeeds? ROC curves, areas, thresholds, correlations.

Each measure is taken as a sign of failure. Over all transfers a measure may only tell bases apart; within
bases it tells the transfers of one base apart. Intervals resample whole bases, and are never narrower than
those that take the transfers for independent: a handful of bases has too little spread to resample, and an
area of 1 none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from diag.studies.scored import Gated, Predictor, Roc
from diag.studies.statistics import RESAMPLES, auc, auc_within, wilson
from probes import Floats, Measure

RELATION = "relation"
"""The relation as a number: its place in the order of the ladder."""

LESS_IS_WORSE = ("r2_identity", "r2_orthogonal", "own_states")
"""Measures that are a sign of failure where they are low."""

MEASURES = ("l2", "l2_relative", RELATION, *LESS_IS_WORSE, "loss_total")
"""Measures that are looked at, beside each term of the loss."""

Counts = NDArray[np.float64]


def predictors(last: pd.DataFrame, relations: Sequence[str]) -> tuple[Predictor, ...]:
    """What each measure says of the transfers of one group, whose rows have ``success`` and ``name``.

    ``relations`` are in the order of the ladder. None where all transfers succeed or all fail.
    """
    success = last["success"].to_numpy(bool)
    if success.all() or not success.any():
        return ()
    places = {name: float(place) for place, name in enumerate(relations)}
    table = last.assign(**{RELATION: [places.get(name, np.nan) for name in last["name"]]})
    terms = [str(c) for c in last.columns if str(c).startswith("loss_") and c not in MEASURES]
    return tuple(
        predictor(table, name) for name in (*MEASURES, *terms) if name in table and table[name].notna().any()
    )


def gated(last: pd.DataFrame, undecided: str) -> Gated | None:
    """What a gate that asks for ``matched`` says of transfers of one group; None where there are none.

    ``undecided`` is the name of a relation that is not known, which neither passes nor alarms.
    """
    success, names = last["success"].to_numpy(bool), last["name"].to_numpy(object)
    if not len(last):
        return None
    matched, unknown = names == "matched", names == undecided
    return Gated(
        wilson(int((matched & ~success).sum()), int((~success).sum())),
        wilson(int((~matched & ~unknown & success).sum()), int(success.sum())),
        int(unknown.sum()),
    )


def predictor(last: pd.DataFrame, name: str) -> Predictor:
    """One measure, a column of the rows, as a sign of failure."""
    values = last[name].to_numpy(float)
    known = np.isfinite(values)
    rows, values = last[known], values[known]
    sign = -1.0 if name in LESS_IS_WORSE else 1.0
    badness, success = sign * values, rows["success"].to_numpy(bool)
    bases = rows["base_seed"].to_numpy(np.int64)
    draws = _draws(len(np.unique(bases)), RESAMPLES)
    return Predictor(
        name,
        sign > 0,
        len(rows),
        int((~known).sum()),
        _area(badness, success, bases, draws, within=False),
        _area(badness, success, bases, draws, within=True),
        _threshold(badness, success, bases, draws, sign),
        _correlation(values, rows["score"].to_numpy(float), bases, draws, within=False),
        _correlation(values, rows["score"].to_numpy(float), bases, draws, within=True),
        roc(badness, success, np.zeros(len(rows), np.int64)),
        roc(badness, success, bases),
    )


def roc(badness: Floats, success: NDArray[np.bool_], strata: NDArray[np.int64]) -> Roc:
    """Failures found against successes taken for failures, for each threshold.

    Strata have a curve each; what is given is their mean at each share of false alarms, weighted by pairs of
    a success and a failure: the area under it is :func:`diag.studies.statistics.auc_within`'s.
    """
    curves, weights = [], []
    for stratum in np.unique(strata):
        here = strata == stratum
        good, bad = badness[here & success], badness[here & ~success]
        if len(good) and len(bad):
            cuts = np.concatenate([[np.inf], np.unique(np.concatenate([good, bad]))[::-1]])
            curves.append([(values[:, None] >= cuts).mean(0) for values in (good, bad)])
            weights.append(len(good) * len(bad))
    if not curves:
        return Roc(np.zeros(0), np.zeros(0))
    if len(curves) == 1:
        return Roc(*curves[0])
    # A step is two points at one place: its lower end belongs to the left of it, its upper one to the right.
    places = np.unique(np.concatenate([alarms for alarms, _ in curves]))
    ends = [np.array([_at(a, f, p) for p in places]) for a, f in curves]
    mean = np.average(np.array(ends), axis=0, weights=weights)
    return Roc(places.repeat(2), mean.ravel())


def _at(alarms: Floats, found: Floats, place: float) -> tuple[float, float]:
    """A curve's least and largest height at a share of false alarms; equal but at its steps."""
    here = np.isclose(alarms, place)
    if here.any():
        return float(found[here].min()), float(found[here].max())
    between = float(np.interp(place, alarms, found))
    return between, between


def _draws(bases: int, times: int) -> Counts:
    """How often each base stands in each of so many resamples, (times, bases)."""
    return np.random.default_rng(0).multinomial(bases, np.full(bases, 1 / bases), times).astype(float)


def _area(
    badness: Floats, success: NDArray[np.bool_], bases: NDArray[np.int64], draws: Counts, *, within: bool
) -> Measure:
    plain = auc_within(badness, success, bases) if within else auc(badness[success], badness[~success])
    if plain.value is None or plain.low is None or plain.high is None or draws.shape[1] < 2:
        return plain
    won, pairs = _pairs(badness, success, bases)
    if within:
        num, den = draws @ np.diag(won), draws @ np.diag(pairs)
    else:
        num, den = (np.einsum("db,bc,dc->d", draws, m, draws) for m in (won, pairs))
    areas = num[den > 0] / den[den > 0]
    low, high = np.quantile(areas, [0.025, 0.975])
    return Measure(plain.value, min(plain.low, float(low)), max(plain.high, float(high)))


def _pairs(badness: Floats, success: NDArray[np.bool_], bases: NDArray[np.int64]) -> tuple[Counts, Counts]:
    """Pairs of a failure of one base and a success of another: those where the failure is worse, and all."""
    names = np.unique(bases)
    won, pairs = np.zeros((2, len(names), len(names)))
    for i, one in enumerate(names):
        bad = badness[(bases == one) & ~success]
        for j, other in enumerate(names):
            good = badness[(bases == other) & success]
            won[i, j] = (bad[:, None] > good).sum() + 0.5 * (bad[:, None] == good).sum()
            pairs[i, j] = len(bad) * len(good)
    return won, pairs


def _threshold(
    badness: Floats, success: NDArray[np.bool_], bases: NDArray[np.int64], draws: Counts, sign: float
) -> Measure:
    """The value that parts failures from successes best (Youden 1950), with an interval over bases.

    It is halfway between two neighbouring values, in the middle where several part equally well. For less
    than two bases, or where half of the resamples have no failure or no success, there is no interval.
    """
    values = np.unique(badness)
    if len(values) < 2:
        return Measure.undefined("all values are equal")
    cuts = (values[1:] + values[:-1]) / 2
    names = np.unique(bases)
    above, below = np.empty((2, len(names), len(cuts)))
    for i, one in enumerate(names):
        here = bases == one
        above[i] = (badness[here & ~success][:, None] > cuts).sum(0)
        below[i] = (badness[here & success][:, None] <= cuts).sum(0)
    failed = np.array([(~success[bases == one]).sum() for one in names], float)
    landed = np.array([success[bases == one].sum() for one in names], float)
    value = float(cuts[_best(above.sum(0) / failed.sum() + below.sum(0) / landed.sum())])
    usable = (draws @ failed > 0) & (draws @ landed > 0)
    if len(names) < 2 or usable.mean() < 0.5:
        return Measure(sign * value)
    some = draws[usable]
    gains = some @ above / (some @ failed)[:, None] + some @ below / (some @ landed)[:, None]
    ends = np.quantile(sign * cuts[[_best(gain) for gain in gains]], [0.025, 0.975])
    return Measure(sign * value, min(float(ends[0]), sign * value), max(float(ends[1]), sign * value))


def _best(gains: Counts) -> int:
    """Place of the largest, in the middle where several are as large within rounding."""
    best = np.flatnonzero(gains >= gains.max() - 1e-12)
    return int(best[len(best) // 2])


def _correlation(
    values: Floats, score: Floats, bases: NDArray[np.int64], draws: Counts, *, within: bool
) -> Measure:
    """Spearman's correlation with the score: of the ranks among all transfers, or among those of a base.

    Its interval resamples bases, whose transfers keep their ranks.
    """
    here = np.isfinite(score)
    values, score, bases = values[here], score[here], bases[here]
    rows = [np.flatnonzero(bases == base) for base in np.unique(bases)]
    if len(values) < 3:
        return Measure.undefined("needs 3 transfers with a score")
    x, y = (_ranked(v, rows if within else [np.arange(len(v))]) for v in (values, score))
    sums = np.array([[(a[r] * b[r]).sum() for a, b in ((x, y), (x, x), (y, y))] for r in rows])
    whole = sums.sum(0)
    if not whole[1] * whole[2] > 0:
        return Measure.undefined("all values are equal")
    value = float(whole[0] / np.sqrt(whole[1] * whole[2]))
    if len(rows) < 2 or len(rows) != draws.shape[1]:
        return Measure(value)
    drawn = draws @ sums
    drawn = drawn[drawn[:, 1] * drawn[:, 2] > 0]
    ends = np.quantile(drawn[:, 0] / np.sqrt(drawn[:, 1] * drawn[:, 2]), [0.025, 0.975])
    return Measure(value, min(float(ends[0]), value), max(float(ends[1]), value))


def _ranked(values: Floats, rows: Sequence[NDArray[np.int64]]) -> Floats:
    """Ranks within each set of rows, less their mean."""
    ranks = np.empty(len(values))
    for some in rows:
        ranks[some] = rankdata(values[some]) - (len(some) + 1) / 2
    return ranks
