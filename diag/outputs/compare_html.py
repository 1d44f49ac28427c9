"""A comparison as a page: the picture that shows the relation, then the evidence in a doubter's order."""

from __future__ import annotations

import pandas as pd

from diag.comparisons.conclusion import next_command
from diag.comparisons.result import Comparison
from diag.outputs.axes_html import axes_section
from diag.outputs.dreams_pictures import dream_sections
from diag.outputs.embeddings_html import embeddings_figure, has_picture, map_words
from diag.outputs.names import against
from diag.outputs.sections import footer, grid_sections, ladder_section, warning_words
from diag.outputs.states_html import states_section
from diag.outputs.trail_html import trail_sections
from diag.outputs.words import (
    below,
    column_words,
    counted,
    grouped,
    hundredths,
    measure_name,
    number,
    span,
    span_or_reason,
    to_hundredths,
    version,
)
from diag.wording import p_value, plural
from probes import Measure
from reports import Figure, Key, Page, Section
from reports.measures import measures


def page(result: Comparison) -> Page:
    """A comparison as a page."""
    sections = [*_picture(result), *axes_section(result), *trail_sections(result)]
    sections += states_section(result)
    sections += [ladder_section(result), *grid_sections(result), *dream_sections(result.dreams)]
    sections.append(_measures(result))
    if result.warnings:
        sections.append(Section("Warnings", warning_words(result.warnings)))
    sections.append(_next(result))
    return Page(
        against(result.base.path, result.transfer.path),
        result.verdict.status,
        result.verdict.summary,
        _facts(result),
        sections,
        footer(),
        kind="compare-embeddings",
        keys=_keys(result),
    )


def _picture(result: Comparison) -> list[Section]:
    """The embeddings before and after the map; none for results without them."""
    if not has_picture(result.picture):
        return []
    title = "Before and after the best map" if result.best is not None else "The two embeddings"
    if result.relation == "matched" and result.best is not None and result.best.transform == "identity":
        title = "The transfer lies on the base"
    return [Section(title, _seen(result), embeddings_figure(result), short="Picture")]


def _seen(result: Comparison) -> list[str]:
    """What the picture shows, in a sentence."""
    identity = next((s.r2 for s in result.ladder if s.transform == "identity"), None)
    best = result.best
    if best is None or best.r2.value is None or identity is None:
        return []
    if best.transform == "identity" and result.picture.best is not None and not result.picture.best.changes:
        return [f"Without any map, the transfer explains {_share(best.r2)} of the base's embedding (R²)."]
    before = (
        "" if identity.value is None else f"As it is, its R² is {number(identity.value)} {span(identity)}. "
    )
    return [
        f"{before}After the best map ({map_words(result)}) it is {_share(best.r2)} on "
        "states that the map was not fitted to."
    ]


def _share(r2: Measure) -> str:
    return f"{hundredths(r2.value)} {span(to_hundredths(r2))}".rstrip()


def _keys(result: Comparison) -> list[Key]:
    """R² with and without a map, distance, states in place, and how sure the answer is."""
    keys = []
    best = result.best
    if best is not None and best.r2.value is not None:
        keys.append(Key("R² after the best map", hundredths(best.r2.value), span(to_hundredths(best.r2))))
    identity = next((s.r2 for s in result.ladder if s.transform == "identity"), None)
    if identity is not None and identity.value is not None:
        keys.append(Key("R² without any map", hundredths(identity.value), span(to_hundredths(identity))))
    distance = result.measures.get("l2")
    if distance is not None and distance.value is not None:
        beside = "" if result.unrelated_l2 is None else f"{number(result.unrelated_l2)} if unrelated"
        keys.append(Key("mean L2 distance to the base", number(distance.value), beside))
    if result.own_states is not None:
        need = "" if result.success_states is None else f" (success from {result.success_states})"
        keys.append(
            Key(f"{counted(result)} in place{need}", f"{result.own_states:,}", f"of {result.states:,}")
        )
    keys.append(Key("of resamples agree", f"{result.agreement:.0%}"))
    return keys


MEASURE_NOTES = (
    "Each measure compares the two embeddings of the same states. CKA, CCA and Procrustes do not change "
    "when an embedding is mirrored or rotated, so that they cannot tell a flipped transfer from a matched "
    "one; the flip metric is the R² of the best axis signs minus the R² without any.",
    "p is how often unrelated embeddings would score at least as much. The interval holds 95% of the "
    "resamples.",
)
"""Explanation of the measures."""

