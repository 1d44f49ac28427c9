"""Checkpoints of Dreamer are compared, probed and walked between as any others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import diag
from diag.sources import open_subject
from diag.sources.systems.dreamer import BEGINS, DreamerSystem, DreamerTasks, HistoryBatch
from tests.conftest import train
from tests.corridor import CELLS, corridor
from trainers.plan import named_plan

MARKS = BEGINS + 1
"""Columns of a row before its picture: where a history begins, and the action."""

LENGTH = 8


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base, and a transfer of it with a frozen recurrent model."""
    folder = tmp_path_factory.mktemp("corridor")
    settings = corridor(folder / "data", "train.updates=150", "transfer.updates=40")
    base = train(folder / "b", settings, (0,)).path(0)
    return base, train(folder / "t", settings, (0,), base, named_plan("freeze-recurrent")).path(0)


def parts(path: Path) -> tuple[diag.Subject, DreamerSystem, DreamerTasks]:
    subject = open_subject(path)
    assert isinstance(subject.encoder, DreamerSystem)
    assert isinstance(subject.tasks, DreamerTasks)
    return subject, subject.encoder, subject.tasks


def test_pairs_are_the_same_histories_in_both_looks(pair: tuple[Path, Path]) -> None:
    subject, _, tasks = parts(pair[0])
    pairs = tasks.paired_observations(None, 5)
    source, target = pairs.observations["source"], pairs.observations["target"]
    assert pairs.grouping == "episodes"
    assert pairs.groups is not None
    assert torch.equal(source[:, :MARKS], target[:, :MARKS])
    assert torch.equal(source[:, MARKS:], 255 - target[:, MARKS:])
    cell = source[:, MARKS:].reshape(-1, CELLS).argmax(1).numpy()
    known = tasks.variables()
    assert np.array_equal(known["cell"], cell)
    inside = ~source[:, 0].bool().numpy()
    moved = cell[:-1] + np.array([-1, 1, 0])[source[1:, 1].numpy()]
    assert (cell[1:][inside[1:]] == moved[inside[1:]]).all()
    assert len(np.unique(pairs.groups)) * LENGTH == len(source)
    assert len(tasks.paired_observations(13, 5).observations["source"]) == 13
    assert subject.offers == ("parameters", "encoder", "objective", "tasks")


def test_a_row_is_embedded_with_what_came_before_it_and_nothing_else(pair: tuple[Path, Path]) -> None:
    subject, system, tasks = parts(pair[0])
    assert subject.parameters is not None
    rows = tasks.paired_observations(40, 1).observations["source"]
    whole = system.embed(subject.parameters, rows)
    assert whole.shape == (40, 4 * 4 + 24)
    for n in (1, 5, 8, 13, 30):
        torch.testing.assert_close(system.embed(subject.parameters, rows[:n]), whole[:n])
    begins = rows[:, 0].nonzero()[:, 0].tolist()
    for low, high in zip(begins, [*begins[1:], 40], strict=True):
        torch.testing.assert_close(system.embed(subject.parameters, rows[low:high]), whole[low:high])
    last = whole[: begins[1]].clone()
    changed = rows.clone()
    changed[begins[1] - 1, MARKS:] = 0
    after = system.embed(subject.parameters, changed)
    torch.testing.assert_close(after[: begins[1] - 1], last[:-1])
    assert not torch.allclose(after[begins[1] - 1], last[-1])


def test_losses_are_those_of_training_row_by_row(pair: tuple[Path, Path]) -> None:
    subject, system, tasks = parts(pair[1])
    assert subject.parameters is not None
    sampled = tasks.batch("target", 50, 3)
    batch = sampled.batch
    assert isinstance(batch, HistoryBatch)
    losses = system.losses(subject.parameters, batch)
    assert {term: tuple(values.shape) for term, values in losses.items()} == dict.fromkeys(
        system.terms, (50,)
    )
    assert sampled.groups.tolist() == np.arange(7).repeat(LENGTH)[:50].tolist()
    whole = replace(batch, rows=56)
    dreamer = system.dreamer
    seen = dreamer.observe(subject.parameters, batch.sequences, batch.noise)
    means = dreamer.predictions(subject.parameters, batch.sequences, seen.state.features)
    for term, values in system.losses(subject.parameters, whole).items():
        wanted = dreamer.kl(seen) if term == "kl" else means[term].mean()
        torch.testing.assert_close(values.mean(), wanted)
    first = system.losses(subject.parameters, batch)["image"][:LENGTH]
    torch.testing.assert_close(first, means["image"][:, 0])


def test_losses_have_gradients(pair: tuple[Path, Path]) -> None:
    subject, system, tasks = parts(pair[0])
    assert subject.parameters is not None
    parameters = {name: tensor.clone().requires_grad_() for name, tensor in subject.parameters.items()}
    losses = system.losses(parameters, tasks.batch("source", 40, 0).batch)
    sum(values.mean() for values in losses.values()).backward()  # type: ignore[union-attr]
    reached = {name.partition("/")[0] for name, t in parameters.items() if t.grad is not None}
    assert reached == {"encoder", "recurrent", "decoder", "reward", "discount"}


def test_a_transfer_is_compared_with_its_base(pair: tuple[Path, Path]) -> None:
    result = diag.compare(*pair)
    assert result.rows > 4 * 40  # so many to a number of the embedding
    assert open_subject(pair[1]).frozen == ("recurrent",)


def test_the_cell_can_be_read_from_the_latent_state(pair: tuple[Path, Path]) -> None:
    finding = diag.probe(pair[0]).columns[0].findings["cell"]
    score = finding.probe.score.value
    assert score is not None
    assert score > 0.8


def test_a_transfer_acts_and_a_base_on_recorded_data_does_not(pair: tuple[Path, Path]) -> None:
    base, transfer = (open_subject(path) for path in pair)
    assert base.actor is None
    assert transfer.actor is not None
    assert transfer.parameters is not None
    returns = transfer.actor.returns(transfer.parameters, "target", 10, 0)
    assert returns.shape == (10,)
    assert set(returns.tolist()) <= {-1.0, 0.0, 1.0}
    assert np.array_equal(returns, transfer.actor.returns(transfer.parameters, "target", 10, 0))
