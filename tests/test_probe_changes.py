"""What a probe says of two embeddings side by side: the words follow from the interval of the difference."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import probes
from diag.probing.verdict import change_of, verdict_of
from probes import LinearProbe, Measure


def column(reading: str, score: Measure) -> Any:
    """An embedding with one variable ``v``, as far as a change is judged by it."""
    return SimpleNamespace(findings={"v": SimpleNamespace(reading=reading, probe=LinearProbe(score, "r2"))})


def score(value: float, low: float, high: float) -> Measure:
    return Measure(value, low, high)


@pytest.mark.parametrize(
    ("a", "b", "change"),
    [
        # Wide intervals that merely meet say nothing.
        (("read", score(0.9, 0.4, 1.0)), ("read", score(0.7, 0.2, 0.95)), "unclear"),
        (("read", score(1.0, 0.995, 1.0)), ("read", score(0.99, 0.985, 0.995)), "kept"),
        # Sure to be lower, and by less than counts.
        (("read", score(0.99, 0.989, 0.991)), ("read", score(0.98, 0.979, 0.981)), "kept"),
        (("read", score(0.98, 0.96, 0.99)), ("in part", score(0.4, 0.26, 0.54)), "weaker"),
        (("in part", score(0.4, 0.26, 0.54)), ("read", score(0.98, 0.96, 0.99)), "stronger"),
        # The intervals meet, and their difference excludes 0 all the same.
        (("read", score(0.8, 0.7, 0.9)), ("read", score(0.6, 0.5, 0.72)), "weaker"),
        (("read", score(0.6, 0.5, 0.7)), ("not", score(0.0, -0.1, 0.05)), "lost"),
        (("not", score(0.0, -0.1, 0.05)), ("read", score(0.6, 0.5, 0.7)), "gained"),
        # One lies above chance and the other does not, and yet they may be equal.
        (("in part", score(0.3, 0.02, 0.5)), ("not", score(0.28, -0.05, 0.5)), "unclear"),
        (("not", score(0.1, -0.2, 0.2)), ("not", score(0.0, -0.2, 0.2)), "neither"),
    ],
)
def test_a_change_follows_from_the_interval_of_the_difference(
    a: tuple[str, Measure], b: tuple[str, Measure], change: str
) -> None:
    both = [column(*a), column(*b)]
    named, difference = change_of(both, "v")
    assert named == change
    assert difference is not None
    assert difference.value == pytest.approx((b[1].value or 0.0) - (a[1].value or 0.0))


def test_what_cannot_be_told_apart_is_not_called_kept() -> None:
    both = [column("read", score(0.9, 0.4, 1.0)), column("read", score(0.7, 0.2, 0.95))]
    verdict = verdict_of(both, {"v": change_of(both, "v")[0]})
    assert verdict.status == "inconclusive"
    assert verdict.summary == "The scores of v (R² 0.90 in A, 0.70 in B) cannot be told apart."


def test_what_is_hard_for_both_probes_weighs_on_neither() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(size=300)
    x = (known + 0.6 * rng.normal(size=300))[:, None]
    one, same, near = (
        probes.linear_probe(y, known, shuffles=0) for y in (x, -3 * x, x + 0.2 * rng.normal(size=(300, 1)))
    )
    equal, change = probes.score_change(one, same), probes.score_change(one, near)
    assert (equal.low, equal.high) == pytest.approx((0.0, 0.0), abs=1e-9)  # rounding of a fit
    apart = probes.difference(near.score, one.score)
    assert change.value == apart.value
    assert change.low is not None and change.high is not None  # noqa: PT018
    assert apart.low is not None and apart.high is not None  # noqa: PT018
    assert change.high - change.low < 0.6 * (apart.high - apart.low)
    others = probes.linear_probe(x, known, groups=np.arange(300) // 2, shuffles=0)
    assert probes.score_change(one, others) == probes.difference(others.score, one.score)


def test_few_rows_that_are_all_right_do_not_show_that_nothing_changed() -> None:
    names = np.repeat(["left", "right"], 15)
    x = np.where(names == "left", -1.0, 1.0)[:, None] + 0.01 * np.arange(30)[:, None]
    one, other = (probes.linear_probe(y, names, shuffles=0) for y in (x, 2 * x))
    change = probes.score_change(one, other)
    assert change.value == 0.0
    assert change.low is not None
    assert change.low < -0.05


def test_the_interval_of_a_change_holds_the_truth() -> None:
    """The second embedding has a column less, whose share of the variable is known."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(50):
        x = rng.normal(size=(200, 2))
        known = x @ [0.8, 0.5] + np.sqrt(1 - 0.64 - 0.25) * rng.normal(size=200)
        both, one = (probes.linear_probe(y, known, shuffles=0) for y in (x, x[:, :1]))
        change = probes.score_change(both, one)
        assert change.low is not None
        assert change.high is not None
        held += change.low <= -0.25 <= change.high
    assert held >= 42  # of 50 intervals of 95%, fewer hold it once in 1,300 times
