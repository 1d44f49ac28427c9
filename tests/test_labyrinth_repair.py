"""Transfers of labyrinths are mended: maps of channels planted in the last convolution, and returns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import diag
from diag.commands.app import run as command
from diag.outputs.registry import html, text
from diag.repairs.asked import RepairError
from diag.repairs.result import Repair
from diag.repairs.system import case_of
from diag.repairs.verdict import of_mirrored_grid
from diag.sources.systems.crar_labyrinth import LabyrinthSystem, at_rest
from diag.sources.systems.stacked import stacked
from diag.subject import SubjectError
from diag.units.last_layer import folded
from probes import Map
from tests.conftest import train
from tests.labyrinth_agents import agent, tiny
from trainers import checkpoint as files
from trainers.plan import named_plan

pytestmark = pytest.mark.numeric

LAST = "encoder/3"
TURN = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    train(folder, tiny(), (0,))
    return folder / "seed0.safetensors"


def planted(base: Path, path: Path, fault: Map) -> Path:
    """The base's encoder, its first layer negated as the target's pictures are, and a fault in its last."""
    read = files.read(base)
    tensors = dict(read.tensors)
    tensors["encoder/0.weight"] = -tensors["encoder/0.weight"]
    origin = {"path": read.path, "sha256": read.sha256, "identity": read.identity}
    header = replace(
        read.header, task="target", plan=named_plan("freeze-dynamics").to_tree(), bases=(origin,)
    )
    files.save(path, header, folded(tensors, LAST, fault))
    return path


def mended(base: Path, transfer: Path, **options: object) -> Repair:
    return diag.repair(base, transfer, pairs=30, **options)  # type: ignore[arg-type]


def test_a_folded_map_of_channels_is_one_of_the_embedding(base: Path) -> None:
    fault = Map(matrix=TURN, offset=np.array([0.5, -1.0, 0.25]))
    before = dict(files.read(base).tensors)
    pictures = torch.randn(5, 12, 12, generator=torch.Generator().manual_seed(0))
    x, y = (agent().embed(stacked(p), pictures)[0].double() for p in (before, folded(before, LAST, fault)))
    wanted = (
        torch.einsum("nchw,cd->ndhw", x, torch.from_numpy(TURN)) + torch.tensor(fault.offset)[:, None, None]
    )
    torch.testing.assert_close(y, wanted, rtol=1e-4, atol=1e-5)


def test_a_planted_swap_is_named_and_led_back(base: Path, tmp_path: Path) -> None:
    """A signed swap and a displacement: the smallest map is found, and the returns are the base's."""
    fault = Map(order=(1, 0, 2), signs=(1, -1, 1), offset=np.array([2.0, 0.0, 0.0]))
    transfer = planted(base, tmp_path / "swapped.safetensors", fault)
    compared = diag.compare(base, transfer)
    assert compared.relation == "permuted"
    assert "channels 0 and 1 are swapped" in compared.verdict.summary
    out = tmp_path / "mended.safetensors"
    found = mended(base, transfer, out=out)
    assert found.chosen is not None
    assert found.chosen.name == "permutation"
    assert (found.verdict.status, found.relation, found.written) == ("pass", "matched", str(out))
    assert found.after.r2 == pytest.approx(1, abs=1e-6)
    assert found.after.comparison.measures["l2"].value == pytest.approx(0, abs=1e-3)
    assert found.played is not None
    # In the mended space the base acts, in the negative of the same pictures: the returns are its own.
    assert found.played.lacking.value == pytest.approx(0, abs=0.1)
    assert found.played.stages["folded"].value == pytest.approx(found.played.base.value, abs=0.1)
    assert found.played.gained.low is not None
    assert "Mean return of 400 episodes" in text(found)
    assert "mean return" in html(found)
    again = files.read(out)
    assert again.header.metrics["repair"]["map"] == "permutation"
    before = files.read(transfer).tensors
    changed = [name for name, tensor in again.tensors.items() if not torch.equal(tensor, before[name])]
    assert changed == [f"{LAST}.bias", f"{LAST}.weight"]
    # The map that led back takes embeddings of planes.
    case = case_of(diag.open_subject(base), diag.open_subject(transfer))
    x, y = case.embedding(case.transfer), case.embedding(case.base, "source")
    assert found.map is not None
    np.testing.assert_allclose(found.map(x), y, atol=1e-3)


