"""What training leaves out to be fast changes no bit: beside updates written plainly, with autograd alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import EXAMPLES, short
from trainers import checkpoint as files
from trainers.crar import CRAR, Trainer
from trainers.crar_terms import COMPONENT_OF_TERM
from trainers.envs import collect, world
from trainers.plan import BASE_PLAN, TransferPlan, named_plan, plan_names
from trainers.rmsprop import RMSprop
from trainers.stack import Stack, component_of

UPDATES = 8
ALL_TERMS = "transition,reward,discount,bound,entropy_random,entropy_successive"
LAST_LAYERS = {
    "name": "last-layers",
    "rules": [
        {"component": "*", "action": "freeze"},
        {"component": "encoder", "parameters": "[2-4].*", "action": "copy"},
        {"component": "encoder", "parameters": "3.weight", "action": "freeze"},
        {"component": "transition", "parameters": "0.bias", "action": "copy"},
    ],
}
MODELS = {
    "name": "models",
    "rules": [{"component": "*", "action": "copy"}, {"component": "encoder", "action": "freeze"}],
}
PLANS = {
    "base": BASE_PLAN,
    **{name: named_plan(name) for name in plan_names()},
    **{str(tree["name"]): TransferPlan.from_tree(tree) for tree in (LAST_LAYERS, MODELS)},
}


def trainer(algorithm: str, plan: TransferPlan, size: int, terms: str | None = None) -> Trainer:
    """From fresh weights for a base or for all terms, from the example's base for a transfer."""
    settings = short(f"transfer.algorithm={algorithm}", f"transfer.updates={UPDATES}")
    if terms is not None:
        settings = settings.with_overrides([f"loss.terms={terms}"])
    the_world = world("simple-maze")
    agent = CRAR(settings, the_world)
    members = [agent.fresh(seed) for seed in range(size)]
    if plan is not BASE_PLAN and terms is None:
        base = files.read(EXAMPLES / "base.safetensors").tensors
        members = [plan.initialise([base], m, np.random.default_rng(i)) for i, m in enumerate(members)]
    data = [collect(the_world, 500, 100, seed) for seed in range(size)]
    return Trainer(agent, settings.transfer, "target", plan, members, data, [(s,) for s in range(size)])


def plain_update(t: Trainer) -> None:
    """One update of ``t`` without what ``Trainer.update`` saves: one graph from the loss to the weights."""
    agent, stack, batch = t.agent, t.stack, t._batch()
    pictures = torch.from_numpy(agent.world.observations["target"])
    trained = [n for n in sorted(stack.views) if stack.views[n].requires_grad]
    terms = t.plan.active_terms(agent.settings.loss.terms, t.step, t.phase.updates)

    def losses(wanted: tuple[str, ...]) -> dict[str, Tensor]:
        found = agent.losses_at(stack.views, agent.embed(stack.views, pictures), batch, wanted)
        return {term: values.mean(-1) for term, values in found.items()}

    def gradient(loss: Tensor, components: set[str | None]) -> dict[str, Tensor]:
        names = [n for n in trained if component_of(n) in components]
        if not names:
            return {}
        found = torch.autograd.grad(loss.sum(), [stack.views[n] for n in names], retain_graph=True)
        flat = {c: torch.zeros_like(stack.buffers[c]) for c in dict.fromkeys(map(component_of, names))}
        for name, value in zip(names, found, strict=True):
            flat[component_of(name)][:, stack.span(name)] = value.flatten(1)
        return flat

    @torch.no_grad()
    def step(found: dict[str, Tensor], optimiser: str, rate: float) -> None:
        norms = [torch.linalg.vector_norm(g, dim=1, keepdim=True) for g in found.values()]
        for component, g in found.items():
            norm = norms[0] if len(norms) == 1 else torch.cat(norms, 1).norm(dim=1, keepdim=True)
            g = g * (1.0 / norm.clamp_min(1.0))
            v = t.squares.setdefault(optimiser, {}).setdefault(component, torch.zeros_like(g))
            v.mul_(0.9).addcmul_(g, g, value=1 - 0.9)
            stack.buffers[component].addcdiv_(g, v.sqrt() + 1e-4, value=-rate)

    def descend(term: str, found: dict[str, Tensor]) -> None:
        if found:
            slower = 5.0 if term == "entropy_successive" else 1.0
            step(found, {"reward": "heads", "discount": "heads"}.get(term, term), t.learning_rate() / slower)

    match t.phase.algorithm:
        case "separate":
            for term in terms:
                descend(term, gradient(losses((term,))[term], {"encoder", COMPONENT_OF_TERM[term]}))
        case "shared":
            at = losses(terms)
            every = {x: gradient(at[x], {"encoder", COMPONENT_OF_TERM[x]}) for x in terms}
            for term, found in every.items():
                descend(term, found)
        case "summed":
            at = losses(terms)
            total = sum((agent.weight_of(x) * at[x].sum() for x in terms), torch.zeros(()))
            reached = {"encoder", *(COMPONENT_OF_TERM[x] for x in terms)}
            if any(component_of(n) in reached for n in trained):
                step(gradient(total, reached), "summed", t.learning_rate())
    t.step += 1


