"""One path for one's own files: weights, adapters and pairs given to any command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import diag
from diag.sources.supplied import Supplied
from tests.commands import run
from tests.conftest import EXAMPLES

BASE, MIRRORED, MATCHED = (str(EXAMPLES / f"{n}.safetensors") for n in ("base", "mirrored", "matched"))


ADAPTERS = """
import torch
from torch import nn
from diag.sources.torch_losses import from_module

def net():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

def encoder(weights, opening):
    made = net()
    made.load_state_dict(weights)
    return made

def with_losses(weights, opening):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(150, n, generator=generator) for n in (6, 3))
    def losses(module, batch):
        return {"mse": (module(batch[0]) - batch[1]).square().mean(1)}
    return from_module(encoder(weights, opening), losses, (x, y))
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two nets' weights as torch saves them, pairs for them, and a module of adapters beside them."""
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "adapters_here", raising=False)
    Path("adapters_here.py").write_text(ADAPTERS)
    from torch import nn

    for name in "ab":
        torch.manual_seed(ord(name))
        torch.save(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).state_dict(), f"{name}.pt")
    seen = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    np.savez("pairs.npz", source=seen, target=-seen, speed=seen[:, 0])
    return "a.pt", "b.pt"


def test_a_landscape_of_ones_own_weights(capsys: pytest.CaptureFixture[str], nets: tuple[str, str]) -> None:
    quick = ("--quick", "--points", "5", "--json")
    status, out, _ = run(capsys, "landscape", *nets, "--adapter", "adapters_here:with_losses", *quick)
    assert status == 0
    found = json.loads(out)
    assert [found[end]["path"] for end in ("base", "transfer")] == list(nets)
    assert list(found["tasks"]) == ["target"]
    same = diag.landscape(*nets, supplied=Supplied(adapter="adapters_here:with_losses"), quick=True, points=5)
    assert same.to_tree()["tasks"] == found["tasks"]
    status, _, err = run(capsys, "landscape", *nets)
    assert status == 2
    assert "--adapter MODULE:FUNCTION" in err
    status, _, err = run(capsys, "landscape", *nets, "--adapter", "adapters_here:encoder")
    assert status == 2
    assert "from_module(net, losses, batch)" in err


def test_a_probe_of_ones_own_weights(capsys: pytest.CaptureFixture[str], nets: tuple[str, str]) -> None:
    own = ("--adapter", "adapters_here:encoder", "--pairs", "pairs.npz")
    status, out, _ = run(capsys, "probe", *nets, *own, "--json")
    assert status == 0
    found = json.loads(out)
    assert found["grouping"] == "states"
    assert list(found["variables"]) == ["speed"]
    # The first sees the source's observations, as the base of a comparison does, unless it is told otherwise.
    supplied = Supplied(adapter="adapters_here:encoder", pairs="pairs.npz")
    alone = diag.probe("a.pt", supplied=supplied, projection="none")
    other = diag.probe("a.pt", supplied=supplied, task="target", projection="none")
    first = found["variables"]["speed"]["columns"][0]["probe"]["value"]
    assert alone.measure(0, "speed").value == pytest.approx(first)
    assert other.measure(0, "speed").value != pytest.approx(first, abs=1e-6)
    with pytest.raises(ValueError, match="expected source or target"):
        diag.probe("a.pt", task="sauce")


def test_equal_observations_are_one_state_to_a_probe(nets: tuple[str, str]) -> None:
    # Noise that nothing tells of: with each row twice, a row's twin would be learnt by heart.
    rng = np.random.default_rng(1)
    seen = rng.normal(size=(30, 6)).astype(np.float32)
    noise = rng.normal(size=30)
    np.savez("once.npz", source=seen, target=seen, noise=noise)
    np.savez(
        "twice.npz", source=np.repeat(seen, 2, 0), target=np.repeat(seen, 2, 0), noise=np.repeat(noise, 2)
    )
    found = [
        diag.probe("a.pt", supplied=Supplied(adapter="adapters_here:encoder", pairs=pairs), projection="none")
        for pairs in ("once.npz", "twice.npz")
    ]
    assert [f.rows for f in found] == [30, 60]
    probes = [f.columns[0].findings["noise"].probe for f in found]
    assert probes[0].folds == probes[1].folds
    assert probes[1].score.value == pytest.approx(probes[0].score.value, abs=0.1)


def test_show_says_what_any_file_is_read_as(
    capsys: pytest.CaptureFixture[str], nets: tuple[str, str]
) -> None:
    np.save("rows.npy", np.random.default_rng(0).normal(size=(40, 2)))
    status, out, _ = run(capsys, "show", "rows.npy")
    assert status == 0
    assert "40 rows of 2 float64" in out
    assert "enough for compare-embeddings, check\n" in out
    own = ("--adapter", "adapters_here:encoder", "--pairs", "pairs.npz", "--json")
    status, out, _ = run(capsys, "show", nets[0], *own)
    tree = json.loads(out)
    assert (tree["encoder"], tree["embeddings"], tree["losses"]) == (True, None, None)
    assert [name for name, lacks in tree["lacks"].items() if lacks] == ["landscape"]
    # And it is right about that.
    assert run(capsys, "probe", nets[0], *own[:4])[0] == 0


def test_pairs_of_ones_own_are_not_for_mending_a_checkpoint(
    capsys: pytest.CaptureFixture[str], nets: tuple[str, str], tmp_path: Path
) -> None:
    np.savez("p.npz", source=np.zeros((31, 8, 8), np.float32), target=np.zeros((31, 8, 8), np.float32))
    out = str(tmp_path / "mended.safetensors")
    status, _, err = run(capsys, "repair", BASE, MIRRORED, "-o", out, "--pairs", "p.npz")
    assert status == 2
    assert "--use K" in err
    status, _, err = run(capsys, "repair", BASE, MIRRORED, "-o", out, "--pairs", "8")
    assert status == 2
    assert "--use 8" in err
    assert not Path(out).exists()
