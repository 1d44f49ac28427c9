"""Checks that rest on a comparison of the two embeddings."""

from __future__ import annotations

from collections.abc import Iterator

from diag.checks import SettingError
from diag.checks.judging import Found, State, absent, idle, judged
from diag.checks.settings import Checks
from diag.comparisons.result import Comparison
from probes import Measure

NAMES = ("relation", "r2", "l2", "states", "collapse", "cka", "cca")
"""In the order that they are told."""

INFORMATION = "nothing frozen reads the embedding, so that where it lies is no failure"
NO_EMBEDDINGS = "the files hold no embeddings"


def of_comparison(result: Comparison | None, limits: Checks) -> Iterator[Found]:
    """What every such check says of a comparison; None where there are no embeddings."""
    if result is None:
        yield from (absent(name, NO_EMBEDDINGS) for name in NAMES)
        return
    yield _relation(result, limits)
    if result.frozen == ():
        yield from (idle(name, INFORMATION) for name in NAMES[1:])
        return
    of, r2 = "the transfer's embedding to the base's", result.ladder[0].r2
    base, transfer = result.dimensions
    widths = f"the base's embedding has {in_dimensions(base)}, and the transfer's has {transfer}"
    if base != transfer:
        r2 = Measure.undefined(widths)
    yield judged("r2", f"R² of {of}", r2, "min", least=limits.r2.min)
    if base != transfer:
        yield absent("l2", widths)
    else:
        words = "the relative L2 distance"
        yield judged("l2", words, result.measures["l2_relative"], "max", most=limits.l2.max)
    yield _states(result, limits)
    yield from _collapse(result, limits)
    yield judged("cka", "CKA", result.measures["cka_debiased"], "min", least=limits.cka.min)
    yield judged("cca", "CCA", result.measures["cca"], "min", least=limits.cca.min)


def in_dimensions(count: int) -> str:
    """``1 dimension``, ``3 dimensions``."""
    return f"{count} dimension{'' if count == 1 else 's'}"


def _relation(result: Comparison, limits: Checks) -> Found:
    verdict = result.verdict
    state: State
    words = verdict.summary.removesuffix(".")
    if verdict.relation is None and result.frozen == ():
        state, words = "good", f"{words}; {INFORMATION}"
    elif verdict.relation is None:
        # It fails for being anything but matched: no more is known.
        state = "bad" if verdict.status == "fail" and set(limits.relation.allow) == {"matched"} else "unsure"
    elif verdict.relation in limits.relation.allow:
        # Deformation and states out of place have checks of their own.
        state = "odd" if verdict.relation == "matched" and verdict.axes else "good"
    else:
        state = "good" if result.frozen == () else "bad"
    return Found("relation", state, words, limit="allow", word=verdict.relation or "")


def _states(result: Comparison, limits: Checks) -> Found:
    own = result.own_states
    wanted = limits.states.min if limits.states.min is not None else result.success_states
    if own is None or wanted is None:
        return absent("states", "no world says how many states must lie nearest to their own")
    if result.rows != result.states:
        return absent("states", f"{result.states} states stand in {result.rows} rows, not once each")
    if wanted > result.states:
        words = f"found {wanted} states wanted, expected at most the {result.states} that there are"
        raise SettingError("check.states.min", words)
    state: State = "good" if own >= wanted else "bad"
    words = f"{own} of {result.states} states lie nearest to their own base state, at least {wanted} wanted"
    measure = Measure(float(own))
    return Found("states", state, words, measure=measure, limit="min", instead=result.success_states)


def _collapse(result: Comparison, limits: Checks) -> Iterator[Found]:
    kept = result.measures["variance_ratio"]
    least = limits.collapse.min_variance
    words = "the transfer's variance over the base's"
    yield judged("collapse", words, kept, "min_variance", least=least, of="variance")
    words, least = "the transfer's effective rank over the base's", limits.collapse.min_rank
    yield judged("collapse", words, result.rank_ratio, "min_rank", least=least, of="rank")
