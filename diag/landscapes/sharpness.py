"""Sharpness of a loss at one vector θ (P,): gradient, curvature, rises nearby, and drift.

Measures that need a second derivative are left out, with the reason, where torch has none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diag.landscapes.balls import Ball, plain_ball, relative_ball
from diag.landscapes.drift import Drift, Walk, drift
from diag.landscapes.point import Fall, Point, SharpnessError, Slope, dot, norm
from diag.landscapes.spectrum import Ends, Trace, ends_at, trace_at, whole_hessian
from diag.result import finite

if TYPE_CHECKING:
    from torch import Tensor

    from diag.landscapes.point import Loss

REACH = 0.1
"""Distance within which plateaus, steps and saddles are judged, as a share of ‖θ‖. A tenth is a move that
fine-tuning makes. At a hundredth, curvature times ‖θ‖² would have to be 200 times the loss to change it by
1%, and well-conditioned small nets would all be on plateaus; at a tenth, twice the loss."""

RADIUS = 0.01
"""Radius of the ball in which rises are looked for, as a share of ‖θ‖: near the box of Keskar et al.
(10⁻³·(|θ|+1) for weights of about 0.1), far above rounding in float32, and where the loss is still close to
its quadratic."""


@dataclass(frozen=True)
class Sharpness:
    """The result of :func:`sharpness`; measures that something not finite made impossible are None."""

    loss: float
    scale: float
    """Size of the loss that its changes are compared with; ≥ 0."""
    rounding: float
    """Change of the loss below which it is rounding."""
    parameters: int
    """Number of parameters P."""
    norm: float
    """‖θ‖."""
    reach: float
    """Longest move of ``step`` and ``escape``: REACH·‖θ‖ (REACH itself where θ is 0)."""
    gradient: float
    """‖g‖."""
    seed: int
    gradient_curvature: float | None = None
    """gᵀHg / ‖g‖²; None where there is no gradient."""
    step: Fall | None = None
    """The fall down the gradient, to the lowest point of the quadratic along it but no farther than reach."""
    ends: Ends | None = None
    escape: Fall | None = None
    """The fall along the most negative curvature, the mean of both ways, so that the slope has no part in it;
    None where no curvature is negative."""
    trace: Trace | None = None
    ball: Ball | None = None
    """The largest rise over ‖δ‖ ≤ ρ‖θ‖ (Keskar et al., arXiv 1609.04836, there a box)."""
    adaptive: Ball | None = None
    """The largest rise over ‖δ/|θ|‖ ≤ ρ√P: in root mean square each parameter moves by ρ of itself (Kwon et
    al., arXiv 2102.11600, with their η at 0: a parameter of 0 has no size and stays)."""
    towards: Slope | None = None
    drift: Drift | None = None
    reason: str | None = None
    """The reason why curvature, and all that is made with it, is missing, in words."""

    def relative(self, change: float) -> float | None:
        """A change of the loss as a share of the scale; None where that is 0 or it is not finite."""
        return finite(change / self.scale) if self.scale > 0 else None

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON: None for numbers that are not finite and measures that were not taken."""
        parts: Mapping[str, Any] = {
            "step": self.step,
            "ends": self.ends,
            "escape": self.escape,
            "trace": self.trace,
            "ball": self.ball,
            "adaptive": self.adaptive,
            "towards": self.towards,
            "drift": self.drift,
        }
        return {
            "loss": finite(self.loss),
            "scale": finite(self.scale),
            "parameters": self.parameters,
            "norm": finite(self.norm),
            "reach": finite(self.reach),
            "gradient": {"norm": finite(self.gradient), "curvature": finite(self.gradient_curvature)},
            **{name: None if part is None else part.to_tree() for name, part in parts.items()},
            "reason": self.reason,
            "seed": self.seed,
        }


