"""``--targets``: landscapes of plain networks by their outputs beside labels, or beside numbers."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import diag
from diag.sources import open_subject
from diag.sources.supplied import Supplied
from diag.sources.targets import Targeted
from diag.subject import Pairs, SubjectError
from tests.commands import run
from tests.networks import CLASSES, Pictures
from trainers.threads import one_thread

FACTORY = "tests.networks:Pictures"
ROWS = 256


def data(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noisy pictures of five kinds, and the kind of each."""
    drawn = torch.Generator().manual_seed(seed)
    kinds = torch.randn(CLASSES, 3, 8, 8, generator=drawn)
    labels = torch.randint(0, CLASSES, (ROWS,), generator=drawn)
    return kinds[labels] + torch.randn(ROWS, 3, 8, 8, generator=drawn), labels


@one_thread()
def trained(seed: int, x: Tensor, labels: Tensor, updates: int = 60) -> Pictures:
    """A network trained from a seed, whose running averages are then those of the data."""
    torch.manual_seed(seed)
    net, drawn = Pictures(width=16), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(updates):
        rows = torch.randint(0, ROWS, (64,), generator=drawn)
        optimiser.zero_grad()
        functional.cross_entropy(net.train()(x[rows]), labels[rows]).backward()
        optimiser.step()
    return recomputed(net, x)


@torch.no_grad()
def recomputed(net: Pictures, x: Tensor) -> Pictures:
    """The network with running averages of the data alone."""
    for norm in (net.bn1, net.bn2):
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all that it has seen
    net.train()(x)
    return net.eval()


@torch.no_grad()
def between(a: Pictures, b: Pictures, t: float, x: Tensor | None) -> Pictures:
    """The network at t on the straight line, its running averages recomputed where x is given."""
    middle = copy.deepcopy(a)
    for (name, mine), other in zip(middle.state_dict().items(), b.state_dict().values(), strict=True):
        if not name.endswith("num_batches_tracked"):
            mine.lerp_(other, t)
    return middle.eval() if x is None else recomputed(middle, x)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("targets")
    x, labels = data()
    np.save(folder / "x.npy", x.numpy())
    np.save(folder / "y.npy", labels.numpy())
    for name, seed in (("a", 1), ("b", 2)):
        torch.save(trained(seed, x, labels).state_dict(), folder / f"{name}.pt")
    return folder


def supplied(folder: Path, targets: Any = "y.npy", **more: Any) -> Supplied:
    asked = {"model": FACTORY, "model_args": '{"width": 16}', "inputs": (folder / "x.npy",), **more}
    return Supplied(targets=folder / targets, **asked)


def test_a_wall_is_that_of_a_hand_written_loop_and_falls_where_averages_are_recomputed(files: Path) -> None:
    """Jordan et al., REPAIR (arXiv 2211.08403): half a wall between two networks is their norms' averages."""
    x, labels = data()
    nets = []
    for name in "ab":
        nets.append(Pictures(width=16))
        nets[-1].load_state_dict(torch.load(files / f"{name}.pt", weights_only=True))
    ways: dict[str, list[float]] = {}
    for way, seen in (("recomputed", x), ("carried along", None)):
        losses = ways.setdefault(way, [])
        for t in np.linspace(0, 1, 9):
            with torch.no_grad():
                made = between(nets[0].eval(), nets[1].eval(), float(t), seen)(x)
            losses.append(float(functional.cross_entropy(made, labels)))
    found = diag.landscape(
        files / "a.pt", files / "b.pt", supplied=supplied(files), points=9, beyond=0, quick=True
    )
    raw = found.routes["raw"]
    assert raw.losses["cross_entropy"] == pytest.approx(ways["recomputed"], rel=5e-3, abs=1e-4)
    height = raw.barrier["escape"].value
    assert height is not None
    assert height < 0.8 * (max(ways["carried along"]) - ways["carried along"][0])
    assert any("Batch statistics of bn1, bn2: re-estimated" in words for words in found.notes)
    assert not any("hidden units were not matched" in words for words in found.notes)
    assert found.routes["aligned"].length < raw.length


