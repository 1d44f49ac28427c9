"""A study's plans side by side: curves, what they end with, and what their world models foresee."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from diag.outputs.dreams_pictures import pictures
from diag.outputs.dreams_text import KEEPER, TERMS, shown_steps
from diag.outputs.study_plans_text import QUANTITIES, at_step, standard_words
from diag.studies.arms import RETURN, WORLD_MODEL, Arm, Dreamt, End, PlanEnds, short
from diag.studies.result import StudyReport
from reports import Figure, Section
from reports import dreams as charts


def plan_sections(report: StudyReport) -> list[Section]:
    """Sections of a study's page, two or three an arm; none where no plans stand side by side."""
    dreamt = {one.arm: one for one in report.dreamt}
    parts = []
    for arm in report.arms:
        parts.append(_curves(arm))
        if arm.name in dreamt:
            parts += _dreams(dreamt[arm.name])
    return parts


def _curves(arm: Arm) -> Section:
    names = [plan.plan for plan in arm.plans]
    order = [q for q in (*WORLD_MODEL, RETURN) if q in set(arm.curves["quantity"])]
    order += [q for q in dict.fromkeys(arm.curves["quantity"]) if q not in order]
    rows = pd.concat([arm.curves[arm.curves["quantity"] == q] for q in order], ignore_index=True)
    drawn = pd.DataFrame(
        {
            "panel": [QUANTITIES.get(q, q) for q in rows["quantity"]],
            "name": rows["plan"],
            "step": rows["step"],
            **{c: [float(f"{v:.5g}") for v in rows[c]] for c in ("value", "low", "high")},
        }
    )
    words = [
        "The lines are interquartile means over runs, and the bands 95% intervals from a bootstrap over the "
        "runs of each base, which few runs make too narrow. The table has the mean over runs of the last "
        "tenth of the updates, with the least and the most of a run in brackets; R² is the median of the "
        "embedding's held-out R² to its base's, as it is and by the best affine map.",
        *standard_words(arm),
    ]
    figure = Figure(
        charts.lines(drawn, names, "updates"), f"Losses and returns over updates of each plan, {arm.name}."
    )
    return Section(f"Plans side by side: {arm.name}", words, figure, pd.DataFrame(_table(arm)))


def _table(arm: Arm) -> list[dict[str, str]]:
    """A row a quantity, and a column a plan: of the two, the plans are fewer."""
    shown = [q for q in (*WORLD_MODEL, RETURN) if any(q in plan.ends for plan in arm.plans)]
    rows: list[tuple[str, Callable[[PlanEnds], str]]] = [
        ("runs", lambda plan: str(max(end.runs for end in plan.ends.values()))),
        *((QUANTITIES[q], partial(_end_of, q)) for q in shown),
        ("relation", relations),
        ("R² to the base's, as it is", lambda plan: "–" if plan.identity is None else f"{plan.identity:.2f}"),
        ("by an affine map", lambda plan: "–" if plan.affine is None else f"{plan.affine:.2f}"),
    ]
    return [{"": name} | {plan.plan: said(plan) for plan in arm.plans} for name, said in rows]


def _end_of(quantity: str, plan: PlanEnds) -> str:
    return _end(plan.ends.get(quantity))


def _end(end: End | None) -> str:
    if end is None:
        return "–"
    return f"{short(end.mean)} [{short(end.least)}, {short(end.most)}]" if end.runs > 1 else short(end.mean)


def relations(plan: PlanEnds) -> str:
    """``affine 3, matched 1``."""
    if plan.fresh:
        return "–"
    return ", ".join(f"{name} {count}" for name, count in plan.relations.items()) or "–"


def _dreams(dreamt: Dreamt) -> list[Section]:
    rows = dreamt.drift.rename(columns={"quantity": "panel"})
    order = [q for q in TERMS if q in set(rows["panel"])]
    rows = pd.concat([rows[rows["panel"] == q] for q in order], ignore_index=True)
    names = [name for name in dict.fromkeys(rows["name"]) if name != KEEPER]
    ahead = int(rows["step"].max())
    table_rows = [
        {"": TERMS[quantity], "steps ahead": str(step)}
        | {name: at_step(rows, quantity, name, step) for name in names}
        | {"kept": at_step(rows, quantity, KEEPER, step)}
        for quantity in order
        for step in shown_steps(ahead)
    ]
    words = [
        f"Each model sees the first rows of the same {dreamt.histories} histories of the target task, by a "
        f"random policy, and goes on for {ahead} steps by itself, with the actions that were taken. The "
        "lines are means over runs, the bands the least and the most of a run. Step 0 is the last row that "
        "is seen. What pictures are off is the sum of the differences of a picture's numbers; it can be held "
        "against keeping the last picture (kept).",
    ]
    drawn = rows.assign(
        panel=[TERMS[q] for q in rows["panel"]],
        **{c: [float(f"{v:.5g}") for v in rows[c]] for c in ("value", "low", "high")},
    )
    figure = Figure(
        charts.lines(drawn, [*names, KEEPER], "steps ahead"),
        "Losses of open-loop predictions over the steps ahead, a line a plan.",
    )
    title = f"Open loop: {dreamt.arm}"
    return [
        Section(title, words, figure, pd.DataFrame(table_rows)),
        pictures(list(dreamt.strips), f"Dreamt pictures: {dreamt.arm}"),
    ]
