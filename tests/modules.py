"""Small torch modules of many kinds, and batches for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

N = 40


def squared(model: Any, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {"mse": (model(batch[0]).flatten(1) - batch[1]).square().mean(1)}


def dense(dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(6, 20), nn.Tanh(), nn.Dropout(dropout), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 3))
    )


class Viewed(nn.Module):
    """Channels-last maps have no such view: a way that is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.maps(x))
        found: Tensor = self.head(y.view(len(y), -1))
        return found


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.GRU | nn.LSTM]) -> None:
        super().__init__()
        self.memory, self.head = kind(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.memory(x)[0][:, -1])
        return found


def convolutional() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 8, 2), nn.Tanh(), nn.Flatten(), nn.Linear(32, 3)),
    )


SHAPES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense": (dense, (6,)),
    "dropout": (lambda: dense(0.5), (6,)),
    "norm": (lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)), (6,)),
    "conv": (convolutional, (2, 8, 8)),
    "plain conv": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3)),
        (2, 8, 8),
    ),
    "view": (Viewed, (2, 8, 8)),
    "gru": (lambda: Recurrent(nn.GRU), (5, 6)),
    "lstm": (lambda: Recurrent(nn.LSTM), (5, 6)),
    "attention": (
        lambda: nn.Sequential(
            nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), nn.Flatten(), nn.Linear(30, 3)
        ),
        (5, 6),
    ),
}


def pair(name: str, n: int = N) -> tuple[list[nn.Module], tuple[Tensor, Tensor]]:
    """Two modules, their running statistics no longer those of a fresh one; and a batch."""
    torch.manual_seed(0)
    make, shape = SHAPES[name]
    batch = torch.randn(n, *shape), torch.randn(n, 3)
    modules = [make(), make()]
    for module in modules:
        module.train()(torch.randn(16, *shape))
    return modules, batch
