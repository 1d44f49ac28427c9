"""State that is no free weight: computed afresh, left at the nearer end, refused, or named."""

from __future__ import annotations

import copy
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
from diag.landscapes.result import Landscape
from diag.outputs.json import render
from diag.outputs.registry import html, text
from diag.sources.torch_losses import from_module
from diag.sources.torch_state import largest_singular
from diag.subject import SubjectError

X, Y = torch.randn(2, 48, 3, generator=torch.Generator().manual_seed(0))[:, :, :]
Y = Y[:, :2]
EXACT = 1e-5
"""Relative: what float32 leaves of sums that are taken in another order."""


def squared(model: Any, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"mse": (model(batch[0]).float() - batch[1].float()).square().flatten(1).mean(1)}


def own(model: nn.Module, losses: Callable[..., dict[str, Tensor]] = squared, batch: Any = (X, Y)) -> float:
    with torch.inference_mode():
        return float(losses(copy.deepcopy(model).eval(), batch)["mse"].double().mean())


def between(
    a: nn.Module, b: nn.Module, losses: Any = squared, batch: Any = (X, Y), points: int = 5, **options: Any
) -> Landscape:
    ends = [from_module(m, losses, batch, name=name) for m, name in ((a, "A"), (b, "B"))]
    return diag.landscape(*ends, points=points, beyond=0, **{"quick": True, **options})


def total(found: Landscape) -> Any:
    return found.routes["raw"].losses["total"]


# --- Spectral norm, weight norm ---------------------------------------------------------------------------

KINDS = {"hook": nn.utils.spectral_norm, "parametrization": nn.utils.parametrizations.spectral_norm}


def spectral(kind: str, seed: int, converged: bool = True) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(KINDS[kind](nn.Linear(3, 8)), nn.Tanh(), KINDS[kind](nn.Linear(8, 2)))
    with torch.no_grad():
        for _ in range(200 if converged else 3):
            model.train()(X)
    return model.eval()


def vectors(model: nn.Module) -> list[Tensor]:
    return [t for name, t in model.named_buffers() if name.endswith(("_u", "_v"))]


