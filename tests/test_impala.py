"""IMPALA learns, remembers, resumes bit for bit, and moves the parts that a plan lets move, and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import train
from tests.impala_agents import LENGTH, agent, cue_agent, tiny
from tests.stopped import goes_on_bit_for_bit
from trainers import checkpoint as files
from trainers.checkpoint import CheckpointError
from trainers.impala import IMPALA, Outputs, Rollout, sampled
from trainers.impala_training import ImpalaTrainer
from trainers.plan import named_plan
from trainers.processes import execute
from trainers.run import Run, prepare
from trainers.settings import SettingsError, preset, preset_names
from trainers.stack import component_of
from trainers.streams import BASE_PHASE
from trainers.system import system_of

UPDATES = {
    "freeze-embedding": {"core", "policy", "value"},
    "freeze-head": {"encoder"},
    "update-all": {"encoder", "core", "policy", "value"},
    "freeze-all": set[str](),
    "from-scratch": {"encoder", "core", "policy", "value"},
}
"""Components that move under each of the paper's updates (section 3.2), and from scratch."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("impala"), tiny(), (0,)).path(0)


def played(of: IMPALA, updates: int = 2) -> tuple[ImpalaTrainer, dict[str, Tensor], Rollout, Outputs]:
    """A trainer after some unrolls, its weights, and a further rollout with its outputs."""
    trainer = ImpalaTrainer(of, None, of.fresh(0, BASE_PHASE), 0)
    for _ in range(updates):
        trainer.update()
    weights = {name: view[0] for name, view in trainer.stack.views.items()}
    rollout, _, outputs = of.rollout(weights, trainer.envs, trainer.stand, trainer.generators[0], 9)
    return trainer, weights, rollout, outputs


@pytest.mark.parametrize("every", [1, 4])
def test_it_learns_what_needs_a_memory(every: int) -> None:
    """Whoever forgets the cue earns 0 on average; within 1/√1000 or so of 1 nobody comes by luck."""
    of = cue_agent(renewed_every=every)
    trainer = ImpalaTrainer(of, None, of.fresh(0, BASE_PHASE), 0)
    for _ in range(300):
        trainer.update()
    assert trainer.evaluate()["training"][0] > 0.3  # of all 300 updates, the first ones included
    learned = trainer.member(0)
    assert of.returns(learned, "source", 1000, 1).mean() > 0.9
    forgetful = {n: torch.zeros_like(t) if "weight_hidden" in n else t for n, t in learned.items()}
    assert abs(of.returns(of.fresh(1, BASE_PHASE), "source", 1000, 1).mean()) < 0.2
    assert of.returns(forgetful, "source", 1000, 1).mean() < of.returns(learned, "source", 1000, 1).mean()


@pytest.mark.long
def test_it_learns_to_catch() -> None:
    """A random agent catches three balls of ten: a return of −0.4."""
    of = IMPALA.of(preset("catch-small"))
    trainer = ImpalaTrainer(of, None, of.fresh(0, BASE_PHASE), 0)
    for _ in range(230):
        trainer.update()
    assert of.returns(of.fresh(1, BASE_PHASE), "source", 500, 0).mean() < 0
    assert of.returns(trainer.member(0), "source", 500, 0).mean() > 0.6


