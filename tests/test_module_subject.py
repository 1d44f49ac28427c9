"""Any torch module as a subject: the caller's stays as it was, and quick ways equal the plain one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import diag
from diag.landscapes.space import Space, Straight
from diag.sources.torch_losses import from_module
from diag.sources.torch_objective import ROWS, ModuleObjective
from diag.subject import Layered, StackedObjective, Stateful, Subject, SubjectError
from diag.units.symmetry import Units

N = 40


def squared(model: Any, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"mse": (model(batch[0]).flatten(1) - batch[1]).square().mean(1)}


def dense(dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(6, 20), nn.Tanh(), nn.Dropout(dropout), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 3))
    )


class Viewed(nn.Module):
    """Channels-last maps have no such view: a way that is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.maps(x))
        found: Tensor = self.head(y.view(len(y), -1))
        return found


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.GRU | nn.LSTM]) -> None:
        super().__init__()
        self.memory, self.head = kind(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.memory(x)[0][:, -1])
        return found


def convolutional() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 8, 2), nn.Tanh(), nn.Flatten(), nn.Linear(32, 3)),
    )


SHAPES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense": (dense, (6,)),
    "dropout": (lambda: dense(0.5), (6,)),
    "norm": (lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)), (6,)),
    "conv": (convolutional, (2, 8, 8)),
    "plain conv": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3)),
        (2, 8, 8),
    ),
    "view": (Viewed, (2, 8, 8)),
    "gru": (lambda: Recurrent(nn.GRU), (5, 6)),
    "lstm": (lambda: Recurrent(nn.LSTM), (5, 6)),
    "attention": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), nn.Flatten(), nn.Linear(30, 3)
        ),
        (5, 6),
    ),
}


def pair(name: str, n: int = N) -> tuple[list[nn.Module], tuple[Tensor, Tensor]]:
    """Two modules, their running statistics no longer those of a fresh one; and a batch."""
    torch.manual_seed(0)
    make, shape = SHAPES[name]
    batch = torch.randn(n, *shape), torch.randn(n, 3)
    modules = [make(), make()]
    for module in modules:
        module.train()(torch.randn(16, *shape))
    return modules, batch


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


class Agent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 4), nn.Tanh())
        self.q, self.target = nn.Linear(4, 2), nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
        self.register_buffer("mean", torch.randn(6))


class Step(NamedTuple):
    observation: Tensor
    action: Tensor


def td(agent: Agent, batch: Step) -> dict[str, Tensor]:
    agent.seen += 1
    z = agent.encoder(batch.observation - agent.mean) * agent.scale
    value = agent.q(z).gather(1, batch.action[:, None])[:, 0]
    return {"td": (value - agent.target(z).amax(1)).square(), "size": z.square().sum(1)}


