"""What agents that act earn in a study, in words, and for a terminal."""

from __future__ import annotations

import numpy as np
import pandas as pd

from diag.outputs.layout import Column, table, wrapped
from diag.outputs.words import hundredths, number, span
from diag.studies.report import RELATIONS
from diag.studies.result import StudyReport
from diag.studies.scored import Predictor
from diag.studies.sentence import of, percent
from diag.studies.success import lower
from diag.wording import listed
from probes import Measure
from trainers.system import Standard

MEASURES = {
    "l2": "L2 distance",
    "l2_relative": "L2 over the base's spread",
    "relation": "relation, by its rung",
    "r2_identity": "R² as it is",
    "r2_orthogonal": "R² by a rotation",
    "own_states": "states in place",
    "loss_total": "total loss",
}
"""Predictors in words; the other losses go by their own names."""


def score_lines(report: StudyReport) -> list[str]:
    """What the transfers earn, and what predicts it; nothing where success is not judged by scores."""
    if report.by != "score":
        return []
    words = [standards_words(report), *milder_words(report)]
    lines = ["", *(line for told_of in words for line in wrapped(told_of))]
    if report.predictors:
        columns = (
            Column("sign of failure", 26, "<"),
            Column("AUC over all", 18),
            Column("within bases", 18),
            Column("threshold", 16),
        )
        rows = [
            (predictor_name(p), told(p.area), told(p.within), threshold_words(p).partition(" [")[0])
            for p in report.predictors
        ]
        lines += ["", *table(columns, rows)]
        said = [*predictor_words(report), *gated_words(report)]
        lines += ["", *(line for told_of in said for line in wrapped(told_of))]
    if report.sweep is not None:
        columns = (
            Column(report.sweep.setting, 24),
            Column("succeeded", 11),
            Column("mean score", 12),
            Column("sd", 8),
        )
        swept = [
            (f"{r['value']:g}", f"{r['count']} of {r['n']}", number(r["mean"]), number(r["sd"]))
            for r in report.sweep.points.to_dict("records")
        ]
        lines += ["", *table(columns, swept)]
    return lines


def standards_words(report: StudyReport) -> str:
    """What a score is, and what agents earn that have learned nothing."""
    earn = [f"{s.whose} earns {number(s.score)}" for s in standards_of(report)]
    return f"A score is the mean return of 200 episodes; {listed(earn)}."


def standards_of(report: StudyReport) -> tuple[Standard, ...]:
    """The standards of the reference's variant."""
    first = report.reference
    known = None if first is None else report.facts.variants.get(first.variant)
    return () if known is None else known.standards


def milder_words(report: StudyReport) -> list[str]:
    """How many would succeed if the other standards were the lower one; empty where there is one."""
    mine, standards = mine_of(report), standards_of(report)
    least = lower(standards)
    told = []
    for standard in standards:
        if least is not None and standard != least and len(mine):
            halfway = (mine["base_score"] + standard.score) / 2
            count = int(((mine["score"] >= halfway) & (mine["base_score"] > standard.score)).sum())
            told.append(
                f"Held against {standard.whose} ({number(standard.score)}) instead of {least.whose}, {count} "
                f"of {len(mine)} transfers would succeed."
            )
    return told


def mine_of(report: StudyReport) -> pd.DataFrame:
    """The reference's transfers that have a score."""
    first, every = report.groups[0], report.transfers
    own = every[(every["variant"] == first.variant) & (every["plan"] == first.plan)]
    return pd.DataFrame(own.loc[np.isfinite(own["score"])])


def gated_words(report: StudyReport) -> list[str]:
    """What the gate's check of the relation would have said of the reference's transfers."""
    found = report.gated
    if found is None:
        return []
    said = []
    for rate, of_what, does in (
        (found.false_passes, "failures", "pass"),
        (found.false_alarms, "successes", "fail"),
    ):
        if rate.n:
            said.append(f"{of(rate)} {of_what} {does} ({percent(rate)})")
    unknown = f"; of {found.undecided} of all transfers the relation is undecided" if found.undecided else ""
    return [f"By a gate that asks for matched embeddings, {' and '.join(said)}{unknown}."]


def predictor_name(predictor: Predictor) -> str:
    """A predictor in words: ``total loss``, ``transition loss``."""
    return MEASURES.get(predictor.name, f"{predictor.name.removeprefix('loss_')} loss")


def told(measure: Measure) -> str:
    """``0.93 [0.81, 1.00]``, or a dash."""
    return f"{hundredths(measure.value)} {span(measure)}".strip()


def threshold_words(predictor: Predictor) -> str:
    """The best threshold with its interval; that of a relation by the names it stands between."""
    found = predictor.threshold
    if predictor.name != "relation" or found.value is None:
        digits = 2 if abs(found.value or 0.0) >= 0.1 else 4
        return f"{number(found.value, digits)} {span(found, digits)}".strip()
    beyond = RELATIONS[min(int(found.value), len(RELATIONS) - 1)]
    return f"beyond {beyond}"


MOST_NAMED = 4
"""Most measures without an answer that a sentence names; the table has all."""


def predictor_words(report: StudyReport) -> list[str]:
    """Sentences on which measures are shown to predict success, over all and within bases."""
    sentences = []
    for where, areas in (
        ("Over all transfers", {predictor_name(p): p.area for p in report.predictors}),
        ("Within bases", {predictor_name(p): p.within for p in report.predictors}),
    ):
        known = {n: m for n, m in areas.items() if m.low is not None and m.high is not None}
        sure = [n for n, m in known.items() if m.low is not None and m.low > 0.5]
        wrong = [n for n, m in known.items() if m.high is not None and m.high < 0.5]
        unsure = [n for n in known if n not in sure and n not in wrong]
        if not known:
            sentences.append(f"{where}, nothing can be said: no base has a success and a failure.")
            continue
        parts = [
            f"failure is shown to go with {listed(sure)}" if sure else "nothing is shown to predict success"
        ]
        if unsure and sure:
            whom = listed(unsure) if len(unsure) <= MOST_NAMED else f"the other {len(unsure)} measures"
            parts.append(f"it is not shown for {whom}")
        if wrong:
            parts.append(f"it goes with better values of {listed(wrong)}")
        sentences.append(f"{where}, {'; '.join(parts)}.")
    return sentences
