"""Checkpoints of IMPALA are compared, probed, mended, mapped; a base leaves its target look open."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import diag
from diag.commands.app import run as command
from diag.embed import shared_tasks
from diag.sources import opened
from diag.sources.systems.impala import PAIRED, ImpalaSystem, Played, columns
from diag.subject import LastLinear, LatentObjective, Subject, SubjectError
from diag.units.last_layer import folded
from probes import Map
from tests.conftest import train
from tests.impala_agents import TINY, tiny
from trainers import checkpoint as files
from trainers.impala import IMPALA
from trainers.impala_training import ImpalaTrainer
from trainers.plan import named_plan

SAMPLES = 100


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    base = train(folder / "base", tiny(), (0,)).path(0)
    train(folder / "large", tiny(), (0,), base, named_plan("freeze-head"))
    red = tiny("transfer.variant=red-background")
    train(folder / "red", red, (0,), base, named_plan("freeze-head"))
    return folder


def subject(made: Path, name: str) -> Subject:
    found: Subject = opened(made / name / "seed0.safetensors", "array")
    return found


def parts(one: Subject) -> tuple[ImpalaSystem, dict[str, torch.Tensor]]:
    assert isinstance(one.encoder, ImpalaSystem)
    assert one.parameters is not None
    return one.encoder, dict(one.parameters)


def test_it_offers_all_that_diagnoses_ask_for(made: Path) -> None:
    one = subject(made, "large")
    assert {"parameters", "encoder", "objective", "tasks", "actor"} <= set(one.offers)
    assert isinstance(one.encoder, LastLinear)
    assert isinstance(one.objective, LatentObjective)
    assert one.frozen == ("core",)


def test_paired_observations_are_one_state_in_both_looks(made: Path) -> None:
    tasks = subject(made, "red").tasks
    assert tasks is not None
    pairs, variables = tasks.paired_observations(None, 5), tasks.variables()
    source, target = (pairs.observations[task] for task in ("source", "target"))
    assert source.shape == target.shape == (PAIRED, 3, 24, 24)
    assert all(len(values) == PAIRED for values in variables.values())
    assert (target[:, 0] == 255).all()  # red everywhere, and white where the default is white
    assert torch.equal(target[:, 1:], source[:, 1:])
    first = tasks.paired_observations(50, 1).observations["source"]
    assert not torch.equal(first, tasks.paired_observations(50, 2).observations["source"])


def test_a_base_is_held_beside_the_look_that_its_transfer_went_to(made: Path) -> None:
    """The base's own settings name another look than red; its states are shown as the transfer saw them."""
    base, red, large = (subject(made, name) for name in ("base", "red", "large"))
    assert shared_tasks((base, red)).name == "catch-small, default to red-background"
    assert shared_tasks((base, large)).name == "catch-small, default to large-ball"
    result = diag.compare(base, red)
    assert result.dimensions == (10, 10)
    with pytest.raises(SubjectError, match="world 'catch-small, default to large-ball'"):
        shared_tasks((base, red, large))


def test_losses_at_the_weights_that_played_are_those_of_training(made: Path) -> None:
    """Recorded play is on policy: its losses, summed with their weights, are what an update would descend."""
    one = subject(made, "base")
    system, parameters = parts(one)
    of = system.agent
    trainer = ImpalaTrainer(of, None, parameters, 0)
    weights = {name: view[0] for name, view in trainer.stack.views.items()}
    rollout, _, outputs = of.rollout(weights, trainer.envs, trainer.stand, trainer.generators[0], 7)
    losses = system.losses(parameters, Played(rollout, 42))
    for term, values in of.losses_of(*outputs, rollout).items():
        torch.testing.assert_close(losses[term], values.mT.flatten().detach(), rtol=1e-3, atol=1e-5)
    assert dict(system.terms) == {"policy": 1.0, "value": 0.5, "entropy": 0.01}


def test_samples_are_grouped_by_the_environment_that_they_were_played_in(made: Path) -> None:
    one = subject(made, "large")
    system, parameters = parts(one)
    assert one.tasks is not None
    sampled = one.tasks.batch("target", SAMPLES, 0)
    losses = system.losses(parameters, sampled.batch)
    assert {values.shape for values in losses.values()} == {(SAMPLES,)}
    group = 3
    alone = Played(columns(sampled.batch.rollout, torch.tensor([group])), 7)
    for term, values in system.losses(parameters, alone).items():
        torch.testing.assert_close(losses[term][sampled.groups == group], values, rtol=1e-4, atol=1e-6)
    again = one.tasks.batch("target", SAMPLES, 0).batch.rollout
    assert torch.equal(again.observations, sampled.batch.rollout.observations)
    other = one.tasks.batch("source", SAMPLES, 0).batch.rollout
    assert not torch.equal(other.observations, sampled.batch.rollout.observations)