def test_names_components_pinned_parts_and_buffers() -> None:
    torch.manual_seed(0)
    agent, other = Agent(), Agent()
    batch = Step(torch.randn(N, 6), torch.arange(N) % 2)
    labels = [f"episode {i // 10}" for i in range(N)]
    subject = from_module(
        agent, td, batch, pinned=["target"], terms={"size": 0.1}, groups=labels, task="source"
    )
    assert subject.parameters is not None
    assert set(subject.parameters) == {
        *("encoder/0.weight", "encoder/0.bias", "q/weight", "q/bias", "model/scale", "model/mean"),
        *("model/seen", "model/mask"),
    }
    assert isinstance(subject.objective, Stateful)
    assert subject.objective.discrete == {"model/seen", "model/mask"}
    assert isinstance(subject.objective, ModuleObjective)
    assert subject.objective.terms == {"td": 1.0, "size": 0.1}
    assert subject.objective.pinned == ("target/weight, target/bias: held at the values in model",)
    assert subject.label == "Agent of 45 numbers, target held"
    assert subject.tasks is not None
    sampled = subject.tasks.batch("source", 7, 0)
    assert len(sampled.batch.action) == N
    assert isinstance(sampled.batch, Step)
    assert sampled.groups.tolist() == [i // 10 for i in range(N)]
    assert list(subject.tasks.paired_observations(None, 0).observations) == ["source"]

    # At the other end everything is the other's but the target network, and the counter counts for nobody.
    second = from_module(other, td, batch, pinned=["target"], terms={"size": 0.1})
    assert second.parameters is not None
    mixed = copy.deepcopy(other)
    mixed.target.load_state_dict(agent.target.state_dict())
    with torch.inference_mode():
        found = subject.objective.losses(second.parameters, batch)
        expected = td(mixed, batch)
    assert all(torch.equal(found[term], expected[term]) for term in expected)
    assert agent.seen == 0

    assert second.objective is not None
    assert second.objective.constants == subject.objective.constants
    assert subject.sha256 != second.sha256
    assert subject.sha256 == from_module(agent, td, batch, pinned=["target"], name="again").sha256


def test_a_bare_sequence_is_one_component_whatever_it_is_called() -> None:
    modules, batch = pair("dense")
    names = [
        list(from_module(m, squared, batch, name=n).parameters or {})
        for m, n in zip(modules, "ab", strict=True)
    ]
    assert names[0] == names[1]
    assert names[0][:2] == ["model/0.weight", "model/0.bias"]


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


def test_hidden_units_and_what_they_give() -> None:
    for name, sizes in (("dense", {"0": 20, "3": 10}), ("conv", {"0": 4, "4": 8})):
        modules, batch = pair(name)
        units = tuple(Units(f"model/{layer}", size, False, ()) for layer, size in sizes.items())
        subject = from_module(modules[0], squared, batch, units=units)
        assert isinstance(subject.objective, Layered)
        assert subject.objective.units == units
        assert subject.parameters is not None
        found = subject.objective.activations(subject.parameters, batch)
        assert {n: v.shape[:2] for n, v in found.items()} == {u.name: (N, u.size) for u in units}
        with torch.inference_mode():
            assert torch.equal(found["model/0"], modules[0].get_submodule("0")(batch[0]))
        assert not isinstance(from_module(modules[0], squared, batch).objective, Layered)
        wrong = from_module(modules[0], squared, batch, units=[Units("model/1", 3, False, ())])
        assert isinstance(wrong.objective, Layered)
        with pytest.raises(
            SubjectError, match="found units 'model/1'; expected a dense layer or convolution"
        ):
            wrong.objective.activations(subject.parameters, batch)


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (lambda m, b: m(b[0]).mean(), r"found a Tensor from its losses; expected losses \{term: \(40,\)\}"),
        (lambda m, b: None, "found nothing from its losses"),
        (lambda m, b: {}, "found nothing from its losses"),
        (lambda m, b: {"mse": m(b[0]).square().mean()}, r"found 'mse' of shape \(\)"),
        (lambda m, b: {"mse": m(b[0]).square()}, r"found 'mse' of shape \(40, 3\)"),
        (lambda m, b: {"mse": 1.0}, "found 'mse' as a float"),
    ],
)
def test_losses_that_are_not_per_sample(losses: Callable[..., Any], words: str) -> None:
    modules, batch = pair("dense")
    with pytest.raises(SubjectError, match=words) as error:
        from_module(modules[0], losses, batch, name="mine")
    assert error.value.path == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"groups": [0, 1]}, r"groups of shape \(2,\); expected \(40,\)"),
        ({"terms": {"mae": 1.0}}, "found a weight of 'mae'; expected one of the losses mse"),
        ({"pinned": ["target"]}, "found no parameter under 'target'; expected one of 0.weight"),
        ({"pinned": ["0", "3", "5"]}, "found no floating parameters that move"),
    ],
)
def test_options_that_do_not_fit(options: Mapping[str, Any], words: str) -> None:
    modules, batch = pair("dense")
    with pytest.raises(SubjectError, match=words):
        from_module(modules[0], squared, batch, **options)


@pytest.mark.parametrize("batch", [(torch.zeros(3, 6), torch.zeros(2, 3)), (), torch.zeros(0, 6), "words"])
def test_batches_that_do_not_fit(batch: Any) -> None:
    with pytest.raises(SubjectError, match=r"expected tensors with the same n samples in each"):
        from_module(dense(), squared, batch)


def test_a_batch_that_grew_wrong_later_is_said_not_hidden() -> None:
    modules, batch = pair("dense")
    subjects = [from_module(m, squared, batch) for m in modules]
    objective, space, vectors = at(subjects, [0.2, 0.6])
    with pytest.raises(SubjectError, match="the same n samples"):
        objective.losses_many(space.many(vectors), (batch[0], batch[1][:3]))


def test_other_data_are_another_task() -> None:
    modules, batch = pair("dense")
    given = [from_module(modules[0], squared, (batch[0], batch[1] + i)).tasks for i in (0, 1, 0)]
    first, second, third = (tasks.name for tasks in given if tasks is not None)
    assert first == third != second


class Named(NamedTuple):
    x: Tensor
    y: Tensor


def test_a_named_tuple_stays_one_all_the_way() -> None:
    """The landscape moves the batch to its device by the same code that the subject read it with."""
    batch = Named(torch.randn(30, 3), torch.zeros(30, 2))

    def losses(model: Any, given: Named) -> dict[str, Tensor]:
        return {"error": (model(given.x) - given.y).square().mean(1)}

    a, b = (from_module(nn.Linear(3, 2), losses, batch, name=name) for name in "ab")
    assert diag.landscape(a, b, points=3, quick=True).samples == 30
