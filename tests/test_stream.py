"""Streams: what one pass in batches says is what all rows at once say."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import probes
from probes import ProbeError, _stream

Array = NDArray[np.float64]


@pytest.fixture
def pair() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(4000, 5)) * [3, 1, 1, 0.5, 0.1] + [0, 1000, 0, 0, 0]
    return y * [1, -1, 1, 1, 1] + 0.1 * rng.normal(size=y.shape), y


def batches(x: Array, y: Array, size: int) -> probes.Stream:
    stream = probes.Stream()
    for start in range(0, len(x), size):
        stream.add(x[start : start + size], y[start : start + size])
    return stream


@pytest.mark.parametrize("size", [1, 7, 1000, 4000])
def test_a_stream_says_what_all_rows_at_once_say(pair: tuple[Array, Array], size: int) -> None:
    x, y = (v[:500] for v in pair) if size == 1 else pair
    stream = batches(x, y, size)
    assert stream.cka().value == pytest.approx(probes.cka(x, y).value, rel=1e-9)
    assert stream.cka(debiased=True).value == pytest.approx(probes.cka(x, y, debiased=True).value, rel=1e-9)
    assert stream.cca().value == pytest.approx(probes.cca(x, y).value, rel=1e-9)
    assert stream.pwcca().value == pytest.approx(probes.pwcca(x, y).value, rel=1e-9)
    assert stream.procrustes().value == pytest.approx(probes.procrustes(x, y).value, rel=1e-9)
    ours, theirs = stream.l2(), probes.l2(x, y)
    assert ours.mean.value == pytest.approx(theirs.mean.value, rel=1e-9)
    assert ours.relative.value == pytest.approx(theirs.relative.value, rel=1e-9)
    np.testing.assert_allclose(ours.per_axis, theirs.per_axis)
    assert stream.collapse().effective_rank == pytest.approx(probes.collapse(x, y).effective_rank)
    for one, other in zip(stream.ladder().steps, probes.ladder(x, y).steps, strict=True):
        assert one.r2.value == pytest.approx(other.r2.value, abs=0.01)
    assert stream.cka().p == pytest.approx(probes.independence(x, y).p, abs=1e-9)


def test_the_relation_of_a_stream(pair: tuple[Array, Array]) -> None:
    x, y = pair
    y = y - [0, 1000, 0, 0, 0]
    x = x + [0, 1000, 0, 0, 0]  # its negated axis, less its offset
    found = batches(x, y, 999).relation()
    assert (found.relation, found.axes) == ("flipped", (1,))
    assert probes.relation(x, y).relation == "flipped"


def test_intervals_of_a_stream_are_about_as_wide(pair: tuple[Array, Array]) -> None:
    x, y = pair
    ours, theirs = batches(x, y, 1000).cka(), probes.cka(x, y)
    assert ours.high is not None
    assert ours.low is not None
    assert theirs.high is not None
    assert theirs.low is not None
    assert (ours.high - ours.low) / (theirs.high - theirs.low) == pytest.approx(1, abs=0.7)


def test_equal_rows_meet_in_one_block() -> None:
    """Repeating every state a hundred times must not make noise predictable."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60, 5))
    stream = probes.Stream()
    for _ in range(100):
        stream.add(x, y)
    value = stream.ladder()["affine"].r2.value
    assert value is not None
    assert value < 0


def test_groups_meet_in_one_block() -> None:
    rng = np.random.default_rng(0)
    centre_x, centre_y = rng.normal(size=(2, 40, 4))
    label = rng.integers(40, size=8000)
    x, y = centre_x[label] + 0.01 * rng.normal(size=(8000, 4)), centre_y[label]
    grouped = probes.streamed(x, y, groups=label).ladder()["affine"].r2.value
    apart = probes.streamed(x, y).ladder()["affine"].r2.value
    assert grouped is not None
    assert apart is not None
    assert grouped < 0 < apart


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stream, "BATCH_BYTES", 2**20)
    rng = np.random.default_rng(0)
    peaks = []
    for rows in (20_000, 200_000):
        y = rng.normal(size=(rows, 16)).astype(np.float32)
        np.save(tmp_path / "y.npy", y)
        np.save(tmp_path / "x.npy", -y)
        del y
        x_map, y_map = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
        tracemalloc.start()
        found = probes.streamed(x_map, y_map).relation()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.relation == "flipped"
    assert peaks[1] < 1.1 * peaks[0]


def test_rows_that_are_not_finite_are_counted_and_refused_or_left_out(pair: tuple[Array, Array]) -> None:
    x, y = (v.copy() for v in pair)
    x[3, 1], y[17, 0], y[2500] = np.nan, np.inf, np.nan
    with pytest.raises(ProbeError, match="3 of 4000 rows have NaN or infinity"):
        batches(x, y, 1000).cka()
    stream = probes.streamed(x, y, drop_nonfinite=True)
    stay = np.isfinite(x).all(1) & np.isfinite(y).all(1)
    assert stream.nonfinite == 3
    assert stream.cka().value == pytest.approx(probes.cka(x[stay], y[stay]).value)
    with pytest.raises(ProbeError, match="0 finite rows"):
        probes.streamed(np.full((50, 2), np.nan), np.ones((50, 2)), drop_nonfinite=True).cka()


def test_shapes_that_do_not_fit_are_refused() -> None:
    stream = probes.Stream()
    with pytest.raises(ProbeError, match="0 finite rows"):
        stream.relation()
    stream.add(np.ones((5, 2)), np.ones((5, 3)))
    with pytest.raises(ProbeError, match="4 and 3 dimensions"):
        stream.add(np.ones((5, 4)), np.ones((5, 3)))
    with pytest.raises(ProbeError, match="x has 4 rows and y has 5"):
        stream.add(np.ones((4, 2)), np.ones((5, 3)))
    with pytest.raises(ProbeError, match="x has 2 dimensions and y has 3"):
        stream.l2()
    with pytest.raises(ProbeError, match="x has 5 rows and y has 6"):
        probes.streamed(np.ones((5, 2)), np.ones((6, 2)))
    assert stream.cka().reason == "x is constant"
    constant = stream.relation()
    assert (constant.relation, constant.reason) == (None, "the base's embedding is constant")


def test_wide_data_get_fewer_blocks() -> None:
    rng = np.random.default_rng(0)
    stream = probes.Stream()
    stream.add(*rng.normal(size=(2, 20, 1200)))
    assert len(stream._blocks) == _stream.LEAST_BLOCKS
