"""Where a checkpoint sits in its loss: a minimum, a saddle, a plateau, or still descending.

All of it works on one vector θ (P,) of the moving parameters and a loss L(θ) that torch can
differentiate twice. The gradient is taken once with its graph; every Hessian-vector product is one more
backward pass through that graph. Nothing here imports torch before it is called, so that what shows a
result can do without.

The ends of the spectrum come from Lanczos with full reorthogonalisation and a random start. It stops
where both ends have a small residual *relative to the largest curvature*, and not before so many
products that an end which was missed would be improbable (Kuczyński and Woźniakowski 1992, theorem 4.2).
Both matter: at a trained minimum nearly all curvature is near 0, where a residual relative to the small
eigenvalue itself takes thousands of products, and where a small residual alone says little, because some
eigenvalue is always near.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from diag.result import finite
from probes import Measure

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Loss: TypeAlias = Callable[[Tensor], Tensor]
    """From a vector (P,) to a scalar tensor."""

Floats: TypeAlias = NDArray[np.float64]
Kind = Literal["minimum", "saddle", "plateau", "descending", "unclear"]

COUNTS = 0.01
"""Share of the loss that a change must exceed to count: 1%, less than the standard error of a loss over a
thousand samples that spread as far as their mean (3%), so that no smaller change could be told from luck."""

UPDATES = 1000
"""Updates over which a drift is judged: long beside an optimiser's memory (10 to 1,000 updates), short
beside a training of tens of thousands."""

REACH = 0.1
"""How far plateaus, steps and saddles are judged, as a share of ‖θ‖. A tenth is a move that fine-tuning
makes. At a hundredth, curvature times ‖θ‖² would have to be 200 times the loss to change it by 1%, and
well-conditioned small nets would all be on plateaus; at a tenth, twice the loss."""

NEGATIVE = 0.01
"""Share of the largest curvature that negative curvature must exceed to be a saddle's. Minima of trained
nets keep a tail of small negative eigenvalues (Sagun et al., arXiv 1706.04454), here some 0.2% of it."""

RADIUS = 0.01
"""The ball of the sharpness as a share of ‖θ‖: near the box of Keskar et al. (10⁻³·(|θ|+1) for weights
of about 0.1), far above rounding in float32, and where the loss is still close to its quadratic."""

RESIDUAL = 1e-3
"""Residual, relative to the largest curvature, up to which an end counts as converged: a tenth of NEGATIVE,
so that it cannot decide a saddle."""

SPREAD, MISSED = 0.01, 0.01
"""Lanczos takes so many products that, with at most this probability (MISSED), the spectrum goes on beyond
the ends found by more than this share of its spread (SPREAD)."""

PATIENCE = 2
"""How many times the promised number of products Lanczos may take to meet RESIDUAL."""

CLOSED = 100
"""Units of rounding, relative to the largest curvature met, below which a new direction is rounding."""

DENSE = 64
"""Parameters up to which the whole Hessian is computed: about what Lanczos would take in products."""

TRACE_DRAWS = 32
"""Rademacher vectors of a trace: its standard error is then a sixth of the spread of one."""

ASCENT_STEPS = 20
"""Evaluations per start of an ascent, three starts in all. With a convex loss a few suffice; where it bends
down and the highest point lies inside, 20 come within 1% at a condition number of 5."""

SCALED_PRODUCTS = 12
"""Products to find where the scaled curvature is largest, for the adaptive ball's start: a direction within
a few percent of the top is enough, since the ascent goes on from there."""

HALVINGS = 6
"""How often a step is halved to see whether a shorter one lowers the loss: down to 1/32 of its length."""

MIN_DRAWS = 4
"""Displacements below which a drift has no interval worth the name."""

LEVEL = 0.95
"""Of the intervals."""

NOTHING = 1e-6
"""Share of the largest curvature below which an end is shown as 0: what float32 can tell."""

ROUNDING = 8
"""Units in the last place of the loss that a change must exceed to be more than rounding."""


class SharpnessError(ValueError):
    """A vector, a number of draws or a size that no sharpness can be taken with."""


@dataclass(frozen=True)
class End:
    """One end of the Hessian's spectrum."""

    value: float
    """λ, in loss per squared parameter; a Rayleigh quotient, so the true end is at least as far out."""
    residual: float
    """‖Hv − λv‖ / max |λ|, recomputed; an eigenvalue lies within that of λ. 0 where the Hessian is 0."""
    converged: bool
    """Whether the residual is at most RESIDUAL."""
    vector: Tensor | None = field(default=None, repr=False, compare=False)
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
    """Hessian-vector products taken, those of the residuals among them."""
    exact: bool
    """Whether the whole Hessian was computed (P ≤ DENSE)."""

    @property
    def size(self) -> float:
        """max |λ|."""
        return max(abs(self.high.value), abs(self.low.value))

    @property
    def converged(self) -> bool:
        """Whether both are."""
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
    """Rademacher vectors; 0 where exact."""

    def to_tree(self) -> dict[str, Any]:
        return {"value": finite(self.value), "error": finite(self.error), "draws": self.draws}


