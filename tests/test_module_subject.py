"""Any torch module as a subject: the caller's stays as it was, and quick ways equal the plain one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diag.landscapes.space import Space, Straight
from diag.sources.torch_losses import from_module
from diag.sources.torch_objective import ROWS, ModuleObjective
from diag.subject import StackedObjective, Subject, SubjectError
from tests.modules import SHAPES, N, pair, squared


def at(subjects: list[Subject], t: list[float]) -> tuple[Any, Space, Tensor]:
    first, second = subjects
    assert first.parameters is not None
    assert second.parameters is not None
    space = Space.of(first.parameters, list(first.parameters))
    path = Straight(space.pack(first.parameters), space.pack(second.parameters))
    return first.objective, space, path(torch.tensor(t))


def everything(module: nn.Module) -> dict[str, Any]:
    return {
        "tensors": {n: t.clone() for n, t in module.state_dict().items()},
        "training": [part.training for part in module.modules()],
        "grad": [(p.requires_grad, p.grad) for p in module.parameters()],
        "storage": [t.data_ptr() for t in module.state_dict().values()],
        "hooks": [len(part._forward_hooks) for part in module.modules()],
    }


@pytest.mark.parametrize("name", SHAPES)
def test_losses_at_the_ends_are_the_modules_own_to_the_bit(name: str) -> None:
    modules, batch = pair(name)
    subjects = [from_module(m, squared, batch) for m in modules]
    objective, space, ends = at(subjects, [0.0, 1.0])
    for module, vector in zip(modules, ends, strict=True):
        with torch.inference_mode():
            own = squared(copy.deepcopy(module).eval(), batch)["mse"]
            found = objective.losses(space.one(vector), batch)["mse"]
        assert torch.equal(found, own)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("n", [N, ROWS])
def test_many_points_are_one_after_another_to_rounding(name: str, grad: bool, n: int) -> None:
    modules, batch = pair(name, n if name == "dense" else N)
    objective, space, vectors = at([from_module(m, squared, batch) for m in modules], [0.1, 0.4, 0.5, 1.3])
    assert isinstance(objective, StackedObjective)
    with torch.set_grad_enabled(grad):
        for _ in range(2):  # the first call tries the ways
            found = objective.losses_many(space.many(vectors), batch)["mse"]
            plain = torch.stack([objective.losses(space.one(v), batch)["mse"] for v in vectors])
            torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)


def ways(subject: Subject) -> list[str]:
    assert isinstance(subject.objective, ModuleObjective)
    return [way.__name__ for way in subject.objective._ways]


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("dense", ["_side_by_side"]),
        ("dropout", ["_side_by_side"]),
        ("norm", ["_side_by_side"]),
        ("conv", ["_channels_last", "_in_turn"]),
        ("view", ["_in_turn"]),
        ("gru", []),
        ("lstm", []),
        ("attention", []),
    ],
)
def test_each_module_takes_the_quickest_way_that_is_open(name: str, left: list[str]) -> None:
    modules, batch = pair(name)
    subjects = [from_module(m, squared, batch) for m in modules]
    objective, space, vectors = at(subjects, [0.2, 0.6])
    with torch.inference_mode():
        objective.losses_many(space.many(vectors), batch)
    assert ways(subjects[0]) == left


@pytest.mark.parametrize("pairs_rows", [False, True])
def test_losses_between_rows_are_never_parted(pairs_rows: bool) -> None:
    """Declared or not: undeclared, the parts disagree with the plain way and are given up."""
    modules, (seen, wanted) = pair("plain conv")
    seen = seen.repeat(10, 1, 1, 1)  # of several parts
    batch = seen + torch.randn(seen.shape), wanted.repeat(10, 1)

    def centred(model: Any, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        y = model(batch[0])
        return {"spread": (y - y.mean(0)).square().sum(1), "pairs": (y - y.roll(1, 0)).norm(dim=1)}

    subjects = [from_module(m, centred, batch, pairs_rows=pairs_rows) for m in modules]
    objective, space, vectors = at(subjects, [0.2, 0.6])
    with torch.inference_mode():
        found = objective.losses_many(space.many(vectors), batch)
        for index, vector in enumerate(vectors):
            for term, values in objective.losses(space.one(vector), batch).items():
                torch.testing.assert_close(found[term][index], values, rtol=1e-5, atol=1e-5)
    assert ways(subjects[0]) == (["_channels_last", "_in_turn"] if pairs_rows else [])


def test_the_quick_tanh_keeps_large_small_and_missing_numbers() -> None:
    def direct(model: Any, batch: Tensor) -> dict[str, Tensor]:
        return {"tanh": (model(torch.ones(1, 1)) * batch).tanh()}

    x = torch.tensor(
        [-torch.inf, -200.0, -45.0, -3.0, -1e-3, 0.0, 1e-3, 3.0, 45.0, 200.0, torch.inf, torch.nan]
    )
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1)
    subject = from_module(model, lambda m, b: {"tanh": direct(m, b)["tanh"][0]}, x)
    objective, space, vectors = at([subject, subject], [0.0, 1.0])
    with torch.inference_mode():
        found = objective.losses_many(space.many(vectors), x)["tanh"]
    assert ways(subject) == ["_side_by_side"]
    torch.testing.assert_close(found[1], x.tanh(), rtol=0, atol=3e-7, equal_nan=True)


@pytest.mark.parametrize("name", SHAPES)
def test_the_callers_module_is_left_alone_and_later_training_does_not_reach_the_subject(name: str) -> None:
    modules, batch = pair(name)
    model = modules[0]
    next(model.parameters()).requires_grad_(False)
    before = everything(model)
    subjects = [from_module(m, squared, batch) for m in modules]
    objective, space, vectors = at(subjects, [0.0, 0.3, 1.0])
    with torch.inference_mode():
        objective.losses_many(space.many(vectors), batch)
        first = objective.losses(space.one(vectors[0]), batch)["mse"].clone()
    leaf = vectors[1].clone().requires_grad_(True)
    objective.losses(space.one(leaf), batch)["mse"].sum().backward()
    after = everything(model)
    assert all(torch.equal(t, after["tensors"][n]) for n, t in before.pop("tensors").items())
    assert before == {key: value for key, value in after.items() if key != "tensors"}

    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    with torch.inference_mode():
        assert torch.equal(objective.losses(space.one(vectors[0]), batch)["mse"], first)


def test_gradients_and_curvature_reach_the_parameters() -> None:
    modules, batch = pair("norm")
    objective, space, vectors = at([from_module(m, squared, batch) for m in modules], [0.5])

    def total(vector: Tensor) -> Tensor:
        found: Tensor = objective.losses(space.one(vector), batch)["mse"].mean()
        return found

    leaf = vectors[0].double().requires_grad_(True)
    (slope,) = torch.autograd.grad(total(leaf), leaf, create_graph=True)
    along = torch.randn(len(leaf), dtype=torch.float64)
    (bent,) = torch.autograd.grad(slope @ along, leaf)
    assert bent.abs().max() > 0
    statistics = [v for name, v in space.one(slope.detach()).items() if "running" in name]
    assert len(statistics) == 2
    assert not any(v.any() for v in statistics)  # nothing descends them
    along[slope == 0] = 0
    step = 1e-3
    rise = total(leaf.detach() + step * along) - total(leaf.detach() - step * along)
    assert float(rise / (2 * step)) == pytest.approx(float(slope.detach() @ along), rel=1e-2)


def test_gradients_of_many_points_are_those_of_each() -> None:
    for name in ("dense", "conv", "gru"):
        modules, batch = pair(name)
        objective, space, vectors = at([from_module(m, squared, batch) for m in modules], [0.3, 0.7])
        leaf = vectors.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(objective.losses_many(space.many(leaf), batch)["mse"].sum(), leaf)
        for row, vector in zip(found, vectors, strict=True):
            one = vector.clone().requires_grad_(True)
            (plain,) = torch.autograd.grad(objective.losses(space.one(one), batch)["mse"].sum(), one)
            torch.testing.assert_close(row, plain, rtol=1e-4, atol=1e-5)


def test_tied_parameters_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.there, self.back = nn.Linear(6, 6), nn.Linear(6, 6)
            self.back.weight = self.there.weight

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.back(torch.tanh(self.there(x)))[:, :3]
            return found

    torch.manual_seed(0)
    modules, batch = [Tied(), Tied()], (torch.randn(N, 6), torch.randn(N, 3))
    subjects = [from_module(m, squared, batch) for m in modules]
    assert "back/weight" not in (subjects[0].parameters or {})
    objective, space, vectors = at(subjects, [1.0, 0.5])
    with torch.inference_mode():
        assert torch.equal(
            objective.losses(space.one(vectors[0]), batch)["mse"], squared(modules[1], batch)["mse"]
        )
        found = objective.losses_many(space.many(vectors), batch)["mse"]
        torch.testing.assert_close(found[0], squared(modules[1], batch)["mse"])


def test_a_batch_that_grew_wrong_later_is_said_not_hidden() -> None:
    modules, batch = pair("dense")
    subjects = [from_module(m, squared, batch) for m in modules]
    objective, space, vectors = at(subjects, [0.2, 0.6])
    with pytest.raises(SubjectError, match="the same n samples"):
        objective.losses_many(space.many(vectors), (batch[0], batch[1][:3]))
