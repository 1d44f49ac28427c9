"""Many plans and variants of a study in a few compact tables, a line each, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diag.outputs.layout import Column, table, width, wrapped
from diag.outputs.study_words import corrected_p, shares_apart
from diag.outputs.words import number
from diag.studies.result import Group, Outcomes, StudyReport
from diag.studies.sentence import of, short_name
from trainers.safe_text import plain

MOST_WHOLE = 4
"""Most groups that each have tables of their own; of more, only the reference has."""

BY_BASE = 13
"""Characters that the successes of each base may take in a line; else the least and the most stand."""


def groups_lines(report: StudyReport, verbose: bool = False) -> list[str]:
    """Success, medians and relations of every group, a line a group."""
    groups = report.groups
    done = [g for g in groups if g.succeeded.n]
    earned = "score" if report.by == "score" else "loss_total"
    label = "score" if report.by == "score" else "loss"
    kinds = list(dict.fromkeys(kind for g in done for kind in g.relations))
    cut = [kind if len(kind) < 9 else f"{kind[:7]}." for kind in kinds]
    reference = plain(short_name(groups[0], groups))
    tables = [
        _table(
            groups,
            groups,
            (
                Column("succeeded", 11),
                Column("by base", BY_BASE + 1),
                Column("  difference", 23, "<"),
                Column("p, Holm", 8),
            ),
            [(of(g.succeeded) if g.succeeded.n else "none yet", by_base(g), *_compared(g)) for g in groups],
        ),
        _table(
            groups,
            done,
            (
                Column(f"{label}, ok", 11),
                Column(f"{label}, failed", 15),
                Column("L2, ok", 10),
                Column("L2, failed", 13),
            ),
            [(*_both(g, earned), *_both(g, "l2")) for g in done],
        ),
        _table(
            groups,
            done,
            [Column(name, 10) for name in cut],
            [tuple(str(g.relations.get(kind) or "·") for kind in kinds) for g in done],
        ),
    ]
    said = [
        f"Success in each group; the difference is that of the shares to {reference}, base by base.",
        "Medians over the transfers that succeeded (ok) and over those that failed.",
        "Relation to the base, and how many transfers have it.",
    ]
    lines = []
    for words, rows in zip(said, tables, strict=True):
        lines += ["", *wrapped(words), *rows]
    if not verbose:
        words = f"More on {reference} alone follows; -v shows the same for every group."
        lines += ["", *wrapped(words)]
    return lines


def _table(
    groups: Sequence[Group],
    shown: Sequence[Group],
    columns: Sequence[Column],
    cells: Sequence[Sequence[str]],
) -> list[str]:
    """A line a group; under the name of its variant, where plans and variants differ."""
    rows, above = [], None
    both = len({g.variant for g in groups}) > 1 and len({g.plan for g in groups}) > 1
    for group, told in zip(shown, cells, strict=True):
        if both and group.variant != above:
            above = group.variant
            rows.append((plain(above), *([""] * len(columns))))
        rows.append((f"  {plain(group.plan)}" if both else plain(short_name(group, groups)), *told))
    room = max((len(row[0]) for row in rows if any(row[1:])), default=0)
    room = min(room + 1, max(18, width() - 2 - sum(c.width for c in columns)))
    return table((Column("", room, "<"), *columns), rows)


def by_base(group: Group) -> str:
    """Successes of each base; of bases that a line has no room for, the least and the most."""
    counts = [c.succeeded.count for c in group.cells if c.succeeded.n]
    each = " ".join(map(str, counts))
    return each if len(each) <= BY_BASE else f"{min(counts)} to {max(counts)}"


def _compared(group: Group) -> Iterator[str]:
    compared = group.against_reference
    if compared is None or compared.difference.value is None:
        return iter(("  the reference" if group.reference else "", ""))
    return iter((f"  {shares_apart(compared.difference)}", corrected_p(compared.tested)))


def _both(group: Group, name: str) -> tuple[str, str]:
    medians = next((t.median for t in group.told if t.name == name), Outcomes(None, None))
    return number(medians.success, 2), number(medians.failure, 2)