@pytest.mark.parametrize(
    "overrides", [(), ("model.feedback=true",), ("model.net=residual", "model.filters=[4,4]")]
)
def test_acting_and_learning_compute_the_same(overrides: tuple[str, ...]) -> None:
    """The record of acting, and one pass over the whole unroll: the same outputs, losses and gradients."""
    of = agent(*overrides)
    trainer, weights, rollout, outputs = played(of)
    assert rollout.begins[1:].any()
    embeddings = of.embed(weights, rollout.pictures)
    again = of.outputs(weights, embeddings, rollout)
    named = list(trainer.stack.views.values())
    slopes = []
    for said in (outputs, again):
        losses = of.losses_of(*said, rollout)
        total = torch.stack([of.weights[term] * each.sum() for term, each in losses.items()]).sum()
        slopes.append(torch.autograd.grad(total, named))
    for one, two in zip(outputs, again, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    # Over an even background rounding decides which of several equal numbers a max-pool takes.
    most = 0.02 if overrides and "residual" in overrides[0] else 1e-3
    for one, two in zip(*slopes, strict=True):
        assert float((one - two).abs().max()) <= most * float(two.abs().max())


def test_memory_begins_anew_with_an_episode() -> None:
    """What came before an episode changes nothing in it, and does change the rest."""
    of = agent()
    _, weights, rollout, _ = played(of)
    embeddings = of.embed(weights, rollout.pictures)
    other = Rollout(**{**vars(rollout), "hidden": rollout.hidden + 1, "cell": rollout.cell - 1})
    before, after = (of.outputs(weights, embeddings, one)[0] for one in (rollout, other))
    begun = rollout.begins[:-1].long().cumsum(0) > 0
    assert begun.any()
    assert not begun.all()
    torch.testing.assert_close(before[begun], after[begun])
    assert not torch.isclose(before[~begun], after[~begun]).all(-1).any()


def test_a_step_is_down_the_sum_of_what_samples_lose() -> None:
    """Losses are logged as means over steps, and descended as sums with the terms' weights."""
    of = agent(
        "optimiser.method=rmsprop", "optimiser.clip=1e9", "optimiser.epsilon=1e6", "train.learning_rate=1e5"
    )
    trainer = ImpalaTrainer(of, None, of.fresh(0, BASE_PHASE), 0)
    twin = ImpalaTrainer(of, None, of.fresh(0, BASE_PHASE), 0)
    weights = {name: view[0] for name, view in twin.stack.views.items()}
    rollout, _, outputs = of.rollout(weights, twin.envs, twin.stand, twin.generators[0], 7)
    losses = of.losses_of(*outputs, rollout)
    assert all(values.shape == (7, 6) for values in losses.values())
    total = sum(of.weights[term] * values.sum() for term, values in losses.items())
    assert isinstance(total, Tensor)
    slopes = torch.autograd.grad(total, list(twin.stack.views.values()))
    trainer.update()
    for name, logged in trainer.take_losses().items():
        assert logged[0] == pytest.approx(float(losses[name].detach().mean()), rel=1e-5)
    # With so large an ε the optimiser's step is the gradient's own direction.
    step = {n: trainer.stack.views[n].detach() - twin.stack.views[n].detach() for n in trainer.stack.views}
    moved, sloped = (
        torch.cat([s.flatten() for s in step.values()]).double(),
        torch.cat([s.flatten() for s in slopes]).double(),
    )
    assert float(moved @ sloped / moved.norm() / sloped.norm()) == pytest.approx(-1, abs=0.02)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("stop", [1, 4])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, every: int, stop: int) -> None:
    settings = tiny(f"acting.renewed_every={every}")
    whole = train(tmp_path / "whole", settings, (0, 1))
    parts = Run(settings, (0, 1), str(tmp_path / "parts"))
    goes_on_bit_for_bit(whole, parts, stop)


def test_seeds_apart_are_as_beside_each_other(tmp_path: Path) -> None:
    both, alone = train(tmp_path / "both", tiny(), (0, 1)), train(tmp_path / "alone", tiny(), (1,))
    assert files.read(both.path(1)).identity == files.read(alone.path(1)).identity
    assert files.read(both.path(0)).identity != files.read(both.path(1)).identity


def test_a_run_goes_on_to_more_frames(tmp_path: Path) -> None:
    run = train(tmp_path, tiny(), (0,))
    longer = Run(tiny().with_overrides(["train.frames=330"]), (0,), run.out)  # 8 updates of 42 frames
    assert execute(longer, prepare(longer, resume=True, overwrite=False), 1, lambda n: None)
    assert files.read(run.path(0)).header.step == 8


