"""Measures and the ladder: closed forms, the relations they must name, and the ones they must not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ortho_group

import probes
from probes import ProbeError

Array = NDArray[np.float64]


def noisy(x: Array, share: float = 0.1) -> Array:
    """x with noise of ``share`` of its own spread."""
    return x + share * x.std() * np.random.default_rng(9).normal(size=x.shape)


def turned(d: int) -> Array:
    return np.asarray(ortho_group.rvs(d, random_state=4))


RELATIONS: dict[str, tuple[Callable[[Array], Array], str, tuple[int, ...]]] = {
    "itself": (lambda y: y, "matched", ()),
    "one axis": (lambda y: y * [1, -1, 1], "flipped", (1,)),
    "all axes": (lambda y: -y, "flipped", (0, 1, 2)),
    "swapped": (lambda y: y[:, [1, 0, 2]], "permuted", ()),
    "swapped and negated": (lambda y: y[:, [1, 2, 0]] * [1, -1, 1], "permuted", (2,)),
    "turned": (lambda y: y @ turned(3), "rotated", ()),
    "half the size": (lambda y: 0.5 * y, "rescaled", ()),
    "thrice the size": (lambda y: 3 * y @ turned(3), "rescaled", ()),
    "sheared": (lambda y: y @ np.array([[1, 2, 0], [0, 1, 0], [0, 0, 3.0]]), "affine", ()),
    "displaced": (lambda y: y + [2, 0, 1], "affine", ()),
    "flipped and displaced": (lambda y: y * [1, 1, -1] + [1, 0, 1], "flipped", (2,)),
    "constant": (lambda y: np.ones_like(y), "collapsed", ()),
    "a line": (lambda y: np.outer(np.tanh(3 * y[:, 0]), [1, 1, 1.0]), "collapsed", ()),
    "something else": (lambda y: np.random.default_rng(8).normal(size=y.shape), "unrelated", ()),
}


@pytest.mark.parametrize("name", RELATIONS)
def test_relations_are_named(base_embedding: Array, name: str) -> None:
    make, relation, axes = RELATIONS[name]
    moved = make(base_embedding)
    found = probes.relation(noisy(moved) if moved.std() > 0 else moved, base_embedding)
    assert (found.relation, found.axes) == (relation, axes), found.reason


@pytest.mark.parametrize("seed", range(5))
def test_a_bent_flip_is_a_flip(seed: int) -> None:
    """R² about 0.55 after the flip against less than -0.5 before, with little more from larger maps."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(-1, 1, size=(31, 2))
    bend = 0.55 * np.stack([np.sin(3 * y[:, 1]), np.cos(4 * y[:, 0])], 1)
    x = y * [1, -1] + bend - bend.mean(0)
    found = probes.relation(x, y)
    assert found.ladder["signs"].r2.value is not None
    assert 0.3 < found.ladder["signs"].r2.value < 0.8
    assert found.relation in ("flipped", None)
    assert found.mismatch == 1.0
    assert found.relation is None or found.axes == (1,)


def test_similarity_scores_do_not_see_a_flip(base_embedding: Array) -> None:
    flipped = -base_embedding
    assert probes.cka(flipped, base_embedding).value == pytest.approx(1)
    assert probes.cca(flipped, base_embedding).value == pytest.approx(1)
    flip = probes.relation(flipped, base_embedding).flip
    assert flip.value is not None
    # identity: Σ(−y − y)² / Σ(y − ȳ)² is 4 up to the mean; signs: exact.
    uncentred = np.square(base_embedding).sum() / np.square(base_embedding - base_embedding.mean(0)).sum()
    assert flip.value == pytest.approx(4 * uncentred)


def test_identity_r2_in_closed_form() -> None:
    y = np.array([[float(i), 0.0] for i in range(10)])
    found = probes.ladder(y + [0.5, 0.0], y)
    assert found["identity"].r2.value == pytest.approx(1 - 10 * 0.25 / 82.5)


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_each_rung_undoes_its_own_maps(d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(80, d))
    signs = rng.choice([-1.0, 1.0], d)
    order = rng.permutation(d)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    offset = rng.normal(size=d)
    made = {
        "identity": y,
        "signs": y * signs,
        "permutation": y[:, order] * signs,
        "orthogonal": y @ turn + offset,
        "similarity": 1.7 * y @ turn + offset,
        "affine": y @ (turn + 0.3 * np.eye(d)) + offset,
    }
    for rung, x in made.items():
        found = probes.ladder(x, y, splits=1)
        upwards = found.steps[probes.RUNGS.index(rung) :]
        for step in upwards:
            assert step.r2.value is not None
            if step.transform != "affine" or np.linalg.cond(turn + 0.3 * np.eye(d)) < 50:
                assert step.r2.value == pytest.approx(1, abs=1e-6), (rung, step.transform)
            assert step.map is not None
        np.testing.assert_allclose(found[rung].map(x), y, atol=1e-6)  # type: ignore[misc, index]


