"""Where a checkpoint sits: the word and the sentence for losses whose shape is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diag.landscapes.drift import Drift, Walk
from diag.landscapes.place import Place, place
from diag.landscapes.sharpness import sharpness
from diag.landscapes.spectrum import RESIDUAL
from probes import Measure
from tests.losses import Loss, mlp, quadratic


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
        "Saddle: curvature runs from -2 to 3; moving along its low end lowers the loss of 0.5 by 2.0% "
        "over 0.1 of the parameters' length."
    )
    loss, at, _ = quadratic([1.0, 3.0], start=torch.tensor([1.0, 0.0]), level=0.1)
    assert place(sharpness(loss, at)).summary == (
        "Minimum: curvature runs from 1 to 3; no step down the gradient lowers the loss."
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loss_of_zero_has_its_place(dtype: torch.dtype) -> None:
    loss, at, _ = quadratic(np.linspace(0.5, 2, 80), level=0.0, dtype=dtype)
    here = at.expand(5, -1)
    found = sharpness(loss, at, walk=Walk(here, here + 1e-9, 80))
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
    moving = Drift(Measure(0.5, 0.4, 0.6), change, 80, 16, True)
    return place(replace(found, drift=moving))


def test_a_drift_outweighs_the_gradient_on_these_samples() -> None:
    g = torch.tensor([0.3, 0.0, 0.0], dtype=torch.float64)
    loss, at, _ = quadratic([1.0, 2.0, 3.0], slope=g, level=0.5)
    assert place(sharpness(loss, at)).kind == "descending"
    rests = with_drift(loss, at, -0.002, 0.002)
    assert rests.kind == "resting"
    assert "a step down the gradient lowers" in rests.summary
    assert with_drift(loss, at, -0.01, 0.06).kind == "resting"  # no fall, and no rise that is established
    assert with_drift(loss, at, 0.5, 0.9).kind == "unclear"  # training on raises the loss: that is no rest
    assert with_drift(loss, at, -0.08, 0.02).kind == "unclear"
    assert with_drift(loss, at, -0.08, -0.06).kind == "descending"
    rest, at, _ = quadratic([1.0, 2.0, 3.0], level=0.5)
    assert with_drift(rest, at, -0.08, 0.02).kind == "minimum"  # nothing to descend: only noise


def test_no_minimum_has_a_step_that_lowers_it_and_strong_negative_curvature() -> None:
    """Once "Minimum: curvature runs from −43.7 to 174 … a step down … lowers the loss by 10.4%"."""
    g = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    start = torch.tensor([0.01, 0.0, 0.0])
    loss, at, _ = quadratic([-43.7, 20.0, 174.0], slope=g, start=start, level=0.03)
    found = sharpness(loss, at)
    assert found.step is not None
    assert found.step.found > 0.01 * found.loss
    said = with_drift(loss, at, -0.01, 0.02)
    assert said.kind == "resting"
    assert said.summary.startswith(
        "At rest within its noise: training on from here changes the loss by +0.5%"
    )
    assert "It is no minimum: a step down the gradient lowers the loss" in said.summary
    assert "curvature runs from -43.7 to 174" in said.summary


def test_negative_curvature_that_lowers_nothing_makes_neither_a_minimum_nor_a_saddle() -> None:
    """A curvature of −3% of the largest that changes the loss by 0.1% within the reach."""
    start = torch.tensor([1.0, 0.0, 0.0])
    loss, at, _ = quadratic([-0.1, 2.0, 3.0], start=start, level=0.5)
    said = place(sharpness(loss, at))
    assert said.kind == "unclear"
    assert said.summary.startswith("Unclear: neither a minimum nor a descent; curvature runs from -0.1 to 3")


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("spectrum", [[-2.0, 1.0, 3.0], [1.0, 2.0, 3.0], [-1e-9, 0.0, 1e-9]])
def test_an_end_that_did_not_converge_decides_no_word(spectrum: list[float], end: str) -> None:
    loss, at, _ = quadratic(spectrum, start=torch.tensor([1.0, 0.0, 0.0]), level=0.5)
    found = sharpness(loss, at)
    assert place(found).kind in ("saddle", "minimum", "plateau")
    assert found.ends is not None
    unsure = replace(getattr(found.ends, end), converged=False)
    said = place(replace(found, ends=replace(found.ends, **{end: unsure})))
    assert said.kind == "unclear"
    assert "the ends of the curvature have a residual" in said.summary


def test_a_step_that_only_the_gradient_promises_is_no_descent() -> None:
    """1 − δ + 10⁹·δ⁴ has slope −1 at 0, but has risen again before a thousandth."""
    found = sharpness(lambda x: 1 - (x - 1).sum() + 1e9 * ((x - 1) ** 4).sum(), torch.ones(1).double())
    assert found.step is not None
    assert found.step.predicted == pytest.approx(0.1)
    assert 0 < found.step.found < 0.01
    assert place(found).kind == "minimum"
    assert "a step down the gradient lowers the loss of 1 by" in place(found).summary


def test_a_slope_along_negative_curvature_makes_no_saddle() -> None:
    """Curvature of −0.1 alone lowers the loss of 0.5 by 0.1% within the reach; the slope does the rest."""
    start = torch.tensor([1.0, 0.0, 0.0])
    flat, at, h = quadratic([-0.1, 2.0, 3.0], start=start, level=0.5)
    g = 0.3 * torch.linalg.eigh(h).eigenvectors[:, 0]
    for way in (g, -g):
        loss, at, _ = quadratic([-0.1, 2.0, 3.0], slope=way, start=start, level=0.5)
        assert with_drift(loss, at, -0.002, 0.002).kind == "resting"
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
