"""Walls between every two of several checkpoints as a page: a matrix for each way, then every pair."""

from __future__ import annotations

import pandas as pd

from diag.landscapes.basins import in_words
from diag.landscapes.pairs_result import CheckpointPair, Crossing, LandscapePairs
from diag.landscapes.result import RouteName
from diag.outputs.landscape_pairs_text import (
    ALONE,
    BETWEEN,
    MEANING,
    WAYS,
    cell,
    measured_in_words,
    pair_name,
    same_as_straight,
)
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import named, number, span
from probes import Measure
from reports import Figure, Page, Section
from reports import pairs as charts

DARK = 0.5
"""Share of the highest height below which a cell is so dark that light letters are read better."""


def page(result: LandscapePairs) -> Page:
    """The whole page."""
    facts = [
        *((name, named(ref)) for name, ref in zip(result.names, result.checkpoints, strict=True)),
        ("between them", measured_in_words(result)),
        *(("held", words) for words in result.pinned),
        *(("computed", words) for words in result.notes),
        ("seed", str(result.seed)),
    ]
    ways = [way for way in result.ways if not same_as_straight(result, way)]
    numbers = [h for way in ways for row in result.matrix(way) for h in row if h is not None]
    highest = max(numbers, default=0.0)  # of all ways, so that their colours can be compared
    parts = [_matrix(result, way, highest) for way in ways]
    parts += [_pairs(result), _groups(result)]
    if result.warnings:
        parts.append(Section("Warnings", warning_words(result.warnings)))
    return Page("landscape of pairs", result.verdict.status, result.verdict.summary, facts, parts, footer())


def _matrix(result: LandscapePairs, way: RouteName, highest: float) -> Section:
    names, heights = result.names, result.matrix(way)
    rows = []
    for i, start in enumerate(names):
        for j, end in enumerate(names):
            value = heights[i][j]
            rows.append(
                {
                    "start": start,
                    "end": end,
                    "value": value,
                    "words": cell(result, way, i, j),
                    "told": _told(result, way, i, j),
                    "dark": value is not None and highest > 0 and value < DARK * highest,
                }
            )
    # Without a number at all pandas would make words of the column.
    frame = pd.DataFrame(rows).astype({"value": "float64"})
    title = f"Escape heights, {WAYS[way]}"
    said = "; ".join(
        f"from {row['start']} to {row['end']} {row['words']}" for row in rows if row["start"] != row["end"]
    )
    figure = Figure(charts.matrix(frame, "escape height", highest), f"{title}: {said}.")
    return Section(title, [MEANING] if way == "raw" else [], figure)


def _told(result: LandscapePairs, way: RouteName, i: int, j: int) -> str:
    name = result.names[i]
    if i == j:
        loss = result.losses[i]
        return f"{name} itself: loss {number(loss.value, 3)} {span(loss, 3)}"
    height = result.height(way, i, j)
    if height is None:
        return f"from {name} to {result.names[j]}: not measured"
    interval = span(Measure(height.value, height.low, height.high), 3)
    state = BETWEEN[result.pair(i, j).ways[way].between]
    return f"from {name} to {result.names[j]}: {number(height.value, 3)} {interval}, {state}"


def _pairs(result: LandscapePairs) -> Section:
    table = pd.DataFrame(
        [
            {
                "pair": pair_name(result, pair),
                "way": WAYS[way].removeprefix("straight, "),
                "between": BETWEEN[found.between],
                "height": number(found.wall.value, 3),
                "95% interval": span(Measure(found.wall.value, found.wall.low, found.wall.high), 3) or "–",
                "highest at": _place(result, pair, found),
            }
            for pair in result.pairs
            for way, found in pair.ways.items()
            if way == "raw" or found is not pair.ways["raw"]
        ]
    )
    words = ["Heights are those from the end whose loss is higher: what both ends lie below.", ALONE]
    if any(w is p.ways["raw"] for p in result.pairs for n, w in p.ways.items() if n != "raw"):
        words.append(
            "A way is left out where the second checkpoint is itself the copy that it would lead to."
        )
    return Section("Every pair", words, table=table)


def _place(result: LandscapePairs, pair: CheckpointPair, way: Crossing) -> str:
    at = way.there.at
    if at is None or at in (0.0, 1.0):
        return "–" if at is None else f"{result.names[pair.second if at else pair.first]} itself"
    return f"{at:.0%} of the way"


def _groups(result: LandscapePairs) -> Section:
    words = [in_words(result.names, result.straight, "on the straight lines")]
    if result.matched is not None:
        words.append(in_words(result.names, result.matched, "once hidden units are matched"))
    return Section("Who shares a basin with whom", words)
