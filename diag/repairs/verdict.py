"""The status and the sentence of a repair."""

from __future__ import annotations

from diag.comparisons.verdict import DEFORMED
from diag.repairs.fits import Fit
from diag.repairs.result import Stage, Training
from diag.repairs.search import NEAR, Search
from diag.result import Verdict

LEAST = 0.3
"""R² below which an embedding is not mended at all: the floor of the ladder's `unrelated`."""

WORSE = 0.01
"""Most R² that a forced repair of a matched transfer may lose."""

ASTRAY = ("flipped", "permuted", "rotated", "collapsed", "unrelated")
"""Relations with which an embedding is not mended, however near it has come."""


def is_whole(stage: Stage) -> bool:
    """Whether every state that has to be is in place; by relation and R² where the world sets no number."""
    matched = stage.relation == "matched"
    if stage.success is not None:
        return matched and stage.success
    return matched and (stage.r2 or 0.0) >= DEFORMED


def verdict_of(
    before: Stage,
    after: Stage,
    chosen: Fit | None,
    search: Search | None,
    training: Training | None,
    force: bool = False,
) -> Verdict:
    """Status and sentence of a repair; ``fail`` is never written, ``inconclusive`` with ``force`` alone."""
    relation, r2 = after.relation, after.r2 or 0.0
    if search is not None and not (search.separated and search.near):
        return Verdict("inconclusive", _unsure(search, force), relation)
    held_out = None if chosen is None else chosen.r2.value
    unfit = training is None and held_out is not None and held_out < LEAST
    if unfit or relation in ASTRAY or r2 < LEAST:
        return Verdict("fail", _failed(after, chosen, training), relation)
    if r2 < (before.r2 or 0.0) - WORSE:
        return Verdict("fail", f"Worse than before, and not written: {place(before, after)}.", relation)
    how = f" by {_means(chosen, search, training)}"
    if is_whole(after):
        return Verdict("pass", f"Mended{how}: {place(before, after)}.", relation)
    advice = "train on for longer, or with more pairs"
    if training is None:
        advice = "train on with --train 5%"
    elif training.mode == "task":
        advice = "train on for longer, or with pairs"
    return Verdict("warn", f"Mended in part{how}: {place(before, after)}; {advice}.", relation)


def writes(verdict: Verdict, force: bool) -> bool:
    """Whether the repair is good enough to be written."""
    return verdict.status in ("pass", "warn") or (verdict.status == "inconclusive" and force)


def place(before: Stage, after: Stage) -> str:
    """Number of states in place and R², now and before, in words."""
    r2 = f"R² {after.r2 or 0.0:.2f} ({before.r2 or 0.0:.2f} before)"
    if after.own_states is None or after.comparison.success_states is None:
        return r2
    return (
        f"{after.own_states} of {after.comparison.states} states in place ({before.own_states} before), {r2}"
    )


def left_alone(before: Stage) -> Verdict:
    """The verdict on a transfer that is not repaired: nothing frozen reads it, or it is matched."""
    compared = before.comparison
    if compared.frozen == ():
        words = "Nothing frozen reads the embedding: there is nothing to mend."
        return Verdict("pass", words, before.relation)
    sentence = "Already matched, and left as it is"
    if is_whole(before):
        return Verdict("pass", f"{sentence} (R² {before.r2 or 0.0:.2f}).", before.relation)
    states = (
        "" if before.own_states is None else f"{before.own_states} of {compared.states} states in place, "
    )
    return Verdict(
        "warn", f"{sentence}: {states}R² {before.r2 or 0.0:.2f}. With --force it is mended.", before.relation
    )


def of_mirrored_grid(before: Stage) -> Verdict:
    """The verdict on planes whose grid is mirrored or turned, which no map of channels leads back."""
    return Verdict(
        "fail",
        f"Cannot be mended by folding, and not written: its grid is {before.comparison.grid}, and a "
        "convolution of 1×1 maps channels alone.",
        before.relation,
    )


def _means(chosen: Fit | None, search: Search | None, training: Training | None) -> str:
    """The means of a repair as one noun: ``signs and 300 updates of training (1.0% of the transfer's)``."""
    means = []
    if chosen is not None:
        means.append(chosen.name)
    if search is not None:
        means.append(f"a map chosen without pairs ({search.candidates[0].words})")
    if training is not None:
        share = training.own / training.of_budget
        means.append(f"{in_updates(training.own)} of training ({share:.1%} of the transfer's)")
    return " and ".join(means)


def in_updates(count: int) -> str:
    """A number of updates in words: ``1 update``, ``1,500 updates``."""
    return f"{count:,} update{'' if count == 1 else 's'}"


def _failed(after: Stage, chosen: Fit | None, training: Training | None) -> str:
    name = after.relation or "undecided"
    if training is not None:
        return (
            f"Not mended, and not written: {name} still after {in_updates(training.own)} of training "
            f"(R² {after.r2 or 0.0:.2f})."
        )
    if chosen is not None and chosen.r2.value is not None and chosen.r2.value < LEAST:
        return (
            "Cannot be mended by a map, and not written: the best of them has R² "
            f"{chosen.r2.value:.2f} on held-out pairs. Training on with pairs may (--train 5%)."
        )
    return f"Not mended, and not written: {name} still with the map folded in (R² {after.r2 or 0.0:.2f})."


def _unsure(search: Search, force: bool) -> str:
    cannot = "Cannot tell without pairs" + ("" if force else ", and not written")
    best = search.candidates[0]
    if not search.near:
        return (
            f"{cannot}: the best of {search.tried} maps loses {best.after:.3f} "
            f"after training on, more than {NEAR:g} times the base's {search.base_loss:.3f}."
        )
    if search.margin.value is None:
        return f"{cannot}: {search.margin.reason}."
    return (
        f"{cannot}: the best rival that lies apart loses only "
        f"{search.margin.value:.4f} [{search.margin.low or 0.0:.4f}, {search.margin.high or 0.0:.4f}] more."
    )