def test_pairs_are_of_other_labyrinths_than_those_that_judge(base: Path, tmp_path: Path) -> None:
    transfer = planted(base, tmp_path / "turned.safetensors", Map(matrix=TURN, offset=np.zeros(3)))
    case = case_of(diag.open_subject(base), diag.open_subject(transfer))
    assert case.of_planes
    assert len(case.observations["target"]) == len(case.judged["target"]) == 500
    seen = {picture.numpy().tobytes() for picture in case.observations["target"]}
    assert not any(picture.numpy().tobytes() in seen for picture in case.judged["target"])
    hidden = case.hidden(case.transfer)
    assert hidden is not None
    assert hidden.shape == (500, 5, 6, 6)


@pytest.mark.long
def test_training_on_with_pairs_and_as_before(base: Path, tmp_path: Path) -> None:
    """What is folded in is trained on: with pairs it comes nearer; either way only the encoder moves."""
    transfer = planted(base, tmp_path / "t.safetensors", Map(matrix=np.eye(3), offset=np.zeros(3)))
    read = files.read(transfer)
    tensors = dict(read.tensors)
    noise = torch.Generator().manual_seed(3)
    tensors["encoder/2.weight"] = tensors["encoder/2.weight"] + 0.3 * torch.randn(
        tensors["encoder/2.weight"].shape, generator=noise
    )
    files.save(transfer, read.header, tensors)
    for mode, updates in (("paired", 40), ("task", 4)):
        out = tmp_path / f"{mode}.safetensors"
        found = mended(base, transfer, out=out, train=updates, mode=mode, force=True, method="map")
        assert found.training is not None
        assert found.training.updates == updates
        assert [stage.name for stage in found.stages] == ["before", "folded", "trained"]
        assert found.parameters is not None
        moved = {n for n, t in found.parameters.items() if not torch.equal(t.cpu(), tensors[n])}
        assert moved
        assert all(name.startswith("encoder/") for name in moved)
        if mode == "paired":
            folded_r2, trained_r2 = found.stages[1].r2, found.stages[2].r2
            assert folded_r2 is not None
            assert trained_r2 is not None
            assert trained_r2 > folded_r2


