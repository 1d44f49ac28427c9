"""Our numbers beside the first paper's, with what may be said of the difference."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from diag.studies import paper
from diag.studies.beside_paid import beside_paid, distances, ratio
from diag.studies.result import Beside, Group, StudyFacts
from diag.studies.sentence import of, percent
from diag.studies.statistics import boschloo, wilson
from diag.wording import listed, noun, p_relation, plural

ALIKE = 0.05
"""A base's rate counts as one that could be the paper's where Boschloo's p is at least this."""


DIMENSIONS = (
    "these are medians; the paper's are of the labyrinths, in 192 dimensions, so that only the ratio can be "
    "compared, with care"
)
"""Remark on distances that stand beside those of another world."""


def beside(
    groups: Sequence[Group], facts: StudyFacts, last: pd.DataFrame, bases: pd.DataFrame
) -> tuple[Beside, ...]:
    """The paper's numbers of its own world, and of its others where only a ratio compares.

    Nothing for a study of another world.
    """
    if not groups or not groups[0].succeeded.n:
        return ()
    group = groups[0]
    if facts.world in paper.PAID:
        return beside_paid(group, facts)
    if facts.world not in (None, paper.WORLD):
        return ()
    mine = last[(last["variant"] == group.variant) & (last["plan"] == group.plan)]
    return (
        *_budgets(facts, mine, bases),
        *_rates(group),
        *_failures(mine),
        *distances(group, DIMENSIONS),
        *_losses(group),
    )


def _budgets(facts: StudyFacts, mine: pd.DataFrame, bases: pd.DataFrame) -> list[Beside]:
    rows = []
    for what, table, theirs in (
        ("updates of a base", bases, paper.BASE_UPDATES),
        ("updates of a transfer", mine, paper.TRANSFER_UPDATES),
    ):
        budgets = sorted({int(n) for n in table["updates"]})
        if budgets:
            ours = ", ".join(f"{n:,}" for n in budgets)
            rows.append(Beside(what, ours, f"{theirs.value:,.0f}", theirs.section))
    for what, key, theirs in (
        ("learning rate of a base", "train.learning_rate", paper.BASE_RATE),
        ("learning rate of a transfer", "transfer.learning_rate", paper.TRANSFER_RATE),
    ):
        if key in facts.settings:
            rows.append(Beside(what, str(facts.settings[key]), f"{theirs.value:g}", theirs.section))
    return rows


def _rates(group: Group) -> list[Beside]:
    done = [c for c in group.cells if c.succeeded.n]
    rows = []
    for theirs in paper.BASES:
        alike = [
            c for c in done if boschloo(c.succeeded.count, c.succeeded.n, theirs.count, theirs.n) >= ALIKE
        ]
        seeds = [c.base_seed for c in alike]
        rows.append(
            Beside(
                f"bases like its base {theirs.base}",
                f"{len(alike)} of {plural(len(done), 'base')}",
                f"{theirs.count} of {theirs.n}",
                theirs.section,
                f"a base is like the paper's if Boschloo's p is at least {ALIKE:g}, as for {_named(seeds)}",
            )
        )
    k, n = sum(b.count for b in paper.BASES), sum(b.n for b in paper.BASES)
    ours = group.succeeded
    rows.append(
        Beside(
            "success, all bases together",
            f"{percent(ours)}",
            f"{percent(wilson(k, n))}",
            paper.BASES[0].section,
            f"here {of(ours)} transfers succeed and in the paper {k} of {n}; the p-value and the intervals "
            "take all transfers for independent",
            boschloo(ours.count, ours.n, k, n),
        )
    )
    first, second = paper.BASES
    again = boschloo(first.count, first.n, second.count, second.n)
    differ = "one base only" if group.bases_differ is None else f"p {p_relation(group.bases_differ)}"
    rows.append(
        Beside(
            "success differs between bases",
            differ,
            "p < 0.0001",
            paper.BASES_DIFFER.section,
            f"Boschloo's test of the paper's own counts gives p = {again:.0e}",
        )
    )
    return rows


def _named(seeds: Sequence[int]) -> str:
    """Bases by their seeds: ``base 3``, ``bases 0 and 2``, ``no base here``."""
    if not seeds:
        return "no base here"
    return f"{noun(len(seeds), 'base')} {listed([str(seed) for seed in seeds])}"


def _failures(mine: pd.DataFrame) -> list[Beside]:
    failed = mine[~mine["success"]]
    if failed.empty:
        return []
    flipped = wilson(int((failed["name"] == "flipped").sum()), len(failed))
    return [
        Beside(
            "failed transfers that are flipped",
            percent(flipped),
            "most",
            paper.MOST_FAILURES_FLIPPED.section,
            f"the verdict is sure that {of(flipped)} failures are flipped; the paper judged by eye",
        )
    ]


def _losses(group: Group) -> list[Beside]:
    rows = []
    for name, words in (("loss_total", "total"), ("loss_transition", "transition")):
        told = next((t for t in group.told if t.name == name), None)
        if told is not None and None not in (told.median.success, told.median.failure):
            rows.append(
                Beside(
                    f"{words} loss, failures over successes",
                    ratio(told.median),
                    "similar" if words == "total" else "slightly bigger",
                    paper.LOSSES_SECTION,
                    "the paper compares a failed transfer with its base",
                )
            )
    return rows
