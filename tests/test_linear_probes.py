"""Linear probes: what is read of an embedding, against closed forms, another library and chance."""

from __future__ import annotations

import numpy as np
import pytest

import probes
from probes._linear import PENALTIES, _ridge
from probes._variables import distinct_rows
from tests.rows import Floats, blobs, uneven


@pytest.fixture
def x(rng: np.random.Generator) -> Floats:
    return uneven(rng)


def test_a_linear_function_is_read(x: Floats) -> None:
    found = probes.linear_probe(x, x @ [1.0, -0.3, 20.0, 2.0] + 5)
    assert found.score.value == pytest.approx(1, abs=1e-6)
    assert found.selectivity == pytest.approx(1, abs=0.15)
    assert (found.p, found.chance, found.unit) == (0.01, 0.0, "r2")


def test_noise_is_not_read(rng: np.random.Generator) -> None:
    found = [probes.linear_probe(rng.normal(size=(60, 20)), rng.normal(size=60)) for _ in range(20)]
    assert np.mean([f.score.value for f in found if f.score.value is not None]) < 0.02
    assert np.mean([f.p for f in found if f.p is not None]) == pytest.approx(0.5, abs=0.2)


def test_held_out_r2_of_a_known_signal(rng: np.random.Generator) -> None:
    """y = signal + noise of the same size: half of the variance is there to be read, in 5 dimensions of 5."""
    x = rng.normal(size=(4000, 5))
    y = x @ rng.normal(size=5)
    y = y / y.std() + rng.normal(size=4000)
    score = probes.linear_probe(x, y).score
    assert score.value == pytest.approx(0.5, abs=0.03)
    assert score.low is not None
    assert score.high is not None
    assert score.low < 0.5 < score.high
    assert score.high - score.low < 0.1


def test_columns_of_a_variable_count_alike(x: Floats, rng: np.random.Generator) -> None:
    """One column that can be read and one that cannot make a half, whatever their units."""
    both = np.column_stack([x[:, 0], 1e6 * rng.normal(size=120)])
    assert probes.linear_probe(x, both).score.value == pytest.approx(0.5, abs=0.1)


def test_units_of_the_embedding_do_not_matter(x: Floats, rng: np.random.Generator) -> None:
    y = x[:, 0] + rng.normal(size=120)
    scaled = probes.linear_probe(x * [1e6, 1e-6, 3.0, 1.0] - 7, y)
    assert scaled.score.value == pytest.approx(probes.linear_probe(x, y).score.value, abs=1e-6)


def test_a_state_that_is_seen_often_never_stands_on_both_sides(rng: np.random.Generator) -> None:
    """31 states, each seen 50 times, with values that mean nothing: split by rows, all are known by heart."""
    state = np.repeat(np.arange(31), 50)
    kept_whole = []
    for _ in range(8):
        x, y = rng.normal(size=(31, 40))[state], rng.normal(size=31)[state]
        seen_again = x + 1e-3 * rng.normal(size=x.shape)
        leaking = probes.linear_probe(seen_again, y, groups=np.arange(len(x)))
        assert leaking.score.value == pytest.approx(1, abs=0.01)
        kept_whole += [probes.linear_probe(x, y), probes.linear_probe(seen_again, y, groups=state)]
    scores = [f.score.value for f in kept_whole if f.score.value is not None]
    assert np.mean(scores) < 0
    assert max(scores) < 0.5
    assert np.mean([f.p for f in kept_whole if f.p is not None]) > 0.2


@pytest.mark.long
def test_a_category_never_leaks_either(rng: np.random.Generator) -> None:
    state = np.repeat(np.arange(31), 10)
    kind = np.array(["a", "b"])[rng.integers(2, size=31)][state]
    x = rng.normal(size=(31, 40))[state]
    leaking = probes.linear_probe(x, kind, groups=np.arange(len(x)))
    assert leaking.score.value == 1.0
    told = probes.linear_probe(x, kind)
    assert told.score.value is not None
    assert told.score.value < 0.75


