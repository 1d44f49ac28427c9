"""The report of a study as a page: the sentence, what succeeded, then the evidence as figures and tables."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from diag.outputs.sections import footer
from diag.outputs.study_groups_html import groups_section, many, medians, relations_figure
from diag.outputs.study_pictures import multiples_sections, stages_section
from diag.outputs.study_plans import plan_sections
from diag.outputs.study_scores import scores_sections
from diag.outputs.study_text import (
    NOT_ALL_ARE_MEANT_TO,
    area,
    both,
    dip_words,
    loss_words,
    rate_words,
    runs,
    told_name,
)
from diag.outputs.study_words import corrected_p, measured_words, shares_apart
from diag.outputs.words import number
from diag.studies import paper
from diag.studies.result import Curve, Group, StudyReport
from diag.studies.sentence import of, percent, short_name
from diag.wording import duration, listed, p_value, plural
from reports import Figure, Key, Page, Section, studies

MOST_KEYS = 5
"""Most numbers below the verdict."""

MOST_DRAWN_GROUPS = 6
"""Most groups whose training curves are drawn: each takes some 50 kB."""

SAID = 1
"""Sentences on the rates of success that stand beside their chart; the others are notes."""

MOST_LISTED = 500
"""Most transfers that the page lists one by one."""

LISTED = {
    "own_states": "states in place",
    "l2": "L2 to the base",
    "loss": "total loss",
    "score": "score",
    "base_score": "its base's score",
}
"""Columns of the list of transfers, with their titles."""

QUANTITIES = {
    "own_states": "states in place",
    "l2": "L2 distance to the base",
    "r2_identity": "R², as it is",
    "r2_signs": "R², best signs",
}


def page(report: StudyReport) -> Page:
    """A study's report as a page."""
    facts = report.facts
    rows = [
        ("preset", facts.preset),
        ("success", report.rule),
        ("bases", f"seeds {runs(facts.base_seeds)}" if facts.base_seeds else "–"),
        ("transfers", f"seeds {runs(facts.transfer_seeds)} of each" if facts.transfer_seeds else "–"),
        ("spent", f"{duration(facts.seconds)} on {facts.device}"),
        ("measured", measured_words(facts)),
        ("versions", ", ".join(f"{n} {v}" for n, v in facts.versions.items())),
        *((name, str(value)) for name, value in facts.settings.items()),
    ]
    return Page(
        facts.name,
        report.verdict.status,
        report.verdict.summary,
        [r for r in rows if r[1]],
        sections(report),
        f"{footer()} Those of shares are Wilson's. All p-values are two-sided.",
        kind="study",
        keys=_keys(report),
    )


def _keys(report: StudyReport) -> list[Key]:
    """How many succeeded, how far they lie, and whether losses tell failures from successes."""
    done = [g for g in report.groups if g.succeeded.n]
    if not done:
        return []
    first = done[0]
    whose = "" if len(done) == 1 else f", {short_name(first, report.groups)}"
    keys = [
        Key(f"transfers succeed{whose}", of(first.succeeded), percent(first.succeeded)),
        Key("matched by the ladder of transformations", of(first.matched)),
    ]
    if first.bases_differ is not None:
        keys.append(Key("p that all bases succeed equally often", p_value(first.bases_differ)))
    medians = {t.name: t for t in first.told}
    for name, title in (("l2", "median L2 distance of successes, of failures"), ("score", "median score")):
        if name in medians:
            success, failure = both(medians[name].median, 2)
            said = " / ".join(word for word in (success, failure) if word != "–")
            keys.append(Key(title if "distance" in title else f"{title} of successes, of failures", said))
    return [key for key in keys if key.value][:MOST_KEYS]


