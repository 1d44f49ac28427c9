"""Modules that do not repeat themselves, and the place where random generators stand."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Stateful(nn.Module):
    """A module that adds what ``change`` makes of it, and so may change itself."""

    def __init__(self, change: Callable[[Any, Tensor], Any], dropout: float = 0.0) -> None:
        super().__init__()
        self.linear, self.drop = nn.Linear(6, 2), nn.Dropout(dropout)
        self.change, self.calls = change, 0
        self.register_buffer("seen", torch.zeros(()))
        self.own = torch.Generator().manual_seed(1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.linear(x)
        return found + self.change(self, found)


def counted(module: Any, x: Tensor) -> float:
    module.calls += 1
    return 0.01 * module.calls


def remembered(module: Any, x: Tensor) -> float:
    module.seen += 1
    return 0.0


def standing() -> tuple[float, float, float]:
    """The next number of each generator: the same ones before and after what leaves no trace."""
    at = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    found = float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002
    torch.set_rng_state(at[0])
    np.random.set_state(at[1])  # noqa: NPY002
    random.setstate(at[2])
    return found
