"""A repair as a page: the embeddings before and after, what was tried, and where the states are."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from diag.outputs.repair_text import STAGES, facts, place, return_words, rival_words
from diag.outputs.sections import comparison_chart, footer, ladder_section, picture_words, warning_words
from diag.outputs.words import named, number, span_or_reason
from diag.repairs.result import Repair, Stage
from diag.repairs.search import Search
from diag.wording import plural
from reports import Figure, Page, Section


def page(result: Repair) -> Page:
    """A repair as a page."""
    parts = [_table(result), _picture("Before", result.before)]
    parts += [
        _picture(STAGES[stage.name].capitalize(), stage) for stage in result.stages if stage.name != "before"
    ]
    if result.fits:
        parts.append(_fits(result))
    if result.search is not None:
        parts.append(_search(result.search))
    ladder = ladder_section(result.after.comparison)
    parts.append(replace(ladder, title=f"The ladder, {STAGES[result.after.name]}"))
    if result.warnings:
        parts.append(Section("Warnings", warning_words(result.warnings)))
    known = [
        ("base", named(result.base)),
        ("transfer", named(result.transfer)),
        ("mended", result.written or "not written"),
        ("how", "; ".join(facts(result)) or "nothing was done"),
        ("seed", str(result.seed)),
    ]
    return Page("repair", result.verdict.status, result.verdict.summary, known, parts, footer())


def _table(result: Repair) -> Section:
    played = result.played
    rows = [
        {
            "": STAGES[stage.name],
            "relation": stage.relation or "undecided",
            "states in place": place(stage),
            "R²": number(stage.r2),
            "L2": number(stage.comparison.measures["l2"].value),
            **({} if played is None else {"mean return": number(played.stages[stage.name].value)}),
            **{term: number(v, 4) for term, v in stage.losses.items()},
        }
        for stage in result.stages
    ]
    words = [
        "R² compares the embedding as it is with the base's, without fitting a map. The losses are those on "
        "the target task."
    ]
    if played is not None:
        words.append(return_words(played))
    need = result.before.comparison.success_states
    if need is not None:
        words.append(
            f"A transfer is a success if {plural(need, 'state')} or more are nearest to their own base state."
        )
    return Section("Before and after", words, table=pd.DataFrame(rows))


def _picture(title: str, stage: Stage) -> Section:
    compared = stage.comparison
    chart = comparison_chart(compared, STAGES[stage.name])
    words = picture_words(compared.picture)
    described = f"Scatter plots of the base's embedding and of the transfer's, {STAGES[stage.name]}."
    return Section(title, words, Figure(chart, described))


def _fits(result: Repair) -> Section:
    rows = [
        {
            "fitted": one.name,
            "held-out R²": number(one.r2.value),
            "95% interval": span_or_reason(one.r2),
            "": "folded in" if one is result.chosen else "",
        }
        for one in result.fits
    ]
    words = [
        "Every candidate was fitted to some of the pairs and scored on the others. The best one was then "
        "fitted to all pairs and folded into the encoder's last layer."
    ]
    return Section("What was fitted to the pairs", words, table=pd.DataFrame(rows))


def _search(search: Search) -> Section:
    rows = [
        {
            "map": one.words,
            "loss before": number(one.before, 4),
            "loss after": number(one.after, 4),
            "updates": one.updates,
            "": "finalist" if one.final else "",
        }
        for one in search.candidates
    ]
    words = [
        f"The search tried {plural(search.tried, 'map')}. Training went on from those in the table, and they "
        f"were judged by the task's losses alone. {rival_words(search.margin)} The base's own loss is "
        f"{number(search.base_loss, 4)}.",
        "Before any training, the embedding as it is has the lowest loss, because the frozen models have "
        "bent it to themselves.",
    ]
    return Section("Without pairs", words, table=pd.DataFrame(rows))