def sections(report: StudyReport) -> list[Section]:
    """The sections of the page, in order; those without content are left out."""
    parts = (
        [Section("What is missing", [f"{words[:1].upper()}{words[1:]}." for words in report.missing])]
        if report.missing
        else []
    )
    if words := measured_words(report.facts):
        parts.append(Section("Several versions measured this", [f"The rows were measured {words}."]))
    first = report.reference
    if first is None or not any(g.succeeded.n for g in report.groups):
        return parts
    parts += [groups_section(report, _plan_words(report))] if many(report) else []
    pictures = multiples_sections(report)
    parts += [_success(report)]
    # Where states decide, the embeddings themselves are what shows why.
    parts += pictures[:1] if report.by == "states" else []
    parts += scores_sections(report) if report.by == "score" else []
    parts += plan_sections(report)
    parts += [_plans(report)] if len(report.groups) > 1 and not many(report) else []
    parts += [_beside(report)] if report.beside else []
    parts += [_relations(report)]
    parts += [_outcomes(report)]
    parts += [_told(report)] if 0 < first.succeeded.count < first.succeeded.n else []
    parts += [_margins(report)] if report.by == "states" and any(g.margins for g in report.groups) else []
    parts += stages_section(report)
    parts += _learning(report)
    parts += scores_sections(report) if report.by != "score" and len(report.scores) else []
    parts += pictures[1:] if report.by == "states" else pictures
    parts += [_pairs(first)] * (len(first.pairs) > 1)
    return [*parts, _every(report)]


def _every(report: StudyReport) -> Section:
    """A row a transfer, which a reader sorts by what they look for."""
    several = len(report.groups) > 1
    shown = report.transfers.head(MOST_LISTED)
    rows = [
        {
            **({"variant": str(row["variant"]), "plan": str(row["plan"])} if several else {}),
            "base": str(row["base_seed"]),
            "seed": str(row["seed"]),
            "outcome": str(row["outcome"]),
            "relation": str(row["relation"] or "–"),
            **{title: _told_number(row.get(column)) for column, title in LISTED.items()},
        }
        for row in shown.to_dict("records")
    ]
    table = pd.DataFrame(rows)
    table = table.drop(columns=[t for t in LISTED.values() if (table[t] == "–").all()])
    words = [f"{plural(len(report.transfers), 'transfer has', 'transfers have')} finished."]
    if len(shown) < len(report.transfers):
        words.append(
            f"The table has the first {MOST_LISTED:,} of them; the others are in the study's results."
        )
    return Section("Every transfer", words, table=table, folded=True)


def _told_number(value: object) -> str:
    return number(float(value), 3) if isinstance(value, int | float) and not pd.isna(value) else "–"


def _names(report: StudyReport) -> dict[tuple[str, str], str]:
    return {(g.variant, g.plan): short_name(g, report.groups) for g in report.groups if g.succeeded.n}


def _success(report: StudyReport) -> Section:
    names, shown = _names(report), report.groups
    if many(report):
        shown = tuple(g for g in shown if g.succeeded.n)[:1]
    rows, table = [], []
    for group in shown:
        name = names.get((group.variant, group.plan), group.name)
        for c in group.cells:
            rate = c.succeeded
            line = {"plan": name} if len(shown) > 1 else {}
            line |= {
                "base": str(c.base_seed),
                "succeeded": of(rate) if rate.n else "none yet",
                "share": percent(rate),
                "matched": of(c.matched) if rate.n else "–",
                "p, the rest": corrected_p(c.against_rest),
            }
            if len(shown) > 1:
                line["p, the reference"] = corrected_p(c.against_reference)
            if report.missing:
                line["missing"] = str(c.missing or "–")
            table.append(line)
            if rate.n:
                point = {"panel": name, "base": str(c.base_seed), "share": rate.share}
                rows.append({**point, "low": rate.low, "high": rate.high, "said": of(rate)})
        if group.succeeded.n and len(group.cells) > 1:
            line = {"plan": name} if len(shown) > 1 else {}
            line |= {"base": "all", "succeeded": of(group.succeeded), "share": percent(group.succeeded)}
            table.append(line | {"matched": of(group.matched)})
    first = shown[0]
    told = rate_words(first)
    words = [f"A transfer succeeds if {report.rule}.", *told[:SAID]]
    notes = [
        *told[SAID:],
        "A transfer is matched if the ladder of transformations says so, which allows states to be displaced "
        "a little.",
        "The p-value of a base is that of Boschloo's exact test against all other bases together"
        + (", and against the reference plan from the same base" if len(shown) > 1 else "")
        + ", with Holm's correction over bases.",
    ]
    ours = report.facts.world in (None, paper.WORLD)
    theirs = [{"name": f"paper, base {b.base}", "share": b.count / b.n} for b in paper.BASES if ours]
    published = pd.DataFrame(theirs, columns=["name", "share"])
    chart = studies.rates(pd.DataFrame(rows), published)
    figure = Figure(chart, "The share of transfers that succeed with its interval, for each base.")
    of_which = f": {short_name(first, report.groups)}" if len(shown) < len(report.groups) else ""
    rates = pd.DataFrame(table).fillna("")
    return Section(f"Success by base{of_which}", words, figure, rates, notes, short="Success")


