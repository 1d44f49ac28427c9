"""The gate's statistics: in closed form, against others' numbers, and by simulations whose truth is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import probes
from diag.checks.judging import Found, judged
from diag.checks.losses import Losses, ratios
from diag.checks.returns import ReturnsCheck, difference, more_episodes, of_returns
from probes import Measure
from tests.gated import Returns, played, scaled


def test_a_limit_holds_for_the_whole_interval() -> None:
    def state(measure: Measure, **limit: float) -> str:
        return judged("r2", "it", measure, "min", **limit).state

    across, above, below = Measure(0.5, 0.4, 0.6), Measure(0.5, 0.45, 0.6), Measure(0.3, 0.2, 0.44)
    assert [state(m, least=0.45) for m in (across, above, below)] == ["unsure", "good", "bad"]
    assert [state(m, most=0.45) for m in (across, above, below)] == ["unsure", "unsure", "good"]
    assert state(Measure(0.5, 0.46, 0.6), most=0.45) == "bad"
    assert [state(Measure(v), least=0.45) for v in (0.45, 0.449)] == ["good", "bad"]
    assert [state(Measure(v), most=0.45) for v in (0.45, 0.451)] == ["good", "bad"]
    assert state(Measure.undefined("nothing"), least=0.1) == "unsure"
    assert state(Measure(0.9, reason="too few samples for an interval"), least=0.1) == "unsure"
    assert state(Measure(float("nan")), least=0.1) == "unsure"
    told = judged("cca", "CCA", Measure(0.9, reason="too few samples"), "min", least=0.1).message
    assert told == "CCA is 0.9; wanted at least 0.1, and the data cannot tell (too few samples)"


def one(found: Returns, own: Returns | None = None, **limits: Any) -> Found:
    [answer] = of_returns(played(found), own, ReturnsCheck(**limits), 0)
    return answer


def test_the_difference_of_means_is_welchs(rng: np.random.Generator) -> None:
    one, other = rng.normal(3, 2, 40), rng.normal(4, 0.5, 17)
    found = difference(one, other, float(other.mean()))
    oracle = stats.ttest_ind(one, other, equal_var=False)
    assert found.value == pytest.approx(one.mean() - other.mean())
    assert (found.low, found.high) == pytest.approx(tuple(oracle.confidence_interval(0.95)))
    alone = difference(one, None, 2.5)
    assert (alone.low, alone.high) == pytest.approx(
        tuple(stats.ttest_1samp(one - 2.5, 0).confidence_interval())
    )


def outcomes(right: int, of: int, low: float = 0.0, high: float = 1.0) -> Returns:
    return np.repeat([high, low], [right, of - right])


@pytest.mark.parametrize(
    ("right", "of", "before", "of_before", "low", "high"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (10, 10, 0, 10, 0.6075, 1.0),
    ],
)
def test_a_difference_of_rates_is_newcombes(
    right: int, of: int, before: int, of_before: int, low: float, high: float
) -> None:
    """Table II of Newcombe, "Interval estimation for the difference between independent proportions"."""
    own = outcomes(before, of_before)
    found = difference(outcomes(right, of), own, float(own.mean()))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    # Two other values scale it.
    own = outcomes(before, of_before, -20, 30)
    found = difference(outcomes(right, of, -20, 30), own, float(own.mean()))
    assert (found.low, found.high) == pytest.approx((50 * low, 50 * high), abs=5e-3)


def test_against_a_number_a_rate_has_wilsons_interval() -> None:
    wilson = stats.binomtest(18, 20).proportion_ci(method="wilson")
    found = difference(outcomes(18, 20), None, 0.9)
    assert (found.low, found.high) == pytest.approx((wilson.low - 0.9, wilson.high - 0.9))


def test_returns_that_were_added_up_in_another_order_are_the_same(rng: np.random.Generator) -> None:
    """0.1 + 0.2 and 0.3 are one value, so that successes and failures still take two."""
    ends = np.array([0.0, 0.3])[rng.integers(2, size=40)]
    rounded = np.where(rng.random(40) < 0.5, ends, ends * (0.1 + 0.2) / 0.3)
    assert len(np.unique(rounded)) == 3
    whole, found = (difference(returns, ends, float(ends.mean())) for returns in (ends, rounded))
    assert (found.low, found.high) == pytest.approx((whole.low, whole.high))


Drawn = Callable[[np.random.Generator, int, float], Returns]


def normal(rng: np.random.Generator, n: int, shift: float) -> Returns:
    return rng.normal(10 - shift, 2.0, n)


def skewed(rng: np.random.Generator, n: int, shift: float) -> Returns:
    return rng.exponential(10.0, n) - shift


def rate(p: float) -> Drawn:
    return lambda rng, n, shift: rng.binomial(1, p - shift, n).astype(np.float64)


CASES: list[tuple[Drawn, int, float]] = [
    (normal, 8, 2.0),
    (normal, 40, 1.0),
    (skewed, 200, 3.0),
    (rate(0.9), 100, 0.1),
    (rate(1.0), 10, 0.1),
    (rate(1.0), 50, 0.05),
    (rate(0.6), 60, 0.1),
]

REPEATS = 1200


@pytest.mark.parametrize(("drawn", "n", "margin"), CASES)
@pytest.mark.long
def test_one_that_is_worse_by_the_margin_passes_once_in_forty(drawn: Drawn, n: int, margin: float) -> None:
    """And fails as rarely: at the margin itself neither answer is right, and "cannot tell" is."""
    rng = np.random.default_rng(1)
    found = [
        one(drawn(rng, n, margin), drawn(rng, n, 0.0), margin=margin, relative=False).state
        for _ in range(REPEATS)
    ]
    for wrong in ("good", "bad"):
        # 3.2%: what discreteness and skew add to the nominal 2.5%.
        assert stats.binomtest(found.count(wrong), REPEATS, 0.032, "greater").pvalue > 1e-3, wrong


@pytest.mark.parametrize("mean", [10.0, -10.0])
@pytest.mark.long
def test_a_margin_that_is_a_share_of_an_estimated_mean_holds_too(mean: float) -> None:
    """A tenth, and a half: then the reference's own error moves the margin as well."""
    rng = np.random.default_rng(2)
    for margin in (0.1, 0.5):
        truth = mean - margin * abs(mean)
        states = [
            one(rng.normal(truth, 5, 60), rng.normal(mean, 5, 60), margin=margin).state
            for _ in range(REPEATS)
        ]
        assert stats.binomtest(states.count("good"), REPEATS, 0.025, "greater").pvalue > 1e-3


