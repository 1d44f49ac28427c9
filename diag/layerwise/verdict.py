"""The verdict on two networks layer by layer: where they begin to differ, and whether that is a fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from diag.layerwise.result import FREE, NOT_SOUGHT, LayerPair
from diag.result import Status, Verdict
from diag.units.drift import Drift
from diag.wording import listed, plural
from trainers.safe_text import plain


def differs_at(layers: Sequence[LayerPair]) -> str | None:
    """The first layer that is known not to lie where the base's does."""
    return next((one.name for one in layers if one.differs), None)


def departs_at(layers: Sequence[LayerPair]) -> str | None:
    """The first layer that differs by more than the order and signs of its units."""
    return next((one.name for one in layers if one.relation not in (None, *FREE)), None)


def verdict_of(
    layers: Sequence[LayerPair], reader: str | None, read: LayerPair | None, *, kept: bool = True
) -> Verdict:
    """One sentence or two: where the layers begin to differ, and what a frozen layer reads.

    It fails where a layer that is frozen reads what does not lie where the base's did. ``kept`` says whether
    that layer's weights are the base's own.
    """
    outputs = [one for one in layers if not one.is_input]
    if not outputs:
        return Verdict("inconclusive", "The networks have no layer of one name; maps show each with each.")
    if all(one.reason == NOT_SOUGHT for one in outputs):
        known = [one for one in outputs if one.cka.value is not None]
        if not known:
            return Verdict("inconclusive", f"{NOT_SOUGHT.capitalize()}, and no layer varies.")
        least = min(known, key=lambda one: one.cka.value or 0.0)
        least_like = f"{plain(least.name)} is least like the base's, with a CKA of {least.cka.value:.2f}"
        return Verdict(
            "inconclusive", f"{NOT_SOUGHT.capitalize()}; of {plural(len(outputs), 'layer')}, {least_like}."
        )
    if all(one.relation is None and not one.differs for one in outputs):
        return Verdict("inconclusive", "No layer has a relation that the inputs can tell.")
    words = _where(outputs)
    if reader is None or read is None:
        return Verdict("pass", words, outputs[-1].relation)
    status, more = _read_by(reader, read, kept)
    return Verdict(status, f"{words} {more}", read.relation)


def with_weights(verdict: Verdict, weights: Sequence[Drift]) -> Verdict:
    """The verdict, failed where weights moved although the transfer's plan froze them."""
    broken = [one for one in weights if one.broken and one.layer is None]
    known = {one.component for one in broken}
    broken += [one for one in weights if one.broken and one.layer is not None and one.component not in known]
    if not broken:
        return verdict
    told = [
        f"{plain(one.component)}{'' if one.layer is None else f'/{plain(one.layer)}'}"
        + ("" if one.relative is None else f" (by {one.relative:.2g} of its norm)")
        for one in broken
    ]
    words = f"The plan froze {listed(told)}, and the weights moved all the same."
    return replace(verdict, status="fail", summary=f"{words} {verdict.summary}")


def _where(outputs: Sequence[LayerPair]) -> str:
    """The layers up to the first that differs, and that one."""
    first = next((i for i, one in enumerate(outputs) if one.differs), len(outputs))
    unsure = sum(one.relation is None for one in outputs[:first])
    open_ = "" if not unsure else f" (but for {unsure} that the inputs do not tell of)"
    of = plural(len(outputs), "layer")
    if first == len(outputs):
        return f"Every layer lies where the base's does: {of} in all{open_}."
    if first == 0:
        return f"The layers differ from the first one on: {_told(outputs[0])}."
    which = f"The first of {of} lies where the base's does"
    if first > 1:
        which = f"The first {first} of {of} lie where the base's do"
    return f"{which}{open_}; the next does not: {_told(outputs[first])}."


def _told(one: LayerPair) -> str:
    values: list[str] = [] if one.relation is None else [one.relation]
    if one.as_it_is.value is not None:
        values.append(f"R² {one.as_it_is.value:.2f} as it is")
    if one.linear.value is not None:
        values.append(f"{one.linear.value:.2f} by the best linear map")
    return f"{plain(one.name)} ({', '.join(values)})" if values else plain(one.name)


def _read_by(reader: str, read: LayerPair, kept: bool) -> tuple[Status, str]:
    own, name = "kept the base's weights, and ", plain(reader)
    does = f"{name} {own if kept else ''}reads"
    if read.relation == "matched":
        return "pass", f"{does} what it did in the base."
    if read.relation is not None:
        return "fail", f"{does} what is {read.relation} beside what it read in the base."
    if read.differs:
        return "fail", f"{does} something else than it did in the base."
    open_ = f"is open: {read.reason or 'the inputs do not tell'}."
    return "inconclusive", f"{name} {own}what it reads {open_}" if kept else f"What {name} reads {open_}"
