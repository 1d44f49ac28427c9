"""The verdict of a study in a sentence or two, and what is missing of it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from diag.result import Status, Verdict
from diag.studies.result import Group, StudyFacts
from diag.studies.scored import Standing
from diag.studies.statistics import Rate
from diag.wording import listed, p_relation, percent_interval, plural, significant

MOST_NAMED = 3
"""Bases that a sentence names one by one."""

MOST_GROUPS = 6
"""Groups that a sentence names one by one."""

MOST_LINES = 12
"""Cells whose gaps are listed one by one."""


def verdict(groups: Sequence[Group], facts: StudyFacts, by: Standing, unfinished: bool) -> Verdict:
    """The worst that happens in any group of transfers, and which groups those are.

    Fail where no transfer of a group succeeds, warn where some do not, pass where all of all groups do;
    inconclusive while something is missing. What is no transfer, or need not land, does not count
    (:func:`set_apart`), unless there is nothing else.
    """
    done = [g for g in groups if g.succeeded.n]
    if not done:
        return Verdict("inconclusive", "No transfer has finished: nothing can be said yet.")
    counted = [g for g in done if not set_apart(g, facts, by)] or done
    words = [] if groups[0].succeeded.n else ["The reference plan has no finished transfer."]
    if len(groups) == 1:
        words += [_of_one(groups[0])]
    elif len(counted) == 1:
        words += [f"{short_name(counted[0], groups)}: {_of_one(counted[0])}"]
    else:
        words += _outcomes(counted, groups) + _of_reference(groups[0], groups)
    words += _apart([g for g in done if g not in counted], facts, by)
    words += _of_others(groups)
    if unfinished:
        return Verdict("inconclusive", " ".join(["The study is not finished.", *words]))
    return Verdict(max((_status(g.succeeded) for g in counted), key=_ORDER.index), " ".join(words))


_ORDER: tuple[Status, ...] = ("pass", "warn", "fail")


def _status(rate: Rate) -> Status:
    return "fail" if rate.count == 0 else "pass" if rate.count == rate.n else "warn"


def set_apart(group: Group, facts: StudyFacts, by: Standing) -> str:
    """Why a group's transfers do not count in the verdict, in words; empty where they do."""
    known = facts.variants.get(group.variant)
    if known is not None and group.plan in known.fresh:
        return "keeps nothing of a base"
    if known is not None and group.plan in known.unread and by != "score":
        return "freezes nothing that reads an embedding"
    return ""


def _apart(groups: Sequence[Group], facts: StudyFacts, by: Standing) -> list[str]:
    """What became of the groups that do not count, a sentence a reason."""
    reasons: dict[str, list[Group]] = {}
    for group in groups:
        reasons.setdefault(set_apart(group, facts, by), []).append(group)
    return [
        f"{_whose(some)} {why} and does not count here ({_together(some)} succeeded)."
        for why, some in reasons.items()
    ]


def _whose(groups: Sequence[Group]) -> str:
    """``The plan fine-tune``."""
    plans = list(dict.fromkeys(g.plan for g in groups))
    return f"The plan {plans[0]}" if len(plans) == 1 else f"Each of the plans {listed(plans)}"


def _together(groups: Sequence[Group]) -> str:
    return f"{sum(g.succeeded.count for g in groups)} of {sum(g.succeeded.n for g in groups)}"