BLIND = ("cka", "cka_debiased", "cca", "procrustes")
"""Measures that a mirror image does not change."""

SHORT = {"nearest_own": "nearest is its own", "cka_debiased": "CKA without bias"}
"""Names of measures in the chart, where those of the table would not fit."""

DRAWN = ("nearest_own", "knn_overlap", *BLIND)
"""Measures from 0 to 1, which one scale can hold."""


def _measures(result: Comparison) -> Section:
    """All measures as a table, and those from 0 to 1 as a chart."""
    table = pd.DataFrame(
        [
            {
                "measure": measure_name(name),
                "value": number(m.value),
                "95% interval": span_or_reason(m),
                "p": _p(m),
            }
            for name, m in result.measures.items()
        ]
    )
    rows = [
        {
            "name": SHORT.get(name, measure_name(name).removesuffix(", blind to flips")),
            "value": m.value,
            "low": m.low,
            "high": m.high,
            "p": _p(m),
            "blind": name in BLIND,
        }
        for name in DRAWN
        if (m := result.measures.get(name)) is not None and m.value is not None
    ]
    figure = None
    if rows:
        described = "Points with intervals: scores from 0 to 1 of the similarity of the two embeddings."
        figure = Figure(measures(pd.DataFrame(rows)), described)
    return Section(
        "What similarity scores say",
        _measure_words(result),
        figure,
        table,
        notes=MEASURE_NOTES,
        folded=figure is not None,
        short="Measures",
    )


def _p(measure: Measure) -> str:
    return "" if measure.p is None else p_value(measure.p, measure.p_floor)


def _measure_words(result: Comparison) -> list[str]:
    """What the distance and the scores say."""
    found, words = result.measures, []
    distance, relative = found.get("l2"), found.get("l2_relative")
    if distance is not None and distance.value is not None:
        told = f"A state lies {number(distance.value)} {span(distance)} away from where the base has it"
        if relative is not None and relative.value is not None:
            told += f", {number(relative.value)} times the base's spread"
        if result.unrelated_l2 is not None:
            told += (
                f"; from where the base has another state it lies {number(result.unrelated_l2)} on average"
            )
        words.append(f"{told}.")
    flip, cka = found.get("flip"), found.get("cka")
    if flip is not None and flip.value is not None and cka is not None and cka.value is not None:
        words.append(
            f"CKA is {number(cka.value)}, and cannot see signs. The flip metric, which does, is "
            f"{_share(flip)}: R² gained by the best signs."
        )
    return words


def _next(result: Comparison) -> Section:
    """What a person should conclude, and the command to go on with."""
    command = next_command(result)
    words = [words for words in (result.conclusion,) if words]
    return Section("What to do next", words, commands=[command] if command else [], short="Next")


def _facts(result: Comparison) -> list[tuple[str, str]]:
    facts = []
    for name, ref in (("base", result.base), ("transfer", result.transfer)):
        label = f" ({ref.label})" if ref.label else ""
        facts.append((name, f"{ref.path}{label}, sha256 {ref.sha256}"))
    dimensions = " and ".join(dict.fromkeys(f"{d:,}" for d in result.dimensions))
    counts = f"{grouped(result.states, result.grouping)}, {plural(result.rows, 'row')}"
    facts.append(("compared", f"{counts}, {dimensions} dimensions"))
    if result.dropped:
        facts.append(("left out", f"{plural(result.dropped, 'row')} with NaN or infinity"))
    facts.append(("margin", _margin(result)))
    if result.columns is not None:
        facts.append(("columns", column_words(result.columns)))
    if result.frozen is not None:
        facts.append(("frozen readers of the embedding", ", ".join(result.frozen) or "none"))
    facts += [("seed", str(result.seed)), ("transfer-diag", version() or "not installed")]
    return facts


def _margin(result: Comparison) -> str:
    """The margin, where it comes from, and what it is held against."""
    gap = "" if result.gap is None else f". Without any map, R² is {below(result.gap)}"
    return (
        f"A map counts as no worse than the best one while its R² is less than {number(result.margin, 3)} "
        f"lower ({result.margin_source}){gap}"
    )
