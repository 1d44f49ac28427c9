"""Walls between every two of several checkpoints as a page: a matrix for each way, then every pair."""

from __future__ import annotations

import shlex
from typing import Any

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
from diag.outputs.names import short_names
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import named, number, span
from diag.wording import listed
from probes import Measure
from reports import Figure, Key, Page, Section
from reports import pairs as charts

NAMED = 4
"""Most checkpoints that the title names."""

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
    parts = [_matrices(result, ways, highest), _pairs(result)]
    if result.warnings:
        parts.append(Section("Warnings", warning_words(result.warnings)))
    parts.append(_next(result))
    paths = [ref.path for ref in result.checkpoints]
    title = f"Walls between {listed(short_names(paths)[:NAMED])}"
    if len(paths) > NAMED:
        title = f"Walls between {len(paths)} checkpoints"
    verdict = result.verdict
    return Page(
        title, verdict.status, verdict.summary, facts, parts, footer(), kind="landscape", keys=_keys(result)
    )


def _keys(result: LandscapePairs) -> list[Key]:
    """How many pairs are parted, joined and unknown on straight lines, and how many basins there are."""
    found = [pair.ways["raw"] for pair in result.pairs]
    states = [way.between for way in found]
    walls = [w.wall for w in found if w.between == "wall" and w.wall.value is not None]
    keys = [Key("checkpoints", str(len(result.names))), Key("basins on straight lines", _count(result))]
    keys.append(Key("pairs parted by a wall", str(states.count("wall")), f"of {len(states)}"))
    if walls:
        highest = max(walls, key=lambda wall: wall.value or 0.0)
        told = span(Measure(highest.value, highest.low, highest.high))
        keys.append(Key("highest wall", number(highest.value), told))
    if states.count("open"):
        keys.append(Key("pairs not known", str(states.count("open")), f"of {len(states)}"))
    return keys


def _count(result: LandscapePairs) -> str:
    """Number of groups; at most so many where a pair is not known, since it may join two."""
    groups = len(result.straight.groups)
    return f"≤ {groups}" if result.straight.unknown and groups > 1 else str(groups)


def _highest(pairs: list[CheckpointPair]) -> CheckpointPair:
    return max(pairs, key=lambda pair: pair.ways["raw"].wall.value or 0.0)


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


def _matrices(result: LandscapePairs, ways: list[RouteName], highest: float) -> Section:
    """A matrix a way, side by side, and who shares a basin with whom."""
    frames, said = {}, []
    for way in ways:
        rows = _cells(result, way, highest)
        # Without a number at all pandas would make words of the column.
        frames[f"{WAYS[way][:1].upper()}{WAYS[way][1:]}"] = pd.DataFrame(rows).astype({"value": "float64"})
        told = (
            f"from {row['start']} to {row['end']} {row['words']}"
            for row in rows
            if row["start"] != row["end"]
        )
        said.append(f"Escape heights, {WAYS[way]}: {'; '.join(told)}.")
    letters = zip(result.names, short_names([ref.path for ref in result.checkpoints]), strict=True)
    who = ", ".join(f"{letter} {name}" for letter, name in letters)
    figure = Figure(
        charts.matrices(frames, "escape height", highest),
        " ".join(said),
        f"{who}. In brackets: a checkpoint's own loss. ▲: a wall. ?: the samples do not tell.",
    )
    words = [in_words(result.names, result.straight, "on the straight lines")]
    if result.matched is not None:
        words.append(in_words(result.names, result.matched, "once hidden units are matched"))
    return Section("Who shares a basin with whom", words, figure, notes=[MEANING, ALONE], short="Basins")


def _cells(result: LandscapePairs, way: RouteName, highest: float) -> list[dict[str, Any]]:
    """A row a cell of one way's matrix."""
    names, heights = result.names, result.matrix(way)
    rows: list[dict[str, Any]] = []
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
    return rows


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
            if not pair.is_straight(way)
        ]
    )
    words = ["Heights are those from the end whose loss is higher: what both ends lie below."]
    if any(p.is_straight(way) for p in result.pairs for way in p.ways):
        words.append(
            "A way is left out where the second checkpoint is itself the copy that it would lead to."
        )
    return Section("Every pair", words, table=table, short="Pairs")


def _place(result: LandscapePairs, pair: CheckpointPair, way: Crossing) -> str:
    at = way.there.at
    if at is None or at in (0.0, 1.0):
        return "–" if at is None else f"{result.names[pair.second if at else pair.first]} itself"
    return f"{at:.0%} of the way"
