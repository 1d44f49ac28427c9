"""Environment metrics for a terminal: tables a look, frames to a level, and the question of the relation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from diag.outputs import environment_words as words
from diag.outputs.layout import Column, table, wrapped
from diag.outputs.words import number
from diag.studies.environments.result import WAYS

if TYPE_CHECKING:
    from diag.studies.environments.asked import Asked
    from diag.studies.environments.result import EnvironmentMetrics, LookMetrics


def render(result: EnvironmentMetrics, verbose: bool = False) -> str:
    """The whole text; ``verbose`` adds what the intervals are and how ratios are made."""
    lines = [f"environment metrics of {result.study}"]
    if result.share:
        lines += wrapped(words.share_words(result))
    for look in result.looks:
        lines += ["", *_look(result, look)]
    for way in WAYS:
        if way in result.asked:
            lines += ["", *_asked(result.asked[way], words.WAY_NAMES[way])]
    if result.asked:
        lines += ["", *wrapped(words.FROZEN)]
    said = [words.INTERVALS, *([words.PAPER] if verbose else [])]
    lines += ["", *(line for one in said for line in wrapped(one))]
    if result.missing:
        lines += [
            "",
            "  not finished yet:",
            *(line for one in result.missing for line in wrapped(one, "    ")),
        ]
    return "\n".join(lines)


def _look(result: EnvironmentMetrics, look: LookMetrics) -> Iterator[str]:
    yield from wrapped(f"{look.name}, {look.budget:,.0f} {result.unit}", "")
    for way in WAYS:
        columns = (
            Column(words.WAY_NAMES[way], 22, "<"),
            Column("mean return", 21),
            Column("over from-scratch", 21),
        )
        rows = [
            (
                entry.plan,
                words.value(entry.earned[way].score),
                words.value(words.ratio(result, entry.earned[way])),
            )
            for entry in look.entries
            if entry.earned[way].score.value is not None
        ]
        yield from table(columns, rows)
        for reason in words.reasons(result, look, way):
            yield from wrapped(f"no ratio: {reason}")
    if any(entry.reached is not None for entry in look.entries):
        columns = (Column(f"{result.unit} to the level", 22, "<"), Column("", 24), Column("faster by", 22))
        yield from table(
            columns,
            [
                (entry.plan, words.frames_words(entry.reached), words.speed_words(entry.reached))
                for entry in look.entries
                if entry.reached is not None
            ],
        )
    yield from wrapped(words.level_words(look, result.unit))
    columns = (Column("embedding to base's", 22, "<"), Column("CKA", 21), Column("  relation", 0, "<"))
    yield from table(
        columns,
        [
            (entry.plan, words.value(entry.cka), f"  {words.counted(entry)}")
            for entry in look.entries
            if entry.relations
        ],
    )


def _asked(answer: Asked, way: str) -> Iterator[str]:
    yield from wrapped(f"Is freezing the head better exactly where the embedding is not matched? {way}", "")
    columns = (
        Column("look", 16, "<"),
        Column("head − embedding", 24),
        Column("CKA", 6),
        Column("  frozen", 14, "<"),
        Column("  earns more", 0, "<"),
    )
    rows = [
        (
            look.look,
            words.value(look.difference, 3),
            number(look.cka.value),
            f"  {words.frozen_words(look)}",
            f"  {look.better}",
        )
        for look in answer.looks
    ]
    yield from table(columns, rows)
    for said in words.answers(answer):
        yield from wrapped(said)
