"""Words and cells of environment metrics, which their text and their page share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from diag.outputs.words import number, span
from diag.studies.environments.result import SCRATCH, WAYS, Way
from diag.wording import listed, p_relation, percent_interval, plural
from probes import Measure

if TYPE_CHECKING:
    from diag.studies.environments.asked import Asked, AskedLook
    from diag.studies.environments.result import Earned, Entry, EnvironmentMetrics, LookMetrics, Reached

WAY_NAMES = {"end": "at the end", "area": "over the whole budget"}

EARNS_MORE = {
    "head": "freezing the head",
    "embedding": "freezing the embedding",
    "neither": "neither, surely",
}

INTERVALS = (
    "Intervals are 95% intervals that resample bases, and seeds of what has no base. The value of a ratio is "
    "the ratio of the two means. With fewer than five bases or seeds the intervals are too narrow."
)

PAPER = (
    "The paper divides the mean return by that of training from scratch, where returns are positive, and "
    "gives the returns themselves where they are not."
)

FROZEN = (
    "The relation is that of the frozen embedding: the base's encoder, as it is, on the target's "
    "observations beside itself on the source's. It is known before anything is trained on the target."
)


def brief(result: EnvironmentMetrics) -> str:
    """One line: what there is, and what came of the question."""
    words = f"{result.study}: {plural(len(result.looks), 'look')}"
    answer = result.asked.get("end")
    return f"{words}; {short_answer(answer)}" if answer is not None else words


def short_answer(answer: Asked) -> str:
    """The answer in half a sentence."""
    rule = f"the relation tells which freeze earns more in {answer.agree.count} of {answer.agree.n} pairs"
    if answer.told_apart:
        return rule
    known = "no pair is matched" if not sum(answer.counts["matched"].values()) else "every pair is matched"
    return f"{known}, so the relation cannot tell which freeze earns more"


def value(measure: Measure | None, digits: int = 2) -> str:
    """A number with its interval, to so many decimals however small it is; a dash where there is none."""
    if measure is None or measure.value is None:
        return "–"
    middle, low, high = (
        None if end is None else round(end, digits) for end in (measure.value, measure.low, measure.high)
    )
    rounded = Measure(middle, low, high)
    return f"{number(rounded.value, digits)} {span(rounded, digits)}".rstrip()


def counted(entry: Entry) -> str:
    """The relations of an entry's runs: ``affine 3, matched 2``."""
    return ", ".join(f"{name} {count}" for name, count in entry.relations.items()) or "–"


def ratio(result: EnvironmentMetrics, earned: Earned) -> Measure:
    """The ratio that is shown: of shares where the world has one, else of returns."""
    if result.share and earned.share_over_scratch is not None:
        return earned.share_over_scratch
    return earned.over_scratch


def ratio_name(result: EnvironmentMetrics) -> str:
    """What is divided."""
    return result.share or "mean return"


def reasons(result: EnvironmentMetrics, look: LookMetrics, way: Way) -> list[str]:
    """Why a look has no ratios; a line each, without repeats."""
    found = dict.fromkeys(ratio(result, entry.earned[way]).reason or "" for entry in look.entries)
    return [reason for reason in found if reason]


def frames_words(reached: Reached | None) -> str:
    """Mean frames to the level, and how many runs never reach it: ``≥ 95,488, 1 of 5 never``."""
    if reached is None or reached.frames.value is None:
        return "–"
    if not reached.count:
        return f"never ({reached.n} runs)"
    words = f"{reached.frames.value:,.0f}"
    return f"≥ {words}, {reached.never} of {reached.n} never" if reached.never else words


def speed_words(reached: Reached | None) -> str:
    """From-scratch's frames over a plan's, with what the runs that never reach the level make of it."""
    if reached is None or reached.speed.value is None:
        return "–"
    mark = {"": "", "at most": "≤ ", "at least": "≥ ", "either way": "≈ "}[reached.bound]
    return mark + value(reached.speed)


def level_words(look: LookMetrics, unit: str) -> str:
    """The level, or why there is none."""
    if look.level.score is None:
        return f"No {unit} to a level: {look.level.words}. --threshold sets one."
    return f"The level is a mean return of {number(look.level.score)}: {look.level.words}."


def share_words(result: EnvironmentMetrics) -> str:
    """Why ratios are of a share; empty where they are not."""
    if not result.share:
        return ""
    return (
        f"Here returns are both positive and negative, or 0 does not mean nothing, so ratios of returns say "
        f"nothing: ratios are of the {result.share}, which the world defines, and the returns stand beside "
        "them."
    )


def answers(answer: Asked) -> Iterator[str]:
    """The answer to the question, a sentence each."""
    apart, same = answer.counts["not matched"], answer.counts["matched"]
    undecided = sum(answer.counts["undecided"].values())
    for name, row in (("not matched", apart), ("matched", same)):
        total = sum(row.values())
        if not total:
            yield f"No pair's embedding is {name}."
            continue
        equal = f", and {row['equal']} are equal" if row["equal"] else ""
        yield (
            f"Of {plural(total, 'pair')} whose embedding is {name}, freezing the head earns more in "
            f"{row['head']} and freezing the embedding in {row['embedding']}{equal}."
        )
    if undecided:
        yield f"The relation of {plural(undecided, 'pair')} is undecided; the rule says nothing of these."
    if answer.agree.n:
        share = percent_interval(answer.agree.share, answer.agree.low, answer.agree.high)
        over = ""
        if answer.over_looks is not None:
            low, high = answer.over_looks
            over = f"; resampling looks gives [{low:.0%}, {high:.0%}]"
        yield (
            f"The rule, head where not matched and embedding where matched, is right in {answer.agree.count} "
            f"of {answer.agree.n}: {share} as if pairs were independent{over}."
        )
    if answer.told_apart:
        yield (
            f"Boschloo's exact test of the table gives p {p_relation(answer.p_pairs)} as if pairs were "
            f"independent, which those of one look are not; permuting whole looks gives p "
            f"{p_relation(answer.p_looks)}."
        )
    else:
        yield "All pairs stand on one side, so whether the relation decides cannot be told from this study."
    for name, words in (("cka", "CKA"), ("r2_identity", "R² as it is")):
        rank = answer.rank[name]
        if rank.value is not None and rank.p is not None:
            yield (
                f"Over looks, the frozen embedding's {words} and what freezing the head earns more have a "
                f"rank correlation of {number(rank.value)} (exact p {p_relation(rank.p)})."
            )


def frozen_words(look: AskedLook) -> str:
    """Relations of the frozen embedding in a look."""
    return ", ".join(f"{name} {count}" for name, count in look.relations.items())


def unequal(result: EnvironmentMetrics) -> str:
    """The looks in which one freeze surely earns more, at the end."""
    answer = result.asked.get(WAYS[0])
    if answer is None:
        return ""
    sure = [f"{look.look} ({EARNS_MORE[look.better]})" for look in answer.looks if look.better != "neither"]
    return f"At the end one freeze surely earns more in {listed(sure, 'no look')}."


def named(entry: Entry) -> str:
    """An entry's name; from-scratch says what it is the measure of."""
    return f"{entry.plan} (= 1)" if entry.plan == SCRATCH else entry.plan