@dataclass(frozen=True)
class Slope:
    """The loss along one line through the point."""

    distance: float
    """How far away the other vector is."""
    slope: float | None
    """gᵀu, loss per unit of length, u towards it; None at distance 0."""
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
    """What a move promises by gradient and curvature, and what the loss then does."""

    predicted: float
    """By how much gradient and curvature say that the loss falls."""
    found: float
    """By how much it falls, at the best of HALVINGS lengths; negative where it rises at all of them."""
    length: float
    """The length at which it was found."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "predicted": finite(self.predicted),
            "found": finite(self.found),
            "length": finite(self.length),
        }


@dataclass(frozen=True)
class Ball:
    """The largest rise of the loss found in a ball: at most the true one."""

    rise: float
    """0 where nothing higher was found."""
    radius: float
    """In the ball's own norm."""
    evaluations: int
    """Of the loss with its gradient."""
    finite: bool
    """Whether every loss met was a number; where not, the rise is of those that were."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "rise": finite(self.rise),
            "radius": finite(self.radius),
            "evaluations": self.evaluations,
            "finite": self.finite,
        }


@dataclass(frozen=True)
class Drift:
    """What the optimiser's own updates do to the loss here.

    Changes are shares of the scale (or the loss's own units where that is 0), over UPDATES updates.
    """

    share: Measure
    """‖E d‖² / E‖d‖², unbiased: the share of a displacement d that is the same in every draw. 0 for noise."""
    linear: Measure
    """UPDATES·gᵀd̄: the slope along the mean displacement alone; the interval is exact for normal draws."""
    change: Measure
    """The same with curvature: the expected change of one update, gᵀd + ½dᵀHd (its second part is what the
    noise of the updates costs), times the updates for which the mean displacement pays off. The interval
    takes both at their 95% ends."""
    settles: float | None
    """Updates after which the curvature along the mean displacement has used up its slope, where that
    curvature is above 0 with its whole interval; None where it never does."""
    draws: int
    relative: bool
    """Whether the changes are shares of the scale."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "share": _measure(self.share),
            "linear": _measure(self.linear),
            "change": _measure(self.change),
            "settles": finite(self.settles),
            "updates": UPDATES,
            "draws": self.draws,
            "relative": self.relative,
        }


