"""Adam for a stack of networks, each with moments and a clipped gradient norm of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.stack import Stack

MEANS, SQUARES = "adam_mean", "adam_square"
"""Names of the two moments among a training's running squares (:class:`trainers.descent.Descent`)."""


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1), after the gradient's norm is clipped.

    The norm is that over all the parameters of the step, each stack member for itself.
    """

    epsilon: float = 1e-8
    clip: float = 1.0
    first: float = 0.9
    """Decay β₁ of the mean."""
    second: float = 0.999
    """Decay β₂ of the mean square."""

    def step(
        self,
        stack: Stack,
        gradients: Mapping[str, Tensor],
        moments: dict[str, dict[str, Tensor]],
        learning_rate: float,
        number: int,
    ) -> None:
        """Do step ``number``, from 1, of the components of ``gradients``, (S, P); updates ``moments``."""
        means, squares = moments.setdefault(MEANS, {}), moments.setdefault(SQUARES, {})
        with torch.no_grad():
            norms = [torch.linalg.vector_norm(g, dim=1, keepdim=True) for g in gradients.values()]
            norm = torch.cat(norms, 1).norm(dim=1, keepdim=True)
            scale = self.clip / norm.clamp_min(self.clip)
            rate = learning_rate / (1 - self.first**number)
            unbiased = (1 - self.second**number) ** -0.5
            for component, gradient in gradients.items():
                gradient.mul_(scale)
                for kept in (means, squares):
                    if component not in kept:
                        kept[component] = torch.zeros_like(gradient)
                means[component].lerp_(gradient, 1 - self.first)
                squares[component].mul_(self.second).addcmul_(gradient, gradient, value=1 - self.second)
                root = squares[component].sqrt().mul_(unbiased).add_(self.epsilon)
                stack.buffers[component].addcdiv_(means[component], root, value=-rate)
