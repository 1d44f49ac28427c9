"""Measures of one embedding against closed forms, independent oracles and what chance must give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import probes
from probes import ProbeError
from probes._variables import as_variable, shuffled_rows
from tests.rows import Floats, blobs, uneven


@pytest.fixture
def x(rng: np.random.Generator) -> Floats:
    return uneven(rng)


# Variables


def test_which_values_are_categories() -> None:
    assert as_variable([0, 1, 1]).kind == "numeric"
    assert as_variable(np.array([0.5, 1.5])).kind == "numeric"
    assert as_variable([True, False]).categories == ("False", "True")
    assert as_variable(np.array([b"b", b"a"])).categories == ("a", "b")
    assert as_variable(["b", "a", "b"]).codes.tolist() == [1, 0, 1]
    assert as_variable([10, 9, 10], categorical=True).categories == ("9", "10")
    assert as_variable(np.zeros((5, 3))).columns.shape == (5, 3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, np.nan], "1 of 2 rows with NaN"),
        ([1 + 1j, 2], "complex128 values"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.array([["a"], ["b"]]), "values"),
        (np.array([{}, {}], dtype=object), "object values"),
        (3.0, r"shape \(\)"),
    ],
)
def test_values_that_are_no_variable(values: object, words: str) -> None:
    with pytest.raises(ProbeError, match=words):
        as_variable(values)  # type: ignore[arg-type]


def test_shuffles_keep_groups_whole(rng: np.random.Generator) -> None:
    """Groups of one value trade values; others move as stretches, in their order, none split."""
    index = np.repeat(np.arange(6), 4)
    state = as_variable(np.repeat(rng.normal(size=6), 4))
    for taken in shuffled_rows(state, index, 20, rng):
        moved = state.columns[taken, 0].reshape(6, 4)
        assert (moved == moved[:, :1]).all()
        assert sorted(moved[:, 0]) == sorted(state.columns[::4, 0])
    clock = as_variable(np.arange(24.0))
    for taken in shuffled_rows(clock, index, 20, rng):
        moved = clock.columns[taken, 0].reshape(6, 4)
        assert (np.diff(moved, axis=1) == 1).all()
        assert sorted(moved[:, 0]) == list(range(0, 24, 4))


def test_a_column_that_hardly_ever_moves_does_not_throw_the_probe(rng: np.random.Generator) -> None:
    """Nonzero in three rows, once by little: what is fitted to that one says nothing of the others."""
    x, groups = rng.normal(size=(200, 3)), np.arange(200) // 2
    y = x[:, 0] + 0.3 * rng.normal(size=200)
    rare = np.zeros((200, 1))
    rare[[10, 90, 91], 0] = [1e-6, 3.0, 2.0]
    clean, found = (
        probes.linear_probe(e, y, groups=groups, shuffles=0).score.value
        for e in (x, np.concatenate([x, rare], 1))
    )
    assert clean is not None
    assert found is not None
    assert found > 0.95 * clean


# Canonical correlation against chance


def test_a_linear_function_correlates_perfectly(x: Floats) -> None:
    found = probes.variable_cca(x, x @ [1.0, -0.3, 20.0, 2.0] + 5)
    assert found.value == pytest.approx(1)
    assert found.p == pytest.approx(1 / 1001)
    assert found.random_mean is not None
    assert found.factor == pytest.approx(found.value / found.random_mean)


def test_it_is_the_multiple_correlation(x: Floats, rng: np.random.Generator) -> None:
    """For one column, the correlation of least squares' fit with what it fits."""
    y = x[:, 0] + rng.normal(size=120)
    design = np.column_stack([x, np.ones(120)])
    fitted = design @ np.linalg.lstsq(design, y)[0]
    assert probes.variable_cca(x, y).value == pytest.approx(np.corrcoef(fitted, y)[0, 1])


def test_it_sees_no_linear_map_of_the_embedding(x: Floats, rng: np.random.Generator) -> None:
    y = x[:, 0] + rng.normal(size=120)
    turned = x @ rng.normal(size=(4, 4))
    assert probes.variable_cca(turned, y).value == pytest.approx(probes.variable_cca(x, y).value)
    padded = np.concatenate([x, x, np.ones((120, 3))], 1)
    found, plain = (probes.variable_cca(e, y) for e in (padded, x))
    whole, once = ((f.value, f.p, f.random_mean, f.factor) for f in (found, plain))
    assert whole == pytest.approx(once, abs=1e-12)  # twice the columns are summed in another order


