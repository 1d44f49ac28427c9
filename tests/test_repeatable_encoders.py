"""Encoders of adapters and programs that draw or change: held fixed and said, or refused with the reason."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import diag
from diag.outputs.json import render
from diag.outputs.registry import html, text
from diag.sources.supplied import Supplied
from diag.subject import SubjectError
from tests import source_files as files
from tests.unsteady import standing

pytestmark = pytest.mark.usefixtures("generators_at_a_known_place")

ADAPTERS = """
import torch
from diag.subject import Subject
from tests.source_files import Plain

class Around(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.plain = Plain(weights["linear.weight"].numpy().T)
        self.plain.load_state_dict(weights)
        self.drop, self.norm, self.calls = torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(3), 0

class Sampling(Around):
    def forward(self, x):
        return self.plain(x) + 0.001 * torch.randn(len(x), 3)

class Dropping(Around):
    def forward(self, x):
        return self.drop(self.plain(x))

class Always(Around):
    def forward(self, x):
        return torch.nn.functional.dropout(self.plain(x), 0.5)

class Norming(Around):
    def forward(self, x):
        return self.norm(self.plain(x))

class Counting(Around):
    def forward(self, x):
        self.calls += 1
        return self.plain(x) + self.calls

class Own:
    def __init__(self, module):
        self.module = module
    def embed(self, parameters, observations):
        return self.module(observations.float()).detach()

def sampling(weights, opening):
    return Sampling(weights)

def dropping(weights, opening):
    return Dropping(weights)  # which is put into evaluation mode

def always(weights, opening):
    return Always(weights)

def counting(weights, opening):
    return Counting(weights)

def left_on(weights, opening):
    return Subject(opening.path, opening.sha256, encoder=Own(Dropping(weights)), frozen=())

def norming(weights, opening):
    return Subject(opening.path, opening.sha256, encoder=Own(Norming(weights)), frozen=())
"""


@pytest.fixture
def shown(rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Pairs of observations; and a module of adapters in the working directory."""
    (tmp_path / "unsteady_adapters.py").write_text(ADAPTERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    yield files.pairs(tmp_path / "pairs.npz", rng)
    sys.modules.pop("unsteady_adapters", None)


def adapted(name: str, shown: Path, rng: np.random.Generator) -> Any:
    """The comparison of two files by an adapter; it leaves the generators where it found them."""
    paths = files.both(files.state_dict, shown.parent, files.flipping(rng))
    supplied = Supplied(pairs=shown, adapter=f"unsteady_adapters:{name}")
    # Not so the making of a network, whose weights are drawn before they are loaded.
    base, transfer = (
        diag.open_subject(p, supplied, t) for p, t in zip(paths, ("source", "target"), strict=True)
    )
    stands = standing()
    try:
        return diag.compare(base, transfer)
    finally:
        assert standing() == stands


def test_an_encoder_that_samples_is_held_and_said(shown: Path, rng: np.random.Generator) -> None:
    found = adapted("sampling", shown, rng)
    assert (found.relation, found.verdict.axes) == ("flipped", (1,))
    assert len([w for w in found.warnings if "its embeddings draw random numbers (torch.randn)" in w]) == 2
    for rendered in (render(found), " ".join(text(found).split()), html(found)):
        assert "draw random numbers (torch.randn)" in rendered
    assert json.loads(render(found))["warnings"] == list(found.warnings)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("always", r"dropout left on: torch\.nn\.functional\.dropout .* training=self\.training"),
        ("counting", r"another result each time for the same input"),
        ("left_on", r"dropout left on: 'drop' \(Dropout\) in training mode; .* call \.eval\(\)"),
        ("norming", r"running_mean of 'norm' \(BatchNorm1d\).* in training mode; .* call \.eval\(\)"),
    ],
)
def test_an_adapters_model_that_does_not_repeat_itself_is_refused(
    name: str, words: str, shown: Path, rng: np.random.Generator
) -> None:
    with pytest.raises(SubjectError, match=rf"\.pt: found .*{words}"):
        adapted(name, shown, rng)


def test_an_adapters_module_is_put_into_evaluation_mode(shown: Path, rng: np.random.Generator) -> None:
    assert not adapted("dropping", shown, rng).warnings


def program(path: Path, nodes: Callable[[Any], list[Any]]) -> Path:
    """An ONNX program of three numbers -> three: ``nodes`` from ``x`` to ``embedding``."""
    helper = pytest.importorskip("onnx.helper")
    from onnx import TensorProto, numpy_helper

    one, other = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in ("x", "embedding"))
    held = [numpy_helper.from_array(np.array(v), n) for n, v in (("share", np.float32(0.5)), ("on", True))]
    graph = helper.make_graph(nodes(helper.make_node), "graph", [one], [other], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (
            lambda node: [node("Dropout", ["x", "share", "on"], ["embedding"])],
            r"dropout left on: exported in training mode.*; expected .* model\.eval\(\) before the export",
        ),
        (
            lambda node: [
                node("RandomNormalLike", ["x"], ["noise"]),
                node("Add", ["x", "noise"], ["embedding"]),
            ],
            r"draws random numbers \(RandomNormalLike\), different ones each time",
        ),
    ],
    ids=["dropout", "noise"],
)
def test_an_onnx_program_that_draws_is_refused_with_what_draws(
    nodes: Callable[[Any], list[Any]], words: str, shown: Path
) -> None:
    a, b = (program(shown.with_name(f"{name}.onnx"), nodes) for name in "ab")
    b.write_bytes(b.read_bytes() + b"\x1a\x00")  # a documentation string, so that it is another file
    with pytest.raises(SubjectError, match=words):
        diag.compare(a, b, supplied=Supplied(pairs=shown))


@pytest.mark.filterwarnings("ignore")  # of torch.export's own
@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            nn.Dropout(0.5),
            r"dropout left on: aten\.dropout .*; expected .* model\.eval\(\) before the export",
        ),
        (
            nn.BatchNorm1d(3),
            r"buffers change .*running_mean.*; expected .* model\.eval\(\) before the export",
        ),
        (None, None),
    ],
    ids=["dropout", "batch norm", "samples"],
)
def test_a_program_of_torch_export_in_training_mode_is_refused(
    layer: nn.Module | None, words: str | None, shown: Path, rng: np.random.Generator
) -> None:
    rows = torch.export.Dim("rows", min=2, max=1024)
    paths = []
    for name, weights in zip("ab", files.flipping(rng), strict=True):
        module = nn.Sequential(files.Plain(weights), layer or Noise()).train(layer is not None)
        exported = torch.export.export(module, (torch.zeros(8, 4),), dynamic_shapes=({0: rows},))
        paths.append(shown.with_name(f"{name}.pt2"))
        torch.export.save(exported, paths[-1])
    supplied = Supplied(pairs=shown, trust_pickle=True)
    if words is not None:
        with pytest.raises(SubjectError, match=words):
            diag.compare(*paths, supplied=supplied)
        return
    found = diag.compare(*paths, supplied=supplied)
    assert found.verdict.axes == (1,)
    assert "draw random numbers (aten.randn_like)" in found.warnings[0]


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.001 * torch.randn_like(x)