def test_a_state_never_stands_in_both_halves() -> None:
    """Repeating every state a hundred times must not make noise predictable."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 5)), rng.normal(size=(20, 5))
    repeated = probes.ladder(np.repeat(x, 100, 0), np.repeat(y, 100, 0))
    assert repeated.states == 20
    value = repeated["affine"].r2.value
    assert value is not None
    assert value < 0


@pytest.mark.long
def test_signs_need_no_search_at_any_width() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2200, 512))
    signs = np.where(np.arange(512) % 3 == 0, -1.0, 1.0)
    found = probes.relation(y * signs + 0.1 * rng.normal(size=y.shape), y)
    assert found.relation == "flipped"
    assert found.axes == tuple(range(0, 512, 3))


def test_too_few_states_and_too_many_dimensions_are_reasons() -> None:
    rng = np.random.default_rng(0)
    found = probes.ladder(rng.normal(size=(20, 15)), rng.normal(size=(20, 15)))
    assert found["affine"].r2.value is None
    assert "distinct states" in (found["affine"].r2.reason or "")
    few = probes.ladder(rng.normal(size=(5, 2)), rng.normal(size=(5, 2)))
    assert few["signs"].r2.value is None


def test_different_dimensions_leave_only_the_affine_rung() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(100, 2))
    x = np.concatenate([y, rng.normal(size=(100, 1))], 1)
    found = probes.relation(x, y)
    assert found.relation == "affine"
    assert found.ladder["orthogonal"].r2.reason == "the embeddings have 3 and 2 dimensions"


def test_l2_and_nearest_own() -> None:
    y = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    distance = probes.l2(y + [0.3, 0.4], y)
    assert distance.mean.value == pytest.approx(0.5)
    assert distance.relative.value == pytest.approx(0.5 / np.sqrt(0.5))
    assert probes.nearest_own(y + 0.2, y)[0].value == 1
    share, own = probes.nearest_own(1 - y, y)
    assert share.value == 0
    assert not own.any()


def test_effective_rank_in_closed_form() -> None:
    square = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert probes.effective_rank(square) == pytest.approx(2)
    assert probes.effective_rank(np.full((5, 3), 1000.1)) == 0
    assert probes.effective_rank(square + 1e3) == pytest.approx(2)
    assert probes.effective_rank(square * 1e-6) == pytest.approx(2)


def test_cca_against_the_textbook() -> None:
    """Two one-dimensional variables: CCA is |Pearson's r|, and CKA its square."""
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 300, 1))
    y = x + noise
    r = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    assert probes.cca(x, y).value == pytest.approx(abs(r))
    assert probes.cka(x, y).value == pytest.approx(r**2)


def test_cca_does_not_see_the_size_of_a_column() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 300, 2))
    y = x[:, :1] + noise[:, :1]
    assert probes.cca(x * [1, 1e-7], y).value == pytest.approx(probes.cca(x, y).value)


def test_many_dimensions_cost_little() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(40, 5000))
    found = probes.relation(-y, y)
    assert found.relation == "flipped"
    assert "an assignment is sought up to" in (found.ladder["permutation"].r2.reason or "")
    assert probes.cca(-y, y).value is None


SCORES = {
    "cca": probes.cca,
    "svcca": probes.svcca,
    "pwcca": probes.pwcca,
    "cka": probes.cka,
    "cka debiased": lambda x, y: probes.cka(x, y, debiased=True),
    "procrustes": probes.procrustes,
    "knn_overlap": probes.knn_overlap,
}


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_1_for_a_mirror_image_and_low_for_noise(name: str, base_embedding: Array) -> None:
    score = SCORES[name]
    for x in (base_embedding, -base_embedding, 3 * base_embedding @ turned(3) + 5):
        assert score(x, base_embedding).value == pytest.approx(1, abs=1e-9)
    noise = score(np.random.default_rng(3).normal(size=base_embedding.shape), base_embedding).value
    assert noise is not None
    assert noise < 0.2
    assert score(np.ones_like(base_embedding), base_embedding).reason == "x is constant"


