"""Landscapes between two modules on a batch of regression, and the loss of one module."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import diag
from diag.landscapes.result import Landscape
from diag.sources.systems.walks import Way
from diag.sources.torch_losses import from_module

SHORT_WAY = Way(warm=30, early=range(2, 4), late=range(6, 8))
"""A way on that shows where a training would go to in a few updates: its own tests are elsewhere."""

X, Y = torch.randn(2, 48, 3, generator=torch.Generator().manual_seed(0))[:, :, :]
Y = Y[:, :2]
EXACT = 1e-5
"""Relative: what float32 leaves of sums that are taken in another order."""


def squared(model: Any, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"mse": (model(batch[0]).float() - batch[1].float()).square().flatten(1).mean(1)}


def own(model: nn.Module, losses: Callable[..., dict[str, Tensor]] = squared, batch: Any = (X, Y)) -> float:
    with torch.inference_mode():
        return float(losses(copy.deepcopy(model).eval(), batch)["mse"].double().mean())


def between(
    a: nn.Module, b: nn.Module, losses: Any = squared, batch: Any = (X, Y), points: int = 5, **options: Any
) -> Landscape:
    ends = [from_module(m, losses, batch, name=name) for m, name in ((a, "A"), (b, "B"))]
    return diag.landscape(*ends, points=points, beyond=0, **{"quick": True, **options})


def total(found: Landscape) -> Any:
    return found.routes["raw"].losses["total"]
