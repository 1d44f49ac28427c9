"""Encoders of an actor's pictures: the residual net of IMPALA's larger agent, and a small strided one.

Both take pictures of any number of planes and end in a linear layer; the rectifier that follows it belongs to
what reads the embedding, so that a map of the embedding can be folded into that last layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, relu_
from torch.nn.functional import conv2d, linear, max_pool2d, relu

from trainers.lstm import Parameters, uniform

Centring = Literal["none", "half", "picture"]
"""How pictures of 0 … 1 are centred: not at all, by subtracting a half, or by subtracting each plane's mean
over the picture, after which an even background is near 0 whatever its colour."""

BLOCKS = 2
"""Residual blocks of a section (Espeholt et al., figure 3, right)."""

LAST = "dense"
"""Name of the linear layer that both nets end in."""


SCALE = 1 / 255
"""Factor by which pictures of 0 … 255 are numbers of 0 … 1."""


class PictureNet(Protocol):
    """An encoder of pictures (n, planes, height, width) into embeddings (n, d)."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of parameters."""
        ...

    def fresh(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """A fresh initialisation."""
        ...

    def features(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Inputs (n, features) of the last layer for centred pictures."""
        ...

    def __call__(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Embeddings (n, d) of centred pictures."""
        ...


def centred(pictures: Tensor, centring: Centring) -> Tensor:
    """Pictures (n, planes, height, width) of 0 … 255 as numbers, centred, channels last in memory.

    That they count in 255ths is left to the first layer's weights (:data:`SCALE`), which are fewer.
    """
    n, planes, height, width = pictures.shape
    if planes == 1:  # in memory the same either way: say which, or kernels take the slower one
        pictures = pictures.reshape(n, height, width, 1).permute(0, 3, 1, 2)
    x = pictures.to(torch.float32, memory_format=torch.channels_last)
    match centring:
        case "half":
            x.sub_(0.5 / SCALE)
        case "picture":
            x.sub_(x.mean((2, 3), keepdim=True))
        case "none":
            pass
    return x


class _Net:
    """What both nets have in common: their initialisation, and the linear layer at the end."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        raise NotImplementedError

    def features(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        raise NotImplementedError

    def fresh(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Weights and biases uniform within ±1/√fan-in, as torch has them."""
        shapes, fresh = self.shapes(), {}
        for name, shape in shapes.items():
            fan_in = math.prod(shapes[f"{name.rpartition('.')[0]}.weight"][1:])
            fresh[name] = uniform(rng, shape, 1 / math.sqrt(fan_in))
        return fresh

    def __call__(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Embeddings (n, d) of pictures (n, planes, height, width) that are centred."""
        features = self.features(parameters, component, x)
        return linear(
            features, parameters[f"{component}/{LAST}.weight"], parameters[f"{component}/{LAST}.bias"]
        )


@dataclass(frozen=True)
class ResidualNet(_Net):
    """Sections of a 3×3 convolution, a 3×3 max-pool of stride 2 and two residual blocks; then a linear layer.

    A residual block is x + conv(relu(conv(relu(x)))). With filters (16, 32, 32) these are the 15
    convolutions of Espeholt et al., figure 3 (right).
    """

    planes: int
    height: int
    width: int
    filters: tuple[int, ...]
    embedding: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of parameters; weights are (out, in[, k, k])."""
        named: dict[str, tuple[int, ...]] = {}
        planes, height, width = self.planes, self.height, self.width
        for section, filters in enumerate(self.filters):
            inside = [f"{section}.{block}.{i}" for block in range(BLOCKS) for i in range(2)]
            for layer, fan_in in [(f"{section}.conv", planes), *((name, filters) for name in inside)]:
                named[f"{layer}.weight"] = (filters, fan_in, 3, 3)
                named[f"{layer}.bias"] = (filters,)
            planes, height, width = filters, -(-height // 2), -(-width // 2)
        named[f"{LAST}.weight"] = (self.embedding, planes * height * width)
        named[f"{LAST}.bias"] = (self.embedding,)
        return named

    def features(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Inputs (n, features) of the last layer, after a rectifier."""

        def conv(layer: str, x: Tensor) -> Tensor:
            weight, bias = (parameters[f"{component}/{layer}.{kind}"] for kind in ("weight", "bias"))
            scale = SCALE if layer == "0.conv" else None
            return conv2d(x, weight if scale is None else weight * scale, bias, padding=1)

        for section in range(len(self.filters)):
            x = max_pool2d(conv(f"{section}.conv", x), 3, 2, padding=1)
            for block in range(BLOCKS):
                inner = relu_(conv(f"{section}.{block}.0", relu(x)))
                x = conv(f"{section}.{block}.1", inner).add_(x)
        return relu_(x).flatten(1)


class Conv(NamedTuple):
    """A convolution without padding, and a rectifier after it."""

    filters: int
    kernel: int
    stride: int


@dataclass(frozen=True)
class StridedNet(_Net):
    """Convolutions with strides, rectified; then a linear layer. For small screens."""

    planes: int
    height: int
    width: int
    convs: tuple[Conv, ...]
    embedding: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of parameters; weights are (out, in[, k, k]).

        Raises ValueError where a kernel is larger than what is left of the picture.
        """
        named: dict[str, tuple[int, ...]] = {}
        planes, height, width = self.planes, self.height, self.width
        for layer, conv in enumerate(self.convs):
            if conv.kernel > min(height, width):
                raise ValueError(f"found a kernel of {conv.kernel}, expected at most {min(height, width)}")
            named[f"{layer}.weight"] = (conv.filters, planes, conv.kernel, conv.kernel)
            named[f"{layer}.bias"] = (conv.filters,)
            planes = conv.filters
            height, width = ((side - conv.kernel) // conv.stride + 1 for side in (height, width))
        named[f"{LAST}.weight"] = (self.embedding, planes * height * width)
        named[f"{LAST}.bias"] = (self.embedding,)
        return named

    def features(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Inputs (n, features) of the last layer, after a rectifier."""
        for layer, conv in enumerate(self.convs):
            weight, bias = (parameters[f"{component}/{layer}.{kind}"] for kind in ("weight", "bias"))
            x = relu_(conv2d(x, weight if layer else weight * SCALE, bias, stride=conv.stride))
        return x.flatten(1)


def without_stack(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters (1, *shape) of a stack of one as those of one network, differentiable."""
    return {name: tensor[0] for name, tensor in parameters.items()}
