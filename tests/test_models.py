"""``--model``: networks by name, filled with a file's weights, embedded at a layer."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import diag
from diag.embed import embedded
from diag.sources import open_subject
from diag.sources.supplied import Supplied
from diag.subject import SubjectError
from tests.commands import run
from tests.networks import CLASSES, Named, Pictures, made, nudged, pictures

FACTORY = "tests.networks:Pictures"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A base, a transfer with a trained second convolution, and pictures."""
    base = made()
    torch.save({"state_dict": {f"module.{n}": t for n, t in base.state_dict().items()}}, tmp_path / "a.pt")
    save_file(dict(nudged(base, "conv2", 0.8).state_dict()), tmp_path / "b.safetensors")
    np.save(tmp_path / "x.npy", pictures().numpy())
    return tmp_path


def supplied(folder: Path, **more: Any) -> Supplied:
    return Supplied(model=FACTORY, inputs=(folder / "x.npy",), **more)


def test_the_embedding_is_what_the_last_linear_layer_reads(files: Path) -> None:
    subject = open_subject(files / "a.pt", supplied(files), "source")
    assert subject.tasks is not None
    pairs = subject.tasks.paired_observations(None, 0)
    net = made()
    seen: list[torch.Tensor] = []
    net.fc.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(pictures())
    assert torch.allclose(embedded(subject, pairs), seen[0], atol=1e-6)
    assert any("what its last linear layer, 'fc', reads" in note for note in subject.notes)
    assert any("'module.' before its names" in note for note in subject.notes)


@pytest.mark.parametrize(
    ("layer", "shape"), [("conv1", (160, 8, 8, 8)), ("fc", (160, CLASSES)), (None, (160, 8))]
)
def test_a_layer_by_name(files: Path, layer: str | None, shape: tuple[int, ...]) -> None:
    subject = open_subject(files / "a.pt", supplied(files, layer=layer), "source")
    assert subject.tasks is not None
    assert embedded(subject, subject.tasks.paired_observations(None, 0)).shape == shape


def test_a_comparison_knows_which_layer_was_frozen(files: Path) -> None:
    result = diag.compare(files / "a.pt", files / "b.safetensors", supplied=supplied(files))
    assert result.frozen == ("fc",)
    assert result.verdict.relation != "matched"
    assert result.verdict.status == "fail"
    at_first = diag.compare(files / "a.pt", files / "b.safetensors", supplied=supplied(files, layer="conv1"))
    assert at_first.verdict.relation == "matched"
    assert at_first.frozen == ("fc",)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "nowhere"}, "no colon between two names"),
        ({"model": "tests.networks:Nothing"}, "a function Nothing in tests.networks"),
        ({"model": "tests.networks:not_a_module"}, "found a int; expected a torch.nn.Module"),
        ({"model": FACTORY, "model_args": "{"}, "no JSON"),
        ({"model": FACTORY, "model_args": "3"}, "found a int; expected a JSON object"),
        (
            {"model": FACTORY, "model_args": '{"num_classes": 7}'},
            "fc.weight of shape (5, 8); expected (7, 8)",
        ),
        ({"model": FACTORY, "model_args": '{"depth": 7}'}, "TypeError in its factory"),
        (
            {"model": FACTORY, "layer": "conv9"},
            "no layer 'conv9'; expected --layer with one of conv1, conv2, fc",
        ),
        ({"model": FACTORY, "key": "ema"}, "no weights under 'ema'"),
        ({"model": "hf:nowhere"}, "no config.json in that folder"),
        ({"model": "timm:resnet18"}, "pip install timm"),
    ],
)
def test_what_cannot_be_built_is_told(files: Path, changed: dict[str, str], words: str) -> None:
    with pytest.raises(SubjectError) as error:
        open_subject(files / "a.pt", Supplied(inputs=(files / "x.npy",), **changed), "source")
    assert words in str(error.value)


