"""Symmetries of the weights: exchanged units compute the same, and matching finds who is who."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from diag.landscapes import symmetry
from diag.landscapes.symmetry import (
    Conv,
    Dense,
    Exchange,
    Gru,
    Norm,
    Place,
    Symmetry,
    SymmetryError,
    Units,
    apply,
    chain,
    compose,
    identity,
    invert,
    match_activations,
    match_weights,
    random_symmetry,
    units_of,
)

Parameters = Mapping[str, Tensor]


class Recurrent(nn.Module):
    """A dense layer, a GRU (of one layer or two) and a head, on sequences; the state starts at zero."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 5)
        self.gru = nn.GRU(5, 6, num_layers=layers, batch_first=True)
        self.head = nn.Linear(6, 2)

    def steps(self, x: Tensor) -> list[Tensor]:
        encoded = self.encoder(x).tanh()
        states = self.gru(encoded)[0]
        return [encoded.mT, states.mT, self.head(states)]


def sequence(module: nn.Sequential, x: Tensor) -> list[Tensor]:
    steps = [x]
    for part in module:
        steps.append(part(steps[-1]))
    return steps[1:]


@dataclass
class Net:
    """A network, its units, and after which of its steps each layer's activations stand."""

    module: nn.Module
    units: tuple[Units, ...]
    read: tuple[int, ...]
    inputs: tuple[int, ...]

    def steps(self, parameters: Parameters, x: Tensor) -> list[Tensor]:
        def run(x: Tensor) -> list[Tensor]:
            return self.module.steps(x) if isinstance(self.module, Recurrent) else sequence(self.module, x)

        wrapper = _Runs(self.module, run)
        return functional_call(wrapper, {f"module.{n}": t for n, t in parameters.items()}, (x,))

    def activations(self, parameters: Parameters, x: Tensor) -> dict[str, Tensor]:
        steps = self.steps(parameters, x)
        return {u.name: steps[k] for u, k in zip(self.units, self.read, strict=True)}

    def fresh(self, seed: int) -> dict[str, Tensor]:
        """Gaussian parameters in float64, so that no two units are alike and every bias is felt."""
        generator = torch.Generator().manual_seed(seed)
        return {
            name: 0.5 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
            for name, p in self.module.named_parameters()
        }

    def batch(self, n: int = 40) -> Tensor:
        return torch.randn(n, *self.inputs, generator=torch.Generator().manual_seed(99), dtype=torch.float64)


class _Runs(nn.Module):
    def __init__(self, module: nn.Module, run: Callable[[Tensor], list[Tensor]]) -> None:
        super().__init__()
        self.module, self.run = module, run

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.run(x)


def sequential(*parts: nn.Module, read: tuple[int, ...], inputs: tuple[int, ...]) -> Net:
    module = nn.Sequential(*parts)
    return Net(module, units_of(module), read, inputs)


def recurrent(layers: int) -> Net:
    module = Recurrent(layers)
    shapes = {n: tuple(p.shape) for n, p in module.named_parameters()}
    grus = [Gru("gru", layer) for layer in range(layers)]
    return Net(module, chain([Dense("encoder", odd=True), *grus, Dense("head")], shapes), (0, 1), (7, 3))


