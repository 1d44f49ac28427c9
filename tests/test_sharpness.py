"""Where a checkpoint sits: quadratics of known curvature, exact balls, and nets against the whole Hessian."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from diag.landscapes import sharpness as module
from diag.landscapes.sharpness import (
    COUNTS,
    MIN_DRAWS,
    REACH,
    RESIDUAL,
    Drift,
    Place,
    SharpnessError,
    drift,
    ends,
    place,
    sharpness,
)
from probes import Measure

Loss = Callable[[Tensor], Tensor]


def quadratic(
    spectrum: Sequence[float] | np.ndarray,
    slope: Tensor | None = None,
    start: Tensor | None = None,
    level: float = 1.0,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> tuple[Loss, Tensor, Tensor]:
    """L = level + slope·δ + ½δᵀHδ about ``start``, H of that spectrum in a random basis; ``start``; H."""
    p = len(spectrum)
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(p, p, generator=generator, dtype=torch.float64))
    h = ((q * torch.as_tensor(np.asarray(spectrum), dtype=torch.float64)) @ q.T).to(dtype)
    at = (torch.randn(p, generator=generator, dtype=torch.float64) if start is None else start).to(dtype)
    g = torch.zeros(p, dtype=dtype) if slope is None else slope.to(dtype)
    return (lambda x: level + g @ (x - at) + (x - at) @ (h @ (x - at)) / 2), at, h


def mlp(sizes: Sequence[int], seed: int = 0) -> tuple[Loss, Tensor]:
    """The squared error of a small tanh net on 40 samples, and its starting weights (P,)."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, y = normal(40, sizes[0]), normal(40, sizes[-1])
    shapes = [(b, a + 1) for a, b in pairwise(sizes)]

    def loss(vector: Tensor) -> Tensor:
        h = x
        for k, (shape, part) in enumerate(zip(shapes, vector.split([a * b for a, b in shapes]), strict=True)):
            w = part.reshape(shape)
            h = h @ w[:, :-1].T + w[:, -1]
            h = torch.tanh(h) if k < len(shapes) - 1 else h
        return ((h - y) ** 2).mean()

    return loss, normal(sum(a * b for a, b in shapes)) / 2


def highest(g: np.ndarray, h: np.ndarray, radius: float) -> float:
    """max of gᵀδ + ½δᵀHδ over ‖δ‖ ≤ radius, from (μ − H)δ = g, μ ≥ λ_max and μ ≥ 0 (Moré and Sorensen)."""
    values, vectors = np.linalg.eigh(h)
    c = vectors.T @ g

    def length(mu: float) -> float:
        return float(np.linalg.norm(c / (mu - values)))

    floor = max(values[-1], 0.0)
    if np.linalg.norm(g) == 0:
        return max(0.0, values[-1] * radius**2 / 2)
    low = floor + 1e-12 * (1 + floor)
    if length(low) <= radius:  # inside, where all curvature is negative
        assert values[-1] < 0
        mu = 0.0
    else:
        mu = brentq(lambda m: length(m) - radius, low, floor + 2 * np.linalg.norm(g) / radius)
    d = c / (mu - values)
    return float(c @ d + (values * d * d).sum() / 2)


# ---------------------------------------------------------------- the ends of the spectrum


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
    assert at.numel() > module.DENSE
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


def test_fewer_products_can_be_asked_for() -> None:
    loss, at, _ = quadratic(np.concatenate([[-4.0], np.linspace(-1, 1, 298), [5.0]]))
    quick, whole = ends(loss, at, least=1), ends(loss, at)
    assert quick.products < whole.products / 2
    assert quick.converged
    assert quick.high.value == pytest.approx(5.0, abs=5.0 * RESIDUAL)
    assert quick.low.value == pytest.approx(-4.0, abs=5.0 * RESIDUAL)


def test_the_promise_is_the_published_bound() -> None:
    """√n·e^{−√ε(2k−1)} falls below the probability at the promised k, and not one before."""
    for size in (65, 10_000, 10**7):
        k = module._promised(size)
        bound = [
            1.648 * math.sqrt(size) * math.exp(-math.sqrt(module.SPREAD) * (2 * j - 1)) for j in (k - 1, k)
        ]
        assert bound[0] > module.MISSED >= bound[1]