def _plans(report: StudyReport) -> Section:
    rows = []
    for group in report.groups:
        compared = group.against_reference
        low_high = group.over_bases
        rows.append(
            {
                "group": short_name(group, report.groups),
                "succeeded": of(group.succeeded),
                "share": percent(group.succeeded),
                "over bases": "–" if low_high is None else f"[{low_high[0]:.0%}, {low_high[1]:.0%}]",
                "difference": "–" if compared is None else shares_apart(compared.difference),
                "p, Holm": "–" if compared is None else corrected_p(compared.tested),
                "bases differ, p": "–" if group.bases_differ is None else p_value(group.bases_differ),
            }
        )
    return Section("Plans and variants", table=pd.DataFrame(rows), notes=_plan_words(report))


def _plan_words(report: StudyReport) -> list[str]:
    first = report.groups[0]
    return [
        f"Each plan or variant is compared with {short_name(first, report.groups)} base by base. The p-value "
        "is that of Mantel and Haenszel's test, by its exact distribution, that the rates are equal within "
        "every base. The difference is the mean difference of the shares over bases, and its interval "
        "resamples bases.",
        *([NOT_ALL_ARE_MEANT_TO] if report.by != "score" else []),
    ]


def _beside(report: StudyReport) -> Section:
    notes = list(dict.fromkeys(row.note for row in report.beside if row.note))
    table = pd.DataFrame(
        [
            {
                "number": f"{row.what} [{notes.index(row.note) + 1}]" if row.note else row.what,
                "here": row.ours,
                "the paper": row.paper,
                "p": "" if row.p is None else p_value(row.p),
                "section": row.section,
            }
            for row in report.beside
        ]
    )
    words = ["The table has what is found here beside what the paper says."]
    if any(row.p is not None for row in report.beside):
        words = [
            "The table compares the reference plan's transfers with the paper's. The p-value is that of "
            "Boschloo's test that both have the same rate."
        ]
    numbered = [f"[{n}] {note[:1].upper()}{note[1:]}." for n, note in enumerate(notes, 1)]
    return Section("Beside the paper", words, table=table, notes=numbered)


