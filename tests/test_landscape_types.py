"""Landscapes of numbers of any type and of attention: complex, wide, half, missing, and without curvature."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

import diag
from diag.outputs.json import render
from diag.outputs.registry import html, text
from diag.sources.torch_losses import from_module
from diag.subject import SubjectError
from tests.landscapes import EXACT, X, Y, between, own, squared, total

# --- Types ------------------------------------------------------------------------------------------------


class Complex(nn.Module):
    def __init__(self, w: complex) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w]))

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, :1] * self.w).abs()


def test_complex_parameters_move() -> None:
    """From 3 to 4i through 1.5 + 2i: the losses are (|x·w| − y)²."""
    found = between(Complex(3 + 0j), Complex(4j), points=3)
    expected = [float(((X[:, :1] * w).abs() - Y).square().mean()) for w in (3.0, 2.5, 4.0)]
    assert total(found) == pytest.approx(expected, rel=EXACT)
    assert found.distance == pytest.approx(5)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_width_move(dtype: torch.dtype) -> None:
    class Stored(nn.Module):
        def __init__(self, w: float) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([w]).to(dtype), requires_grad=False)

        def forward(self, x: Tensor) -> Tensor:
            return x[:, :1] * self.w.float()

    found = between(Stored(1.0), Stored(2.0), points=3)
    expected = [float((X[:, :1] * w - Y).square().mean()) for w in (1.0, 1.5, 2.0)]
    assert total(found) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Parameter(torch.eye(3).to_sparse(), requires_grad=False), "w as a sparse_coo tensor"),
        (nn.UninitializedParameter, "w without a shape yet"),
        (lambda: nn.Parameter(torch.empty(3, device="meta")), "w without numbers"),
    ],
)
def test_what_no_line_can_be_drawn_through_is_refused_by_name(make: Any, words: str) -> None:
    model = nn.Linear(3, 2)
    model.register_parameter("w", make())
    with pytest.raises(SubjectError, match=words):
        from_module(model, squared, (X, Y))


def dense(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


def test_one_weight_that_is_not_a_number_leaves_the_other_end_alone() -> None:
    from diag.units.layers import units_of

    models = [dense(seed) for seed in range(3)]
    with torch.no_grad():
        models[1][0].weight[0, 0] = torch.nan
    a, b, c = (
        from_module(m, squared, (X, Y), name=n, units=units_of(m, "model/"))
        for m, n in zip(models, "ABC", strict=True)
    )
    found = diag.landscape(a, b, third=c, points=5, steps=7, beyond=0, curve_steps=5)
    assert total(found)[0] == pytest.approx(own(models[0]), rel=EXACT)
    assert np.isnan(total(found)[1:]).all()
    assert found.verdict.status == "inconclusive"
    assert "not finite at 4 of 5 points from A to B; A's own is" in found.verdict.summary
    assert any("B holds weights that are not finite: 1 in model/0.weight" in w for w in found.warnings)
    assert found.seats[0].sharpness.loss == pytest.approx(own(models[0]), rel=EXACT)
    assert found.seats[1].place.kind == "unclear"
    (plane,) = found.planes
    zero = int(abs(plane.alpha).argmin())
    losses = plane.losses["target"]["total"]
    assert np.isfinite(losses[:, zero]).all()  # from A to C, where B has no part
    assert json.loads(render(found))["slice"]["losses"]["total"][1:] == [None] * 4
    for show in (text, html):
        assert "not finite" in show(found)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_in_half_precision_is_judged_in_single(dtype: torch.dtype) -> None:
    models = [dense(seed).to(dtype) for seed in (0, 1)]
    batch = X.to(dtype), Y.to(dtype)
    found = between(*models, batch=batch, quick=False, curve_steps=5)  # type: ignore[misc]
    assert total(found)[[0, -1]].tolist() == [pytest.approx(own(m, batch=batch), abs=0) for m in models]
    name = str(dtype).removeprefix("torch.")
    assert any(f"Precision: the network holds {name}" in words for words in found.notes)
    wide = between(
        *(m.float() for m in models), batch=(batch[0].float(), batch[1].float()), quick=False, curve_steps=5
    )  # type: ignore[misc]
    for seat, same in zip(found.seats, wide.seats, strict=True):
        assert seat.place == same.place
        assert seat.sharpness.ends is not None
        assert seat.sharpness.ends.converged


def test_a_module_that_insists_on_half_precision_has_its_seats_left_out_with_the_reason() -> None:
    class Insists(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.inner = dense(seed).to(torch.bfloat16)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.inner(x.to(torch.bfloat16))
            return found

    found = between(Insists(0), Insists(1), quick=False, curve_steps=5)
    assert np.isfinite(total(found)).all()
    assert found.seats == ()
    assert "where the checkpoints sit" in found.missing


# --- Attention --------------------------------------------------------------------------------------------


SEQUENCES = torch.randn(24, 5, 4, generator=torch.Generator().manual_seed(2)), torch.zeros(24, 2)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
        self.body, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.body(x).mean(1))
        return found


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.heads(x, x, x, need_weights=False)[0].mean(1))
        return found


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = scaled_dot_product_attention(self.q(x)[:, None], x[:, None], x[:, None])
        found: Tensor = self.head(y[:, 0].mean(1))
        return found


@pytest.mark.parametrize("make", [Encoder, Heads, Scaled])
def test_attention_has_its_curvature(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    models = [make(), make()]
    before = torch.backends.mha.get_fastpath_enabled()
    found = between(*models, batch=SEQUENCES, points=3, quick=False, curve_steps=2)  # type: ignore[misc]
    assert found.missing == {}
    for seat, model in zip(found.seats, models, strict=True):
        assert seat.sharpness.ends is not None
        assert seat.sharpness.ends.converged
        assert seat.sharpness.loss == pytest.approx(own(model, batch=SEQUENCES), rel=EXACT)
    assert torch.backends.mha.get_fastpath_enabled() is before


class Once(torch.autograd.Function):
    """The square, with a derivative and no second one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * gradients[0]


