"""Symmetries of the weights: hidden units exchanged, and negated where what follows them is odd.

A layer of units stands in several parameters at once: in the rows that make it and in the columns that
read it. Exchanging two units in all of these places leaves the function as it was, and so does negating
one where its activation is odd (Sussmann, Neural Networks 5, 1992). Two networks may thus lie far apart
on the straight line and compute the same.

>>> import torch
>>> shapes = {"net/0.weight": (2, 1), "net/1.weight": (1, 2)}
>>> units = chain([Dense("net/0", odd=True), Dense("net/1")], shapes)
>>> parameters = {"net/0.weight": torch.tensor([[1.0], [2.0]]), "net/1.weight": torch.tensor([[3.0, 4.0]])}
>>> swap = {"net/0": Exchange(np.array([1, 0]), np.array([1, -1]))}
>>> {name: tensor.tolist() for name, tensor in apply(units, parameters, swap).items()}
{'net/0.weight': [[2.0], [-1.0]], 'net/1.weight': [[4.0, -3.0]]}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

if TYPE_CHECKING:
    from diag.subject import Parameters

CHUNK = 2**22
"""So many activations are made float64 at a time: 32 MB."""
CONSTANT = 1e-6
"""Below this standard deviation, as a share of its root mean square, a unit is constant: float32 leaves that
much of rounding, and a correlation with it would be noise."""
TIE = 1e-4
"""What the weights count beside correlations: they decide between units that act alike, and nothing else."""
GAIN = 1e-12
"""The least gain that is no rounding, where all weights together have norm 1."""


class SymmetryError(ValueError):
    """Units, parameters or a module that do not fit each other: ``where``, ``found``, ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        self.where, self.found, self.expected = where, found, expected
        super().__init__(f"{where}: found {found}; expected {expected}")


@dataclass(frozen=True)
class Place:
    """Where a layer of units stands in one parameter.

    The axis holds blocks of all units side by side, each unit as ``repeat`` neighbouring entries: unit u of
    block b begins at ``start`` + (b·size + u)·repeat.
    """

    parameter: str
    axis: int
    signed: tuple[bool, ...] = (True,)
    """For each block, whether negating a unit negates its entries there."""
    repeat: int = 1
    """Entries per unit: the positions of a channel behind a flatten."""
    start: int | None = None
    """Where the units begin, if they share the axis with something else; None: they fill it."""


@dataclass(frozen=True)
class Units:
    """A layer of ``size`` hidden units and all the places where it stands in the parameters."""

    name: str
    size: int
    odd: bool
    """Whether negating a unit is a symmetry: all that lies between its weights and the next is odd."""
    places: tuple[Place, ...]


@dataclass(frozen=True, eq=False)
class Exchange:
    """New unit i is ``signs[i]`` times old unit ``order[i]``."""

    order: NDArray[np.int64]
    """(size,): a permutation of 0 … size − 1."""
    signs: NDArray[np.int64]
    """(size,): 1 or −1."""


Symmetry: TypeAlias = Mapping[str, Exchange]
"""{units.name: what becomes of them}; layers that are not named stay."""


def identity(units: Sequence[Units]) -> dict[str, Exchange]:
    """The symmetry that changes nothing."""
    return {u.name: Exchange(np.arange(u.size), np.ones(u.size, dtype=np.int64)) for u in units}


def random_symmetry(units: Sequence[Units], seed: int) -> dict[str, Exchange]:
    """A uniform draw from all permutations, and all signs where the units are odd."""
    rng = np.random.default_rng(seed)
    return {
        u.name: Exchange(rng.permutation(u.size), 1 - 2 * rng.integers(0, 1 + u.odd, u.size)) for u in units
    }


def compose(first: Symmetry, then: Symmetry) -> dict[str, Exchange]:
    """One symmetry that does what ``first`` and after it ``then`` do."""
    both = {
        name: Exchange(one.order[then[name].order], then[name].signs * one.signs[then[name].order])
        for name, one in first.items()
        if name in then
    }
    return {**first, **then, **both}


def invert(symmetry: Symmetry) -> dict[str, Exchange]:
    """The symmetry that undoes this one."""
    orders = {name: np.argsort(exchange.order) for name, exchange in symmetry.items()}
    return {name: Exchange(order, symmetry[name].signs[order]) for name, order in orders.items()}


