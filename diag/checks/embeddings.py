"""Checks that rest on a comparison of the two embeddings."""

from __future__ import annotations

from collections.abc import Iterator

from diag.checks.judging import Found, State, absent, idle, judged
from diag.checks.settings import Checks
from diag.result import Comparison
from diag.subject import SubjectError
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
    of = "the transfer's embedding to the base's"
    yield judged("r2", f"R² of {of}", result.ladder[0].r2, "min", least=limits.r2.min)
    if result.dimensions[0] != result.dimensions[1]:
        yield absent(
            "l2", f"the embeddings have {result.dimensions[0]} and {result.dimensions[1]} dimensions"
        )
    else:
        words = "the relative L2 distance"
        yield judged("l2", words, result.measures["l2_relative"], "max", most=limits.l2.max)
    yield _states(result, limits)
    yield from _collapse(result, limits)
    yield judged("cka", "CKA", result.measures["cka_debiased"], "min", least=limits.cka.min)
    yield judged("cca", "CCA", result.measures["cca"], "min", least=limits.cca.min)


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
        words = f"a world of {result.states} states"
        raise SubjectError(result.transfer.path, words, f"check.states.min at most that, not {wanted}")
    state: State = "good" if own >= wanted else "bad"
    words = f"{own} of {result.states} states lie nearest to their own base state, at least {wanted} wanted"
    return Found("states", state, words, measure=Measure(float(own)), limit="min")


def _collapse(result: Comparison, limits: Checks) -> Iterator[Found]:
    kept = result.measures["variance_ratio"]
    least = limits.collapse.min_variance
    words = "the transfer's variance over the base's"
    yield judged("collapse", words, kept, "min_variance", least=least, of="variance")
    words, least = "the transfer's effective rank over the base's", limits.collapse.min_rank
    yield judged("collapse", words, result.rank_ratio, "min_rank", least=least, of="rank")