def test_where_there_is_no_second_derivative_the_rest_is_kept_and_the_reason_said() -> None:
    def once(model: Any, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        return {"mse": Once.apply(model(batch[0]) - batch[1]).mean(1)}

    found = between(dense(0), dense(1), once, quick=False, curve_steps=5)
    plain = between(dense(0), dense(1), quick=False, curve_steps=5)
    assert total(found) == pytest.approx(total(plain), rel=EXACT)
    assert set(found.routes) == set(plain.routes)
    for name, seat, other in zip("AB", found.seats, plain.seats, strict=True):
        assert seat.sharpness.ends is None
        assert seat.sharpness.gradient == pytest.approx(other.sharpness.gradient, rel=1e-4)
        assert "Once can be differentiated once only" in found.missing[f"the curvature at {name}"]
    for show in (text, html):
        assert "differentiated once only" in " ".join(show(found).split())
    tree = json.loads(render(found))
    assert tree["sharpness"]["A"]["ends"] is None
    assert "once only" in tree["missing"]["the curvature at A"]
    assert "once only" in tree["sharpness"]["A"]["reason"]


def test_losses_that_insist_on_a_fused_kernel_keep_all_but_their_curvature() -> None:
    class Fused(Scaled):
        def forward(self, x: Tensor) -> Tensor:
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                return super().forward(x)

    torch.manual_seed(0)
    found = between(Fused(), Fused(), batch=SEQUENCES, points=3, quick=False, curve_steps=2)
    assert set(found.missing) == {"the curvature at A", "the curvature at B"}
    assert "torch has no second derivative of aten::_scaled_dot" in found.missing["the curvature at A"]
    assert all(seat.sharpness.gradient > 0 for seat in found.seats)
