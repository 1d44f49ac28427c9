"""What a module's subject is made of: names, components, hidden units, groups; and what does not fit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import diag
from diag.sources.torch_losses import from_module
from diag.sources.torch_objective import ModuleObjective
from diag.subject import Layered, Stateful, SubjectError
from diag.units.symmetry import Units
from tests.modules import N, dense, pair, squared


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
