"""One target from several sources: what each plan takes of them, the meta-model, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.commands import run as command
from tests.conftest import train
from tests.poles import poles
from tests.stopped import goes_on_bit_for_bit
from trainers import checkpoint as files
from trainers.checkpoint import Checkpoint, CheckpointError
from trainers.dreamer import META, Dreamer
from trainers.envs.acting import Continuous
from trainers.plan import PlanError, TransferPlan, named_plan
from trainers.processes import execute
from trainers.run import Run, prepare
from trainers.settings import SettingsError
from trainers.streams import stream_of
from trainers.system import system_of

PLANS = ("fractional", "fractional-0.5", "full-copy", "meta-model")


def agent(*assignments: str) -> Dreamer:
    made = system_of(poles(*assignments))
    assert isinstance(made, Dreamer)
    return made


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two agents of two tasks each."""
    folder = tmp_path_factory.mktemp("sources")
    run = train(folder / "b", poles(), (0, 1))
    return run.path(0), run.path(1)


def transfer(out: Path, bases: tuple[Path, ...], plan: str, *assignments: str) -> Checkpoint:
    first, *more = map(str, bases)
    settings = poles("transfer.updates=4", *assignments)
    run = Run(settings, (0,), str(out), named_plan(plan), first, more_bases=tuple(more))
    assert execute(run, prepare(run, False, False), 1, lambda n: None)
    return files.read(run.path(0))