def test_the_rectifier_belongs_to_the_head_so_that_a_map_can_be_folded(made: Path) -> None:
    """Embeddings may be negative, and a map of them folded into the encoder gives the mapped embeddings."""
    one = subject(made, "large")
    system, parameters = parts(one)
    assert one.tasks is not None
    seen = one.tasks.paired_observations(40, 0).observations["target"]
    x = system.embed(parameters, seen)
    assert (x < 0).any()
    rng = np.random.default_rng(0)
    fit = Map(matrix=rng.normal(size=(10, 10)), offset=rng.normal(size=10))
    mended = folded(parameters, system.last_linear, fit)
    expected = torch.from_numpy(fit(x.double().numpy())).float()
    torch.testing.assert_close(system.embed(mended, seen), expected, rtol=1e-3, atol=1e-3)
    hidden = system.last_inputs(parameters, seen)
    weight, bias = (parameters[f"{system.last_linear}.{kind}"] for kind in ("weight", "bias"))
    torch.testing.assert_close(hidden @ weight.mT + bias, x)


def test_losses_follow_the_embedding_that_they_are_given(made: Path) -> None:
    one = subject(made, "large")
    system, parameters = parts(one)
    assert one.tasks is not None
    played = one.tasks.batch("target", SAMPLES, 0).batch
    x = system.embeddings(parameters, played).requires_grad_()
    losses = system.losses_at(parameters, x, played)
    slopes = torch.autograd.grad(losses["policy"].sum(), x)[0]
    assert slopes.abs().sum() > 0
    torch.testing.assert_close(losses, system.losses(parameters, played))
    with pytest.raises(SubjectError, match="found embeddings of 5 states"):
        system.losses_at(parameters, x[:5], played)


def test_curvature_can_be_had_along_recorded_play(made: Path) -> None:
    """Second derivatives, which the record that training learns from does not have."""
    one = subject(made, "large")
    system, parameters = parts(one)
    assert one.tasks is not None
    moving = {n: t.clone().requires_grad_() for n, t in parameters.items()}
    loss = system.losses(moving, one.tasks.batch("target", SAMPLES, 0).batch)["value"].mean()
    (slope,) = torch.autograd.grad(loss, moving["core/lstm.weight_hidden"], create_graph=True)
    (twice,) = torch.autograd.grad(slope.square().sum(), moving["core/lstm.weight_hidden"])
    assert torch.isfinite(twice).all()
    assert twice.abs().sum() > 0


@pytest.mark.long
def test_a_transfer_is_mended_by_pairs_and_trained_further(made: Path, tmp_path: Path) -> None:
    base, red = (made / name / "seed0.safetensors" for name in ("base", "red"))
    result = diag.repair(base, red, out=tmp_path / "mended.safetensors", train=2, force=True)
    assert result.training is not None
    assert result.training.updates == 2
    with pytest.raises(SubjectError, match="use pairs"):
        diag.repair(base, red, unpaired="gradient", train=40)


def test_the_road(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands from training to a landscape, as a person types them."""
    sets = [word for override in TINY for word in ("--set", override)]
    folders = [str(tmp_path / name) for name in ("b", "t")]
    base, transfer = (f"{folder}/seed0.safetensors" for folder in folders)
    chosen = ("--preset", "catch-small", "--seeds", "0", "--quiet", *sets)
    assert command(["train", "impala", *chosen, "--out", folders[0]]) == 0
    frames = ("--set", "transfer.variant=small-ball", "--plan", "freeze-head")
    assert command(["transfer", base, *chosen, *frames, "--out", folders[1]]) == 0
    for words in (
        ["compare-embeddings", base, transfer],
        ["probe", base, transfer],
        ["check", base, transfer],
    ):
        assert command([*words, "--json"]) in (0, 1)
        told = json.loads(capsys.readouterr().out)
        verdict = told["checked"][0]["verdict"] if words[0] == "check" else told["verdict"]
        assert verdict["status"] in ("pass", "warn", "fail", "inconclusive")
        if words[0] == "probe":
            assert {"ball_row", "ball_column", "paddle_column"} <= set(told["variables"])
    assert command(["show", transfer, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["settings"]["transfer"]["variant"] == "small-ball"


@pytest.mark.long
def test_a_landscape_is_drawn_on_both_tasks(made: Path) -> None:
    base, red = (made / name / "seed0.safetensors" for name in ("base", "red"))
    result = diag.landscape(red, base, quick=True)
    assert set(result.tasks) == {"source", "target"}


def test_an_atari_like_world_without_pairs_says_so(made: Path) -> None:
    pytest.importorskip("ale_py")
    settings = tiny("world=atari-breakout", "train.variant=m0d0", "transfer.variant=m12d0")
    of = IMPALA.of(settings)
    tasks = type(subject(made, "large").tasks)(of, of.fresh(0, 0))  # type: ignore[call-arg, misc]
    with pytest.raises(SubjectError, match="cannot show the same hidden state"):
        tasks.paired_observations(None, 0)


def test_what_a_checkpoint_says_of_its_frames(made: Path) -> None:
    header = files.read(made / "large" / "seed0.safetensors").header
    assert header.settings["transfer"]["frames"] == 6 * 42
    assert "updates" not in header.settings["transfer"]
    assert subject(made, "large").share == 1