def test_twenty_episodes_do_not_fail_two_equals() -> None:
    """Where "fails if it drops by more than 5 points" fails 21% of them."""
    rng = np.random.default_rng(3)
    pairs = [(rate(0.9)(rng, 20, 0.0), rate(0.9)(rng, 20, 0.0)) for _ in range(REPEATS)]
    naive = np.mean([a.mean() < b.mean() - 0.05 - 1e-9 for a, b in pairs])
    ours = np.mean([one(a, b, margin=0.05, relative=False).state == "bad" for a, b in pairs])
    assert naive == pytest.approx(0.21, abs=0.03)
    assert ours < 0.01


@pytest.mark.parametrize(("margin", "expected"), [(0.05, 565), (0.1, 141)])
def test_how_many_episodes_a_margin_takes(margin: float, expected: int) -> None:
    """At a success rate of 0.9: (1.96 + 0.84)²·2·0.09/margin² an arm."""
    have = outcomes(90, 100)
    more = more_episodes(have, have, margin)
    assert more is not None
    assert more + 100 == pytest.approx(expected, rel=0.06)
    worse = outcomes(86, 100)
    words = one(worse, have, margin=margin, relative=False).message
    assert f"needs about {more_episodes(worse, have, margin)} more episodes of each to tell" in words


@pytest.mark.parametrize(
    ("drawn", "like", "margin"), [(normal, scaled(10, 2, 12), 0.8), (rate(0.9), outcomes(90, 100), 0.05)]
)
@pytest.mark.parametrize("reference", [False, True])
def test_with_as_many_episodes_as_it_names_equals_pass_four_times_in_five(
    drawn: Drawn, like: Returns, margin: float, reference: bool
) -> None:
    more = more_episodes(like, None if reference else like, margin)
    assert more is not None
    rng, repeats = np.random.default_rng(4), REPEATS // 2
    limits: dict[str, Any] = {"reference": float(like.mean())} if reference else {}
    passed = sum(
        one(*(drawn(rng, len(like) + more, 0.0) for _ in "ab"), margin=margin, relative=False, **limits).state
        == "good"
        for _ in range(repeats)
    )
    # "About": against a number, Wilson's interval of a rate reaches further down than the formula has it.
    assert passed / repeats == pytest.approx(0.8, abs=0.08)


