"""Two networks layer by layer for a terminal: the first layer that differs, then a line a layer."""

from __future__ import annotations

from diag.layerwise.result import LayerPair, LayersCompared
from diag.outputs.drift_text import NAME, drift_lines
from diag.outputs.layout import Column, table, width, wrapped
from diag.outputs.lines import WIDTH, headline, short, warning_lines
from diag.outputs.words import hundredths, number, span
from diag.wording import plural
from trainers.safe_text import plain

MEANING = (
    "Hidden units may stand in another order, and around odd functions (tanh) with another sign, without any "
    "change in what a network computes. A hidden layer that is permuted or flipped is no fault by itself: "
    "'matched' is R² once the transfer's units are put in the base's order, with signs."
)

READ = (
    "R² compares the transfer's units with the base's: as they are, matched, and by the best linear map, on "
    "rows that no map was fitted to. CKA is without its bias, and blind to order, signs and rotations."
)


def render(result: LayersCompared, verbose: bool = False) -> str:
    """The whole text."""
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    lines += [f"  base      {short(result.base.path)}", f"  transfer  {short(result.transfer.path)}"]
    lines += wrapped(shown_in_words(result), "  ", "  ")
    lines += ["", *_table(result, verbose), ""]
    lines += [*drift_lines(result.weights, verbose), ""]
    lines += [line for words in (READ, MEANING, *notes(result)) for line in wrapped(words, "  ", "  ")]
    return "\n".join(line.rstrip() for line in lines)


def shown_in_words(result: LayersCompared) -> str:
    """What both networks were shown."""
    layers = plural(len(result.layers), "layer")
    return f"{layers} on {plural(result.inputs, 'input')} of {result.world}"


def notes(result: LayersCompared) -> list[str]:
    """Sentences on layers without a partner, and on what numbers leave out."""
    ours, theirs = (set(names) for names in (result.map.base, result.map.transfer))
    words = []
    for name, alone in (("base", ours - theirs), ("transfer", theirs - ours)):
        if alone:
            words.append(
                f"{plural(len(alone), 'layer')} of the {name} {'has' if len(alone) == 1 else 'have'} no "
                "namesake, and stand in the map alone."
            )
    halves = dict.fromkeys(one.frozen for one in result.layers if one.frozen not in (None, "exactly"))
    if halves:
        words.append(
            f"frozen½: the weights are the base's, once they are rounded to {' or '.join(map(str, halves))}."
        )
    reasons: dict[str, list[str]] = {}
    for one in result.layers:
        if one.relation is None and one.reason:
            reasons.setdefault(one.reason, []).append(plain(one.name))
    for reason, names in reasons.items():
        where = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        words.append(f"No relation for {where}: {reason}.")
    return words


def _columns() -> list[Column]:
    return [
        Column("layer", NAME + max(0, width() - WIDTH), "<"),
        Column("relation", 10, "<"),
        Column("R² as is", 9),
        Column("matched", 9),
        Column("linear", 8),
        Column("CKA", 7),
        Column("moved", 10),
    ]


def _table(result: LayersCompared, verbose: bool) -> list[str]:
    """A line a layer; under each, where more is asked for, the intervals of its numbers."""
    first = result.differs  # the one that the verdict names
    columns = _columns()
    lines = table(columns, [_cells(one, one.name == first, columns[0].width - 2) for one in result.layers])
    if not verbose or len(lines) != len(result.layers) + 1:
        return lines
    told = lines[:1]
    for line, one in zip(lines[1:], result.layers, strict=True):
        told += [line, *wrapped(_intervals(one), "      ", "      ")]
    return told


def _intervals(one: LayerPair) -> list[str]:
    numbers = (("as is", one.as_it_is), ("matched", one.matched), ("linear", one.linear), ("CKA", one.cka))
    told = [f"{name} {span(measure)}" for name, measure in numbers if measure.low is not None]
    sure = [] if one.agreement is None else [f"holds in {one.agreement:.0%} of the resamples"]
    units = f"{' and '.join(dict.fromkeys(f'{count:,}' for count in one.units))} units"
    pieces = [one.kind, units, *told, *sure]
    return [*(f"{words}," for words in pieces[:-1]), pieces[-1]]


def _cells(one: LayerPair, first: bool, room: int) -> list[str]:
    mark = "▸ " if first else ""
    name = f"{mark}{plain(one.name)}"
    if len(name) > room:  # the end tells layers apart, from the beginning of a part of the name on
        end = plain(one.name)[-(room - len(mark) - 1) :]
        name = f"{mark}…{end[max(end.find('.'), 0) :]}"
    measures = (one.as_it_is, one.matched, one.linear, one.cka)
    return [name, one.relation or "open", *(hundredths(m.value) for m in measures), moved(one)]


def moved(one: LayerPair) -> str:
    """How far a layer's weights lie from the base's."""
    if one.is_input:
        return "–"
    if one.frozen is not None:
        return "frozen" if one.frozen == "exactly" else "frozen½"
    return "–" if one.moved is None else number(one.moved)
