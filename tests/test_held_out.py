"""R² of some rungs alone, as curves of many embeddings take it: the ladder's own numbers."""

import numpy as np
import pytest

import probes
from probes._alignment import held_out
from probes._maps import RUNGS
from probes._resampling import MAX_GROUPS, make_groups

EXACT = 1e-12
"""Absolute, for numbers of size one: what float64 leaves of sums in another order."""


def _turned(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, d)) * np.linspace(1, 3, d)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return x, 2 * (x @ turn) + 1 + 0.3 * rng.normal(size=(n, d))


@pytest.mark.parametrize("splits", [None, 4])
def test_it_gives_the_ladders_values(splits: int | None) -> None:
    x, y = _turned(300, 6)
    groups = np.arange(300) // 3
    whole = probes.ladder(x, y, groups=groups, splits=splits)
    alone = held_out(x, y, groups=groups, splits=splits)
    assert list(alone) == list(RUNGS)
    for rung, value in alone.items():
        assert value == pytest.approx(whole[rung].r2.value, abs=EXACT)
    assert alone["similarity"] > alone["orthogonal"] > alone["identity"]  # type: ignore[operator]


def test_a_rung_has_the_same_value_whatever_stands_beside_it() -> None:
    x, y = _turned(200, 5)
    every = held_out(x, y)
    for rung in RUNGS:
        assert held_out(x, y, (rung,)) == pytest.approx({rung: every[rung]}, abs=EXACT)


def test_a_rung_that_cannot_be_fitted_is_none() -> None:
    x, y = _turned(40, 30)  # a half has 20 states, and a map of 30 dimensions needs more
    found = held_out(x, y, ("identity", "signs", "orthogonal", "affine"))
    assert found["orthogonal"] is None
    assert found["affine"] is None
    assert found["identity"] is not None
    assert found["signs"] is not None


def test_more_groups_than_are_resampled_singly_are_dealt_alike_every_time() -> None:
    labels = np.arange(MAX_GROUPS + 76)
    first, second = make_groups(labels, 5, draws=8), make_groups(labels, 5, draws=8)
    assert first.count == MAX_GROUPS
    assert np.array_equal(first.index, second.index)
    assert np.array_equal(first.weights, second.weights)
    assert (first.weights.sum(1) == MAX_GROUPS).all()
    assert not np.array_equal(first.weights, make_groups(labels, 6, draws=8).weights)
    assert not np.array_equal(first.index, make_groups(labels, 6, draws=8).index)