def _relations(report: StudyReport) -> Section:
    names = _names(report)
    rows, table = [], []
    kinds = list(dict.fromkeys(k for g in report.groups for k in g.relations))
    for group in report.groups:
        for c in group.cells:
            if not c.succeeded.n:
                continue
            name = names[group.variant, group.plan]
            start = {"plan": name} if len(report.groups) > 1 else {}
            counts = {kind: str(c.relations.get(kind) or "·") for kind in kinds}
            table.append({**start, "base": str(c.base_seed), **counts})
            rows += [
                {"panel": name, "base": str(c.base_seed), "relation": kind, "count": count, "order": place}
                for place, (kind, count) in enumerate(c.relations.items())
            ]
    notes = [
        "A relation is named by the smallest kind of map that sends a transfer's embedding to its base's. It "
        "is undecided if fewer than 90% of the resamples agree."
    ]
    words = [_relation_words(report)]
    if many(report):
        return Section("Relations", words, *relations_figure(report), notes, folded=True)
    chart = studies.relations(pd.DataFrame(rows))
    figure = Figure(chart, "Bars of how many transfers of each base have each relation.")
    return Section("Relations", words, figure, pd.DataFrame(table), notes, folded=True)


def _relation_words(report: StudyReport) -> str:
    """How many transfers of the reference have which relation: ``20 of 22 are flipped and 2 matched.``"""
    first = next(g for g in report.groups if g.succeeded.n)
    counts = sorted(first.relations.items(), key=lambda item: -item[1])
    (kind, count), *others = counts
    told = [f"{count} of {first.succeeded.n} {'is' if count == 1 else 'are'} {kind}"]
    told += [f"{count} {kind}" for kind, count in others]
    whose = "" if len(report.groups) == 1 else f"{short_name(first, report.groups)}: "
    return f"{whose}{listed(told)}."


def _outcomes(report: StudyReport) -> Section:
    """Histograms and medians of distances, which tell failures apart, and of losses, which do not."""
    first = next(g for g in report.groups if g.succeeded.n)
    panels = {"l2": "L2 distance to the base", "loss": "total loss"}
    bars = [
        {"panel": title, **vars(bar)}
        for column, title in panels.items()
        for bar in report.histogram(first, column)
    ]
    table = []
    for group in report.groups:
        for c in group.cells:
            if not c.succeeded.n:
                continue
            l2, loss = both(c.l2, 2), both(c.loss, 3)
            start = {"plan": short_name(group, report.groups)} if len(report.groups) > 1 else {}
            table.append(
                {
                    **start,
                    "base": str(c.base_seed),
                    "L2, successes": l2[0],
                    "failures": l2[1],
                    "loss, successes": loss[0],
                    "failures ": loss[1],
                    "the base": number(c.base_loss, 3),
                    "AUC of the loss": area(c.auc),
                }
            )
    words = [*dip_words(first), loss_words(first)]
    notes = [
        f"The figure and the words beside it are of {short_name(first, report.groups)}. The table gives "
        "medians of every plan and variant."
        if many(report)
        else "The table gives medians by base. AUC is how often a failure has a higher loss than a success "
        "of the same base."
    ]
    figure = None
    if bars:
        chart = studies.outcomes(pd.DataFrame(bars))
        figure = Figure(chart, "Histograms of the distance to the base and of the loss, by outcome.")
    told = pd.DataFrame(table)
    if many(report):
        told = medians(report, {"l2": "L2", "loss_total": "loss"})
    return Section(
        "What distances and losses tell",
        words,
        figure,
        told,
        notes,
        folded=True,
        short="Distances and losses",
    )


def _told(report: StudyReport) -> Section:
    rows = []
    for told in report.groups[0].told:
        success, failure = both(told.median, 3)
        name = told_name(told.name)
        rows.append(
            {
                "number": f"loss: {name.strip()}" if name.startswith(" ") else name,
                "successes": success,
                "failures": failure,
                "AUC within bases": area(told.auc),
            }
        )
    notes = [
        "The table gives medians, and the AUC: how often a failure has a higher value than a success of the "
        "same base. An AUC of 0.5 says nothing, and one of 0 or 1 tells the two apart.",
        "The losses are those "
        "on the target task, with every state and action weighted alike. The mended copy has the best "
        "orthogonal map folded into its encoder. The wall is the highest rise of the loss on the straight "
        "line to that copy.",
    ]
    title = "What tells failures from successes"
    return Section(title, table=pd.DataFrame(rows), notes=notes, short="What tells them apart")