def test_ends_that_did_not_converge_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With too few products there is no verdict: the curvature may go on."""
    monkeypatch.setattr(module, "_promised", lambda size: 3)
    loss, at, _ = quadratic(np.linspace(1, 2, 300))
    found = sharpness(loss, at)
    assert found.ends is not None
    assert not found.ends.converged
    assert found.ends.high.residual > RESIDUAL
    assert place(found).kind == "unclear"
    assert "residual" in place(found).summary


def test_equal_clusters_at_the_ends_are_found() -> None:
    """Where directions reached are closed under the Hessian, Lanczos ends early and is exact."""
    loss, at, _ = quadratic([-3.0] * 40 + [1.0] * 50 + [4.0] * 30)
    found = ends(loss, at)
    assert found.low.value == pytest.approx(-3.0, abs=1e-9)
    assert found.high.value == pytest.approx(4.0, abs=1e-9)
    assert found.products <= 8


# ---------------------------------------------------------------- what autograd may answer


@pytest.mark.parametrize("p", [3, 200])
def test_parameters_the_loss_does_not_reach_have_no_curvature(p: int) -> None:
    """Unreached coordinates, then a loss of other parameters only, then a constant."""
    at = torch.ones(p, dtype=torch.float64)
    other = torch.ones(1, dtype=torch.float64, requires_grad=True)
    first = sharpness(lambda x: (x[0] - 1) ** 2 * 3 + 1, at)
    assert first.ends is not None
    assert first.ends.high.value == pytest.approx(6.0)
    assert first.ends.low.value == pytest.approx(0.0, abs=1e-12)
    for loss in (lambda x: (other**3).sum(), lambda x: torch.ones((), dtype=torch.float64)):
        found = sharpness(loss, at, towards=at + 1, displacements=torch.ones(5, p))
        assert found.gradient == 0
        assert found.step is None
        assert found.ends is not None
        assert (found.ends.high.value, found.ends.low.value, found.ends.size) == (0, 0, 0)
        assert found.ends.converged
        assert found.trace is not None
        assert found.trace.value == 0
        assert found.ball is not None
        assert found.ball.rise == 0
        assert place(found).kind == "plateau"


@pytest.mark.parametrize("p", [3, 200])
def test_a_linear_loss_has_no_curvature(p: int) -> None:
    at = torch.ones(p, dtype=torch.float64)
    found = sharpness(lambda x: x.sum(), at)
    assert found.ends is not None
    assert found.ends.size == 0
    assert found.gradient == pytest.approx(math.sqrt(p))
    assert found.gradient_curvature == 0
    assert found.ball is not None
    assert found.ball.rise == pytest.approx(module.RADIUS * p)
    assert found.adaptive is not None
    assert found.adaptive.rise == pytest.approx(module.RADIUS * p)


def test_it_works_where_gradients_are_switched_off_and_leaves_the_vector_alone() -> None:
    loss, at, _ = quadratic([1.0, 2.0, -1.0])
    before = at.clone()
    with torch.no_grad():
        found = sharpness(loss, at)
    assert found.ends is not None
    assert found.ends.high.value == pytest.approx(2.0)
    assert torch.equal(at, before)
    assert not at.requires_grad
    assert at.grad is None


@pytest.mark.parametrize("p", [4, 100])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_unclear(value: float, p: int) -> None:
    found = sharpness(lambda x: x.sum() * 0 + value, torch.ones(p))
    assert found.ends is None
    assert place(found).kind == "unclear"
    tree = found.to_tree()
    assert tree["loss"] is None
    json.dumps(tree, allow_nan=False)


@pytest.mark.parametrize("p", [4, 100])
def test_a_curvature_that_is_not_finite_is_unclear(p: int) -> None:
    """|x|^1.5 at 0: loss 0 and gradient 0, curvature infinite."""
    found = sharpness(lambda x: 1 + (x.abs() ** 1.5).sum(), torch.zeros(p))
    assert found.ends is not None
    assert math.isnan(found.ends.high.value)
    assert place(found).kind == "unclear"
    json.dumps(found.to_tree(), allow_nan=False)


def test_a_cliff_in_the_ball_is_reported() -> None:
    """Beyond x₀ = 1.001 the loss is NaN: the rise is of the losses that were numbers."""
    at = torch.ones(3, dtype=torch.float64)
    found = sharpness(lambda x: 2 - torch.sqrt(1.001 - x[0]), at)
    assert found.ball is not None
    assert not found.ball.finite
    assert 0.5 * math.sqrt(0.001) < found.ball.rise < math.sqrt(0.001)
    tree = found.to_tree()
    assert tree["ball"]["finite"] is False
    json.dumps(tree, allow_nan=False)


def test_a_loss_known_only_nearby_is_climbed_from_nearby() -> None:
    """NaN from a distance of 0.001 on, the ball ten times as wide: its starts come back to the known."""
    found = sharpness(lambda x: 2 + (x - 1).sum() + 0 * torch.sqrt(1e-6 - (x - 1) ** 2).sum(), torch.ones(1))
    assert found.ball is not None
    assert not found.ball.finite
    assert 0.0005 < found.ball.rise < 0.001


# ---------------------------------------------------------------- trace, slope


def test_hutchinson_is_within_its_error() -> None:
    """Over 40 seeds: unbiased, and as far off as it says."""
    loss, at, h = quadratic(np.concatenate([np.linspace(-1, 2, 99), [20.0]]))
    off = []
    for seed in range(40):
        trace = module._trace(module._Point.of(loss, at, None), None, torch.Generator().manual_seed(seed))
        assert trace.draws == module.TRACE_DRAWS
        off.append((trace.value - float(h.trace())) / trace.error)
    assert abs(np.mean(off)) < 3.5 / math.sqrt(40)
    assert 0.7 < np.std(off) < 1.4


def test_the_slope_towards_another_vector() -> None:
    generator = torch.Generator().manual_seed(3)
    g = torch.randn(6, generator=generator, dtype=torch.float64)
    loss, at, h = quadratic([1.0, -2.0, 3.0, 0.0, 5.0, 1.0], slope=g)
    b = at + torch.randn(6, generator=generator, dtype=torch.float64)
    u = (b - at) / (b - at).norm()
    found = sharpness(loss, at, towards=b).towards
    assert found is not None
    assert found.distance == pytest.approx(float((b - at).norm()))
    assert found.slope == pytest.approx(float(g @ u))
    assert found.curvature == pytest.approx(float(u @ h @ u))
    itself = sharpness(loss, at, towards=at).towards
    assert itself is not None
    assert (itself.distance, itself.slope, itself.curvature) == (0.0, None, None)


@pytest.mark.parametrize(("steep", "length"), [(0.01, None), (10.0, 0.1)])
def test_the_step_down_the_gradient_is_cauchys_within_the_reach(steep: float, length: float | None) -> None:
    g = steep * torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
    loss, at, h = quadratic([1.0, 2.0, 3.0], slope=g, start=torch.tensor([1.0, 0.0, 0.0]))
    found = sharpness(loss, at)
    bend = float(g @ h @ g) / steep**2
    length = steep / bend if length is None else length
    assert found.gradient_curvature == pytest.approx(bend)
    assert found.step is not None
    assert found.step.length == pytest.approx(length)
    assert found.step.predicted == pytest.approx(steep * length - bend * length**2 / 2)
    assert found.step.found == pytest.approx(found.step.predicted)


# ---------------------------------------------------------------- balls


@pytest.mark.parametrize("p", [5, 300])
@pytest.mark.parametrize(
    ("low", "high", "steep"),
    [(-1, 4, 0.0), (-1, 4, 0.3), (-6, 2, 0.05), (-6, 2, 0.0), (0, 3, 10.0), (-5, -1, 0.05), (-5, -1, 5.0)],
)
def test_the_rise_in_a_ball_is_nearly_the_exact_maximum(
    p: int, low: float, high: float, steep: float
) -> None:
    """Convex, indefinite and concave; with the gradient below and above what curvature gives."""
    g = torch.randn(p, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    g = g * steep / g.norm()
    loss, at, h = quadratic(np.linspace(low, high, p), slope=g)
    found = sharpness(loss, at, radius=0.1).ball
    assert found is not None
    assert found.radius == pytest.approx(0.1 * float(at.norm()))
    exact = highest(g.numpy(), h.numpy(), found.radius)
    assert found.rise <= exact * (1 + 1e-9) + 1e-12
    assert found.rise == pytest.approx(exact, rel=0.015, abs=1e-12)


def test_the_adaptive_rise_is_the_ball_of_relative_changes() -> None:
    """With δ = |θ|u it is the plain ball of the loss of u: Hessian DHD, gradient Dg."""
    p = 120
    g = torch.randn(p, generator=torch.Generator().manual_seed(5), dtype=torch.float64) / 10
    loss, at, h = quadratic(np.linspace(-1, 3, p), slope=g)
    found = sharpness(loss, at).adaptive
    assert found is not None
    d = at.abs().numpy()
    assert found.radius == pytest.approx(module.RADIUS * math.sqrt(p))
    exact = highest(d * g.numpy(), d[:, None] * h.numpy() * d, found.radius)
    assert exact * 0.985 <= found.rise <= exact * (1 + 1e-9)


@pytest.mark.parametrize("activation", [torch.relu, lambda h: h])
def test_adaptive_sharpness_is_blind_to_rescaled_layers_and_plain_sharpness_is_not(
    activation: Callable[[Tensor], Tensor],
) -> None:
    """W₁·8 and W₂/8 are the same function."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    y = torch.randn(60, 2, generator=generator, dtype=torch.float64)
    at = torch.randn(70, generator=generator, dtype=torch.float64) / 2

    def loss(v: Tensor) -> Tensor:
        w1, w2 = v[:50].reshape(10, 5), v[50:].reshape(2, 10)
        return ((activation(x @ w1.T) @ w2.T - y) ** 2).mean()

    rescaled = torch.cat([at[:50] * 8, at[50:] / 8])
    a, b = sharpness(loss, at), sharpness(loss, rescaled)
    assert a.loss == pytest.approx(b.loss, rel=1e-12)
    assert a.adaptive is not None
    assert b.adaptive is not None
    assert a.adaptive.rise > 0
    assert a.adaptive.rise == pytest.approx(b.adaptive.rise, rel=1e-9)
    assert a.ball is not None
    assert b.ball is not None
    assert max(a.ball.rise, b.ball.rise) > 2 * min(a.ball.rise, b.ball.rise)