def test_pairs_of_plain_networks(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [f"--inputs={files / 'x.npy'}", f"--targets={files / 'y.npy'}", "--points", "5", "--all-pairs"]
    named = ["--model", FACTORY, "--model-args", '{"width": 16}']
    status, out, _ = run(capsys, "landscape", str(files / "a.pt"), str(files / "b.pt"), *asked, *named)
    assert status == 0
    assert "Batch statistics of bn1, bn2" in " ".join(out.split())
    assert "A–B" in out


class Heads(nn.Module):
    """A linear layer with outputs of any shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.head = tuple(shape), nn.Linear(4, int(np.prod(shape)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(x)
        return out.reshape(len(x), *self.shape)


def of_head(folder: Path, shape: tuple[int, ...], targets: Any, rows: int = 130) -> tuple[Any, Tensor]:
    """The subject of a head with targets, and its outputs."""
    torch.manual_seed(0)
    net, x = Heads(shape), torch.randn(rows, 4)
    torch.save(net.state_dict(), folder / "head.pt")
    np.savez(folder / "both.npz", x=x.numpy(), y=targets)
    given = Supplied(
        model="tests.test_targets:Heads",
        model_args=f'{{"shape": {list(shape)}}}',
        inputs=(folder / "both.npz",),
        targets=folder / "both.npz",
    )
    return open_subject(folder / "head.pt", given), net(x).detach()


def losses_of(subject: Any) -> dict[str, Tensor]:
    batch = subject.tasks.batch("target", 1000, 0).batch
    losses: dict[str, Tensor] = subject.objective.losses(subject.parameters, batch)
    return losses


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("words", [False, True])
def test_labels_ask_for_a_cross_entropy(tmp_path: Path, words: bool) -> None:
    labels = RNG.integers(0, 3, 130)
    given = np.array(["ape", "bee", "cat"])[labels] if words else labels
    subject, outputs = of_head(tmp_path, (3,), given)
    expected = functional.cross_entropy(outputs, torch.from_numpy(labels), reduction="none")
    assert torch.allclose(losses_of(subject)["cross_entropy"], expected, atol=1e-6)
    assert any("ape, bee, cat" in note for note in subject.notes) == words


def test_labels_of_places_are_averaged(tmp_path: Path) -> None:
    labels = RNG.integers(0, 3, (130, 2))
    subject, outputs = of_head(tmp_path, (3, 2), labels)
    expected = functional.cross_entropy(outputs, torch.from_numpy(labels), reduction="none").mean(1)
    assert torch.allclose(losses_of(subject)["cross_entropy"], expected, atol=1e-6)


def test_one_output_of_two_classes(tmp_path: Path) -> None:
    labels = RNG.integers(0, 2, 130)
    subject, outputs = of_head(tmp_path, (1,), labels)
    wanted = torch.from_numpy(labels).float()
    expected = functional.binary_cross_entropy_with_logits(outputs[:, 0], wanted, reduction="none")
    assert torch.allclose(losses_of(subject)["cross_entropy"], expected, atol=1e-6)


@pytest.mark.parametrize(("shape", "given"), [((2,), (130, 2)), ((1,), (130,)), ((2, 3), (130, 2, 3))])
def test_fractions_ask_for_a_squared_error(
    tmp_path: Path, shape: tuple[int, ...], given: tuple[int, ...]
) -> None:
    wanted = RNG.normal(size=given)
    subject, outputs = of_head(tmp_path, shape, wanted)
    aim = torch.from_numpy(wanted).float().reshape(outputs.shape)
    expected = (outputs - aim).square().flatten(1).mean(1)
    assert torch.allclose(losses_of(subject)["squared_error"], expected, atol=1e-5)


def test_more_rows_than_samples_are_drawn_alike(tmp_path: Path) -> None:
    subject, _ = of_head(tmp_path, (3,), RNG.integers(0, 3, 130))
    one, again, other = (subject.tasks.batch("target", 50, seed) for seed in (0, 0, 1))
    assert len(one.groups) == 50
    assert torch.equal(one.batch[0], again.batch[0])
    assert not torch.equal(one.batch[0], other.batch[0])


@pytest.mark.parametrize(
    ("shape", "targets", "words"),
    [
        ((3,), np.arange(130) % 4, "labels from 0 to 3; expected 0 to 2, for outputs (n, 3)"),
        ((1,), np.arange(130) % 3, "labels from 0 to 2; expected 0 to 1, for outputs (n, 1)"),
        ((3,), np.zeros((130, 2)), "fractions (n, 2); expected (n, 3), as the network's outputs"),
        ((3,), np.zeros((130, 2), int), "labels (n, 2); expected (n,), the number of each row's class"),
        ((3,), np.eye(3, dtype=int)[np.arange(130) % 3], "or fractions (n, 3), such as 0.0 and 1.0, for a"),
        ((3,), np.full((130, 3), 1e300), "numbers too large for float32"),
        ((3,), np.full((130, 3), np.nan), "NaN or infinity"),
        ((3,), np.zeros(129), "129 targets; expected 130, one for each of the inputs"),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    tmp_path: Path, shape: tuple[int, ...], targets: Any, words: str
) -> None:
    with pytest.raises(SubjectError) as error:
        of_head(tmp_path, shape, targets)
    assert words in str(error.value)


def test_a_file_of_targets_alone_is_called_targets(files: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros(ROWS, complex))
    with pytest.raises(SubjectError) as error:
        open_subject(files / "a.pt", supplied(files, tmp_path / "y.npy"))
    assert "targets" in str(error.value)
    assert "embeddings" not in str(error.value)


def test_one_file_of_inputs_with_nan_is_still_one_task() -> None:
    seen = torch.randn(20, 3)
    seen[4, 1] = torch.nan
    same = Pairs({"source": seen, "target": seen.clone()}, None)
    inputs = SimpleNamespace(name="seen", paired_observations=lambda n, seed: same)
    assert Targeted(inputs, torch.zeros(20)).tasks == ("target",)  # type: ignore[arg-type]
    same.observations["source"][4, 1] = 0.0  # type: ignore[index]
    assert Targeted(inputs, torch.zeros(20)).tasks == ("source", "target")  # type: ignore[arg-type]


def test_targets_need_inputs_and_a_network(files: Path, tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match="targets without inputs; expected --inputs FILE"):
        open_subject(files / "a.pt", supplied(files, inputs=()))
    with pytest.raises(SubjectError, match="nothing there"):
        open_subject(files / "a.pt", supplied(files, "none.npy"))
    np.save(tmp_path / "z.npy", np.zeros((40, 2)))
    with pytest.raises(SubjectError, match="found no network that targets are for"):
        open_subject(tmp_path / "z.npy", Supplied(targets=files / "y.npy"))
    with pytest.raises(SubjectError, match="losses alone, since --targets was given"):
        diag.compare(files / "a.pt", files / "b.pt", supplied=supplied(files))
    with pytest.raises(SubjectError, match="--inputs and --targets"):
        diag.landscape(files / "a.pt", files / "b.pt", supplied=replace(supplied(files), targets=None))
