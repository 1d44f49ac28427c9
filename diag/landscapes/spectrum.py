"""The Hessian's spectrum at a point: its two ends and its trace.

The ends come from Lanczos with full reorthogonalisation and a random start. It stops where both ends have a
small residual *relative to the largest curvature*, and not before so many products that an end which was
missed would be improbable. Both matter: at a trained minimum nearly all curvature is near 0, where a
residual relative to the small eigenvalue itself takes thousands of products, and where a small residual
alone says little, because some eigenvalue is always near.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from diag.landscapes.point import Point, dot, norm
from diag.result import finite
from diag.saved.typed import NOT_SAVED
from probes import Floats

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from diag.landscapes.point import Loss

RESIDUAL = 1e-3
"""Residual, relative to the largest curvature, up to which an end counts as converged: a tenth of what makes
a saddle, so that it cannot decide one."""

SPREAD, MISSED = 0.01, 0.01
"""Accuracy of Lanczos: with probability at most MISSED does the spectrum extend beyond the computed ends by
more than SPREAD of its width."""

PATIENCE = 2
"""Multiple of the promised number of products that Lanczos may take to meet RESIDUAL."""

CLOSED = 100
"""Length of a new direction, in units of rounding of the largest curvature met, below which it is
rounding."""

DENSE = 64
"""Most parameters for which the whole Hessian is computed: it then takes about as many products as
Lanczos."""

TRACE_DRAWS = 32
"""Number of Rademacher vectors of a trace: its standard error is then a sixth of the spread of one."""


@dataclass(frozen=True)
class End:
    """One end of the Hessian's spectrum."""

    value: float
    """λ, in loss per squared parameter; a Rayleigh quotient, so the true end is at least as far out."""
    residual: float
    """‖Hv − λv‖ / max |λ|, recomputed; an eigenvalue lies within that of λ. 0 where the Hessian is 0."""
    converged: bool
    """Whether the residual is at most RESIDUAL."""
    vector: Tensor | None = field(default=None, repr=False, compare=False, metadata=NOT_SAVED)
    """v (P,), of length 1; not part of the JSON."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "value": finite(self.value),
            "residual": finite(self.residual),
            "converged": self.converged,
        }


@dataclass(frozen=True)
class Ends:
    """Both ends of the Hessian's spectrum."""

    high: End
    low: End
    products: int
    """Number of Hessian-vector products taken, those of the residuals among them."""
    exact: bool
    """Whether the whole Hessian was computed (P ≤ DENSE)."""

    @property
    def size(self) -> float:
        """Largest curvature, max |λ|."""
        return max(abs(self.high.value), abs(self.low.value))

    @property
    def converged(self) -> bool:
        """Whether both ends are converged."""
        return self.high.converged and self.low.converged

    def to_tree(self) -> dict[str, Any]:
        return {
            "high": self.high.to_tree(),
            "low": self.low.to_tree(),
            "products": self.products,
            "exact": self.exact,
        }


@dataclass(frozen=True)
class Trace:
    """The sum of the Hessian's eigenvalues."""

    value: float
    error: float
    """Standard error; 0 where exact."""
    draws: int
    """Number of Rademacher vectors; 0 where exact."""

    def to_tree(self) -> dict[str, Any]:
        return {"value": finite(self.value), "error": finite(self.error), "draws": self.draws}


def ends(loss: Loss, at: Tensor, seed: int = 0) -> Ends:
    """The largest and the smallest eigenvalue of the Hessian of ``loss`` at the vector ``at`` (P,).

    For DENSE parameters or fewer the whole Hessian is computed. Otherwise memory is taken for twice the
    promised products, P numbers each. Values are NaN, and not converged, where a product is not finite. A
    loss that is linear, or that parameters do not reach, has curvature 0 there. Raises SharpnessError for
    what is no vector or no scalar; RuntimeError, torch's own, where there is no second derivative.
    """
    import torch

    point = Point.of(loss, at)
    return ends_at(point, whole_hessian(point), torch.Generator().manual_seed(seed))


def whole_hessian(point: Point) -> Floats | None:
    """The Hessian (P, P), made symmetric; None for more than DENSE parameters."""
    import torch

    if point.x.numel() > DENSE:
        return None
    rows = [point.product(e) for e in torch.eye(point.x.numel()).to(point.x)]
    h = torch.stack(rows).double().cpu().numpy()
    return np.asarray((h + h.T) / 2)


