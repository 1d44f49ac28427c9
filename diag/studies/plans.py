"""Plans side by side: losses and returns over updates, where success alone does not say what a plan gains.

Plans belong side by side where their variants differ in nothing else: all that is taken to one target task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from diag.studies.arms import RETURN, WORLD_MODEL, Arm, End, PlanEnds, short
from diag.studies.curves import MOST_POINTS
from diag.studies.result import StudyFacts
from diag.studies.statistics import iqm_bands

Name = tuple[str, str]
"""Variant and plan of a group."""

END = 0.1
"""Share of the updates, at the end, whose losses and returns are averaged into what a plan ends with."""


def arms_of(names: Sequence[Name], facts: StudyFacts) -> list[list[Name]]:
    """Groups whose variants differ in their plans alone, together; a list of those with two plans or more."""
    found: dict[str, list[Name]] = {}
    for name in names:
        known = facts.variants.get(name[0])
        differs = {} if known is None else known.differs
        found.setdefault(repr(sorted(differs.items())), []).append(name)
    return [arm for arm in found.values() if len({plan for _, plan in arm}) > 1]


def side_by_side(
    curves: pd.DataFrame, returns: pd.DataFrame, last: pd.DataFrame, names: Sequence[Name], facts: StudyFacts
) -> tuple[Arm, ...]:
    """The arms of a study from its tables; empty where no plans stand side by side."""
    arms = []
    for chosen in arms_of(names, facts):
        told = [(name, dict(_quantities(curves, returns, name))) for name in chosen]
        plans = tuple(_ends(name, each, last, facts) for name, each in told)
        plans = tuple(plan for plan in plans if plan.ends)
        drawn = pd.concat([_drawn(name, each) for name, each in told], ignore_index=True)
        if len(plans) > 1 and len(drawn):
            known = facts.variants.get(chosen[0][0])
            standards = () if known is None else tuple((s.whose, s.score) for s in known.standards)
            arms.append(Arm(chosen[0][0], plans, drawn, standards))
    return tuple(arms)


def _quantities(
    curves: pd.DataFrame, returns: pd.DataFrame, name: Name
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each loss and the returns of a group's transfers: (runs, steps), whole and finite."""
    tables = ((curves, "update", "loss", "term"), (returns, "step", "score", None))
    for table, step, value, term in tables:
        if table.empty:
            continue
        mine = table[
            (table["phase"] == "transfer") & (table["variant"] == name[0]) & (table["plan"] == name[1])
        ]
        quantities = [RETURN] if term is None else list(dict.fromkeys(mine[term]))
        quantities.sort(key=lambda q: WORLD_MODEL.index(q) if q in WORLD_MODEL else len(WORLD_MODEL))
        for quantity in quantities:
            rows = mine if term is None else mine[mine[term] == quantity]
            runs = rows.pivot_table(index=["base_seed", "seed"], columns=step, values=value)
            runs = runs.astype(float).replace([np.inf, -np.inf], np.nan)
            # An agent may end no episode between two points: such points have no return.
            runs = runs.dropna(axis=0, how="all").dropna(axis=1, how="any")
            if runs.size:
                yield quantity, runs


def _drawn(name: Name, quantities: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = []
    for quantity, runs in quantities.items():
        shown = np.unique(np.linspace(0, runs.shape[1] - 1, MOST_POINTS).round().astype(int))
        some = runs.iloc[:, shown]
        strata = some.index.get_level_values("base_seed").to_numpy(np.int64)
        value, low, high = iqm_bands(some.to_numpy(float), strata)
        columns = {"step": some.columns.to_numpy(float), "value": value, "low": low, "high": high}
        parts.append(pd.DataFrame(columns).assign(quantity=quantity, plan=name[1], runs=len(some)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _ends(
    name: Name, quantities: Mapping[str, pd.DataFrame], last: pd.DataFrame, facts: StudyFacts
) -> PlanEnds:
    ends = {}
    for quantity, runs in quantities.items():
        steps = runs.columns.to_numpy(float)
        each = runs.loc[:, steps > (1 - END) * steps[-1]].mean(axis=1)
        ends[quantity] = End(float(each.mean()), float(each.min()), float(each.max()), len(each))
    mine = last[(last["variant"] == name[0]) & (last["plan"] == name[1])]
    known = facts.variants.get(name[0])
    counts = mine["name"].value_counts(sort=False) if "name" in mine else pd.Series(dtype=int)
    return PlanEnds(
        *name,
        known is not None and name[1] in known.fresh,
        ends,
        {str(relation): int(count) for relation, count in counts.items()},
        _median(mine, "r2_identity"),
        _median(mine, "r2_affine"),
    )


def _median(rows: pd.DataFrame, column: str) -> float | None:
    known = pd.to_numeric(rows[column]).dropna() if column in rows else pd.Series(dtype=float)
    return float(known.median()) if len(known) else None


def in_words(arms: Sequence[Arm]) -> str:
    """Losses and returns of each arm in a sentence: each plan's beside those from scratch, if it has such."""
    sentences = []
    for arm in arms:
        fresh = next((plan for plan in arm.plans if plan.fresh), None)
        others = [plan for plan in arm.plans if not plan.fresh]
        if fresh is None or not others:
            continue
        parts = []
        for plan in others:
            shared = [q for q in (*WORLD_MODEL, RETURN) if q in plan.ends and q in fresh.ends]
            shared = [q for q in shared if q in ("image", "kl", RETURN)] or shared[:2]
            told = [f"{q} {short(plan.ends[q].mean)} ({short(fresh.ends[q].mean)})" for q in shared]
            parts.append(f"{plan.plan}: {', '.join(told)}")
        sentences.append(f"{arm.name}, at the end, with {fresh.plan} in brackets: {'; '.join(parts)}.")
    return " ".join(sentences)