def begun(bases: tuple[Path, ...], plan: TransferPlan) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters of a transfer before its first update, and the fresh ones of the same seed."""
    first, *more = map(str, bases)
    run = Run(poles(), (0,), "unused", plan, first, more_bases=tuple(more))
    assert run.plan is not None
    fresh = agent().fresh(0, stream_of(base=False), plan=run.plan, bases=len(bases))
    read = [files.read(path).tensors for path in bases]
    return run.plan.initialise(read, fresh, np.random.default_rng(0)), fresh


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.5])
def test_fractions_are_added_to_fresh_last_layers_and_actions_begin_anew(
    bases: tuple[Path, Path], fraction: float
) -> None:
    start, fresh = begun(bases, named_plan(f"fractional-{fraction}"))
    first, second = (files.read(path).tensors for path in bases)
    for head in ("reward", "critic"):
        for part in ("weight", "bias"):
            name = f"{head}/1.{part}"
            mean = (first[name] + second[name]) / 2
            assert torch.allclose(start[name], fresh[name] + fraction * mean)
            assert torch.equal(start[f"{head}/0.{part}"], first[f"{head}/0.{part}"])
    assert torch.equal(start["actor/1.weight"], fresh["actor/1.weight"])
    read = "recurrent/input.weight"
    actions = agent().world.actions.n
    assert torch.equal(start[read][:, :-actions], first[read][:, :-actions])
    assert torch.equal(start[read][:, -actions:], fresh[read][:, -actions:])
    whole = [n for n in start if n.startswith(("encoder", "decoder", "recurrent")) and n != read]
    assert all(torch.equal(start[name], first[name]) for name in whole)


def test_one_base_is_taken_as_it_is_and_a_full_copy_takes_the_mean(bases: tuple[Path, Path]) -> None:
    first, second = (files.read(path).tensors for path in bases)
    start, fresh = begun(bases[:1], named_plan("fractional"))
    name = "reward/1.weight"
    assert torch.allclose(start[name], fresh[name] + 0.2 * first[name])
    assert torch.equal(begun(bases[:1], named_plan("full-copy"))[0][name], first[name])
    assert torch.allclose(begun(bases, named_plan("full-copy"))[0][name], (first[name] + second[name]) / 2)


def test_a_plan_from_a_file_says_the_same_as_its_name(bases: tuple[Path, Path], tmp_path: Path) -> None:
    from trainers.plan import read_plan

    (tmp_path / "mine.toml").write_text(
        "rules = [\n"
        '{ component = "*", action = "copy" },\n'
        '{ component = "[rc][er][wi]*", parameters = "last.*", action = "fraction", fraction = 0.2,'
        ' base = "all" },\n'
        '{ component = "actor", parameters = "last.*", action = "reset" },\n'
        '{ component = "recurrent", inputs = "action", action = "reset" },\n]\n'
    )
    own = begun(bases, read_plan(str(tmp_path / "mine.toml")))[0]
    named = begun(bases, named_plan("fractional"))[0]
    assert all(torch.equal(own[name], named[name]) for name in named)


def test_the_sources_change_the_meta_model_s_output_and_its_gradient(bases: tuple[Path, Path]) -> None:
    """The published code computes the sources' predictions and never uses them (so this would fail there)."""
    dreamer = agent()
    start, _ = begun(bases, named_plan("meta-model"))
    assert start[META].shape[1] == dreamer.embedding + 2
    features = torch.from_numpy(
        np.random.default_rng(0).normal(size=(7, dreamer.embedding)).astype(np.float32)
    )

    def answered(parameters: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        weight = parameters[META].clone().requires_grad_()
        out = dreamer.head({**parameters, META: weight}, "reward", features)
        (slope,) = torch.autograd.grad(out.square().sum(), weight)
        return out.detach(), slope

    out, slope = answered(start)
    first, second = (files.read(path).tensors for path in bases)
    told = dreamer.told(start, features)
    for column, tensors in enumerate((first, second)):
        assert torch.equal(told[:, column], dreamer.heads["reward"](tensors, "reward", features)[:, 0])
        copy = f"reward.source{column or ''}"
        other = {**start, f"{copy}/1.bias": start[f"{copy}/1.bias"] + 1}
        changed, changed_slope = answered(other)
        assert not torch.allclose(changed, out)
        own = dreamer.embedding + column
        assert slope[:, own].abs().sum() > 0
        assert not torch.allclose(changed_slope[:, own], slope[:, own])


@pytest.mark.parametrize("plan", PLANS)
def test_it_trains_and_names_every_base(bases: tuple[Path, Path], tmp_path: Path, plan: str) -> None:
    saved = transfer(tmp_path, bases, plan)
    assert [base["sha256"] for base in saved.header.bases] == [files.file_sha256(path) for path in bases]
    assert saved.header.metrics["finite"]
    for number, path in enumerate(bases):
        tensors = files.read(path).tensors
        for name, tensor in saved.tensors.items():
            if name.startswith(f"reward.source{number or ''}/"):
                assert torch.equal(tensor, tensors[f"reward/{name.partition('/')[2]}"])
    copies = {name.partition("/")[0] for name in saved.tensors if ".source" in name}
    assert copies == ({"reward.source", "reward.source1"} if plan == "meta-model" else set())


def test_a_feature_space_stays_and_all_else_begins_anew(bases: tuple[Path, Path], tmp_path: Path) -> None:
    saved = transfer(tmp_path / "t", bases[:1], "feature-space")
    base = files.read(bases[0]).tensors
    for name, tensor in saved.tensors.items():
        if name.endswith("weight"):  # biases of 0 may have had no gradient yet
            assert torch.equal(tensor, base[name]) == name.startswith("encoder/")
    with pytest.raises(PlanError, match="found 2 bases, expected a rule that takes base 1"):
        transfer(tmp_path / "two", bases, "feature-space")
    target = transfer(tmp_path / "m", (tmp_path / "t" / "seed0.safetensors",) * 2, "meta-model")
    assert torch.equal(target.tensors["encoder/0.weight"], base["encoder/0.weight"])


@pytest.mark.parametrize("stop", [1, 5])
def test_a_stopped_transfer_goes_on_bit_for_bit(bases: tuple[Path, Path], tmp_path: Path, stop: int) -> None:
    first, second = map(str, bases)
    whole, parts = (
        Run(poles(), (0, 1), str(tmp_path / name), named_plan("meta-model"), first, more_bases=(second,))
        for name in ("whole", "parts")
    )
    assert execute(whole, prepare(whole, False, False), 1, lambda n: None)
    goes_on_bit_for_bit(whole, parts, stop)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("model.deterministic=16",), r"found model.deterministic = 12; expected 16.*--set 'model.determin"),
        (("model.heads=[12,12]",), r"found model.heads = \(12,\); expected \(12, 12\)"),
        (
            ("world=control", "model.codec=mlp"),
            r"found 8×1×1 observations of world 'control-state'; expected",
        ),
        (
            ("world=pendulum-state", "tasks.source=default", "tasks.target=default"),
            "found 2 continuous actions",
        ),
        (("model.latents=categorical", "model.classes=4"), "found model.latents = gaussian"),
    ],
)
def test_bases_that_do_not_fit_say_which_and_what_to_do(
    bases: tuple[Path, Path], tmp_path: Path, changed: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CheckpointError, match=said) as refused:
        transfer(tmp_path, bases, "fractional", *changed)
    assert str(bases[0]) in str(refused.value)


