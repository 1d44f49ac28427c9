"""The hidden units of a network whose forward torch.fx can trace: branches, sums and batch norms included.

Each tensor on the way has its channels in a *space*. A layer of weights reads one space and makes another;
what works on each channel by itself keeps it; a sum of two tensors makes one space of theirs, so that all
that a residual stream is read and written by is exchanged together (Ainsworth et al. 2022, arXiv 2209.04836,
section 3). Spaces that reach the inputs, the outputs, or a step that may mix or name channels stay as they
are.

>>> from torch import nn
>>> class Sum(nn.Module):
...     def __init__(self):
...         super().__init__()
...         self.a, self.b, self.c = nn.Linear(2, 4), nn.Linear(4, 4), nn.Linear(4, 1)
...     def forward(self, x):
...         x = self.a(x).relu()
...         return self.c(x + self.b(x))
>>> [(u.size, [spot.parameter for spot in u.spots]) for u in traced_units(Sum())]
[(4, ['a.weight', 'a.bias', 'b.weight', 'b.weight', 'b.bias', 'c.weight'])]
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import fx, nn
from torch.nn import functional

from diag.units.layers import NOT_ODD, ODD
from diag.units.symmetry import Spot, SymmetryError, Units, apply, random_symmetry

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
OF_A_NORM = ("weight", "bias", "running_mean", "running_var")

MEANS = (
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
MAXIMA = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)

EACH: Mapping[Any, bool] = {
    **dict.fromkeys((torch.tanh, functional.tanh, "tanh", functional.dropout, operator.neg, "neg"), True),
    **dict.fromkeys((functional.avg_pool2d, functional.adaptive_avg_pool2d, "contiguous", "clone"), True),
    **dict.fromkeys((torch.relu, functional.relu, "relu", "relu_", functional.gelu, functional.silu), False),
    **dict.fromkeys((torch.sigmoid, functional.sigmoid, "sigmoid", functional.elu, functional.selu), False),
    **dict.fromkeys((functional.leaky_relu, functional.softplus, functional.mish, "abs"), False),
    **dict.fromkeys((functional.relu6, functional.hardswish, functional.hardsigmoid, torch.abs), False),
    **dict.fromkeys((functional.max_pool2d, torch.max_pool2d, functional.adaptive_max_pool2d), False),
}
"""Functions, and names of methods, that work on each channel by itself, and whether they are odd."""

SUMS = (operator.add, operator.iadd, torch.add, "add", "add_", operator.sub, torch.sub, "sub")
PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul", "mul_", operator.truediv, torch.div, "div")
FLATTENED = (torch.flatten, "flatten")
RESHAPED = ("view", "reshape", torch.reshape)
AVERAGED = (torch.mean, "mean")

_Axis: TypeAlias = tuple[str, int]


@dataclass(eq=False)
class _Space:
    """Channels that are exchanged together; ``into`` is the space that this one was made a part of."""

    size: int
    name: str
    number: int
    odd: bool = True
    held: bool = False
    spots: list[Spot] = field(default_factory=list)
    into: _Space | None = None

    def found(self) -> _Space:
        return self if self.into is None else self.into.found()


@dataclass(frozen=True)
class _Value:
    """A tensor's channels: their space, whether places follow them (n, channels, ...), or stand between."""

    space: _Space
    planes: bool = False
    """Whether channels are the second axis with places behind it; else they are the last axis."""
    spread: bool = False
    """Whether each channel is a run of neighbouring features: a flatten of planes."""


def traced_units(module: nn.Module) -> tuple[Units, ...]:
    """The hidden units of a module, named as its layers, with its own names of parameters and buffers.

    Raises SymmetryError for a forward that torch.fx cannot trace, sizes that do not fit, and a network in
    which nothing can be exchanged.
    """
    parameters = list(module.named_parameters(remove_duplicate=False))
    if len({id(p) for _, p in parameters}) < len(parameters):
        raise SymmetryError(type(module).__name__, "a parameter under two names", "each under one")
    try:
        graph = fx.Tracer().trace(module)
    # The forward is the user's, and is given what it was not made for.
    except Exception as error:  # noqa: BLE001
        words = " ".join(str(error).split())[:120]
        raise SymmetryError(
            type(module).__name__, f"a forward that torch.fx cannot trace ({words})", "one without branches"
        ) from None
    return _Walk(module).units(graph)