def products_agree() -> bool:
    """Whether a product made as (out, in) is rounded here like one made as (in, out) and turned."""
    rng = torch.Generator().manual_seed(0)
    shapes = ((200, 64), (100, 200), (50, 100))
    pairs = [[torch.randn(8, 32, n, generator=rng) for n in shape] for shape in shapes]
    return all(torch.equal(torch.bmm(s.mT, x), torch.bmm(x.mT, s).mT) for s, x in pairs)


def equal(a: Tensor, b: Tensor) -> bool:
    """To the bit where that is promised (``DIRECT`` in trainers/nets.py), elsewhere to rounding."""
    return torch.equal(a, b) if products_agree() else torch.allclose(a, b, rtol=1e-3, atol=1e-5)


def assert_same(ours: Trainer, plain: Trainer) -> None:
    for component, buffer in plain.stack.buffers.items():
        assert equal(ours.stack.buffers[component], buffer), component
    assert {k: set(v) for k, v in ours.squares.items()} == {k: set(v) for k, v in plain.squares.items()}
    for optimiser, found in plain.squares.items():
        for component, square in found.items():
            assert equal(ours.squares[optimiser][component], square), (optimiser, component)


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("algorithm", ["separate", "shared", "summed"])
def test_updates_are_autograds_bit_for_bit(algorithm: str, plan: str, size: int) -> None:
    ours, plain = (trainer(algorithm, PLANS[plan], size) for _ in range(2))
    for _ in range(UPDATES):
        ours.update()
        plain_update(plain)
    assert_same(ours, plain)


@pytest.mark.parametrize("algorithm", ["separate", "shared", "summed"])
def test_so_are_updates_with_all_terms(algorithm: str) -> None:
    ours, plain = (trainer(algorithm, PLANS["base"], 3, ALL_TERMS) for _ in range(2))
    for _ in range(UPDATES):
        ours.update()
        plain_update(plain)
    assert_same(ours, plain)


def test_roots_of_denormal_squares_are_lost_beside_epsilon() -> None:
    """From every power of two that float32 knows, and from 0."""
    powers = torch.cat([torch.zeros(1), 2.0 ** torch.arange(-149.0, 20.0, dtype=torch.float64)]).float()
    assert (powers[1:] > 0).all()
    gradient = torch.full_like(powers, 1e-3)[None]
    stack = Stack([{"a/w": torch.zeros_like(powers)}])
    padded = torch.zeros_like(stack.buffers["a"])
    padded[:, : len(powers)] = gradient
    squares = torch.zeros_like(padded)
    squares[:, : len(powers)] = powers
    expected = -0.5 * gradient / (squares[:, : len(powers)].sqrt() + 1e-4)
    RMSprop(rho=1.0).step(stack, {"a": padded}, {"a": squares}, 0.5)
    assert torch.equal(stack.views["a/w"], expected)
