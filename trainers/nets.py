"""Tanh nets over stacked parameters: fully connected (also without autograd) and convolutional."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainers.stack import ALIGNMENT, Gradients, Parameters, Stack, aligned

# Autograd makes a weight's gradient as (in, out) and turns it. From so many units on each side on, MKL gives
# the same bits for the product made as (out, in) at once; for fewer it adds up in another order.
DIRECT = 32


@dataclass(frozen=True)
class TanhNet:
    """A fully connected net: tanh between the layers, linear at the end; ``sizes`` from input to output."""

    sizes: tuple[int, ...]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter names and their shapes, without the stack axis; weights are (out, in)."""
        named: dict[str, tuple[int, ...]] = {}
        for layer, (fan_in, fan_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            named[f"{layer}.weight"] = (fan_out, fan_in)
            named[f"{layer}.bias"] = (fan_out,)
        return named

    def fresh(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Glorot-uniform weights and zero biases, as in the paper's public code; no stack axis."""
        return {
            name: torch.zeros(shape)
            if len(shape) == 1
            else torch.from_numpy(rng.uniform(-1, 1, shape).astype(np.float32) * math.sqrt(6.0 / sum(shape)))
            for name, shape in self.shapes().items()
        }

    def __call__(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Outputs (S, n, out) for inputs (S, n, in), or (n, in) shared by the whole stack."""
        return self.outputs(parameters, component, x)[-1]

    def outputs(self, parameters: Parameters, component: str, x: Tensor) -> list[Tensor]:
        """Outputs (S, n, size) of every layer, the hidden ones after their tanh, for the same inputs."""
        last, rows = len(self.sizes) - 2, x.shape[-2]
        layers: list[Tensor] = []
        if rows % ALIGNMENT:
            x = torch.nn.functional.pad(x, (0, 0, 0, aligned(rows) - rows))
        for layer in range(last + 1):
            weight = parameters[f"{component}/{layer}.weight"]
            bias = parameters[f"{component}/{layer}.bias"]
            if x.dim() == 2:
                x = x.expand(weight.shape[0], -1, -1)
            if weight.shape[1] == 1:
                # A product with one column takes another kernel for a stack of one than for a stack of two.
                x = (x * weight).sum(-1, keepdim=True) + bias.unsqueeze(1)
            else:
                x = torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
            if layer < last:
                x = torch.tanh(x)
            layers.append(x[:, :rows])
        return layers


class Pass:
    """One net of a stack, forwards and backwards on inputs that stay the same, without autograd.

    The numbers are autograd's, bit for bit for the shipped presets (tested). What it saves is the graph, a
    copy of every gradient, and fresh memory at every step: all results stay where the next call overwrites
    them.
    """

    def __init__(self, net: TanhNet, component: str, stack: Stack, x: Tensor) -> None:
        """Prepare to pass inputs (n, in) that the whole stack shares."""
        self._stack, self._n = stack, x.shape[0]
        self._names = [
            (f"{component}/{i}.weight", f"{component}/{i}.bias") for i in range(len(net.sizes) - 1)
        ]
        rows = aligned(self._n)
        x = torch.nn.functional.pad(x, (0, 0, 0, rows - self._n)).expand(len(stack), -1, -1)
        outputs = [x.new_zeros(len(stack), rows, size) for size in net.sizes[1:]]
        self._x = [x, *outputs]
        """The input of each layer, and the last one's output: (S, rows, size)."""
        self._slopes = [torch.zeros_like(y) for y in outputs]
        """∂loss/∂y of each layer, y before its tanh."""

    def outputs(self) -> Tensor:
        """The net's outputs (S, n, out) at the stack's parameters."""
        for layer, names in enumerate(self._names):
            x, y = self._x[layer], self._x[layer + 1]
            weight, bias = (self._stack.views[name].detach() for name in names)
            if weight.shape[1] == 1:  # as in TanhNet
                torch.add((x * weight).sum(-1, keepdim=True), bias.unsqueeze(1), out=y)
            else:
                torch.baddbmm(bias.unsqueeze(1), x, weight.mT, out=y)
            if layer < len(self._slopes) - 1:
                y.tanh_()
        return y[:, : self._n]

    def backward(self, slopes: Tensor, into: Gradients) -> None:
        """Write the gradients of the trainable parameters, given ∂loss/∂outputs (S, n, out)."""
        self._slopes[-1][:, : self._n] = slopes
        trained = [[self._stack.views[name].requires_grad for name in names] for names in self._names]
        lowest = next(layer for layer, either in enumerate(trained) if any(either))
        for layer in reversed(range(lowest, len(self._names))):
            x, slopes = self._x[layer], self._slopes[layer]
            weight, bias = self._names[layer]
            if trained[layer][1]:
                torch.sum(slopes, 1, out=into.views[bias])
            if trained[layer][0]:
                gradient = into.views[weight]
                if gradient.shape[1] == 1:  # as in TanhNet
                    torch.sum(slopes * x, 1, keepdim=True, out=gradient)
                elif min(gradient.shape[1:]) >= DIRECT:
                    torch.bmm(slopes.mT, x, out=gradient)
                else:
                    gradient.copy_(torch.bmm(x.mT, slopes).mT)
            if layer > lowest:
                below = torch.bmm(slopes, self._stack.views[weight].detach(), out=self._slopes[layer - 1])
                torch.ops.aten.tanh_backward(below, x, grad_input=below)


@dataclass(frozen=True)
class Conv:
    """A convolution of stride 1 that keeps the sides, and the max-pool after it."""

    filters: int
    kernel: int
    pool: int = 1
    """Side of the pool's windows, which lie side by side; 1 for none."""


@dataclass(frozen=True)
class ConvNet:
    """Convolutions on square pictures, then fully connected layers: tanh between them, linear at the end.

    Borders are padded with zeros as Keras does for "same": a window of k sees (k − 1) // 2 pixels before its
    own, rounded down, and the rest after it, so that of an even kernel the extra lies right and below. A pool
    whose windows do not fit has a smaller one at the right and below.
    """

    planes: int
    """Channels of the input."""
    side: int
    """Pixels on a side of the input."""
    convs: tuple[Conv, ...]
    dense: tuple[int, ...] = ()
    """Sizes of the fully connected layers, the last one the output's; none for a net that gives planes."""

    @property
    def out(self) -> tuple[int, ...]:
        """Shape of one output: (planes, side, side) or (size,)."""
        if self.dense:
            return self.dense[-1:]
        side = self._last_side()
        return (self.convs[-1].filters, side, side)

    def _last_side(self) -> int:
        side = self.side
        for conv in self.convs:
            side = -(-side // conv.pool)
        return side

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of parameters, without the stack axis; weights are (out, in[, k, k])."""
        named: dict[str, tuple[int, ...]] = {}
        planes = self.planes
        for layer, conv in enumerate(self.convs):
            named[f"{layer}.weight"] = (conv.filters, planes, conv.kernel, conv.kernel)
            named[f"{layer}.bias"] = (conv.filters,)
            planes = conv.filters
        fan_in = planes * self._last_side() ** 2
        for layer, fan_out in enumerate(self.dense, len(self.convs)):
            named[f"{layer}.weight"] = (fan_out, fan_in)
            named[f"{layer}.bias"] = (fan_out,)
            fan_in = fan_out
        return named

    def fresh(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Glorot-uniform weights, a filter's window counted in both fans, and zero biases; no stack axis."""
        fresh = {}
        for name, shape in self.shapes().items():
            if len(shape) == 1:
                fresh[name] = torch.zeros(shape)
            else:
                limit = math.sqrt(6.0 / ((shape[0] + shape[1]) * math.prod(shape[2:])))
                fresh[name] = torch.from_numpy(rng.uniform(-1, 1, shape).astype(np.float32) * limit)
        return fresh

    def __call__(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Outputs (S, n, *out) for pictures (S, n, planes, side, side), or without S, shared by the stack."""
        return _joined([layers[-1] for layers in self._each(parameters, component, x)])

    def outputs(self, parameters: Parameters, component: str, x: Tensor) -> list[Tensor]:
        """Outputs of every layer for the same inputs: (S, n, planes, side, side), then (S, n, size).

        Those of hidden layers are after their pool and their tanh.
        """
        return [_joined(layer) for layer in zip(*self._each(parameters, component, x), strict=True)]

    def _each(self, parameters: Parameters, component: str, x: Tensor) -> list[list[Tensor]]:
        """Outputs of every layer for one member after the other, or for all at once.

        On the CPU one by one: so a member's bits do not depend on its neighbours. Elsewhere together, as
        groups of one convolution, because a small one hardly fills the device.
        """
        named = {name: parameters[f"{component}/{name}"] for name in self.shapes()}
        stack = named["0.weight"].shape[0]
        if stack == 1 or x.device.type != "cpu":
            return [self._together(named, x)]
        return [
            self._together(
                {name: p[s : s + 1] for name, p in named.items()}, x[s : s + 1] if x.dim() == 5 else x
            )
            for s in range(stack)
        ]

    def _together(self, named: Parameters, x: Tensor) -> list[Tensor]:
        """Outputs of every layer, members as groups of one convolution."""
        stack = named["0.weight"].shape[0]
        if x.dim() == 5:
            x = x.transpose(0, 1).flatten(1, 2)
        elif stack > 1:
            x = x.repeat(1, stack, 1, 1)
        n, last = len(x), len(self.convs) + len(self.dense) - 1
        layers: list[Tensor] = []
        if x.shape[1] == 1:  # in memory the same either way: say which, or kernels take the slower one
            x = x.reshape(n, *x.shape[2:], 1).permute(0, 3, 1, 2)
        else:
            x = x.contiguous(memory_format=torch.channels_last)
        for layer, conv in enumerate(self.convs):
            weight, bias = named[f"{layer}.weight"].flatten(0, 1), named[f"{layer}.bias"].flatten()
            before = (conv.kernel - 1) // 2
            if conv.kernel % 2 == 0:
                x = torch.nn.functional.pad(x, (before, before + 1, before, before + 1))
                before = 0
            x = torch.nn.functional.conv2d(x, weight, bias, padding=before, groups=stack)
            if conv.pool > 1:  # before the tanh, which keeps the order: the same numbers for fewer tanhs
                x = torch.nn.functional.max_pool2d(x, conv.pool, ceil_mode=True)
            if layer < last:
                x = torch.tanh(x)
            layers.append(x.reshape(n, stack, conv.filters, *x.shape[2:]).transpose(0, 1))
        if self.dense:
            x = layers[-1].reshape(stack, n, -1)
        for layer in range(len(self.convs), last + 1):
            weight, bias = named[f"{layer}.weight"], named[f"{layer}.bias"]
            x = torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
            if layer < last:
                x = torch.tanh(x)
            layers.append(x)
        return layers


def _joined(members: Sequence[Tensor]) -> Tensor:
    """Outputs (1, n, *shape) of members as one stack, in one order in memory however many there are."""
    rows = [member.contiguous() for member in members]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def beside_planes(x: Tensor, actions: Tensor) -> Tensor:
    """Planes (S, n, planes, side, side), and a constant plane for each column of actions (n, A)."""
    planes = actions.to(x.dtype)[..., None, None].expand(*x.shape[:2], -1, *x.shape[3:])
    return torch.cat([x, planes], 2)


POOLS = {1: (1, 1), 2: (2, 1), 6: (2, 3)}
"""Pools of the encoder by pixels a tile: together they make a tile a pixel. At 6 they are the paper's; at 2
the second falls away, at 1 both."""


def conv_encoder(tiles: int, pixels: int, planes: int = 3, widths: Sequence[int] = (8, 16, 32)) -> ConvNet:
    """The paper's encoder of pictures of tiles: embeddings (planes, tiles, tiles).

    Kernels 2, 2, pool 2, kernel 3, pool 3, tanh; then a linear 1×1 convolution (section 5.2, and its public
    files). ``pixels`` a tile are those of :data:`POOLS`; raises ValueError for others.
    """
    if pixels not in POOLS:
        raise ValueError(f"pixels a tile: found {pixels}, expected one of {', '.join(map(str, POOLS))}")
    first, second, third = widths
    pools = POOLS[pixels]
    convs = (Conv(first, 2), Conv(second, 2, pools[0]), Conv(third, 3, pools[1]), Conv(planes, 1))
    return ConvNet(1, tiles * pixels, convs)


def conv_transition(
    tiles: int, actions: int, planes: int = 3, widths: Sequence[int] = (16, 32, 64, 32, 16)
) -> ConvNet:
    """The paper's transition model: what an action adds to the embedding, given both as planes."""
    kernels = (1, 2, 3, 2, 1)
    hidden = [Conv(width, kernel) for width, kernel in zip(widths, kernels, strict=True)]
    return ConvNet(planes + actions, tiles, (*hidden, Conv(planes, 1)))


def conv_head(
    tiles: int,
    planes: int,
    outputs: int,
    widths: Sequence[int] = (16, 32, 16, 4),
    dense: Sequence[int] = (200, 50, 20),
) -> ConvNet:
    """The paper's model of reward, discount or Q: numbers from planes of the embedding (and of the action).

    Kernels 2, 3, pool 2, kernels 2, 1, then fully connected, tanh throughout; linear at the end.
    """
    first, second, third, fourth = widths
    convs = (Conv(first, 2), Conv(second, 3, 2), Conv(third, 2), Conv(fourth, 1))
    return ConvNet(planes, tiles, convs, (*dense, outputs))
