"""How far weights moved for a terminal: a line a component, or a layer."""

from __future__ import annotations

from collections.abc import Sequence

from diag.outputs.layout import Column, table, width
from diag.outputs.lines import WIDTH
from diag.outputs.words import number
from diag.units.drift import Drift
from trainers.safe_text import plain

NAME = 24
"""Cells for a layer's name."""


def weights_in_words(one: Drift) -> tuple[str, str, str, str]:
    """The distance of a component or layer, that as a share of the norm, its fate, the plan's word."""
    relative = "–" if one.relative is None else number(one.relative)
    state = {"exactly": "kept", None: "moved"}.get(one.kept, f"kept, in {one.kept}")
    return number(one.distance), relative, "moved though frozen" if one.broken else state, one.plan or "–"


def drift_lines(weights: Sequence[Drift], verbose: bool) -> list[str]:
    """A line a component, and where more is asked for a line a layer."""
    planned = any(one.plan for one in weights)
    columns = [
        Column("weights of", NAME - 6 + max(0, width() - WIDTH), "<"),
        Column("distance", 10),
        Column("of norm", 9),
        Column("   fate", 24, "<"),
        *([Column("plan", 15, "<")] if planned else []),
    ]
    rows = []
    for one in weights:
        if one.layer is not None and not verbose and not one.broken:
            continue
        distance, relative, fate, plan = weights_in_words(one)
        name = plain(one.component) if one.layer is None else f"  {plain(one.layer)}"
        rows.append([name, distance, relative, f"   {fate}", *([plan] if planned else [])])
    return table(columns, rows) if rows else []
