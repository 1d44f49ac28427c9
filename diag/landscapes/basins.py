"""Which of several checkpoints share a basin, from the walls between every two of them, in words.

Two checkpoints share a basin where the loss, on a way between them, nowhere climbs above the higher of the
two by more than a twentieth of it, with the whole interval. That is no equivalence: A and B may share one,
and B and C, while a wall stands between A and C. A group is therefore what such ways join, and the pairs in
it between which a wall stands are named.
"""

from __future__ import annotations

from collections.abc import Sequence

from diag.landscapes.pairs_result import Between, CheckpointPair, Crossing, Grouping
from diag.landscapes.result import Height
from diag.landscapes.verdict import NOTHING, WALL, is_wall, measured
from diag.result import Status, Verdict
from diag.wording import listed, plural
from probes import Floats

NAMED = 4
"""Most pairs that a sentence names; further ones are counted."""


def between(height: Height, losses: Floats, straight: Floats) -> Between:
    """Whether a height, from the higher end of a way with these losses (points,), is a wall.

    The bar is that of a single landscape: a twentieth of the loss at that end, and more than the rounding of
    the losses on the ``straight`` line.
    """
    if height.value is None:
        return "open"
    start = max(abs(float(losses[0])), abs(float(losses[-1])))
    wall = is_wall(height, max(WALL * start, NOTHING * float(abs(straight).max())))
    return "open" if wall is None else "wall" if wall else "none"


def grouped(
    count: int, found: Sequence[tuple[int, int, Between]], lost: Sequence[tuple[int, int]] = ()
) -> Grouping:
    """The groups of ``count`` checkpoints that ways without a wall join.

    ``lost``: pairs with a loss on the way that is not finite.

    >>> pairs = [(0, 1, "none"), (1, 2, "none"), (0, 2, "wall"), (0, 3, "wall"), (1, 3, "wall")]
    >>> pairs.append((2, 3, "open"))
    >>> grouped(4, pairs)
    Grouping(groups=((0, 1, 2), (3,)), through=((0, 2),), unknown=((2, 3),), lost=())
    """
    label = list(range(count))
    for one, other, state in found:
        if state == "none" and label[one] != label[other]:
            kept, dropped = sorted((label[one], label[other]))
            label = [kept if was == dropped else was for was in label]
    groups = tuple(tuple(i for i in range(count) if label[i] == g) for g in dict.fromkeys(label))
    return Grouping(
        groups,
        tuple((i, j) for i, j, state in found if state == "wall" and label[i] == label[j]),
        tuple((i, j) for i, j, state in found if state == "open"),
        tuple((i, j) for i, j, state in found if state == "open" and (i, j) in lost),
    )


def by_straight_lines(count: int, pairs: Sequence[CheckpointPair]) -> Grouping:
    """The checkpoints sorted by the straight lines between them."""
    lost = [(p.first, p.second) for p in pairs if p.ways["raw"].lost]
    return grouped(count, [(p.first, p.second, p.ways["raw"].between) for p in pairs], lost)


def by_all_ways(count: int, pairs: Sequence[CheckpointPair]) -> Grouping | None:
    """The checkpoints sorted by the best way of each pair; None where straight lines are all there is."""
    if all(len(pair.ways) == 1 for pair in pairs):
        return None
    lost = [(p.first, p.second) for p in pairs if p.lost]
    return grouped(count, [(p.first, p.second, p.matched) for p in pairs], lost)