def _outcomes(counted: Sequence[Group], groups: Sequence[Group]) -> list[str]:
    """In how many groups no, some and all transfers succeed, with the names of those where not all do."""
    none, some, every = (
        [g for g in counted if _status(g.succeeded) == status] for status in ("fail", "warn", "pass")
    )
    kinds, under = _kinds(groups, len(counted))
    if len(every) == len(counted):
        return [f"All {_amount(every)} succeeded {under} all {kinds}."]
    sentences = []
    if none:
        few = len(none) < len(counted)
        where = f"{under} {f'{len(none)} of' if few else 'all'} {kinds}"
        names = f": {_named(none, counted)}" if few else ""
        sentences.append(f"{where[:1].upper()}{where[1:]} none of the {_amount(none)} succeeded{names}.")
    if some:
        several = _first([f"{short_name(g, groups)} ({of(g.succeeded)})" for g in some])
        where = f"{under} {len(some)}" if none else f"{under} {len(some)} of {kinds}"
        happened = "some did" if none else "some transfers succeeded and some did not"
        sentences.append(f"{where[:1].upper()}{where[1:]} {happened}: {several}.")
    if every:
        where = f"{under} the other {len(every)}"
        sentences.append(f"{where[:1].upper()}{where[1:]} all {_amount(every)} did.")
    return sentences


def _amount(groups: Sequence[Group]) -> str:
    return plural(sum(g.succeeded.n for g in groups), "transfer")


def _kinds(groups: Sequence[Group], count: int) -> tuple[str, str]:
    """``6 plans``, ``5 variants``, or ``20 groups (a variant and a plan each)``, and the word before it."""
    if len({g.variant for g in groups}) == 1:
        return plural(count, "plan"), "under"
    if len({g.plan for g in groups}) == 1:
        return plural(count, "variant"), "in"
    return f"{plural(count, 'group')} (a variant and a plan each)", "in"


def _named(chosen: Sequence[Group], counted: Sequence[Group]) -> str:
    """Groups by name, those of one variant together: ``inverted (all 4 plans) and red (fine-tune)``."""
    if len({g.plan for g in counted}) == 1 or len({g.variant for g in counted}) == 1:
        return _first([short_name(g, counted) for g in chosen])
    names = []
    for variant in dict.fromkeys(g.variant for g in chosen):
        plans = [g.plan for g in chosen if g.variant == variant]
        whole = len(plans) > 1 and len(plans) == sum(g.variant == variant for g in counted)
        names.append(f"{variant} ({f'all {len(plans)} plans' if whole else ', '.join(plans)})")
    return _first(names)


def _first(names: Sequence[str]) -> str:
    """The first of the names, and how many are more."""
    left = len(names) - MOST_GROUPS
    return listed([*names[:MOST_GROUPS], f"{left} more"] if left > 0 else list(names))


def _of_one(group: Group) -> str:
    """Everything that a study of one group says."""
    done, rate = [c for c in group.cells if c.succeeded.n], group.succeeded
    if len(done) == 1:
        return f"{of(rate)} transfers of base {done[0].base_seed} succeeded ({percent(rate)})."
    if rate.count in (0, rate.n):
        amount = "None" if rate.count == 0 else "All"
        return f"{amount} of the {rate.n} transfers from {len(done)} bases succeeded."
    return _by_base(group)


def _of_reference(group: Group, groups: Sequence[Group]) -> list[str]:
    """Whether success depends on the base where some of the reference's transfers succeed."""
    bases = sum(bool(c.succeeded.n) for c in group.cells)
    if bases < 2 or group.succeeded.count in (0, group.succeeded.n):
        return []
    return [_by_base(group, f"in {short_name(group, groups)} (the reference) ")]


def _by_base(group: Group, where: str = "") -> str:
    """Whether the success of a group depends on the base, and how often it succeeds from which."""
    done, rate, p = [c for c in group.cells if c.succeeded.n], group.succeeded, group.bases_differ
    assert p is not None
    head = (
        f"{where}success depends on the base"
        if significant(p)
        else f"{where}it is not shown that success depends on the base"
        if where
        else "that success depends on the base is not shown"
    )
    head = f"{head[:1].upper()}{head[1:]}"
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
        first = short_name(groups[0], groups)
        if any(c.difference.value in (-1.0, 1.0) for _, c in compared):
            sentences.append(
                f"There are too few transfers of each base to show that any group differs from {first}."
            )
        else:
            sentences.append(f"No other plan or variant is shown to differ from {first}.")
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
