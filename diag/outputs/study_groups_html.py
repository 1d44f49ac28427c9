"""Many plans and variants of a study on its page: a row a group, where few have tables by base."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from diag.outputs.study_groups_text import MOST_WHOLE, by_base
from diag.outputs.study_words import corrected_p, shares_apart
from diag.outputs.words import number
from diag.studies.result import Group, Outcomes, StudyReport
from diag.studies.sentence import of, percent, short_name
from reports import Figure, Section, studies


def many(report: StudyReport) -> bool:
    """Whether groups have a row each, and only the reference has tables by base."""
    return len(report.groups) > MOST_WHOLE


def groups_section(report: StudyReport, words: Sequence[str]) -> Section:
    """Success of every group, drawn and in a table, and how it differs from the reference's."""
    rows = [
        {
            "group": short_name(g, report.groups),
            "succeeded": of(g.succeeded) if g.succeeded.n else "none yet",
            "by base": by_base(g) or "–",
            "share": percent(g.succeeded),
            "difference": "–"
            if g.against_reference is None
            else shares_apart(g.against_reference.difference),
            "p, Holm": "–" if g.against_reference is None else corrected_p(g.against_reference.tested),
        }
        for g in report.groups
    ]
    done = [g for g in report.groups if g.succeeded.n]
    described = "The share of transfers that succeed, for each group."
    if _in_both(report.groups):
        cells = [
            {
                "variant": g.variant,
                "plan": g.plan,
                "share": g.succeeded.share,
                "said": of(g.succeeded),
                "told": f"{short_name(g, report.groups)}: {of(g.succeeded)} succeed, {percent(g.succeeded)}",
            }
            for g in done
        ]
        chart = studies.matrix(pd.DataFrame(cells))
    else:
        spans = [
            {
                "panel": "",
                "base": short_name(g, report.groups),
                "share": g.succeeded.share,
                "low": g.succeeded.low,
                "high": g.succeeded.high,
                "said": of(g.succeeded),
            }
            for g in done
        ]
        none = pd.DataFrame(columns=["name", "share"])
        chart = studies.rates(pd.DataFrame(spans), none, _title(report.groups))
    figure = Figure(chart, described)
    return Section("Plans and variants", [], figure, pd.DataFrame(rows), words, folded=True, short="Plans")


def relations_figure(report: StudyReport) -> tuple[Figure, pd.DataFrame]:
    """How many transfers of every group have which relation."""
    done = [g for g in report.groups if g.succeeded.n]
    kinds = list(dict.fromkeys(kind for g in done for kind in g.relations))
    rows = [
        {
            "panel": "",
            "base": short_name(g, report.groups),
            "relation": kind,
            "count": count,
            "order": order,
        }
        for g in done
        for order, (kind, count) in enumerate(g.relations.items())
    ]
    table = pd.DataFrame(
        [
            {
                "group": short_name(g, report.groups),
                **{kind: str(g.relations.get(kind) or "·") for kind in kinds},
            }
            for g in done
        ]
    )
    chart = studies.relations(pd.DataFrame(rows), _title(report.groups))
    return Figure(chart, "Bars of how many transfers of each group have each relation."), table


def medians(report: StudyReport, kinds: dict[str, str]) -> pd.DataFrame:
    """Medians of every group by outcome; ``kinds`` are numbers with their titles."""
    rows = []
    for group in report.groups:
        if not group.succeeded.n:
            continue
        row = {"group": short_name(group, report.groups), "succeeded": of(group.succeeded)}
        for kind, title in kinds.items():
            found = next((t.median for t in group.told if t.name == kind), Outcomes(None, None))
            row |= {f"{title}, successes": number(found.success), f"{title}, failures": number(found.failure)}
        rows.append(row)
    return pd.DataFrame(rows)


def _in_both(groups: Sequence[Group]) -> bool:
    """Whether groups differ in their variants and in their plans."""
    return len({g.variant for g in groups}) > 1 and len({g.plan for g in groups}) > 1


def _title(groups: Sequence[Group]) -> str:
    return "variant" if len({g.plan for g in groups}) == 1 else "plan"
