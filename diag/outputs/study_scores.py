"""What agents that act earn in a study, on its page, like the first paper's figures 8, 9, 10, 16 and 18."""

from __future__ import annotations

import numpy as np
import pandas as pd

from diag.outputs.study_groups_html import many, medians
from diag.outputs.study_pixels import episodes_sections, planes_sections
from diag.outputs.study_scores_text import (
    gated_words,
    milder_words,
    mine_of,
    predictor_name,
    predictor_words,
    standards_of,
    standards_words,
    threshold_words,
    told,
)
from diag.outputs.words import number
from diag.studies import paper
from diag.studies.report import RELATIONS
from diag.studies.result import Outcomes, StudyReport
from diag.studies.sentence import of, percent, short_name
from diag.studies.success import lower
from diag.wording import listed, plural
from reports import Figure, Section, scores

SAID = 2
"""Most paragraphs beside a chart; the others are notes."""

DRAWN = ("l2", "relation", "r2_identity", "own_states")
"""Measures of the embedding whose ROC curves are drawn; all are in the table."""


def scores_sections(report: StudyReport) -> list[Section]:
    """The sections of a study of agents that act, in order."""
    parts = [_earned(report), *_on_the_way(report)] if report.by == "score" else []
    parts += _against(report) + _predictors(report)
    parts += _figure(
        report,
        "bases",
        "Scores by base and by seed",
        "The lines are mean scores of the reference's transfers and the bands their standard errors, grouped "
        "by their base and by their own seed, like the paper's figure 8. If success depends on the base, the "
        "lines part on the left alone.",
    )
    parts += _approaches(report) + _sweep(report) + _terms(report)
    return parts + planes_sections(report) + episodes_sections(report)


def _lines(report: StudyReport) -> pd.DataFrame:
    """The standards as dashed lines."""
    return pd.DataFrame(
        [{"score": s.score, "name": s.whose} for s in standards_of(report)], columns=["score", "name"]
    )


def _earned(report: StudyReport) -> Section:
    first = report.groups[0]
    mine = mine_of(report)
    rows = mine.assign(
        base=mine["base_seed"].astype(str),
        told=[
            f"transfer {s} of base {b}: score {number(v)}, {r}"
            for b, s, v, r in zip(
                mine["base_seed"], mine["seed"], mine["score"], mine["relation"], strict=True
            )
        ],
    )[["base", "score", "outcome", "told"]]
    done = [c for c in first.cells if c.succeeded.n and c.base_score is not None]
    bases = pd.DataFrame([{"base": str(c.base_seed), "score": c.base_score} for c in done])
    least = lower(standards_of(report))
    words = [standards_words(report)] if report.by != "score" else []
    notes = [f"A transfer succeeds if {report.rule}. {standards_words(report)}"]
    if least is not None:
        weak = [str(c.base_seed) for c in done if c.base_score is not None and c.base_score <= least.score]
        if weak:
            words.append(
                f"No transfer of base {listed(weak)} can succeed, because the base itself earns no more than "
                f"{least.whose}."
            )
    words += milder_words(report)
    rates = percent(first.succeeded)
    words.insert(0, f"{of(first.succeeded)} transfers of the reference plan succeed ({rates}).")
    table = pd.DataFrame(
        [
            {
                "plan": short_name(g, report.groups),
                "base": str(c.base_seed),
                "its score": number(c.base_score),
                "succeed": of(c.succeeded),
                "score, successes": number(c.score.success),
                "failures": number(c.score.failure),
            }
            for g in report.groups
            for c in g.cells
            if c.succeeded.n
        ]
    )
    if many(report):
        notes.append("The table gives medians of every plan and variant.")
        table = medians(report, {"score": "score"})
    chart = scores.earned(rows, bases, _lines(report))
    figure = Figure(
        chart, "Scores of the transfers of each base, beside the base's own and those of no skill."
    )
    return Section("What the transfers earn", words, figure, table, notes, folded=True, short="Scores")