def test_what_cannot_be_done_is_said(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transfer = planted(base, tmp_path / "t.safetensors", Map(signs=(1, 1, -1), offset=np.zeros(3)))
    with pytest.raises(SubjectError, match="an embedding of planes with --unpaired; expected pairs"):
        diag.repair(base, transfer, unpaired="permutations", train=60)
    with pytest.raises(RepairError, match="--use 2"):
        diag.repair(base, transfer, pairs=2)
    arguments = ["repair", str(base), str(transfer), "-o", str(tmp_path / "m.safetensors"), "--use", "20"]
    assert command([*arguments, "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["returns"]["stages"].keys() == {"before", "folded"}
    assert tree["stages"][1]["relation"] == "matched"
    before = replace(
        mended(base, transfer).before, comparison=replace(diag.compare(base, transfer), grid="turned by 90°")
    )
    verdict = of_mirrored_grid(before)
    assert verdict.status == "fail"
    assert "its grid is turned by 90°" in verdict.summary


def test_arrays_of_planes_are_led_back_by_channels(tmp_path: Path) -> None:
    y = np.random.default_rng(0).normal(size=(60, 3, 4, 4))
    x = np.einsum("nchw,cd->ndhw", y, TURN) + 0.05 * np.random.default_rng(1).normal(size=y.shape)
    for layout in ("first", "last"):
        turned = (v if layout == "first" else np.moveaxis(v, 1, -1) for v in (y, x))
        files_of = [tmp_path / f"{name}-{layout}.npy" for name in ("base", "transfer")]
        for path, values in zip(files_of, turned, strict=True):
            np.save(path, values)
        found = diag.repair(*files_of, out=tmp_path / f"m-{layout}.npy")
        assert found.chosen is not None
        assert found.chosen.name == "orthogonal of channels"
        assert (found.verdict.status, found.relation) == ("pass", "matched")
        assert found.few is not None
        assert found.few.pairs.value is not None
        assert found.few.pairs.value <= 3
        kept = np.load(tmp_path / f"m-{layout}.npy")
        assert kept.shape == np.load(files_of[0]).shape
        np.testing.assert_allclose(kept, np.load(files_of[0]), atol=0.5)


def test_slopes_of_q_are_those_of_the_slice(base: Path) -> None:
    """Along a line every loss term's derivative is that of its curve, q's through its target as well."""
    subject = diag.open_subject(base)
    system = subject.objective
    assert isinstance(system, LabyrinthSystem)
    assert subject.tasks is not None
    batch = subject.tasks.batch("source", 100, 0).batch
    start = {n: t.double() for n, t in dict(subject.parameters or {}).items()}
    random = torch.Generator().manual_seed(0)
    way = {n: 0.1 * torch.randn(t.shape, generator=random, dtype=torch.float64) for n, t in start.items()}
    batch = replace(batch, observations=batch.observations.double())

    def at(t: torch.Tensor) -> dict[str, torch.Tensor]:
        moved = {n: start[n] + t * way[n] for n in start}
        return {term: v.mean() for term, v in system.losses(moved, batch).items()}

    here = torch.zeros((), dtype=torch.float64, requires_grad=True)
    losses, step = at(here), 1e-5
    ahead, behind = at(torch.tensor(step)), at(torch.tensor(-step))
    for term, loss in losses.items():
        slope = torch.autograd.grad(loss, here, retain_graph=True, allow_unused=True)[0]
        expected = float(ahead[term] - behind[term]) / (2 * step)
        assert float(0.0 if slope is None else slope) == pytest.approx(expected, rel=1e-4, abs=1e-7), term
    held = agent().losses_at(
        stacked(start), system.embeddings(start, batch)[None], batch.samples, ("q",), held=True
    )
    free = agent().losses_at(stacked(start), system.embeddings(start, batch)[None], batch.samples, ("q",))
    assert torch.equal(held["q"], free["q"])  # only their gradients differ


def test_a_step_against_a_wall_has_no_part_in_entropy(base: Path) -> None:
    """Its loss is exp(−0.005) in training, whatever the encoder does; measured, it is 0."""
    subject = diag.open_subject(base)
    system = subject.objective
    assert isinstance(system, LabyrinthSystem)
    assert subject.tasks is not None
    batch = subject.tasks.batch("source", 200, 0).batch
    shown, samples = batch.observations, batch.samples
    still = (shown[samples.state] == shown[samples.next_state]).flatten(1).all(1)
    assert 0.3 < float(still.float().mean()) < 0.9
    parameters = dict(subject.parameters or {})
    measured = system.losses(parameters, batch)["entropy_successive"]
    x = system.embeddings(parameters, batch)[None]
    trained = agent().losses_at(stacked(parameters), x, samples, ("entropy_successive",))[
        "entropy_successive"
    ][0]
    assert not measured[still].any()
    assert torch.equal(measured[~still], trained[~still])
    assert float(trained[still].min()) == pytest.approx(np.exp(-0.005), rel=1e-6)
    assert float(at_rest(5.0, measured)) == pytest.approx(np.exp(-0.005), rel=1e-6)
