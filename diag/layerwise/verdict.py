"""The verdict on two networks layer by layer: where they begin to differ, and whether that is a fault."""

from __future__ import annotations

from collections.abc import Sequence

from diag.layerwise.result import FREE, LayerPair
from diag.result import Status, Verdict
from diag.wording import plural
from trainers.safe_text import plain


def differs_at(layers: Sequence[LayerPair]) -> str | None:
    """The first layer that is known not to lie where the base's does."""
    return next((one.name for one in layers if one.relation not in (None, "matched")), None)


def departs_at(layers: Sequence[LayerPair]) -> str | None:
    """The first layer that differs by more than the order and signs of its units."""
    return next((one.name for one in layers if one.relation not in (None, *FREE)), None)


def verdict_of(layers: Sequence[LayerPair], reader: str | None, read: LayerPair | None) -> Verdict:
    """One sentence or two: where the layers begin to differ, and what a frozen layer reads.

    It fails where a layer that stayed as it was reads what does not lie where the base's did.
    """
    known = [one for one in layers if one.relation is not None and not one.is_input]
    if not known:
        return Verdict("inconclusive", "No layer has a relation that the inputs can tell.")
    first = next((i for i, one in enumerate(known) if one.relation != "matched"), None)
    if first is None:
        words = f"Every layer lies where the base's does ({plural(len(known), 'layer')})."
    elif first == 0:
        words = f"The layers differ from the first one on: {_told(known[0])}."
    else:
        lie = "The first layer lies" if first == 1 else f"The first {first} layers lie"
        words = f"{lie} where the base's do, of {len(known)}; the next does not: {_told(known[first])}."
    if reader is None or read is None:
        return Verdict("pass", words, known[-1].relation)
    status, more = _read_by(reader, read)
    return Verdict(status, f"{words} {more}", read.relation)


def _told(one: LayerPair) -> str:
    relation = "unrelated" if one.relation is None else one.relation
    values = []
    if one.as_it_is.value is not None:
        values.append(f"R² {one.as_it_is.value:.2f} as it is")
    if one.linear.value is not None:
        values.append(f"{one.linear.value:.2f} by the best linear map")
    more = f", {', '.join(values)}" if values else ""
    return f"{plain(one.name)} ({relation}{more})"


def _read_by(reader: str, read: LayerPair) -> tuple[Status, str]:
    name = plain(reader)
    if read.relation is None:
        why = read.reason or "the inputs do not tell"
        return "inconclusive", f"{name} kept the base's weights, and what it reads is open: {why}."
    if read.relation == "matched":
        return "pass", f"{name} kept the base's weights, and reads what it did in the base."
    return "fail", (
        f"{name} kept the base's weights, and reads what is {read.relation} beside what it read in the base."
    )
