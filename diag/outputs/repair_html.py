"""A repair as a page: the embedding before and after, what was tried, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from diag.comparisons.result import Comparison
from diag.outputs.embeddings_html import has_picture, stages_figure
from diag.outputs.names import against
from diag.outputs.repair_text import STAGES, facts, place, return_words, rival_words
from diag.outputs.sections import footer, ladder_section, warning_words
from diag.outputs.words import named, number, span, span_or_reason, version
from diag.repairs.result import Repair, Stage
from diag.repairs.returns import Played
from diag.repairs.search import Search
from diag.wording import plural
from reports import Figure, Key, Page, Section
from reports.ladders import ladder
from reports.repairs import candidates, stages
from trainers.safe_text import plain

MOST_CANDIDATES = 24
"""Candidates of a search in its chart, the best first."""


def page(result: Repair) -> Page:
    """A repair as a page."""
    sections = [*_picture(result), _table(result)]
    if result.played is not None:
        sections.append(_returns(result.played))
    if result.fits:
        sections.append(_fits(result))
    if result.search is not None:
        sections.append(_search(result.search))
    ladder = ladder_section(result.after.comparison)
    sections.append(replace(ladder, title=f"The maps that are left, {STAGES[result.after.name]}"))
    if result.warnings:
        sections.append(Section("Warnings", warning_words(result.warnings)))
    sections.append(_next(result))
    known = [
        ("base", f"{named(result.base)}, sha256 {result.base.sha256}"),
        ("transfer", f"{named(result.transfer)}, sha256 {result.transfer.sha256}"),
        ("mended", result.written or "not written"),
        ("how", "; ".join(facts(result)) or "nothing was done"),
        ("seed", str(result.seed)),
        ("transfer-diag", version() or "not installed"),
    ]
    return Page(
        against(result.base.path, result.transfer.path),
        result.verdict.status,
        result.verdict.summary,
        known,
        sections,
        footer(),
        kind="repair",
        keys=_keys(result),
    )


def _keys(result: Repair) -> list[Key]:
    """What a reader looks for: R², states in place, loss and return, each with what it was before."""
    before, after = result.before, result.after
    same = before is after
    keys = [Key("R² without any map", number(after.r2), "" if same else f"{number(before.r2)} before")]
    if after.own_states is not None:
        note = f"of {after.comparison.states:,}" + ("" if same else f", {before.own_states:,} before")
        keys.append(Key("states in place", f"{after.own_states:,}", note))
    if "total" in after.losses:
        note = "" if same else f"{number(before.losses.get('total'), 3)} before"
        keys.append(Key("loss on the target task", number(after.losses["total"], 3), note))
    if result.played is not None:
        means = result.played.stages
        note = f"base {number(result.played.base.value)}"
        if not same:
            note = f"{number(means[before.name].value)} before, {note}"
        keys.append(Key("mean return", number(means[after.name].value), note))
    if result.chosen is not None:
        keys.append(Key("pairs used", f"{result.pairs:,}", f"of {result.of_pairs:,}"))
    return keys[:5]


def _picture(result: Repair) -> list[Section]:
    """The base once, and the embedding at every stage; none for results without embeddings."""
    if not all(has_picture(stage.comparison.picture) for stage in result.stages):
        return []
    shown = [(_title(stage), stage.comparison) for stage in result.stages]
    words = [f"{_said(stage)}." for stage in result.stages]
    return [Section("Before and after", [" ".join(words)], stages_figure(shown), short="Picture")]


def _title(stage: Stage) -> str:
    r2 = "" if stage.r2 is None else f": R² {number(stage.r2)}"
    return f"{STAGES[stage.name]}{r2}"


def _said(stage: Stage) -> str:
    """The stage in a clause: ``Before: flipped, 0 of 31 states in place``."""
    compared: Comparison = stage.comparison
    words = f"{STAGES[stage.name].capitalize()}: {compared.relation or 'undecided'}"
    return words if stage.own_states is None else f"{words}, {place(stage)} states in place"


def _table(result: Repair) -> Section:
    played = result.played
    rows = [
        {
            "stage": STAGES[stage.name],
            "relation": stage.relation or "undecided",
            "states in place": place(stage),
            "R²": number(stage.r2),
            "L2": number(stage.comparison.measures["l2"].value),
            **({} if played is None else {"mean return": number(played.stages[stage.name].value)}),
            **({"loss": number(stage.losses["total"], 3)} if "total" in stage.losses else {}),
        }
        for stage in result.stages
    ]
    notes = ["R² compares the embedding as it is with the base's, without fitting a map."]
    need = result.before.comparison.success_states
    if need is not None:
        notes.append(
            f"A transfer is a success if {plural(need, 'state')} or more are nearest to their own base state."
        )
    terms = [term for term in result.before.losses if term != "total"]
    if terms:
        told = [
            f"{term} {' → '.join(number(s.losses.get(term), 4) for s in result.stages)}" for term in terms
        ]
        notes.append(f"Losses on the target task, stage by stage: {'; '.join(told)}.")
    return Section("The numbers, stage by stage", table=pd.DataFrame(rows), notes=notes, short="Stages")


def _returns(played: Played) -> Section:
    """Mean returns of the stages beside the base's on its own task."""
    rows = pd.DataFrame(
        [
            {
                "stage": STAGES[name],
                "value": mean.value,
                "low": mean.low,
                "high": mean.high,
            }
            for name, mean in played.stages.items()
        ]
    )
    figure = Figure(
        stages(rows, f"mean return of {played.episodes} episodes", played.base.value),
        "Points with intervals: the mean return at each stage, and the base's as a dashed line.",
    )
    return Section("Does it act as well?", [return_words(played)], figure, short="Returns")


