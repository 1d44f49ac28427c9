"""Fully connected tanh nets over stacked parameters, with autograd or with a backward pass of their own."""

from __future__ import annotations

import math
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
