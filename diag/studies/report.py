"""The report of a study: from its tables and pictures to rates, tests, curves and one sentence.

A transfer whose weights are not finite counts as failed. A study that is not finished is reported from what
there is, and the report says what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from diag.studies import StudyError
from diag.studies.beside import beside
from diag.studies.beside_games import WORLD as GAMES
from diag.studies.beside_games import beside_games
from diag.studies.curves import base_curves, loss_curves, progress_curves
from diag.studies.plans import in_words, side_by_side
from diag.studies.prediction import gated, predictors
from diag.studies.result import (
    Beside,
    Cell,
    Compared,
    Curve,
    EmbeddingPicture,
    Group,
    Outcomes,
    PlannedCell,
    PValue,
    StudyFacts,
    StudyReport,
    Told,
)
from diag.studies.scores import distances_on_the_way, returns_on_the_way, score_curves, spreads, sweep
from diag.studies.sentence import missing_lines, verdict
from diag.studies.stages import labelled, stages
from diag.studies.statistics import (
    auc,
    auc_within,
    boschloo,
    dip,
    each_against_rest,
    holm,
    mean_over_bases,
    over_bases,
    same_rate,
    stratified,
    wilson,
)
from diag.studies.success import base_row, common, judged
from diag.studies.table import KEY

__all__ = [
    "Beside",
    "Cell",
    "Compared",
    "Curve",
    "EmbeddingPicture",
    "Group",
    "PlannedCell",
    "StudyFacts",
    "StudyReport",
    "report",
]

REFERENCE_VARIANT, REFERENCE_PLAN = "main", "freeze-dynamics"
"""The paper's own way, which others are held against; without it, the first that was planned or found."""

MOST_PAIRED_BASES = 12
"""Bases up to which every pair is tested: 66 pairs already need p < 0.0008 for the first."""

MARGINS_BELOW = 11
"""States fewer than all down to which the margin of success is moved."""

RELATIONS = ("matched", "flipped", "permuted", "rotated", "rescaled", "affine", "collapsed", "unrelated")
UNDECIDED, BROKEN = "undecided", "not finite"

EARNED = ("score", "base_score", "retained")
"""Columns of transfers that act."""

_TOLD = ("score", "l2", "loss_total", "gradient_norm", "mended_loss", "mended_escape")


def report(
    results: pd.DataFrame,
    curves: pd.DataFrame,
    facts: StudyFacts,
    pictures: Sequence[EmbeddingPicture] = (),
    returns: pd.DataFrame | None = None,
) -> StudyReport:
    """The report of a study from its two tables (:mod:`diag.studies.table`) and pictures.

    ``curves`` and ``pictures`` may be empty, and ``results`` may have a column ``score``. ``returns`` are
    those that training took on the way, a row each with the columns that name a row, and ``score``. Raises
    StudyError for tables without the columns that name a row.
    """
    returns = pd.DataFrame() if returns is None else returns
    for name, table in (("results", results), ("curves", curves), ("returns", returns)):
        if absent := [column for column in KEY[:-1] if len(table) and column not in table]:
            raise StudyError(f"the table of {name} has no column {absent[0]!r}")
    table = _typed(results)
    transfers = table[table["phase"] == "transfer"]
    last = transfers[transfers["final"]].reset_index(drop=True)
    bases = table[(table["phase"] == "base") & table["final"]]
    found = judged(last, bases, facts)
    last = found.rows.assign(name=_relation_names(found.rows))
    states, needed = common(last, "states"), common(last, "success_states")
    names = _group_names(last, facts.planned)
    groups = _against_first([_group(n, last, bases, facts, transfers, curves) for n in names])
    shown = labelled(pictures, last)
    missing = missing_lines(facts, groups, bases, last)
    whole = StudyReport(
        facts,
        verdict(groups, facts, found.by, bool(missing)),
        found.rule,
        states,
        needed,
        tuple(groups),
        missing,
        beside(groups, facts, last, bases),
        _transfers(last, found.by == "score" or bool(last["score"].notna().any())),
        score_curves(transfers, returns, names, facts),
        base_curves(curves, groups),
        stages(shown, groups),
        tuple(p for p in shown if p.final),
        found.by,
    )
    if found.by == "relation":
        return _side_by_side(whole, curves, returns, last, names)
    if found.by != "score":
        return whole
    first = names[0]
    owner = facts.variants[first[0]].owner if first[0] in facts.variants else first[0]
    mine = last[(last["variant"] == first[0]) & (last["plan"] == first[1])]
    return replace(
        whole,
        predictors=predictors(mine, RELATIONS),
        gated=gated(mine, UNDECIDED),
        sweep=sweep(last, names, facts),
        returns=returns_on_the_way(returns, last, first, owner),
        distances=distances_on_the_way(transfers, last, first),
        terms=spreads(mine, bases[bases["variant"] == owner]),
    )


