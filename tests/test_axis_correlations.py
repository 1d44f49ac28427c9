"""Correlation of each axis with its like: closed forms, its interval, and what comparisons keep of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

import diag
import probes
from diag.outputs.json import render
from tests.test_html import outline


def test_it_is_pearsons_correlation_of_each_axis(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
    found = probes.axis_correlations(x, y)
    wanted = [np.corrcoef(x[:, j], y[:, j])[0, 1] for j in range(4)]
    assert found.values == pytest.approx(wanted, abs=1e-12)
    assert found.shares == pytest.approx(y.var(0) / y.var(0).sum())
    order = (2, 0, 3, 1)
    turned = probes.axis_correlations(x, y, order=order)
    wanted = [np.corrcoef(x[:, k], y[:, j])[0, 1] for j, k in enumerate(order)]
    assert turned.values == pytest.approx(wanted, abs=1e-12)


def test_the_interval_holds_the_population_s_correlation_as_often_as_it_says() -> None:
    """Fisher's interval of normal pairs; of 400 × 3, at most 1.5 points from 95% but for one in 60."""
    rng = np.random.default_rng(7)
    truth = np.array([0.0, -0.8, 0.95])
    held = np.zeros(3)
    for _ in range(400):
        y = rng.normal(size=(80, 3))
        found = probes.axis_correlations(truth * y + np.sqrt(1 - truth**2) * rng.normal(size=y.shape), y)
        held += (found.low <= truth) & (truth <= found.high)
    assert held / 400 == pytest.approx(0.95, abs=0.035)


def test_rows_of_one_group_are_left_out_together(rng: np.random.Generator) -> None:
    """Rows repeated ten times know no more than once, if they are said to be of one state."""
    y = rng.normal(size=(60, 2))
    x = y + rng.normal(size=y.shape)
    once = probes.axis_correlations(x, y, groups=np.arange(60))
    tenfold = probes.axis_correlations(np.repeat(x, 10, 0), np.repeat(y, 10, 0), groups=np.arange(600) // 10)
    assert tenfold.values == pytest.approx(once.values)
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low)


def test_a_constant_axis_has_none_and_few_states_have_no_interval(rng: np.random.Generator) -> None:
    y = rng.normal(size=(3, 2))
    found = probes.axis_correlations(np.stack([y[:, 0], np.full(3, 7.1)], 1), y)
    assert found.values[0] == pytest.approx(1.0)
    assert np.isnan(found.values[1])
    assert np.isnan(found.low).all()
    with pytest.raises(probes.ProbeError, match="each of 2 once"):
        probes.axis_correlations(y, y, order=(0, 0))


def test_unrelated_places_are_as_far_as_two_states() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    every = np.linalg.norm(x[:, None] - y[None], axis=-1)[~np.eye(40, dtype=bool)]
    assert probes.l2(x, y).unrelated == pytest.approx(every.mean(), rel=0.01)
    twins = np.repeat(x[:1], 5, 0)
    assert probes.l2(twins + 1.0, twins).unrelated is None  # there is no other state


def test_a_comparison_keeps_them_and_names_the_partner(rng: np.random.Generator) -> None:
    y = rng.normal(size=(300, 5)) * [2.0, 1.5, 1.0, 1.2, 0.8]
    order = [0, 3, 2, 1, 4]
    x = y[:, order] * [1, 1, -1, 1, 1] + 0.05 * rng.normal(size=y.shape)
    found = diag.compare(y, x)
    assert found.relation == "permuted"
    assert found.by_axis is not None
    assert found.by_axis.partner == tuple(order)
    assert found.by_axis.own.values[2] < -0.99
    assert np.abs(found.by_axis.own.values[[1, 3]]).max() < 0.3
    assert found.by_axis.partnered is not None
    assert np.abs(found.by_axis.partnered.values).min() > 0.99
    tree = json.loads(render(found))
    assert tree["by_axis"]["partner"] == order
    assert len(tree["by_axis"]["correlation"]) == len(tree["by_axis"]["partner_low"]) == 5
    assert tree["best"]["transform"] == "permutation"
    assert tree["l2_unrelated"] > tree["measures"]["l2"]["value"]


def test_channels_are_correlated_over_all_places_after_the_grid_was_turned(rng: np.random.Generator) -> None:
    y = rng.normal(size=(200, 4, 4, 3)) + rng.normal(size=(200, 1, 1, 3))
    x = (y * [1, -1, 1])[:, :, ::-1] + 0.1 * rng.normal(size=y.shape)
    found = diag.compare(y, x)
    assert (found.relation, found.channels) == ("permuted", True)
    assert found.by_axis is not None
    assert found.by_axis.channels
    assert np.sign(found.by_axis.own.values).tolist() == [1, -1, 1]
    assert np.abs(found.by_axis.own.values).min() > 0.99


def test_what_is_read_once_agrees(rng: np.random.Generator) -> None:
    y = rng.normal(size=(2000, 4)) + 5.0
    x = y * [1, -2, 1, 1] + rng.normal(size=y.shape)
    stream = probes.Stream()
    for part in np.split(np.arange(2000), 4):
        stream.add(x[part], y[part])
    whole, once = probes.axis_correlations(x, y), stream.axis_correlations()
    assert once.values == pytest.approx(whole.values, abs=1e-9)
    # Other parts are left out, and so the ends move a little.
    assert once.low == pytest.approx(whole.low, abs=0.02)
    other = stream.axis_correlations((1, 0, 2, 3))
    assert other.values == pytest.approx(probes.axis_correlations(x, y, order=(1, 0, 2, 3)).values, abs=1e-9)


def test_a_stranger_reads_which_axes_are_negated() -> None:
    from diag.outputs.registry import html

    rng = np.random.default_rng(0)
    y = rng.normal(size=(300, 90))
    signs = np.ones(90)
    signs[[3, 77]] = -1
    page = html(diag.compare(y, y * signs + 0.2 * rng.normal(size=y.shape)))
    words = " ".join(" ".join(outline(page).words).split())
    assert "Axes 3 and 77 run against the base" in words
    assert "88 of 88 other axes go with the base's" in words
    assert "Shown are 64 of 90 axes" in words
    assert "axes 3 and 77 negated back: R² 0.9" in words
    assert "Upwards stands the first principal component of axes 3 and 77" in words