@dataclass(frozen=True)
class Sharpness:
    """The result of :func:`sharpness`; what could not be taken because something was not finite is None."""

    loss: float
    scale: float
    """What changes of the loss are compared with; ≥ 0."""
    rounding: float
    """Below this a change of the loss is rounding."""
    parameters: int
    """P."""
    norm: float
    """‖θ‖."""
    reach: float
    """How far ``step`` and ``escape`` go and ``place`` looks: REACH·‖θ‖ (REACH itself where θ is 0)."""
    gradient: float
    """‖g‖."""
    gradient_curvature: float | None
    """gᵀHg / ‖g‖²; None where there is no gradient."""
    step: Fall | None
    """Down the gradient, to the lowest point of the quadratic along it or, if nearer, to the reach."""
    ends: Ends | None
    escape: Fall | None
    """Along the most negative curvature, the mean of both ways, so that the slope has no part in it; None
    where no curvature is negative."""
    trace: Trace | None
    ball: Ball | None
    """‖δ‖ ≤ ρ‖θ‖ (Keskar et al., arXiv 1609.04836, there a box)."""
    adaptive: Ball | None
    """‖δ/|θ|‖ ≤ ρ√P: in root mean square each parameter moves by ρ of itself (Kwon et al., arXiv 2102.11600,
    with their η at 0: a parameter of 0 has no size and stays)."""
    towards: Slope | None
    drift: Drift | None
    seed: int

    def relative(self, change: float) -> float | None:
        """A change of the loss as a share of the scale; None where that is 0 or it is not finite."""
        return finite(change / self.scale) if self.scale > 0 else None

    def to_tree(self) -> dict[str, Any]:
        """Plain values; None for what is not finite or was not taken."""
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
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Place:
    """Where a checkpoint sits, in one word and one sentence."""

    kind: Kind
    summary: str

    def to_tree(self) -> dict[str, Any]:
        return {"kind": self.kind, "summary": self.summary}


def sharpness(
    loss: Loss,
    at: Tensor,
    towards: Tensor | None = None,
    displacements: Tensor | None = None,
    *,
    scale: float | None = None,
    radius: float = RADIUS,
    seed: int = 0,
) -> Sharpness:
    """Gradient, curvature and the largest nearby rise of ``loss`` at the vector ``at`` (P,).

    ``towards`` (P,) asks for the slope towards another vector; ``displacements`` (m, P), what one update
    of the optimiser adds for m independent batches, for the :class:`Drift`. Changes are compared with
    ``scale``, which is |L| unless given (give it where terms of either sign make L small by cancelling).
    ``radius`` is that of the balls, relative to the parameters. Everything random comes from ``seed``.
    A loss or a gradient that is not finite ends it: the rest is None.
    Raises SharpnessError for wrong shapes, fewer than MIN_DRAWS displacements, and a scale or radius that
    is not a finite number above 0 (the scale may be 0); RuntimeError, torch's own, where an operation in
    the loss has a gradient but no second one.
    """
    import torch

    if towards is not None:
        _fits("towards", towards, at, 1)
    if displacements is not None:
        _fits("displacements", displacements, at, 2)
    if not (math.isfinite(radius) and radius > 0):
        raise SharpnessError(f"radius is {radius}, expected a number above 0")
    point = _Point.of(loss, at, scale)
    norm = _norm(point.x)
    length = norm or 1.0
    gradient = _norm(point.g)
    result: dict[str, Any] = {
        "loss": point.value,
        "scale": point.scale,
        "rounding": point.rounding,
        "parameters": point.x.numel(),
        "norm": norm,
        "reach": REACH * length,
        "gradient": gradient,
        "seed": seed,
    }
    rest = ("gradient_curvature", "step", "ends", "escape", "trace", "ball", "adaptive", "towards", "drift")
    result |= dict.fromkeys(rest)
    if not (math.isfinite(point.value) and math.isfinite(gradient) and math.isfinite(norm)):
        return Sharpness(**result)
    random = torch.Generator().manual_seed(seed)
    if gradient > 0:
        unit = point.g / gradient
        bend = _dot(unit, point.product(unit))
        result |= {"gradient_curvature": bend, "step": _step(point, unit, gradient, bend, REACH * length)}
    hessian = _dense(point) if point.x.numel() <= DENSE else None
    found = _ends(point, hessian, random)
    result |= {"ends": found, "escape": _escape(point, found, REACH * length)}
    result["trace"] = _trace(point, hessian, random)
    if found.high.vector is not None:
        result["ball"] = _ball(point, None, radius * length, found.high.vector)
        sizes = point.x.abs()
        start = _scaled_top(point, sizes, random)
        result["adaptive"] = _ball(point, sizes, radius * math.sqrt(point.x.numel()), start)
    if towards is not None:
        result["towards"] = _slope(point, towards)
    if displacements is not None:
        result["drift"] = _drift(point, displacements)
    return Sharpness(**result)


