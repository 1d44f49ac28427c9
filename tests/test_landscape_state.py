"""State that is no free weight: computed afresh, left at the nearer end, refused, or named."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import diag
from diag.outputs.registry import html, text
from diag.sources.torch_losses import from_module
from diag.sources.torch_state import largest_singular
from diag.subject import SubjectError
from tests.landscapes import EXACT, X, Y, between, own, squared, total

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