def verdict_of(
    names: Sequence[str],
    pairs: Sequence[CheckpointPair],
    straight: Grouping,
    matched: Grouping | None,
    task: str,
) -> Verdict:
    """Who shares a basin with whom on straight lines, and what matching hidden units changes of that."""
    words = [in_words(names, straight, f"on the straight lines, by the {task} task's data")]
    if lowest := _lowest(names, pairs):
        words.append(lowest)
    if matched is None:
        words.append("Hidden units were not matched: nothing says where they stand in these networks.")
    elif matched == straight:
        words.append("Matching hidden units leaves these groups as they are.")
    else:
        words.append(in_words(names, matched, "once hidden units are matched"))
    best = straight if matched is None else matched
    walls = [p for p in pairs if (p.ways["raw"].between if matched is None else p.matched) == "wall"]
    status: Status = "warn" if walls else "inconclusive" if best.unknown else "pass"
    return Verdict(status, " ".join(words))


def in_words(names: Sequence[str], grouping: Grouping, where: str) -> str:
    """Sentences on the groups, the walls within them, and the pairs that are not known."""
    shared = [group for group in grouping.groups if len(group) > 1]
    unsure = {i for pair in grouping.unknown for i in pair}
    parts = []
    for number, group in enumerate(shared):
        whole = not any({i, j} <= {*group} for i, j in grouping.through + grouping.unknown)
        members = "all" if len(group) == len(names) and len(group) > 2 else _listed(names, group)
        apart = all(_walled(group, earlier, grouping) for earlier in shared[:number])
        which = "one basin" if len(group) == len(names) else "a basin"
        which = which if not number else "another" if apart else "one too"
        joined = "hang together by ways without a wall"
        parts.append(f"{members} share {which}" if whole else f"{members} {joined}")
    alone = [group[0] for group in grouping.groups if len(group) == 1]
    sure = [i for i in alone if i not in unsure]
    if sure:
        parts.append(f"{_listed(names, sure)} {'stands' if len(sure) == 1 else 'stand'} alone")
    open_ = [i for i in alone if i in unsure]
    if len(open_) == 1:
        parts.append(f"{names[open_[0]]} is not known to share a basin")
    elif open_:
        parts.append(f"of {_listed(names, open_)} none is known to share a basin")
    if not shared and not unsure:
        parts = ["no two share a basin" if len(names) > 2 else f"{listed(names)} share no basin"]
    told = f"{where[:1].upper()}{where[1:]}: {'; '.join(parts)}."
    if grouping.through:
        told += f" A wall stands between {_pairs(names, grouping.through)} all the same."
    if grouping.unsure:
        told += f" Not known: {_pairs(names, grouping.unsure)}; more --samples would tell."
    if grouping.lost:
        told += f" Not known: {_pairs(names, grouping.lost)}, since a loss on the way is not finite."
    return told


def _walled(group: Sequence[int], other: Sequence[int], grouping: Grouping) -> bool:
    """Whether some pair across two groups is known: then a wall stands between them."""
    return any(tuple(sorted((i, j))) not in grouping.unknown for i in group for j in other)


def _lowest(names: Sequence[str], pairs: Sequence[CheckpointPair]) -> str:
    """A sentence on the lowest and the highest wall of the straight lines; empty where there is none."""
    walls = [p for p in pairs if p.ways["raw"].between == "wall"]
    if not walls:
        return ""
    least, most = (pick(walls, key=_height) for pick in (min, max))
    low = f"{measured(_way(least).wall)} ({names[least.first]} and {names[least.second]})"
    if len(walls) == 1:
        return f"The wall is {low}."
    high = f"{measured(_way(most).wall)} ({names[most.first]} and {names[most.second]})"
    return f"The {plural(len(walls), 'wall')} are {low} to {high} high."


def _way(pair: CheckpointPair) -> Crossing:
    return pair.ways["raw"]


def _height(pair: CheckpointPair) -> float:
    value = _way(pair).wall.value
    assert value is not None  # a wall has one
    return value


def _listed(names: Sequence[str], group: Sequence[int]) -> str:
    return listed([names[i] for i in group])


def _pairs(names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> str:
    told = [f"{names[i]}–{names[j]}" for i, j in pairs[:NAMED]]
    more = len(pairs) - NAMED
    return listed(told if more <= 0 else [*told, plural(more, "other")])