def sharpness(
    loss: Loss,
    at: Tensor,
    towards: Tensor | None = None,
    walk: Walk | None = None,
    *,
    scale: float | None = None,
    seed: int = 0,
) -> Sharpness:
    """Gradient, curvature and the largest nearby rise of ``loss`` at the vector ``at`` (P,).

    ``towards`` (P,) asks for the slope towards another vector; ``walk``, training that went on from here,
    for the :class:`~diag.landscapes.drift.Drift`. Changes are compared with ``scale``, which is |L| unless
    given (give it where terms of either sign make L small by cancelling). Everything random comes from
    ``seed``. A loss or a gradient that is not finite ends it: the rest is None. Where an operation in the
    loss has a gradient but no second one, what needs none is taken, and ``reason`` says so.
    Raises SharpnessError for wrong shapes and a scale that is not a finite number from 0; RuntimeError,
    torch's own, where an operation in the loss has no gradient.
    """

    if towards is not None and towards.shape != at.shape:
        raise SharpnessError(f"towards has shape {tuple(towards.shape)} beside a vector {tuple(at.shape)}")
    if walk is not None and walk.early.shape[1:] != at.shape:
        raise SharpnessError(f"a walk of shape {tuple(walk.early.shape)} beside a vector {tuple(at.shape)}")
    if scale is not None and not (math.isfinite(scale) and scale >= 0):
        raise SharpnessError(f"scale is {scale}, expected a number from 0")
    point = Point.of(loss, at)
    length = norm(point.x)
    gradient = norm(point.g)
    unit = length or 1.0
    reach = REACH * unit
    known: dict[str, Any] = {
        "loss": point.value,
        "scale": abs(point.value) if scale is None else scale,
        "rounding": point.rounding,
        "parameters": point.x.numel(),
        "norm": length,
        "reach": reach,
        "gradient": gradient,
        "seed": seed,
    }
    if not (math.isfinite(point.value) and math.isfinite(gradient) and math.isfinite(length)):
        return Sharpness(**known)
    if walk is not None:
        early, late = walk.early.to(point.x), walk.late.to(point.x)
        known["drift"] = drift(loss, early, late, walk.updates, scale=known["scale"])
    try:
        return Sharpness(**known, **_curved(point, gradient, unit, reach, towards, seed))
    except RuntimeError as error:
        known["reason"] = second_derivative_in_words(error)
    if gradient > 0:  # without curvature: a step of full reach, whose predicted fall takes the loss as linear
        known["step"] = point.step(0.0, reach)
    if towards is not None:
        known["towards"] = point.slope(towards, curved=False)
    return Sharpness(**known)


def second_derivative_in_words(error: RuntimeError) -> str:
    """The reason why torch could not differentiate twice, in one line."""
    first = str(error).strip().partition("\n")[0].strip()
    operation = re.search(r"(?:derivative for|formula for) '?((?:aten::)?\w+)'?", first)
    if operation is not None:
        return f"torch has no second derivative of {operation.group(1)}, which the losses use"
    if "once_differentiable" in first:
        name = first.partition(" is marked")[0] if " is marked" in first else "an operation"
        return f"{name} can be differentiated once only, and the losses use it"
    return f"torch could not differentiate the losses twice ({first})"


def _curved(
    point: Point, gradient: float, unit: float, reach: float, towards: Tensor | None, seed: int
) -> dict[str, Any]:
    """The measures that need products with the Hessian, by their names in :class:`Sharpness`."""
    import torch

    random = torch.Generator().manual_seed(seed)
    known: dict[str, Any] = {}
    if gradient > 0:
        down = point.g / gradient
        bend = dot(down, point.product(down))
        known |= {"gradient_curvature": bend, "step": point.step(bend, reach)}
    hessian = whole_hessian(point)
    ends = ends_at(point, hessian, random)
    low, high = ends.low, ends.high
    known |= {"ends": ends, "trace": trace_at(point, hessian, random)}
    if low.vector is not None and low.value < 0:
        known["escape"] = point.both_ways(low.vector, low.value, reach)
    if high.vector is not None:
        known["ball"] = plain_ball(point, RADIUS * unit, high.vector)
        known["adaptive"] = relative_ball(point, RADIUS * math.sqrt(point.x.numel()), random)
    if towards is not None:
        known["towards"] = point.slope(towards)
    return known