def test_episodes_beyond_what_equals_need_are_as_many_again_and_beyond_reason_none() -> None:
    assert more_episodes(scaled(10, 2, 200), None, 0.8) == 200
    assert more_episodes(scaled(10, 2, 40), None, 0.8) == 10
    assert more_episodes(scaled(10, 2, 40), scaled(10, 2, 90), 0.8) == 59
    assert more_episodes(scaled(10, 2, 40), None, 1e-3) is None
    words = one(scaled(10, 2, 40), scaled(10, 2, 40), margin=1e-6).message
    assert "no number of episodes that anybody runs would tell" in words


def test_where_all_succeed_so_many_may_still_fail() -> None:
    """Ten of ten beside ten of ten: one in four may fail after all, and sixty more of each would tell."""
    ten, hundred = outcomes(10, 10), outcomes(100, 100)
    assert one(ten, ten, margin=0.1).state == "unsure"
    assert one(hundred, hundred, margin=0.1).state == "good"
    more = re.search(r"about (\d+) more", one(ten, ten, margin=0.1).message)
    assert more is not None
    assert 20 <= int(more[1]) <= 100
    # The same at any size: 500 of a pole that never falls.
    assert one(500 * ten, 500 * ten).state == "unsure"
    assert one(500 * hundred, 500 * hundred).state == "good"
    assert one(0 * hundred, 500 * hundred).state == "bad"


@pytest.mark.parametrize(
    ("found", "own", "limits", "state", "words"),
    [
        ([9.9, 10.1] * 50, [9.9, 10.1, 10.0] * 30, {}, "good", "not worse by more than the margin of 1"),
        ([4.0, 5.0, 6.0] * 20, [9.0, 10.0, 11.0] * 20, {}, "bad", "worse by more than the margin of 1"),
        ([40.0, 50.0, 60.0] * 20, [9.0, 10.0, 11.0] * 20, {}, "good", "a difference of 40 [37.9, 42.1]"),
        ([4.0, 5.0, 6.0] * 20, None, {"reference": 5.0}, "good", "the reference's 5"),
        ([4.0, 5.0, 6.0] * 20, [9.0, 10.0] * 20, {"reference": 5.0}, "good", "the reference's 5"),
        ([4.0, 5.0, 6.0] * 20, None, {"reference": 7.0}, "bad", "margin of 0.7"),
        ([-4.0, -5.0, -6.0] * 20, None, {"reference": -5.0}, "good", "margin of 0.5"),
        ([-4.0, 5.0, -6.0], None, {"reference": 0.0}, "unsure", "set check.returns.relative = false"),
        ([-0.4, 0.5, -0.1] * 40, None, {"reference": 0.0, "relative": False, "margin": 0.5}, "good", ""),
        ([0.0] * 20, [0.0] * 20, {}, "unsure", "set check.returns.relative = false"),
        ([0.0] * 20, [0.0] * 20, {"relative": False}, "good", "a difference of 0 [0, 0]"),
        ([1.0, 9.0, 5.0], [4.0, 6.0, 5.0], {}, "unsure", "mean): needs about "),
        ([1.0, 9.0, 5.0], None, {"reference": 5.0}, "unsure", " more episodes to tell"),
    ],
)
def test_words_of_returns(
    found: list[float], own: list[float] | None, limits: dict[str, Any], state: str, words: str
) -> None:
    answer = one(np.array(found), None if own is None else np.array(own), **limits)
    assert answer.state == state, answer.message
    assert words in answer.message


def lossy(rng: np.random.Generator, level: Returns, each: int = 20) -> Losses:
    """Losses of groups with these mean losses, gamma within each."""
    groups = np.repeat(np.arange(len(level)), each)
    return Losses({"total": level[groups] * rng.gamma(4, 1 / 4, len(groups))}, groups)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("count", [12, 24])
