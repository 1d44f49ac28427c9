"""Forecasts fitted to tables whose truth is known: accuracy, calibration, stopping, and no peeking."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from diag.forecasts import ForecastError
from diag.forecasts.features import BASE_FEATURES
from diag.forecasts.fit import Known, descended, fitted
from diag.forecasts.judge import Judge, judge_of, judged, shares_given, stopping, unseen
from diag.forecasts.model import Forecaster
from diag.forecasts.report import report_of
from diag.forecasts.result import ForecastReport

SHARES = (0.05, 0.1, 0.5)


def table(
    telling: NDArray[np.float64],
    ended: NDArray[np.bool_],
    per_base: int,
    noise: np.random.Generator,
    shares: tuple[float, ...] = SHARES,
) -> Known:
    """Runs whose ``r2_identity`` is given (n,), all else noise; so many runs a base."""
    n = len(telling)
    of = np.arange(n) // per_base
    runs = [f"run{i:04}" for i in range(n)]
    rows = pd.concat(
        [
            pd.DataFrame(
                {
                    "run": runs,
                    "group": [f"base{b:03}" for b in of],
                    "base_seed": of,
                    "folder": "/made",
                    "share": share,
                    "r2_identity": telling,
                    "r2_signs": noise.uniform(0.5, 1, n),
                    "r2_orthogonal": noise.uniform(0.5, 1, n),
                    "own_states": noise.integers(0, 10, n).astype(float),
                    "states": 31.0,
                    "l2_relative": noise.uniform(0.5, 1.5, n),
                    "variance_ratio": noise.uniform(0.5, 1.5, n),
                    "loss_total": noise.uniform(0.1, 1.0, n),
                    "gradient_norm": noise.uniform(0.1, 1.0, n),
                }
            )
            for share in shares
        ],
        ignore_index=True,
    )
    bases = noise.normal(size=(n // per_base, len(BASE_FEATURES)))
    groups = tuple(dict.fromkeys(rows["group"]))
    return Known(rows, pd.Series(ended, index=runs), bases, groups, ("made",), ("made, up",))


def chances(bases: int, per_base: int, steep: float, seed: int = 0) -> tuple[Known, NDArray[np.float64]]:
    """Runs that end well with p = σ(steep · z), where r2_identity is z/3; and p."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=bases * per_base)
    p = 1 / (1 + np.exp(-steep * z))
    return table(z / 3, rng.random(len(p)) < p, per_base, rng), p


def reported(found: Known, seeds: Collection[int] = ()) -> ForecastReport:
    return report_of(found, judge_of(found, held_seeds=seeds))


def of(report: ForecastReport, view: str, share: float) -> Any:
    return next(j for j in report.at(view) if j.share == share)


def test_newton_finds_the_least() -> None:
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(200, 3)), rng.integers(0, 3, 200).astype(float)
    rate = rng.random(200)
    found = descended(x, rate, weights, 1.0)
    columns = np.column_stack([x, np.ones(200)])
    p = 1 / (1 + np.exp(-columns @ found))
    slope = columns.T @ (weights * (p - rate)) + np.append(found[:-1], 0.0)
    assert np.abs(slope).max() < 1e-5
    parted = descended(np.array([[-1.0], [1.0]]), np.array([0.0, 1.0]), np.ones(2), 1e-3)
    assert np.isfinite(parted).all()
    assert parted[0] > 3


@pytest.fixture(scope="module")
def telling() -> tuple[ForecastReport, NDArray[np.float64]]:
    found, p = chances(30, 10, 3.0)
    early = found.rows[found.rows["share"] < 0.5]
    return reported(replace(found, rows=early)), p


def test_accuracy_and_slope_are_what_the_truth_gives(
    telling: tuple[ForecastReport, NDArray[np.float64]],
) -> None:
    report, p = telling
    early = of(report, "embedding", 0.1)
    best = float(np.maximum(p, 1 - p).mean())
    assert early.right.value == pytest.approx(best, abs=0.04)
    assert early.right.low < early.right.value < early.right.high
    assert early.slope.low < 1 < early.slope.high
    assert early.brier.value == pytest.approx(float((p * (1 - p)).mean()), abs=0.03)
    assert sum(b.of for b in early.bins) == early.n == 300
    assert of(report, "losses", 0.1).gain.low <= 0 < early.gain.low
    assert report.verdict.status == "pass"