def _on_the_way(report: StudyReport) -> list[Section]:
    if report.distances.empty:
        return []
    returns, distances = (_panelled(t) for t in (report.returns, report.distances))
    marks = pd.DataFrame(columns=["l2", "name"])
    words = [
        "Each line is one transfer, coloured by how it ends, and the blue line is the base on its own task. "
        "Scores are those that training took on the way. The dashed lines are scores without any skill."
    ]
    if paper.PAID.get(report.facts.world or ""):
        marks = pd.DataFrame(
            [
                {"l2": paper.L2_SUCCESS.value, "name": "the paper's successes"},
                {"l2": paper.L2_FAILURE.value, "name": "the paper's failures"},
            ]
        )
        words.append("In the panels of distances they are those of the paper's successes and failures.")
    lines = _lines(report)
    skill = f" Dashed: {listed(list(lines['name']))}." if len(lines) else ""
    others = f" Dashed: {listed(list(marks['name']))}." if len(marks) else ""
    kinds = (
        ("Scores", returns, "score", lines, f"Each line is a transfer's score; blue is the base's.{skill}"),
        ("Distances", distances, "l2", marks, f"Each line is a transfer's L2 distance to its base.{others}"),
    )
    return [
        Section(
            f"{name} on the way",
            [],
            Figure(
                scores.on_the_way(runs, column, rules),
                f"{name} over updates, a panel a base and a line a transfer.",
                caption,
            ),
            notes=words,
            short=f"{name} on the way",
        )
        for name, runs, column, rules, caption in kinds
        if len(runs)
    ]


def _panelled(table: pd.DataFrame) -> pd.DataFrame:
    if table.empty:
        return table
    run = [
        "the base" if outcome == "base" else f"transfer {seed}"
        for seed, outcome in zip(table["seed"], table["outcome"], strict=True)
    ]
    panel = [f"base {base}" for base in table["base_seed"]]
    return table.assign(run=run, panel=panel).drop(columns=["base_seed", "seed"])


def _against(report: StudyReport) -> list[Section]:
    mine = mine_of(report) if report.by == "score" else pd.DataFrame()
    mine = mine[np.isfinite(mine["l2"])] if len(mine) else mine
    if mine.empty:
        return []
    rows = pd.DataFrame(
        {
            "l2": mine["l2"].round(4),
            "score": mine["score"].round(4),
            "relation": mine["relation"],
            "base": mine["base_seed"].astype(str),
            "told": [
                f"transfer {s} of base {b}: {r}, L2 {number(d)}, score {number(v)}"
                for b, s, r, d, v in zip(
                    mine["base_seed"], mine["seed"], mine["relation"], mine["l2"], mine["score"], strict=True
                )
            ],
        }
    )
    marks = pd.DataFrame(columns=["l2", "score", "name"])
    words = ["Each point is a transfer of the reference plan, coloured by its relation to its base."]
    if report.facts.world in paper.PAID:
        marks = pd.DataFrame(
            [
                {"l2": d.value, "score": s.value, "name": f"the paper's {name}"}
                for d, s, name in (
                    (paper.L2_SUCCESS, paper.SCORE_SUCCESS, "successes"),
                    (paper.L2_FAILURE, paper.SCORE_FAILURE, "failures"),
                )
            ]
        )
        words.append(
            "The two rings are the paper's successes and failures (L2 about 1.1 and 6.2, section 5.2.2; "
            "scores of about +1, read off figure 8, and −5, appendix B)."
        )
        if not paper.PAID[report.facts.world]:
            words.append(
                "The paper's labyrinths are larger and have more keys and steps, so that its numbers show "
                "the order and not where the points should lie."
            )
    chart = scores.against_score(rows, marks, _lines(report))
    figure = Figure(chart, "Scores against distances to the base, coloured by relation.")
    return [
        Section(
            "Score against distance", words[:SAID], figure, notes=words[SAID:], short="Score and distance"
        )
    ]


