"""One point of a loss: its value and gradient, products with its Hessian, and the effect of moves from it.

The gradient is taken once with its graph; every Hessian-vector product is one more backward pass through
that graph. Nothing here imports torch before it is called, so that showing a result does not need it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from diag.result import finite

if TYPE_CHECKING:
    from torch import Tensor

    Loss: TypeAlias = Callable[[Tensor], Tensor]
    """A function of a vector (P,) that returns a scalar tensor."""

HALVINGS = 6
"""Number of lengths of a step that are tried, each half of the one before: down to 1/32 of the first."""

LEAST = 0.01
"""Least share of the loss by which the shortest move along negative curvature has to change it to count."""

ROUNDING = 8
"""Units in the last place of the loss that a change must exceed to be more than rounding."""


class SharpnessError(ValueError):
    """A vector, a walk or a size from which no sharpness can be computed."""


@dataclass(frozen=True)
class Slope:
    """The loss along one line through the point."""

    distance: float
    """Distance to the other vector."""
    slope: float | None
    """gᵀu, loss per unit of length, u the unit vector towards the other; None at distance 0."""
    curvature: float | None
    """uᵀHu."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "distance": finite(self.distance),
            "slope": finite(self.slope),
            "curvature": finite(self.curvature),
        }


@dataclass(frozen=True)
class Fall:
    """The fall of the loss by a move: as gradient and curvature predict it, and as it was evaluated."""

    predicted: float
    """Fall of the loss that gradient and curvature predict."""
    found: float
    """Fall of the loss at the best of several lengths; negative where it rises at all of them."""
    length: float
    """Length of the move with that fall."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "predicted": finite(self.predicted),
            "found": finite(self.found),
            "length": finite(self.length),
        }


def dot(a: Tensor, b: Tensor) -> float:
    """aᵀb, summed in float64."""
    return float((a.double() @ b.double()).item())


def norm(a: Tensor) -> float:
    """‖a‖, summed in float64."""
    return math.sqrt(dot(a, a))


@dataclass(frozen=True)
class Point:
    """The loss at one vector, its gradient, and the gradient's graph for products with the Hessian."""

    loss: Loss
    x: Tensor
    """(P,)."""
    g: Tensor
    graph: Tensor
    leaf: Tensor
    value: float
    rounding: float
    """Change of the loss below which it is rounding."""
    once: str | None = None
    """Name of an operation in the loss that is marked as having no second derivative."""

    @classmethod
    def of(cls, loss: Loss, at: Tensor) -> Point:
        """The point of a loss at a vector of floats (P,).

        Raises SharpnessError for anything else, and for a loss that is no scalar.
        """
        import torch

        if at.ndim != 1 or at.numel() == 0 or not at.is_floating_point():
            raise SharpnessError(f"the vector is {at.dtype} {tuple(at.shape)}, expected floats (P,), P ≥ 1")
        leaf = at.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            value = loss(leaf)
            if value.numel() != 1:
                raise SharpnessError(f"the loss has shape {tuple(value.shape)}, expected a scalar")
            value = value.reshape(())
            graph = torch.zeros_like(leaf)
            if value.requires_grad:
                (graph,) = torch.autograd.grad(value, leaf, create_graph=True, materialize_grads=True)
        here = float(value.detach())
        last = ROUNDING * float(torch.finfo(value.dtype).eps) * abs(here)
        once = _differentiable_once(value)
        return cls(loss, leaf.detach(), graph.detach(), graph, leaf, here, last, once)

    def product(self, v: Tensor) -> Tensor:
        """The Hessian times v (P,)."""
        import torch

        if self.once is not None:  # torch itself would leave its part out, without a word
            raise RuntimeError(f"{self.once} is marked with @once_differentiable")
        if not self.graph.requires_grad:
            return torch.zeros_like(self.x)
        (hv,) = torch.autograd.grad(self.graph, self.leaf, v, retain_graph=True, materialize_grads=True)
        return hv

    def at(self, delta: Tensor) -> float:
        """The loss at x + δ."""
        import torch

        with torch.no_grad():
            return float(self.loss(self.x + delta))

    def step(self, curvature: float, reach: float) -> Fall:
        """The fall by Cauchy's step, to the lowest point of the quadratic along −g ≠ 0 within the reach."""
        gradient = norm(self.g)
        unit = self.g / gradient
        length = min(gradient / curvature, reach) if curvature > 0 else reach
        predicted = gradient * length - curvature * length**2 / 2
        shortest = max(LEAST * abs(self.value), self.rounding) / gradient
        return self._fall(lambda s: self.at(-s * unit), length, predicted, _halvings(length, shortest))

    def both_ways(self, v: Tensor, curvature: float, reach: float) -> Fall:
        """The fall along ±v of length 1, the mean of both ways, so that the slope has no part in it.

        Lengths go down to where the curvature itself promises a change of LEAST of the loss.
        """
        counts = max(LEAST * abs(self.value), self.rounding)
        shortest = math.sqrt(2 * counts / abs(curvature)) if curvature else reach
        predicted = -curvature * reach**2 / 2
        return self._fall(
            lambda s: (self.at(s * v) + self.at(-s * v)) / 2, reach, predicted, _halvings(reach, shortest)
        )

    def slope(self, towards: Tensor, *, curved: bool = True) -> Slope:
        """Slope and curvature along the line to another vector (P,); ``curved=False`` leaves that out."""
        way = towards.detach().to(self.x) - self.x
        distance = norm(way)
        if not (math.isfinite(distance) and distance > 0):
            return Slope(distance, None, None)
        unit = way / distance
        return Slope(distance, dot(self.g, unit), dot(unit, self.product(unit)) if curved else None)

    def _fall(self, move: Callable[[float], float], length: float, predicted: float, halvings: int) -> Fall:
        """The largest fall over ``halvings`` lengths of a move; ``move`` gives the loss at a length."""
        tried = [(self.value - move(length / 2**k), length / 2**k) for k in range(halvings)]
        best, where = max(((f, at) for f, at in tried if not math.isnan(f)), default=(-math.inf, length))
        return Fall(predicted, best, where)


def _differentiable_once(value: Tensor) -> str | None:
    """The first custom operation behind a value whose derivative is marked as having none of its own."""
    from torch.autograd.function import once_differentiable

    mark = once_differentiable(lambda ctx: None).__code__
    waiting, seen = [value.grad_fn], set[Any]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        made_by = getattr(node, "_forward_cls", None)
        if getattr(getattr(made_by, "backward", None), "__code__", None) is mark:
            return str(made_by.__name__)  # type: ignore[union-attr]
        waiting += [before for before, _ in node.next_functions]
    return None


def _halvings(length: float, shortest: float) -> int:
    """Number of lengths to try so that the last ones are shorter than any move that counts."""
    if not (0 < shortest < math.inf and length < math.inf):
        return HALVINGS
    return HALVINGS + max(0, math.ceil(math.log2(max(length / shortest, 1.0))))
