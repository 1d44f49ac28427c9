"""The canonical correlation on held-out rows: exact for what is linear, near 0 for what is not there."""

from __future__ import annotations

import numpy as np
import pytest

import probes


def test_a_linear_variable_is_found_exactly() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6))
    y = np.stack([x @ rng.normal(size=6) + 3, rng.normal(size=200)], 1)
    found = probes.held_out_cca(x, y)
    assert found.value.value == pytest.approx(1)
    assert found.rows == 200


def test_one_column_is_the_correlation_of_a_regression_on_the_other_folds() -> None:
    """For one number the direction is that of least squares, here by numpy."""
    rng = np.random.default_rng(1)
    x, groups = rng.normal(size=(300, 8)), np.arange(300) // 10
    y = x[:, 0] + 2 * rng.normal(size=300)
    found = probes.held_out_cca(x, y, groups=groups, seed=4)
    fold = np.empty(30, np.int64)
    fold[np.random.default_rng(4).permutation(30)] = np.arange(30) % 5
    fitted, scale = np.empty(300), np.empty(300)
    for number in range(5):
        test = fold[groups] == number
        centre = x[~test].mean(0)
        weights = np.linalg.lstsq(x[~test] - centre, y[~test] - y[~test].mean(), rcond=None)[0]
        spread = np.std((x[~test] - centre) @ weights)
        fitted[test] = (np.clip(x[test], *bounds(x[~test])) - centre) @ weights / spread
        scale[test] = (y[test] - y[~test].mean()) / y[~test].std()
    assert found.value.value == pytest.approx(np.corrcoef(fitted, scale)[0, 1])


def bounds(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = x.min(0), x.max(0)
    return low - (high - low), high + (high - low)


def test_in_sample_flatters_itself_and_held_out_does_not() -> None:
    """d random dimensions of n rows reach √(d/n) in sample, and nothing on rows held out."""
    rng = np.random.default_rng(2)
    n, d = 600, 150
    inside, outside = [], []
    for _ in range(8):
        x, y = rng.normal(size=(n, d)), rng.normal(size=n)
        inside.append(probes.variable_cca(x, y, draws=1).value)
        outside.append(probes.held_out_cca(x, y, draws=0).value.value)
    assert np.mean(inside) == pytest.approx(np.sqrt(d / n), abs=0.03)
    assert abs(np.mean(outside)) < 0.05


def test_episodes_are_held_out_whole() -> None:
    """Each episode has a constant of its own in x and in y: rows recite it, held-out episodes do not."""
    rng = np.random.default_rng(3)
    episode = np.repeat(np.arange(20), 15)
    x = np.repeat(rng.normal(size=(20, 12)), 15, 0) + 1e-3 * rng.normal(size=(300, 12))
    y = np.repeat(rng.normal(size=20), 15)
    whole, rows = (probes.held_out_cca(x, y, groups=g).value.value for g in (episode, None))
    assert rows is not None
    assert whole is not None
    assert rows > 0.75
    assert whole < 0.6


def test_rows_that_come_again_are_not_recited() -> None:
    """Four beginnings, in every episode, have a variable of their own; what follows them has none."""
    rng = np.random.default_rng(8)
    episode, begins = np.repeat(np.arange(60), 5), np.arange(300) % 5 == 0
    which = rng.integers(4, size=300)
    x, y = rng.normal(size=(300, 6)), rng.normal(size=300)
    x[begins], y[begins] = 10 * rng.normal(size=(4, 6))[which[begins]], 30.0 * which[begins]
    found = probes.held_out_cca(x, y, groups=episode)
    assert found.rows == 240
    assert found.value.value is not None
    assert abs(found.value.value) < 0.3
    assert max(map(abs, found.random)) < 0.3


def test_the_interval_covers_and_random_embeddings_stand_beside() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 20))
    found = probes.held_out_cca(x, x[:, 0] + rng.normal(size=400))
    assert found.value.low is not None
    assert found.value.high is not None
    assert found.value.low < np.sqrt(0.5) + 0.05
    assert found.value.low < found.value.value < found.value.high
    assert len(found.random) == 5
    assert found.random_most is not None
    assert found.random_most < 0.3


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        (np.ones((50, 2)), np.arange(50.0), "the embedding is constant"),
        (np.random.default_rng(0).normal(size=(50, 2)), np.ones(50), "the variable is constant"),
        (
            np.random.default_rng(0).normal(size=(8, 2)),
            np.arange(8.0),
            "8 groups, at least 10 needed for 5 folds",
        ),
        (
            np.random.default_rng(0).normal(size=(20, 30)),
            np.arange(20.0),
            "16 distinct rows to fit to, more than 16 dimensions needed",
        ),
    ],
)
def test_where_there_is_none(x: np.ndarray, y: np.ndarray, reason: str) -> None:
    found = probes.held_out_cca(x, y)
    assert (found.value.value, found.value.reason) == (None, reason)


def test_categories_and_bad_numbers() -> None:
    rng = np.random.default_rng(6)
    names = np.array(["a", "b", "c"])[rng.integers(3, size=300)]
    x = np.stack([names == n for n in ("a", "b", "c")], 1) + 0.1 * rng.normal(size=(300, 3))
    assert probes.held_out_cca(x, names).value.value > 0.9
    with pytest.raises(probes.ProbeError, match="folds is 1"):
        probes.held_out_cca(x, names, folds=1)
    with pytest.raises(probes.ProbeError, match="draws is -1"):
        probes.held_out_cca(x, names, draws=-1)
