"""The verdict of a study in a sentence or two, and what is missing of it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from diag.result import Status, Verdict
from diag.studies.result import Group, StudyFacts
from diag.studies.statistics import Rate
from diag.wording import p_relation, percent_interval, significant

MOST_NAMED = 3
"""Bases that a sentence names one by one."""

MOST_LINES = 12
"""Cells whose gaps are listed one by one."""


def verdict(groups: Sequence[Group], unfinished: bool) -> Verdict:
    """Pass where every transfer of the reference succeeds, fail where none, warn between; inconclusive
    while something is missing.
    """
    if not groups or not any(g.succeeded.n for g in groups):
        return Verdict("inconclusive", "No transfer has finished: nothing can be said yet.")
    first = groups[0]
    words = [_of_reference(first)] if first.succeeded.n else ["The reference plan has no finished transfer."]
    words += _of_others(groups)
    if unfinished:
        return Verdict("inconclusive", " ".join(["The study is not finished.", *words]))
    rate = first.succeeded
    status: Status = "fail" if rate.count == 0 else "pass" if rate.count == rate.n else "warn"
    return Verdict(status, " ".join(words))


def _of_reference(group: Group) -> str:
    done = [c for c in group.cells if c.succeeded.n]
    rate = group.succeeded
    if len(done) == 1:
        return f"{of(rate)} transfers of base {done[0].base_seed} succeeded ({percent(rate)})."
    whole = f"{rate.n} transfers from {len(done)} bases succeeded."
    if rate.count in (0, rate.n):
        return f"{'None' if rate.count == 0 else 'All'} of the {whole}"
    p = group.bases_differ
    assert p is not None
    head = (
        "Success depends on the base" if significant(p) else "That success depends on the base is not shown"
    )
    if len(done) <= MOST_NAMED:
        named = [f"{of(c.succeeded)} from base {c.base_seed}" for c in done]
        words = f"{head}: {', '.join(named[:-1])} and {named[-1]} (p {p_relation(p)})."
        flipped = group.relations_differ.get("flipped", 1.0)
        if significant(flipped) and not significant(p):
            counts = [str(c.relations.get("flipped", 0)) for c in done]
            how = f"{', '.join(counts[:-1])} and {counts[-1]} of them are flipped (p {p_relation(flipped)})"
            words = f"{words} How they end does: {how}."
        return words
    ranked = sorted(done, key=lambda c: (c.succeeded.share or 0.0, c.base_seed))
    low, high = ranked[0], ranked[-1]
    span = f"from {of(low.succeeded)} (base {low.base_seed}) to {of(high.succeeded)} (base {high.base_seed})"
    return f"{head}: {span}, {of(rate)} from all {len(done)} bases (p {p_relation(p)})."


def _of_others(groups: Sequence[Group]) -> list[str]:
    """The groups that succeed more often, and less often, than the reference."""
    compared = [(g, g.against_reference) for g in groups[1:] if g.against_reference is not None]
    sure = [(g, c) for g, c in compared if significant(c.tested.corrected)]
    sentences = []
    for head, sign in (("More often", 1), ("Less often", -1)):
        named = [
            f"{short_name(g, groups)} ({of(g.succeeded)})"
            for g, c in sure
            if sign * (c.difference.value or 0.0) > 0
        ]
        if named:
            sentences.append(f"{head} than {short_name(groups[0], groups)}: {', '.join(named)}.")
    if compared and not sure:
        sentences.append(f"No other plan or variant is shown to differ from {short_name(groups[0], groups)}.")
    return sentences


def short_name(group: Group, groups: Sequence[Group]) -> str:
    """Variant and plan, or that of the two in which the groups differ."""
    if len({g.variant for g in groups}) == 1:
        return group.plan
    if len({g.plan for g in groups}) == 1:
        return group.variant
    return group.name


def of(rate: Rate) -> str:
    """``3 of 22``."""
    return f"{rate.count} of {rate.n}"


def percent(rate: Rate) -> str:
    """A rate with its interval in percent: ``14% [5%, 33%]``; a dash for no trials."""
    return percent_interval(rate.share, rate.low, rate.high)


def missing_lines(
    facts: StudyFacts, groups: Sequence[Group], bases: pd.DataFrame, last: pd.DataFrame
) -> tuple[str, ...]:
    """Planned transfers that are missing, a line a cell; empty where none is or nothing was planned."""
    wanted = {c.base_seed for c in facts.planned}
    trained = {int(s) for s in bases["base_seed"]}
    lines = []
    if absent := sorted(wanted - trained):
        lines.append(f"bases not trained yet: {', '.join(map(str, absent))}")
    gaps = [c for g in groups for c in g.cells if c.missing]
    if not gaps:
        return tuple(lines)
    total, planned = sum(c.missing for c in gaps), sum(c.transfers for c in facts.planned)
    lines.append(f"{total} of {planned} transfers have not finished")
    lines += [
        f"{c.variant}, {c.plan}, base {c.base_seed}: {c.missing} of {c.planned} missing"
        for c in gaps[:MOST_LINES]
    ]
    if len(gaps) > MOST_LINES:
        lines.append(f"… and {len(gaps) - MOST_LINES} cells more")
    return tuple(lines)
