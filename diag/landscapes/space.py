"""The parameters that move, as one vector; and the paths from one such vector to another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from diag.subject import Parameters


@dataclass(frozen=True)
class Space:
    """Moving parameters side by side in one vector of P numbers; the others keep the values of ``fixed``."""

    shapes: Mapping[str, tuple[int, ...]]
    """Shapes of the moving parameters, in the vector's order."""
    fixed: Parameters

    @classmethod
    def of(cls, parameters: Parameters, moving: Sequence[str]) -> Space:
        """The space of the parameters named ``moving``, the rest held at their values in ``parameters``."""
        chosen = set(moving)
        shapes = {name: tuple(t.shape) for name, t in parameters.items() if name in chosen}
        return cls(shapes, {name: t for name, t in parameters.items() if name not in chosen})

    @property
    def size(self) -> int:
        """Number of moving parameters P."""
        return sum(self._sizes())

    def _sizes(self) -> list[int]:
        return [math.prod(shape) for shape in self.shapes.values()]

    def pack(self, parameters: Parameters) -> Tensor:
        """The vector (P,) of the moving parameters, in float32 or more: half precision has no fine steps."""
        parts = [parameters[name].reshape(-1) for name in self.shapes]
        return torch.cat([part.float() if part.element_size() < 4 else part for part in parts])

    def one(self, vector: Tensor) -> dict[str, Tensor]:
        """All parameters at a vector (P,); gradients reach the vector."""
        parts = torch.split(vector, self._sizes())
        moving = {n: p.reshape(shape) for (n, shape), p in zip(self.shapes.items(), parts, strict=True)}
        return {**self.fixed, **moving}

    def many(self, vectors: Tensor) -> dict[str, Tensor]:
        """All parameters at vectors (k, P), each with a leading axis of k."""
        k = len(vectors)
        parts = torch.split(vectors, self._sizes(), dim=1)
        moving = {n: p.reshape(k, *shape) for (n, shape), p in zip(self.shapes.items(), parts, strict=True)}
        return {**{n: t.expand(k, *t.shape) for n, t in self.fixed.items()}, **moving}


def between(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate (1 − t)·a + t·b; exactly a at 0 and b at 1, even where the other end is not finite."""
    return exact_ends(torch.lerp(a, b, t), a, b, t)


def exact_ends(points: Tensor, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Points between two ends, with a itself put at t = 0 and b itself at t = 1."""
    if not bool(((t == 0) | (t == 1)).any()):
        return points
    return torch.where(t == 0, a, torch.where(t == 1, b, points))


@dataclass(frozen=True)
class Straight:
    """The straight line (1 − t)·a + t·b, exactly a at 0 and b at 1, and beyond both."""

    a: Tensor
    b: Tensor

    def __call__(self, t: Tensor) -> Tensor:
        """The vectors (k, P) at t (k,)."""
        return between(self.a, self.b, t.to(self.a)[:, None])


@dataclass(frozen=True)
class Bezier:
    """The quadratic Bézier curve (1 − t)²·a + 2t(1 − t)·control + t²·b (Garipov et al., arXiv 1802.10026)."""

    a: Tensor
    control: Tensor
    b: Tensor

    def __call__(self, t: Tensor) -> Tensor:
        """The vectors (k, P) at t (k,); exactly a at 0 and b at 1."""
        t = t.to(self.a)[:, None]
        points = (1 - t) ** 2 * self.a + 2 * t * (1 - t) * self.control + t**2 * self.b
        return exact_ends(points, self.a, self.b, t)


@dataclass(frozen=True)
class Flat:
    """The plane origin + α·u + β·v, its coordinates (k, 2); exactly the origin at (0, 0)."""

    origin: Tensor
    u: Tensor
    v: Tensor

    def __call__(self, at: Tensor) -> Tensor:
        """The vectors (k, P) at coordinates (k, 2)."""
        at = at.to(self.origin)
        return torch.cat([torch.ones_like(at[:, :1]), at], 1) @ self._rows

    @cached_property
    def _rows(self) -> Tensor:
        return torch.stack([self.origin, self.u, self.v])


@dataclass(frozen=True)
class Through:
    """The plane (1 − α − β)·a + α·b + β·c, exactly a, b and c at its corners."""

    a: Tensor
    b: Tensor
    c: Tensor

    def __call__(self, at: Tensor) -> Tensor:
        """The vectors (k, P) at coordinates (k, 2)."""
        at = at.to(self.a)
        # One product, which is one pass over memory: term by term this took longer than a small net's losses.
        weights = torch.cat([1 - at.sum(1, keepdim=True), at], 1)
        if self._missing is None:
            return weights @ self._rows
        # A checkpoint of weight 0 contributes nothing, not even numbers that are not finite.
        points = weights @ torch.where(self._missing, 0, self._rows)
        reached = (weights != 0).to(points) @ self._missing.to(points) > 0
        return torch.where(reached, torch.nan, points)

    @cached_property
    def _missing(self) -> Tensor | None:
        missing = ~self._rows.isfinite()
        return missing if bool(missing.any()) else None

    @cached_property
    def _rows(self) -> Tensor:
        return torch.stack([self.a, self.b, self.c])
