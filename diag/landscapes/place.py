"""The place of a checkpoint in its loss: a minimum, a saddle, a plateau, descending, at rest, or unclear.

One word that the evidence supports, with a sentence that gives the evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from diag.landscapes.drift import UPDATES, Drift
from diag.landscapes.point import Fall
from diag.landscapes.sharpness import Sharpness
from diag.landscapes.spectrum import RESIDUAL, Ends

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
"""Share of the largest curvature below which an end of the spectrum is shown as 0: the precision of
float32."""


@dataclass(frozen=True)
class Place:
    """The place of a checkpoint in its loss, in one word and one sentence."""

    kind: Kind
    summary: str

    def to_tree(self) -> dict[str, Any]:
        return {"kind": self.kind, "summary": self.summary}


def place(evidence: Sharpness) -> Place:
    """Judge how a checkpoint sits in its loss. A change counts above COUNTS of the scale, and above rounding.

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
    judged = (
        _undefined(evidence)
        or _descending(evidence)
        or _uncurved(evidence)
        or _plateau(evidence)
        or _open_descent(evidence)
        or _saddle(evidence)
    )
    return judged or _bottom(evidence)


def _undefined(evidence: Sharpness) -> Place | None:
    if math.isfinite(evidence.loss) and math.isfinite(evidence.gradient):
        return None
    return Place("unclear", f"Unclear: the loss ({evidence.loss:.3g}) or its gradient is not finite.")


def _descending(evidence: Sharpness) -> Place | None:
    moving, step = evidence.drift, evidence.step
    if moving is not None:
        high = moving.change.high
        if high is not None and high < _fall(moving, evidence):
            return Place("descending", f"Still descending: {_onwards(moving)}.")
        return None
    if step is not None and _steps_down(evidence):
        return Place("descending", f"Still descending: a step down the gradient {_lowers(step, evidence)}.")
    return None


def _uncurved(evidence: Sharpness) -> Place | None:
    """Unclear where curvature is missing, not finite, or did not converge."""
    ends = evidence.ends
    if ends is None:
        why = evidence.reason or "it was not computed"
        return Place("unclear", f"Unclear: the curvature is not known, since {why}.")
    if not math.isfinite(ends.size):
        return Place("unclear", "Unclear: the curvature is not finite here.")
    if ends.converged:
        return None
    worst = max(ends.high.residual, ends.low.residual)
    return Place(
        "unclear",
        f"Unclear: after {ends.products} products the ends of the curvature have a residual of "
        f"{worst:.2g}, above {RESIDUAL:g}.",
    )


def _plateau(evidence: Sharpness) -> Place | None:
    ends = _ends(evidence)
    most = evidence.gradient * evidence.reach + ends.size * evidence.reach**2 / 2
    if not most <= _counts(evidence):
        return None
    return Place(
        "plateau",
        f"Plateau: over {_part(evidence.reach, evidence)}, gradient and curvature change the loss "
        f"of {evidence.loss:.3g} by {_share(most, evidence)} at most.",
    )


def _open_descent(evidence: Sharpness) -> Place | None:
    """Unclear where the drift's interval has room for a descent and the gradient's step makes one."""
    moving = evidence.drift
    if moving is None or not _steps_down(evidence):
        return None
    low = moving.change.low
    if low is not None and not low < _fall(moving, evidence):
        return None
    return Place("unclear", f"Unclear: {_onwards(moving)}, which may or may not be a descent.")


def _saddle(evidence: Sharpness) -> Place | None:
    escape = evidence.escape
    if not _bends_down(evidence) or escape is None or not escape.found > _counts(evidence):
        return None
    lowers = _lowers(escape, evidence)
    return Place("saddle", f"Saddle: {_span(evidence)[1]}; moving along its low end {lowers}.")


def _bottom(evidence: Sharpness) -> Place:
    """A minimum, a training at rest in its noise, or unclear, where no verdict before applies."""
    step, moving = evidence.step, evidence.drift
    falls, negative = step is not None and step.found > _counts(evidence), _bends_down(evidence)
    down = (
        "no step down the gradient lowers the loss"
        if step is None or step.found <= evidence.rounding
        else f"a step down the gradient {_lowers(step, evidence)}"
    )
    least, span = _span(evidence)
    low_end = f"{span}, and going along its low end does not lower the loss by 1%" if least < 0 else span
    onwards = "" if moving is None else f"; {_onwards(moving)}"
    if not (negative or falls):
        return Place("minimum", f"Minimum: {low_end}; {down}{onwards}.")
    against = "; ".join(words for words, counts in ((down, falls), (low_end, negative)) if counts)
    if moving is not None and _rests(moving, evidence):
        words = f"At rest within its noise: {_onwards(moving)}. It is no minimum: {against}."
        return Place("resting", words)
    return Place("unclear", f"Unclear: neither a minimum nor a descent; {against}{onwards}.")


def _counts(evidence: Sharpness) -> float:
    """Change of the loss above which it counts, in the loss's own units."""
    return max(COUNTS * evidence.scale, evidence.rounding)


def _steps_down(evidence: Sharpness) -> bool:
    """Whether the gradient's own step both promises and makes a fall that counts."""
    step = evidence.step
    return step is not None and min(step.predicted, step.found) > _counts(evidence)


def _fall(moving: Drift, evidence: Sharpness) -> float:
    """Change by training on below which a training is still descending, in the drift's units."""
    return -FALLS if moving.relative else -_counts(evidence)


def _rests(moving: Drift, evidence: Sharpness) -> bool:
    """Whether the drift rules out a fall that counts without establishing a rise by as much."""
    low, fall = moving.change.low, _fall(moving, evidence)
    return low is not None and fall <= low <= -fall


def _ends(evidence: Sharpness) -> Ends:
    """The ends of the curvature, once :func:`_uncurved` has made sure of them."""
    assert evidence.ends is not None
    return evidence.ends


def _bends_down(evidence: Sharpness) -> bool:
    """Whether curvature is negative beyond NEGATIVE of the largest and its residual."""
    ends = _ends(evidence)
    return ends.low.value + ends.low.residual * ends.size < -NEGATIVE * ends.size


def _span(evidence: Sharpness) -> tuple[float, str]:
    """The least curvature, and in words from where to where curvature runs; 0 for what is rounding."""
    ends = _ends(evidence)
    least, largest = (
        end.value if abs(end.value) > NOTHING * ends.size else 0.0 for end in (ends.low, ends.high)
    )
    return least, f"curvature runs from {least:.3g} to {largest:.3g}"


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


def _share(change: float, evidence: Sharpness) -> str:
    relative = evidence.relative(change)
    return f"{change:.2g}" if relative is None else _percent(relative)


def _percent(share: float, sign: str = "") -> str:
    return f"{share:{sign}.1%}" if abs(share) >= COUNTS / 10 else f"{100 * share:{sign}.1g}%"


def _part(length: float, evidence: Sharpness) -> str:
    if evidence.norm > 0:
        return f"{length / evidence.norm:.2g} of the parameters' length"
    return f"a length of {length:.2g}"


def _lowers(fall: Fall, evidence: Sharpness) -> str:
    by = f"the loss of {evidence.loss:.3g} by {_share(fall.found, evidence)}"
    return f"lowers {by} over {_part(fall.length, evidence)}"
