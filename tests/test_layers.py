"""Reading the hidden units of layers and of torch modules, and refusing what leaves them open."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from diag.units.layers import Conv, Dense, Gru, Layer, Norm, chain, units_of
from diag.units.symmetry import Spot, SymmetryError
from tests.hidden_units import (
    NETS,
    C,
    L,
    every_net,
)

ODD = {
    "dense tanh": (True, True),
    "dense relu": (False, False),
    "dense linear": (True, True),
    "conv, maximum": (False, True),
    "conv, mean": (True, True, True),
    "layer norm": (False, True),
    "layer norm over maps": (False, False),
    "gru": (True, True),
}


@every_net
def test_which_layers_are_odd(kind: str) -> None:
    assert tuple(u.odd for u in NETS[kind]().units) == ODD[kind]


def test_positions_of_a_channel_stand_side_by_side() -> None:
    module = nn.Sequential(C(1, 3, 2), nn.ReLU(), nn.Flatten(), L(12, 2))
    (u,) = units_of(module, "encoder/")
    assert (u.name, u.size, u.odd) == ("encoder/0", 3, False)
    assert u.spots == (
        Spot("encoder/0.weight", 0),
        Spot("encoder/0.bias", 0),
        Spot("encoder/3.weight", 1, repeat=4),
    )


def test_sequences_in_sequences_keep_their_names() -> None:
    module = nn.Sequential(nn.Sequential(L(2, 3), nn.Tanh()), nn.Sequential(nn.Dropout(), L(3, 1)))
    (u,) = units_of(module)
    assert [p.parameter for p in u.spots] == ["0.0.weight", "0.0.bias", "1.1.weight"]


def test_an_activation_used_twice_counts_twice() -> None:
    """One ReLU module between all layers, as is often written."""
    act = nn.ReLU()
    assert [u.odd for u in units_of(nn.Sequential(L(2, 3), act, L(3, 3), act, L(3, 1)))] == [False, False]


def test_outputs_are_no_units() -> None:
    assert units_of(nn.Sequential(L(2, 3), nn.Tanh())) == ()
    assert units_of(nn.Sequential(nn.Flatten(), nn.ReLU())) == ()
    assert chain([], {}) == ()


def test_a_norm_forbids_signs_with_or_without_parameters() -> None:
    (u,) = units_of(nn.Sequential(L(2, 3), nn.LayerNorm(3, elementwise_affine=False), nn.Tanh(), L(3, 1)))
    assert not u.odd
    shapes: dict[str, tuple[int, ...]] = {"a.weight": (3, 2), "n.weight": (3,), "b.weight": (1, 3)}
    (u,) = chain([Dense("a", odd=True), Norm("n"), Dense("b")], shapes)
    assert not u.odd


class Backwards(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x


TWICE = L(3, 3)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Sequential(L(2, 3), nn.Softmax(-1), L(3, 1)), "1: found Softmax"),
        (nn.Sequential(L(2, 3), nn.Sequential(nn.BatchNorm1d(3)), L(3, 1)), r"1\.0: found BatchNorm1d"),
        (nn.Sequential(C(1, 4, 2), C(4, 4, 2, groups=2)), "1: found Conv2d.*groups=2"),
        (nn.Sequential(C(1, 4, 2), nn.ReLU(), L(4, 1)), "2: found Linear"),
        (nn.Sequential(C(1, 4, 2), nn.LayerNorm(4), C(4, 1, 2)), "1: found LayerNorm"),
        (nn.Sequential(C(1, 4, 2), nn.LayerNorm((4, 4)), C(4, 1, 2)), "1: found LayerNorm"),
        (nn.Sequential(C(1, 4, 2), nn.Flatten(2), L(4, 1)), "1: found Flatten"),
        (nn.Sequential(L(2, 4), nn.MaxPool1d(2), L(2, 1)), "1: found MaxPool1d"),
        (nn.Sequential(nn.Conv1d(2, 4, 1), nn.MaxPool2d(2), nn.Conv1d(2, 4, 1)), "1: found MaxPool2d"),
        (nn.Sequential(L(2, 4), nn.Conv1d(2, 4, 1)), "1: found Conv1d"),
        (nn.Sequential(TWICE, nn.Tanh(), TWICE), "used twice"),
        (Backwards(L(2, 3), L(3, 1)), "Backwards: found a sequence with a forward of its own"),
        (
            nn.Sequential(L(2, 3), nn.Tanh(), L(4, 1)),
            r"2\.weight: found shape \(1, 4\); expected 3 on axis 1",
        ),
        (nn.Sequential(C(1, 3, 2), nn.Flatten(), L(10, 1)), "expected a multiple of 3 on axis 1"),
    ],
)
def test_modules_whose_units_are_not_known_are_refused(module: nn.Sequential, words: str) -> None:
    with pytest.raises(SymmetryError, match=words):
        units_of(module)


@pytest.mark.parametrize(
    ("layers", "shapes", "words"),
    [
        ([Dense("a"), Dense("b")], {"a.weight": (3, 2)}, r"b\.weight: found no such parameter"),
        ([Dense("a")], {"a.weight": (3, 2, 1, 1)}, "expected the weights of a Dense layer"),
        ([Conv("a")], {"a.weight": (3, 2)}, "expected the weights of a Conv layer"),
        ([Gru("g")], {"g.weight_ih_l0": (8, 3), "g.weight_hh_l0": (8, 2)}, r"expected \(3·size, size\)"),
        ([Dense("a"), Norm("n")], {"a.weight": (3, 2), "n.weight": (6,)}, "expected 3 on axis 0"),
        ([Dense("a"), Norm("n")], {"a.weight": (3, 2)}, r"n\.weight: found no such parameter"),
    ],
)
def test_layers_that_do_not_follow_are_refused(
    layers: list[Layer], shapes: dict[str, tuple[int, ...]], words: str
) -> None:
    with pytest.raises(SymmetryError, match=words):
        chain(layers, shapes)
