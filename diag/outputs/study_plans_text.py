"""A study's plans side by side for a terminal: what they end with, and how far their models foresee."""

from __future__ import annotations

import pandas as pd

from diag.outputs.dreams_text import shown_steps
from diag.outputs.layout import Column, table, wrapped
from diag.studies.arms import RETURN, Arm, short
from diag.studies.result import StudyReport

QUANTITIES = {
    "image": "image loss",
    "reward": "reward loss",
    "discount": "terminal (discount) loss",
    "kl": "KL",
    RETURN: "return of an episode",
}
"""Quantities in words; others go by their own names."""


SHORT = {"image": "image", "off": "off"}
"""What a terminal shows of open-loop predictions: the image loss, and what pictures are off."""


def standard_words(arm: Arm) -> list[str]:
    """What agents earn that have learned nothing, in a sentence each."""
    words = []
    for whose, score in arm.standards:
        words.append(f"{whose[:1].upper()}{whose[1:]} has a mean return of {short(score)}.")
    return words


def at_step(rows: pd.DataFrame, quantity: str, name: str, step: int) -> str:
    """The value of a quantity so many steps ahead, or a dash; ``rows`` name quantities as panels."""
    mine = rows[(rows["panel"] == quantity) & (rows["name"] == name) & (rows["step"] == step)]
    return short(float(mine["value"].iloc[0])) if len(mine) else "–"


def plan_lines(report: StudyReport) -> list[str]:
    """The same for a terminal: what each plan ends with, and where open-loop predictions end."""
    lines = []
    for arm in report.arms:
        shown = [q for q in ("image", "reward", "kl", RETURN) if any(q in plan.ends for plan in arm.plans)]
        columns = (Column(arm.name, 24, "<"), *(Column(q, 9) for q in shown), Column("R² as it is", 12))
        cells = [
            (
                plan.plan,
                *(short(plan.ends[q].mean) if q in plan.ends else "–" for q in shown),
                "–" if plan.identity is None or plan.fresh else f"{plan.identity:.2f}",
            )
            for plan in arm.plans
        ]
        lines += ["", *table(columns, cells)]
        lines += [line for words in standard_words(arm) for line in wrapped(words)]
    for one in report.dreamt:
        steps = shown_steps(int(one.drift["step"].max()))
        columns = (Column(f"open loop, {one.arm}", 34, "<"), *(Column(_step(s), 8) for s in steps))
        rows = one.drift
        cells = []
        for quantity in SHORT:
            mine = rows[rows["quantity"] == quantity].rename(columns={"quantity": "panel"})
            cells += [
                (f"{SHORT[quantity]}, {name}", *(at_step(mine, quantity, name, s) for s in steps))
                for name in dict.fromkeys(mine["name"])
            ]
        lines += ["", *table(columns, cells)]
    return lines


def _step(step: int) -> str:
    return "seen" if step == 0 else f"+{step}"