@pytest.mark.filterwarnings("ignore:.*spectral_norm.*:FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("converged", [True, False])
def test_the_same_spectral_norm_with_its_vectors_negated_is_the_same_everywhere(
    kind: str, converged: bool
) -> None:
    a, b = spectral(kind, 0, converged), spectral(kind, 0, converged)
    with torch.no_grad():
        for vector in vectors(b):
            vector.neg_()
    found = between(a, b)
    assert total(found) == pytest.approx(own(a), rel=EXACT)
    assert any("Spectral norm of 0.weight, 2.weight" in words for words in found.notes)


@pytest.mark.filterwarnings("ignore:.*spectral_norm.*:FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_spectral_norm_between_two_nets_is_that_of_the_weight_between(kind: str) -> None:
    a, b = spectral(kind, 0), spectral(kind, 1)
    weights = [[t for n, t in m.named_parameters() if "orig" in n] for m in (a, b)]
    biases = [[t for n, t in m.named_parameters() if "bias" in n] for m in (a, b)]

    def direct(t: float) -> float:
        (w1, w2), (b1, b2) = (
            [torch.lerp(x, y, t) for x, y in zip(*pair, strict=True)] for pair in (weights, biases)
        )
        w1, w2 = (w / torch.linalg.matrix_norm(w, 2) for w in (w1, w2))
        return float((torch.tanh(X @ w1.T + b1) @ w2.T + b2 - Y).square().mean())

    with torch.no_grad():
        expected = [direct(t) for t in np.linspace(0, 1, 5)]
    # To the power iteration's own rounding.
    assert total(between(a, b)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.filterwarnings("ignore:.*spectral_norm.*:FutureWarning")
def test_stored_vectors_that_are_no_singular_vectors_are_told() -> None:
    """With u negated alone, B divides by −σ: a jump, and its own loss at its end all the same."""
    a, b = spectral("hook", 0), spectral("hook", 0)
    with torch.no_grad():
        vectors(b)[0].neg_()
    found = between(a, b)
    assert total(found)[[0, -1]] == pytest.approx([own(a), own(b)], rel=EXACT)
    (warning,) = found.warnings
    assert warning.startswith(f"B's own loss is {own(b):.4g}, and {own(a):.4g} with its spectral norms")


def test_the_largest_singular_value_has_both_derivatives() -> None:
    matrix = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert float(largest_singular(matrix)) == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)))
    matrix.requires_grad_(True)
    assert torch.autograd.gradcheck(largest_singular, matrix)
    assert torch.autograd.gradgradcheck(largest_singular, matrix)
    assert torch.isnan(largest_singular(torch.full((2, 2), torch.nan)))
    equal = torch.eye(3, dtype=torch.float64, requires_grad=True)  # all singular values are equal
    (slope,) = torch.autograd.grad(largest_singular(equal), equal, create_graph=True)
    assert bool(torch.autograd.grad(slope.sum(), equal)[0].isfinite().all())


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_weight_that_a_hook_makes_is_that_of_each_point_though_the_layer_is_not_called() -> None:
    def read(model: Any, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        return {"mse": (batch[0] @ model.layer.weight.T - batch[1]).square().mean(1)}

    class Holder(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.layer = nn.utils.weight_norm(nn.Linear(3, 2, bias=False))
            self.layer(X)  # leaves a weight that no deep copy can be made of

    a, b = Holder(0), Holder(1)
    g, v = (torch.lerp(getattr(a.layer, n), getattr(b.layer, n), 0.5) for n in ("weight_g", "weight_v"))
    middle = g * v / v.norm(dim=1, keepdim=True)
    found = total(between(a, b, read))
    assert found[2] == pytest.approx(float((X @ middle.detach().T - Y).square().mean()), rel=EXACT)
    assert found[2] != pytest.approx(found[0], rel=0.01)


# --- Batch statistics -------------------------------------------------------------------------------------


def normed(seed: int, momentum: float | None = 1.0) -> nn.Sequential:
    """With momentum 1 its running averages are those of the batch, but for n/(n − 1)."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8, momentum=momentum), nn.Tanh(), nn.Linear(8, 2))
    model.train()(X)
    return model.eval()


def test_batch_statistics_are_those_of_the_batch_at_every_point() -> None:
    a, b = normed(0), normed(1)
    for model in (a, b):
        model[1].running_var.mul_(47 / 48)
    expected = []
    for t in np.linspace(0, 1, 5):
        middle = copy.deepcopy(a)
        with torch.no_grad():
            for mine, other in zip(middle.parameters(), b.parameters(), strict=True):
                mine.lerp_(other, float(t))
            expected.append(float(squared(middle.train(), (X, Y))["mse"].mean()))
    found = between(a, b)
    assert total(found) == pytest.approx(expected, rel=1e-4)
    assert any("Batch statistics of 1: re-estimated on the given samples" in words for words in found.notes)
    assert "re-estimated" in " ".join(text(found).split())
    assert "re-estimated" in html(found)


def test_averages_are_those_of_the_whole_batch_though_convolutions_see_it_in_parts() -> None:
    def net(seed: int) -> nn.Sequential:
        torch.manual_seed(seed)
        norm = nn.BatchNorm2d(2, momentum=1.0)
        model = nn.Sequential(nn.Conv2d(1, 2, 3), norm, nn.Tanh(), nn.Flatten(), nn.Linear(128, 2))
        model.train()(images)
        count = 64 * len(images)
        norm.running_var.mul_((count - 1) / count)  # type: ignore[union-attr, operator]
        return model.eval()

    generator = torch.Generator().manual_seed(3)
    images = (
        torch.randn(600, 1, 10, 10, generator=generator) * torch.linspace(0.1, 2, 600)[:, None, None, None]
    )
    batch = images, torch.zeros(600, 2)
    a, b = net(0), net(1)
    middle = copy.deepcopy(a)
    with torch.no_grad():
        for mine, other in zip(middle.parameters(), b.parameters(), strict=True):
            mine.lerp_(other, 0.5)
        expected = float(squared(middle.train(), batch)["mse"].mean())
    assert total(between(a, b, batch=batch))[2] == pytest.approx(expected, rel=1e-4)


def test_running_averages_of_other_data_join_without_a_jump_and_beyond_the_ends_too() -> None:
    a, b = normed(0), normed(1)
    a[1].running_var.mul_(3.0)
    b[1].running_mean.add_(0.5)
    pair = [from_module(m, squared, (X, Y), name=n) for m, n in ((a, "A"), (b, "B"))]
    found = diag.landscape(*pair, points=201, beyond=0.5, quick=True)
    losses, t = total(found), found.routes["raw"].t
    assert losses[[int(abs(t - end).argmin()) for end in (0, 1)]] == pytest.approx(
        [own(a), own(b)], rel=EXACT
    )
    assert np.isfinite(losses).all()
    # A step of the curve is small beside its range everywhere, at the ends too.
    assert np.abs(np.diff(losses)).max() < 0.05 * (losses.max() - losses.min())


def test_running_averages_that_are_equal_in_both_are_constants() -> None:
    a, b = normed(0), normed(1)
    b[1].load_state_dict(
        {**b[1].state_dict(), "running_mean": a[1].running_mean, "running_var": a[1].running_var}
    )
    middle = copy.deepcopy(a)
    with torch.no_grad():
        for mine, other in zip(middle.parameters(), b.parameters(), strict=True):
            mine.lerp_(other, 0.5)
    found = between(a, b)
    assert total(found)[2] == pytest.approx(own(middle), rel=EXACT)
    assert found.notes == ()


def test_what_is_held_keeps_its_own_averages_and_what_moves_has_them_afresh() -> None:
    class Parts(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.body, self.head = (
                normed(seed),
                nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)),
            )
            self.train()(X)
            self.eval()

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.head(self.body(x))
            return found

    a, b = Parts(0), Parts(1)
    for moved, held in (("body", "head"), ("head", "body")):
        mixed = copy.deepcopy(b)
        mixed.get_submodule(held).load_state_dict(a.get_submodule(held).state_dict())
        found = between(a, b, move=[moved])
        assert total(found)[[0, -1]] == pytest.approx([own(a), own(mixed)], rel=EXACT)
        (words,) = found.notes
        assert f"{moved}.1: re-estimated" in words
        assert any(f"{held}: held at A's values" in warning for warning in found.warnings)


# --- What has nothing in between --------------------------------------------------------------------------


class Permuted(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Linear(3, 2)
        self.register_buffer("order", torch.randperm(3))
        self.register_buffer("keep", torch.tensor([True, seed != 1]))
        self.register_buffer("calls", torch.tensor(seed))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x[:, self.order]) * self.keep
        return found


def test_a_permutation_that_differs_is_the_nearer_ends_and_named() -> None:
    a, b = Permuted(0), Permuted(1)
    a.order, b.order = torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1])
    found = between(a, b, points=4, quick=False, curve_steps=5)
    assert total(found)[[0, -1]].tolist() == [pytest.approx(own(a)), pytest.approx(own(b))]
    for t, nearer, index in ((1 / 3, a, 1), (2 / 3, b, 2)):
        middle = copy.deepcopy(nearer)
        with torch.no_grad():
            for mine, one, two in zip(middle.parameters(), a.parameters(), b.parameters(), strict=True):
                mine.copy_(torch.lerp(one, two, t))
        assert total(found)[index] == pytest.approx(own(middle), rel=EXACT)
    (warning,) = found.warnings
    assert warning.startswith("model/order, model/keep, model/calls differ between the checkpoints")
    assert "curve" not in found.routes
    assert "cannot move along it" in found.missing["an optimised curve"]
    assert found.seats[1].sharpness.loss == pytest.approx(own(b), rel=EXACT)


def test_a_counter_that_no_loss_reads_is_nobodys_business() -> None:
    a, b = Permuted(0), Permuted(1)
    b.order, b.keep = a.order.clone(), a.keep.clone()
    assert between(a, b).warnings == ()


def test_a_plane_has_each_checkpoints_own_state() -> None:
    models = [Permuted(seed) for seed in range(3)]
    for model, order in zip(models, ([0, 1, 2], [2, 0, 1], [1, 2, 0]), strict=True):
        model.order = torch.tensor(order)
    a, b, c = (from_module(m, squared, (X, Y), name=n) for m, n in zip(models, "ABC", strict=True))
    (plane,) = diag.landscape(a, b, third=c, points=3, steps=7, quick=True).planes
    zero, one = (int(abs(plane.alpha - x).argmin()) for x in (0, 1))
    losses = plane.losses["target"]["total"]
    found = [losses[zero, zero], losses[zero, one], losses[one, zero]]
    assert found == pytest.approx([own(m) for m in models], rel=EXACT)


def test_modules_that_differ_in_what_is_not_registered_are_refused() -> None:
    class Scaled(Permuted):
        scale = 1.0

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * super().forward(x)

    a, b = Scaled(0), Scaled(1)
    b.scale = 2.0
    with pytest.raises(SubjectError, match=r"by its own module and .* register_buffer"):
        between(a, b)


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
