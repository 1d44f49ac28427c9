"""Environment metrics as a page: bars like the paper's, curves a look, frames to a level, the question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from diag.outputs import environment_words as words
from diag.outputs.sections import footer
from diag.outputs.words import number
from diag.studies.environments.result import SCRATCH, WAYS
from diag.wording import listed, percent_interval, plural
from reports import Figure, Key, Page, Section, environments

if TYPE_CHECKING:
    from diag.studies.environments.asked import Asked
    from diag.studies.environments.result import EnvironmentMetrics, LookMetrics, Way
    from probes import Measure


SHORT: dict[Way, str] = {"end": "At the end", "area": "Whole budget"}
"""Names of the ways of earning in the list of contents."""

MOST_ROWS = 14
"""Most rows of a table that is not folded away: a longer one hides what comes after it."""


def page(result: EnvironmentMetrics) -> Page:
    """The whole page."""
    facts = [("study", result.study), ("looks", ", ".join(look.name for look in result.looks))]
    if result.share:
        facts.append(("ratios", f"of the {result.share}"))
    sections = [*_bars(result)]
    if len(result.curves):
        sections.append(_curves(result))
    sections += [_frames(result), _inside(result)]
    sections += [_asked(result.asked[way], way) for way in WAYS if way in result.asked]
    if result.missing:
        sections.append(Section("What is missing", list(result.missing)))
    return Page(
        result.study,
        "",
        _summary(result),
        facts,
        sections,
        footer(),
        kind="environment metrics",
        keys=_keys(result),
    )


def _keys(result: EnvironmentMetrics) -> list[Key]:
    """Looks and runs, and how often the relation names the better freeze."""
    runs = sum(entry.runs or 0 for look in result.looks for entry in look.entries)
    keys = [Key("looks of one world", str(len(result.looks))), Key("runs", str(runs))]
    answer = result.asked.get(WAYS[0])
    if answer is not None and answer.agree.n:
        note = percent_interval(answer.agree.share, answer.agree.low, answer.agree.high)
        said = f"{answer.agree.count} of {answer.agree.n}"
        keys.append(Key("pairs in which the relation names the freeze that earns more", said, note))
    return keys


def _summary(result: EnvironmentMetrics) -> str:
    answer = result.asked.get(WAYS[0])
    short = "" if answer is None else words.short_answer(answer)
    told = [words.unequal(result), f"{short[:1].upper()}{short[1:]}." if short else ""]
    return " ".join(filter(None, told)) or f"{plural(len(result.looks), 'look')} of one world."


def _bars(result: EnvironmentMetrics) -> Iterator[Section]:
    intro = [words.share_words(result), words.PAPER, words.INTERVALS]
    for way in WAYS:
        rows, table = [], []
        for look in result.looks:
            for entry in look.entries:
                earned = entry.earned[way]
                if earned.score.value is None:
                    continue
                over = words.ratio(result, earned)
                told = f"{look.name}, {entry.plan}: mean return {words.value(earned.score)}"
                rows.append(_bar(look.name, entry.plan, "mean return", earned.score, told))
                if over.value is not None and entry.plan != SCRATCH:
                    name = f"{words.ratio_name(result)}, over from-scratch"
                    rows.append(_bar(look.name, entry.plan, name, over, f"{told}; ratio {words.value(over)}"))
                table.append(
                    {
                        "look and plan": f"{look.name}, {entry.plan}",
                        "runs": str(entry.runs or "–"),
                        "mean return": words.value(earned.score),
                        "over from-scratch": words.value(over),
                    }
                )
        said = [one for one in intro if one]
        refused = {r: None for look in result.looks for r in words.reasons(result, look, way)}
        said += [f"No ratio where {reason}." for reason in refused]
        if rows:
            chart = environments.bars(pd.DataFrame(rows))
            figure = Figure(chart, "Bars of what each plan earns in each look, with intervals.")
            title = f"What each plan earns, {words.WAY_NAMES[way]}"
            short = SHORT[way]
            yield Section(title, [], figure, pd.DataFrame(table), said, folded=True, short=short)
        intro = []


def _bar(look: str, plan: str, panel: str, measure: Measure, told: str) -> dict[str, object]:
    low, high = (measure.value if end is None else end for end in (measure.low, measure.high))
    return {
        "look": look,
        "plan": plan,
        "panel": panel,
        "value": measure.value,
        "low": low,
        "high": high,
        "told": told,
    }


def _curves(result: EnvironmentMetrics) -> Section:
    levels = [
        {"look": look.name, "score": entry.earned["end"].score.value, "name": entry.plan}
        for look in result.looks
        for entry in look.entries
        if entry.plan == "random"
    ]
    chart = environments.curves(
        result.curves, pd.DataFrame(levels, columns=["look", "score", "name"]), result.unit
    )
    said = [
        "Mean returns of the training episodes, a panel a look, with 95% bands over bases and seeds. The "
        "dashed line is a random agent. A frozen agent's line is flat but for the luck of its episodes."
    ]
    figure = Figure(chart, "Mean training returns over frames, a panel a look.")
    return Section("Curves", [], figure, notes=said)


def _frames(result: EnvironmentMetrics) -> Section:
    rows = [
        {
            "look and plan": f"{look.name}, {entry.plan}",
            f"{result.unit} to the level": words.frames_words(entry.reached),
            "faster than from-scratch by": words.speed_words(entry.reached),
        }
        for look in result.looks
        for entry in look.entries
        if entry.reached is not None
    ]
    said = [
        "Runs that never reach the level count with their whole budget, so that a mean is then the least "
        "that it can be (≥), and a ratio at most (≤) or at least (≥) what is shown. Nothing below a "
        "twentieth of the budget can be told.",
        *(f"{look.name}: {words.level_words(look, result.unit)}" for look in result.looks),
    ]
    title = f"{result.unit.capitalize()} to a level"
    table = pd.DataFrame(rows) if rows else None
    return Section(
        title,
        _level_words(result),
        None,
        table,
        said,
        folded=len(rows) > MOST_ROWS,
        short=result.unit.capitalize(),
    )


def _level_words(result: EnvironmentMetrics) -> list[str]:
    """In how many looks each plan is faster than from-scratch, as far as its speed can be told."""
    faster: dict[str, list[bool]] = {}
    for look in result.looks:
        for entry in look.entries:
            speed = None if entry.reached is None else entry.reached.speed
            if entry.plan != SCRATCH and speed is not None and speed.value is not None:
                faster.setdefault(entry.plan, []).append(speed.value > 1)
    told = [f"{plan} in {sum(looks)} of {plural(len(looks), 'look')}" for plan, looks in faster.items()]
    return [f"Sooner at the level than from-scratch: {listed(told)}."] if told else []


def _inside(result: EnvironmentMetrics) -> Section:
    rows = [_inner(look) for look in result.looks]
    said = [
        "The embedding of each run beside its base's, each on its own task's observations of the same states."
    ]
    table = pd.DataFrame([r for one in rows for r in one])
    title, folded = "What happened to the embedding", len(table) > MOST_ROWS
    return Section(title, said, None, table, folded=folded, short="Embedding")


def _inner(look: LookMetrics) -> list[dict[str, str]]:
    return [
        {
            "look and plan": f"{look.name}, {entry.plan}",
            "CKA": words.value(entry.cka),
            "relation": words.counted(entry),
        }
        for entry in look.entries
        if entry.relations
    ]


def _asked(answer: Asked, way: Way) -> Section:
    rows = [
        {
            "look": look.look,
            "head − embedding": words.value(look.difference, 3),
            "earns more": words.EARNS_MORE[look.better],
            "frozen embedding": words.frozen_words(look),
            "its CKA": words.value(look.cka),
            "its R² as it is": number(look.r2_identity.value),
        }
        for look in answer.looks
    ]
    title = f"Head or embedding, and the relation, {words.WAY_NAMES[way]}"
    asked = (
        "Is freezing the head better than freezing the embedding exactly where the embedding is not matched?"
    )
    first, *others = words.answers(answer)
    notes = ["A pair is one base in one look.", words.FROZEN, *others]
    short = f"Head or embedding, {SHORT[way].lower()}"
    return Section(title, [asked, first], None, pd.DataFrame(rows), notes, short=short)
