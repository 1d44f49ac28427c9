"""Layers' similarities from kernels: closed forms, an oracle, and what must change nothing."""

from __future__ import annotations

import numpy as np
import pytest

import probes
from probes import LayerKernels, ProbeError, layer_fits


def kernels(*features: np.ndarray, rows: slice | np.ndarray = slice(None)) -> list[np.ndarray]:
    return [(f[rows] - f[rows].mean(0)) @ (f[rows] - f[rows].mean(0)).T for f in features]


def drawn(n: int = 512) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 12)) @ rng.normal(size=(12, 20))
    return x, np.tanh(x[:, :9]) + 0.4 * rng.normal(size=(n, 9)), rng.normal(size=(n, 40))


def summed(xs: tuple[np.ndarray, ...], ys: tuple[np.ndarray, ...], size: int) -> LayerKernels:
    sums = LayerKernels()
    for start in range(0, len(xs[0]), size):
        rows = slice(start, start + size)
        sums.add(kernels(*xs, rows=rows), kernels(*ys, rows=rows))
    return sums


def test_one_batch_is_debiased_cka() -> None:
    x, y, z = drawn()
    value = summed((x, y), (y, z), len(x)).similarity().value
    for i, a in enumerate((x, y)):
        for j, b in enumerate((y, z)):
            assert value[i, j] == pytest.approx(
                probes.cka(a, b, debiased=True, interval=False).value, abs=1e-9
            )


@pytest.mark.parametrize("size", [16, 64])
def test_the_size_of_a_batch_moves_the_answer_by_its_own_noise_alone(size: int) -> None:
    x, y, z = drawn()
    result = summed((x,), (x, y, z), size).similarity()
    whole = [probes.cka(x, b, debiased=True, interval=False).value for b in (x, y, z)]
    assert result.value[0, 0] == pytest.approx(1, abs=1e-9)
    assert result.value[0, 1:] == pytest.approx(whole[1:], abs=0.04)  # biased CKA of 16 rows is 0.6 for z


def test_turns_scales_and_order_change_nothing() -> None:
    x, y, _ = drawn()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))[0]
    plain = summed((x,), (y,), 64).similarity().value
    for other in (x @ turn, -3 * x, x[:, ::-1], x + 5):
        assert summed((other,), (y,), 64).similarity().value == pytest.approx(plain, abs=1e-9)


def test_a_layer_that_does_not_vary_has_no_number() -> None:
    x, y, _ = drawn()
    result = summed((x, np.ones((len(x), 3))), (y,), 64).similarity()
    assert np.isfinite(result.value[0, 0])
    assert result.measure(1, 0).reason == "an unbiased self-similarity is not positive"


def test_few_batches_have_no_interval() -> None:
    x, y, _ = drawn(96)
    assert "3 batches" in (summed((x,), (y,), 32).similarity().measure(0, 0).reason or "")


def test_intervals_hold_the_population_s_number() -> None:
    rng, held = np.random.default_rng(5), 0
    mix = rng.normal(size=(6, 6))
    large = rng.normal(size=(40_000, 6))
    truth = probes.cka(large, np.maximum(large @ mix, 0), debiased=True, interval=False).value
    for _ in range(60):
        x = rng.normal(size=(640, 6))
        measure = summed((x,), (np.maximum(x @ mix, 0),), 32).similarity().measure(0, 0)
        held += measure.low <= truth <= measure.high
    assert held >= 52  # 57 expected of 60; fewer than 52 have a chance of 1 in 100


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([np.eye(3)], [np.eye(3)], "3 rows"),
        ([np.eye(8)], [np.eye(7)], r"shape \(7, 7\)"),
        ([np.full((8, 8), np.nan)], [np.eye(8)], "NaN"),
        ([], [], "0 rows"),
    ],
)
def test_bad_kernels(x: list[np.ndarray], y: list[np.ndarray], words: str) -> None:
    with pytest.raises(ProbeError, match=words):
        LayerKernels().add(x, y)


def test_fits_know_what_can_be_read_from_what() -> None:
    x, y, z = drawn(1024)
    fits = layer_fits([x, z], [x, x[:, :3] * 2 + 1, y, np.ones((1024, 2))])
    assert fits[0, :2] == pytest.approx(1, abs=1e-6)
    assert 0.3 < fits[0, 2] < 0.99
    assert fits[1, 0] < 0.05
    assert np.isnan(fits[0, 3])
