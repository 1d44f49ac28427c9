"""What the fourth paper says of its world models on MinAtar, beside a study's: orders of losses and returns.

The paper (``Adapting to the Unfamiliar``, section 3.1) prints no numbers of these figures, so that what can
be held against it is which of two plans has the lower loss, or the higher return.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diag.studies.arms import RETURN, Arm, End, PlanEnds, short
from diag.studies.result import Beside

WORLD = "minatar"

FROZEN, ALL, SCRATCH, FIXED = "freeze-recurrent", "all-trained", "from-scratch", "freeze-world-model"

SECTION = "3.1"


@dataclass(frozen=True)
class Claim:
    """The plan ``low`` has the lower of one quantity, the plan ``high`` the higher, in the paper's words."""

    quantity: str
    low: str
    high: str
    words: str


CLAIMS = (
    Claim("image", FROZEN, SCRATCH, "better with fixed RSSM than from scratch"),
    Claim("reward", FROZEN, SCRATCH, "better with fixed RSSM than from scratch"),
    Claim("kl", SCRATCH, FROZEN, "high with fixed RSSM"),
    Claim("image", ALL, SCRATCH, "the best and fastest convergence where all were fine-tuned"),
    Claim("kl", ALL, FROZEN, "high with fixed RSSM"),
    Claim(RETURN, FROZEN, ALL, "fixed RSSM performs poorly compared to the other two"),
    Claim(RETURN, SCRATCH, ALL, "fine-tuned converges faster and to a better return"),
    Claim(RETURN, FROZEN, SCRATCH, "fixed RSSM performs poorly compared to the other two"),
    Claim(RETURN, SCRATCH, FIXED, "a fixed world model of seen games learns faster, and ends slightly worse"),
)

NOTE = (
    "means over the runs of each plan; an order holds, or is the reverse, where no run of one plan lies "
    "among those of the other, which few runs cannot prove; this study is shorter than the paper's"
)


def beside_games(arms: Sequence[Arm]) -> tuple[Beside, ...]:
    """A row for each of the paper's claims that two plans of an arm can be held against."""
    rows = []
    for arm in arms:
        plans = {plan.plan: plan for plan in arm.plans}
        for claim in CLAIMS:
            if claim.low in plans and claim.high in plans:
                row = _row(arm, claim, plans[claim.low], plans[claim.high])
                rows += [] if row is None else [row]
    return tuple(rows)


def _row(arm: Arm, claim: Claim, low: PlanEnds, high: PlanEnds) -> Beside | None:
    a, b = low.ends.get(claim.quantity), high.ends.get(claim.quantity)
    if a is None or b is None:
        return None
    what = f"{arm.name}: {claim.quantity}, {claim.low} below {claim.high}"
    return Beside(what, f"{short(a.mean)}, {short(b.mean)}: {_order(a, b)}", claim.words, SECTION, NOTE)


def _order(low: End, high: End) -> str:
    if low.most < high.least:
        return "so"
    if low.least > high.most:
        return "the reverse"
    return "runs overlap"