@pytest.mark.parametrize("categories", [0, 3, 6])
@pytest.mark.long
def test_chance_is_that_of_random_embeddings(categories: int, rng: np.random.Generator) -> None:
    """The drawn eigenvalues against embeddings that were really made, and their correlations measured."""
    n, d = 60, 4
    values = rng.normal(size=n) if not categories else (np.arange(n) % categories).astype(str)
    made = [probes.variable_cca(rng.normal(size=(n, d)), values, draws=1).value for _ in range(400)]
    found = probes.variable_cca(rng.normal(size=(n, d)), values)
    assert found.random_mean == pytest.approx(np.mean(made), abs=0.02)
    assert found.random_high == pytest.approx(np.quantile(made, 0.95), abs=0.04)


def test_chance_for_one_column_is_a_beta(x: Floats) -> None:
    from scipy import stats

    found = probes.variable_cca(x, np.arange(120.0), draws=4000)
    square = stats.beta(4 / 2, (119 - 4) / 2)
    assert found.random_mean == pytest.approx(square.expect(np.sqrt), rel=0.02)
    assert found.random_high == pytest.approx(np.sqrt(square.ppf(0.95)), rel=0.03)


def test_p_values_of_unrelated_variables_are_uniform(rng: np.random.Generator) -> None:
    found = [
        probes.variable_cca(rng.normal(size=(40, 5)), rng.normal(size=40), draws=199).p for _ in range(200)
    ]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.05)
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_slow_walks_are_related_by_rows_and_not_by_episodes(rng: np.random.Generator) -> None:
    """Independent walks: single rows would call them related nearly always, whole episodes do not."""
    episode = np.repeat(np.arange(20), 30)
    by_rows, by_episodes = [], []
    for _ in range(12):
        x, y = (np.cumsum(rng.normal(size=(20, 30, k)), 1).reshape(600, k) for k in (4, 1))
        by_rows.append(probes.variable_cca(x, y, draws=199).p)
        by_episodes.append(probes.variable_cca(x, y, groups=episode, draws=199).p)
    assert np.mean(np.array(by_rows) <= 0.05) > 0.5
    assert np.mean(np.array(by_episodes) <= 0.05) < 0.35


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        (np.eye(6)[:, :5], np.arange(6.0), "6 distinct rows, more than 5"),
        (np.repeat(np.random.default_rng(0).normal(size=(4, 3)), 50, 0), np.arange(200.0), "4 distinct rows"),
        (np.ones((9, 2)), np.arange(9.0), "the embedding is constant"),
        (np.random.default_rng(0).normal(size=(9, 2)), np.ones(9), "the variable is constant"),
        (
            np.random.default_rng(0).normal(size=(99, 2)),
            np.arange(99).astype(str),
            "99 categories, more than 64",
        ),
    ],
)
def test_where_anything_would_correlate_there_is_a_reason(x: Floats, y: Floats, reason: str) -> None:
    found = probes.variable_cca(x, y)
    assert (found.value, found.factor, found.p) == (None, None, None)
    assert found.reason is not None
    assert reason in found.reason


# Clusters


def test_categories_carved_from_clusters(rng: np.random.Generator) -> None:
    x, names = blobs(rng)
    found = probes.cluster_events(x, names)
    assert (found.ami, found.clusters, found.p) == (pytest.approx(1), 3, 0.005)
    assert found.counts is not None
    assert sorted(found.counts.max(1)) == [30, 30, 30]
    assert found.counts.sum() == 90


def test_clusters_that_are_not_the_events(rng: np.random.Generator) -> None:
    x, names = blobs(rng)
    found = probes.cluster_events(x, rng.permutation(names))
    assert found.ami == pytest.approx(0, abs=0.1)
    assert found.p is not None
    assert found.p > 0.05
    finer = probes.cluster_events(x, names, clusters=6)
    assert finer.counts is not None
    assert finer.counts.shape == (6, 3)
    assert 0.5 < (finer.ami or 0) < 1


@pytest.mark.parametrize(
    ("x", "events", "reason"),
    [
        (np.repeat(np.eye(2), 10, 0), np.array(["a", "b", "c", "d"] * 5), "2 distinct rows, at least 4"),
        (np.ones((20, 2)), np.array(["a", "b"] * 10), "the embedding is constant"),
        (np.random.default_rng(0).normal(size=(20, 2)), np.array(["a"] * 20), "the variable is constant"),
    ],
)
def test_what_cannot_be_clustered_has_a_reason(x: Floats, events: NDArray[np.str_], reason: str) -> None:
    found = probes.cluster_events(x, events)
    assert found.ami is None
    assert found.reason is not None
    assert reason in found.reason