def test_other_environments_are_not_gone_on_with(tmp_path: Path) -> None:
    run = train(tmp_path, tiny(), (0,))
    other = Run(tiny("acting.environments=7", "train.updates=8"), (0,), run.out)
    with pytest.raises(CheckpointError, match="other settings"):
        prepare(other, resume=True, overwrite=False)


@pytest.mark.parametrize(("name", "moves"), UPDATES.items())
def test_a_plan_moves_its_components_and_no_others(
    tmp_path: Path, base: Path, name: str, moves: set[str]
) -> None:
    run = train(tmp_path, tiny(), (3,), base, named_plan(name))
    before, after = files.read(base).tensors, files.read(run.path(3)).tensors
    assert before.keys() == after.keys()
    moved = {component_of(n) for n in before if not torch.equal(before[n], after[n])}
    assert moved == moves
    kept = [n for n in before if torch.equal(before[n], after[n])]
    assert {component_of(n) for n in kept}.isdisjoint(moves)
    assert files.read(run.path(3)).header.metrics["returns"].keys() <= {"training"}


def test_a_budget_is_given_in_frames_or_in_updates() -> None:
    settings = preset("catch-small")
    assert settings.train.updates == -(-500_000 // 1280)
    frames = settings.with_overrides(["transfer.frames=20000"]).transfer
    updates = settings.with_overrides(["transfer.updates=16"]).transfer
    assert (frames.updates, updates.updates) == (16, 16)
    assert updates.model_dump()["frames"] == 16 * 1280
    again = preset("catch-small").from_tree(
        settings.with_overrides(["transfer.updates=9"]).model_dump(mode="json")
    )
    assert again.transfer.updates == 9


def test_returns_are_of_as_many_episodes_as_are_asked_for() -> None:
    of = agent()
    weights = of.fresh(0, BASE_PHASE)
    returns = of.returns(weights, "target", 300, 0)
    assert returns.shape == (300,)
    assert set(np.unique(returns)) == {-1.0, 1.0}
    np.testing.assert_array_equal(returns, of.returns(weights, "target", 300, 0))
    assert of.evaluate(weights, "source", 0).keys() == {"sampled", "greedy"}


def test_actions_are_sampled_by_their_probabilities() -> None:
    logits = torch.tensor([0.0, 1.0, -2.0]).expand(40_000, 3)
    counts = np.bincount(sampled(logits, np.random.default_rng(0)), minlength=3) / 40_000
    np.testing.assert_allclose(counts, logits[0].softmax(0).numpy(), atol=0.01)


@pytest.mark.parametrize("name", [n for n in preset_names() if preset(n).system == "impala"])
def test_every_preset_makes_an_agent(name: str) -> None:
    pytest.importorskip("ale_py" if name == "atari" else "minatar" if name.startswith("minatar") else "numpy")
    of = system_of(preset(name))
    assert sum(int(np.prod(shape)) for shape in of.shapes().values()) > 10_000
    if name == "catch-small":  # FACTS: about 162,000 with one plane; three have 512 more
        assert sum(int(np.prod(shape)) for shape in of.shapes().values()) == pytest.approx(162_000, rel=0.01)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.variant=huge-ball", "expected one of default, large-ball"),
        ("world=cach", "did you mean 'catch'"),
        ("model.convs=[[4,40,1]]", "found a kernel of 40, expected at most 24"),
        ("world_settings={sped=3}", "'world_settings': unknown setting of catch-small 'sped'"),
        ("train.frames=0", "train.frames"),
    ],
)
def test_a_wrong_setting_is_named(override: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        agent(override)


def test_unrolls_longer_than_episodes_log_every_return() -> None:
    of = cue_agent(unroll=3 * LENGTH)
    trainer = ImpalaTrainer(of, None, of.fresh(0, BASE_PHASE), 0)
    trainer.update()
    assert trainer.ended[1] == 3 * 32
    assert trainer.evaluate()["training"].shape == (1,)
    assert trainer.evaluate() == {}
