"""Open-loop predictions of a study's world models, from their checkpoints.

All models of an arm go on with the same histories of its target task. A folder that was copied without its
checkpoints has none of this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diag.comparisons.dreams import FEWEST, HISTORIES, longest
from diag.sources import open_subject
from diag.studies.arms import Arm, Dreamt
from diag.studies.plans import arms_of
from diag.studies.result import StudyReport
from diag.subject import Foreseeing, Foreseen, Remembered, Subject, SubjectError, require
from probes import Floats
from trainers.checkpoint import CheckpointError
from trainers.threads import one_thread

SEED = 0
"""Seed of the histories."""

BASES, KEPT = "the bases", "the last picture, kept"

MOST_RUNS = 12
"""Models of one plan that are run: each takes a second or so."""


def dreams_of(report: StudyReport, root: Path, results: pd.DataFrame) -> tuple[Dreamt, ...]:
    """What the models of each arm of the report foresee; nothing of systems without such a model."""
    found = []
    names = [(group.variant, group.plan) for group in report.groups]
    members = {chosen[0][0]: chosen for chosen in arms_of(names, report.facts)}
    for arm in report.arms:
        try:
            one = _of_arm(report, arm, members[arm.name], root, results)
        except (CheckpointError, SubjectError):
            continue
        if one is not None:
            found.append(one)
    return tuple(found)


def _of_arm(
    report: StudyReport, arm: Arm, chosen: Sequence[tuple[str, str]], root: Path, results: pd.DataFrame
) -> Dreamt | None:
    histories: Any = None
    each: list[tuple[str, int, Foreseen]] = []
    strips = []
    shown = 0
    last = results[results["final"] & results["finite"] & (results["phase"] == "transfer")]
    owners = []
    for variant, plan in chosen:
        mine = last[(last["variant"] == variant) & (last["plan"] == plan)].sort_values(["base_seed", "seed"])
        for row in mine.head(MOST_RUNS).to_dict("records"):
            subject = open_subject(root / row["path"])
            if histories is None:
                if not isinstance(subject.tasks, Remembered):
                    return None
                histories = subject.tasks.histories("target", HISTORIES, SEED)
            seen = _foreseen(subject, histories)
            if seen is None:
                return None
            if not each:
                shown = longest(seen)
                strips.append(("As it came", seen.came[shown]))
            if plan not in {name for name, _, _ in each}:
                whose = f"{plan}, base {row['base_seed']}, transfer {row['seed']}"
                strips.append((whose, seen.expected[shown]))
            each.append((plan, int(row["seed"]), seen))
        known = report.facts.variants.get(variant)
        owners.append(variant if known is None else known.owner)
    if histories is None:
        return None
    for base in _bases(results, owners[0]):
        seen = _foreseen(open_subject(root / base["path"]), histories)
        if seen is not None:
            if BASES not in {name for name, _, _ in each}:
                strips.insert(1, (f"Base {base['base_seed']}, before any transfer", seen.expected[shown]))
            each.append((BASES, int(base["seed"]), seen))
    return Dreamt(arm.name, len(each[0][2].kept), drift_of(each), tuple(strips))


def _bases(results: pd.DataFrame, owner: str) -> Iterator[Mapping[Any, Any]]:
    rows = results[results["final"] & results["finite"] & (results["phase"] == "base")]
    yield from rows[rows["variant"] == owner].sort_values("seed").head(MOST_RUNS).to_dict("records")


def _foreseen(subject: Subject, histories: Any) -> Foreseen | None:
    if not isinstance(subject.objective, Foreseeing):
        return None
    with one_thread():
        return subject.objective.foresee(require(subject, "parameters", subject.parameters), histories)


def drift_of(each: Sequence[tuple[str, int, Foreseen]]) -> pd.DataFrame:
    """Rows quantity, name, step, value, low, high, runs: over the runs of each name the mean, least and most.

    A run's number is its mean over the histories that go on so far; steps with fewer than :data:`FEWEST` of
    them are left out.
    """
    rows = []
    for name in dict.fromkeys(name for name, _, _ in each):
        own = [seen for other, _, seen in each if other == name]
        for quantity in own[0].losses:
            rows += _rows(quantity, name, [_means(seen.losses[quantity]) for seen in own])
    rows += _rows("off", KEPT, [_means(each[0][2].kept)])
    return pd.DataFrame(rows)


def _rows(quantity: str, name: str, runs: Sequence[Floats]) -> list[dict[str, Any]]:
    table = np.array(runs)
    return [
        {
            "quantity": quantity,
            "name": name,
            "step": step,
            "value": float(values.mean()),
            "low": float(values.min()),
            "high": float(values.max()),
            "runs": len(values),
        }
        for step, values in enumerate(table.T)
        if np.isfinite(values).all()
    ]


def _means(values: Floats) -> Floats:
    """(1 + H,) means over histories (k, 1 + H), NaN where fewer than :data:`FEWEST` go on."""
    there = np.isfinite(values)
    counts = there.sum(0)
    sums = np.where(there, values, 0.0).sum(0)
    return np.where(counts >= FEWEST, sums / np.maximum(counts, 1), np.nan)