def test_the_loss_ratio_s_interval_holds_the_truth(count: int, paired: bool) -> None:
    """Groups vary, as states do: the same groups in both, or others."""
    rng, truth, repeats, held = np.random.default_rng(6), 1.5, 80, 0
    for repeat in range(repeats):
        hard = rng.lognormal(0, 0.5, count)
        base = lossy(rng, hard * rng.lognormal(0, 0.2, count))
        other = lossy(
            rng, truth * (hard if paired else rng.lognormal(0, 0.5, count)) * rng.lognormal(0, 0.2, count)
        )
        if not paired:
            other = Losses(other.terms, other.groups + count)
        found = ratios(other, base, 0.05, repeat)["total"]
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert stats.binomtest(held, repeats, 0.92, "less").pvalue > 1e-3
    assert stats.binomtest(held, repeats, 0.98, "greater").pvalue > 1e-3


def test_what_makes_a_group_hard_in_both_leaves_the_ratio(rng: np.random.Generator) -> None:
    hard = rng.lognormal(0, 1, 30)
    base, other = (Losses({"total": hard * k}, np.arange(30)) for k in (1.0, 1.2))
    found = ratios(other, base, 0.0, 0)["total"]
    assert (found.value, found.low, found.high) == pytest.approx((1.2, 1.2, 1.2))
    apart = ratios(Losses(other.terms, other.groups + 1), base, 0.0, 0)["total"]
    assert apart.low is not None
    assert apart.low < 1.0


def of_terms(**terms: float) -> Losses:
    """Twenty states of these losses, without spread."""
    each = {name: np.full(20, value) for name, value in terms.items()}
    return Losses({"total": np.sum(list(each.values()), 0), **each}, np.arange(20))


def test_many_times_next_to_nothing_is_still_nothing() -> None:
    base, other = of_terms(big=1.0, tiny=1e-6), of_terms(big=1.0, tiny=1e-3)
    assert ratios(other, base, 0.05, 0)["tiny"].value == pytest.approx(1e-3 / (0.05 * 1.000001))
    assert ratios(other, base, 0.0, 0)["tiny"].value == pytest.approx(1e3)


@pytest.mark.parametrize(
    ("base", "other", "floor"),
    [((1.0, 0.0), (1.0, 0.1), 0.0), ((1.0, -0.1), (1.0, 0.1), 0.05), ((1.0, 0.1), (1.0, -0.1), 0.05)],
)
def test_a_ratio_to_nothing_or_below_is_undefined(
    base: tuple[float, float], other: tuple[float, float], floor: float
) -> None:
    before, after = (of_terms(fine=f, odd=o) for f, o in (base, other))
    found = ratios(after, before, floor, 0)
    assert found["odd"].value is None
    assert found["odd"].reason
    assert found["fine"].value == pytest.approx(1.0)


def test_a_fall_is_as_uncertain_as_both_scores() -> None:
    found = probes.difference(Measure(0.9, 0.86, 0.93), Measure(0.6, 0.5, 0.63))
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.25, 0.3 + np.hypot(0.03, 0.1)))
    exact = probes.difference(Measure(0.9, 0.86, 0.93), Measure(0.6, 0.6, 0.6))
    assert (exact.low, exact.high) == pytest.approx((0.26, 0.33))


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (Measure(0.9, 0.8, 1.0), Measure.undefined("the embedding is constant"), "the embedding is constant"),
        (Measure(0.9, 0.8, 1.0), Measure(0.5, reason="too few"), "too few"),
        (Measure(0.9), Measure(0.5, 0.4, 0.6), "a score has no interval"),
    ],
)
def test_a_fall_without_an_interval_is_not_sure(before: Measure, after: Measure, reason: str) -> None:
    found = probes.difference(before, after)
    assert found.reason == reason
    assert judged("probe", "it", found, "max_drop", most=0.2).state == "unsure"


def test_a_fall_s_interval_holds_the_truth() -> None:
    rng, repeats = np.random.default_rng(7), 4000
    scores = rng.normal([0.9, 0.6], [0.02, 0.05], (repeats, 2))
    half = 1.96 * np.array([0.02, 0.05])
    held = 0
    for before, after in scores:
        found = probes.difference(
            Measure(before, before - half[0], before + half[0]),
            Measure(after, after - half[1], after + half[1]),
        )
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.3 <= found.high
    assert held / repeats == pytest.approx(0.95, abs=0.01)
