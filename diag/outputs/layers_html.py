"""Two networks layer by layer as a page: a line a layer, then every layer beside every other."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import numpy as np
import pandas as pd

from diag.layerwise.result import LayerPair, LayersCompared
from diag.outputs.drift_html import drift_sections
from diag.outputs.layers_text import MEANING, READ, moved, notes, shown_in_words
from diag.outputs.names import short_names
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import hundredths, named, number, span, span_or_reason
from diag.wording import listed, plural
from probes import Floats, Measure
from reports import Figure, Key, Page, Section
from reports import layers as charts
from trainers.safe_text import plain

MAP_WORDS = (
    "Each cell compares a layer of the base with one of the transfer on the same inputs, whatever their "
    "widths. The bars show the best partner of each layer. Where the transfer kept the base's structure, the "
    "best lie on the diagonal. The frame marks the first layer that differs."
)


def page(result: LayersCompared) -> Page:
    """The whole page."""
    facts = [
        ("base", named(result.base)),
        ("transfer", named(result.transfer)),
        ("shown", shown_in_words(result)),
        ("rows", f"{result.rows:,} for each layer's relation, {result.batches} batches for CKA"),
        ("seed", str(result.seed)),
    ]
    sections = [
        _by_layer(result),
        *drift_sections(result.weights, "the base"),
        *_maps(result),
        _intervals(result),
    ]
    words = warning_words(result.warnings) + notes(result)
    if words:
        sections.append(Section("Notes", words))
    sections.append(_next(result))
    verdict = result.verdict
    title = " against ".join(reversed(short_names([result.base.path, result.transfer.path])))
    return Page(
        title, verdict.status, verdict.summary, facts, sections, footer(), kind="layers", keys=_keys(result)
    )


def _keys(result: LayersCompared) -> list[Key]:
    """The first layer that differs, how many do, and the lowest similarity."""
    differ = sum(one.differs for one in result.layers)
    keys = [Key("first layer that differs", "none" if result.differs is None else plain(result.differs))]
    keys.append(Key("layers that differ", str(differ), f"of {len(result.layers)}"))
    known = [one for one in result.layers if one.cka.value is not None]
    if known:
        low = min(known, key=lambda one: one.cka.value or 0.0)
        keys.append(Key(f"lowest CKA, at {plain(low.name)}", hundredths(low.cka.value), span(low.cka)))
    if result.reader is not None:
        keys.append(Key("frozen, and reads what changed", plain(result.reader)))
    return keys


def _next(result: LayersCompared) -> Section:
    """What a reader may do after this comparison of layers."""
    files = [result.base.path, result.transfer.path]
    if result.differs is None:
        words = "No layer differs: what a probe reads from the last one says what it is good for."
        commands = [f"diag probe {shlex.join(files)}"]
    else:
        words = (
            f"A comparison of the embeddings says by which map the transfer's follows from the base's; "
            f"--layer {plain(result.differs)} compares this layer, where the networks part."
        )
        commands = [f"diag compare-embeddings {shlex.join(files)}"]
    takes = result.base.opens_alone and result.transfer.opens_alone
    return Section("What to do next", [words], commands=commands if takes else [], short="Next")


def _by_layer(result: LayersCompared) -> Section:
    rows = []
    for one in result.layers:
        for measure, value in zip(charts.MEASURES, _measures(one), strict=True):
            if value.value is not None:
                ends = [value.value if end is None else end for end in (value.low, value.high)]
                told = f"{plain(one.name)}: {measure} {span_or_reason(value)}"
                rows.append([plain(one.name), measure, value.value, *ends, told])
    drawn = pd.DataFrame(rows, columns=["layer", "measure", "value", "low", "high", "told"])
    figure = None
    if len(drawn):
        first = result.differs
        said = "no layer differs" if first is None else f"the first layer that differs is {plain(first)}"
        chart = charts.by_layer(drawn, None if first is None else plain(first))
        figure = Figure(chart, f"R² and CKA of each layer in order; {said}.")
    table = pd.DataFrame(
        [
            {
                "layer": plain(one.name),
                "units": ", ".join(dict.fromkeys(f"{units:,}" for units in one.units)),
                "relation": one.relation or "open",
                "R² as it is": hundredths(one.as_it_is.value),
                "matched": hundredths(one.matched.value),
                "linear": hundredths(one.linear.value),
                "CKA": hundredths(one.cka.value),
                "weights moved": moved(one),
            }
            for one in result.layers
        ]
    )
    words, reading = _layer_words(result), [READ, MEANING]
    return Section("Layer by layer", words, figure, table, reading, folded=figure is not None, short="Layers")


def _layer_words(result: LayersCompared) -> list[str]:
    """Which layers differ, and what becomes of the first of them under the best maps."""
    differ = [one for one in result.layers if one.differs]
    if not differ:
        return [f"None of {plural(len(result.layers), 'layer')} of one name is shown to differ."]
    first = differ[0]
    told = [
        f"{len(differ)} of {plural(len(result.layers), 'layer')} of one name "
        f"{'differs' if len(differ) == 1 else 'differ'}, the first of them {plain(first.name)} "
        f"({first.relation or 'its relation is open'})."
    ]
    if first.as_it_is.value is not None:
        rungs = (
            ("as it is", first.as_it_is),
            ("with its units matched", first.matched),
            ("by the best linear map", first.linear),
        )
        known = [f"{hundredths(r2.value)} {words}" for words, r2 in rungs if r2.value is not None]
        told.append(f"R² of {plain(first.name)} is {listed(known)}.")
    return told


def _intervals(result: LayersCompared) -> Section:
    table = pd.DataFrame(
        [
            {
                "layer": plain(one.name),
                "kind": plain(one.kind),
                "holds in": "–" if one.agreement is None else f"{one.agreement:.0%}",
                "R² as it is": span(one.as_it_is) or "–",
                "matched": span(one.matched) or "–",
                "linear": span(one.linear) or "–",
                "CKA": span(one.cka) or "–",
            }
            for one in result.layers
        ]
    )
    table = table.drop(columns=[c for c in table if (table[c] == "–").all()])
    words = (
        "95% intervals. Those of R² resample inputs, in bundles; that of CKA leaves out one batch of inputs "
        "at a time. A relation holds in the share of resamples that would have named it too."
    )
    title = "How sure each number is"
    return Section(title, [words], None, table, folded=len(table) > MOST_ROWS, short="Intervals")


MOST_ROWS = 12
"""Most rows of a table of intervals that stands open."""


def _measures(one: LayerPair) -> tuple[Measure, ...]:
    return one.as_it_is, one.matched, one.linear, one.cka


def _maps(result: LayersCompared) -> list[Section]:
    layers = result.map
    linear = (
        "Held-out R² of the best linear map from a layer of the transfer to one of the base. Each layer "
        "stands for its mean over places, on its first 64 principal axes."
    )
    sections = []
    for title, short, values, reading in (
        ("CKA of every layer with every other", "CKA map", layers.cka, [MAP_WORDS]),
        ("How well each layer is read from each", "R² map", layers.r2, [linear, MAP_WORDS]),
    ):
        figure = Figure(
            _map(values, layers.base, layers.transfer, title, result.differs),
            f"{title}: {len(layers.base)} by {len(layers.transfer)} layers.",
        )
        words = _map_words(values, layers.base, layers.transfer)
        sections.append(Section(title, words, figure, notes=reading, short=short))
    return sections


def _map_words(values: Floats, base: Sequence[str], transfer: Sequence[str]) -> list[str]:
    """For how many layers of the base the best partner is the transfer's layer of the same name."""
    known = np.where(np.isfinite(values), values, -np.inf)
    shared = [
        place for place, name in enumerate(base) if name in transfer and np.isfinite(known[place]).any()
    ]
    if not shared:
        return ["No layer of the base has a namesake in the transfer."]
    own = [place for place in shared if transfer[int(known[place].argmax())] == base[place]]
    told = [
        f"For {len(own)} of {plural(len(shared), 'layer')} of the base the most similar layer of the "
        "transfer is the one of the same name."
    ]
    others = [place for place in shared if place not in own]
    if others:
        place = min(others, key=lambda one: float(known[one].max()))
        best = int(known[place].argmax())
        told.append(
            f"Of the others, {plain(base[place])} has the least like partner: {plain(transfer[best])}, at "
            f"{number(float(known[place, best]))}."
        )
    return told


def _map(
    values: Floats, base: Sequence[str], transfer: Sequence[str], title: str, first: str | None
) -> object:
    ours, theirs = [plain(n) for n in base], [plain(n) for n in transfer]
    known = np.where(np.isfinite(values), values, -np.inf)

    def cell(i: int, j: int, **more: str) -> dict[str, object]:
        value = float(values[i, j])
        told = f"{ours[i]} of the base, {theirs[j]} of the transfer: {number(value)}"
        return {"value": value if np.isfinite(value) else None, "told": told, **more}

    cells = [cell(i, j, base=b, transfer=t) for i, b in enumerate(ours) for j, t in enumerate(theirs)]
    rows = [cell(i, int(known[i].argmax()), base=b) for i, b in enumerate(ours)]
    columns = [cell(int(known[:, j].argmax()), j, transfer=t) for j, t in enumerate(theirs)]
    name = "CKA" if title.startswith("CKA") else "R²"
    marked = None if first is None else plain(first)
    return charts.heat_map(pd.DataFrame(cells), pd.DataFrame(rows), pd.DataFrame(columns), name, marked)
