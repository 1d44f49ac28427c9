"""The chart of a gate: every check's numbers with their intervals, beside the limit they were held to."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, STATUS_COLOURS, finish
from reports.spec import INK

SHAPES = {"pass": "circle", "warn": "triangle-up", "fail": "diamond", "inconclusive": "square"}

CUT = 4.0
"""Numbers further from a limit than this many times its size, or the usual distance, are drawn at the edge:
one broken transfer is not to press all the others into a line."""

LEAST = 76
"""Pixels of a cell in which a sign and a number, and a check's name above, can be read."""

_WIDTH, _LABELS = 230, 130


def against_limits(rows: pd.DataFrame) -> Any:
    """A panel a check, a line a transfer; the side of the limit that does not pass is shaded.

    ``rows`` has check, title, transfer, value, low, high, limit, outcome and said (read on hovering); low and
    high may be NaN, and limit where the check has none on this scale; and better, ``higher`` or ``lower``.
    """
    transfers = list(dict.fromkeys(rows["transfer"]))
    outcomes = [o for o in SHAPES if o in set(rows["outcome"])]
    panels = [
        _panel(rows[rows["check"] == check], transfers, outcomes) for check in dict.fromkeys(rows["check"])
    ]
    return finish(alt.concat(*panels, columns=3, spacing={"row": 18, "column": 26}))


def _panel(rows: pd.DataFrame, transfers: list[str], outcomes: list[str]) -> Any:
    limit, better = float(rows["limit"].max()), str(rows["better"].iloc[0])
    least, most = _drawn(rows, limit)
    gap = 0.1 * (most - least) or 1.0
    columns = ["value", "low", "high"]
    shown = rows.assign(**{f"{c}_at": rows[c].clip(lower=least, upper=most) for c in columns})
    scale = alt.Scale(domain=[least - gap, most + gap], nice=False, zero=False)
    axis = alt.Axis(labelLimit=_LABELS, ticks=False, domain=False)
    base = alt.Chart(shown).encode(
        y=alt.Y("transfer:N", title=None, axis=axis, scale=alt.Scale(domain=transfers)),
        tooltip=["transfer:N", "said:N"],
    )

    def x(column: str) -> Any:
        return alt.X(f"{column}:Q", title=None, scale=scale, axis=alt.Axis(tickCount=5))

    colour = alt.Color(
        "outcome:N",
        title=None,
        sort=outcomes,
        scale=alt.Scale(domain=outcomes, range=[STATUS_COLOURS[o] for o in outcomes]),
    )
    shape = alt.Shape(
        "outcome:N", sort=outcomes, scale=alt.Scale(domain=outcomes, range=[SHAPES[o] for o in outcomes])
    )
    layers = []
    if pd.notna(limit):
        edge = least - gap if better == "higher" else most + gap
        line = alt.Chart(pd.DataFrame({"limit": [limit], "edge": [edge]}))
        layers = [
            line.mark_rect(color=STATUS_COLOURS["fail"], opacity=0.1).encode(x=x("limit"), x2="edge:Q"),
            line.mark_rule(color=INK, strokeDash=[4, 3]).encode(x=x("limit")),
        ]
    layers += [
        base.mark_rule(strokeWidth=2).encode(x=x("low_at"), x2="high_at:Q", color=colour),
        base.mark_point(filled=True, size=70, opacity=1).encode(x=x("value_at"), color=colour, shape=shape),
    ]
    wanted = str(rows["wanted"].iloc[0]) if "wanted" in rows else ""
    title = alt.Title(
        str(rows["title"].iloc[0]), subtitle=wanted or alt.Undefined, subtitleColor=INK, subtitleFontSize=12
    )
    return alt.layer(*layers).properties(width=_WIDTH, height=22 * len(transfers), title=title)


SIGNED = {
    "fail": STATUS_COLOURS["fail"],
    "warn": STATUS_COLOURS["warn"],
    "inconclusive": STATUS_COLOURS["inconclusive"],
    "pass": STATUS_COLOURS["pass"],
    "skipped": "#88888800",
}
"""Outcome of a cell and the colour behind its sign."""


def matrix(cells: pd.DataFrame, transfers: list[str]) -> Any:
    """Transfers below each other and checks side by side; each cell has a sign and a number.

    ``cells`` has transfer, check, outcome, mark (written in the cell) and said (read on hovering);
    ``transfers`` is their order.
    """
    checks = list(dict.fromkeys(cells["check"]))
    outcomes = [outcome for outcome in SIGNED if outcome in set(cells["outcome"])]
    step = max(64, min(120, 1000 // len(checks)))
    base = alt.Chart(cells).encode(
        x=alt.X(
            "check:N",
            sort=checks,
            title=None,
            axis=alt.Axis(orient="top", labelAngle=-30 if step < 100 else 0, domain=False, ticks=False),
        ),
        y=alt.Y("transfer:N", sort=transfers, title=None, axis=alt.Axis(domain=False, ticks=False)),
        tooltip=["transfer:N", "check:N", "outcome:N", "said:N"],
    )
    colour = alt.Color(
        "outcome:N",
        title=None,
        sort=outcomes,
        scale=alt.Scale(domain=outcomes, range=[SIGNED[outcome] for outcome in outcomes]),
        legend=None,
    )
    drawn: Any = finish(
        alt.layer(
            base.mark_rect(opacity=0.3, stroke="#88888844").encode(color=colour),
            base.mark_text(fontSize=12, color=INK).encode(text="mark:N"),
        ).properties(width=step * len(checks), height=22 * len(transfers))
    )
    drawn.usermeta = {"least": LEAST * len(checks) + _LABELS}
    return drawn


def alarms(rows: pd.DataFrame) -> Any:
    """Share of equal pairs in which each check alarms; ``rows``: check, alarms, low, high, undecided."""
    order = list(rows["check"])
    share = alt.Axis(format="%")
    base = alt.Chart(rows).encode(
        y=alt.Y("check:N", sort=order, title=None, axis=alt.Axis(ticks=False, labelPadding=8)),
        tooltip=[
            "check:N",
            *(alt.Tooltip(f"{c}:Q", format=".1%") for c in ("alarms", "low", "high", "undecided")),
        ],
    )

    def x(column: str) -> Any:
        return alt.X(f"{column}:Q", title="pairs with an alarm", axis=share, scale=alt.Scale(domainMin=0))

    return finish(
        alt.layer(
            base.mark_rule(strokeWidth=2, color=PALETTE[0]).encode(x=x("low"), x2="high:Q"),
            base.mark_point(filled=True, size=70, opacity=1, color=PALETTE[0]).encode(x=x("alarms")),
        ).properties(width=360, height=24 * len(order))
    )


def _drawn(rows: pd.DataFrame, limit: float) -> tuple[float, float]:
    """The least and the greatest number that is drawn in its place."""
    every = pd.concat([rows[c] for c in ("value", "low", "high")]).dropna()
    least, most = float(every.min()), float(every.max())
    if pd.isna(limit):
        return least, most
    usual = (rows["value"] - limit).abs().quantile(0.5, interpolation="lower")
    reach = CUT * max(abs(limit), float(usual))
    return max(min(least, limit), limit - reach), min(max(most, limit), limit + reach)