def _margins(report: StudyReport) -> Section:
    rows, table = [], []
    for group in report.groups:
        if group.margins:
            name, n = short_name(group, report.groups), group.succeeded.n
            rows += [
                {"name": name, "required": need, "share": count / n, "said": f"{count} of {n}"}
                for need, count in group.margins
            ]
            table.append({"group": name, **{str(need): str(count) for need, count in group.margins}})
    chart = studies.margins(pd.DataFrame(rows), report.success_states)
    figure = Figure(chart, "Steps: the share of transfers that succeed against the states required.")
    words = [
        "The figure shows how many transfers would succeed if more or fewer states had to be nearest to "
        "their own base state."
    ]
    title = "How success moves with its margin"
    return Section(title, words, figure, pd.DataFrame(table), folded=True, short="Margin")


def _learning(report: StudyReport) -> list[Section]:
    parts: list[Section] = []
    words = (
        "Each line is an interquartile mean over runs: a quarter of the runs is left out at either end. The "
        "bands are 95% intervals from a bootstrap over the runs of each base."
    )
    drawn = [g for g in report.groups if g.curves or g.progress][:MOST_DRAWN_GROUPS]
    for group in drawn:
        name = "" if len(report.groups) == 1 else f": {short_name(group, report.groups)}"
        if group.curves:
            chart = studies.curves(_lines(group.curves))
            figure = Figure(chart, "Loss terms over updates for successful and for failed transfers.")
            title = f"Losses while transferring{name}"
            parts.append(Section(title, [_counts(group.curves)], figure, notes=[words], short="Losses"))
        if group.progress:
            chart = studies.curves(_lines(group.progress))
            figure = Figure(chart, "States in place, distance and R squared over the kept checkpoints.")
            said = [_counts(group.progress)]
            parts.append(Section(f"On the way, at the kept checkpoints{name}", said, figure))
    if left := sum(bool(g.curves) for g in report.groups) - sum(bool(g.curves) for g in drawn):
        more = plural(left, "more plan or variant", "more plans or variants")
        parts[-1] = _with_words(parts[-1], f"The curves of {more} are not drawn.")
    if report.base_curves:
        figure = Figure(studies.curves(_lines(report.base_curves)), "Loss terms of the bases over updates.")
        parts.append(Section("Losses while training the bases", [_counts(report.base_curves)], figure))
    return parts


def _with_words(section: Section, words: str) -> Section:
    return Section(section.title, [*section.words, words], section.figure, section.table)


def _counts(curves: Sequence[Curve]) -> str:
    runs_of = {c.outcome: c.runs for c in curves}
    many = {"success": "successes", "failure": "failures", "base": "bases"}
    told = [plural(n, outcome, many[outcome]) for outcome, n in runs_of.items()]
    return f"The curves are those of {listed(told)}."


def _lines(curves: Sequence[Curve]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "panel": QUANTITIES.get(c.name, c.name),
                "outcome": c.outcome,
                "step": int(step),
                "value": _short(value),
                "low": _short(low),
                "high": _short(high),
            }
            for c in curves
            for step, value, low, high in zip(c.step, c.iqm, c.low, c.high, strict=True)
        ]
    )


def _short(value: float) -> float:
    """A number to five digits: more cannot be seen, and each is bytes in the page."""
    return float(f"{value:.5g}")


def _pairs(group: Group) -> Section:
    shown = sorted(group.pairs, key=lambda pair: pair[2].p)
    table = pd.DataFrame(
        [{"bases": f"{a}, {b}", "p": p_value(t.p), "p, Holm": p_value(t.corrected)} for a, b, t in shown]
    )
    notes = [
        "The table has Boschloo's exact test of every pair of bases. The last column is its p-value, "
        "corrected over all pairs."
    ]
    return Section("Pairs of bases", table=table, notes=notes)
