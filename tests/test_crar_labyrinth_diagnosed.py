"""Checkpoints of labyrinths are shown, compared, probed, gated by their returns, and lie in a landscape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import diag
from diag.commands.app import run as command
from diag.sources.systems import crar_labyrinth
from diag.sources.systems.crar_labyrinth import PAIRED, LabyrinthSystem, LabyrinthTasks, _partners
from diag.sources.systems.stacked import TaskBatch, stacked
from diag.sources.systems.walks import Way
from diag.subject import (
    LastConvolution,
    LastLinear,
    LatentObjective,
    Layered,
    Retrainable,
    StackedObjective,
    Steps,
)
from diag.units.symmetry import apply, random_symmetry
from tests.conftest import train
from tests.labyrinth_agents import agent, tiny
from trainers import checkpoint as files
from trainers.crar_labyrinth import LabyrinthTrainer
from trainers.envs.labyrinth import LABYRINTHS
from trainers.envs.labyrinth_walks import scattered
from trainers.plan import named_plan
from trainers.streams import stream_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    train(folder / "base", tiny(), (0,))
    train(folder / "transfers", tiny(), (0, 1), folder / "base" / "seed0.safetensors")
    return folder


@pytest.fixture
def base(made: Path) -> Path:
    return made / "base" / "seed0.safetensors"


@pytest.fixture
def transfer(made: Path) -> Path:
    return made / "transfers" / "seed0.safetensors"


def test_l2_is_the_papers(base: Path, transfer: Path) -> None:
    """The mean over states of the norm over whole embeddings (section 5.2.2), by hand."""
    result = diag.compare(base, transfer)
    assert (result.states, result.dimensions, result.success_states) == (PAIRED, (108, 108), None)
    assert result.frozen is not None
    assert set(result.frozen) == {"transition", "reward", "discount", "q"}
    shown = LABYRINTHS["labyrinth-small"].paired_observations(
        scattered(LABYRINTHS["labyrinth-small"], PAIRED, 0)
    )
    embeddings = [
        agent().embed(stacked(files.read(path).tensors), torch.from_numpy(shown[task]))[0]
        for path, task in ((base, "source"), (transfer, "target"))
    ]
    assert embeddings[0].shape == (PAIRED, 3, 6, 6)
    norms = (embeddings[0] - embeddings[1]).double().square().sum((1, 2, 3)).sqrt()
    assert result.measures["l2"].value == pytest.approx(float(norms.mean()), rel=1e-5)
    assert result.picture is not None
    assert result.picture.colour == "keys_left"


def test_the_subject_offers_what_it_can(base: Path, transfer: Path) -> None:
    subject = diag.open_subject(transfer)
    assert subject.encoder is subject.objective is subject.actor
    assert isinstance(subject.objective, Layered)
    assert isinstance(subject.objective, LatentObjective)
    assert isinstance(subject.objective, StackedObjective)
    assert not isinstance(subject.encoder, LastLinear)
    assert isinstance(subject.encoder, LastConvolution)
    assert isinstance(subject.objective, Retrainable)
    assert subject.tasks is not None
    pairs = subject.tasks.paired_observations(None, 0)
    again = subject.tasks.paired_observations(None, 5)  # the rows that variables() speaks of
    assert torch.equal(pairs.observations["target"], again.observations["target"])
    assert torch.equal(pairs.observations["target"], -pairs.observations["source"])
    assert {name: len(v) for name, v in subject.tasks.variables().items()} == dict.fromkeys(
        ("row", "column", "keys_left", "distance"), PAIRED
    )
    some = subject.tasks.paired_observations(20, 5)
    assert some.observations["source"].shape == (20, 12, 12)


def test_samples_to_judge_by_are_steps_of_the_world(base: Path) -> None:
    tasks = diag.open_subject(base).tasks
    assert isinstance(tasks, LabyrinthTasks)
    sampled = tasks.batch("source", 40, 3)
    batch = sampled.batch
    assert isinstance(batch, TaskBatch)
    assert len(batch.observations) == 80
    assert len(sampled.groups) == 40
    assert len(np.unique(sampled.groups)) > 5
    before, after = batch.observations[batch.samples.state], batch.observations[batch.samples.next_state]
    changed = (before != after).flatten(1).any(1)
    assert 0 < int(changed.sum()) < 40
    assert (batch.samples.reward[~changed] == -0.1).all()  # against a wall, nothing is taken
    other = tasks.batch("target", 40, 3)
    assert torch.equal(other.batch.observations, -batch.observations)


def test_no_sample_is_paired_with_its_own_episode() -> None:
    episodes = np.repeat([3, 4, 9, 11], [1, 5, 2, 4])
    drawn = np.stack([_partners(episodes, np.random.default_rng(seed)) for seed in range(400)])
    assert (episodes[drawn] != episodes).all()
    assert {(row, partner) for row in range(12) for partner in np.unique(drawn[:, row])} == {
        (row, partner) for row in range(12) for partner in range(12) if episodes[row] != episodes[partner]
    }
    assert set(_partners(np.zeros(3, np.int64), np.random.default_rng(0))) <= {0, 1, 2}


def test_hidden_units_can_be_exchanged(transfer: Path) -> None:
    """Losses stay as they are, to rounding, when units are exchanged, and negated where that is allowed."""
    subject = diag.open_subject(transfer)
    system = subject.objective
    assert isinstance(system, Layered)
    assert subject.parameters is not None
    assert subject.tasks is not None
    assert system is not None
    odd = {units.name: units.odd for units in system.units}
    assert not odd["encoder/1"]  # it is pooled
    assert odd["encoder/2"]  # at two pixels a tile, its pool falls away
    batch = subject.tasks.batch("target", 16, 0).batch
    exchanged = apply(system.units, subject.parameters, random_symmetry(system.units, 1))
    before, after = (subject.objective.losses(p, batch) for p in (subject.parameters, exchanged))  # type: ignore[union-attr]
    assert set(before) == set(agent().terms)
    for term, values in before.items():
        torch.testing.assert_close(values, after[term], rtol=1e-4, atol=1e-5)
    activations = system.activations(subject.parameters, batch)
    assert {u.name: u.size for u in system.units} == {n: a.shape[1] for n, a in activations.items()}


def test_it_is_shown_compared_and_probed(
    base: Path, transfer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["show", str(transfer)]) == 0
    assert command(["compare-embeddings", str(base), str(transfer)]) == 0
    assert command(["probe", str(transfer)]) == 0
    told = capsys.readouterr().out
    assert "labyrinth-small, target task" in told
    assert "500 states, 108 dimensions" in told
    assert "keys_left" in told


def test_it_is_gated_by_its_returns(base: Path, transfer: Path) -> None:
    gate = diag.check(base, transfer, config={"check.returns.episodes": 10, "check.returns.margin": 0.5})
    outcomes = {finding.check: finding.outcome for finding in gate.checked[0].findings}
    assert outcomes["returns"] != "skipped"
    assert outcomes["states"] == "skipped"  # no number of states makes a success


def test_returns_are_those_of_training(base: Path) -> None:
    """``depth0`` of the last evaluation, played again from the checkpoint with the recorded seed."""
    subject, saved = diag.open_subject(base), files.read(base)
    assert subject.actor is not None
    assert subject.parameters is not None
    returns = subject.actor.returns(subject.parameters, "source", 4, 0)
    assert saved.header.metrics["returns"]["depth0"][-1] == pytest.approx(returns.mean(), rel=1e-6)
    assert isinstance(subject.actor, LabyrinthSystem)
    planned = subject.actor.returns(subject.parameters, "source", 4, 0, depth=1)
    theirs = agent("evaluation.depths=[1]").evaluate(subject.parameters, "source", 0)
    assert planned.mean() == pytest.approx(theirs["depth1"], rel=1e-6)


def test_its_losses_are_a_landscape(made: Path, transfer: Path) -> None:
    other = made / "transfers" / "seed1.safetensors"
    result = diag.landscape(transfer, other, quick=True, samples=124, points=3, task="target")
    subject = diag.open_subject(transfer)
    assert subject.tasks is not None
    assert subject.objective is not None
    batch = subject.tasks.batch("target", 124, 0).batch
    losses = subject.objective.losses(subject.parameters or {}, batch)
    straight = result.tasks["target"].raw
    for term, values in losses.items():
        assert straight.losses[term][0] == pytest.approx(float(values.mean()), rel=1e-6), term


def test_training_goes_on_from_a_checkpoint(
    base: Path, transfer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is trained moves; what a walk averages is where training by hand comes by."""
    monkeypatch.setattr(crar_labyrinth, "WAY", Way(warm=0, early=range(1), late=range(2, 3)))
    subject = diag.open_subject(transfer)
    assert isinstance(subject.objective, Steps)
    start = subject.parameters or {}
    early, late, updates = subject.objective.walk(start, "target", 5)
    assert updates == 2
    moved = {name for name in early if not torch.equal(early[name], late[name])}
    assert {name.partition("/")[0] for name in early} == {"encoder"}  # all else is frozen
    assert moved
    assert {len(value) for value in early.values()} == {crar_labyrinth.CONTINUATIONS}
    differ = [name for name in moved if not torch.equal(late[name][0], late[name][1])]
    assert differ  # each has batches of its own
    by_hand = LabyrinthTrainer(
        agent(),
        agent().settings.transfer,
        "target",
        named_plan("freeze-dynamics"),
        [start],
        [agent().collected(0, stream_of(base=False))],
        [(5, 1)],
    )
    by_hand.step = 12 - 3
    for mean in (early, None, late):
        by_hand.update()
        for name, value in (mean or {}).items():
            assert torch.allclose(value[1], by_hand.stack.views[name][0].detach()), name
    again = subject.objective.walk(start, "target", 5)[1]
    assert all(torch.equal(late[name], again[name]) for name in late)
    own = diag.open_subject(base)
    assert isinstance(own.objective, Steps)
    trained = own.objective.walk(own.parameters or {}, "source", 0)[0]
    assert {name.partition("/")[0] for name in trained} > {"encoder", "transition", "q"}
