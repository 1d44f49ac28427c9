"""The statistics of studies: closed forms and counting first, then scipy, then what intervals promise."""

from __future__ import annotations

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from scipy import stats

from diag.studies.statistics import (
    TABLES,
    auc,
    auc_within,
    boschloo,
    dip,
    each_against_rest,
    holm,
    iqm_bands,
    mean_over_bases,
    over_bases,
    same_rate,
    stratified,
    wilson,
)


def test_wilsons_interval_is_the_roots_of_its_equation() -> None:
    for count, n in ((0, 22), (3, 22), (21, 22), (22, 22), (1, 1)):
        rate = wilson(count, n)
        for end in (rate.low, rate.high):
            assert end is not None
            inside = 0 < end < 1
            spread = 1.959964 * np.sqrt(end * (1 - end) / n)
            assert not inside or abs(abs(count / n - end) - spread) < 1e-6
    assert wilson(0, 0).low is None
    assert wilson(0, 0).share is None


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """A hypothesis is rejected when every intersection it belongs to is, each by Bonferroni."""
    p = [0.01, 0.04, 0.03, 0.005]
    for i, corrected in enumerate(holm(p)):
        sets = [s for r in range(1, 5) for s in combinations(range(4), r) if i in s]
        assert corrected == pytest.approx(max(min(1, len(s) * min(p[j] for j in s)) for s in sets))
    assert holm([]) == []


def test_boschloo_is_never_above_fisher_and_symmetric() -> None:
    for a, n, b, m in ((3, 22, 21, 22), (5, 22, 9, 22), (1, 8, 6, 8), (2, 5, 2, 9)):
        p = boschloo(a, n, b, m)
        assert p <= stats.fisher_exact([[a, b], [n - a, m - b]])[1] + 1e-9
        assert p == pytest.approx(boschloo(b, m, a, n), abs=1e-6)
    assert boschloo(0, 22, 0, 22) == boschloo(8, 8, 3, 3) == boschloo(0, 0, 3, 5) == 1.0


def test_the_test_of_many_bases_counts_tables_no_more_probable() -> None:
    counts, totals = [0, 2, 5], [5, 6, 7]
    tables = [t for t in product(range(6), range(7), range(8)) if sum(t) == sum(counts)]
    weights = {t: np.prod([float(comb(n, k)) for n, k in zip(totals, t, strict=True)]) for t in tables}
    observed = weights[tuple(counts)]
    exact = sum(w for w in weights.values() if w <= observed * (1 + 1e-9)) / sum(weights.values())
    found = same_rate(counts, totals)
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact / TABLES))
    assert same_rate([3, 21], [22, 22]) == boschloo(3, 22, 21, 22)
    assert same_rate([3], [22]) is None
    assert same_rate([0, 0, 0], [5, 5, 5]) == same_rate([5, 5, 5], [5, 5, 5]) == 1.0


def test_each_base_against_the_others() -> None:
    assert each_against_rest([3, 10, 12], [22, 22, 22])[0] == boschloo(3, 22, 22, 44)


def test_one_stratum_is_fishers_test_and_many_add_up() -> None:
    one = stratified([3], [22], [12], [22])
    assert one == pytest.approx(stats.fisher_exact([[3, 12], [19, 10]])[1])
    assert stratified([0, 22], [22, 22], [0, 22], [22, 22]) == 1.0
    assert stratified([], [], [], []) == 1.0
    thrice = stratified([3, 3, 3], [22, 22, 22], [8, 8, 8], [22, 22, 22])
    assert thrice < stratified([3], [22], [8], [22])
    # A base's own rate is no difference between plans: pooled, the two look different, within they do not.
    assert stratified([1, 40], [20, 44], [4, 10], [80, 11]) > 0.5


def test_the_exact_stratified_test_agrees_with_its_definition(rng: np.random.Generator) -> None:
    a, n, b, m = [1, 4], [5, 6], [3, 2], [5, 4]
    observed = sum(a)
    sums = np.zeros(20)
    for x, y in product(range(6), range(7)):
        if max(0, 4 - 5) <= x <= min(5, 4) and max(0, 6 - 4) <= y <= min(6, 6):
            sums[x + y] += stats.hypergeom.pmf(x, 10, 4, 5) * stats.hypergeom.pmf(y, 10, 6, 6)
    expected = sums[sums <= sums[observed] * (1 + 1e-9)].sum()
    assert stratified(a, n, b, m) == pytest.approx(expected)


