"""Many networks of one shape trained side by side: stacked parameters and their gradients.

Every tensor carries a leading stack axis S: one network per seed while training, one alone for a loaded
checkpoint. All matrix products are batched over S, so a network's numbers do not depend on which others
stand beside it: bit for bit on the CPU, with one thread (:func:`trainers.run.train_members` sets it), for
the shipped presets and for all six loss terms (tested); to rounding for other layer widths, where kernels
may still choose by memory alignment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

# Matrix kernels round differently on differently aligned memory, and a member's place in the stack would
# show in its last bits. So every parameter starts on a 64-byte boundary (16 floats), and nets work on a
# multiple of 16 rows, which puts every member's activations on one too.
ALIGNMENT = 64 // 4

Parameters = Mapping[str, Tensor]
"""Named parameters, ``component/parameter``, each with a leading stack axis (S, *shape)."""


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
                starts.append(starts[-1] + aligned(shape.numel()))
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
        """The columns of a parameter in its component's buffer."""
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


def aligned(size: int) -> int:
    """The least multiple of :data:`ALIGNMENT` that is no smaller."""
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
    slopes = torch.autograd.grad(loss, wanted, retain_graph=keep, allow_unused=True, materialize_grads=True)
    for name, gradient in zip(names, slopes[len(leaves) :], strict=True):
        into.views[name].copy_(gradient)
    return slopes[: len(leaves)]