def test_debiased_cka_against_the_kernel_formula() -> None:
    """Song et al. 2012, equation 5, with n × n kernels; and about 0 for unrelated data of many dimensions."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 7))
    y[:, :5] += x

    def hsic(a: Array, b: Array) -> float:
        k, m = (v @ v.T * (1 - np.eye(len(v))) for v in (a, b))
        n = len(a)
        one = np.ones(n)
        terms = np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return float(terms - 2 / (n - 2) * (one @ k @ m @ one))

    expected = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
    assert probes.cka(x, y, debiased=True).value == pytest.approx(expected)
    wide = rng.normal(size=(2, 300, 256))
    biased, debiased = probes.cka(*wide).value, probes.cka(*wide, debiased=True).value
    assert biased is not None
    assert debiased is not None
    assert biased > 0.4
    assert abs(debiased) < 0.02


def test_svcca_drops_what_hardly_varies() -> None:
    rng = np.random.default_rng(0)
    shared, noise = rng.normal(size=(2, 300, 2))
    x = np.concatenate([shared, 1e-3 * noise], 1)
    y = np.concatenate([shared, 1e-3 * rng.normal(size=(300, 2))], 1)
    assert probes.svcca(x, y).value == pytest.approx(1, abs=1e-3)
    full = probes.cca(x, y).value
    assert full is not None
    assert full < 0.7
    with pytest.raises(ProbeError, match="kept is 0"):
        probes.svcca(x, y, kept=0)


def test_procrustes_against_the_shape_distance() -> None:
    """min over rotations of ‖X − YQ‖² for unit shapes is 2 − 2·similarity."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60, 3))
    x, y = ((v - v.mean(0)) / np.linalg.norm(v - v.mean(0)) for v in (x, y))
    left, _, right = np.linalg.svd(y.T @ x)
    least = np.square(x - y @ (left @ right)).sum()
    assert probes.procrustes(x, y).value == pytest.approx(1 - least / 2)


def test_knn_overlap_counts_shared_neighbours() -> None:
    y = np.array([[0.0], [1], [2], [10], [11], [12]])
    x = np.array([[0.0], [1], [2], [10], [11], [12]])[[0, 1, 3, 2, 4, 5]]
    # With k = 1: rows 0, 1, 4 and 5 keep their nearest row, rows 2 and 3 change places and lose it.
    assert probes.knn_overlap(y, y, k=2).value == 1
    swapped = probes.knn_overlap(x, y, k=1).value
    assert swapped is not None
    assert swapped < 1
    with pytest.raises(ProbeError, match="expected 1 to 5"):
        probes.knn_overlap(x, y, k=6)
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(700, 20))
    assert probes.knn_overlap(-wide, wide).value == 1


def test_cosine_sees_a_flip() -> None:
    y = np.array([[1.0, 0], [0, 2], [3, 3]])
    assert probes.cosine(2 * y, y).value == pytest.approx(1)
    assert probes.cosine(-y, y).value == pytest.approx(-1)
    assert probes.cosine(y * 0, y).reason == "3 rows are zero"


def test_cca_and_cka_say_when_they_are_undefined() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 6))
    assert probes.cca(x, rng.normal(size=(10, 6))).value is None
    assert probes.cka(np.ones((10, 2)), x).reason == "x is constant"
    assert probes.cca(x[:, :2], np.full((10, 2), 3.0)).reason == "y is constant"


def test_torch_and_numpy_agree_and_trailing_axes_are_flattened() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 50, 2, 3))
    flat = probes.cka(x.reshape(50, 6), y.reshape(50, 6))
    assert probes.cka(torch.from_numpy(x), torch.from_numpy(y)) == flat


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((1, 5)), "1 rows, expected at least 2"),
        (np.zeros((5, 0)), "no columns"),
        (np.full((5, 2), np.nan), "5 of 5 rows with NaN or infinity"),
        (np.array([["a", "b"]] * 5), "expected real numbers"),
        (np.zeros((5, 2), complex), "expected real numbers"),
        (np.zeros((4, 2)), "x has 4 rows and y has 5"),
    ],
)
def test_bad_arrays_are_refused(x: Array, words: str) -> None:
    with pytest.raises(ProbeError, match=words):
        probes.ladder(x, np.ones((5, 2)))


@pytest.mark.long
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Held-out R² of a noisy flip: 95% intervals over 200 samples of 256 states."""
    truth = 1 - 0.25 / (1 + 0.0)
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=(256, 2))
        x = -(y + 0.5 * rng.normal(size=y.shape))
        r2 = probes.ladder(x, y, splits=2)["signs"].r2
        assert r2.low is not None
        assert r2.high is not None
        held += r2.low <= truth <= r2.high
    assert 0.90 <= held / 200 <= 0.99


def test_equal_input_gives_equal_output(base_embedding: Array) -> None:
    x = noisy(-base_embedding)
    one, two = probes.relation(x, base_embedding, seed=3), probes.relation(x, base_embedding, seed=3)
    assert one.flip == two.flip
    assert np.array_equal(one.ladder.draws, two.ladder.draws)