def test_plans_that_speak_of_what_is_not_there_are_refused() -> None:
    rules = [{"component": "*", "action": "copy"}]
    for rule, said in (
        ({"component": "recurrent", "inputs": "reward", "action": "reset"}, "expected action"),
        ({"component": "reward", "inputs": "action", "action": "reset"}, "expected action"),
        (
            {"component": "nothing", "parameters": "last.*", "action": "reset"},
            "component with numbered layers",
        ),
    ):
        plan = TransferPlan.from_tree({"name": "p", "rules": [*rules, rule]})
        with pytest.raises(PlanError, match=said):
            Run(poles(), (0,), "unused", plan, "unused")
    with pytest.raises(PlanError, match="takes no fraction"):
        named_plan("meta-model-0.3")
    for rule in (
        {"component": "*", "action": "reset", "base": "all"},
        {"component": "*", "action": "copy", "inputs": "action"},
        {"component": "*", "action": "reset", "inputs": "action", "columns": [0, 1]},
    ):
        with pytest.raises(PlanError):
            TransferPlan.from_tree({"name": "p", "rules": [rule]})


def test_tasks_get_equal_shares_of_what_is_met_and_unused_actions_do_nothing(
    bases: tuple[Path, Path],
) -> None:
    dreamer = agent()
    assert isinstance(dreamer.world.actions, Continuous)
    assert dreamer.world.actions.names == ("force", "torque")
    _, _, tensors = files.read_resume(bases[0])
    # Two environments of each of two tasks: as many rows of one as of the other, whose cart is always at 0.
    seen, written = tensors["replay/observation"], tensors["replay/written"]
    assert (written == written[0]).all()
    still = [bool((seen[lane, :, 0] == 0).all()) for lane in range(4)]
    assert still == [True, True, False, False]
    padded, own = dreamer.world.envs("pendulum", 2, 3), dreamer.world.envs("pendulum", 2, 3)
    for _ in range(3):
        step = padded.step(np.array([[0.5, 1.0], [0.5, -1.0]], np.float32))
        other = own.step(np.array([[0.5, 0.0], [0.5, 0.0]], np.float32))
        assert np.array_equal(step.rewards, other.rewards)
        assert np.array_equal(padded.observations, own.observations)


def test_a_task_that_no_environment_would_show_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"acting.environments': found 2, expected 3 or more.*tasks.source"
    ):
        agent("tasks.source=pendulum,cart-pole,driven-pole", "acting.environments=2")
    agent("tasks.source=pendulum,cart-pole", "acting.environments=2")


def test_that_every_step_pays_is_no_event(bases: tuple[Path, Path]) -> None:
    from diag.sources import open_subject

    tasks = open_subject(bases[0]).tasks
    assert tasks is not None
    known = tasks.variables()
    assert "angle_cos" in known
    assert "rewarded" not in known


