"""Similarities without intervals: the short way beside sums in frames, and what is sent the long way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import probes
from probes._cka import UNBIASED_ZERO, biased_cka, debiased_cka
from probes._direct import biased_value, debiased_value, overlap_value, plain
from probes._moments import Moments
from probes._procrustes import shape_overlap

SHAPES = [(5, 2, 2), (100, 8, 8), (600, 64, 50), (40, 90, 70), (30, 5, 60), (60, 80, 3)]
"""n, d₁ and d₂: few and many numbers, products of rows and of columns."""

WAYS = {
    "biased": (biased_value, biased_cka),
    "debiased": (lambda x, y: debiased_value(x, y, UNBIASED_ZERO), debiased_cka),
    "overlap": (overlap_value, shape_overlap),
}


def pair(n: int, p: int, q: int, offset: float = 0.3, scale: float = 1.0) -> tuple[Any, Any]:
    rng = np.random.default_rng([n, p, q])
    x, shared = rng.normal(size=(n, p)), rng.normal(size=(p, q))
    return scale * (x + offset), scale * (x @ shared + rng.normal(size=(n, q)) - offset)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("offset", "scale"), [(0.3, 1.0), (30.0, 1.0), (0.3, 1e-20), (0.0, 1e20)])
def test_the_short_way_gives_what_sums_in_frames_do(
    way: str, shape: tuple[int, int, int], offset: float, scale: float
) -> None:
    short, long = WAYS[way]
    x, y = pair(*shape, offset, scale)
    found = short(x, y)
    if way == "overlap" and max(shape[1:]) > shape[0]:
        assert found is None
        return
    assert found == pytest.approx(long(Moments.of(x, y))[0], rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8, np.bool_])
def test_other_types_of_numbers(dtype: type) -> None:
    made = pair(60, 4, 5)
    x, y = (v > 0 if dtype is np.bool_ else (20 * abs(v)).astype(dtype) for v in made)
    wide = x.astype(np.float64), y.astype(np.float64)
    assert biased_value(x, y) == pytest.approx(biased_cka(Moments.of(*wide))[0], rel=1e-9)


def test_tensors_and_views() -> None:
    x, y = pair(600, 64, 50)
    expected = probes.cka(x, y, interval=False).value
    assert probes.cka(torch.from_numpy(x), torch.from_numpy(y), interval=False).value == expected
    assert probes.cka(np.asfortranarray(x), y, interval=False).value == pytest.approx(expected)
    assert probes.cka(np.repeat(x, 2, 0)[::2], y, interval=False).value == pytest.approx(expected)


def test_arrays_are_left_as_they_were() -> None:
    for shape in SHAPES:
        x, y = pair(*shape)
        before = x.copy(), y.copy()
        for short, _ in WAYS.values():
            short(x, y)
        assert np.array_equal(before[0], x)
        assert np.array_equal(before[1], y)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x: np.where(x == x.max(), np.nan, x), "NaN or infinity"),
        (lambda x: np.where(x == x.max(), np.inf, x), "NaN or infinity"),
        (lambda x: np.where(x == x.max(), np.inf, np.where(x == x.min(), -np.inf, x)), "NaN or infinity"),
        (lambda x: x * 1e120, "values of size"),
        (lambda x: x[:-1], "expected pairs"),
        (lambda x: x[:, :0], "no columns"),
        (lambda x: x[:, 0], r"expected \(n, d\)"),
        (lambda x: x.astype(str), "expected real numbers"),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_what_is_no_pair_of_plain_arrays_is_refused_in_words(spoil: Any, words: str, large: bool) -> None:
    x, y = pair(2000, 64, 64) if large else pair(40, 3, 3)
    for one, other in ((spoil(x), y), (x, spoil(y))):
        for measure in (probes.cka, probes.procrustes):
            with pytest.raises(probes.ProbeError, match=words):
                measure(one, other, interval=False)


@pytest.mark.parametrize("x", [np.ones((40, 3)), 1e9 + np.zeros((40, 3)), np.full((40, 3), 0.1)])
def test_constants_have_their_reason(x: Any) -> None:
    y = pair(40, 3, 3)[1]
    assert plain(x, y) is None
    for measure in (probes.cka, probes.procrustes):
        assert measure(x, y, interval=False).reason == "x is constant"


def test_numbers_far_from_zero_go_the_long_way_and_keep_their_digits() -> None:
    x, y = pair(400, 90, 8)
    expected = probes.cka(x, y, interval=False).value
    assert plain(x + 1e5, y) is None
    assert probes.cka(x + 1e5, y, interval=False).value == pytest.approx(expected, rel=1e-9)
    assert probes.cka(x + 900, y, interval=False).value == pytest.approx(expected, rel=1e-9)


def test_too_few_rows_for_the_unbiased_estimate_say_so() -> None:
    x, y = pair(3, 2, 2)
    assert "at least 4 are needed" in str(probes.cka(x, y, debiased=True, interval=False).reason)
