"""Where a checkpoint sits in its loss, in one word that its evidence supports, or that it is unclear.

A minimum, a saddle, a plateau, still descending, or a training at rest in its own noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from diag.landscapes.drift import UPDATES, Drift
from diag.landscapes.point import Fall
from diag.landscapes.sharpness import Sharpness
from diag.landscapes.spectrum import RESIDUAL

Kind = Literal["minimum", "resting", "saddle", "plateau", "descending", "unclear"]

COUNTS = 0.01
"""Share of the loss that a change must exceed to count: 1%, less than the standard error of a loss over a
thousand samples that spread as far as their mean (3%), so that no smaller change could be told from luck."""

FALLS = 0.05
"""Share of the loss by which 1,000 updates must lower it for a training to be still descending. Eight
continuations of 400 updates tell about 3% from nothing; a training that gains less is near its end."""

NEGATIVE = 0.01
"""Share of the largest curvature that negative curvature must exceed to be a saddle's. Minima of trained
nets keep a tail of small negative eigenvalues (Sagun et al., arXiv 1706.04454), here some 0.2% of it."""

NOTHING = 1e-6
"""Share of the largest curvature below which an end is shown as 0: what float32 can tell."""


@dataclass(frozen=True)
class Place:
    """Where a checkpoint sits, in one word and one sentence."""

    kind: Kind
    summary: str

    def to_tree(self) -> dict[str, Any]:
        return {"kind": self.kind, "summary": self.summary}


def place(found: Sharpness) -> Place:
    """Where the checkpoint sits. A change counts above COUNTS of the scale, and above rounding.

    In this order:

    - **unclear** where the loss or its gradient is not finite;
    - **descending** where training on lowers the loss by what counts, with its whole interval; without a
      walk, where the gradient's own step within the reach both promises and makes such a fall (a single
      step: creeping along a ravine is not seen, nor taken for more than it is);
    - **unclear** where there is no curvature, or an end of its spectrum did not converge: such an end decides
      no word below;
    - **plateau** where neither gradient nor curvature could change the loss by what counts within the reach;
    - **unclear** where the drift's interval has room for a descent and the gradient's step makes one;
    - **saddle** where curvature is negative beyond NEGATIVE of the largest and its residual, and going both
      ways along it lowers the loss, on average, by what counts within the reach;
    - **minimum** where no curvature is negative beyond NEGATIVE of the largest and a step down the gradient
      does not lower the loss by what counts;
    - **resting** where it is no minimum by these, and the drift's whole interval rules out a fall by FALLS
      without establishing a rise by as much: a training at rest in its own noise, above what a step could
      reach;
    - **unclear** else.
    """
    if not (math.isfinite(found.loss) and math.isfinite(found.gradient)):
        return Place("unclear", f"Unclear: the loss ({found.loss:.3g}) or its gradient is not finite.")
    ends, moving, step = found.ends, found.drift, found.step
    counts = max(COUNTS * found.scale, found.rounding)
    falls = step is not None and step.found > counts
    stepped = step is not None and min(step.predicted, step.found) > counts
    may_fall = rests = False
    if moving is not None:
        low, high = moving.change.low, moving.change.high
        fall = -FALLS if moving.relative else -counts
        if high is not None and high < fall:
            return Place("descending", f"Still descending: {_onwards(moving)}.")
        may_fall = low is None or low < fall
        rests = low is not None and fall <= low <= -fall
    elif step is not None and stepped:
        return Place("descending", f"Still descending: a step down the gradient {_lowers(step, found)}.")
    if ends is None:
        why = found.reason or "it was not computed"
        return Place("unclear", f"Unclear: the curvature is not known, since {why}.")
    if not math.isfinite(ends.size):
        return Place("unclear", "Unclear: the curvature is not finite here.")
    if not ends.converged:
        worst = max(ends.high.residual, ends.low.residual)
        return Place(
            "unclear",
            f"Unclear: after {ends.products} products the ends of the curvature have a residual of "
            f"{worst:.2g}, above {RESIDUAL:g}.",
        )
    most = found.gradient * found.reach + ends.size * found.reach**2 / 2
    if most <= counts:
        return Place(
            "plateau",
            f"Plateau: over {_part(found.reach, found)}, gradient and curvature change the loss "
            f"of {found.loss:.3g} by {_share(most, found)} at most.",
        )
    if moving is not None and may_fall and stepped:
        return Place("unclear", f"Unclear: {_onwards(moving)}, which may or may not be a descent.")
    least, largest = (
        end.value if abs(end.value) > NOTHING * ends.size else 0.0 for end in (ends.low, ends.high)
    )
    span = f"curvature runs from {least:.3g} to {largest:.3g}"
    negative = ends.low.value + ends.low.residual * ends.size < -NEGATIVE * ends.size
    if negative and found.escape is not None and found.escape.found > counts:
        return Place("saddle", f"Saddle: {span}; moving along its low end {_lowers(found.escape, found)}.")
    down = (
        "no step down the gradient lowers the loss"
        if step is None or step.found <= found.rounding
        else f"a step down the gradient {_lowers(step, found)}"
    )
    low_end = f"{span}, and going along its low end does not lower the loss by 1%" if least < 0 else span
    onwards = "" if moving is None else f"; {_onwards(moving)}"
    if not (negative or falls):
        return Place("minimum", f"Minimum: {low_end}; {down}{onwards}.")
    against = [down] if falls else []
    against += [low_end] if negative else []
    evidence = "; ".join(against)
    if moving is not None and rests:
        words = f"At rest within its noise: {_onwards(moving)}. It is no minimum: {evidence}."
        return Place("resting", words)
    return Place("unclear", f"Unclear: neither a minimum nor a descent; {evidence}{onwards}.")


def _onwards(moving: Drift) -> str:
    change = moving.change
    if change.value is None or change.low is None or change.high is None:
        return "where training on from here leads is not known"
    numbers = change.value, change.low, change.high
    value, low, high = (_percent(x, "+") if moving.relative else f"{x:+.3g}" for x in numbers)
    return (
        f"training on from here changes the loss by {value} [{low}, {high}] over the next {UPDATES:,} "
        f"updates (measured over {moving.updates:,})"
    )


def _share(change: float, found: Sharpness) -> str:
    relative = found.relative(change)
    return f"{change:.2g}" if relative is None else _percent(relative)


def _percent(share: float, sign: str = "") -> str:
    return f"{share:{sign}.1%}" if abs(share) >= COUNTS / 10 else f"{100 * share:{sign}.1g}%"


def _part(length: float, found: Sharpness) -> str:
    if found.norm > 0:
        return f"{length / found.norm:.2g} of the parameters' length"
    return f"a length of {length:.2g}"


def _lowers(fall: Fall, found: Sharpness) -> str:
    by = f"the loss of {found.loss:.3g} by {_share(fall.found, found)}"
    return f"lowers {by} over {_part(fall.length, found)}"