def ends(loss: Loss, at: Tensor, seed: int = 0, *, least: int | None = None) -> Ends:
    """The largest and the smallest eigenvalue of the Hessian of ``loss`` at the vector ``at`` (P,).

    Takes at least ``least`` products, which is what MISSED and SPREAD ask for unless given: with 1, the
    residuals alone decide, and a low end near 0 may hide one below it. DENSE parameters or fewer are
    taken whole. Room is taken for twice the products asked for, of P numbers each. Values are NaN, and not
    converged, where a product is not finite. A loss that is linear, or that parameters do not reach, has
    curvature 0 there. Raises RuntimeError, torch's own, where there is no second derivative.
    """
    import torch

    point = _Point.of(loss, at, None)
    hessian = _dense(point) if point.x.numel() <= DENSE else None
    return _ends(point, hessian, torch.Generator().manual_seed(seed), least)


def drift(loss: Loss, vector: Tensor, displacements: Tensor, *, scale: float | None = None) -> Drift:
    """What updates of the optimiser do to ``loss`` at ``vector`` (P,), from ``displacements`` (m, P).

    Each is what one update would add, from a batch of its own. What draws share beside their batches (the
    momentum of the optimiser at this moment) counts as signal: draw it afresh where that matters.
    Raises SharpnessError for fewer than MIN_DRAWS displacements or wrong shapes.
    """
    _fits("displacements", displacements, vector, 2)
    return _drift(_Point.of(loss, vector, scale), displacements)


def place(found: Sharpness) -> Place:
    """Where the checkpoint sits. A change counts above COUNTS of the scale, and above rounding.

    In this order:

    - **unclear** where the loss or its gradient is not finite;
    - **descending** where the drift predicts a fall that counts, with its whole interval; without a drift,
      where the gradient's own step within the reach both promises and makes one (a single step: creeping
      along a ravine is not seen, nor taken for more than it is);
    - **plateau** where neither gradient nor curvature could change the loss by what counts within the reach;
    - **unclear** where the drift's interval has room for a descent and the gradient's step makes one;
    - **saddle** where curvature is negative beyond NEGATIVE of the largest and its residual, and going both
      ways along it lowers the loss, on average, by what counts within the reach;
    - **unclear** where an end of the spectrum did not converge;
    - **minimum** otherwise. With a drift it may be that of a training at rest in its own noise, above what
      the gradient on these samples could still reach; the sentence says so.
    """
    if not (math.isfinite(found.loss) and math.isfinite(found.gradient)) or found.ends is None:
        return Place("unclear", f"Unclear: the loss ({found.loss:.3g}) or its gradient is not finite.")
    ends, moving = found.ends, found.drift
    counts = max(COUNTS * found.scale, found.rounding)
    stepped = found.step is not None and min(found.step.predicted, found.step.found) > counts
    if moving is not None and _beyond(moving, counts, found.scale):
        return Place(
            "descending",
            f"Still descending: the optimiser's mean displacement predicts {_interval(moving)} "
            f"over the next {UPDATES:,} updates.",
        )
    if moving is None and found.step is not None and stepped:
        return Place(
            "descending",
            f"Still descending: a step down the gradient {_lowers(found.step, found)}.",
        )
    if not math.isfinite(ends.size):
        return Place("unclear", "Unclear: the curvature is not finite here.")
    most = found.gradient * found.reach + ends.size * found.reach**2 / 2
    if most <= counts and ends.converged:
        return Place(
            "plateau",
            f"A plateau: over {_part(found.reach, found)}, gradient and curvature change the loss "
            f"of {found.loss:.3g} by {_share(most, found)} at most.",
        )
    if moving is not None and stepped and _within(moving, counts, found.scale):
        return Place(
            "unclear",
            f"Unclear: the optimiser's mean displacement predicts {_interval(moving)} over the next "
            f"{UPDATES:,} updates, which may or may not be a descent.",
        )
    low, high = (end.value if abs(end.value) > NOTHING * ends.size else 0.0 for end in (ends.low, ends.high))
    span = f"curvature runs from {low:.3g} to {high:.3g}"
    negative = ends.low.value + ends.low.residual * ends.size < -NEGATIVE * ends.size
    if negative and found.escape is not None and found.escape.found > counts:
        return Place("saddle", f"A saddle: {span}; moving along its low end {_lowers(found.escape, found)}.")
    if not ends.converged:
        worst = max(ends.high.residual, ends.low.residual)
        return Place(
            "unclear",
            f"Unclear: after {ends.products} products the ends of the curvature have a residual of "
            f"{worst:.2g}, above {RESIDUAL:g}.",
        )
    parts = [f"A minimum: {span}"]
    if low < 0:
        parts[0] += ", not negative enough to leave by"
    if found.step is None or found.step.found <= found.rounding:
        parts.append("no step down the gradient lowers the loss")
    else:
        parts.append(f"a step down the gradient {_lowers(found.step, found)}")
    if moving is not None:
        parts.append(f"the optimiser predicts {_interval(moving)} over {UPDATES:,} updates")
    return Place("minimum", "; ".join(parts) + ".")


