"""Correlation of each axis of one embedding with that of another: a negated axis hangs below zero."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, STATUS_COLOURS, finish
from reports.spec import INK

KINDS = {"kept": PALETTE[0], "negated": STATUS_COLOURS["fail"], "moved": PALETTE[2]}
"""What became of an axis, and the colour of its bar."""

MOST = 64
"""Most axes that a chart holds."""


def axis_correlations(rows: pd.DataFrame, what: str = "axis") -> Any:
    """A bar an axis with its interval, and where axes change places a diamond for the partner's correlation.

    ``rows`` has axis, correlation, low, high (they may be NaN), share, kind (of :data:`KINDS`), partner (a
    number, or NaN) and partner_correlation. Kinds are told by colour and by the words of the key.
    """
    order = [str(axis) for axis in rows["axis"]]
    shown = rows.assign(name=order, partner_at=rows["partner_correlation"])
    kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
    tooltip = [
        alt.Tooltip("name:N", title=what),
        alt.Tooltip("correlation:Q", format=".3f"),
        alt.Tooltip("low:Q", format=".3f"),
        alt.Tooltip("high:Q", format=".3f"),
        alt.Tooltip("share:Q", title="share of the base's variance", format=".1%"),
        alt.Tooltip("partner:Q", title=f"goes with the transfer's {what}"),
        alt.Tooltip("partner_correlation:Q", title="correlation with that", format=".3f"),
    ]
    step = max(14, min(40, 1080 // len(rows)))
    axis = alt.Axis(labelAngle=0, labelOverlap=True, ticks=False, domain=False)
    base = alt.Chart(shown).encode(
        x=alt.X(
            "name:N", sort=order, title=f"{what} of the base", axis=axis, scale=alt.Scale(paddingInner=0.3)
        ),
        tooltip=tooltip,
    )

    def y(column: str) -> Any:
        return alt.Y(
            f"{column}:Q",
            title="correlation with the transfer's",
            scale=alt.Scale(domain=[-1.1, 1.1], nice=False),
            axis=alt.Axis(values=[-1, -0.5, 0, 0.5, 1]),
        )

    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=kinds, range=[KINDS[kind] for kind in kinds]),
        legend=alt.Legend(symbolType="square") if len(kinds) > 1 else None,
    )
    layers = [
        base.mark_bar(opacity=0.85).encode(y=y("correlation"), color=colour),
        base.mark_rule(strokeWidth=1.6, color=INK).encode(y=y("low"), y2="high:Q"),
        alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=INK, strokeWidth=1).encode(y=y("zero")),
    ]
    if rows["partner"].notna().any():
        moved = base.transform_filter("isValid(datum.partner)").transform_calculate(
            partner_name="'← ' + datum.partner"
        )
        layers += [
            moved.mark_point(filled=True, shape="diamond", size=70, opacity=1, color=KINDS["moved"]).encode(
                y=y("partner_at")
            ),
            moved.mark_text(dy=-11, fontSize=12, color=INK).encode(y=y("partner_at"), text="partner_name:N"),
        ]
    hanging = base.transform_filter("datum.kind === 'negated'")
    layers.append(
        hanging.mark_text(dy=-9, fontSize=13, fontWeight="bold", color=KINDS["negated"]).encode(
            y=alt.datum(0.0), text="name:N"
        )
    )
    return finish(alt.layer(*layers).properties(width=max(220, step * len(rows)), height=210))
