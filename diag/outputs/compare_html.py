"""A comparison as a page: both embeddings side by side, the ladder of maps, and the measures."""

from __future__ import annotations

import pandas as pd

from diag.comparisons.conclusion import next_command
from diag.comparisons.result import Comparison
from diag.outputs.dreams_pictures import dream_sections
from diag.outputs.sections import (
    comparison_chart,
    footer,
    grid_sections,
    ladder_section,
    picture_words,
    warning_words,
)
from diag.outputs.words import (
    below,
    column_words,
    counted,
    measure_name,
    named,
    number,
    span_or_reason,
)
from diag.wording import p_value
from reports import Figure, Page, Section


def page(result: Comparison) -> Page:
    """A comparison as a page."""
    sections = [
        Section(
            "The two embeddings",
            [
                *(words for words in (result.conclusion, next_command(result)) if words),
                *picture_words(result.picture),
            ],
            Figure(
                comparison_chart(result),
                "Scatter plots of the base's and the transfer's embedding of the same states.",
            ),
        ),
        ladder_section(result),
        *grid_sections(result),
        *dream_sections(result.dreams),
        Section("Measures", [*MEASURE_WORDS, *warning_words(result.warnings)], table=_measures(result)),
    ]
    facts = [
        ("base", named(result.base)),
        ("transfer", named(result.transfer)),
        (counted(result), str(result.states)),
        ("agreement", f"{result.agreement:.0%} of the resamples name the same relation"),
        ("margin", _margin(result)),
    ]
    if result.columns is not None:
        facts.append(("columns", column_words(result.columns)))
    if result.success is not None:
        word = "success" if result.success else "no success"
        facts.append(
            (
                "states in place",
                f"{result.own_states} of {result.states}: {word} (from {result.success_states})",
            )
        )
    verdict = result.verdict
    return Page("compare-embeddings", verdict.status, verdict.summary, facts, sections, footer())


MEASURE_WORDS = (
    "Each measure compares the two embeddings of the same states. CKA, CCA and Procrustes do not change "
    "when an embedding is mirrored or rotated, so that they cannot tell a flipped transfer from a matched "
    "one; the flip metric is the R² of the best axis signs minus the R² without any.",
    "p is how often unrelated embeddings would score at least as much. The interval holds 95% of the "
    "resamples.",
)
"""Explanation of the table of measures."""


def _measures(result: Comparison) -> pd.DataFrame:
    """The measures with their intervals."""
    return pd.DataFrame(
        [
            {
                "measure": measure_name(name),
                "value": number(m.value),
                "95% interval": span_or_reason(m),
                "p": "" if m.p is None else p_value(m.p, m.p_floor),
            }
            for name, m in result.measures.items()
        ]
    )


def _margin(result: Comparison) -> str:
    """The margin, where it comes from, and what it is held against."""
    gap = "" if result.gap is None else f". Without any map, R² is {below(result.gap)}"
    return (
        f"A map counts as no worse than the best one while its R² is less than {number(result.margin, 3)} "
        f"lower ({result.margin_source}){gap}"
    )
