"""The conclusion of a comparison: where the transfer ended, and what a person should do about it.

A relation is a word about maps. Two transfers that a reader would treat alike can bear different words: one
that lies just beside its base may come out as matched, affine or undecided, as its last updates happened to
leave it. The outcome groups them by what follows.
"""

from __future__ import annotations

from pathlib import Path

from diag.comparisons.result import Comparison, Outcome
from probes import UNTURNED

NEAR = 0.8
"""R² of the identity from which on an embedding lies in the base's space, settled or not. In the runs that
the first paper's authors published, it parts their successes (0.995 and more) from their failures (0.16 and
less) by itself; between the two it is a convention."""


FAR = 3.0
"""Mean L2 distance, in spreads of the base, from which the conclusion speaks of it: an unrelated embedding of
the base's own mean and spread lies 1.4 away."""

LIVING = 0.7
"""Share of the base's living units below which a transfer has lost many: it parts the runs of
docs/impala.md, 0.93 and more from 0.36 and less; between the two it is a convention."""


def outcome(result: Comparison) -> Outcome | None:
    """The outcome of a comparison; None where the evidence does not say.

    ``landed``: matched, and as many states in place as the world asks for, where it asks. ``near``: in the
    base's space, but bent, displaced, or with too few states in place. ``mirrored``: some axes negated or
    swapped. ``collapsed``: variance or rank lost. ``elsewhere``: any other relation. ``free``: not matched,
    but nothing frozen reads the embedding.
    """
    identity = next((step.r2.value for step in result.ladder if step.transform == "identity"), None)
    if result.relation == "matched" and result.success is not False and result.verdict.status == "pass":
        return "landed"
    if result.frozen == () and result.relation != "matched":
        return "free"
    if result.relation == "collapsed":
        return "collapsed"
    if result.relation == "matched" or (identity is not None and identity >= NEAR):
        return "near"
    if result.relation in ("flipped", "permuted"):
        return "mirrored"
    if result.relation is not None or result.verdict.status == "fail":
        return "elsewhere"
    return None


def conclusion(result: Comparison) -> str:
    """A few sentences on what to conclude and what to do next."""
    return " ".join(words for words in (_landing(result), _far(result), _dead(result)) if words)


def _far(result: Comparison) -> str:
    """A sentence on a distance that no map's name tells of, where it is large (:data:`FAR`)."""
    distance = result.measures["l2_relative"].value
    if distance is None or distance < FAR:
        return ""
    return (
        f"Its states lie {distance:,.0f} times the base's spread away from where the base has them, far "
        "outside of all that the base's models have seen."
    )


def _dead(result: Comparison) -> str:
    """A sentence on units that died, where many did (:data:`LIVING`)."""
    living = result.measures.get("living_ratio")
    if living is None or living.value is None or living.value >= LIVING:
        return ""
    base, transfer = (result.measures[f"dead_{which}"].value or 0.0 for which in ("base", "transfer"))
    return (
        f"{transfer:.0%} of its units are never above 0, and {base:.0%} of the base's: the rectifier lets "
        "nothing of them pass, and no gradient reaches them."
    )


def _landing(result: Comparison) -> str:
    """Where it landed, and what to do next."""
    match outcome(result):
        case "landed":
            return "It landed: the models that read the embedding see what they were trained on."
        case "near" if _in_part(result):
            return (
                "It lies in the base's space but for the axes that are negated or swapped, where the models "
                "that read the embedding see the opposite. Training on at a small learning rate seldom leads "
                f"out; {'`diag repair` does' if _mendable(result) else 'another seed or another base may'}."
            )
        case "near":
            share = (
                ""
                if result.own_states is None
                else f" ({result.own_states} of {result.states} states have their own base state nearest)"
            )
            return (
                f"It lies in the base's space but has not settled there{share}. Train on at a learning rate "
                "that falls, and compare again; a single checkpoint at a constant rate is a snapshot of "
                "noise."
            )
        case "mirrored" if result.grid != UNTURNED:
            return (
                "Its grid is mirrored or turned, so that the models that read the embedding look for "
                "everything at another place. No map of channels undoes that, and so it cannot be folded "
                "into a last convolution of 1×1: check that both tasks show their states the same way "
                "round, or transfer again."
            )
        case "mirrored":
            return (
                "It is caught in a mirrored copy of the base's space, where the models that read the "
                "embedding do not work. Training on at a small learning rate seldom leads out; "
                f"{'`diag repair` does' if _mendable(result) else 'another seed or another base may'}."
            )
        case "collapsed":
            return (
                "It has lost what the base's embedding tells apart. No map brings that back; train it again."
            )
        case "elsewhere":
            return (
                "It does not lie where the models that read the embedding expect it. "
                f"{'Try `diag repair`, or transfer' if _mendable(result) else 'Transfer'} again with another "
                "seed or another base."
            )
        case "free":
            return (
                "It lies elsewhere than the base's, and nothing frozen reads it: this is information alone."
            )
        case None:
            return "The evidence does not decide: compare again with more states, or later in training."


def _in_part(result: Comparison) -> bool:
    """Whether some axes are surely negated or swapped, though the others bring the transfer near the base."""
    return outcome(result) == "near" and result.relation in ("flipped", "permuted")


def _mendable(result: Comparison) -> bool:
    """Whether a repair may take it: a map can be applied to its embedding, whose grid is not mirrored."""
    return result.foldable and result.grid == UNTURNED


def next_command(result: Comparison) -> str | None:
    """The ``diag repair`` command for files that it takes; None where nothing has to be mended."""
    suffix = Path(result.transfer.path).suffix
    takes = suffix in (".npy", ".safetensors") and _mendable(result)
    takes = takes and result.base.opens_alone and result.transfer.opens_alone
    if not (result.outcome in ("mirrored", "elsewhere") or _in_part(result)) or not takes:
        return None
    return f"diag repair {result.base.path} {result.transfer.path} -o mended{suffix}"