class _Walk:
    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.shapes = {n: tuple(t.shape) for n, t in module.state_dict(keep_vars=True).items()}
        self.axes: dict[_Axis, _Space] = {}
        self.values: dict[fx.Node, _Value] = {}

    def units(self, graph: fx.Graph) -> tuple[Units, ...]:
        for node in graph.nodes:
            made = self._made(node)
            if made is not None:
                self.values[node] = made
        spaces = list(dict.fromkeys(space.found() for space in self.axes.values()))
        free = [space for space in spaces if not space.held and space.size > 1]
        if not free:
            raise SymmetryError(
                type(self.module).__name__, "no hidden units that stand by themselves", "a layer of such"
            )
        return tuple(Units(one.name, one.size, one.odd, tuple(one.spots)) for one in free)

    def _made(self, node: fx.Node) -> _Value | None:
        """The node's value; None where its channels are not known: what it reads then stays as it is."""
        given = [self.values[one] for one in node.all_input_nodes if one in self.values]
        if node.op == "call_module":
            assert isinstance(node.target, str)
            made = self._of_module(node.target, self.module.get_submodule(node.target), given)
        elif node.op in ("call_function", "call_method"):
            made = self._of_function(node, given)
        else:
            made = None
        if made is None and not _asks(node):
            for value in given:
                value.space.found().held = True
        return made

    # --- Modules ------------------------------------------------------------------------------------------

    def _of_module(self, name: str, part: nn.Module, given: list[_Value]) -> _Value | None:
        kind, value = type(part), given[0] if len(given) == 1 else None
        if kind in CONVOLUTIONS:
            return self._convolution(name, part, value)
        if kind is nn.Linear:
            if value is not None and value.planes:
                return None
            self._read(f"{name}.weight", value)
            return _Value(self._written(name))
        if value is None:
            return None
        if kind in BATCH_NORMS:
            return self._norm(name, OF_A_NORM, value)
        if kind is nn.LayerNorm:
            whole = not value.planes and part.normalized_shape == (self._features(value),)
            return self._norm(name, OF_A_NORM[:2], value) if whole else None
        if kind in MEANS or kind in MAXIMA or kind in ODD or kind in NOT_ODD:
            return self._even(value, odd=kind in MEANS or kind in ODD)
        if isinstance(part, nn.Flatten) and (part.start_dim, part.end_dim) == (1, -1):
            return _flat(value)
        return None

    def _convolution(self, name: str, part: Any, value: _Value | None) -> _Value | None:
        if value is not None and not value.planes:
            return None
        if part.groups == 1:
            self._read(f"{name}.weight", value)
            return _Value(self._written(name), planes=True)
        if value is not None and part.groups == part.in_channels == part.out_channels:
            space = self._written(name)  # each channel by itself: those that it makes are those that it reads
            self._one(space, value.space)
            return _Value(space.found(), planes=True)
        return None

    def _written(self, name: str) -> _Space:
        """The space that a layer makes; the same each time that it runs."""
        weight, bias = f"{name}.weight", f"{name}.bias"
        space = self._axis((weight, 0), self.shapes[weight][0], name)
        self._spot(space, weight, 0)
        if bias in self.shapes:
            self._spot(space, bias, 0)
        return space

    def _read(self, weight: str, value: _Value | None) -> None:
        """A layer reads a tensor along the second axis of its weights."""
        length = self.shapes[weight][1]
        if value is None:
            self._axis((weight, 1), length, weight).found().held = True
            return
        size = value.space.found().size
        if length % size or (length != size and not value.spread):
            raise SymmetryError(weight, f"{length} inputs", f"{size}, of {value.space.found().name}")
        space = value.space.found()
        if (known := self.axes.get((weight, 1))) is not None and known.found() is not space:
            self._one(known, space)
        self.axes[(weight, 1)] = space
        self._spot(space, weight, 1, length // size)

    def _norm(self, name: str, ends: tuple[str, ...], value: _Value) -> _Value:
        space = value.space.found()
        space.odd = False
        for full in (f"{name}.{end}" for end in ends):
            if full in self.shapes:
                length = self.shapes[full][0]
                if length % space.size or (length != space.size and not value.spread):
                    raise SymmetryError(full, f"{length} numbers", f"{space.size}, of {space.name}")
                if (known := self.axes.get((full, 0))) is not None and known.found() is not space:
                    self._one(known, space)
                self.axes[(full, 0)] = space.found()
                self._spot(space.found(), full, 0, length // space.size)
        return value

    # --- Functions ----------------------------------------------------------------------------------------

    def _of_function(self, node: fx.Node, given: list[_Value]) -> _Value | None:
        target, first = node.target, given[0] if given else None
        if first is None or (node.args and self.values.get(node.args[0]) is not first):  # type: ignore[arg-type]
            return None
        if target in EACH and len(given) == 1:
            return self._even(first, odd=EACH[target])
        if target in (*SUMS, *PRODUCTS):
            return self._together(node, given)
        if target in FLATTENED and (*node.args[1:], *node.kwargs.values()) in ((1,), (1, -1)):
            return _flat(first)
        if target in RESHAPED and first.planes and len(shape := _shape(node)) == 2 and shape[1] == -1:
            return _flat(first)
        if target in AVERAGED and first.planes and _places(node):
            keeps = bool(node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False))
            return first if keeps else replace(first, planes=False)
        return None

    def _together(self, node: fx.Node, given: list[_Value]) -> _Value | None:
        """A sum or a product: of two tensors of one space each, or of a tensor and a number."""
        others = [one for one in node.args[1:] if isinstance(one, fx.Node)]
        if len(given) == 1 and not others and not node.kwargs:
            scaled = node.target in PRODUCTS
            return self._even(given[0], odd=scaled)
        if len(given) == 1 and others == [node.args[0]]:  # x + x
            return self._even(given[0], odd=node.target in SUMS)
        if len(given) != 2 or node.kwargs or given[0].spread or given[1].spread:
            return None
        if given[0].planes != given[1].planes:
            return None
        self._one(given[0].space, given[1].space)
        return self._even(given[0], odd=node.target in SUMS)

    # --- Spaces -------------------------------------------------------------------------------------------

    def _features(self, value: _Value) -> int:
        return value.space.found().size

    def _even(self, value: _Value, *, odd: bool) -> _Value:
        space = value.space.found()
        space.odd &= odd
        return value

    def _axis(self, axis: _Axis, size: int, name: str) -> _Space:
        if axis not in self.axes:
            self.axes[axis] = _Space(size, name, len(self.axes))
        return self.axes[axis].found()

    def _spot(self, space: _Space, parameter: str, axis: int, repeat: int = 1) -> None:
        spot = Spot(parameter, axis, repeat=repeat)
        if spot not in space.found().spots:
            space.found().spots.append(spot)

    def _one(self, a: _Space, b: _Space) -> None:
        """Make one space of two, which keeps the name of the one that was there first."""
        a, b = sorted((a.found(), b.found()), key=lambda space: space.number)
        if a is b:
            return
        if a.size != b.size:  # broadcast over channels: each of them stays where it is
            a.held = b.held = True
            return
        a.odd, a.held = a.odd and b.odd, a.held or b.held
        a.spots += [spot for spot in b.spots if spot not in a.spots]
        b.into = a


def _asks(node: fx.Node) -> bool:
    """Whether a node only asks for a tensor's sizes or type, which an exchange of channels leaves alone."""
    if node.op == "call_method":
        return node.target in ("size", "dim")
    return node.target is getattr and node.args[1] in ("shape", "ndim", "dtype", "device")


def _flat(value: _Value) -> _Value:
    return replace(value, planes=False, spread=value.spread or value.planes)


def _shape(node: fx.Node) -> tuple[Any, ...]:
    """The arguments of a ``view``, whether given one by one or as a tuple."""
    rest = node.args[1:]
    return tuple(rest[0]) if len(rest) == 1 and isinstance(rest[0], list | tuple) else tuple(rest)


def _places(node: fx.Node) -> bool:
    """Whether a mean is over all places of planes (n, channels, h, w), or their last two axes."""
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    return isinstance(axes, list | tuple) and sorted(int(a) % 4 for a in axes) == [2, 3]


Fits: TypeAlias = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]


def changed_by(
    units: tuple[Units, ...], parameters: Mapping[str, torch.Tensor], call: Fits, seed: int = 0
) -> float:
    """Largest change of a network's outputs under a random exchange of its units, as a share of the largest.

    A trace knows functions by their names alone: this shows that what it found is a symmetry.
    """
    before = call(parameters)
    after = call(apply(units, parameters, random_symmetry(units, seed)))
    return float((after - before).abs().max() / before.abs().max().clamp(min=1e-30))
