"""The relation: grids and channels, bends, margins, collapse, and when it cannot be told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import probes
from probes import ProbeError

pytestmark = pytest.mark.numeric

Array = NDArray[np.float64]


@pytest.fixture
def images() -> Array:
    """Embeddings of 60 states on a grid of 4 × 4 with 3 channels, with a pattern that stands still."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 4, 4, 3)) + 2 * rng.normal(size=(4, 4, 3))


def noisy(x: Array, share: float = 0.1) -> Array:
    return x + share * x.std() * np.random.default_rng(9).normal(size=x.shape)


def turned(d: int) -> Array:
    return np.asarray(np.linalg.qr(np.random.default_rng(4).normal(size=(d, d)))[0])


def test_a_negated_channel_is_named_by_its_number(images: Array) -> None:
    found = probes.relation(noisy(images * [1, 1, -1]), images)
    assert (found.relation, found.axes, found.channels, found.grid) == ("flipped", (2,), True, "as it is")


def test_channels_need_far_fewer_states_than_all_numbers_do(images: Array) -> None:
    x = noisy(images @ turned(3))
    assert probes.relation(x, images).relation == "rotated"
    flat = probes.relation(x.reshape(60, -1), images.reshape(60, -1))
    assert flat.relation is None
    assert "are needed to fit 48 dimensions" in (flat.reason or "")


@pytest.mark.parametrize(
    ("make", "grid"),
    [
        (lambda y: y[:, :, ::-1], "mirrored left to right"),
        (lambda y: y[:, ::-1], "mirrored top to bottom"),
        (lambda y: y[:, ::-1, ::-1], "turned by 180°"),
        (lambda y: y.transpose(0, 2, 1, 3), "mirrored along the diagonal"),
        (lambda y: np.rot90(y, 3, (1, 2)), "turned by 90°"),
        (lambda y: np.rot90(y, 1, (1, 2)), "turned by 270°"),
    ],
)
def test_a_mirrored_grid_is_a_permutation_that_is_named(images: Array, make: object, grid: str) -> None:
    found = probes.relation(noisy(make(images)), images)  # type: ignore[operator]
    assert (found.relation, found.grid, found.axes) == ("permuted", grid, ())
    flipped = probes.relation(noisy(make(images) * [1, -1, 1]), images)  # type: ignore[operator]
    assert (flipped.relation, flipped.grid, flipped.axes) == ("permuted", grid, (1,))


def test_grids_that_are_not_square_are_mirrored_but_not_turned() -> None:
    y = np.random.default_rng(0).normal(size=(60, 3, 5, 2))
    found = probes.relation(noisy(y[:, ::-1]), y)
    assert (found.relation, found.grid) == ("permuted", "mirrored top to bottom")


def test_what_stands_still_does_not_make_a_match(images: Array) -> None:
    """Walls are the same in both embeddings, but what moves is unrelated."""
    rng = np.random.default_rng(5)
    still = images.mean(0)
    found = probes.relation(still + rng.normal(size=images.shape), images)
    assert found.relation in (None, "unrelated")
    assert found.mismatch == 1


def test_maps_of_single_places_are_found_where_channels_explain_nothing() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(400, 3, 3, 2))
    signs = rng.choice([-1.0, 1.0], size=(3, 3, 2))
    found = probes.relation(noisy(y * signs), y)
    assert (found.relation, found.channels) == ("flipped", False)
    assert found.axes == tuple(np.flatnonzero(signs.reshape(-1) < 0))


def test_torch_and_numpy_grids_agree(images: Array) -> None:
    x = noisy(-images)
    ours = probes.relation(torch.from_numpy(x), torch.from_numpy(images))
    assert ours.axes == probes.relation(x, images).axes == (0, 1, 2)


def bent(y: Array, rng: np.random.Generator, share: float = 0.4) -> Array:
    """y with a smooth deformation that leaves a share of its variance unexplained."""
    d = y.shape[1]
    wave = np.sin(3 * y[:, rng.permutation(d)] / y.std(0) + rng.uniform(0, 6, d))
    return np.asarray(y + wave * np.sqrt(2 * share * y.var(0).mean()))


@pytest.mark.parametrize("d", [2, 3, 8])
def test_a_bend_hides_neither_a_match_nor_a_flip(d: int) -> None:
    for seed in range(4):
        rng = np.random.default_rng(1000 + seed)
        y = rng.normal(size=(256, d))
        x = bent(y, rng)
        landed = probes.relation(x, y)
        assert landed.relation == "matched"
        signs = np.where(np.arange(d) == seed % d, -1.0, 1.0)
        mirrored = probes.relation(x * signs, y)
        assert mirrored.ladder["signs"].r2.value == pytest.approx(0.6, abs=0.12)
        assert (mirrored.relation, mirrored.axes) == ("flipped", (seed % d,))


