"""Two networks layer by layer as a page: a line a layer, then every layer beside every other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from diag.layerwise.result import LayerPair, LayersCompared
from diag.outputs.layers_text import MEANING, READ, moved, notes, shown_in_words, weights_in_words
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import hundredths, named, number, span, span_or_reason
from probes import Floats, Measure
from reports import Figure, Page, Section
from reports import layers as charts
from trainers.safe_text import plain

MAP_WORDS = (
    "Each cell compares a layer of the base with one of the transfer on the same inputs, whatever their "
    "widths. The bars show the best partner of each layer. Where the transfer kept the base's structure, the "
    "best lie on the diagonal."
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
    sections = [_by_layer(result), *_weights(result), *_maps(result), _intervals(result)]
    words = warning_words(result.warnings) + notes(result)
    if words:
        sections.append(Section("Notes", words))
    verdict = result.verdict
    return Page("layers", verdict.status, verdict.summary, facts, sections, footer())


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
        figure = Figure(charts.by_layer(drawn), f"R² and CKA of each layer in order; {said}.")
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
    return Section("Layer by layer", [READ, MEANING], figure, table)


def _weights(result: LayersCompared) -> list[Section]:
    if not result.weights:
        return []
    planned = any(one.plan for one in result.weights)
    rows = []
    for one in result.weights:
        distance, relative, fate, plan = weights_in_words(one)
        name = plain(one.component) if one.layer is None else f"· {plain(one.layer)}"
        row = {"weights of": name, "parameters": f"{one.parameters:,}", "base's norm": number(one.norm)}
        row |= {"distance": distance, "of norm": relative, "of all": f"{one.share:.0%}", "fate": fate}
        rows.append(row | ({"plan": plan} if planned else {}))
    words = (
        "How far each component lies from the base's, and each of its layers (·): the Euclidean distance, "
        "that as a share of the base's norm, and its share of the squared distance of all weights."
    )
    return [Section("How far the weights moved", [words], None, pd.DataFrame(rows))]


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
    words = (
        "95% intervals. Those of R² resample inputs, in bundles; that of CKA leaves out one batch of inputs "
        "at a time. A relation holds in the share of resamples that would have named it too."
    )
    return Section("How sure each number is", [words], None, table)


def _measures(one: LayerPair) -> tuple[Measure, ...]:
    return one.as_it_is, one.matched, one.linear, one.cka


def _maps(result: LayersCompared) -> list[Section]:
    layers = result.map
    sections = []
    for title, values, words in (
        ("CKA of every layer with every other", layers.cka, [MAP_WORDS]),
        (
            "How well each layer is read from each",
            layers.r2,
            [
                "Held-out R² of the best linear map from a layer of the transfer to one of the base. Each "
                "layer stands for its mean over places, on its first 64 principal axes."
            ],
        ),
    ):
        figure = Figure(
            _map(values, layers.base, layers.transfer, title),
            f"{title}: {len(layers.base)} by {len(layers.transfer)} layers.",
        )
        sections.append(Section(title, words, figure))
    return sections


def _map(values: Floats, base: Sequence[str], transfer: Sequence[str], title: str) -> object:
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
    return charts.heat_map(pd.DataFrame(cells), pd.DataFrame(rows), pd.DataFrame(columns), name)