def _predictors(report: StudyReport) -> list[Section]:
    if not report.predictors:
        return []
    rows = []
    for kind, chosen in (
        ("the embedding", [p for p in report.predictors if p.name in DRAWN]),
        ("losses", [p for p in report.predictors if p.name.startswith("loss_")]),
    ):
        for p in chosen:
            for column, curve in (("over all transfers", p.roc), ("within bases", p.roc_within)):
                rows += [
                    {
                        "row": kind,
                        "column": column,
                        "name": predictor_name(p),
                        "alarms": round(float(a), 4),
                        "found": round(float(f), 4),
                        "order": place,
                    }
                    for place, (a, f) in enumerate(zip(curve.alarms, curve.found, strict=True))
                ]
    table = pd.DataFrame(
        [
            {
                "sign of failure": predictor_name(p),
                "AUC, all": told(p.area),
                "within": told(p.within),
                "threshold": threshold_words(p),
                "rank": told(p.rank),
            }
            for p in report.predictors
        ]
    )
    words = [*predictor_words(report), *gated_words(report)]
    notes = [
        "Each measure is taken as a sign of failure. The area under its ROC curve (AUC) is how often a "
        "failure has the worse value of a failure and a success: 0.5 tells nothing, 1 all. Over all "
        "transfers a measure may only tell bases apart; within bases it compares those of one base alone.",
        "Intervals resample whole bases, and are at least as wide as Newcombe's, which takes transfers for "
        "independent. The threshold is Youden's: it parts failures from successes best. The rank is "
        "Spearman's correlation with the score, over all transfers. R² and states count "
        "as a sign of failure where they are low; a relation counts by its place on the ladder "
        f"({', '.join(RELATIONS)}).",
    ]
    areas = pd.DataFrame(
        [
            {
                "name": predictor_name(p),
                "way": way,
                "value": area.value,
                "low": area.value if area.low is None else area.low,
                "high": area.value if area.high is None else area.high,
                "told": f"{predictor_name(p)}, {way}: AUC {told(area)}",
            }
            for p in report.predictors
            for way, area in (("over all transfers", p.area), ("within bases", p.within))
            if area.value is not None
        ]
    )
    parts = []
    if len(areas):
        described = "Areas under the ROC curves of measures and losses as signs of failure, with intervals."
        figure = Figure(scores.areas(areas), described)
        notes = [*words[SAID:], *notes]
        title = "What predicts success"
        parts.append(Section(title, words[:SAID], figure, table, notes, folded=True, short="Predictors"))
    curves = Figure(
        scores.rocs(pd.DataFrame(rows)),
        "ROC curves of measures of the embedding and of losses as signs of failure.",
    )
    return [*parts, Section("ROC curves", [], curves, short="ROC")]


def _figure(report: StudyReport, figure: str, title: str, words: str) -> list[Section]:
    rows = report.scores
    rows = rows[rows["figure"] == figure] if len(rows) else rows
    if rows.empty:
        return []
    drawn = _rounded(rows.drop(columns="figure"))
    chart = scores.means(drawn, _lines(report), 1 if drawn["panel"].nunique() == 1 else 2)
    figure_of = Figure(chart, f"{title}: mean scores over updates, with bands.")
    return [Section(title, [], figure_of, notes=[words])]


def _rounded(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**{c: rows[c].round(3) for c in ("mean", "low", "high")})