@pytest.mark.parametrize("noise", [0.05, 0.3, 0.7])
def test_noise_in_either_is_no_rescaling(noise: float) -> None:
    """Maps that shrink do better from the noisy side (regression dilution), not from the other."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(400, 4))
    x = y + noise * rng.normal(size=y.shape)
    assert probes.relation(x, y).relation == "matched"
    assert probes.relation(y, x).relation == "matched"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rows", "enough"), [(160, False), (512, True)])
def test_too_few_rows_for_an_affine_map_are_said_to_be(rows: int, enough: bool, seed: int) -> None:
    """Between the two, at some 250 rows in 64 dimensions, the answer changes: neither case stands there."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(rows, 64))
    scales = np.exp(rng.uniform(-1.5, 1.5, 64))
    found = probes.relation(bent(y, rng) @ turned(64) * scales @ turned(64), y)
    if enough:
        assert found.relation == "affine"
    else:
        assert found.relation is None
        assert f"{rows} states are too few to fit 64 dimensions well" in (found.reason or "")


def test_a_margin_comes_from_known_good_transfers() -> None:
    assert probes.equivalence_margin([0.02, 0.02, 0.02]) == pytest.approx(0.02)
    wide = probes.equivalence_margin([0.0, 0.05, 0.1])
    assert wide > 0.1
    assert probes.equivalence_margin([0.0, 0.9, 1.8]) == 1
    with pytest.raises(ProbeError, match="2 known-good transfers, expected at least 3"):
        probes.equivalence_margin([0.1, 0.2])
    with pytest.raises(ProbeError, match="has no gap"):
        probes.equivalence_margin([0.1, 0.2, float("nan")])
    rng = np.random.default_rng(0)
    y = rng.normal(size=(300, 3))
    stretched = y * [1, 1, 1.6] + 0.05 * rng.normal(size=y.shape)
    strict = probes.relation(stretched, y)
    assert strict.relation != "matched"
    assert strict.gap is not None
    assert strict.gap > strict.margin
    assert probes.relation(stretched, y, margin=strict.gap + 0.05).relation == "matched"


def test_collapse_counts_ranks_variance_and_dead_axes() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(300, 4))
    line = probes.collapse(np.outer(y[:, 0], [1, 1, 0, 0]), y)
    assert line.rank_lost
    assert line.constant_axes == (0, 2)
    assert not probes.collapse(0.5 * y, y).variance_lost
    faint = probes.collapse(0.01 * y, y)
    assert faint.variance_lost
    assert faint.rank_lost is False
    assert faint.variance_ratio.value == pytest.approx(1e-4)
    assert probes.collapse(y, np.ones_like(y)).rank_lost is None
    borderline = y * np.array([1, 1, 0.02, 0.45])
    assert probes.collapse(borderline, y).rank_ratio.low is not None


def test_an_angle_between_shapes() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(200, 3))
    assert probes.shape_distance(3 * y @ turned(3), y).value == pytest.approx(0, abs=1e-6)
    far = probes.shape_distance(rng.normal(size=y.shape), y)
    overlap = probes.procrustes(rng.normal(size=y.shape), y)
    assert far.value is not None
    assert far.low is not None
    assert far.low < far.high  # type: ignore[operator]
    assert far.value > 1
    assert overlap.value is not None


def test_the_distance_along_each_axis_adds_up() -> None:
    y = np.zeros((10, 3)) + np.arange(10)[:, None]
    found = probes.l2(y + [3, 0, 4], y)
    np.testing.assert_allclose(found.per_axis, [3, 0, 4])
    assert found.mean.value == pytest.approx(5)


def test_rows_that_are_not_finite_can_be_dropped_together() -> None:
    x, y = np.ones((5, 2)), np.ones((5, 3))
    x[1, 0], y[3, 2] = np.nan, np.inf
    (a, b), stay = probes.drop_nonfinite(x, y)
    assert (a.shape, b.shape) == ((3, 2), (3, 3))
    assert stay.tolist() == [True, False, True, False, True]
    with pytest.raises(ProbeError, match="5 and 4 rows"):
        probes.drop_nonfinite(x, y[:4])
    with pytest.raises(ProbeError, match="1 of 5 rows are finite"):
        probes.drop_nonfinite(np.array([[np.nan]] * 4 + [[1.0]]), x)
    with pytest.raises(ProbeError, match="object values"):
        probes.drop_nonfinite(np.array([[object()]] * 3), np.ones((3, 1)))
