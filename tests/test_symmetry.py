"""Symmetries of the weights: exchanged units compute the same, and what does not fit is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diag.units.matching import match_weights
from diag.units.symmetry import (
    Exchange,
    Spot,
    Symmetry,
    SymmetryError,
    Units,
    apply,
    compose,
    identity,
    random_symmetry,
)
from tests.hidden_units import (
    NETS,
    assert_same,
    distance,
    exchange,
    recurrent,
    undone,
)


@pytest.mark.parametrize("kind", [*NETS, "gru of two layers"])
def test_a_symmetric_copy_computes_the_same_from_other_weights(kind: str) -> None:
    net = recurrent(2) if kind == "gru of two layers" else NETS[kind]()
    if kind == "gru of two layers":
        assert [u.name for u in net.units] == ["encoder", "gru.l0", "gru.l1"]
    x = net.batch()
    for seed in range(3):
        parameters = net.fresh(seed)
        before = {name: t.clone() for name, t in parameters.items()}
        copy = apply(net.units, parameters, random_symmetry(net.units, seed))
        assert distance(parameters, copy) > 1.0
        assert_same(before, parameters)
        torch.testing.assert_close(
            net.steps(copy, x)[-1], net.steps(parameters, x)[-1], rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("kind", ["dense relu", "conv, maximum", "layer norm"])
def test_a_sign_through_what_is_not_odd_changes_the_function(kind: str) -> None:
    net, parameters, x = NETS[kind](), NETS[kind]().fresh(0), NETS[kind]().batch()
    u = next(u for u in net.units if not u.odd)
    one = Exchange(np.arange(u.size), np.array([-1] + [1] * (u.size - 1)))
    changed = apply([replace(u, odd=True)], parameters, {u.name: one})
    assert not torch.allclose(net.steps(changed, x)[-1], net.steps(parameters, x)[-1], atol=1e-3)


def test_the_signs_of_a_gru_leave_its_gates() -> None:
    net = NETS["gru"]()
    parameters, x, u = net.fresh(0), net.batch(), net.units[1]
    spots = tuple(replace(p, signed=(True,) * len(p.signed)) for p in u.spots)
    one = {u.name: Exchange(np.arange(6), np.array([-1, 1, 1, 1, 1, 1]))}
    right = net.steps(apply([u], parameters, one), x)[-1]
    wrong = net.steps(apply([replace(u, spots=spots)], parameters, one), x)[-1]
    torch.testing.assert_close(right, net.steps(parameters, x)[-1], rtol=0, atol=1e-12)
    assert not torch.allclose(wrong, right, atol=1e-3)


def test_a_layer_that_shares_its_columns_moves_its_own_alone() -> None:
    """Embedding and action side by side, as a transition net reads them."""
    u = Units("e", 2, True, (Spot("w", 0), Spot("next", 1, start=1)))
    parameters = {"w": torch.tensor([1.0, 2.0]), "next": torch.tensor([[9.0, 1.0, 2.0, 8.0]])}
    copy = apply([u], parameters, {"e": Exchange(np.array([1, 0]), np.array([1, -1]))})
    assert copy["w"].tolist() == [2.0, -1.0]
    assert copy["next"].tolist() == [[9.0, 2.0, -1.0, 8.0]]


def test_what_does_not_change_is_the_same_tensor() -> None:
    net = NETS["dense tanh"]()
    parameters = net.fresh(0)
    assert all(t is parameters[n] for n, t in apply(net.units, parameters, identity(net.units)).items())
    second = random_symmetry(net.units[1:], 0)
    copy = apply(net.units, parameters, second)
    assert {n for n, t in copy.items() if t is parameters[n]} == {"0.weight", "0.bias"} | {"4.bias"}


def test_number_types_are_kept() -> None:
    net = NETS["dense tanh"]()
    parameters = {name: t.to(torch.bfloat16) for name, t in net.fresh(0).items()}
    copy = apply(net.units, parameters, random_symmetry(net.units, 0))
    assert {t.dtype for t in copy.values()} == {torch.bfloat16}


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.sampled_from(["dense tanh", "conv, mean", "gru"]))
@settings(max_examples=20, deadline=None)
def test_symmetries_are_a_group(first: int, second: int, kind: str) -> None:
    net = NETS[kind]()
    parameters = net.fresh(0)
    one, two = random_symmetry(net.units, first), random_symmetry(net.units, second)
    in_turn = apply(net.units, apply(net.units, parameters, one), two)
    assert_same(in_turn, apply(net.units, parameters, compose(one, two)))
    assert_same(parameters, apply(net.units, apply(net.units, parameters, one), undone(one)))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"0": exchange([0, 1], [-1, 1])}, "0: found negated units; expected permutations only"),
        ({"0": exchange([0, 0], [1, 1])}, "expected a permutation of 2 units"),
        ({"0": exchange([0, 1, 2], [1, 1, 1])}, "expected a permutation of 2 units"),
        ({"0": exchange([1, 0], [1])}, "expected 2 of 1 or -1"),
        ({"0": exchange([1, 0], [1, 2])}, "expected 2 of 1 or -1"),
        ({"x": exchange([1, 0], [1, 1])}, "x: found an exchange of unknown units"),
    ],
)
def test_exchanges_that_do_not_fit_are_refused(asked: Symmetry, words: str) -> None:
    units = (Units("0", 2, False, (Spot("w", 0),)),)
    with pytest.raises(SymmetryError, match=words):
        apply(units, {"w": torch.zeros(2, 3)}, asked)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Spot("v", 0), "found no parameter 'v'"),
        (Spot("w", 1), r"w: found shape \(2, 3\); expected 1×2×1 entries on axis 1, for the units of 0"),
        (Spot("w", 2), "entries on axis 2"),
        (Spot("w", 1, start=2), "entries on axis 1"),
        (Spot("w", 0, signed=(True, True)), "expected 2×2×1 entries"),
        (Spot("w", 0, repeat=3), "expected 1×2×3 entries"),
    ],
)
def test_places_that_do_not_fit_are_refused(place: Spot, words: str) -> None:
    units, parameters = (Units("0", 2, True, (place,)),), {"w": torch.zeros(2, 3)}
    for attempt in (
        lambda: apply(units, parameters, identity(units)),
        lambda: match_weights(units, parameters, parameters),
    ):
        with pytest.raises(SymmetryError, match=words):
            attempt()


def test_two_layers_of_one_name_are_refused() -> None:
    u = Units("u", 2, True, ())
    with pytest.raises(SymmetryError, match="a name of its own"):
        apply([u, u], {}, {})