def apply(units: Sequence[Units], parameters: Parameters, symmetry: Symmetry) -> dict[str, Tensor]:
    """The parameters with their units exchanged: new tensors where something changed, else the same ones.

    Raises:
        SymmetryError: a place is not in the parameters, a layer is unknown or has another size, an order is
            no permutation, or a unit is negated that is not odd.
    """
    _check(units, parameters)
    known = {u.name for u in units}
    for name in symmetry:
        if name not in known:
            raise SymmetryError(name, "an exchange of units that there are not", f"one of {sorted(known)}")
    copy = dict(parameters)
    for u in units:
        if u.name not in symmetry:
            continue
        order, signs = _checked(u, symmetry[u.name])
        if np.array_equal(order, np.arange(u.size)) and (signs > 0).all():
            continue
        for place in u.places:
            old = copy[place.parameter]
            index, factor = np.arange(old.shape[place.axis]), np.ones(old.shape[place.axis])
            first = place.start or 0
            part = slice(first, first + _extent(u, place))
            index[part] = index[part].reshape(len(place.signed), u.size, place.repeat)[:, order].reshape(-1)
            factor[part] = np.where(np.array(place.signed)[:, None], signs, 1).repeat(place.repeat)
            moved = old.index_select(place.axis, torch.from_numpy(index).to(old.device))
            if (factor < 0).any():
                moved *= torch.from_numpy(factor).to(old).reshape(-1, *[1] * (old.ndim - place.axis - 1))
            copy[place.parameter] = moved
    return copy


def _checked(units: Units, exchange: Exchange) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order, signs = np.asarray(exchange.order), np.asarray(exchange.signs)
    if not np.array_equal(np.sort(order), np.arange(units.size)):
        raise SymmetryError(units.name, f"an order {order.tolist()}", f"a permutation of {units.size} units")
    if signs.shape != (units.size,) or not (abs(signs) == 1).all():
        raise SymmetryError(units.name, f"signs {signs.tolist()}", f"{units.size} of 1 or -1")
    if not units.odd and (signs < 0).any():
        raise SymmetryError(units.name, "negated units", "permutations only: these are not odd")
    return order, signs


def _extent(units: Units, place: Place) -> int:
    return len(place.signed) * units.size * place.repeat


def _check(units: Sequence[Units], parameters: Parameters) -> None:
    names = [u.name for u in units]
    if len(set(names)) < len(names):
        raise SymmetryError(names[0], f"layers named {names}", "a name of its own for each")
    for u in units:
        for place in u.places:
            if place.parameter not in parameters:
                raise SymmetryError(u.name, f"no parameter {place.parameter!r}", "all its places")
            shape = tuple(parameters[place.parameter].shape)
            length = shape[place.axis] if 0 <= place.axis < len(shape) else -1
            extent = (place.start or 0) + _extent(u, place)
            if length < extent or (place.start is None and length > extent):
                wanted = f"{len(place.signed)}×{u.size}×{place.repeat} entries on axis {place.axis}"
                raise SymmetryError(place.parameter, f"shape {shape}", f"{wanted}, for the units of {u.name}")


def match_activations(
    units: Sequence[Units],
    activations_a: Mapping[str, Tensor],
    activations_b: Mapping[str, Tensor],
    parameters_a: Parameters | None = None,
    parameters_b: Parameters | None = None,
    *,
    signs: bool = True,
) -> dict[str, Exchange]:
    """The symmetry that sends B's units onto those of A that act most alike on the same samples.

    Per layer an assignment on correlations over samples and positions (Li et al., arXiv 1511.07543); where
    units are odd on their absolute values, and the sign is the correlation's. Constant units correlate with
    nothing. Where both parameters are given, they decide between units that act alike.

    Args:
        units: The layers.
        activations_a: {units.name: (n, size, ...)} of A.
        activations_b: The same of B, for the same samples.
        parameters_a: A's parameters.
        parameters_b: B's parameters.
        signs: False asks for permutations only.

    Raises:
        SymmetryError: activations lack a layer, differ in shape, or are not finite.
    """
    units = _allowed(units, signs)
    correlations = {u.name: _correlation(u, activations_a, activations_b) for u in units}
    found = {u.name: _assign(u, np.zeros((u.size, u.size)), correlations[u.name]) for u in units}
    if parameters_a is None or parameters_b is None:
        return found
    a, b = _placed(units, parameters_a, parameters_b)
    return _descend(units, a, b, found, np.random.default_rng(0), correlations)


