"""Both ends of a Hessian and its trace, against spectra that are known and against the whole Hessian."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diag.landscapes import spectrum as spectrum_module
from diag.landscapes.place import place
from diag.landscapes.point import Point, SharpnessError
from diag.landscapes.sharpness import sharpness
from diag.landscapes.spectrum import DENSE, MISSED, RESIDUAL, SPREAD, TRACE_DRAWS, ends, promised, trace_at
from tests.losses import mlp, quadratic


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 1e-4), (torch.float64, 1e-6)])
@pytest.mark.parametrize("p", [5, 300])
@pytest.mark.parametrize(("low", "high"), [(-2.0, 5.0), (0.1, 3.0), (-7.0, -1.0), (-8.0, 3.0)])
def test_ends_are_those_of_a_known_spectrum(
    p: int, low: float, high: float, dtype: torch.dtype, digits: float
) -> None:
    spectrum = np.concatenate(
        [[low, high], np.linspace(0.8 * low + 0.2 * high, 0.2 * low + 0.8 * high, p - 2)]
    )
    loss, at, h = quadratic(spectrum, dtype=dtype)
    found = ends(loss, at)
    assert found.low.value == pytest.approx(low, abs=digits * found.size)
    assert found.high.value == pytest.approx(high, abs=digits * found.size)
    assert found.size == pytest.approx(max(abs(low), abs(high)), rel=digits)
    assert found.converged
    assert found.exact is (p == 5)
    for end in (found.low, found.high):
        assert end.vector is not None
        again = (h @ end.vector - end.value * end.vector).norm() / found.size
        assert end.residual == pytest.approx(float(again), abs=1e-6)
        assert end.residual <= RESIDUAL
        assert float(end.vector.norm()) == pytest.approx(1.0, rel=1e-5)


def test_ends_agree_with_the_whole_hessian_of_a_net() -> None:
    loss, at = mlp([4, 8, 6, 2])
    assert at.numel() > DENSE
    whole = torch.autograd.functional.hessian(loss, at)
    values = torch.linalg.eigvalsh(whole)
    found = ends(loss, at)
    assert not found.exact
    assert found.low.value == pytest.approx(float(values[0]), rel=1e-3)
    assert found.high.value == pytest.approx(float(values[-1]), rel=1e-6)


def test_a_small_net_is_taken_whole() -> None:
    loss, at = mlp([2, 3, 1])
    whole = torch.autograd.functional.hessian(loss, at)
    values = torch.linalg.eigvalsh(whole)
    found = sharpness(loss, at)
    assert found.ends is not None
    assert found.trace is not None
    assert found.ends.exact
    assert found.ends.low.value == pytest.approx(float(values[0]), abs=1e-12)
    assert found.ends.high.value == pytest.approx(float(values[-1]), rel=1e-12)
    assert found.trace.value == pytest.approx(float(whole.trace()), rel=1e-12)
    assert (found.trace.error, found.trace.draws) == (0.0, 0)


def test_a_linear_net_has_its_known_hessian() -> None:
    """L = mean (xᵀw − y)² has the Hessian 2XᵀX/n, wherever w is."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(50, 100, generator=generator, dtype=torch.float64)
    at = torch.randn(100, generator=generator, dtype=torch.float64)
    values = torch.linalg.eigvalsh(2 * x.T @ x / 50)
    found = ends(lambda w: ((x @ w - 1) ** 2).mean(), at)
    assert found.high.value == pytest.approx(float(values[-1]), rel=1e-6)
    assert found.low.value == pytest.approx(0.0, abs=1e-9)
    assert found.products < 100


def test_one_negative_direction_among_thousands_is_not_missed() -> None:
    """A residual alone is small long before: some eigenvalue is always near the end that was reached."""
    spectrum = torch.linspace(0, 1, 4000, dtype=torch.float64) ** 8  # nearly all of it near 0, as in nets
    spectrum[1234] = -0.02
    for seed in range(5):
        found = ends(lambda x: (spectrum * x * x).sum() / 2, torch.ones(4000, dtype=torch.float64), seed)
        assert found.low.value == pytest.approx(-0.02, abs=1e-3)
        assert found.high.value == pytest.approx(1.0, abs=1e-3)


def test_the_promise_is_the_published_bound() -> None:
    """√n·e^{−√ε(2k−1)} falls below the probability at the promised k, and not one before."""
    for size in (65, 10_000, 10**7):
        k = promised(size)
        bound = [1.648 * math.sqrt(size) * math.exp(-math.sqrt(SPREAD) * (2 * j - 1)) for j in (k - 1, k)]
        assert bound[0] > MISSED >= bound[1]


def test_equal_clusters_at_the_ends_are_found() -> None:
    """Where directions reached are closed under the Hessian, Lanczos ends early and is exact."""
    loss, at, _ = quadratic([-3.0] * 40 + [1.0] * 50 + [4.0] * 30)
    found = ends(loss, at)
    assert found.low.value == pytest.approx(-3.0, abs=1e-9)
    assert found.high.value == pytest.approx(4.0, abs=1e-9)
    assert found.products <= 8


def test_ends_that_did_not_converge_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With too few products there is no verdict: the curvature may go on."""
    monkeypatch.setattr(spectrum_module, "promised", lambda size: 3)
    loss, at, _ = quadratic(np.linspace(1, 2, 300))
    found = sharpness(loss, at)
    assert found.ends is not None
    assert not found.ends.converged
    assert found.ends.high.residual > RESIDUAL
    assert place(found).kind == "unclear"
    assert "residual" in place(found).summary


def test_hutchinson_is_within_its_error() -> None:
    """Over 40 seeds: unbiased, and as far off as it says."""
    loss, at, h = quadratic(np.concatenate([np.linspace(-1, 2, 99), [20.0]]))
    off = []
    for seed in range(40):
        trace = trace_at(Point.of(loss, at), None, torch.Generator().manual_seed(seed))
        assert trace.draws == TRACE_DRAWS
        off.append((trace.value - float(h.trace())) / trace.error)
    assert abs(np.mean(off)) < 3.5 / math.sqrt(40)
    assert 0.7 < np.std(off) < 1.4


def test_bad_losses_and_vectors_are_named() -> None:
    with pytest.raises(SharpnessError, match="the loss has shape"):
        ends(lambda x: x, torch.ones(2))
    with pytest.raises(SharpnessError, match="expected floats"):
        ends(lambda x: x.sum(), torch.ones(2, 2))
    with pytest.raises(SharpnessError, match="expected floats"):
        ends(lambda x: x.sum(), torch.arange(3))