def test_resampled_bases_spread_as_far_as_the_bases_do() -> None:
    same, apart = over_bases([11] * 12, [22] * 12), over_bases([0, 22] * 6, [22] * 12)
    assert same == (0.5, 0.5)
    assert apart is not None
    assert apart[0] < 0.3 < 0.7 < apart[1]
    assert over_bases([3], [22]) is None
    assert over_bases([0, 0], [22, 22]) is None
    assert over_bases([3, 0], [22, 0]) is None
    assert mean_over_bases([]).value is None
    assert mean_over_bases([0.3]).low is None
    assert mean_over_bases([0.1, 0.3]).value == pytest.approx(0.2)


def test_the_area_is_mann_and_whitneys_share(rng: np.random.Generator) -> None:
    good, bad = rng.normal(size=9), rng.normal(size=14) + 1
    found = auc(good, bad)
    assert found.value == pytest.approx(stats.mannwhitneyu(bad, good).statistic / (9 * 14))
    assert auc([1, 2], [2, 3]).value == pytest.approx(3.5 / 4)
    assert auc([], [1.0]).value is None
    assert auc([np.nan], [1.0]).value is None
    assert auc([0.0] * 21, [1.0]).low < 0.6
    assert auc([0.0] * 21, [1.0]).high == 1.0


def test_the_areas_interval_covers(rng: np.random.Generator) -> None:
    for shift in (0.0, 1.5):
        true = stats.norm.cdf(shift / np.sqrt(2))
        found = [auc(rng.normal(size=8), rng.normal(size=14) + shift) for _ in range(300)]
        covered = np.mean([m.low <= true <= m.high for m in found])
        assert 0.91 <= covered <= 0.99


def test_within_bases_a_difference_between_bases_says_nothing(rng: np.random.Generator) -> None:
    """From base 0 all are large and most fail: pooled, the loss seems to tell; within a base it does not."""
    strata = np.repeat([0, 1], 40)
    succeeded = np.concatenate([np.arange(40) < 4, np.arange(40) < 36])
    values = rng.normal(size=80) + np.where(strata == 0, 10.0, 0.0)
    pooled = auc(values[succeeded], values[~succeeded])
    within = auc_within(values, succeeded, strata)
    assert pooled.low > 0.7
    assert within.low < 0.5 < within.high


def test_the_dip_sees_two_modes_and_only_those(rng: np.random.Generator) -> None:
    one, two = rng.normal(size=44), np.concatenate([rng.normal(size=22), rng.normal(size=22) + 10])
    assert dip(one).p > 0.05
    assert dip(two).p < 0.001
    assert dip([1.0, 2.0, np.nan]).value is None
    assert dip([1.0] * 10).value is None


def test_curves_are_scipys_trimmed_means_in_bands_that_hold_them(rng: np.random.Generator) -> None:
    for runs in (1, 3, 4, 22, 45):
        values = rng.normal(size=(runs, 7))
        strata = np.arange(runs) % 2
        iqm, low, high = iqm_bands(values, strata)
        np.testing.assert_allclose(iqm, stats.trim_mean(values, 0.25, axis=0), atol=1e-12)
        assert (low <= high).all()
        assert runs > 4 or ((low - 1e-9 <= iqm) & (iqm <= high + 1e-9)).all()
    constant = np.repeat(np.array([[0.0], [1.0]]), 4, axis=0)
    _, low, high = iqm_bands(constant, np.repeat([0, 1], 4))
    assert low == high  # within its own base no run differs


def test_bands_cover_the_mean_of_normal_runs(rng: np.random.Generator) -> None:
    hits = []
    for seed in range(120):
        _, low, high = iqm_bands(rng.normal(size=(40, 1)), np.zeros(40, np.int64), seed)
        hits.append(low[0] <= 0 <= high[0])
    assert np.mean(hits) > 0.87