def test_intervals_of_probabilities_hold_the_truth_about_as_often_as_they_say() -> None:
    row = {"r2_signs": 0.75, "r2_orthogonal": 0.75, "own_states": 4.5, "states": 31, "l2_relative": 1}
    row |= {"variance_ratio": 0.95}
    held = []
    for seed in range(10):
        found, _ = chances(30, 8, 2.0, seed)
        forecaster = fitted(found, "matched", {})
        for z in (-1.0, 0.0, 1.0):
            p = forecaster.probability({**row, "r2_identity": z / 3}, 0.1)
            held.append(p.low <= 1 / (1 + np.exp(-2 * z)) <= p.high)
            assert 0 < p.low < p.value < p.high < 1
    assert 0.75 < np.mean(held) <= 1
    least = float(found.rows["r2_identity"].min())
    beyond, edge = (forecaster.probability({**row, "r2_identity": r2}, 0.1) for r2 in (-2.9, least))
    assert beyond == edge


def test_noise_forecasts_the_commoner_end() -> None:
    rng = np.random.default_rng(1)
    ended = rng.random(240) < 0.15
    report = reported(table(rng.normal(size=240), ended, 8, rng, (0.1,)))
    early = of(report, "embedding", 0.1)
    assert early.right.value == pytest.approx(early.base_rate, abs=0.02)
    assert early.gain.low <= 0
    assert report.verdict.status == "inconclusive"
    assert report.stopping.lost.high > 0 or report.stopping.saved.value < 0.3
    assert report.bases is not None
    assert report.bases.error.value > report.bases.error_of_mean - 0.03


def test_nothing_is_lost_where_the_ends_lie_apart() -> None:
    rng = np.random.default_rng(2)
    ended = np.arange(160) % 4 == 0
    found = table(np.where(ended, 0.9, -0.9), ended, 8, rng)
    stops = stopping(Judge(found))
    assert stops.lost.value == 0
    assert stops.bases_losing == 0
    assert stops.saved.value == pytest.approx(0.75 * 0.9)
    assert stops.ended_at == {0.1: (0, 120), 1.0: (40, 0)}
    assert 0.1 < stops.most_bases_lost < 0.2


def test_fewer_bases_widen_the_intervals() -> None:
    few, many = (chances(bases, 8, 3.0, seed=3)[0] for bases in (8, 48))
    one, two = (judged(Judge(found), "embedding", 0.1).right for found in (few, many))
    assert one.high - one.low > 1.5 * (two.high - two.low)  # type: ignore[operator]
    row = few.rows.iloc[0].to_dict()
    spans = [fitted(found, "matched", {}).probability(row, 0.1) for found in (few, many)]
    assert spans[0].high - spans[0].low > 1.5 * (spans[1].high - spans[1].low)


def test_a_base_is_forecast_without_a_look_at_how_its_own_transfers_ended() -> None:
    found, _ = chances(12, 6, 3.0)
    mine = found.group_of() == "base004"
    turned = replace(found, ended=found.ended ^ mine)
    for judge in (Judge, lambda known: judge_of(known, held_seeds=[4, 5])):
        (one, seen), (two, _) = (unseen(judge(known), "embedding", 0.1) for known in (found, turned))
        assert np.array_equal(one[seen.groups == "base004"], two[seen.groups == "base004"])
        given = [shares_given(judge(known))[mine] for known in (found, turned)]
        assert np.array_equal(*given)
    plain, other = unseen(Judge(found), "embedding", 0.1)[0], unseen(Judge(turned), "embedding", 0.1)[0]
    assert not np.array_equal(plain[~mine], other[~mine])


