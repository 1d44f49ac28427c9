"""Returns of the same episodes are held against each other episode by episode."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from diag.checks.returns import ReturnsCheck, difference, more_episodes, of_returns, paired
from diag.subject import Parameters, Subject
from tests.gated import played


class Player:
    """An actor that plays episodes of a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def returns(self, parameters: Parameters, task: str, episodes: int, seed: int) -> np.ndarray:
        return np.zeros(episodes)

    def episodes_played(self) -> str:
        return self.name


def test_who_plays_the_same_is_paired() -> None:
    one, same, other = (Subject(n, "0", actor=Player(p)) for n, p in (("a", "x"), ("b", "x"), ("c", "y")))
    assert paired(one, same)
    assert not paired(one, other)
    assert not paired(one, replace(same, returns=np.zeros(4)))
    assert not paired(one, Subject("d", "0"))


def test_the_interval_is_that_of_the_differences(rng: np.random.Generator) -> None:
    base = rng.normal(2, 3, 60)
    one = base - 0.1 + rng.normal(0, 0.2, 60)
    found = difference(one, base, float(base.mean()), in_pairs=True)
    oracle = stats.ttest_rel(one, base).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high))
    whole = difference(one, base, float(base.mean()))
    assert whole.low is not None
    assert found.low is not None
    assert found.low > whole.low
    # The reference's weight is in each difference.
    weighed = difference(one, base, float(base.mean()), 1.1, in_pairs=True)
    spread = (one - 1.1 * base).std(ddof=1) / 60**0.5 * stats.t.ppf(0.975, 59)
    assert weighed.high == pytest.approx(float(one.mean() - base.mean()) + spread)


def test_pairs_need_fewer_episodes(rng: np.random.Generator) -> None:
    base = rng.normal(0, 3, 40)
    one = base + rng.normal(0, 0.3, 40)
    few, many = (more_episodes(one, base, 0.05, in_pairs=pairs) for pairs in (True, False))
    assert few is not None
    assert many is not None
    assert few < many / 10


def test_pairs_decide_what_means_alone_do_not(rng: np.random.Generator) -> None:
    base = rng.normal(10, 3, 50)
    transfer = played(base - 0.2)
    limits = ReturnsCheck(margin=0.1)
    alone, pairs = (next(of_returns(transfer, base, limits, 0, in_pairs)) for in_pairs in (False, True))
    assert (alone.state, pairs.state) == ("unsure", "good")
    assert "episode by episode" in pairs.message
    assert "episode by episode" not in alone.message


@pytest.mark.parametrize("agree", [0.0, 0.5, 0.9])
def test_the_interval_of_paired_rates_covers(agree: float, rng: np.random.Generator) -> None:
    """Both succeed at .7, and share a draw with probability ``agree``: the difference is 0."""
    inside, times, n = 0, 400, 50
    for _ in range(times):
        own = rng.random((2, n)) < 0.7
        one = np.where(rng.random(n) < agree, own[0], own[1])
        found = difference(one.astype(float), own[0].astype(float), float(own[0].mean()), in_pairs=True)
        inside += found.low is not None and found.high is not None and found.low <= 0 <= found.high
    assert inside / times > 0.925
