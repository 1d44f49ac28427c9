"""Hidden units of networks that are no plain sequence: found by a trace, exchanged, and matched again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import diag
from diag.sources.supplied import Supplied
from diag.units.symmetry import SymmetryError, apply, random_symmetry
from diag.units.traced import changed_by, traced_units
from tests.networks import Branching, Pictures, Residual, SaysWhich, pictures


def settled(net: nn.Module, seed: int = 0) -> nn.Module:
    """The network with norms that do something, in evaluation."""
    torch.manual_seed(seed)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return net.eval()


def tensors(net: nn.Module) -> dict[str, Tensor]:
    return {name: t for name, t in net.state_dict().items() if not name.endswith("num_batches_tracked")}


def change(net: nn.Module, x: Tensor) -> float:
    def called(parameters: Mapping[str, Tensor]) -> Tensor:
        made: Tensor = functional_call(net, dict(parameters), (x,)).detach()
        return made

    return changed_by(traced_units(net), tensors(net), called)


def test_a_residual_stream_is_one_space_and_its_blocks_are_others() -> None:
    units = {u.name: u for u in traced_units(Residual())}
    assert {name: u.size for name, u in units.items()} == {"stem": 8, "conv1": 8, "down": 16}
    assert not any(u.odd for u in units.values())  # batch norms and rectifiers
    stream = {(spot.parameter, spot.axis) for spot in units["stem"].spots}
    assert {("conv2.weight", 0), ("bn2.running_var", 0), ("conv1.weight", 1), ("down.weight", 1)} <= stream
    assert ("conv1.weight", 0) not in stream


@pytest.mark.parametrize("make", [Residual, Pictures])
def test_an_exchange_of_all_units_leaves_the_network_as_it_is(make: type[nn.Module]) -> None:
    net = settled(make())
    assert change(net, pictures(8)) < 1e-5
    units, own = traced_units(net), tensors(net)
    moved = apply(units, own, random_symmetry(units, 0))
    assert all(not torch.equal(own[spot.parameter], moved[spot.parameter]) for u in units for spot in u.spots)


def test_the_check_sees_what_is_no_symmetry() -> None:
    """A residual block's own units exchanged without the stream that they are added to."""
    net = settled(Residual())
    units = tuple(u for u in traced_units(net) if u.name == "stem")
    own = tensors(net)
    without = [s for s in units[0].spots if not s.parameter.startswith("bn2")]
    broken = (type(units[0])("stem", units[0].size, False, tuple(without)),)
    called = lambda p: functional_call(net, dict(p), (pictures(8),)).detach()  # noqa: E731
    assert changed_by(units, own, called) < 1e-5
    assert changed_by(broken, own, called) > 0.01


def test_units_that_are_named_stay_and_the_others_are_exchanged() -> None:
    assert [u.name for u in traced_units(SaysWhich())] == ["second"]
    assert change(SaysWhich(), torch.randn(8, 6)) < 1e-5


@pytest.mark.parametrize(
    ("net", "words"),
    [(Branching(), "torch.fx cannot trace"), (nn.Linear(3, 2), "no hidden units that stand by themselves")],
)
def test_what_has_no_units_is_told(net: nn.Module, words: str) -> None:
    with pytest.raises(SymmetryError, match=words):
        traced_units(net)


def test_a_permuted_copy_lies_in_the_same_place_once_units_are_matched(tmp_path: Path) -> None:
    """The straight way to it climbs; to the copy with units matched it does not."""
    net = settled(Residual())
    x = pictures(192)
    with torch.no_grad():
        outputs = net(x)
        labels = (outputs - outputs.mean(0)).argmax(1)  # all kinds of them
    units, own = traced_units(net), tensors(net)
    torch.save(net.state_dict(), tmp_path / "a.pt")
    torch.save(apply(units, own, random_symmetry(units, 3)), tmp_path / "b.pt")
    np.save(tmp_path / "x.npy", x.numpy())
    np.save(tmp_path / "y.npy", labels.numpy())
    given = Supplied(
        model="tests.networks:Residual", inputs=(tmp_path / "x.npy",), targets=tmp_path / "y.npy"
    )
    found = diag.landscape(
        tmp_path / "a.pt", tmp_path / "b.pt", supplied=given, points=5, beyond=0, quick=True
    )
    assert not any("not matched" in words for words in (*found.notes, *found.warnings))
    raw, matched = found.routes["raw"], found.routes["aligned"]
    assert matched.length < 1e-3 * raw.length
    high, low = (route.barrier["escape"].value for route in (raw, matched))
    assert high is not None
    assert low is not None
    assert high > 0.01
    assert low < 0.01 * high
    assert labels.unique().numel() > 1
