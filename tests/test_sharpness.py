"""All that is taken of a loss about a point: what autograd may answer, slopes and steps, and the JSON."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from diag.landscapes.drift import Walk
from diag.landscapes.place import place
from diag.landscapes.point import SharpnessError
from diag.landscapes.sharpness import RADIUS, REACH, sharpness
from tests.losses import mlp, quadratic


def still(at: Tensor) -> Walk:
    """Five continuations that go nowhere but by noise."""
    early, late = 1e-3 * torch.randn(2, 5, len(at), generator=torch.Generator().manual_seed(0))
    return Walk(at + early, at + late, 80)


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
        found = sharpness(loss, at, towards=at + 1, walk=still(at))
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
    assert found.ball.rise == pytest.approx(RADIUS * p)
    assert found.adaptive is not None
    assert found.adaptive.rise == pytest.approx(RADIUS * p)


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


def test_equal_seeds_give_equal_results_and_others_do_not() -> None:
    loss, at = mlp([4, 8, 6, 2])
    walk = still(at)
    a, b = (sharpness(loss, at, towards=at + 1, walk=walk, seed=4) for _ in range(2))
    assert a == b
    assert a.to_tree() == b.to_tree()
    other = sharpness(loss, at, seed=5)
    assert other.trace != a.trace
    assert other.ends is not None
    assert a.ends is not None
    assert other.ends.high.value == pytest.approx(a.ends.high.value, rel=1e-6)


def test_the_tree_is_plain_json() -> None:
    loss, at = mlp([4, 8, 6, 2])
    found = sharpness(loss, at, towards=at + 1, walk=still(at))
    tree = json.loads(json.dumps(found.to_tree(), allow_nan=False))
    assert set(tree) == set(vars(found)) - {"rounding", "gradient_curvature"}
    assert tree["ends"]["high"]["value"] == found.ends.high.value  # type: ignore[union-attr]
    assert tree["reach"] == pytest.approx(REACH * float(at.norm()))
    assert json.loads(json.dumps(place(found).to_tree())).keys() == {"kind", "summary"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"towards": torch.ones(3)}, "towards has shape (3,) beside a vector (2,)"),
        ({"walk": still(torch.ones(3))}, "a walk of shape (5, 3) beside a vector (2,)"),
        ({"scale": -1.0}, "scale is -1.0"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SharpnessError) as caught:
        sharpness(lambda x: x.square().sum(), torch.ones(2), **options)
    assert said in str(caught.value)


def test_results_can_be_shown_without_torch() -> None:
    code = "import sys; import diag.landscapes.place; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