def _allowed(units: Sequence[Units], signs: bool) -> tuple[Units, ...]:
    return tuple(u if signs else replace(u, odd=False) for u in units)


def _correlation(units: Units, of_a: Mapping[str, Tensor], of_b: Mapping[str, Tensor]) -> NDArray[np.float64]:
    """Correlations (size, size) of A's units with B's; 0 for constant ones."""
    for side, activations in (("A", of_a), ("B", of_b)):
        if units.name not in activations:
            raise SymmetryError(units.name, f"no activations of {side}", "(n, size, ...) of every layer")
    a, b = of_a[units.name].detach(), of_b[units.name].detach()
    if a.shape != b.shape or a.ndim < 2 or a.shape[1] != units.size or not a.numel():
        found = f"activations {tuple(a.shape)} and {tuple(b.shape)}"
        raise SymmetryError(units.name, found, f"the same shape (n, {units.size}, ...) twice")
    n = a.numel() / units.size
    mean_a, mean_b = (sum((part.sum(1) for part in _chunks(x)), torch.zeros(())) / n for x in (a, b))
    cross = square_a = square_b = torch.zeros((), dtype=torch.float64)
    for part_a, part_b in zip(_chunks(a), _chunks(b), strict=True):
        centred_a, centred_b = part_a - mean_a[:, None], part_b - mean_b[:, None]
        cross = cross + centred_a @ centred_b.T
        square_a, square_b = square_a + centred_a.square().sum(1), square_b + centred_b.square().sum(1)
    if not (cross.isfinite().all() and square_a.isfinite().all() and square_b.isfinite().all()):
        raise SymmetryError(units.name, "activations that are not finite", "finite ones")
    cross *= _inverse(square_a, n * mean_a**2)[:, None] * _inverse(square_b, n * mean_b**2)
    correlation: NDArray[np.float64] = cross.numpy()
    return correlation


def _inverse(centred: Tensor, mean: Tensor) -> Tensor:
    """One over the root of the centred squares; 0 where they vanish beside those of the mean."""
    varies = centred > CONSTANT**2 * (centred + mean)
    return torch.where(varies, centred, 1.0).rsqrt() * varies