def _fits(name: str, other: Tensor, vector: Tensor, axes: int) -> None:
    if other.ndim != axes or other.shape[-1:] != vector.shape:
        raise SharpnessError(f"{name} has shape {tuple(other.shape)} beside a vector {tuple(vector.shape)}")


def _beyond(moving: Drift, counts: float, scale: float) -> bool:
    """Whether the predicted fall counts with its whole interval."""
    high, low = moving.change.high, moving.change.low
    return high is not None and low is not None and high < -(counts / scale if moving.relative else counts)


def _within(moving: Drift, counts: float, scale: float) -> bool:
    """Whether a fall that counts lies in the predicted interval (or none could be made)."""
    low = moving.change.low
    return low is None or low < -(counts / scale if moving.relative else counts)


def _interval(moving: Drift) -> str:
    change = moving.change
    if change.value is None or change.low is None or change.high is None:
        return "nothing"
    if moving.relative:
        value, low, high = (_percent(x, "+") for x in (change.value, change.low, change.high))
        return f"{value} [{low}, {high}] of the loss"
    return f"{change.value:+.3g} [{change.low:+.3g}, {change.high:+.3g}] in the loss"


def _share(change: float, found: Sharpness) -> str:
    relative = found.relative(change)
    return f"{change:.2g}" if relative is None else _percent(relative)


def _percent(share: float, sign: str = "") -> str:
    return f"{share:{sign}.1%}" if abs(share) >= COUNTS / 10 else f"{100 * share:{sign}.1g}%"


def _part(length: float, found: Sharpness) -> str:
    """A length in words."""
    return (
        f"{length / found.norm:.2g} of the parameters' length"
        if found.norm > 0
        else f"a length of {length:.2g}"
    )


def _lowers(fall: Fall, found: Sharpness) -> str:
    by = f"the loss of {found.loss:.3g} by {_share(fall.found, found)}"
    return f"lowers {by} over {_part(fall.length, found)}"


def _measure(measure: Measure) -> dict[str, Any]:
    tree = {"value": finite(measure.value), "low": finite(measure.low), "high": finite(measure.high)}
    return tree if measure.reason is None else {**tree, "reason": measure.reason}


def _dot(a: Tensor, b: Tensor) -> float:
    """Summed in float64."""
    return float((a.double() @ b.double()).item())


def _norm(a: Tensor) -> float:
    return math.sqrt(_dot(a, a))