def ends_at(point: Point, hessian: Floats | None, random: Generator) -> Ends:
    """Both ends of the spectrum from the whole Hessian, or where that is None by Lanczos."""
    import torch

    size = point.x.numel()
    if hessian is not None:
        products = size
        pairs = _extremes(hessian) if np.isfinite(hessian).all() else None
        ritz = None if pairs is None else [(value, torch.from_numpy(v).to(point.x)) for value, v in pairs]
    else:
        least = promised(size)
        result = lanczos(point.product, normal(point.x, random), least, PATIENCE * least)
        products, ritz = result.products, result.ends
    if ritz is None:
        missing = End(math.nan, math.nan, False)
        return Ends(missing, missing, products, hessian is not None)
    top = max(abs(value) for value, _ in ritz)
    both = []
    for value, v in ritz:
        residual = norm(point.product(v) - value * v) / top if top > 0 else 0.0
        both.append(End(value, residual, residual <= RESIDUAL, v))
    return Ends(both[1], both[0], products + 2, hessian is not None)


def _extremes(symmetric: Floats) -> list[tuple[float, Floats]]:
    """The smallest and the largest eigenvalue with their vectors."""
    values, vectors = np.linalg.eigh(symmetric)
    return [(float(values[k]), np.ascontiguousarray(vectors[:, k])) for k in (0, -1)]


def promised(size: int) -> int:
    """Number of products after which Lanczos has missed more than SPREAD with probability at most MISSED.

    It follows from 1.648·√P·exp(−√ε·(2k − 1)) ≤ MISSED, ε = SPREAD, for any spectrum (Kuczyński and
    Woźniakowski 1992, SIAM J. Matrix Anal. Appl. 13, theorem 4.2, with the other end of the spectrum moved to
    0).
    """
    return math.ceil((math.log(1.648 * math.sqrt(size) / MISSED) / math.sqrt(SPREAD) + 1) / 2)


def normal(like: Tensor, random: Generator) -> Tensor:
    """Standard normal numbers (P,) like a vector, the same on every device."""
    import torch

    return torch.randn(like.numel(), generator=random).to(like)


@dataclass(frozen=True)
class Ritz:
    """The result of Lanczos: (λ, v) at the low and the high end, or None where a product was not finite."""

    ends: list[tuple[float, Tensor]] | None
    products: int


def lanczos(product: Callable[[Tensor], Tensor], start: Tensor, least: int, most: int) -> Ritz:
    """Run Lanczos from ``start`` (P,), every new direction made orthogonal to all before.

    Takes at least ``least`` products, then goes on to ``most`` or until both residuals are below
    RESIDUAL/2; ends early where the directions reached are closed under the product.
    """
    import torch

    most = min(most, start.numel())
    least = min(least, most)
    basis = torch.empty(most, start.numel(), dtype=start.dtype, device=start.device)
    eps = float(torch.finfo(start.dtype).eps)
    tri = np.zeros((most, most))
    q = start / norm(start)
    for k in range(most):
        basis[k] = q
        w = product(q)
        tri[k, k] = dot(w, q)
        if not math.isfinite(tri[k, k]):
            return Ritz(None, k + 1)
        before = norm(w)
        for _ in range(2):  # the second pass only where the first took most of w: twice is enough
            w = w - basis[: k + 1].T @ (basis[: k + 1] @ w)
            after = norm(w)
            if after > before / 2:
                break
            before = after
        closed = after <= CLOSED * eps * np.abs(tri).max()
        if closed or k + 1 >= least:
            values, vectors = np.linalg.eigh(tri[: k + 1, : k + 1])
            residual = after * np.abs(vectors[-1, [0, -1]]).max()
            if closed or k + 1 == most or residual <= RESIDUAL / 2 * np.abs(values[[0, -1]]).max():
                break
        tri[k, k + 1] = tri[k + 1, k] = after
        q = w / after
    both = []
    for end in (0, -1):
        v = torch.from_numpy(np.ascontiguousarray(vectors[:, end])).to(basis) @ basis[: k + 1]
        both.append((float(values[end]), v / norm(v)))
    return Ritz(both, k + 1)


def trace_at(point: Point, hessian: Floats | None, random: Generator) -> Trace:
    """The trace: exact from the whole Hessian, else Hutchinson's mean of zᵀHz over Rademacher z."""
    import torch

    if hessian is not None:
        return Trace(float(np.trace(hessian)), 0.0, 0)
    draws = []
    for _ in range(TRACE_DRAWS):
        z = torch.randint(2, (point.x.numel(),), generator=random).to(point.x) * 2 - 1
        draws.append(dot(z, point.product(z)))
    return Trace(float(np.mean(draws)), float(np.std(draws, ddof=1)) / math.sqrt(TRACE_DRAWS), TRACE_DRAWS)
