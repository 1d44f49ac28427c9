"""The largest rise of a loss within a ball about a point, in plain and in relative size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diag.landscapes.point import Point, norm
from diag.landscapes.spectrum import lanczos, normal
from diag.result import finite

if TYPE_CHECKING:
    from torch import Generator, Tensor

STEPS = 20
"""Number of evaluations from each of an ascent's three starts. With a convex loss a few suffice; where it
bends down and the highest point lies inside, 20 come within 1% at a condition number of 5."""

SCALED_PRODUCTS = 12
"""Number of Hessian products that look for the direction of largest scaled curvature, where the relative
ball's ascent starts: a direction within a few percent of the top is enough, since the ascent goes on from
there."""


@dataclass(frozen=True)
class Ball:
    """The largest rise of the loss found in a ball: at most the true one."""

    rise: float
    """The largest rise met; 0 where no loss was higher."""
    radius: float
    """Radius in the ball's own norm."""
    evaluations: int
    """Number of evaluations of the loss with its gradient."""
    finite: bool
    """Whether every loss met was a number; otherwise the rise is the largest among those that were."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "rise": finite(self.rise),
            "radius": finite(self.radius),
            "evaluations": self.evaluations,
            "finite": self.finite,
        }


def plain_ball(point: Point, radius: float, top: Tensor) -> Ball:
    """The largest rise of the loss found over ‖δ‖ ≤ radius; ``top`` (P,), of most curvature, is a start."""
    return _ascend(point, None, radius, top)


def relative_ball(point: Point, radius: float, random: Generator) -> Ball:
    """The largest rise of the loss found over ‖δ/|θ|‖ ≤ radius; a parameter of 0 stays."""
    sizes = point.x.abs()
    ritz = lanczos(
        lambda u: sizes * point.product(sizes * u),
        normal(point.x, random),
        SCALED_PRODUCTS,
        SCALED_PRODUCTS,
    )
    top = normal(point.x, random) if ritz.ends is None else ritz.ends[1][1]
    return _ascend(point, sizes, radius, top)


def _ascend(point: Point, sizes: Tensor | None, radius: float, top: Tensor) -> Ball:
    """Ascend from the gradient and from ±``top`` on δ = sizes·u, ‖u‖ ≤ ``radius`` (sizes: 1 where None).

    Each step goes to the ball's point nearest to u + s·∇/‖∇‖: with a large s a step of the power
    method, which never descends where the loss is convex; s halves where it does.
    """
    import torch

    count, sound = 0, True

    def climb(u: Tensor) -> tuple[float, Tensor]:
        nonlocal count, sound
        count += 1
        leaf = (point.x + (u if sizes is None else sizes * u)).requires_grad_(True)
        with torch.enable_grad():
            value = point.loss(leaf).reshape(())
        slope = torch.zeros_like(leaf)
        if value.requires_grad:
            (slope,) = torch.autograd.grad(value, leaf, materialize_grads=True)
        here = float(value.detach())
        slope = slope if sizes is None else slope * sizes
        if math.isfinite(here) and math.isfinite(norm(slope)):
            return here, slope
        sound = False
        return -math.inf, slope

    def projected(u: Tensor) -> Tensor:
        length = norm(u)
        return u * (radius / length) if length > radius else u

    best = point.value
    first = point.g if sizes is None else point.g * sizes
    for start in (first, top, -top):
        length = norm(start)
        if not length > 0:
            continue
        u = start * (radius / length)
        value, slope = climb(u)
        reach = 4.0
        for _ in range(STEPS - 1):
            if math.isinf(value):  # back towards the point, where the loss is a number
                u = u / 2
                value, slope = climb(u)
                continue
            steep = norm(slope)
            if not steep > 0:
                break
            there = projected(u + slope * (reach * radius / steep))
            higher, next_slope = climb(there)
            if higher > value:
                u, value, slope, reach = there, higher, next_slope, reach * 4
            else:
                reach /= 4
        best = max(best, value)
    return Ball(best - point.value, radius, count, sound)
