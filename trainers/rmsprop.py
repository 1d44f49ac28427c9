"""RMSprop for a stack of networks, each with running squares and a clipped gradient norm of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from trainers.stack import Stack

# The root of a smaller (denormal) square takes a CPU 30 times as long, and is lost beside ε all the same.
SMALLEST_SQUARE = torch.finfo(torch.float32).tiny


ClipBy = Literal["step", "variable"]
"""The gradient whose norm is clipped: that of all the parameters of one step together, as Keras did up to
2.3, or that of each weight and bias for itself, as later versions do."""


@dataclass(frozen=True)
class RMSprop:
    """RMSprop with its ε outside the root and a clipped gradient norm, each stack member for itself.

    v ← ρ·v + (1−ρ)·g²;  θ ← θ − lr·g / (√v + ε), with g scaled down to ``clip`` where its norm, over
    all the parameters of the step or over each variable (``clip_by``), is larger.
    """

    rho: float = 0.9
    epsilon: float = 1e-4
    clip: float = 1.0
    clip_by: ClipBy = "step"
    _roots: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Memory for √v + ε of each component, kept from step to step: fresh memory would cost more."""

    def rest(self, parameters: Mapping[str, Tensor], squares: dict[str, Tensor]) -> None:
        """Do a step by gradients of 0: parameters, (S, P) by component, stay, and v falls."""
        for component, buffer in parameters.items():
            if component in squares:
                squares[component].mul_(self.rho)
            else:
                squares[component] = torch.zeros_like(buffer)

    def step(
        self,
        stack: Stack,
        gradients: Mapping[str, Tensor],
        squares: dict[str, Tensor],
        learning_rate: float,
    ) -> None:
        """Step the components of ``gradients``, each (S, P); ``squares`` holds v and is updated."""
        with torch.no_grad():
            clipped = (
                [g[:, stack.span(n)] for c, g in gradients.items() for n in stack.names(c)]
                if self.clip_by == "variable"
                else list(gradients.values())
            )
            norms = [torch.linalg.vector_norm(g, dim=1, keepdim=True) for g in clipped]
            if self.clip_by == "step" and len(norms) > 1:
                norms = [torch.cat(norms, 1).norm(dim=1, keepdim=True)] * len(norms)
            for gradient, norm in zip(clipped, norms, strict=True):
                gradient.mul_(self.clip / norm.clamp_min(self.clip))
            for component, gradient in gradients.items():
                square = squares.get(component)
                if square is None:
                    square = squares[component] = torch.zeros_like(gradient)
                square.mul_(self.rho).addcmul_(gradient, gradient, value=1 - self.rho)
                if component not in self._roots:
                    self._roots[component] = torch.empty_like(square)
                root = self._roots[component]
                torch.clamp_min(square, SMALLEST_SQUARE, out=root).sqrt_().add_(self.epsilon)
                stack.buffers[component].addcdiv_(gradient, root, value=-learning_rate)