def _side_by_side(
    whole: StudyReport,
    curves: pd.DataFrame,
    returns: pd.DataFrame,
    last: pd.DataFrame,
    names: Sequence[tuple[str, str]],
) -> StudyReport:
    """The report with its plans side by side, and with what they show in its sentence."""
    arms = side_by_side(curves, returns, last, names, whole.facts)
    if not arms:
        return whole
    told = " ".join(part for part in (whole.verdict.summary, in_words(arms)) if part)
    games = beside_games(arms) if whole.facts.world == GAMES else ()
    verdict = replace(whole.verdict, summary=told)
    groups = tuple(replace(group, margins=()) for group in whole.groups)  # no number of states is asked for
    return replace(whole, groups=groups, arms=arms, verdict=verdict, beside=(*whole.beside, *games))


def _typed(results: pd.DataFrame) -> pd.DataFrame:
    """The columns that are read, of the types that are documented; rows in their order, each once."""
    table = results.copy()
    for column in ("variant", "phase", "plan"):
        table[column] = table[column].astype(object) if column in table else ""
    for column in ("base_seed", "seed", "step", "updates"):
        table[column] = table[column].astype("int64") if column in table else 0
    for column in ("states", "success_states", "own_states", *_TOLD):
        table[column] = pd.to_numeric(table[column]) if column in table else np.nan
        table[column] = table[column].astype("float64")
    for column in ("final", "finite"):
        table[column] = table[column].astype(bool) if column in table else True
    table["succeeded"] = table["succeeded"].astype("boolean") if "succeeded" in table else pd.NA
    table["succeeded"] = table["succeeded"].astype("boolean")
    table["relation"] = table["relation"].astype(object) if "relation" in table else None
    table = table.drop_duplicates(list(KEY), keep="last")
    return table.sort_values(["base_seed", "seed", "step"], kind="stable", ignore_index=True)


def _relation_names(last: pd.DataFrame) -> list[str]:
    return [
        BROKEN if not finite else UNDECIDED if pd.isna(relation) else str(relation)
        for finite, relation in zip(last["finite"], last["relation"], strict=True)
    ]


def _group_names(last: pd.DataFrame, planned: Sequence[PlannedCell]) -> list[tuple[str, str]]:
    """Variant and plan of every group, the reference first, then as planned, then as found."""
    pairs = [(c.variant, c.plan) for c in planned]
    pairs += list(zip(last["variant"], last["plan"], strict=True))
    names = list(dict.fromkeys(pairs))
    names.sort(key=lambda n: (n[0] != REFERENCE_VARIANT, n[1] != REFERENCE_PLAN))
    first, rest = names[:1], set(names[1:])
    return first + [name for name in dict.fromkeys(pairs) if name in rest]


def _group(
    name: tuple[str, str],
    last: pd.DataFrame,
    bases: pd.DataFrame,
    facts: StudyFacts,
    transfers: pd.DataFrame,
    curves: pd.DataFrame,
) -> Group:
    mine = last[(last["variant"] == name[0]) & (last["plan"] == name[1])].reset_index(drop=True)
    wanted = {c.base_seed: c.transfers for c in facts.planned if (c.variant, c.plan) == name}
    seeds = sorted({*wanted, *(int(s) for s in mine["base_seed"])})
    cells = [
        _cell(name, s, mine[mine["base_seed"] == s], wanted.get(s), base_row(bases, facts, name[0], s))
        for s in seeds
    ]
    done = [c for c in cells if c.succeeded.n]
    counts, totals = [c.succeeded.count for c in done], [c.succeeded.n for c in done]
    if len(done) > 1:
        rest = [boschloo(counts[0], totals[0], counts[1], totals[1])] * 2
        rest = rest if len(done) == 2 else each_against_rest(counts, totals)
        corrected = rest if len(done) == 2 else holm(rest)  # two bases are one test
        tested = {c.base_seed: PValue(p, q) for c, p, q in zip(done, rest, corrected, strict=True)}
        cells = [replace(c, against_rest=tested.get(c.base_seed)) for c in cells]
    success, seeds_of = mine["success"].to_numpy(bool), mine["base_seed"].to_numpy(np.int64)
    kinds = [*_TOLD[:3], *_terms(mine), *_TOLD[3:]]
    told = [
        Told(kind, _medians(mine, kind), auc_within(mine[kind], success, seeds_of))
        for kind in kinds
        if mine[kind].notna().any()
    ]
    return Group(
        *name,
        False,
        tuple(cells),
        wilson(int(success.sum()), len(mine)),
        wilson(int(mine["matched"].sum()), len(mine)),
        over_bases(counts, totals),
        _relations(mine),
        _relations_differ(done),
        same_rate(counts, totals),
        _pairs(done),
        dip(mine["l2"]),
        tuple(told),
        _margins(mine),
        None,
        loss_curves(curves, mine),
        progress_curves(transfers, mine),
    )


