"""Axis by axis: which axes of the transfer go with the base's, and which against it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from diag.comparisons.by_axis import ByAxis
from diag.comparisons.result import Comparison
from diag.comparisons.verdict import axes_in_words
from diag.outputs.words import number
from diag.wording import listed, noun, plural
from reports import Figure, Section
from reports.axes import MOST, axis_correlations

FEW = 6
"""Axes up to which each has its correlation in words."""

WITHIN = 0.5
"""Correlation from which on an axis is said to go with its like, and below minus which against it."""


def axes_section(result: Comparison) -> list[Section]:
    """The correlation of every axis as bars; none between different dimensions or where none is defined."""
    found = result.by_axis
    if found is None or found.own.reason is not None or len(found.own.values) < 2:
        return []
    what = ("channel", "channels") if found.channels else ("axis", "axes")
    rows = _rows(found, result.verdict.axes)
    shown = _most_telling(rows)
    described = (
        f"Bars of the correlation of each {what[0]} of the base with the transfer's: negated {what[1]} hang "
        "below zero."
    )
    figure = Figure(axis_correlations(shown, what[0]), described)
    table = pd.DataFrame(
        {
            what[0]: shown["axis"],
            "correlation": [number(v) for v in shown["correlation"]],
            "95% interval": list(map(_interval, shown["low"], shown["high"])),
            "share of variance": [f"{share:.1%}" for share in shown["share"]],
            "": shown["kind"].where(shown["kind"] != "kept", ""),
        }
    ).rename(columns={"": "verdict"})
    if found.partnered is not None:
        table["goes with"] = ["–" if np.isnan(p) else f"{p:.0f}" for p in shown["partner"]]
        table["correlation with that"] = [number(v) for v in shown["partner_correlation"]]
    return [
        Section(
            f"{what[0].capitalize()} by {what[0]}",
            _words(result, found, rows, shown, what),
            figure,
            table,
            notes=[
                f"A bar is Pearson's correlation of one {what[0]} of the base, over the states, with the "
                f"{what[0]} of the same number of the transfer; its line is the 95% interval. Offsets and "
                "scales do not change it, and a negated one has the same number with a minus.",
            ],
            folded=True,
            short=what[1].capitalize(),
        )
    ]


def _rows(found: ByAxis, negated: tuple[int, ...]) -> pd.DataFrame:
    d = len(found.own.values)
    partner = np.full(d, np.nan)
    partnered = np.full(d, np.nan)
    if found.partnered is not None:
        partner = np.where(np.arange(d) == found.partner, np.nan, np.asarray(found.partner, np.float64))
        partnered = found.partnered.values
    moved = ~np.isnan(partner)
    kinds = np.where(np.isin(np.arange(d), negated), "negated", np.where(moved, "moved", "kept"))
    return pd.DataFrame(
        {
            "axis": np.arange(d),
            "correlation": found.own.values.round(4),
            "low": found.own.low.round(4),
            "high": found.own.high.round(4),
            "share": found.own.shares.round(5),
            "kind": kinds,
            "partner": partner,
            "partner_correlation": np.where(moved, partnered, np.nan).round(4),
        }
    )


def _most_telling(rows: pd.DataFrame) -> pd.DataFrame:
    """At most as many axes as a chart holds: those that the verdict names, then those of most variance."""
    if len(rows) <= MOST:
        return rows
    named = rows["kind"] != "kept"
    order = rows.assign(named=named).sort_values(["named", "share"], ascending=False, kind="stable")
    return rows.loc[sorted(order.index[:MOST])]


def _words(
    result: Comparison, found: ByAxis, rows: pd.DataFrame, shown: pd.DataFrame, what: tuple[str, str]
) -> list[str]:
    """What the correlations say, with their numbers."""
    values = rows["correlation"]
    words = []
    named = result.verdict.axes
    if named:
        own = values.to_numpy()[list(named)]
        least, most = float(own.min()), float(own.max())
        verb = "runs" if len(named) == 1 else "run"
        ends = dict.fromkeys((number(least), number(most)))
        span = " to ".join(ends)
        words.append(
            f"{axes_in_words(named, 12, what).capitalize()} {verb} against the base (correlation {span})."
        )
    rest = rows[(rows["kind"] == "kept") & values.notna()]
    if 0 < len(rest) <= FEW:
        each = listed(
            [f"{axis} ({number(v)})" for axis, v in zip(rest["axis"], rest["correlation"], strict=True)]
        )
        words.append(f"The other {noun(len(rest), *what)}: {each}." if named else f"Correlations: {each}.")
    elif len(rest):
        along = int((rest["correlation"] >= WITHIN).sum())
        against = int((rest["correlation"] <= -WITHIN).sum())
        other = "other " if named or found.partner else ""
        count = plural(len(rest), other + what[0], other + what[1])
        parts = [f"{along} of {count} go with the base's (≥ {WITHIN})"]
        if against:
            parts.append(f"{against} go against it (≤ −{WITHIN})")
        words.append(f"{' and '.join(parts)}.")
    if found.partnered is not None:
        pairs = [f"{row.axis} with {row.partner:.0f}" for row in rows[rows["kind"] == "moved"].itertuples()]
        more = f" and {len(pairs) - 8} more" if len(pairs) > 8 else ""
        words.append(f"These go with another {what[0]} of the transfer (◆): {', '.join(pairs[:8])}{more}.")
    if len(shown) < len(rows):
        words.append(
            f"Shown are {len(shown)} of {len(rows):,} {what[1]}: those that the verdict names, then those of "
            "most variance in the base."
        )
    return words


def _interval(low: float, high: float) -> str:
    return "" if np.isnan(low) or np.isnan(high) else f"[{number(low)}, {number(high)}]"
