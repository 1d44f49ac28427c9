"""Stacked training: the numbers of a seed are its own, the optimiser is RMSprop, gradients are right."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import short, train
from trainers import checkpoint as files
from trainers.crar import CRAR, Trainer
from trainers.crar_terms import Batch
from trainers.envs import collect, world
from trainers.nets import TanhNet
from trainers.plan import BASE_PLAN, named_plan
from trainers.rmsprop import RMSprop
from trainers.settings import Settings
from trainers.stack import Gradients, Stack, gradients


def trainer(settings: Settings, seeds: list[int]) -> Trainer:
    the_world = world("simple-maze")
    agent = CRAR(settings, the_world)
    return Trainer(
        agent,
        settings.train,
        "source",
        BASE_PLAN,
        [agent.fresh(s) for s in seeds],
        [collect(the_world, 500, 100, s) for s in seeds],
        [(s,) for s in seeds],
    )


ALL_TERMS = "transition,reward,discount,bound,entropy_random,entropy_successive"


@pytest.mark.parametrize("terms", ["transition,bound,entropy_random,entropy_successive", ALL_TERMS])
@pytest.mark.parametrize("algorithm", ["separate", "shared", "summed"])
def test_a_seed_does_not_depend_on_its_neighbours(algorithm: str, terms: str) -> None:
    """Bit for bit, wherever it stands in the stack and however many stand beside it."""
    settings = short(f"train.algorithm={algorithm}", f"loss.terms={terms}")
    stacks = [[5], [5, 1], [1, 5], [0, 1, 5], list(range(7))]
    found = []
    for seeds in stacks:
        running = trainer(settings, seeds)
        for _ in range(12):
            running.update()
        found.append(running.stack.member(seeds.index(5)))
    for other in found[1:]:
        for name, tensor in found[0].items():
            assert torch.equal(tensor, other[name]), name


def test_reward_and_discount_can_be_trained_too() -> None:
    running = trainer(short(f"loss.terms={ALL_TERMS}", "train.updates=400"), [0])
    for _ in range(200):
        running.update()
    first = running.take_losses()
    for _ in range(200):
        running.update()
    later = running.take_losses()
    assert later["discount"] < 0.5 * first["discount"]
    assert later["reward"] < 0.5 * first["reward"]
    assert set(running.squares) == {"transition", "heads", "bound", "entropy_random", "entropy_successive"}


def test_separate_steps_see_what_the_step_before_left() -> None:
    """Two terms stepped one after the other, by hand with autograd and torch's own RMSprop."""
    settings = short("loss.terms=entropy_successive,bound")
    running = trainer(settings, [3])
    agent = running.agent
    start = {n: t.clone().requires_grad_() for n, t in running.stack.member(0).items()}
    batch = running._batch()
    pictures = torch.from_numpy(agent.world.observations["source"]).flatten(1)

    def embed(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        x = pictures
        for layer in range(5):
            x = x @ parameters[f"encoder/{layer}.weight"].T + parameters[f"encoder/{layer}.bias"]
            x = torch.tanh(x) if layer < 4 else x
        return x

    def entropy() -> torch.Tensor:
        x = embed(start)
        d2 = (x[batch.state[0]] - x[batch.next_state[0]]).square().sum(1)
        return torch.exp(-5 * d2.clamp(1e-6, 10).sqrt()).mean()

    def bound() -> torch.Tensor:
        return (embed(start)[batch.state[0]].square().amax(1) - 1).clamp(0, 100).mean()

    names = [n for n in start if n.startswith("encoder")]
    for loss, rate in ((entropy, 5e-4 / 5), (bound, 5e-4)):
        optimiser = torch.optim.RMSprop([start[n] for n in names], lr=rate, alpha=0.9, eps=1e-4)
        optimiser.zero_grad()
        loss().backward()
        torch.nn.utils.clip_grad_norm_([start[n] for n in names], 1.0, error_if_nonfinite=True)
        optimiser.step()
    running.update()
    for name in names:
        torch.testing.assert_close(running.stack.member(0)[name], start[name].detach(), atol=2e-6, rtol=1e-4)


def test_rmsprop_by_hand() -> None:
    stack = Stack([{"a/w": torch.tensor([1.0, 2.0])}])
    squares: dict[str, torch.Tensor] = {}
    optimiser = RMSprop(rho=0.5, epsilon=0.1, clip=1.0)
    flat = torch.zeros_like(stack.buffers["a"])
    flat[0, :2] = torch.tensor([3.0, 4.0])  # norm 5, clipped to (0.6, 0.8)
    optimiser.step(stack, {"a": flat}, squares, 0.1)
    root = [math.sqrt(0.5 * g * g) for g in (0.6, 0.8)]
    expected = [1 - 0.1 * 0.6 / (root[0] + 0.1), 2 - 0.1 * 0.8 / (root[1] + 0.1)]
    assert stack.member(0)["a/w"].tolist() == pytest.approx(expected, rel=1e-6)


def test_the_clipped_norm_is_the_step_s_or_each_variable_s_own() -> None:
    """A weight of norm 5 beside a bias of norm 1, each in a component of its own and in one."""
    for names in (("a/w", "a/b"), ("a/w", "b/b")):
        for clip_by, kept in (("step", 1 / math.hypot(5, 1)), ("variable", 1.0)):
            stack = Stack([{name: torch.zeros(2) for name in names}] * 2)
            slopes = {c: torch.zeros_like(b) for c, b in stack.buffers.items()}
            for name, slope in zip(names, ([3.0, 4.0], [0.6, 0.8]), strict=True):
                slopes[name[0]][1, stack.span(name)] = torch.tensor(slope)
            # ρ = 0 and a large ε: a step is -lr·g/(|g| + ε), by which g is known.
            RMSprop(rho=0.0, epsilon=1e3, clip=1.0, clip_by=clip_by).step(stack, slopes, {}, 1e3)
            w, b = (stack.views[name][1].tolist() for name in names)
            scale = kept if clip_by == "step" else 1 / 5
            assert w == pytest.approx([-3 * scale, -4 * scale], rel=2e-3)
            assert b == pytest.approx([-0.6 * kept, -0.8 * kept], rel=2e-3)
            assert all((stack.views[name][0] == 0).all() for name in names)


@pytest.mark.parametrize("after", [0, 30])
def test_the_learning_rate_falls_in_steps_from_where_it_is_told(after: int) -> None:
    running = trainer(short("train.decay=0.5", "train.decay_every=10", f"train.decay_after={after}"), [0])
    rates = []
    for running.step in (0, 9, 10, 29, 30, 39, 40, 50):
        rates.append(running.learning_rate() / 5e-4)
    assert rates == [1, 1, 0.5, 0.25, 0.125, 0.125, 0.0625, 0.03125] if not after else [1] * 6 + [0.5, 0.25]


def test_gradients_match_finite_differences() -> None:
    rng = np.random.default_rng(0)
    net = TanhNet((3, 5, 2))
    members = [{f"n/{k}": v.double() for k, v in net.fresh(rng).items()} for _ in range(2)]
    stack = Stack(members)
    stack.train_only(["n/0.weight", "n/1.bias"])
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    found = Gradients(stack)
    gradients(net(stack.views, "n", x).square().sum(), stack, ["n"], found)
    flat = found.buffers["n"]
    assert (flat[:, stack.span("n/0.bias")] == 0).all()
    assert (flat[:, stack.span("n/1.weight")] == 0).all()
    for name, index in (("n/0.weight", 7), ("n/1.bias", 1)):
        at = stack.span(name).start + index
        values = []
        for shift in (1e-2, -1e-2):
            moved = Stack(members)
            moved.buffers["n"][1, at] += shift
            with torch.no_grad():
                values.append(net(moved.views, "n", x)[1].square().sum().item())
        assert flat[1, at].item() == pytest.approx((values[0] - values[1]) / 2e-2, rel=1e-2)


def test_entropy_has_finite_gradients_for_equal_states() -> None:
    agent = CRAR(short(), world("simple-maze"))
    stack = Stack([agent.fresh(0)])
    embeddings = torch.zeros(1, 31, 2, requires_grad=True)
    zeros = torch.zeros(1, 4, dtype=torch.long)
    batch = Batch(zeros, zeros, zeros.float(), zeros.bool(), zeros, zeros)
    loss = agent.losses_at(stack.views, embeddings, batch, ("entropy_random",))["entropy_random"].sum()
    (gradient,) = torch.autograd.grad(loss, embeddings)
    assert torch.isfinite(gradient).all()


def test_terminal_transitions_do_not_count_and_change_the_discount() -> None:
    agent = CRAR(short("loss.terms=transition,discount"), world("simple-maze"))
    stack = Stack([agent.fresh(0)])
    embeddings = torch.randn(1, 31, 2, generator=torch.Generator().manual_seed(0))
    index = torch.arange(4)[None]
    made = [
        Batch(index, index % 4, torch.zeros(1, 4), torch.full((1, 4), end), index + 1, index)
        for end in (False, True)
    ]
    with torch.no_grad():
        on, over = (agent.losses_at(stack.views, embeddings, b, ("transition", "discount")) for b in made)
    assert (over["transition"] == 0).all()
    assert (on["transition"] > 0).all()
    size = over["discount"].sqrt()  # |prediction|, whose sign the loss at a terminal does not tell
    either = torch.isclose((size - 0.9).square(), on["discount"], atol=1e-5)
    assert (either | torch.isclose((size + 0.9).square(), on["discount"], atol=1e-5)).all()


def test_frozen_components_stay_bit_for_bit(trained: Path) -> None:
    base = files.read(trained / "base" / "seed0.safetensors")
    moved = files.read(trained / "transfer" / "seed0.safetensors")
    assert moved.header.base is not None
    assert moved.header.base["sha256"] == base.sha256
    for name, tensor in base.tensors.items():
        assert torch.equal(tensor, moved.tensors[name]) == name.startswith("transition")


def test_fine_tuning_moves_everything(trained: Path, tmp_path: Path) -> None:
    base = trained / "base" / "seed0.safetensors"
    train(tmp_path, short(), (0,), base, named_plan("fine-tune"))
    moved = files.read(tmp_path / "seed0.safetensors").tensors
    assert not any(torch.equal(t, moved[n]) for n, t in files.read(base).tensors.items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_trains_to_about_the_same(tmp_path: Path) -> None:
    from trainers.processes import execute
    from trainers.run import Run, prepare

    found = {}
    for device in ("cpu", "cuda"):
        run = Run(short(), (0, 1), str(tmp_path / device), device=device)
        assert execute(run, prepare(run, False, False), 1, lambda n: None)
        found[device] = files.read(run.path(0)).tensors
    for name, tensor in found["cpu"].items():
        torch.testing.assert_close(tensor, found["cuda"][name], atol=1e-3, rtol=1e-2)
