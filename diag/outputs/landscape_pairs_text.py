"""Walls between every two of several checkpoints for a terminal: a matrix a way, then a line a pair."""

from __future__ import annotations

from collections.abc import Iterator

from diag.landscapes.pairs_result import Between, CheckpointPair, Crossing, LandscapePairs
from diag.landscapes.result import RouteName
from diag.outputs.layout import Column, table, width, wrapped
from diag.outputs.lines import headline, labelled, short, warning_lines
from diag.outputs.words import number, span
from diag.wording import listed, plural
from probes import Measure

MARKS: dict[Between, str] = {"none": "", "wall": "▲", "open": "?"}
"""What stands beside a height: a wall that both ends lie below, or an open question."""

WAYS: dict[RouteName, str] = {
    "raw": "straight, between the weights",
    "aligned": "straight, hidden units matched",
    "nearest": "straight, to the nearest equal copy",
}
"""The ways between two checkpoints, for titles."""

BETWEEN: dict[Between, str] = {"none": "no wall", "wall": "a wall", "open": "not known"}

MEANING = (
    "Each cell is how far the loss climbs above its value at the row's checkpoint on the way to the "
    "column's; on the diagonal, in brackets, is the checkpoint's own loss. ▲: a wall stands between the two, "
    "as seen from the end whose loss is higher. ?: the samples do not tell."
)

ALONE = (
    "Every interval is one of 95% by itself. A wall on one way does not prove that the two cannot be joined, "
    "and sharing a basin is no equivalence: A and B may, and B and C, and yet not A and C."
)

CELL, NAME, LEAST = 9, 4, 16
"""Fewest cells of a height, those of a checkpoint's letter, and the fewest for its file beside its loss."""


def render(result: LandscapePairs, verbose: bool = False) -> str:
    """The whole text."""
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    lines += _checkpoints(result)
    lines += wrapped(measured_in_words(result), "  ", "  ")
    lines += [line for words in result.notes for line in wrapped(words, "  ", "  ")]
    if verbose:
        lines += [line for words in result.pinned for line in wrapped(f"held: {words}", "  ", "  ")]
    for way in result.ways:
        told = f"escape height, {WAYS[way]}"
        if same_as_straight(result, way):
            lines += ["", *wrapped(f"{told}: the same, since each is its own nearest copy")]
        else:
            lines += ["", *wrapped(told), *_matrix(result, way)]
    lines += ["", "  from the higher end of each pair", *_pairs(result, verbose), ""]
    lines += [line for words in (MEANING, ALONE) for line in wrapped(words, "  ", "  ")]
    return "\n".join(line.rstrip() for line in lines)


def _checkpoints(result: LandscapePairs) -> list[str]:
    """A line a checkpoint: its letter, its file, its own loss."""
    losses = [f"loss {number(one.value, 3)} {span(one, 3)}".rstrip() for one in result.losses]
    room = width() - 2 - NAME - max(map(len, losses)) - 2
    if room < LEAST:
        room = width() - 2 - NAME
        lines = []
        for name, ref, loss in zip(result.names, result.checkpoints, losses, strict=True):
            lines += [f"  {name:{NAME}}{short(ref.path, room)}", f"  {'':{NAME}}{loss}"]
        return lines
    columns = [Column("", NAME, "<"), Column("", room, "<"), Column("", width() - 2 - NAME - room)]
    rows = [
        [name, short(ref.path, room - 1), loss]
        for name, ref, loss in zip(result.names, result.checkpoints, losses, strict=True)
    ]
    return table(columns, rows, head=False)


def measured_in_words(result: LandscapePairs) -> str:
    """What moves, what losses are taken on, and how often."""
    verb = "moves" if len(result.moved) == 1 else "move"
    return (
        f"{listed(result.moved)} {verb}; losses on {plural(result.samples, 'sample')} of the {result.task} "
        f"task, {result.points} points a way, {result.evaluations:,} in all"
    )


def same_as_straight(result: LandscapePairs, way: RouteName) -> bool:
    """Whether a way leads from each checkpoint to each other itself, so that it is the straight line."""
    return all(pair.is_straight(way) for pair in result.pairs)


def cell(result: LandscapePairs, way: RouteName, row: int, column: int) -> str:
    """A cell of a way's matrix: the height and its mark, or the row's own loss."""
    if row == column:
        return f"({number(result.losses[row].value)})"
    found, height = result.pair(row, column).ways.get(way), result.height(way, row, column)
    if found is None or height is None:
        return "–"
    return f"{number(height.value)}{MARKS[found.between]}"


def _matrix(result: LandscapePairs, way: RouteName) -> list[str]:
    names = result.names
    cells = [[cell(result, way, i, j) for j in range(len(names))] for i in range(len(names))]
    room = max(CELL, *(len(words) + 2 for row in cells for words in row))
    columns = [Column("", NAME, "<"), *(Column(name, room) for name in names)]
    return table(columns, [[name, *row] for name, row in zip(names, cells, strict=True)])


def _pairs(result: LandscapePairs, verbose: bool) -> Iterator[str]:
    for pair in result.pairs:
        first = True
        for way, found in pair.ways.items():
            name = pair_name(result, pair) if first else ""
            first = False
            same = pair.is_straight(way)
            words = "the same: it is the checkpoint itself" if same else wall_in_words(found)
            yield from labelled(f"{name:6}{WAYS[way]}", words, room=42)
            if verbose and not same:
                yield from wrapped(ends_in_words(result, pair, found), "        ", "        ")


def pair_name(result: LandscapePairs, pair: CheckpointPair) -> str:
    """``A–B``."""
    return f"{result.names[pair.first]}–{result.names[pair.second]}"


def wall_in_words(way: Crossing) -> str:
    """The height from the higher end, with its interval, and what that says."""
    height = way.wall
    if height.value is None:
        return "– a loss on the way is not finite"
    interval = span(Measure(height.value, height.low, height.high))
    return f"{number(height.value)} {interval} {BETWEEN[way.between]}"


def ends_in_words(result: LandscapePairs, pair: CheckpointPair, way: Crossing) -> str:
    """The heights from both ends, and where the highest point lies."""
    told = []
    for height, end in ((way.there, pair.first), (way.back, pair.second)):
        interval = span(Measure(height.value, height.low, height.high))
        told.append(f"{number(height.value)} {interval} above {result.names[end]}".replace("  ", " "))
    at = way.there.at
    where = "" if at is None else f", highest at {at:.0%} of the way"
    return f"{told[0]}, {told[1]}{where}; {number(way.length)} long"
