"""Read the layers of a torch module while it runs: their outputs, and the inputs of some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from diag.subject import Layer, input_of

See: TypeAlias = Callable[[Layer, Tensor], None]
"""Called with a layer and its output (n, units, ...) of the observations that run."""

CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
)
"""Layers whose units are the second axis; those of others are the last."""


def named_layers(module: nn.Module) -> dict[str, nn.Module]:
    """The parts of a module that have a matrix of weights, or kernels, of their own, by name.

    Normalisations have vectors alone, and are read as a part of what follows them. A network with layers is
    none itself, though it may hold a table of its own, such as the places of tokens.
    """
    layers = {
        name: part
        for name, part in module.named_modules()
        if any(p.ndim >= 2 for p in part.parameters(recurse=False))
    }
    if len(layers) > 1:
        layers.pop("", None)
    return layers


class QuickMaxima(TorchFunctionMode):
    """Context in which maxima of planes on a processor are taken with the channels last in memory.

    They are the same numbers, in a third of the time: a maximum rounds nothing. Only the pool itself is given
    such planes; convolutions are no faster on them.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function not in _MAXIMA or not args or not _plain_planes(args[0]):
            return function(*args, **kwargs)
        last = args[0].contiguous(memory_format=torch.channels_last)
        found = function(last, *args[1:], **kwargs)
        # With the places of the maxima, where they were asked for.
        return found.contiguous() if isinstance(found, Tensor) else tuple(one.contiguous() for one in found)


_MAXIMA = (torch.max_pool2d, nn.functional.max_pool2d)


def _plain_planes(value: Any) -> bool:
    """Whether a tensor is planes (n, channels, h, w) as torch makes them, on a processor."""
    return (
        type(value) is Tensor
        and value.ndim == 4
        and value.device.type == "cpu"
        and value.dtype is torch.float32
        and value.is_contiguous()
    )


@contextmanager
def watched(
    module: nn.Module,
    rows: int,
    see: See,
    inputs: Collection[str] = (),
    unread: Callable[[Layer, str], None] = lambda layer, what: None,
) -> Iterator[None]:
    """Context in which every layer's output of ``rows`` observations is handed on the moment it is made.

    ``inputs`` names layers whose input is handed on too. A layer that runs several times is another one
    each time. ``unread`` is told of a layer that gives no row, or number of rows, for each observation, and
    of what it gives.
    """
    calls = Counter[str]()
    handles = []

    def after(name: str, part: nn.Module) -> Callable[[Any, Any, Any], None]:
        def hook(_: nn.Module, given: Any, output: Any) -> None:
            calls[name] += 1
            again = name if calls[name] == 1 else f"{name} (call {calls[name]})"
            layer, tensor = Layer(again, name, type(part).__name__), _by_units(part, output, rows)
            if tensor is None:
                unread(layer, _in_words(output))
            else:
                see(layer, tensor)

        return hook

    def before(name: str, part: nn.Module) -> Callable[[Any, Any], None]:
        def hook(_: nn.Module, given: Any) -> None:
            tensor = _by_units(part, given, rows)
            if tensor is not None and not calls[name]:
                see(Layer(input_of(name), name, type(part).__name__), tensor)

        return hook

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it runs whole blocks, past their layers
    try:
        for name, part in named_layers(module).items():
            handles.append(part.register_forward_hook(after(name, part)))
            if name in inputs:
                handles.append(part.register_forward_pre_hook(before(name, part)))
        with QuickMaxima():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for handle in handles:
            handle.remove()


def _by_units(part: nn.Module, value: Any, rows: int) -> Tensor | None:
    """A layer's first tensor as (rows, units, ...); None where it has not a row for each observation."""
    while isinstance(value, tuple | list) and value:
        value = value[0]
    return None if not isinstance(value, Tensor) else _arranged(part, value, rows)


def _in_words(value: Any) -> str:
    """What a layer gave that no row of each observation can be found in."""
    while isinstance(value, tuple | list) and value:
        value = value[0]
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if not value.is_floating_point():
        return f"numbers of {str(value.dtype).removeprefix('torch.')}"
    return f"{' × '.join(map(str, value.shape)) or 'one'} numbers"


def _arranged(part: nn.Module, value: Tensor, rows: int) -> Tensor | None:
    if not value.is_floating_point() or value.ndim < 2:
        return None
    if isinstance(part, nn.RNNBase | nn.MultiheadAttention) and not part.batch_first and value.ndim == 3:
        value = value.transpose(0, 1)
    first = isinstance(part, CHANNELS_FIRST)
    if len(value) != rows:  # several rows for each observation: tokens, or steps, side by side
        if len(value) % rows:
            return None
        value = value.reshape(rows, len(value) // rows, *value.shape[1:])
        return value.movedim(2 if first else -1, 1)
    return value if first else value.movedim(-1, 1)
