"""Who is who: matching undoes symmetric copies, as well as trying everything, and ends no farther off."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from torch import nn

from diag.units import matching
from diag.units.layers import Dense, Gru, chain
from diag.units.matching import match_activations, match_weights
from diag.units.symmetry import (
    Exchange,
    Spot,
    Symmetry,
    SymmetryError,
    Units,
    apply,
    identity,
    random_symmetry,
)
from tests.hidden_units import (
    NETS,
    L,
    Parameters,
    assert_same,
    distance,
    every_net,
    exchange,
    middle,
    perturbed,
    sequential,
    undone,
)


def even(units: tuple[Units, ...]) -> list[Units]:
    """Permutations only."""
    return [replace(u, odd=False) for u in units]


@every_net
@pytest.mark.parametrize("seed", [0, 1])
def test_both_matchings_undo_a_symmetric_copy(kind: str, seed: int) -> None:
    net = NETS[kind]()
    a, x = net.fresh(seed), net.batch()
    b = apply(net.units, a, random_symmetry(net.units, seed + 10))
    by_weights = match_weights(net.units, a, b)
    by_activations = match_activations(net.units, net.activations(a, x), net.activations(b, x))
    assert not torch.allclose(net.steps(middle(a, b), x)[-1], net.steps(a, x)[-1], atol=1e-3)
    for found in (by_weights, by_activations):
        assert_same(a, apply(net.units, b, found))


@pytest.mark.parametrize("layers", [1, 2])
def test_the_weights_of_recurrent_layers_suffice(layers: int) -> None:
    """Also where a state reads far more of itself than of its inputs."""
    module = nn.GRU(1, 64, num_layers=layers, bias=False)
    shapes = {f"gru.{n}": tuple(p.shape) for n, p in module.named_parameters()} | {"head.weight": (2, 64)}
    units = chain([*(Gru("gru", layer) for layer in range(layers)), Dense("head")], shapes)
    generator = torch.Generator().manual_seed(0)
    for seed in range(3):
        a = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        b = apply(units, a, random_symmetry(units, seed))
        assert_same(a, apply(units, b, match_weights(units, a, b, restarts=0)))


def test_weights_decide_only_where_activations_do_not() -> None:
    net = NETS["dense tanh"]()
    a, b, x = net.fresh(0), net.fresh(1), net.batch()
    acts = net.activations(a, x), net.activations(b, x)
    alone, helped = match_activations(net.units, *acts), match_activations(net.units, *acts, a, b)
    for name, one in alone.items():
        assert np.array_equal(helped[name].order, one.order)
        assert np.array_equal(helped[name].signs, one.signs)


@every_net
def test_noise_does_not_hide_a_copy(kind: str) -> None:
    net = NETS[kind]()
    a, x = net.fresh(0), net.batch()
    hidden = random_symmetry(net.units, 1)
    b = apply(net.units, perturbed(a, 0.02), hidden)
    matchings = [match_weights(net.units, a, b)]
    if kind != "dense linear":  # units that are linear in three inputs may be too alike to tell by their acts
        matchings.append(match_activations(net.units, net.activations(a, x), net.activations(b, x), a, b))
    for found in matchings:
        for name, one in undone(hidden).items():
            assert np.array_equal(found[name].order, one.order)
            assert np.array_equal(found[name].signs, one.signs)


@pytest.mark.parametrize("signs", [False, True])
def test_one_hidden_layer_is_matched_as_well_as_by_trying_everything(signs: bool) -> None:
    net = sequential(L(2, 4), nn.Tanh(), L(4, 2), read=(1,), inputs=(2,))
    for seed in range(3):
        a, b = net.fresh(seed), net.fresh(seed + 50)
        every = [
            distance(a, apply(net.units, b, {"0": Exchange(np.array(order), np.array(sign))}))
            for order in permutations(range(4))
            for sign in product((1, -1) if signs else (1,), repeat=4)
        ]
        units = net.units if signs else even(net.units)
        found = match_weights(units, a, b)
        assert distance(a, apply(net.units, b, found)) == pytest.approx(min(every), abs=1e-12)
        assert (found["0"].signs > 0).all() or signs


@every_net
def test_matching_weights_ends_no_farther_than_it_starts(kind: str) -> None:
    net = NETS[kind]()
    for seed in range(4):
        a, b = net.fresh(seed), net.fresh(seed + 50)
        start = random_symmetry(net.units, seed)
        raw, started = distance(a, b), distance(a, apply(net.units, b, start))
        found = distance(a, apply(net.units, b, match_weights(net.units, a, b, start)))
        assert found <= min(raw, started) + 1e-9
        assert found < raw
        few = match_weights(net.units, a, b, start, restarts=0)
        assert found <= distance(a, apply(net.units, b, few)) + 1e-9


@pytest.mark.parametrize("given", [False, True])
def test_a_good_start_is_not_lost(given: bool) -> None:
    """Noise misleads the other starts: what lies well already, or where the start says, stays there."""
    net = NETS["gru"]()
    a = net.fresh(3)
    near, hidden = perturbed(a, 1.0), random_symmetry(net.units, 9)
    far = apply(net.units, near, hidden)

    def left(b: Parameters, start: Symmetry | None) -> float:
        return distance(a, apply(net.units, b, match_weights(net.units, a, b, start, restarts=0)))

    kept = left(far, undone(hidden)) if given else left(near, None)
    assert kept <= distance(a, near) + 1e-9
    assert left(far, None) > kept + 0.1


def test_a_seed_gives_the_same_matching_again() -> None:
    net = NETS["dense tanh"]()
    a, b = net.fresh(0), net.fresh(1)
    first, second = (match_weights(net.units, a, b, seed=7) for _ in range(2))
    for name in first:
        assert np.array_equal(first[name].order, second[name].order)
        assert np.array_equal(first[name].signs, second[name].signs)


@pytest.mark.parametrize("kind", ["dense tanh", "dense relu"])
def test_dead_and_duplicate_units_are_matched_by_their_weights(kind: str) -> None:
    """Two dead units and two that act alike: their activations cannot tell which is which."""
    net = NETS[kind]()
    a, x = net.fresh(0), net.batch()
    for unit in (0, 1):
        a["0.weight"][unit], a["0.bias"][unit] = 0.0, -1.0 - unit
    a["0.weight"][3], a["0.bias"][3] = a["0.weight"][2], a["0.bias"][2]
    b = apply(net.units, a, random_symmetry(net.units, 3))
    acts = net.activations(a, x), net.activations(b, x)
    assert_same(a, apply(net.units, b, match_activations(net.units, *acts, a, b)))
    assert_same(a, apply(net.units, b, match_weights(net.units, a, b)))
    blind = apply(net.units, b, match_activations(net.units, *acts))
    torch.testing.assert_close(net.steps(blind, x)[-1], net.steps(a, x)[-1], rtol=0, atol=1e-12)


def test_rounding_of_a_constant_unit_is_no_correlation() -> None:
    u = Units("u", 2, True, ())
    noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = torch.stack([noise[:, 0], 5.0 + 1e-9 * noise[:, 1]], 1)
    b = torch.stack([noise[:, 0] + noise[:, 1], 5.0 - 1e-9 * noise[:, 0]], 1)
    found = match_activations([u], {"u": a}, {"u": b})["u"]
    assert found.order.tolist() == [0, 1]
    assert found.signs.tolist() == [1, 1]


def test_a_network_of_zeros_is_matched_without_a_fuss() -> None:
    net = NETS["dense tanh"]()
    zeros = {name: torch.zeros_like(t) for name, t in net.fresh(0).items()}
    acts = net.activations(zeros, net.batch())
    for found in (
        match_weights(net.units, zeros, zeros),
        match_activations(net.units, acts, acts, zeros, zeros),
    ):
        assert_same(zeros, apply(net.units, zeros, found))


def test_the_size_of_chunks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    net = NETS["conv, mean"]()
    acts = [net.activations(net.fresh(seed), 3 + net.batch(23)) for seed in (0, 1)]
    u = net.units[0]
    whole = matching._correlation(u, *acts)
    monkeypatch.setattr(matching, "CHUNK", 100)
    parts = matching._correlation(u, *acts)
    columns = [a[u.name].movedim(1, 0).flatten(1).numpy() for a in acts]
    oracle = np.corrcoef(*columns)[: u.size, u.size :]
    np.testing.assert_allclose(whole, oracle, atol=1e-12)
    np.testing.assert_allclose(parts, oracle, atol=1e-12)


def test_permutations_take_down_part_of_a_wall_and_signs_the_rest() -> None:
    """The wall on the line to a copy of a tanh net is only a symmetry; permutations are not all of it."""
    net = NETS["dense tanh"]()
    a, x = net.fresh(0), net.batch(200)
    b = apply(net.units, a, random_symmetry(net.units, 4))
    target = net.steps(a, x)[-1]

    def wall(found: Symmetry) -> float:
        moved = apply(net.units, b, found)
        return float((net.steps(middle(a, moved), x)[-1] - target).square().mean())

    acts = net.activations(a, x), net.activations(b, x)
    for permuted, signed in (
        (match_weights(even(net.units), a, b), match_weights(net.units, a, b)),
        (match_activations(even(net.units), *acts), match_activations(net.units, *acts)),
    ):
        assert all((exchange.signs > 0).all() for exchange in permuted.values())
        assert wall(identity(net.units)) > 1.2 * wall(permuted) > 0.1
        assert wall(signed) == pytest.approx(0, abs=1e-24)


def test_networks_that_differ_in_shape_or_are_not_finite_are_refused() -> None:
    units = (Units("u", 2, True, (Spot("w", 0),)),)
    with pytest.raises(SymmetryError, match=r"w: found shape \(2, 4\); expected \(2, 3\)"):
        match_weights(units, {"w": torch.zeros(2, 3)}, {"w": torch.zeros(2, 4)})
    with pytest.raises(SymmetryError, match="w: found values that are not finite"):
        match_weights(units, {"w": torch.zeros(2)}, {"w": torch.tensor([0.0, torch.nan])})


def test_a_start_that_negates_units_that_are_not_odd_is_refused() -> None:
    units, w = (Units("u", 2, False, (Spot("w", 0),)),), {"w": torch.ones(2)}
    with pytest.raises(SymmetryError, match="permutations only"):
        match_weights(units, w, w, {"u": exchange([0, 1], [1, -1])})


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ({"u": torch.zeros(5, 2)}, {}, "u: found no activations of B"),
        ({"u": torch.zeros(5, 2)}, {"u": torch.zeros(4, 2)}, r"\(5, 2\) and \(4, 2\)"),
        ({"u": torch.zeros(5, 3)}, {"u": torch.zeros(5, 3)}, r"the same shape \(n, 2, ...\)"),
        ({"u": torch.zeros(0, 2)}, {"u": torch.zeros(0, 2)}, r"\(0, 2\)"),
        ({"u": torch.full((5, 2), torch.inf)}, {"u": torch.zeros(5, 2)}, "not finite"),
    ],
)
def test_activations_that_do_not_fit_are_refused(a: Parameters, b: Parameters, words: str) -> None:
    with pytest.raises(SymmetryError, match=words):
        match_activations([Units("u", 2, True, ())], a, b)