def _approaches(report: StudyReport) -> list[Section]:
    parts = _figure(
        report,
        "approaches",
        "Approaches",
        "The lines are mean scores and the bands standard errors, a panel a base, like the paper's figure "
        "10. What learns from scratch has nothing of a base, so that the same runs stand in all panels.",
    )
    if not parts:
        return []
    names = set(report.scores.loc[report.scores["figure"] == "approaches", "name"])
    known = report.facts.variants
    groups = [
        g
        for g in report.groups
        if g.plan in names and g.succeeded.n and not (g.variant in known and known[g.variant].differs)
    ]
    table = pd.DataFrame(
        [
            {
                "approach": g.plan,
                "succeed": of(g.succeeded),
                "share": percent(g.succeeded),
                "score, successes": number(medians.success),
                "failures": number(medians.failure),
            }
            for g in groups
            for medians in [next((t.median for t in g.told if t.name == "score"), Outcomes(None, None))]
        ]
    )
    words, notes = [], parts[0].notes
    if report.facts.world in paper.PAID:
        said = [f"{g.plan}: {paper.APPROACHES[g.plan]}" for g in groups if g.plan in paper.APPROACHES]
        words.append(f"What the paper says of them (section 5.2.3): {'; '.join(said)}.")
    return [Section(parts[0].title, words, parts[0].figure, table, notes)]


def _sweep(report: StudyReport) -> list[Section]:
    swept = report.sweep
    if swept is None:
        return []
    with_paper = report.facts.world in paper.PAID and swept.setting == paper.RATE_SETTING
    points = swept.points
    said = []
    for row in points.to_dict("records"):
        line = f"{row['count']} of {row['n']}"
        their = next((ok for rate, ok in paper.RATES.items() if np.isclose(rate, row["value"])), None)
        if with_paper and their is not None:
            line += f"\npaper: {'mostly' if their else 'seldom'}"
        said.append(line)
    drawn = pd.DataFrame(
        {
            "name": [f"{v:g}" for v in points["value"]],
            "mean": points["mean"],
            "low": points["mean"] - points["sd"],
            "high": points["mean"] + points["sd"],
            "said": said,
        }
    )
    runs = pd.DataFrame(
        {
            "name": [f"{v:g}" for v in swept.transfers["value"]],
            "score": swept.transfers["score"].round(3),
            "outcome": swept.transfers["outcome"],
            "told": [
                f"transfer {s} of base {b}: score {number(v)}"
                for b, s, v in zip(
                    swept.transfers["base_seed"],
                    swept.transfers["seed"],
                    swept.transfers["score"],
                    strict=True,
                )
            ],
        }
    )
    bases = listed([str(b) for b in sorted(set(swept.transfers["base_seed"]))])
    words = [
        f"The points are the last scores of transfers of base {bases} at each value of {swept.setting}; "
        "squares and lines are their means and standard deviations. The numbers on top say how many succeed"
        + (
            ", and whether those of the paper's figure 18 mostly or seldom do (appendix D; six of each)."
            if with_paper
            else "."
        )
    ]
    chart = scores.sweep(drawn, runs, _lines(report), swept.setting)
    parts = [
        Section(
            f"Values of {swept.setting}", words, Figure(chart, f"Scores at each value of {swept.setting}.")
        )
    ]
    return parts + _figure(
        report,
        "setting",
        f"Scores over updates by {swept.setting}",
        "The bands are standard deviations, like the paper's figure 18.",
    )


def _terms(report: StudyReport) -> list[Section]:
    if report.terms.empty:
        return []
    who = {
        o: plural(int(n), *names)
        for (o, names) in {
            "base": ("base", "bases"),
            "success": ("success", "successes"),
            "failure": ("failure", "failures"),
        }.items()
        if (n := report.terms.loc[report.terms["who"] == o, "n"].max()) == n
    }
    words = [
        f"The points are medians and the lines quartiles of the last losses of {listed(list(who.values()))} "
        "of the reference plan, each on its own task."
    ]
    if report.facts.world in paper.PAID:
        words.append(
            f"Of the losses in its figure 16 the paper says that {paper.LABYRINTH_LOSSES} in failing "
            "transfers (appendix B), and that all are small."
        )
    figure = Figure(scores.losses(report.terms), "Medians of each loss for bases, successes and failures.")
    return [Section("Losses of bases, successes and failures", words, figure, short="Losses")]