L, C = nn.Linear, nn.Conv2d
NETS: dict[str, Callable[[], Net]] = {
    "dense tanh": lambda: sequential(
        *(L(3, 8), nn.Tanh(), L(8, 6), nn.Tanh(), L(6, 2)), read=(1, 3), inputs=(3,)
    ),
    "dense relu": lambda: sequential(
        *(L(3, 8), nn.ReLU(), L(8, 6, bias=False), nn.ELU(), L(6, 2)), read=(1, 3), inputs=(3,)
    ),
    "dense linear": lambda: sequential(L(3, 8), L(8, 6), L(6, 2), read=(0, 1), inputs=(3,)),
    "conv, maximum": lambda: sequential(
        *(C(2, 5, 3), nn.Tanh(), nn.MaxPool2d(2), C(5, 4, 2), nn.Tanh(), nn.Flatten(), L(16, 2)),
        read=(2, 4),
        inputs=(2, 8, 8),
    ),
    "conv, mean": lambda: sequential(
        *(C(2, 5, 3), nn.Tanh(), nn.AvgPool2d(2), C(5, 4, 2), nn.Tanh(), nn.Flatten(), L(16, 6), nn.Tanh()),
        L(6, 3),
        read=(2, 4, 7),
        inputs=(2, 8, 8),
    ),
    "layer norm": lambda: sequential(
        *(nn.LayerNorm(3), L(3, 8), nn.LayerNorm(8), nn.Tanh(), L(8, 6), nn.Tanh(), L(6, 2)),
        read=(3, 5),
        inputs=(3,),
    ),
    "layer norm over maps": lambda: sequential(
        *(C(2, 5, 3), nn.LayerNorm((5, 4, 4)), nn.ReLU(), C(5, 4, 2), nn.Tanh(), nn.Flatten()),
        *(nn.LayerNorm(36), L(36, 2)),
        read=(2, 4),
        inputs=(2, 6, 6),
    ),
    "gru": lambda: recurrent(1),
}
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
every_net = pytest.mark.parametrize("kind", NETS)


def distance(a: Parameters, b: Parameters) -> float:
    return float(sum((a[name] - b[name]).square().sum() for name in a) ** 0.5)


def middle(a: Parameters, b: Parameters) -> dict[str, Tensor]:
    return {name: torch.lerp(a[name], b[name], 0.5) for name in a}


def assert_same(a: Parameters, b: Parameters) -> None:
    for name in a:
        torch.testing.assert_close(b[name], a[name], rtol=0, atol=1e-14)


def perturbed(parameters: Parameters, size: float) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        name: t + size * torch.randn(t.shape, generator=generator, dtype=t.dtype)
        for name, t in parameters.items()
    }


# --- what is a symmetry


@every_net
def test_which_layers_are_odd(kind: str) -> None:
    assert tuple(u.odd for u in NETS[kind]().units) == ODD[kind]


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
    places = tuple(replace(p, signed=(True,) * len(p.signed)) for p in u.places)
    one = {u.name: Exchange(np.arange(6), np.array([-1, 1, 1, 1, 1, 1]))}
    right = net.steps(apply([u], parameters, one), x)[-1]
    wrong = net.steps(apply([replace(u, places=places)], parameters, one), x)[-1]
    torch.testing.assert_close(right, net.steps(parameters, x)[-1], rtol=0, atol=1e-12)
    assert not torch.allclose(wrong, right, atol=1e-3)


def test_a_layer_that_shares_its_columns_moves_its_own_alone() -> None:
    """Embedding and action side by side, as a transition net reads them."""
    u = Units("e", 2, True, (Place("w", 0), Place("next", 1, start=1)))
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
    assert_same(parameters, apply(net.units, apply(net.units, parameters, one), invert(one)))


# --- matching


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
    for name, exchange in alone.items():
        assert np.array_equal(helped[name].order, exchange.order)
        assert np.array_equal(helped[name].signs, exchange.signs)


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
        for name, exchange in invert(hidden).items():
            assert np.array_equal(found[name].order, exchange.order)
            assert np.array_equal(found[name].signs, exchange.signs)


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
        found = match_weights(net.units, a, b, signs=signs)
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

    kept = left(far, invert(hidden)) if given else left(near, None)
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
    whole = symmetry._correlation(u, *acts)
    monkeypatch.setattr(symmetry, "CHUNK", 100)
    parts = symmetry._correlation(u, *acts)
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
        (match_weights(net.units, a, b, signs=False), match_weights(net.units, a, b)),
        (match_activations(net.units, *acts, signs=False), match_activations(net.units, *acts)),
    ):
        assert all((exchange.signs > 0).all() for exchange in permuted.values())
        assert wall(identity(net.units)) > 1.2 * wall(permuted) > 0.1
        assert wall(signed) == pytest.approx(0, abs=1e-24)


