"""Encoders and decoders of observations: grids of some cells, images of many, and anything as a flat vector.

- ``grid``: the fourth paper's nets for MinAtar's 10×10 (section 2.3): four 3×3 convolutions without padding,
  and a decoder of kernels 2, 3, 4, 4. On 10×10 the sides are 10 → 8 → 6 → 4 → 2, and 1 → 2 → 4 → 7 → 10. The
  decoder starts from a square of ``side − 9``, which is 1 there, so that other sides fit as well.
- ``image``: Dreamer's own for 64×64 (Hafner et al., arXiv 1912.01603): four 4×4 convolutions of stride 2, and
  a decoder of kernels 5, 5, 6, 6, stride 2.
- ``mlp``: fully connected layers on the flat observation, which is faster on small grids, and all that a
  vector needs.

ELU follows every layer of an encoder, and all but the last of a decoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, elu, linear

from trainers.dense import Dense, Parameters, Shapes

Kind = Literal["grid", "image", "mlp"]

Shape = tuple[int, int, int]
"""Channels, height and width of an observation."""


class CodecError(ValueError):
    """An observation's size that a kind of net cannot be made for; the message says found and expected."""


class Net(Protocol):
    """An encoder, (n, c, h, w) to (n, out), or a decoder, (n, features) to (n, c, h, w)."""

    def shapes(self) -> Shapes:
        """Parameter names inside the component, and their shapes."""
        ...

    def __call__(self, parameters: Parameters, component: str, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class ConvEncoder:
    """Square kernels without padding, ELU after each; the output is flat."""

    observation: Shape
    filters: tuple[int, ...]
    kernels: tuple[int, ...]
    stride: int

    @property
    def out(self) -> int:
        """Numbers in one embedding."""
        return self.filters[-1] * math.prod(_sides(self.observation[1:], self.kernels, self.stride))

    def shapes(self) -> Shapes:
        named: Shapes = {}
        before = self.observation[0]
        for layer, (filters, kernel) in enumerate(zip(self.filters, self.kernels, strict=True)):
            named[f"{layer}.weight"] = (filters, before, kernel, kernel)
            named[f"{layer}.bias"] = (filters,)
            before = filters
        return named

    def __call__(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Embeddings (n, out) of observations (n, c, h, w)."""
        for layer in range(len(self.filters)):
            weight, bias = (parameters[f"{component}/{layer}.{part}"] for part in ("weight", "bias"))
            x = elu(conv2d(x, weight, bias, stride=self.stride))
        return x.flatten(1)


@dataclass(frozen=True)
class ConvDecoder:
    """A linear layer to a small square, then transposed convolutions; weights are (in, out, k, k)."""

    features: int
    observation: Shape
    filters: tuple[int, ...]
    """Filters of the square, then of every transposed convolution but the last, which has the channels."""
    start: tuple[int, int]
    kernels: tuple[int, ...]
    stride: int

    def shapes(self) -> Shapes:
        named: Shapes = {
            "0.weight": (self.filters[0] * math.prod(self.start), self.features),
            "0.bias": (self.filters[0] * math.prod(self.start),),
        }
        after = (*self.filters[1:], self.observation[0])
        for layer, kernel in enumerate(self.kernels):
            named[f"{layer + 1}.weight"] = (self.filters[layer], after[layer], kernel, kernel)
            named[f"{layer + 1}.bias"] = (after[layer],)
        return named

    def __call__(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Observations (n, c, h, w) from features (n, features): means, or logits."""
        x = linear(x, parameters[f"{component}/0.weight"], parameters[f"{component}/0.bias"])
        x = x.reshape(-1, self.filters[0], *self.start)
        for layer in range(1, len(self.kernels) + 1):
            weight, bias = (parameters[f"{component}/{layer}.{part}"] for part in ("weight", "bias"))
            x = conv_transpose2d(x, weight, bias, stride=self.stride)
            if layer < len(self.kernels):
                x = elu(x)
        return x


@dataclass(frozen=True)
class FlatEncoder:
    """Fully connected layers on the flat observation."""

    observation: Shape
    widths: tuple[int, ...]

    @property
    def _net(self) -> Dense:
        return Dense((math.prod(self.observation), *self.widths), last_linear=False)

    @property
    def out(self) -> int:
        """Numbers in one embedding."""
        return self.widths[-1]

    def shapes(self) -> Shapes:
        return self._net.shapes()

    def __call__(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Embeddings (n, out) of observations (n, c, h, w)."""
        return self._net(parameters, component, x.flatten(1))


@dataclass(frozen=True)
class FlatDecoder:
    """Fully connected layers to the flat observation."""

    features: int
    observation: Shape
    widths: tuple[int, ...]

    @property
    def _net(self) -> Dense:
        return Dense((self.features, *reversed(self.widths), math.prod(self.observation)))

    def shapes(self) -> Shapes:
        return self._net.shapes()

    def __call__(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Observations (n, c, h, w) from features (n, features): means, or logits."""
        return self._net(parameters, component, x).reshape(-1, *self.observation)


Encoder = ConvEncoder | FlatEncoder
Decoder = ConvDecoder | FlatDecoder

GRID_KERNELS, GRID_DECODER = (3, 3, 3, 3), (2, 3, 4, 4)
IMAGE_KERNELS, IMAGE_DECODER = (4, 4, 4, 4), (5, 5, 6, 6)
GRID_GROWTH = sum(kernel - 1 for kernel in GRID_DECODER)
"""Cells that the decoder of grids adds to a side."""

IMAGE_SIDE = 64
"""The side of images that Dreamer's decoder makes of a single cell."""


def encoder_of(kind: Kind, observation: Shape, widths: tuple[int, ...]) -> Encoder:
    """The encoder of a kind; ``widths`` are filters of four convolutions, or units of the layers.

    Raises :class:`CodecError` for an observation or widths that it cannot be made for.
    """
    _check(kind, observation, widths)
    if kind == "mlp":
        return FlatEncoder(observation, widths)
    if kind == "grid":
        return ConvEncoder(observation, widths, GRID_KERNELS, 1)
    return ConvEncoder(observation, widths, IMAGE_KERNELS, 2)


def decoder_of(kind: Kind, features: int, observation: Shape, widths: tuple[int, ...]) -> Decoder:
    """The decoder that goes with :func:`encoder_of`: its widths in the other order.

    The first square has four times the largest number of filters, as in Dreamer's public code (32·depth
    where the last convolution of the encoder has 8·depth).
    """
    _check(kind, observation, widths)
    if kind == "mlp":
        return FlatDecoder(features, observation, widths)
    filters = (4 * widths[-1], *reversed(widths[:-1]))
    if kind == "grid":
        start = (observation[1] - GRID_GROWTH, observation[2] - GRID_GROWTH)
        return ConvDecoder(features, observation, filters, start, GRID_DECODER, 1)
    return ConvDecoder(features, observation, filters, (1, 1), IMAGE_DECODER, 2)


def _check(kind: Kind, observation: Shape, widths: tuple[int, ...]) -> None:
    side, sides = min(observation[1:]), " by ".join(map(str, observation[1:]))
    if kind == "mlp":
        if not widths:
            raise CodecError("found no widths, expected one layer or more for 'mlp'")
        return
    if len(widths) != len(GRID_KERNELS):
        raise CodecError(f"found {len(widths)} widths, expected {len(GRID_KERNELS)} for {kind!r}")
    if kind == "grid" and side <= GRID_GROWTH:
        least = GRID_GROWTH + 1
        raise CodecError(f"found {sides} cells, expected {least} or more a side for 'grid' (or 'mlp')")
    if kind == "image" and observation[1:] != (IMAGE_SIDE, IMAGE_SIDE):
        raise CodecError(
            f"found {sides} pixels, expected {IMAGE_SIDE} by {IMAGE_SIDE} for 'image' (or 'mlp')"
        )


def _sides(sides: tuple[int, ...], kernels: tuple[int, ...], stride: int) -> tuple[int, ...]:
    for kernel in kernels:
        sides = tuple((side - kernel) // stride + 1 for side in sides)
    return sides
