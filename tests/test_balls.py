"""The largest rise in a ball: exact maxima of quadratics, and what it is blind to."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from diag.landscapes.balls import STEPS, plain_ball
from diag.landscapes.point import Point
from diag.landscapes.sharpness import RADIUS, sharpness
from diag.landscapes.spectrum import ends
from tests.losses import mlp, quadratic


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
    top = ends(loss, at).high.vector
    assert top is not None
    found = plain_ball(Point.of(loss, at), 0.1 * float(at.norm()), top)
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
    assert found.radius == pytest.approx(RADIUS * math.sqrt(p))
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
    assert found.evaluations == 3 * STEPS