def test_what_is_common_to_a_base_is_not_learnt_by_heart() -> None:
    """Each base has its own numbers and one end: telling within bases, and telling nothing of others."""
    rng = np.random.default_rng(5)
    of_base = np.repeat(np.arange(24), 10)
    ended = (rng.random(24) < 0.5)[of_base]
    found = table(rng.normal(size=24)[of_base], ended, 10, rng, (0.1,))
    own = rng.normal(size=24)[of_base]
    rows = found.rows.assign(r2_signs=own, l2_relative=own**2, r2_orthogonal=own)
    early = judged(Judge(replace(found, rows=rows)), "embedding", 0.1)
    assert early.right.value < 0.7


def test_bases_held_out_are_judged_by_one_model_of_the_others() -> None:
    found, _ = chances(14, 8, 3.0)
    report = reported(found, range(8, 14))
    assert report.judged_on == 6
    assert of(report, "embedding", 0.1).n == 48
    assert sum(map(sum, report.stopping.ended_at.values())) == 48
    assert report.bases is not None
    assert report.bases.names == found.groups[8:]
    assert report.forecaster.fitted_to["bases"] == 14
    for seeds in ([99], range(10)):
        with pytest.raises(ForecastError, match="bases to judge on"):
            judge_of(found, held_seeds=seeds)


def test_another_study_is_judged_by_a_fit_to_the_first() -> None:
    found, _ = chances(14, 8, 3.0)
    other = np.where(found.rows["base_seed"] < 9, "/made", "/other")
    both = replace(found, rows=found.rows.assign(folder=other))
    judge = judge_of(both, held_folders=[Path("/other")])
    assert judge.held == set(found.groups[9:])
    p, seen = unseen(judge, "embedding", 0.1)
    again, _ = unseen(judge_of(both, held_seeds=range(9, 14)), "embedding", 0.1)
    assert len(seen.y) == 5 * 8
    assert np.array_equal(p, again)


def test_shares_that_few_bases_have_are_left_out_and_folds_may_have_one_end() -> None:
    rng = np.random.default_rng(6)
    ended = np.arange(56) < 3  # all successes are of one base: other folds know none
    found = table(np.where(ended, 0.9, -0.9), ended, 8, rng)
    some = found.rows[(found.rows["share"] != 0.5) | (found.rows["base_seed"] < 2)]
    report = reported(replace(found, rows=some))
    assert report.forecaster.shares == [0.05, 0.1]
    assert report.stopping.bases_with_successes == 1
    assert report.verdict.status == "inconclusive"


def test_a_model_is_read_as_it_was_written(telling: tuple[ForecastReport, NDArray[np.float64]]) -> None:
    forecaster = telling[0].forecaster
    again = Forecaster.from_tree(forecaster.to_tree())
    row = {"r2_identity": 0.2, "r2_signs": 0.8, "r2_orthogonal": 0.7, "own_states": 3, "states": 31}
    row |= {"l2_relative": 1.1, "variance_ratio": 0.9}
    one, two = (f.probability(row, 0.1) for f in (forecaster, again))
    assert two.value == pytest.approx(one.value, abs=1e-3)
    assert two.high == pytest.approx(one.high, abs=1e-3)
    assert again.to_tree() == forecaster.to_tree()
    x = np.zeros(len(BASE_FEATURES))
    assert again.rate(x).value == pytest.approx(forecaster.rate(x).value, abs=1e-3)


def test_the_nearest_share_answers() -> None:
    found, _ = chances(8, 6, 3.0)
    forecaster = fitted(found, "matched", {0.1: 0.2})
    assert [forecaster.nearest(s) for s in (0.025, 0.06, 0.08, 0.2, 0.9)] == [0.05, 0.05, 0.1, 0.1, 0.5]
    with pytest.raises(ForecastError, match=r"found 2\.4% of the budget done, expected about 5% or more"):
        forecaster.nearest(0.024)
    low = replace(forecaster.probability(found.rows.iloc[0].to_dict(), 0.1), value=0.1)
    assert forecaster.stops(low, 0.1)
    assert not forecaster.stops(low, 0.5)
