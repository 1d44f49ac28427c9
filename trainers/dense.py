"""Fully connected ELU nets on one set of parameters, and fresh weights of any net.

Parameters have no stack axis here: ``component/layer.weight`` is (out, in).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import elu, linear

Parameters = Mapping[str, Tensor]
"""Named parameters of one seed, ``component/parameter``."""

Shapes = dict[str, tuple[int, ...]]


def fresh_weights(shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator) -> dict[str, Tensor]:
    """Glorot-uniform weights, zero biases, and ones for the gains of layer norms (``…gain``).

    A filter's window counts in both fans, as in the initialisation that DreamerV2's public code relies on.
    """
    fresh = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            fresh[name] = torch.ones(shape) if name.endswith("gain") else torch.zeros(shape)
        else:
            limit = math.sqrt(6.0 / ((shape[0] + shape[1]) * math.prod(shape[2:])))
            fresh[name] = torch.from_numpy(rng.uniform(-1, 1, shape).astype(np.float32) * np.float32(limit))
    return fresh


@dataclass(frozen=True)
class Dense:
    """Fully connected layers ``0``, ``1``, …: ELU between them; ``sizes`` from input to output."""

    sizes: tuple[int, ...]
    last_linear: bool = True
    """Whether the last layer is linear; else ELU follows it, too."""

    def shapes(self) -> Shapes:
        """Parameter names inside the component, and their shapes."""
        named: Shapes = {}
        for layer, (fan_in, fan_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            named[f"{layer}.weight"] = (fan_out, fan_in)
            named[f"{layer}.bias"] = (fan_out,)
        return named

    def __call__(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """Outputs (…, out) for inputs (…, in)."""
        last = len(self.sizes) - 2
        for layer in range(last + 1):
            x = linear(x, parameters[f"{component}/{layer}.weight"], parameters[f"{component}/{layer}.bias"])
            if layer < last or not self.last_linear:
                x = elu(x)
        return x
