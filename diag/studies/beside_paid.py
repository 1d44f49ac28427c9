"""Our numbers beside those of the first paper's section 5.2, whose agents are paid."""

from __future__ import annotations

from diag.studies import paper
from diag.studies.result import Beside, Group, Outcomes, StudyFacts
from diag.wording import listed, noun, p_relation

TERMS = ("transition", "reward", "q")
"""Terms whose loss the paper says to remain higher in failed transfers."""


def beside_paid(group: Group, facts: StudyFacts) -> tuple[Beside, ...]:
    """Successes by base, scores, distances and losses of the reference beside the paper's."""
    return (
        *_bases(group),
        *_rate(facts),
        *_scores(group, facts),
        *distances(group, _size(facts)),
        *_losses(group),
    )


def _bases(group: Group) -> list[Beside]:
    done = [c for c in group.cells if c.succeeded.n]
    rows = []
    for what, named in (
        ("always", [c for c in done if c.succeeded.count == c.succeeded.n]),
        ("never", [c for c in done if not c.succeeded.count]),
    ):
        seeds = [str(c.base_seed) for c in named]
        told = f", {noun(len(seeds), 'base')} {listed(seeds)}" if seeds else ""
        rows.append(
            Beside(
                f"bases whose transfers {what} succeed",
                f"{len(named)} of {len(done)}{told}",
                f"{paper.BASES_OF_SIX[what]} of 6",
                "5.2.1 fig. 8",
                "the paper has six transfers of each base and judges by the look of the score's curve",
            )
        )
    differ = "one base only" if group.bases_differ is None else f"p {p_relation(group.bases_differ)}"
    rows.append(
        Beside(
            "success differs between bases",
            differ,
            "said, not tested",
            "5.2.1",
            "the paper calls the success rate heavily dependent on the base",
        )
    )
    return rows


def _rate(facts: StudyFacts) -> list[Beside]:
    if paper.RATE_SETTING not in facts.settings:
        return []
    theirs = paper.LABYRINTH_RATE
    ours = str(facts.settings[paper.RATE_SETTING])
    return [Beside("learning rate of a transfer", ours, f"{theirs.value:g}", theirs.section)]


def _size(facts: StudyFacts) -> str:
    if paper.PAID.get(facts.world or ""):
        return "medians; these labyrinths have the paper's size"
    return (
        "medians; these labyrinths are smaller than the paper's, with fewer keys, steps and numbers in an "
        "embedding, so that only the order and, with care, the ratio can be compared"
    )


def _scores(group: Group, facts: StudyFacts) -> list[Beside]:
    told = next((t for t in group.told if t.name == "score"), None)
    if told is None:
        return []
    high, low = paper.SCORE_SUCCESS, paper.SCORE_FAILURE
    return [
        Beside(
            "score of successes, of failures",
            f"{shown(told.median.success)}, {shown(told.median.failure)}",
            f"about {high.value:+g}, {low.value:g}",
            f"{high.section}, {low.section}",
            _size(facts),
        )
    ]


def distances(group: Group, remark: str) -> list[Beside]:
    """Distances to the base beside the paper's, which are of labyrinths, with a remark on their size."""
    l2 = next((t for t in group.told if t.name == "l2"), None)
    if l2 is None:
        return []
    theirs = Outcomes(paper.L2_SUCCESS.value, paper.L2_FAILURE.value)
    modes = "–" if group.dip.p is None else f"dip {group.dip.value:.3f}, p {p_relation(group.dip.p)}"
    return [
        Beside(
            "L2 of successes, of failures",
            f"{shown(l2.median.success)}, {shown(l2.median.failure)}",
            f"about {theirs.success:g}, {theirs.failure:g}",
            paper.L2_SUCCESS.section,
            remark,
        ),
        Beside("L2, failures over successes", ratio(l2.median), ratio(theirs), paper.L2_SUCCESS.section),
        Beside(
            "the distances have two modes",
            modes,
            "bimodal",
            paper.L2_SUCCESS.section,
            "the p-value is that of a single mode; the paper names no test",
        ),
    ]


def _losses(group: Group) -> list[Beside]:
    rows = []
    for name in TERMS:
        told = next((t for t in group.told if t.name == f"loss_{name}"), None)
        if told is not None and None not in (told.median.success, told.median.failure):
            rows.append(
                Beside(
                    f"{name} loss, failures over successes",
                    ratio(told.median),
                    "slightly higher",
                    paper.LABYRINTH_LOSSES_SECTION,
                )
            )
    return rows


def ratio(medians: Outcomes) -> str:
    """``5.6×``, failures over successes; a dash where there is none."""
    if medians.success is None or medians.failure is None or not medians.success:
        return "–"
    return f"{medians.failure / medians.success:.1f}×"


def shown(value: float | None) -> str:
    """A number to two decimals, or a dash."""
    return "–" if value is None else f"{value:.2f}"
