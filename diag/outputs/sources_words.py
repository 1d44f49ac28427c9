"""Words on several sources that text and page share."""

from __future__ import annotations

from diag.outputs.words import number, span, three
from diag.sourcing.result import SourcesCompared
from diag.sourcing.suits import TOLD, TOTAL
from diag.sourcing.verdict import NOT_APART
from diag.wording import plural
from probes import Measure
from trainers.safe_text import plain

READ = (
    "R² compares the target's answers with the source's on the same histories: as they are, and by the "
    "best linear map, on rows that it was not fitted to. CKA is without its bias, and blind to rotations and "
    "scale."
)

LEADS = (
    "The first of each line is measured on the same rows as the others; its lead has an interval that holds "
    "for all pairs at once in 95% of such histories. Another training of the same source is not in it."
)

SUITS = (
    "Losses are those of each world model as it stands, none of it trained on the task, on histories that a "
    "random policy plays. R² says how well a linear map of the latent state tells the rewards of held-out "
    "histories. Which source's transfer ends best is another question: docs/several-sources.md."
)

REMAINS = (
    "Each source has put λ over their number of its last layer there. What remains of it, and the share of "
    "the layer's parameters that it explains; intervals are jackknifed over the layer's parameters."
)

HEARD = (
    "How far the meta-model's rewards move where a source's is put at its mean, in spreads of the rewards."
)


def shown_in_words(result: SourcesCompared) -> str:
    """What all were shown."""
    return (
        f"{plural(result.rows, 'row')} of {plural(result.histories, 'history', 'histories')} of "
        f"{plain(result.task)}"
    )


def order_in_words(result: SourcesCompared) -> list[tuple[str, str]]:
    """Of each ranking what is measured, and who leads whom by how much."""
    told = []
    for one in result.rankings:
        name = {"cka_debiased": "{}, by CKA", "loss": "{} loss", "r2": "{}, by R²"}[one.measure].format(
            "total" if one.what == TOTAL else one.what
        )
        if one.best is None or one.second is None:
            told.append((name, one.lead.reason or "no order"))
            continue
        best, second = plain(result.names[one.best]), plain(result.names[one.second])
        lead = f"{three(one.lead.value or 0.0)} {spans(one.lead)}".strip()
        less = "lower" if one.measure == "loss" else "ahead"
        end = "" if one.apart else f": {NOT_APART}"
        told.append((name, f"{best}, {lead} {less} of {second}{end}".replace("lower of", "lower than")))
    return told


def spans(measure: Measure) -> str:
    """An interval to three digits, since losses are of several sizes; empty where there is none."""
    if measure.low is None or measure.high is None:
        return ""
    return f"[{_three(measure.low)}, {_three(measure.high)}]"


def _three(value: float) -> str:
    return number(value, 3) if abs(value) < 1 else f"{value:.3g}"


def terms(result: SourcesCompared) -> list[str]:
    """Names of the losses, the total first."""
    names = list(result.suits[0].losses) if result.suits else []
    return [TOTAL, *(name for name in names if name != TOTAL)]


def loss_in_words(measure: Measure) -> str:
    """A loss with its interval."""
    return "–" if measure.value is None else f"{three(measure.value)} {spans(measure)}".strip()


def r2_in_words(measure: Measure) -> str:
    """An R² with its interval, to three digits."""
    return "–" if measure.value is None else f"{number(measure.value, 3)} {span(measure, 3)}".strip()


__all__ = ["HEARD", "LEADS", "READ", "REMAINS", "SUITS", "TOLD"]
