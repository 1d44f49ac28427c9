"""Walls between every two of several checkpoints as a page: a matrix for each way, its pairs below it."""

from __future__ import annotations

import shlex

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
from diag.outputs.titles import short_names
from diag.outputs.words import named, number, span
from diag.wording import listed, plural
from probes import Measure
from reports import Figure, Key, Page, Section
from reports import pairs as charts

DARK = 0.5
"""Share of the highest height below which a cell is so dark that light letters are read better."""

TITLED = 4
"""Most checkpoints that the title names; further ones are counted."""

HIGHER_END = "In the table heights are those from the end whose loss is higher: what both ends lie below."

LEFT_OUT = "A pair is left out where the second checkpoint is itself the copy that this way would lead to."


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
    if result.matched is not None:
        words = [in_words(result.names, result.matched, "once hidden units are matched")]
        parts.append(Section("Who shares a basin once units are matched", words, short="Matched"))
    if result.warnings:
        parts.append(Section("Warnings", warning_words(result.warnings)))
    parts.append(_next(result))
    verdict = result.verdict
    return Page(
        _title(result),
        verdict.status,
        verdict.summary,
        facts,
        parts,
        footer(),
        kind="landscape",
        keys=_keys(result),
    )


def _title(result: LandscapePairs) -> str:
    names = short_names([ref.path for ref in result.checkpoints])
    more = len(names) - TITLED
    return listed(names if more <= 0 else [*names[:TITLED], plural(more, "other")])


def _keys(result: LandscapePairs) -> list[Key]:
    """How many checkpoints and groups, the pairs with a wall, and the highest wall."""
    keys = [Key("checkpoints", str(len(result.names)))]
    keys.append(Key("groups on the straight lines", str(len(result.straight.groups))))
    if result.matched is not None:
        keys.append(Key("groups once units are matched", str(len(result.matched.groups))))
    walls = [pair for pair in result.pairs if pair.ways["raw"].between == "wall"]
    keys.append(Key("pairs with a wall", str(len(walls)), f"of {len(result.pairs)}, on straight lines"))
    if walls:
        highest = _highest(walls)
        keys.append(Key(f"highest wall, {pair_name(result, highest)}", *_height(highest.ways["raw"], 2)))
    return keys


def _highest(pairs: list[CheckpointPair]) -> CheckpointPair:
    return max(pairs, key=lambda pair: pair.ways["raw"].wall.value or 0.0)


def _height(way: Crossing, digits: int) -> tuple[str, str]:
    """The height from the higher end, and its interval."""
    wall = way.wall
    return number(wall.value, digits), span(Measure(wall.value, wall.low, wall.high), digits)


def _next(result: LandscapePairs) -> Section:
    """What a reader may do after these walls, with commands where the checkpoints open by their names."""
    best = result.straight if result.matched is None else result.matched
    walls = [pair for pair in result.pairs if pair.ways["raw"].between == "wall"]
    paths = [ref.path for ref in result.checkpoints]
    words, commands = [], []
    if best.unsure:
        words.append("More samples narrow the intervals of the pairs that are not known.")
        pairs = " --all-pairs" if len(paths) == 2 else ""
        commands.append(f"diag landscape {shlex.join(paths)}{pairs} --samples {4 * result.samples}")
    if best.lost:
        words.append("Of a loss that is not finite no samples tell: look at the weights and the inputs.")
    if walls:
        highest = _highest(walls)
        words.append(
            f"A landscape of {pair_name(result, highest)} alone says which terms make the highest wall, and "
            "seeks a curve round it."
        )
        two = shlex.join([paths[highest.first], paths[highest.second]])
        commands.append(f"diag landscape {two} --html landscape.html")
    if not words:
        words.append("No wall stands between any two: a comparison of two says what sets them apart.")
        commands.append(f"diag compare-embeddings {shlex.join(paths[:2])}")
    takes = all(ref.opens_alone for ref in result.checkpoints)
    return Section("What to do next", [" ".join(words)], commands=commands if takes else [], short="Next")


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
    title = "Is there a wall?" if way == "raw" else f"Escape heights, {WAYS[way]}"
    said = "; ".join(
        f"from {row['start']} to {row['end']} {row['words']}" for row in rows if row["start"] != row["end"]
    )
    figure = Figure(charts.matrix(frame, "escape height", highest), f"Escape heights, {WAYS[way]}: {said}.")
    words = [
        in_words(result.names, result.straight, "on the straight lines")
        if way == "raw"
        else _lower(result, way)
    ]
    notes = [MEANING, HIGHER_END, ALONE] if way == "raw" else [HIGHER_END]
    if any(pair.is_straight(way) for pair in result.pairs):
        notes.append(LEFT_OUT)
    short = "Wall" if way == "raw" else WAYS[way].removeprefix("straight, ")
    return Section(
        title, words, figure, _pairs(result, way), notes, folded=True, short=short[:1].upper() + short[1:]
    )


def _lower(result: LandscapePairs, way: RouteName) -> str:
    """Of how many pairs this way is free of the wall that stands on their straight line."""
    walls = [pair for pair in result.pairs if pair.ways["raw"].between == "wall" and way in pair.ways]
    gone = sum(pair.ways[way].between == "none" for pair in walls)
    if not walls:
        return "No wall stands on the straight lines of the pairs that have this way."
    return f"Of {plural(len(walls), 'pair')} with a wall on the straight line, {gone} have none on this way."


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


def _pairs(result: LandscapePairs, way: RouteName) -> pd.DataFrame:
    """A row for each pair that has this way."""
    rows = []
    for pair in result.pairs:
        found = pair.ways.get(way)
        if found is None or pair.is_straight(way):
            continue
        height, interval = _height(found, 3)
        rows.append(
            {
                "pair": pair_name(result, pair),
                "between": BETWEEN[found.between],
                "height": height,
                "95% interval": interval or "–",
                "highest at": _place(result, pair, found),
            }
        )
    return pd.DataFrame(rows)


def _place(result: LandscapePairs, pair: CheckpointPair, way: Crossing) -> str:
    at = way.there.at
    if at is None or at in (0.0, 1.0):
        return "–" if at is None else f"{result.names[pair.second if at else pair.first]} itself"
    return f"{at:.0%} of the way"