def test_slow_walks_are_not_read_when_episodes_are_named(rng: np.random.Generator) -> None:
    """Independent walks are alike from step to step: only whole episodes on one side tell that apart."""
    episode = np.repeat(np.arange(20), 30)
    by_rows, by_episodes = [], []
    for _ in range(10):
        x, y = (np.cumsum(rng.normal(size=(20, 30, k)), 1).reshape(600, k) for k in (4, 1))
        by_rows.append(probes.linear_probe(x, y).p)
        by_episodes.append(probes.linear_probe(x, y, groups=episode).p)
    assert np.mean(np.array(by_rows) <= 0.05) > 0.8
    assert np.mean(np.array(by_episodes) <= 0.05) < 0.5


def test_ridge_agrees_with_another_library(rng: np.random.Generator) -> None:
    """The closed form of leaving one out against scikit-learn's, penalties chosen for each target."""
    from sklearn.linear_model import RidgeCV

    for n, d in ((40, 6), (30, 80)):
        x, new = rng.normal(size=(n, d)), rng.normal(size=(7, d))
        y = np.column_stack([x[:, 0], x[:, 1] + rng.normal(size=n), rng.normal(size=n)])
        centre, scale = x.mean(0), x.std(0)
        model = RidgeCV(alphas=n * PENALTIES, alpha_per_target=True).fit((x - centre) / scale, y)
        assert _ridge(x, y, new, distinct_rows(x)) == pytest.approx(
            model.predict((new - centre) / scale), abs=1e-6
        )


def test_repeated_rows_weigh_as_many(rng: np.random.Generator) -> None:
    from sklearn.linear_model import RidgeCV

    x, weight = rng.normal(size=(20, 3)), rng.integers(1, 6, size=20)
    y = x[:, :1] + rng.normal(size=(20, 1))
    often, targets = np.repeat(x, weight, 0), np.repeat(y, weight, 0)
    centre, scale = often.mean(0), often.std(0)
    model = RidgeCV(alphas=len(often) * PENALTIES).fit((x - centre) / scale, y[:, 0], sample_weight=weight)
    found = _ridge(often, targets, x, distinct_rows(often))[:, 0]
    assert found == pytest.approx(model.predict((x - centre) / scale), abs=1e-6)


def test_categories_are_read(rng: np.random.Generator) -> None:
    x, names = blobs(rng)
    found = probes.linear_probe(x, names)
    assert (found.score.value, found.score.high, found.unit) == (1.0, 1.0, "balanced_accuracy")
    assert found.score.low is not None
    assert 0.9 < found.score.low < 1
    assert found.chance == pytest.approx(1 / 3)
    assert found.selectivity == pytest.approx(2 / 3, abs=0.1)
    assert found.p == 0.01


def test_a_rare_category_counts_as_much_as_a_common_one(rng: np.random.Generator) -> None:
    """Always naming the common category is right in 90% of the rows, and a balanced half."""
    names = np.where(np.arange(200) < 20, "rare", "common")
    found = probes.linear_probe(rng.normal(size=(200, 2)), names)
    assert found.score.value == pytest.approx(0.5, abs=0.15)


def test_a_category_of_one_state_is_left_out(rng: np.random.Generator) -> None:
    x, names = blobs(rng, 30)
    names = names.copy()
    names[0] = "door"
    found = probes.linear_probe(x, names)
    assert (found.left_out, found.rows, found.chance) == (("door",), 29, pytest.approx(1 / 3))
    assert found.score.value == 1.0


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        (np.arange(18.0).reshape(9, 2), np.arange(9.0), "9 groups, at least 10 needed for 5 folds"),
        (np.ones((30, 2)), np.arange(30.0), "the embedding is constant"),
        (np.random.default_rng(0).normal(size=(30, 2)), np.ones(30), "the variable is constant"),
        (
            np.random.default_rng(0).normal(size=(30, 2)),
            np.arange(30).astype(str),
            "fewer than two categories",
        ),
    ],
)
def test_what_cannot_be_probed_has_a_reason(x: Floats, y: Floats, reason: str) -> None:
    found = probes.linear_probe(x, y)
    assert (found.score.value, found.selectivity, found.p) == (None, None, None)
    assert found.score.reason is not None
    assert reason in found.score.reason