# Projections


def test_principal_components_keep_a_plane(rng: np.random.Generator) -> None:
    """Points of a plane in 30 dimensions keep their distances, and the shares are those of the variance."""
    from scipy.spatial.distance import pdist

    flat = rng.normal(size=(50, 2)) * [3.0, 1.0]
    plane = np.linalg.qr(rng.normal(size=(30, 2)))[0]
    found = probes.project(flat @ plane.T + 4)
    assert found.points is not None
    assert found.explained is not None
    assert pdist(found.points) == pytest.approx(pdist(flat))
    spread = np.linalg.eigvalsh(np.cov(flat.T))[::-1]
    assert found.explained[:2] == pytest.approx(spread / spread.sum())
    assert len(found.explained) == 30


def test_wide_and_tall_projections_are_the_same(rng: np.random.Generator) -> None:
    """More columns than rows goes another way through the algebra: zeros added must change nothing."""
    x = rng.normal(size=(12, 5))
    tall = probes.project(x)
    wide = probes.project(np.concatenate([x, np.zeros((12, 20))], 1))
    assert tall.points is not None
    assert wide.points == pytest.approx(tall.points)


def test_one_dimension_and_constants() -> None:
    line = probes.project(np.arange(6.0)[:, None])
    assert line.points is not None
    assert line.points[:, 1].tolist() == [0.0] * 6
    for method in ("pca", "umap"):
        assert probes.project(np.ones((9, 3)), method).reason == "the embedding is constant"
    assert probes.project(np.eye(4), "umap").reason == "4 rows, UMAP needs 5"


@pytest.mark.long
def test_umap_leaves_the_number_of_threads_as_it_was(rng: np.random.Generator) -> None:
    """Its compiler raises it for the whole process, and training is bit-identical with one thread only."""
    before = torch.get_num_threads()
    assert probes.project(rng.normal(size=(40, 3)), "umap").points is not None
    assert torch.get_num_threads() == before == 1


# All of them


def test_large_inputs_are_sampled_and_say_so(rng: np.random.Generator) -> None:
    n = probes.ROWS + 2000
    x = rng.normal(size=(n, 3))
    numbers = x[:, 0] + rng.normal(size=n)
    assert probes.variable_cca(x, numbers, draws=9).rows == probes.ROWS
    found = probes.linear_probe(x, numbers, groups=np.arange(n))
    assert found.rows == probes.ROWS
    assert found.score.value == pytest.approx(0.5, abs=0.05)
    assert len(probes.project(x).rows) == probes.ROWS
    rows = probes.sampled_rows(n, 0)
    assert (np.diff(rows) > 0).all()
    assert rows[-1] < n


def test_the_same_seed_gives_the_same_numbers(rng: np.random.Generator) -> None:
    x, names = blobs(rng, 60)
    x = x + 3 * rng.normal(size=x.shape)
    for measure, target in ((probes.variable_cca, names), (probes.linear_probe, x[:, 0] ** 2)):
        assert measure(x, target, seed=3) == measure(x, target, seed=3)
        assert measure(x, target, seed=3) != measure(x, target, seed=4)
    first, second = (probes.cluster_events(x, names, seed=3) for _ in range(2))
    assert (first.ami, first.p) == (second.ami, second.p)


def test_arguments_that_make_no_sense(x: Floats) -> None:
    y = np.arange(120.0)
    for broken, words in (
        (lambda: probes.variable_cca(x, y[:7]), "x has 120 rows and the variable 7"),
        (lambda: probes.variable_cca(x, y, groups=[1, 2]), r"groups has shape \(2,\)"),
        (lambda: probes.variable_cca(x, y, draws=0), "draws is 0"),
        (lambda: probes.linear_probe(x, y, folds=1), "folds is 1"),
        (lambda: probes.cluster_events(x, y), "expected categories"),
        (lambda: probes.cluster_events(x, y.astype(str), clusters=1), "clusters is 1"),
        (lambda: probes.project(x, "tsne"), "method is 'tsne'"),
    ):
        with pytest.raises(ProbeError, match=words):
            broken()