def test_a_library_s_model_gets_the_classes_of_the_file(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a library whose models have a thousand classes unless they are told otherwise."""
    timm = ModuleType("timm")

    def create_model(name: str, pretrained: bool, num_classes: int = 1000) -> nn.Module:
        assert (name, pretrained) == ("pictures", False)
        return Pictures(num_classes)

    timm.create_model = create_model  # type: ignore[attr-defined]
    timm.list_models = lambda: ["pictures", "sounds"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", timm)
    subject = open_subject(
        files / "a.pt", Supplied(model="timm:pictures", inputs=(files / "x.npy",)), "source"
    )
    assert subject.parameters is not None
    assert subject.parameters["fc/weight"].shape == (CLASSES, 8)
    with pytest.raises(SubjectError, match="no model picture in timm; expected such as pictures"):
        open_subject(files / "a.pt", Supplied(model="timm:picture", inputs=(files / "x.npy",)), "source")


def test_a_library_that_fails_when_it_is_imported_is_told(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torchvision does that was built for another torch."""
    (files / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.syspath_prepend(files)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(SubjectError, match=r"fails when it is imported .*nms.*built for torch 2"):
        open_subject(files / "a.pt", Supplied(model="timm:resnet18", inputs=(files / "x.npy",)), "source")


class Tied(nn.Module):
    """An output layer that has the input layer's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        self.last.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(torch.tanh(self.first(x)))
        return out


def test_a_tied_weight_may_be_saved_under_one_name(tmp_path: Path) -> None:
    """As transformers saves language models: without the output layer's weights."""
    net = Tied()
    save_file({"first.weight": net.first.weight.detach().clone() + 1}, tmp_path / "a.safetensors")
    np.save(tmp_path / "x.npy", np.ones((20, 6), np.float32))
    given = Supplied(model="tests.test_models:Tied", inputs=(tmp_path / "x.npy",))
    subject = open_subject(tmp_path / "a.safetensors", given, "source")
    assert subject.parameters is not None
    assert torch.equal(subject.parameters["last/weight"], net.first.weight + 1)


def test_state_dicts_in_a_tuple_are_entries_by_number(files: Path) -> None:
    """As CleanRL saves an actor and its critics."""
    torch.save((Named("actor").state_dict(), made(3).state_dict()), files / "both.cleanrl_model")
    with pytest.raises(SubjectError, match="weights in 0, 1; expected --key NAME"):
        open_subject(files / "both.cleanrl_model", supplied(files), "source")
    subject = open_subject(files / "both.cleanrl_model", supplied(files, key="1"), "source")
    assert subject.parameters is not None
    assert torch.equal(subject.parameters["fc/weight"], made(3).fc.weight)


def test_pictures_in_bytes_are_told_how_to_become_fractions(files: Path) -> None:
    np.save(files / "bytes.npy", np.zeros((40, 3, 8, 8), np.uint8))
    given = Supplied(model=FACTORY, inputs=(files / "bytes.npy",))
    with pytest.raises(SubjectError, match=r"inputs of uint8 .* bytes are not scaled.*/ 255"):
        open_subject(files / "a.pt", given, "source")


def test_inputs_that_do_not_fit_are_told(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(files / "flat.npy", np.zeros((40, 7), np.float32))
    with pytest.raises(SubjectError, match=r"a network that fails on inputs of float32 \(7,\)"):
        open_subject(files / "a.pt", Supplied(model=FACTORY, inputs=(files / "flat.npy",)), "source")
    both = (str(files / "a.pt"), str(files / "b.safetensors"))
    status, _, words = run(capsys, "compare-embeddings", *both, "--model", FACTORY)
    assert (status, words.count("\n")) == (2, 1)
    assert "--pairs FILE, --inputs FILE" in words


def test_two_inputs_are_the_tasks(files: Path) -> None:
    x = pictures()
    np.savez(files / "y.npz", inputs=-x.numpy(), label=np.arange(len(x)) % 3)
    both = Supplied(model=FACTORY, inputs=(files / "x.npy", files / "y.npz"))
    subject = open_subject(files / "a.pt", both, "target")
    assert subject.tasks is not None
    assert torch.equal(subject.tasks.paired_observations(None, 0).observations["target"], -x)
    np.save(files / "few.npy", x[:5].numpy())
    with pytest.raises(SubjectError, match="160 rows of source and 5 of target"):
        open_subject(
            files / "a.pt", Supplied(model=FACTORY, inputs=(files / "x.npy", files / "few.npy")), "source"
        )


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    torch.save(made().state_dict(), tmp_path / "a.pt")
    rng = np.random.default_rng(0)
    for number in range(20):
        folder = tmp_path / "seen" / ("cats", "dogs")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / f"{number:02}.png")
    subject = open_subject(tmp_path / "a.pt", Supplied(model=FACTORY, inputs=(tmp_path / "seen",)), "source")
    assert subject.tasks is not None
    seen = subject.tasks.paired_observations(None, 0).observations["source"]
    assert seen.shape == (20, 3, 8, 8)
    assert 0 <= float(seen.min()) < float(seen.max()) <= 1
    assert list(subject.tasks.variables()["folder"]) == ["cats"] * 10 + ["dogs"] * 10
    image.fromarray(rng.integers(0, 255, (9, 8, 3), np.uint8)).save(tmp_path / "seen" / "zz.png")
    with pytest.raises(SubjectError, match="8×9 pixels; expected 8×8"):
        open_subject(tmp_path / "a.pt", Supplied(model=FACTORY, inputs=(tmp_path / "seen",)), "source")
    (tmp_path / "seen" / "zz.png").write_bytes(b"none")
    with pytest.raises(SubjectError, match="no picture"):
        open_subject(tmp_path / "a.pt", Supplied(model=FACTORY, inputs=(tmp_path / "seen",)), "source")


def test_a_network_that_draws_in_evaluation_is_refused(tmp_path: Path) -> None:
    from tests.networks import Drops

    torch.save(Drops().state_dict(), tmp_path / "a.pt")
    torch.save(Drops().state_dict(), tmp_path / "b.pt")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32))
    given = Supplied(model="tests.networks:Drops", inputs=(tmp_path / "x.npy",))
    with pytest.raises(SubjectError, match="dropout"):
        diag.layers(tmp_path / "a.pt", tmp_path / "b.pt", supplied=given)


def test_show_says_how_the_file_is_read(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("show", str(files / "a.pt"), "--model", FACTORY, "--inputs", str(files / "x.npy"))
    shown = " ".join(run(capsys, *given)[1].split())
    assert "Pictures of 903 numbers" in shown
    assert "fc 45" in shown
    assert "enough for compare-embeddings, check, layers" in shown