@dataclass(frozen=True)
class _Point:
    """The loss at one vector, its gradient, and the gradient's graph for products with the Hessian."""

    loss: Loss
    x: Tensor
    g: Tensor
    graph: Tensor
    leaf: Tensor
    value: float
    scale: float
    rounding: float

    @classmethod
    def of(cls, loss: Loss, at: Tensor, scale: float | None) -> _Point:
        import torch

        if at.ndim != 1 or at.numel() == 0 or not at.is_floating_point():
            raise SharpnessError(f"the vector is {at.dtype} {tuple(at.shape)}, expected floats (P,), P ≥ 1")
        if scale is not None and not (math.isfinite(scale) and scale >= 0):
            raise SharpnessError(f"scale is {scale}, expected a number from 0")
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
        size = abs(here) if scale is None else scale
        last = ROUNDING * float(torch.finfo(value.dtype).eps) * abs(here)
        return cls(loss, leaf.detach(), graph.detach(), graph, leaf, here, size, last)

    def product(self, v: Tensor) -> Tensor:
        """The Hessian times v (P,)."""
        import torch

        if not self.graph.requires_grad:
            return torch.zeros_like(self.x)
        (hv,) = torch.autograd.grad(self.graph, self.leaf, v, retain_graph=True, materialize_grads=True)
        return hv

    def at(self, delta: Tensor) -> float:
        """The loss at x + δ."""
        import torch

        with torch.no_grad():
            return float(self.loss(self.x + delta))

    def fall(self, move: Callable[[float], float], length: float, predicted: float) -> Fall:
        """The best of HALVINGS lengths of a move, which gives the loss at a length."""
        tried = [(self.value - move(length / 2**k), length / 2**k) for k in range(HALVINGS)]
        best, where = max(((f, at) for f, at in tried if not math.isnan(f)), default=(-math.inf, length))
        return Fall(predicted, best, where)


def _step(point: _Point, unit: Tensor, gradient: float, bend: float, reach: float) -> Fall:
    """Cauchy's step: to the lowest point of the quadratic along −g, within the reach."""
    length = min(gradient / bend, reach) if bend > 0 else reach
    predicted = gradient * length - bend * length**2 / 2
    return point.fall(lambda s: point.at(-s * unit), length, predicted)


def _escape(point: _Point, found: Ends, reach: float) -> Fall | None:
    v = found.low.vector
    if v is None or not found.low.value < 0:
        return None

    def both(s: float) -> float:
        return (point.at(s * v) + point.at(-s * v)) / 2

    return point.fall(both, reach, -found.low.value * reach**2 / 2)


def _dense(point: _Point) -> Floats:
    """The Hessian (P, P), made symmetric."""
    import torch

    rows = [point.product(e) for e in torch.eye(point.x.numel()).to(point.x)]
    h = torch.stack(rows).double().cpu().numpy()
    return np.asarray((h + h.T) / 2)


def _ends(point: _Point, hessian: Floats | None, random: Generator, least: int | None = None) -> Ends:
    import torch

    size = point.x.numel()
    if hessian is not None:
        products = size
        pairs = _extremes(hessian) if np.isfinite(hessian).all() else None
        ritz = None if pairs is None else [(value, torch.from_numpy(v).to(point.x)) for value, v in pairs]
    else:
        promised = _promised(size)
        least = promised if least is None else least
        most = PATIENCE * max(promised, least)
        found = _lanczos(point.product, _normal(point.x, random), least, most)
        products, ritz = found.products, found.ends
    if ritz is None:
        missing = End(math.nan, math.nan, False)
        return Ends(missing, missing, products, hessian is not None)
    top = max(abs(value) for value, _ in ritz)
    both = []
    for value, v in ritz:
        residual = _norm(point.product(v) - value * v) / top if top > 0 else 0.0
        both.append(End(value, residual, residual <= RESIDUAL, v))
    return Ends(both[1], both[0], products + 2, hessian is not None)


def _extremes(symmetric: Floats) -> list[tuple[float, Floats]]:
    """The smallest and the largest eigenvalue with their vectors."""
    values, vectors = np.linalg.eigh(symmetric)
    return [(float(values[k]), np.ascontiguousarray(vectors[:, k])) for k in (0, -1)]