# --- reading layers


def test_positions_of_a_channel_stand_side_by_side() -> None:
    module = nn.Sequential(C(1, 3, 2), nn.ReLU(), nn.Flatten(), L(12, 2))
    (u,) = units_of(module, "encoder/")
    assert (u.name, u.size, u.odd) == ("encoder/0", 3, False)
    assert u.places == (
        Place("encoder/0.weight", 0),
        Place("encoder/0.bias", 0),
        Place("encoder/3.weight", 1, repeat=4),
    )


def test_sequences_in_sequences_keep_their_names() -> None:
    module = nn.Sequential(nn.Sequential(L(2, 3), nn.Tanh()), nn.Sequential(nn.Dropout(), L(3, 1)))
    (u,) = units_of(module)
    assert [p.parameter for p in u.places] == ["0.0.weight", "0.0.bias", "1.1.weight"]


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
    layers: list[symmetry.Layer], shapes: dict[str, tuple[int, ...]], words: str
) -> None:
    with pytest.raises(SymmetryError, match=words):
        chain(layers, shapes)


# --- what does not fit


def exchange(order: list[int], signs: list[int]) -> Exchange:
    return Exchange(np.array(order), np.array(signs))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"0": exchange([0, 1], [-1, 1])}, "0: found negated units; expected permutations only"),
        ({"0": exchange([0, 0], [1, 1])}, "expected a permutation of 2 units"),
        ({"0": exchange([0, 1, 2], [1, 1, 1])}, "expected a permutation of 2 units"),
        ({"0": exchange([1, 0], [1])}, "expected 2 of 1 or -1"),
        ({"0": exchange([1, 0], [1, 2])}, "expected 2 of 1 or -1"),
        ({"x": exchange([1, 0], [1, 1])}, "x: found an exchange of units that there are not"),
    ],
)
def test_exchanges_that_do_not_fit_are_refused(asked: Symmetry, words: str) -> None:
    units = (Units("0", 2, False, (Place("w", 0),)),)
    with pytest.raises(SymmetryError, match=words):
        apply(units, {"w": torch.zeros(2, 3)}, asked)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place("v", 0), "found no parameter 'v'"),
        (Place("w", 1), r"w: found shape \(2, 3\); expected 1×2×1 entries on axis 1, for the units of 0"),
        (Place("w", 2), "entries on axis 2"),
        (Place("w", 1, start=2), "entries on axis 1"),
        (Place("w", 0, signed=(True, True)), "expected 2×2×1 entries"),
        (Place("w", 0, repeat=3), "expected 1×2×3 entries"),
    ],
)
def test_places_that_do_not_fit_are_refused(place: Place, words: str) -> None:
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


def test_networks_that_differ_in_shape_or_are_not_finite_are_refused() -> None:
    units = (Units("u", 2, True, (Place("w", 0),)),)
    with pytest.raises(SymmetryError, match=r"w: found shape \(2, 4\); expected \(2, 3\)"):
        match_weights(units, {"w": torch.zeros(2, 3)}, {"w": torch.zeros(2, 4)})
    with pytest.raises(SymmetryError, match="w: found values that are not finite"):
        match_weights(units, {"w": torch.zeros(2)}, {"w": torch.tensor([0.0, torch.nan])})


def test_a_signed_start_contradicts_permutations_only() -> None:
    units, w = (Units("u", 2, True, (Place("w", 0),)),), {"w": torch.ones(2)}
    with pytest.raises(SymmetryError, match="permutations only"):
        match_weights(units, w, w, {"u": exchange([0, 1], [1, -1])}, signs=False)


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
