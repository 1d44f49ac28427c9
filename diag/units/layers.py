"""The hidden units of layers: dense, convolutional and recurrent ones in a row, or a torch module of them.

>>> shapes = {"net/0.weight": (2, 1), "net/1.weight": (1, 2)}
>>> (units,) = chain([Dense("net/0", odd=True), Dense("net/1")], shapes)
>>> [(spot.parameter, spot.axis) for spot in units.spots]
[('net/0.weight', 0), ('net/1.weight', 1)]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import nn

from diag.units.symmetry import Spot, SymmetryError, Units


@dataclass(frozen=True)
class Dense:
    """A fully connected layer: ``name.weight`` (out, in) and, if there is one, ``name.bias``.

    A name that ends in ``/`` is that of a component: ``head/`` has ``head/weight``. The same holds for all
    layers.
    """

    name: str
    odd: bool = False
    """Whether every function between this layer and the next weights is odd: tanh, sine or none; not ReLU,
    ELU, GELU."""


@dataclass(frozen=True)
class Conv:
    """A convolution, its units the channels: ``name.weight`` (out, in, ...) and perhaps ``name.bias``.

    A dense layer or a norm behind it may be flattened, each channel then a run of neighbouring features.
    """

    name: str
    odd: bool = False
    """Whether every function between this layer and the next weights is odd; a mean over positions is, a
    maximum is not."""


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

    Its only symmetries are permutations. Negating a gain, its bias and the columns that read it would be a
    symmetry too, but one that leaves the weights before the norm where they are and so brings no two networks
    together.
    """

    name: str


Layer: TypeAlias = Dense | Conv | Gru | Norm


def chain(layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]]) -> tuple[Units, ...]:
    """The hidden units of layers that each read the one before; the last layer's outputs are no hidden units.

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
            read = rows.spots[0].parameter
            made[-1] = _seen(made[-1], (read,), 1, shapes, spread and isinstance(layer, Dense))
        made.append(rows)
        spread = isinstance(layer, Conv)
    return tuple(made[:-1])


def _under(name: str, part: str) -> str:
    """Full name of a layer's parameter; a component of a single layer ends in ``/``: ``gru/weight_ih_l0``."""
    return f"{name}{part}" if name.endswith("/") else f"{name}.{part}"


def _pair(name: str) -> tuple[str, str]:
    return _under(name, "weight"), _under(name, "bias")


def _shape(name: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    if name not in shapes:
        raise SymmetryError(name, "no such parameter", "one of " + ", ".join(sorted(shapes)))
    return tuple(shapes[name])


def _rows(layer: Dense | Conv, shapes: Mapping[str, tuple[int, ...]]) -> Units:
    weight, bias = _pair(layer.name)
    shape = _shape(weight, shapes)
    if (len(shape) == 2) != isinstance(layer, Dense):
        raise SymmetryError(weight, f"shape {shape}", f"the weights of a {type(layer).__name__} layer")
    spots = [Spot(name, 0) for name in (weight, bias) if name in shapes]
    return Units(layer.name, shape[0], layer.odd, tuple(spots))


def _gru_rows(layer: Gru, shapes: Mapping[str, tuple[int, ...]]) -> Units:
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    inputs, state, *biases = (_under(layer.name, f"{kind}_l{layer.layer}") for kind in kinds)
    shape = _shape(state, shapes)
    if len(shape) != 2 or shape[0] != 3 * shape[1]:
        raise SymmetryError(state, f"shape {shape}", "(3·size, size)")
    _shape(inputs, shapes)
    names = [inputs, state, *(name for name in biases if name in shapes)]
    rows = [Spot(name, 0, signed=(False, False, True)) for name in names]
    return Units(_under(layer.name, f"l{layer.layer}"), shape[1], True, (*rows, Spot(state, 1)))


def _seen(
    units: Units, names: tuple[str, ...], axis: int, shapes: Mapping[str, tuple[int, ...]], spread: bool
) -> Units:
    """The units with spots in further parameters; the first of these must exist."""
    _shape(names[0], shapes)
    spots = []
    for name in (name for name in names if name in shapes):
        shape = _shape(name, shapes)
        length = shape[axis] if axis < len(shape) else -1
        if length % units.size or length < 0 or (length != units.size and not spread):
            wanted = f"{'a multiple of ' if spread else ''}{units.size} on axis {axis}"
            raise SymmetryError(name, f"shape {shape}", f"{wanted}, for the units of {units.name}")
        spots.append(Spot(name, axis, repeat=length // units.size))
    return replace(units, spots=(*units.spots, *spots))


_CONVOLUTIONS: Mapping[type[nn.Module], int] = {nn.Conv1d: 2, nn.Conv2d: 3, nn.Conv3d: 4}
"""{type of convolution: number of axes of a sample, channels and positions}."""
_MEANS: Mapping[type[nn.Module], int] = {
    **{nn.AvgPool1d: 2, nn.AdaptiveAvgPool1d: 2},
    **{nn.AvgPool2d: 3, nn.AdaptiveAvgPool2d: 3},
}
_MAXIMA: Mapping[type[nn.Module], int] = {
    **{nn.MaxPool1d: 2, nn.AdaptiveMaxPool1d: 2},
    **{nn.MaxPool2d: 3, nn.AdaptiveMaxPool2d: 3},
}
ODD = (nn.Identity, nn.Tanh, nn.Softsign, nn.Tanhshrink, nn.Softshrink, nn.Dropout, nn.Dropout2d)
NOT_ODD = (
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
    axes = 0  # axes of a sample of that layer's outputs: 1 for features, more for maps; 0: no units yet
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
        elif kind in NOT_ODD:
            odd = False
        elif kind not in ODD:
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