def _promised(size: int) -> int:
    """Products after which Lanczos has missed more than SPREAD with at most the probability MISSED.

    From 1.648·√P·exp(−√ε·(2k − 1)) ≤ MISSED, ε = SPREAD, for any spectrum (Kuczyński and Woźniakowski 1992,
    SIAM J. Matrix Anal. Appl. 13, theorem 4.2, with the other end of the spectrum moved to 0).
    """
    return math.ceil((math.log(1.648 * math.sqrt(size) / MISSED) / math.sqrt(SPREAD) + 1) / 2)


@dataclass(frozen=True)
class _Ritz:
    """What Lanczos found: (λ, v) at the low and at the high end, or None where a product was not finite."""

    ends: list[tuple[float, Tensor]] | None
    products: int


def _lanczos(product: Callable[[Tensor], Tensor], start: Tensor, least: int, most: int) -> _Ritz:
    """Lanczos from ``start`` (P,), every new direction made orthogonal to all before.

    Takes at least ``least`` products, then goes on to ``most`` or until both residuals are below
    RESIDUAL/2; ends early where the directions reached are closed under the product.
    """
    import torch

    most = min(most, start.numel())
    least = min(least, most)
    basis = torch.empty(most, start.numel(), dtype=start.dtype, device=start.device)
    eps = float(torch.finfo(start.dtype).eps)
    tri = np.zeros((most, most))
    q = start / _norm(start)
    for k in range(most):
        basis[k] = q
        w = product(q)
        tri[k, k] = _dot(w, q)
        if not math.isfinite(tri[k, k]):
            return _Ritz(None, k + 1)
        before = _norm(w)
        for _ in range(2):  # the second pass only where the first took most of w: twice is enough
            w = w - basis[: k + 1].T @ (basis[: k + 1] @ w)
            after = _norm(w)
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
        both.append((float(values[end]), v / _norm(v)))
    return _Ritz(both, k + 1)


def _trace(point: _Point, hessian: Floats | None, random: Generator) -> Trace:
    """Exact from the whole Hessian, else Hutchinson's mean of zᵀHz over Rademacher z."""
    import torch

    if hessian is not None:
        return Trace(float(np.trace(hessian)), 0.0, 0)
    draws = []
    for _ in range(TRACE_DRAWS):
        z = torch.randint(2, (point.x.numel(),), generator=random).to(point.x) * 2 - 1
        draws.append(_dot(z, point.product(z)))
    return Trace(float(np.mean(draws)), float(np.std(draws, ddof=1)) / math.sqrt(TRACE_DRAWS), TRACE_DRAWS)


def _normal(like: Tensor, random: Generator) -> Tensor:
    """Standard normal, the same on every device."""
    import torch

    return torch.randn(like.numel(), generator=random).to(like)


def _scaled_top(point: _Point, sizes: Tensor, random: Generator) -> Tensor:
    """About the direction u in which the curvature along |θ|·u is largest (P,)."""
    found = _lanczos(
        lambda u: sizes * point.product(sizes * u),
        _normal(point.x, random),
        SCALED_PRODUCTS,
        SCALED_PRODUCTS,
    )
    return _normal(point.x, random) if found.ends is None else found.ends[1][1]


def _ball(point: _Point, sizes: Tensor | None, radius: float, top: Tensor) -> Ball:
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
        if math.isfinite(here) and math.isfinite(_norm(slope)):
            return here, slope
        sound = False
        return -math.inf, slope

    def projected(u: Tensor) -> Tensor:
        length = _norm(u)
        return u * (radius / length) if length > radius else u

    best = point.value
    first = point.g if sizes is None else point.g * sizes
    for start in (first, top, -top):
        length = _norm(start)
        if not length > 0:
            continue
        u = start * (radius / length)
        value, slope = climb(u)
        reach = 4.0
        for _ in range(ASCENT_STEPS - 1):
            if math.isinf(value):  # back towards the point, where the loss is a number
                u = u / 2
                value, slope = climb(u)
                continue
            steep = _norm(slope)
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


