"""Losses whose curvature is known: quadratics, and a small net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]


def quadratic(
    spectrum: Sequence[float] | np.ndarray,
    slope: Tensor | None = None,
    start: Tensor | None = None,
    level: float = 1.0,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> tuple[Loss, Tensor, Tensor]:
    """L = level + slope·δ + ½δᵀHδ about ``start``, H of that spectrum in a random basis; ``start``; H."""
    p = len(spectrum)
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(p, p, generator=generator, dtype=torch.float64))
    h = ((q * torch.as_tensor(np.asarray(spectrum), dtype=torch.float64)) @ q.T).to(dtype)
    at = (torch.randn(p, generator=generator, dtype=torch.float64) if start is None else start).to(dtype)
    g = torch.zeros(p, dtype=dtype) if slope is None else slope.to(dtype)
    return (lambda x: level + g @ (x - at) + (x - at) @ (h @ (x - at)) / 2), at, h


def mlp(sizes: Sequence[int], seed: int = 0) -> tuple[Loss, Tensor]:
    """The squared error of a small tanh net on 40 samples, and its starting weights (P,)."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, y = normal(40, sizes[0]), normal(40, sizes[-1])
    shapes = [(b, a + 1) for a, b in pairwise(sizes)]

    def loss(vector: Tensor) -> Tensor:
        h = x
        for k, (shape, part) in enumerate(zip(shapes, vector.split([a * b for a, b in shapes]), strict=True)):
            w = part.reshape(shape)
            h = h @ w[:, :-1].T + w[:, -1]
            h = torch.tanh(h) if k < len(shapes) - 1 else h
        return ((h - y) ** 2).mean()

    return loss, normal(sum(a * b for a, b in shapes)) / 2