def _terms(mine: pd.DataFrame) -> list[str]:
    return [c for c in mine.columns if c.startswith("loss_") and c != "loss_total"]


def _cell(
    name: tuple[str, str], seed: int, mine: pd.DataFrame, planned: int | None, base: pd.Series | None
) -> Cell:
    success = mine["success"].to_numpy(bool)
    loss = mine["loss_total"].to_numpy(float)
    return Cell(
        *name,
        seed,
        planned,
        wilson(int(success.sum()), len(mine)),
        wilson(int(mine["matched"].sum()), len(mine)),
        _relations(mine),
        _medians(mine, "l2"),
        _medians(mine, "loss_total"),
        None if base is None else _median([base["loss_total"]]),
        _medians(mine, "score"),
        None if base is None else _median([base["score"]]),
        auc(loss[success], loss[~success]),
        None,
        None,
    )


def _relations_differ(done: Sequence[Cell]) -> dict[str, float]:
    """Whether the bases differ in what becomes of their transfers, whatever counts as a success."""
    totals = [c.succeeded.n for c in done]
    p_values = {r: same_rate([c.relations.get(r, 0) for c in done], totals) for r in ("matched", "flipped")}
    return {relation: p for relation, p in p_values.items() if p is not None}


def _relations(mine: pd.DataFrame) -> dict[str, int]:
    counts = mine["name"].value_counts()
    known = [*RELATIONS, UNDECIDED, BROKEN]
    others = sorted(set(counts.index) - set(known))
    return {name: int(counts[name]) for name in [*known, *others] if name in counts.index}


def _medians(mine: pd.DataFrame, column: str) -> Outcomes:
    return Outcomes(_median(mine.loc[mine["success"], column]), _median(mine.loc[~mine["success"], column]))


def _median(values: Any) -> float | None:
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else None


def _pairs(done: Sequence[Cell]) -> tuple[tuple[int, int, PValue], ...]:
    if len(done) > MOST_PAIRED_BASES:
        return ()
    pairs = [(a, b) for i, a in enumerate(done) for b in done[i + 1 :]]
    p = [_boschloo(a, b) for a, b in pairs]
    return tuple(
        (a.base_seed, b.base_seed, PValue(raw, corrected))
        for (a, b), raw, corrected in zip(pairs, p, holm(p), strict=True)
    )


def _boschloo(a: Cell, b: Cell) -> float:
    return boschloo(a.succeeded.count, a.succeeded.n, b.succeeded.count, b.succeeded.n)


def _margins(mine: pd.DataFrame) -> tuple[tuple[int, int], ...]:
    states = common(mine, "states")
    if states is None or not mine["own_states"].notna().any():
        return ()
    required = range(states, max(1, states - MARGINS_BELOW) - 1, -1)
    return tuple((n, int((mine["own_states"] >= n).sum())) for n in required)


def _against_first(groups: Sequence[Group]) -> list[Group]:
    """The first as the reference, and what tells each of the others from it, base by base."""
    if not groups:
        return []
    first, *others = groups
    reference = {c.base_seed: c for c in first.cells if c.succeeded.n}
    rows, overall = [], []
    for group in others:
        shared = [c for c in group.cells if c.succeeded.n and c.base_seed in reference]
        p = [_boschloo(c, reference[c.base_seed]) for c in shared]
        tested = {c.base_seed: PValue(a, b) for c, a, b in zip(shared, p, holm(p), strict=True)}
        cells = tuple(replace(c, against_reference=tested.get(c.base_seed)) for c in group.cells)
        ours, theirs = [c.succeeded for c in shared], [reference[c.base_seed].succeeded for c in shared]
        overall.append(
            stratified(
                [r.count for r in ours],
                [r.n for r in ours],
                [r.count for r in theirs],
                [r.n for r in theirs],
            )
        )
        shares = [a.count / a.n - b.count / b.n for a, b in zip(ours, theirs, strict=True)]
        rows.append((replace(group, cells=cells), mean_over_bases(shares), len(shared)))
    corrected = holm(overall)
    return [
        replace(first, reference=True),
        *(
            replace(group, against_reference=Compared(PValue(p, q), difference, bases) if bases else None)
            for (group, difference, bases), p, q in zip(rows, overall, corrected, strict=True)
        ),
    ]


def _transfers(last: pd.DataFrame, acting: bool) -> pd.DataFrame:
    outcome = np.where(last["success"], "success", "failure")
    return pd.DataFrame(
        {
            "variant": last["variant"],
            "plan": last["plan"],
            "base_seed": last["base_seed"],
            "seed": last["seed"],
            "outcome": outcome,
            "relation": last["name"],
            "own_states": last["own_states"],
            "l2": last["l2"],
            "loss": last["loss_total"],
            **({k: last[k] for k in EARNED} if acting else {}),
        }
    )