def _slope(point: _Point, towards: Tensor) -> Slope:
    way = towards.detach().to(point.x) - point.x
    distance = _norm(way)
    if not (math.isfinite(distance) and distance > 0):
        return Slope(distance, None, None)
    unit = way / distance
    return Slope(distance, _dot(point.g, unit), _dot(unit, point.product(unit)))


def _drift(point: _Point, displacements: Tensor) -> Drift:
    """Means over draws, and means over pairs of different draws, which noise does not bias."""
    import torch

    m = len(displacements)
    if m < MIN_DRAWS:
        raise SharpnessError(f"{m} displacements, expected at least {MIN_DRAWS}")
    moves = displacements.detach().to(point.x)
    bent = torch.stack([point.product(d) for d in moves]).double()
    moves = moves.double()
    slopes = (moves @ point.g.double()).cpu().numpy()
    bends = (moves @ bent.T).cpu().numpy()
    inner = (moves @ moves.T).cpu().numpy()
    relative = point.scale > 0
    if not all(np.isfinite(a).all() for a in (slopes, bends, inner, point.value)):
        missing = Measure.undefined("a displacement, or the loss or its curvature along one, is not finite")
        return Drift(missing, missing, missing, None, m, relative)
    unit = point.scale if relative else 1.0
    linear = _mean(slopes * (UPDATES / unit))
    down = float(slopes.mean())
    curved = _jackknife(_pairs(bends))
    each = _mean((slopes + np.diag(bends) / 2) / unit)
    long, typical, short = (_pays(down, c) for c in (curved.low, curved.value, curved.high))
    products = [e * t for e in (each.low, each.high) for t in (long, short) if e is not None]
    change = Measure((each.value or 0.0) * typical, min(products), max(products))
    settles = -down / curved.value if down < 0 and curved.value and (curved.low or 0.0) > 0 else None
    if not np.trace(inner) > 0:
        share = Measure.undefined("no displacement moves anything")
    else:
        whole, without = _pairs(inner)
        sizes = np.diag(inner)
        rest = (sizes.sum() - sizes) / (m - 1)
        share = _jackknife((whole / float(sizes.mean()), without / np.where(rest > 0, rest, np.inf)))
    return Drift(share, linear, change, settles, m, relative)


def _pays(down: float, curved: float | None) -> float:
    """The updates T of UPDATES that count, for a fall of T·|gᵀd̄|: all but what d̄ᵀHd̄ > 0 takes back.

    After t updates the mean displacement has changed the loss by t·gᵀd̄ + ½t²·d̄ᵀHd̄, which is lowest at
    t = −gᵀd̄ / d̄ᵀHd̄; there a training that is drawn back stays.
    """
    if down >= 0 or curved is None or curved <= 0:
        return float(UPDATES)
    settles = -down / curved
    t = min(float(UPDATES), settles)
    return t * (1 - t / (2 * settles))


def _pairs(gram: Floats) -> tuple[float, Floats]:
    """The mean of gram (m, m) over pairs of different draws, and the same without each draw (m,)."""
    m = len(gram)
    rest = gram - np.diag(np.diag(gram))
    total = float(rest.sum())
    without = (total - rest.sum(0) - rest.sum(1)) / ((m - 1) * (m - 2))
    return total / (m * (m - 1)), without


def _jackknife(statistic: tuple[float, Floats]) -> Measure:
    """A value with its jackknife interval, from the value and those without each draw (m,)."""
    value, without = statistic
    m = len(without)
    error = math.sqrt(float(np.sum((without - without.mean()) ** 2)) * (m - 1) / m)
    return _around(value, error, m)


def _mean(draws: Floats) -> Measure:
    return _around(float(draws.mean()), float(draws.std(ddof=1)) / math.sqrt(len(draws)), len(draws))


def _around(value: float, error: float, m: int) -> Measure:
    """Student's t interval, m − 1 degrees of freedom."""
    from scipy.special import stdtrit

    half = float(stdtrit(m - 1, (1 + LEVEL) / 2)) * error
    return Measure(value, value - half, value + half)