def _chunks(activations: Tensor) -> Iterator[Tensor]:
    """(n, size, ...) in parts of some samples, each as (size, samples·positions) in float64."""
    rows = max(1, CHUNK * len(activations) // activations.numel())
    for first in range(0, len(activations), rows):
        part = activations[first : first + rows].to("cpu", torch.float64)
        yield part.movedim(1, 0).flatten(1)


def match_weights(
    units: Sequence[Units],
    parameters_a: Parameters,
    parameters_b: Parameters,
    start: Symmetry | None = None,
    *,
    signs: bool = True,
    restarts: int = 4,
    seed: int = 0,
) -> dict[str, Exchange]:
    """The symmetry whose copy of B is nearest to A in L2, as far as a search from several starts finds it.

    Layer by layer the best assignment while the others stay, until no layer gains (weight matching of
    Ainsworth et al., arXiv 2209.04836, here with the better sign for each pair). It starts from ``start``,
    from the identity, and from matching each layer by those weights alone whose other units are matched
    already, inputs first and outputs first: a noisy symmetric copy is found so. The optimum for one hidden
    layer; else a bound from above on the distance, never farther than ``start`` or B itself.

    Args:
        units: The layers.
        parameters_a: A's parameters.
        parameters_b: B's parameters.
        start: A symmetry to start from, such as :func:`match_activations`'s.
        signs: False asks for permutations only.
        restarts: Further starts from random symmetries; for networks of few units some end nearer.
        seed: Of these, and of the order in which layers are visited.

    Raises:
        SymmetryError: the parameters lack a place, differ in shape or are not finite; ``start`` does not fit.
    """
    units = _allowed(units, signs)
    a, b = _placed(units, parameters_a, parameters_b)
    starts = [] if start is None else [{**identity(units), **start}]
    starts += [identity(units), _in_turn(units, a, b), _in_turn(units[::-1], a, b)]
    starts += [random_symmetry(units, seed + k) for k in range(restarts)]
    best, nearest = identity(units), -np.inf
    for k, one in enumerate(starts):
        found = _descend(units, a, b, one, np.random.default_rng([seed, k]))
        product = _product(a, apply(units, b, found), a)
        if product > nearest + GAIN:
            best, nearest = found, product
    return best


def _placed(units: Sequence[Units], *networks: Parameters) -> list[dict[str, Tensor]]:
    """The parameters in which units stand, in float64, of each network scaled to norm 1."""
    found = []
    for parameters in networks:
        _check(units, parameters)
        names = dict.fromkeys(place.parameter for u in units for place in u.places)
        placed = {name: parameters[name].detach().to("cpu", torch.float64) for name in names}
        for name, tensor in placed.items():
            if tensor.shape != networks[0][name].shape:
                wanted = f"{tuple(networks[0][name].shape)}, as the other network has"
                raise SymmetryError(name, f"shape {tuple(tensor.shape)}", wanted)
            if not tensor.isfinite().all():
                raise SymmetryError(name, "values that are not finite", "finite ones")
        norm = sum(float(tensor.square().sum()) for tensor in placed.values()) ** 0.5
        found.append({name: tensor / (norm or 1.0) for name, tensor in placed.items()})
    return found


def _descend(
    units: Sequence[Units],
    a: Parameters,
    b: Parameters,
    start: Symmetry,
    rng: np.random.Generator,
    correlations: Mapping[str, NDArray[np.float64]] | None = None,
) -> dict[str, Exchange]:
    """Raise ⟨a, copy of b⟩ layer by layer from ``start``; with correlations their sum plus TIE times it."""
    found, copy = dict(start), apply(units, b, start)
    improved = True
    while improved:
        improved = False
        for k in rng.permutation(len(units)):
            u = units[k]
            even, signed = _products(u, a, copy, u.places)
            now, correlation = found[u.name], np.zeros((u.size, u.size))
            if correlations is not None:
                correlation = correlations[u.name][:, now.order] * now.signs
                even, signed = TIE * even, TIE * signed + correlation
            step = _assign(u, even, signed)
            trial = apply((u,), copy, {u.name: step})
            # Where a layer stands on both axes of one parameter (a recurrent one), its assignment holds one
            # axis still and is a guess: what counts is what it gains.
            names = dict.fromkeys(place.parameter for place in u.places)
            gain = _product(a, trial, names) - _product(a, copy, names)
            if correlations is not None:
                taken = step.signs * correlation[np.arange(u.size), step.order]
                gain = TIE * gain + float(taken.sum() - correlation.trace())
            if gain > GAIN:
                found |= compose({u.name: now}, {u.name: step})
                copy, improved = trial, True
    return found


def _product(a: Parameters, b: Parameters, names: Iterable[str]) -> float:
    return sum(float((a[name] * b[name]).sum()) for name in names)


def _products(
    units: Units, a: Parameters, b: Parameters, places: Sequence[Place]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inner products (size, size) of A's units with B's: what signs leave alone, and what they negate."""
    totals = np.zeros((2, units.size, units.size))
    for place in places:
        blocks_a, blocks_b = (_blocks(units, place, x[place.parameter]) for x in (a, b))
        for of_a, of_b, signed in zip(blocks_a, blocks_b, place.signed, strict=True):
            totals[int(signed)] += (of_a @ of_b.T).numpy()
    return totals[0], totals[1]


def _blocks(units: Units, place: Place, tensor: Tensor) -> Tensor:
    """What a parameter holds of each unit: (blocks, size, entries)."""
    rows = tensor.movedim(place.axis, 0).narrow(0, place.start or 0, _extent(units, place))
    return rows.reshape(len(place.signed), units.size, -1)


def _assign(units: Units, even: NDArray[np.float64], signed: NDArray[np.float64]) -> Exchange:
    """The best exchange where taking B's unit j for A's unit i is worth even + sign · signed."""
    order = linear_sum_assignment(even + (abs(signed) if units.odd else signed), maximize=True)[1]
    negative = (signed[np.arange(units.size), order] < 0) & units.odd
    return Exchange(order.astype(np.int64), np.where(negative, -1, 1).astype(np.int64))


def _in_turn(units: Sequence[Units], a: Parameters, b: Parameters) -> dict[str, Exchange]:
    """Each layer matched by those parameters alone in which all else is matched already."""
    standing = [(place.parameter, u.name) for u in units for place in u.places]
    found: dict[str, Exchange] = {}
    for u in units:
        open_ = [name for name, other in standing if other not in found and other != u.name]
        own = [place.parameter for place in u.places]
        places = [p for p in u.places if p.parameter not in open_ and own.count(p.parameter) == 1]
        found[u.name] = _assign(u, *_products(u, a, b, places))
        b = apply((u,), b, {u.name: found[u.name]})
    return found


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: ``name.weight`` (out, in) and, if there is one, ``name.bias``."""

    name: str
    odd: bool = False
    """Whether all between it and the next weights is odd: tanh, sine or nothing; no ReLU, ELU or GELU."""


@dataclass(frozen=True)
class Conv:
    """A convolution, its units the channels: ``name.weight`` (out, in, ...) and perhaps ``name.bias``.

    A dense layer or a norm behind it may be flattened, each channel then a run of neighbouring features.
    """

    name: str
    odd: bool = False
    """As for a dense layer; a mean over positions is odd, a maximum is not."""


@dataclass(frozen=True)
class Gru:
    """A gated recurrent layer in torch's layout: ``name.weight_ih_l0`` (3·size, in) and so on.

    Its units are named ``name.l0``. Blocks in the order reset, update, new. Negating a unit negates the rows
    of its new block alone, and the columns that read it: the gates stay, and the candidate is a tanh. So the
    state must start at zero.
    """

    name: str
    layer: int = 0


@dataclass(frozen=True)
class Norm:
    """A layer norm over all units of the layer before it: ``name.weight`` and perhaps ``name.bias``.

    Permutations only. Negating a gain, its bias and the columns that read it would be a symmetry too, but
    one that leaves the weights before the norm where they are and so brings no two networks together.
    """

    name: str


Layer: TypeAlias = Dense | Conv | Gru | Norm


def chain(layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]]) -> tuple[Units, ...]:
    """The units of layers that each read the one before; the outputs of the last are none.

    Args:
        layers: From input to output.
        shapes: Of the parameters, by name; sizes, biases and flattened positions are read from them.

    Raises:
        SymmetryError: a parameter is missing or its shape does not follow from the layer before.
    """
    made: list[Units] = []
    spread = False  # whether the units made last are channels, each perhaps several features when read
    for layer in layers:
        if isinstance(layer, Norm):
            if made:
                made[-1] = replace(_seen(made[-1], _pair(layer.name), 0, shapes, spread), odd=False)
            continue
        rows = _gru_rows(layer, shapes) if isinstance(layer, Gru) else _rows(layer, shapes)
        if made:
            read = rows.places[0].parameter
            made[-1] = _seen(made[-1], (read,), 1, shapes, spread and isinstance(layer, Dense))
        made.append(rows)
        spread = isinstance(layer, Conv)
    return tuple(made[:-1])


