"""A curve round a wall: a quadratic Bézier curve between two fixed ends with an optimised control point.

Garipov et al. (arXiv 1802.10026) minimise the mean loss along the curve. The wall is its highest point,
so here the mean is followed by a soft maximum. What is found is an upper bound on the lowest wall
between the ends: where no low curve is found, there may still be one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from diag.landscapes.space import Bezier

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 400
"""Number of Adam steps: on the maze's encoder, more of them bring the highest point no lower."""

POINTS = 8
"""Points of the curve taken in each step, one in each eighth of it."""

RATE = 0.02
"""Adam's first step, as a share of the root mean square of B − A; it falls to nothing along a cosine."""

SHARE_OF_MEAN = 0.5
"""Share of the steps that lower the mean; the others lower the soft maximum."""


def bent(
    losses: Callable[[Tensor], Tensor],
    a: Tensor,
    b: Tensor,
    *,
    steps: int = STEPS,
    seed: int = 0,
    parts: Sequence[Callable[[Tensor], Tensor]] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> Bezier:
    """Train a quadratic Bézier curve from a to b (P,) to keep its highest loss low.

    ``losses`` takes vectors (k, P) to losses (k,), differentiably. The control point starts halfway; of
    all that are tried, the one with the lowest highest point is kept (on a fixed set of points, looked at
    ten times), the straight line among them. Where no point of the line lies above both ends, the line is
    the curve, since no curve's highest point can be lower. Steps whose loss is not finite are left out.
    With ``parts``, the losses on parts of the samples, each step goes by one of them, in turn, and
    ``losses`` only chooses.
    """
    rng = np.random.default_rng(seed)
    middle = (a + b) / 2
    scale = float((b - a).double().square().mean().sqrt())
    if not (0 < scale < float("inf")) or steps == 0:
        return Bezier(a, middle, b)
    looks = torch.linspace(0, 1, 4 * POINTS + 1)[1:-1]

    def highest(at: Tensor) -> float:
        with torch.no_grad():
            return max(float(losses(Bezier(a, at, b)(part)).max()) for part in torch.split(looks, POINTS))

    best, lowest = middle, highest(middle)
    with torch.no_grad():
        ends = float(losses(torch.stack([a, b])).max())
    if lowest <= ends:
        progress(steps)
        return Bezier(a, middle, b)
    control = middle.clone().requires_grad_()
    optimiser = torch.optim.Adam([control], lr=RATE * scale)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    by = parts or (losses,)
    with torch.enable_grad():
        for step in range(steps):
            t = torch.from_numpy((np.arange(POINTS) + rng.random(POINTS)) / POINTS)
            values = by[step % len(by)](Bezier(a, control, b)(t))
            if step < SHARE_OF_MEAN * steps:
                loss = values.mean()
            else:
                width = 0.1 * values.detach().std() + torch.finfo(values.dtype).tiny
                loss = width * torch.logsumexp(values / width, 0)
            if bool(torch.isfinite(loss)):
                (control.grad,) = torch.autograd.grad(loss, control)
                optimiser.step()
                schedule.step()
            if (step + 1) % max(1, steps // 10) == 0:
                height = highest(control.detach())
                if height < lowest or not np.isfinite(lowest):
                    best, lowest = control.detach().clone(), height
            progress(1)
    return Bezier(a, best, b)
