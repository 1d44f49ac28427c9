"""Parts that several pages share: pictures of two embeddings, the ladder, warnings and the footer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from diag.comparisons.picture import Picture
from diag.comparisons.result import Comparison
from diag.outputs.words import hundredths, number, span, span_or_reason, to_hundredths, version
from diag.wording import plural
from probes import Step
from reports import Figure, Section
from reports.ladders import ladder

MOST_POINTS = 2000
"""States drawn in an embedding's picture; more are thinned evenly, and the text says so."""

GRID_RUNGS = ("signs", "permutation", "affine")
"""Rungs that the table of symmetries shows beside the best one: more would not fit a page."""


def panels(picture: Picture, base_name: str, transfer_name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and lines of the base's and of the transfer's panel, as the chart takes them."""
    drawn = picture.drawn(MOST_POINTS)
    points, lines = [], []
    for name, places, ends in (
        (base_name, drawn.base, drawn.base_ends),
        (transfer_name, drawn.transfer, drawn.transfer_ends),
    ):
        x, y = places.T
        points.append(
            pd.DataFrame({"panel": name, "x": x, "y": y, "group": drawn.colours, "state": drawn.states})
        )
        if ends is not None:
            lines += [
                pd.DataFrame({"panel": name, "x": x, "y": y, "x2": end[:, 0], "y2": end[:, 1]})
                for end in ends.swapaxes(0, 1)
            ]
    return pd.concat(points, ignore_index=True), (
        pd.concat(lines, ignore_index=True)
        if lines
        else pd.DataFrame(columns=["panel", "x", "y", "x2", "y2"], dtype=float)
    )


def embedding_chart(
    drawn: tuple[pd.DataFrame, pd.DataFrame], dimensions: int, colour: str | None = None
) -> Any:
    """Chart of :func:`panels`; its axes carry the numbers that a verdict names them by.

    ``colour`` is the name of the variable that points are coloured by.
    """
    from reports import charts  # it loads Altair, which most pages do without

    axes = ("axis 0", "axis 1") if dimensions <= 2 else ("component 1", "component 2")
    return charts.embeddings(*drawn, axes=axes, colour=colour)


def ladder_section(result: Comparison) -> Section:
    """The ladder of transformations as a chart and a table: which map, and how sure."""
    steps = [*result.ladder, *(s for s in result.shifted if _is_same(s, result.best))]
    known = [s for s in steps if s.r2.value is not None]
    frame = pd.DataFrame(
        [
            {
                "transform": _rung_name(s, result),
                "r2": s.r2.value,
                "low": s.r2.low,
                "high": s.r2.high,
                "named": _is_same(s, result.best) and result.relation is not None,
            }
            for s in known
        ]
    )
    table = pd.DataFrame(
        [
            {
                "transform": s.transform + suffix,
                "R²": number(s.r2.value),
                "95% interval": span_or_reason(s.r2),
            }
            for steps, suffix in (
                (result.ladder, ""),
                (result.shifted, " + offset"),
                (result.back, ", base to transfer"),
            )
            for s in steps
        ]
    )
    notes = [
        "Each bar shows how much of the base's embedding a family of maps recovers from the transfer's (R²). "
        "The maps are fitted on one half of the states and scored on the other half.",
        "The relation is named by the smallest family that does about as well as the best one, either from "
        "the transfer to the base or back. Both directions count because noise or a bend in one of the "
        "embeddings favours shrinking maps in one direction only.",
        "Identity leaves the transfer as it is; signs negates axes; permutation also exchanges them; "
        "orthogonal turns or reflects; similarity also rescales; affine is any linear map.",
    ]
    if result.channels:
        notes.append("The maps act on channels, and in the same way at every place of the grid.")
    if frame.empty:
        return Section("Which map, and how sure?", _ladder_words(result), table=table, notes=notes)
    line = max(frame["r2"]) - result.margin if result.relation != "unrelated" else None
    figure = Figure(ladder(frame, line), "Bars of held-out R squared for each rung of the ladder of maps.")
    return Section(
        "Which map, and how sure?",
        _ladder_words(result),
        figure,
        table,
        notes=notes,
        folded=True,
        short="Maps",
    )


def _rung_name(step: Step, result: Comparison) -> str:
    """The rung's name in the chart; the one with an offset stands there only if it names the relation."""
    shifted = any(_is_same(step, other) for other in result.shifted)
    return f"{step.transform} + offset" if shifted else step.transform


def _is_same(step: Step, other: Step | None) -> bool:
    """Whether two rungs are one, also in a result that was read back from a file."""
    return other is not None and (step.transform, step.r2) == (other.transform, other.r2)


def _ladder_words(result: Comparison) -> list[str]:
    """Which map is taken, how much it explains, and how sure that is."""
    words = []
    best = result.best
    identity = next((s.r2 for s in result.ladder if s.transform == "identity"), None)
    if best is not None and best.r2.value is not None:
        told = f"R² {hundredths(best.r2.value)} {span(to_hundredths(best.r2))}".rstrip()
        if result.relation is None or result.relation in ("unrelated", "collapsed"):
            words.append(f"The map that explains most is {_rung_name(best, result)}: {told}.")
        else:
            words.append(
                f"The simplest map that does about as well as any is {_rung_name(best, result)}: {told}."
            )
        if identity is not None and identity.value is not None and best.transform != "identity":
            plain = f"{hundredths(identity.value)} {span(to_hundredths(identity))}".rstrip()
            words[-1] += f" Without any map it is {plain}."
    words.append(
        f"{result.agreement:.0%} of the resamples give the same answer. A map counts as no worse than the "
        f"best while its R² is less than {number(result.margin, 3)} lower ({result.margin_source})."
    )
    return words


def grid_sections(result: Comparison) -> list[Section]:
    """Maps of channels under each symmetry of the grid, beside maps of every number; none without a grid."""
    found = result.by_channel
    if found is None:
        return []
    flat = result.flat if result.flat is not None else result.ladder
    known = [step.r2 for step in flat if step.r2.value is not None]
    flat_best = max(known, key=lambda r2: r2.value or 0.0, default=flat[0].r2)
    each = [(grid, found.best(grid), ladder.steps) for grid, ladder in found.ladders.items()]
    rows = [
        {
            "the transfer's grid": grid,
            "best map": hundredths(best.value),
            "95% interval": span_or_reason(to_hundredths(best)),
            **{s.transform: hundredths(s.r2.value) for s in steps if s.transform in GRID_RUNGS},
        }
        for grid, best, steps in [*each, ("number by number, as it is", flat_best, flat)]
    ]
    count = found.channels[0]
    numbers = count * found.height * found.width
    words = [f"{found.agreement:.0%} of the resamples choose the same symmetry of the grid: {found.grid}."]
    if result.flat is None:
        words.append("The relation was named by maps of all numbers: none of channels alone does as well.")
    notes = [
        f"Each row has the R² on held-out states of maps between the {plural(count, 'channel')} that are the "
        f"same at all {found.height} × {found.width} places, after the transfer's grid was mirrored or "
        "turned. The last row has maps of every number by itself: a map of channels is a special case of "
        f"those, with {count**2} numbers in place of {numbers**2:,} where both are linear.",
    ]
    bars = pd.DataFrame(
        [
            {
                "transform": grid,
                "r2": best.value,
                "low": best.low,
                "high": best.high,
                "named": grid == found.grid,
            }
            for grid, best, _ in [*each, ("number by number", flat_best, flat)]
            if best.value is not None
        ]
    )
    figure = None
    if not bars.empty:
        figure = Figure(ladder(bars), "Bars of R squared of the best map under each symmetry of the grid.")
    table = pd.DataFrame(rows)
    return [Section("Channels and the grid", words, figure, table, notes, folded=True, short="Grid")]


def warning_words(warnings: Sequence[str]) -> list[str]:
    """Warnings as paragraphs below a heading that says what they are."""
    return [f"{words[:1].upper()}{words[1:].rstrip('.')}." for words in warnings]


def footer() -> str:
    """The version that made the page, and the level of its intervals."""
    return f"{made_by()} All intervals are 95% intervals."


def made_by() -> str:
    """The version that made the page: all that a page without an interval has to say."""
    return f"transfer-diag {version() or '(not installed)'}."