def test_show_names_every_base_what_was_taken_and_the_ensemble(
    bases: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transfer(tmp_path / "f", bases, "fractional-0.3")
    transfer(tmp_path / "m", bases, "meta-model")
    _, said, _ = command(capsys, "show", str(tmp_path / "f" / "seed0.safetensors"))
    shas = [files.file_sha256(path)[:16] for path in bases]
    assert all(sha in said for sha in shas)
    assert "0.3 × base + fresh of the mean of all bases: reward/1.*, critic/1.*" in " ".join(said.split())
    assert "recurrent/input.weight[:, 4:6]" in said
    said = " ".join(command(capsys, "show", str(tmp_path / "m" / "seed0.safetensors"))[1].split())
    assert "reward reads what reward.source (base 0), reward.source1 (base 1) say" in said


def test_what_survives_of_a_fraction_is_lambda_at_first_and_follows_the_weights(
    bases: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from diag.sources.description import Description, show

    first, second = map(str, bases)
    settings = poles("transfer.updates=4", "transfer.model_rate=0.05")
    plan = named_plan("fractional-0.5")
    run = Run(settings, (0,), str(tmp_path / "t"), plan, first, keep=(2,), more_bases=(second,))
    assert execute(run, prepare(run, False, False), 1, lambda n: None)
    described = show(run.path(0))
    assert isinstance(described, Description)
    assert described.survival is not None
    assert [one.component for one in described.survival] == ["reward", "critic"]
    fresh = agent().fresh(0, stream_of(base=False))
    read = [files.read(path).tensors for path in (first, second, run.path(0))]
    for one in described.survival:
        assert one.steps == (0, 2, 4)
        assert one.remains[0] == pytest.approx(0.5)
        names = [f"{one.component}/1.{part}" for part in ("weight", "bias")]
        base, theta, begun = (
            torch.cat([tensors[name].flatten() for name in names])
            for tensors in ({n: (read[0][n] + read[1][n]) / 2 for n in names}, read[2], fresh)
        )
        slope = float((theta - begun) @ base / (base @ base))
        assert one.remains[-1] == pytest.approx(slope, rel=1e-4)
        share = 1 - float((theta - 0.5 * base).square().sum() / theta.square().sum())
        assert one.shares[-1] == pytest.approx(share, rel=1e-4, abs=1e-6)
    assert abs(described.survival[0].remains[-1] - 0.5) > 1e-6  # training moved it
    assert "survives" in command(capsys, "show", str(run.path(0)))[1]
    saved = files.read(run.path(0))
    moved = tuple({**base, "path": str(tmp_path / "gone.safetensors")} for base in saved.header.bases)
    from dataclasses import replace

    files.save(tmp_path / "m.safetensors", replace(saved.header, bases=moved), saved.tensors)
    assert "a base is not where it was" in command(capsys, "show", str(tmp_path / "m.safetensors"))[1]


def test_a_base_beside_a_meta_model_is_one_that_does_not_listen(
    bases: tuple[Path, Path], tmp_path: Path
) -> None:
    """So there is a straight line from a base to its meta-model; its ends have the files' own losses."""
    from diag.landscapes.system import system_of as landscape_of
    from diag.sources import open_subject

    transfer(tmp_path, bases, "meta-model")
    base, other = open_subject(bases[0]), open_subject(tmp_path / "seed0.safetensors")
    made = landscape_of([bases[0], tmp_path / "seed0.safetensors"], None, None, None)
    assert made.sets[0].keys() == made.sets[1].keys()
    assert base.objective is not None
    assert base.tasks is not None
    assert base.parameters is not None
    assert other.parameters is not None
    batch = base.tasks.batch("target", 24, 0).batch
    for mine, own in zip(made.sets, (base.parameters, other.parameters), strict=True):
        found, expected = base.objective.losses(mine, batch), base.objective.losses(own, batch)
        assert all(torch.allclose(found[term], expected[term], atol=1e-6) for term in expected)
