"""Many networks of one shape trained side by side: stacked parameters, tanh nets and RMSprop.

Every tensor carries a leading stack axis S: one network per seed while training, one alone for a loaded
checkpoint. All matrix products are batched over S, so a network's numbers do not depend on which others
stand beside it: bit for bit on the CPU, with one thread (:func:`trainers.run.train_members` sets it), for
the shipped presets and for all six loss terms (tested); to rounding for other layer widths, where kernels
may still choose by memory alignment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

# Matrix kernels round differently on differently aligned memory, and a member's place in the stack would
# show in its last bits. So every parameter starts on a 64-byte boundary (16 floats), and nets work on a
# multiple of 16 rows, which puts every member's activations on one too.
ALIGNMENT = 64 // 4

Parameters = Mapping[str, Tensor]
"""Named parameters, ``component/parameter``, each with a leading stack axis (S, *shape)."""

# Autograd makes a weight's gradient as (in, out) and turns it. From so many units on each side on, MKL gives
# the same bits for the product made as (out, in) at once; for fewer it adds up in another order.
DIRECT = 32

# The root of a smaller (denormal) square takes a CPU 30 times as long, and is lost beside ε all the same.
SMALLEST_SQUARE = torch.finfo(torch.float32).tiny


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
        """What each layer gives (S, n, size), the hidden ones after their tanh, for the same inputs."""
        last, rows = len(self.sizes) - 2, x.shape[-2]
        found: list[Tensor] = []
        if rows % ALIGNMENT:
            x = torch.nn.functional.pad(x, (0, 0, 0, _aligned(rows) - rows))
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
            found.append(x[:, :rows])
        return found


class Stack:
    """Stacked parameters kept in one contiguous (S, P) buffer per component, with named views.

    The views are what networks read; the buffers are what the optimiser steps, one pass over each
    component whatever its number of layers.
    """

    def __init__(self, members: Sequence[Parameters], device: torch.device | str = "cpu") -> None:
        """Stack ``members``, each a full set of parameters without a stack axis, in their given order.

        Parameters are laid out in the order of their names, whatever the order of the mappings: sums
        over a buffer, and running squares saved from one, then mean the same in every run.
        """
        if not members:
            raise ValueError("a stack needs at least one member")
        self.buffers: dict[str, Tensor] = {}
        self.views: dict[str, Tensor] = {}
        self._names: dict[str, list[str]] = {}
        for name in sorted(members[0]):
            self._names.setdefault(component_of(name), []).append(name)
        for component, names in self._names.items():
            shapes = [members[0][name].shape for name in names]
            starts = [0]
            for shape in shapes:
                starts.append(starts[-1] + _aligned(shape.numel()))
            buffer = torch.zeros(len(members), starts[-1], dtype=torch.float32, device=device)
            self.buffers[component] = buffer
            for name, shape, start in zip(names, shapes, starts, strict=False):
                view = buffer[:, start : start + shape.numel()].view(len(members), *shape).detach()
                for row, member in zip(view, members, strict=True):
                    row.copy_(member[name])
                self.views[name] = view

    def __len__(self) -> int:
        return next(iter(self.buffers.values())).shape[0]

    def names(self, component: str) -> list[str]:
        """The full parameter names of a component, in the order of its buffer."""
        return self._names[component]

    def span(self, name: str) -> slice:
        """Where a parameter lies in its component's buffer."""
        view = self.views[name]
        start = view.storage_offset()
        return slice(start, start + view[0].numel())

    def train_only(self, names: Iterable[str]) -> None:
        """Let gradients reach just these parameters."""
        trainable = set(names)
        for name, view in self.views.items():
            view.requires_grad_(name in trainable)

    def member(self, index: int) -> dict[str, Tensor]:
        """A copy of one member's parameters on the CPU, without the stack axis."""
        return {name: view[index].detach().cpu().clone() for name, view in self.views.items()}


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def component_of(name: str) -> str:
    """The component that a parameter belongs to: ``encoder/0.weight`` -> ``encoder``."""
    return name.partition("/")[0]