def test_a_net_has_a_rise_that_random_moves_do_not_exceed() -> None:
    loss, at = mlp([4, 8, 6, 2])
    found = sharpness(loss, at).ball
    assert found is not None
    moves = torch.randn(500, at.numel(), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moves *= found.radius / moves.norm(dim=1, keepdim=True)
    best = max(float(loss(at + m)) for m in moves) - float(loss(at))
    assert found.rise > 1.5 * best > 0
    assert found.evaluations == 3 * module.ASCENT_STEPS


# ---------------------------------------------------------------- drift


def draws(m: int, mean: Tensor, noise: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return mean + noise * torch.randn(m, len(mean), generator=generator, dtype=mean.dtype)


def test_drift_of_pure_noise_has_no_signal_and_its_interval_covers() -> None:
    """300 draws of 12 displacements: 95% intervals hold the truth, and noise is not taken for a descent."""
    g = torch.ones(20, dtype=torch.float64)
    loss, at, _ = quadratic([0.0] * 20, slope=g, level=2.0)
    shares, held, falls = [], 0, 0
    for seed in range(300):
        found = drift(loss, at, draws(12, torch.zeros(20, dtype=torch.float64), 1e-3, seed))
        assert found.share.value is not None
        assert found.linear.low is not None
        assert found.linear.high is not None
        shares.append(found.share.value)
        held += found.linear.low <= 0 <= found.linear.high
        falls += found.linear.high < -COUNTS
    assert abs(np.mean(shares)) < 4 * np.std(shares) / math.sqrt(300)
    assert 0.91 < held / 300 < 0.985
    assert falls / 300 < 0.06


def test_drift_finds_a_descent_and_its_size() -> None:
    """Mean displacement −10⁻⁵·g of a slope g: the loss of 2 falls by 1000·10⁻⁵·‖g‖² = 0.2."""
    g = torch.ones(20, dtype=torch.float64)
    loss, at, _ = quadratic([0.0] * 20, slope=g, level=2.0)
    held, shares = 0, []
    for seed in range(200):
        found = drift(loss, at, draws(16, -1e-5 * g, 1e-5, seed))
        assert found.linear.low is not None
        assert found.linear.high is not None
        assert found.share.value is not None
        held += found.linear.low <= -0.1 <= found.linear.high
        shares.append(found.share.value)
        assert found.change.low == pytest.approx(found.linear.low)
        assert found.change.high == pytest.approx(found.linear.high)
        assert found.settles is None
    assert 0.90 < held / 200 < 0.99
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
    whole = sharpness(loss, at, displacements=draws(16, -1e-5 * g, 1e-6, 0))
    assert place(whole).kind == "descending"
    assert "-10" in place(whole).summary


def test_drift_down_a_well_stops_at_its_floor() -> None:
    """½‖δ‖² at distance 1, steps of 2%: the floor is 50 steps away, and no loss below it is promised."""
    loss, at, _ = quadratic(
        [1.0] * 20, slope=(s := torch.full((20,), 1 / math.sqrt(20), dtype=torch.float64)), level=1.0
    )
    found = drift(loss, at, draws(16, -0.02 * s, 1e-4, 0))
    assert found.settles == pytest.approx(50, rel=0.05)
    assert found.linear.value == pytest.approx(-20, rel=0.05)
    assert found.change.value == pytest.approx(-0.5, rel=0.1)


def test_a_training_at_rest_in_its_noise_is_not_taken_for_a_descent() -> None:
    """SGD on ½h‖θ‖² in its stationary state falls along its mean displacement and is thrown back as far."""
    p, h, eta, sigma = 50, 2.0, 0.05, 1.0
    s = eta * sigma / math.sqrt(1 - (1 - eta * h) ** 2)
    floor = 20 * h * s**2 * p / 2  # of the loss, 20 times what the noise adds

    def fallen(level: float, m: int) -> tuple[list[float], list[float]]:
        changes, linear = [], []
        for seed in range(60):
            at = draws(1, torch.zeros(p, dtype=torch.float64), s, 1000 + seed)[0]
            moves = draws(m, -eta * h * at, eta * sigma, seed)
            found = drift(lambda x: level + h * (x @ x) / 2, at, moves)
            assert found.change.value is not None
            assert found.change.high is not None
            assert found.linear.high is not None
            changes.append(found.change.high if level else found.change.value)
            linear.append(found.linear.high)
        return changes, linear

    values, linear = fallen(0.0, 128)
    assert np.mean(linear) < -100
    assert abs(np.mean(values)) < 0.15
    highs, linear = fallen(floor, 32)
    assert np.mean([high < -COUNTS for high in linear]) > 0.9
    assert np.mean([high < -COUNTS for high in highs]) < 0.05


def test_the_jackknife_of_a_mean_is_its_t_interval() -> None:
    values = np.random.default_rng(0).normal(size=9)
    without = (values.sum() - values) / 8
    a, b = module._jackknife((float(values.mean()), without)), module._mean(values)
    assert a.low == pytest.approx(b.low)
    assert a.high == pytest.approx(b.high)


def test_a_drift_of_nothing_and_one_of_infinity() -> None:
    loss, at, _ = quadratic([1.0] * 4)
    still = drift(loss, at, torch.zeros(5, 4))
    assert still.share.value is None
    assert still.share.reason == "no displacement moves anything"
    assert still.change == Measure(0.0, 0.0, 0.0)
    wild = drift(loss, at, torch.full((5, 4), math.inf))
    assert wild.change.value is None
    json.dumps(wild.to_tree(), allow_nan=False)
    assert wild.change.reason is not None
    assert "not finite" in wild.change.reason


# ---------------------------------------------------------------- where it sits


def spot(f: Loss, *at: float, **options: Any) -> Place:
    return place(sharpness(f, torch.tensor(at, dtype=torch.float64), **options))


def test_places_of_known_functions() -> None:
    def well(x: Tensor) -> Tensor:
        return (x[0] ** 2 - 1) ** 2 + (x[1:] - 1).square().sum()

    def monkey(x: Tensor) -> Tensor:
        return x[0] ** 3 - 3 * x[0] * x[1] ** 2

    assert spot(well, 1, 1).kind == "minimum"
    assert spot(well, 0, 1).kind == "saddle"
    assert spot(well, 0).kind == "saddle"  # the top itself, at the origin
    assert spot(well, 0.5, 1).kind == "descending"
    assert spot(lambda x: 1 + monkey(x), 0, 0).kind == "plateau"
    assert spot(monkey, 0, 0).kind == "plateau"
    assert spot(lambda x: 3 + 0 * x.sum(), 1, 2).kind == "plateau"
    assert spot(lambda x: 1 - torch.sigmoid(x.sum() - 20), 1, 2).kind == "plateau"
    assert spot(lambda x: 10 + x.sum(), 1, 1).kind == "descending"
    assert spot(lambda x: 10 + x.sum() * 1e-3, 1, 1).kind == "plateau"


def test_the_words_have_the_numbers() -> None:
    said = spot(lambda x: 1 + x[0] ** 2 - 2 * x[1] ** 2 + x[1] ** 4, 1e-9, 0)
    assert said.kind == "plateau"  # at the origin, there is no length to reach by but that of θ itself
    loss, at, _ = quadratic([-2.0, 1.0, 3.0], start=torch.tensor([1.0, 0.0, 0.0]), level=0.5)
    assert place(sharpness(loss, at)).summary == (
        "A saddle: curvature runs from -2 to 3; moving along its low end lowers the loss of 0.5 by 2.0% "
        "over 0.1 of the parameters' length."
    )
    loss, at, _ = quadratic([1.0, 3.0], start=torch.tensor([1.0, 0.0]), level=0.1)
    assert place(sharpness(loss, at)).summary == (
        "A minimum: curvature runs from 1 to 3; no step down the gradient lowers the loss."
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loss_of_zero_has_its_place(dtype: torch.dtype) -> None:
    loss, at, _ = quadratic(np.linspace(0.5, 2, 80), level=0.0, dtype=dtype)
    found = sharpness(loss, at, displacements=torch.full((5, 80), 1e-9))
    assert place(found).kind == "minimum"
    assert found.relative(1.0) is None
    assert found.drift is not None
    assert not found.drift.relative
    loss, at, _ = quadratic(np.linspace(-0.5, 2, 80), level=0.0, dtype=dtype)
    assert place(sharpness(loss, at)).kind == "saddle"
    flat = place(sharpness(lambda x: (x * 0).sum(), at))
    assert flat.kind == "plateau"
    slope = place(sharpness(lambda x: (x - at).sum(), at))
    assert slope.kind == "descending"


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize(("low", "kind"), [(0.5, "minimum"), (-0.01, "minimum"), (-1.0, "saddle")])
def test_the_place_does_not_depend_on_the_unit_of_the_loss(low: float, kind: str, factor: float) -> None:
    """A curvature of −1% of the largest or less is the tail of a minimum."""
    loss, at, _ = quadratic(np.linspace(low, 2, 90), level=0.2)
    assert place(sharpness(lambda x: factor * loss(x), at)).kind == kind


def test_a_given_scale_stands_in_for_a_loss_that_cancels() -> None:
    """Terms of +100 and −100 leave 0.001: changes of 1 are small beside 200."""
    loss, at, _ = quadratic([1.0, 2.0], start=torch.tensor([3.0, 4.0]), level=0.001)
    assert place(sharpness(loss, at)).kind == "minimum"
    assert place(sharpness(loss, at, scale=200.0)).kind == "plateau"


def with_drift(loss: Loss, at: Tensor, low: float, high: float) -> Place:
    change = Measure((low + high) / 2, low, high)
    found = sharpness(loss, at)
    moving = Drift(Measure(0.5, 0.4, 0.6), change, change, None, 16, True)
    return place(replace(found, drift=moving))


def test_a_drift_outweighs_the_gradient_on_these_samples() -> None:
    g = torch.tensor([0.3, 0.0, 0.0], dtype=torch.float64)
    loss, at, _ = quadratic([1.0, 2.0, 3.0], slope=g, level=0.5)
    assert place(sharpness(loss, at)).kind == "descending"
    assert with_drift(loss, at, -0.002, 0.002).kind == "minimum"
    assert "a step down the gradient lowers" in with_drift(loss, at, -0.002, 0.002).summary
    assert with_drift(loss, at, -0.05, 0.02).kind == "unclear"
    assert with_drift(loss, at, -0.05, -0.02).kind == "descending"
    rest, at, _ = quadratic([1.0, 2.0, 3.0], level=0.5)
    assert with_drift(rest, at, -0.05, 0.02).kind == "minimum"  # nothing to descend: only noise


def test_a_step_that_only_the_gradient_promises_is_no_descent() -> None:
    """1 − δ + 10⁹·δ⁴ has slope −1 at 0, but has risen again before a thousandth."""
    found = sharpness(lambda x: 1 - (x - 1).sum() + 1e9 * ((x - 1) ** 4).sum(), torch.ones(1).double())
    assert found.step is not None
    assert found.step.predicted == pytest.approx(0.1)
    assert found.step.found < 0
    assert place(found).kind == "minimum"
    assert "no step down the gradient lowers the loss" in place(found).summary


def test_a_slope_along_negative_curvature_makes_no_saddle() -> None:
    """Curvature of −0.1 alone lowers the loss of 0.5 by 0.1% within the reach; the slope does the rest."""
    start = torch.tensor([1.0, 0.0, 0.0])
    flat, at, h = quadratic([-0.1, 2.0, 3.0], start=start, level=0.5)
    g = 0.3 * torch.linalg.eigh(h).eigenvectors[:, 0]
    for way in (g, -g):
        loss, at, _ = quadratic([-0.1, 2.0, 3.0], slope=way, start=start, level=0.5)
        assert with_drift(loss, at, -0.002, 0.002).kind == "minimum"
    assert place(sharpness(flat, at, scale=0.01)).kind == "saddle"  # where 0.0005 counts


@pytest.mark.parametrize(("residual", "kind"), [(0.0, "saddle"), (RESIDUAL, "minimum")])
def test_a_residual_cannot_decide_a_saddle(residual: float, kind: str) -> None:
    """−0.0102 is below −1% of 1 by less than a residual of 0.001."""
    loss, at, _ = quadratic([-0.0102, 0.5, 1.0], start=torch.tensor([10.0, 0.0, 0.0]), level=0.1)
    found = sharpness(loss, at)
    assert found.ends is not None
    unsure = replace(found.ends, low=replace(found.ends.low, residual=residual))
    assert place(replace(found, ends=unsure)).kind == kind


def test_where_a_net_sits_before_and_after_its_training() -> None:
    """A quasi-Newton method's end is a minimum; a weight decay sees to it that there is one."""
    error, at = mlp([2, 3, 1])

    def loss(x: Tensor) -> Tensor:
        return error(x) + 0.01 * x.square().sum()

    assert place(sharpness(loss, at)).kind == "descending"
    here = at.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([here], max_iter=2000, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(here)
        value.backward()
        return value

    optimiser.step(closure)
    found = sharpness(loss, here.detach())
    assert found.gradient < 1e-4
    assert found.ends is not None
    assert found.ends.low.value > -1e-4
    assert place(found).kind == "minimum"


# ---------------------------------------------------------------- results


def test_equal_seeds_give_equal_results_and_others_do_not() -> None:
    loss, at = mlp([4, 8, 6, 2])
    moves = draws(6, torch.zeros_like(at), 1e-3, 0)
    a, b = (sharpness(loss, at, towards=at + 1, displacements=moves, seed=4) for _ in range(2))
    assert a == b
    assert a.to_tree() == b.to_tree()
    other = sharpness(loss, at, seed=5)
    assert other.trace != a.trace
    assert other.ends is not None
    assert a.ends is not None
    assert other.ends.high.value == pytest.approx(a.ends.high.value, rel=1e-6)


def test_the_tree_is_plain_json() -> None:
    loss, at = mlp([4, 8, 6, 2])
    found = sharpness(loss, at, towards=at + 1, displacements=draws(6, torch.zeros_like(at), 1e-3, 0))
    tree = json.loads(json.dumps(found.to_tree(), allow_nan=False))
    assert set(tree) == set(vars(found)) - {"rounding", "gradient_curvature"}
    assert tree["ends"]["high"]["value"] == found.ends.high.value  # type: ignore[union-attr]
    assert tree["reach"] == pytest.approx(REACH * float(at.norm()))
    assert json.loads(json.dumps(place(found).to_tree())).keys() == {"kind", "summary"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"towards": torch.ones(3)}, "towards has shape (3,) beside a vector (2,)"),
        ({"displacements": torch.ones(2)}, "displacements has shape (2,) beside a vector (2,)"),
        ({"displacements": torch.ones(MIN_DRAWS - 1, 2)}, "3 displacements, expected at least 4"),
        ({"radius": 0.0}, "radius is 0.0"),
        ({"scale": -1.0}, "scale is -1.0"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SharpnessError) as caught:
        sharpness(lambda x: x.square().sum(), torch.ones(2), **options)
    assert said in str(caught.value)


def test_bad_losses_and_vectors_are_named() -> None:
    with pytest.raises(SharpnessError, match="the loss has shape"):
        ends(lambda x: x, torch.ones(2))
    with pytest.raises(SharpnessError, match="expected floats"):
        ends(lambda x: x.sum(), torch.ones(2, 2))
    with pytest.raises(SharpnessError, match="expected floats"):
        ends(lambda x: x.sum(), torch.arange(3))


def test_results_can_be_shown_without_torch() -> None:
    code = "import sys; import diag.landscapes.sharpness; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