def _pair(name: str) -> tuple[str, str]:
    return f"{name}.weight", f"{name}.bias"


def _shape(name: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    if name not in shapes:
        raise SymmetryError(name, "no such parameter", "one of " + ", ".join(sorted(shapes)))
    return tuple(shapes[name])


def _rows(layer: Dense | Conv, shapes: Mapping[str, tuple[int, ...]]) -> Units:
    weight, bias = _pair(layer.name)
    shape = _shape(weight, shapes)
    if (len(shape) == 2) != isinstance(layer, Dense):
        raise SymmetryError(weight, f"shape {shape}", f"the weights of a {type(layer).__name__} layer")
    places = [Place(name, 0) for name in (weight, bias) if name in shapes]
    return Units(layer.name, shape[0], layer.odd, tuple(places))


def _gru_rows(layer: Gru, shapes: Mapping[str, tuple[int, ...]]) -> Units:
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    inputs, state, *biases = (f"{layer.name}.{kind}_l{layer.layer}" for kind in kinds)
    shape = _shape(state, shapes)
    if len(shape) != 2 or shape[0] != 3 * shape[1]:
        raise SymmetryError(state, f"shape {shape}", "(3·size, size)")
    _shape(inputs, shapes)
    names = [inputs, state, *(name for name in biases if name in shapes)]
    rows = [Place(name, 0, signed=(False, False, True)) for name in names]
    return Units(f"{layer.name}.l{layer.layer}", shape[1], True, (*rows, Place(state, 1)))


def _seen(
    units: Units, names: tuple[str, ...], axis: int, shapes: Mapping[str, tuple[int, ...]], spread: bool
) -> Units:
    """The units with places in further parameters, of which the first must be there."""
    _shape(names[0], shapes)
    places = []
    for name in (name for name in names if name in shapes):
        shape = _shape(name, shapes)
        length = shape[axis] if axis < len(shape) else -1
        if length % units.size or length < 0 or (length != units.size and not spread):
            wanted = f"{'a multiple of ' if spread else ''}{units.size} on axis {axis}"
            raise SymmetryError(name, f"shape {shape}", f"{wanted}, for the units of {units.name}")
        places.append(Place(name, axis, repeat=length // units.size))
    return replace(units, places=(*units.places, *places))


_CONVOLUTIONS: Mapping[type[nn.Module], int] = {nn.Conv1d: 2, nn.Conv2d: 3, nn.Conv3d: 4}
"""Each with how many axes a sample has: channels and positions."""
_MEANS: Mapping[type[nn.Module], int] = {
    **{nn.AvgPool1d: 2, nn.AdaptiveAvgPool1d: 2},
    **{nn.AvgPool2d: 3, nn.AdaptiveAvgPool2d: 3},
}
_MAXIMA: Mapping[type[nn.Module], int] = {
    **{nn.MaxPool1d: 2, nn.AdaptiveMaxPool1d: 2},
    **{nn.MaxPool2d: 3, nn.AdaptiveMaxPool2d: 3},
}
_ODD = (nn.Identity, nn.Tanh, nn.Softsign, nn.Tanhshrink, nn.Softshrink, nn.Dropout, nn.Dropout2d)
_NOT_ODD = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.LogSigmoid, nn.Hardsigmoid, nn.Hardswish, nn.Softplus),
)


def units_of(module: nn.Sequential, prefix: str = "") -> tuple[Units, ...]:
    """The units of a sequence of dense and convolutional layers, named as ``prefix`` + its parameters are.

    Args:
        module: Of linear layers and convolutions, elementwise activations, dropout, pools, flattens, layer
            norms over all features, and sequences of these.
        prefix: What stands before the module's parameter names: ``encoder/``.

    Raises:
        SymmetryError: a module of another type, one that is used twice, or one whose place in the sequence
            leaves open where units stand.
    """
    parameters = {prefix + n: p for n, p in module.named_parameters(remove_duplicate=False)}
    if len({id(p) for p in parameters.values()}) < len(parameters):
        raise SymmetryError(prefix or type(module).__name__, "a parameter used twice", "each used once")
    layers: list[Layer] = []
    at = -1  # where the last layer of units stands
    axes = 0  # of a sample of its outputs: 1 for features, more for maps; 0: no units yet
    for name, part in _parts(module, prefix):
        kind, odd = type(part), True
        if kind in _CONVOLUTIONS and axes in (0, _CONVOLUTIONS[kind]) and getattr(part, "groups", 0) == 1:
            at, axes = len(layers), _CONVOLUTIONS[kind]
            layers.append(Conv(name, odd=True))
        elif kind is nn.Linear and axes in (0, 1):
            at, axes = len(layers), 1
            layers.append(Dense(name, odd=True))
        elif type(part) is nn.Flatten and (part.start_dim, part.end_dim) == (1, -1):
            axes = min(axes, 1)
        elif axes in (0, _MEANS.get(kind), _MAXIMA.get(kind)) and kind in (*_MEANS, *_MAXIMA):
            odd = kind in _MEANS
        elif type(part) is nn.LayerNorm and axes in (0, len(part.normalized_shape)):
            odd = False
            if part.elementwise_affine:
                layers.append(Norm(name))
        elif kind in _NOT_ODD:
            odd = False
        elif kind not in _ODD:
            raise SymmetryError(name, f"{part} here", "a layer, activation or pool that keeps units apart")
        before = layers[at] if at >= 0 else None
        if isinstance(before, Dense | Conv) and not odd:
            layers[at] = replace(before, odd=False)
    return chain(layers, {name: tuple(p.shape) for name, p in parameters.items()})


def _parts(module: nn.Sequential, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    if type(module).forward is not nn.Sequential.forward:
        raise SymmetryError(
            prefix or type(module).__name__, "a sequence with a forward of its own", "a plain one"
        )
    for name, part in module._modules.items():  # named_children leaves out a module's second use
        assert part is not None
        if isinstance(part, nn.Sequential):
            yield from _parts(part, f"{prefix}{name}.")
        else:
            yield prefix + name, part