class Gradients:
    """Room for ∂loss/∂parameter, laid out as a stack's buffers; what is never written to is zero."""

    def __init__(self, stack: Stack) -> None:
        self.buffers = {component: torch.zeros_like(buffer) for component, buffer in stack.buffers.items()}
        self.views = {
            name: self.buffers[component_of(name)][:, stack.span(name)].view(view.shape)
            for name, view in stack.views.items()
        }


class Pass:
    """One net of a stack, forwards and backwards on inputs that stay the same, without autograd.

    The numbers are autograd's, bit for bit for the shipped presets (tested). What it saves is the graph, a
    copy of every gradient, and fresh memory at every step: all results stay where the next call overwrites
    them.
    """

    def __init__(self, net: TanhNet, component: str, stack: Stack, x: Tensor) -> None:
        """For inputs (n, in) that the whole stack shares."""
        self._stack, self._n = stack, x.shape[0]
        self._names = [
            (f"{component}/{i}.weight", f"{component}/{i}.bias") for i in range(len(net.sizes) - 1)
        ]
        rows = _aligned(self._n)
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
                found = into.views[weight]
                if found.shape[1] == 1:  # as in TanhNet
                    torch.sum(slopes * x, 1, keepdim=True, out=found)
                elif min(found.shape[1:]) >= DIRECT:
                    torch.bmm(slopes.mT, x, out=found)
                else:
                    found.copy_(torch.bmm(x.mT, slopes).mT)
            if layer > lowest:
                below = torch.bmm(slopes, self._stack.views[weight].detach(), out=self._slopes[layer - 1])
                torch.ops.aten.tanh_backward(below, x, grad_input=below)


@dataclass(frozen=True)
class RMSprop:
    """RMSprop with its ε outside the root and a clipped gradient norm, each stack member for itself.

    v ← ρ·v + (1−ρ)·g²;  θ ← θ − lr·g / (√v + ε), with g scaled down to ``clip`` where its norm, over
    all the parameters of the step, is larger.
    """

    rho: float = 0.9
    epsilon: float = 1e-4
    clip: float = 1.0
    _roots: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)
    """√v + ε of each component of the one stack that it steps: fresh memory each time would cost more."""

    def step(
        self,
        stack: Stack,
        gradients: Mapping[str, Tensor],
        squares: dict[str, Tensor],
        learning_rate: float,
    ) -> None:
        """Step the components of ``gradients``, each (S, P); ``squares`` holds v and is updated."""
        with torch.no_grad():
            norms = [torch.linalg.vector_norm(g, dim=1, keepdim=True) for g in gradients.values()]
            norm = norms[0] if len(norms) == 1 else torch.cat(norms, 1).norm(dim=1, keepdim=True)
            scale = self.clip / norm.clamp_min(self.clip)
            for component, gradient in gradients.items():
                gradient.mul_(scale)
                square = squares.get(component)
                if square is None:
                    square = squares[component] = torch.zeros_like(gradient)
                square.mul_(self.rho).addcmul_(gradient, gradient, value=1 - self.rho)
                if component not in self._roots:
                    self._roots[component] = torch.empty_like(square)
                root = self._roots[component]
                torch.clamp_min(square, SMALLEST_SQUARE, out=root).sqrt_().add_(self.epsilon)
                stack.buffers[component].addcdiv_(gradient, root, value=-learning_rate)


def gradients(
    loss: Tensor,
    stack: Stack,
    components: Sequence[str],
    into: Gradients,
    leaves: Sequence[Tensor] = (),
    keep: bool = False,
) -> tuple[Tensor, ...]:
    """Write ∂loss/∂parameter of each component's trainable parameters; gives ∂loss/∂leaf for each leaf.

    ``loss`` is a scalar: the sum over the stack, so that members do not see each other. What the loss does
    not reach gets zeros.
    """
    names = [n for c in components for n in stack.names(c) if stack.views[n].requires_grad]
    wanted = [*leaves, *(stack.views[n] for n in names)]
    found = torch.autograd.grad(loss, wanted, retain_graph=keep, allow_unused=True, materialize_grads=True)
    for name, gradient in zip(names, found[len(leaves) :], strict=True):
        into.views[name].copy_(gradient)
    return found[: len(leaves)]