def _fits(result: Repair) -> Section:
    rows = [
        {
            "fitted": one.name,
            "held-out R²": number(one.r2.value),
            "95% interval": span_or_reason(one.r2),
            "folded in": "✓" if one is result.chosen else "",
        }
        for one in result.fits
    ]
    frame = pd.DataFrame(
        [
            {
                "transform": one.name,
                "r2": one.r2.value,
                "low": np.nan if one.r2.low is None else one.r2.low,
                "high": np.nan if one.r2.high is None else one.r2.high,
                "named": one is result.chosen,
            }
            for one in result.fits
            if one.r2.value is not None
        ]
    )
    words = []
    if result.chosen is not None:
        words.append(
            f"The best on pairs that it was not fitted to is {result.chosen.name}: R² "
            f"{number(result.chosen.r2.value)} {span(result.chosen.r2)}".rstrip()
            + ". It was folded in."
        )
    notes = [
        "Every candidate was fitted to some of the pairs and scored on the others. The best one was then "
        "fitted to all pairs and folded into the encoder's last layer."
    ]
    figure = None
    if not frame.empty:
        figure = Figure(ladder(frame), "Bars of the held-out R squared of each candidate.")
    table = pd.DataFrame(rows)
    return Section(
        "What was fitted to the pairs", words, figure, table, notes, folded=figure is not None, short="Fits"
    )


def _search(search: Search) -> Section:
    rows = [
        {
            "map": one.words,
            "loss before": number(one.before, 4),
            "loss after": number(one.after, 4),
            "updates": one.updates,
            "finalist": "✓" if one.final else "",
        }
        for one in search.candidates
    ]
    frame = pd.DataFrame(
        [
            {
                "map": one.words.replace("axes in the order", "axes"),
                "before": one.before,
                "after": one.after,
                "updates": one.updates,
            }
            for one in search.candidates[:MOST_CANDIDATES]
        ]
    ).drop_duplicates("map")
    words = [
        f"The search tried {plural(search.tried, 'map')}, and training went on from "
        f"{len(search.candidates)} of them. {rival_words(search.margin)} The base's own loss is "
        f"{number(search.base_loss, 4)}."
    ]
    notes = [
        "The candidates were judged by the task's losses alone. Before any training, the embedding as it is "
        "has the lowest loss, because the frozen models have bent it to themselves.",
    ]
    figure = Figure(
        candidates(frame, search.base_loss), "The loss of each candidate before and after further training."
    )
    return Section(
        "Without pairs: what was tried", words, figure, pd.DataFrame(rows), notes, folded=True, short="Search"
    )


def _next(result: Repair) -> Section:
    """What follows, and the command that looks at what was written."""
    conclusion = result.after.comparison.conclusion
    if result.written is not None:
        compare = ["diag", "compare-embeddings", result.base.path, result.written]
        words, commands = [conclusion] if conclusion else [], [compare]
    else:
        suffix = Path(result.transfer.path).suffix
        again = ["diag", "repair", result.base.path, result.transfer.path, "-o", f"mended{suffix}"]
        words, commands = ["Nothing was written."], [again]
        if result.search is not None:
            words.append("With pairs, states that both tasks show, a map is fitted and not guessed:")
        elif result.chosen is not None and result.training is None and suffix == ".safetensors":
            words.append("Training on from the map often settles what the map leaves:")
            again += ["--train", "5%"]
        else:
            words, commands = [conclusion, *words] if conclusion else words, []
    return Section("What to do next", words, commands=[plain(shlex.join(c)) for c in commands], short="Next")
