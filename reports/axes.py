"""Correlation of each axis of one embedding with that of another: a negated axis hangs below zero."""

from __future__ import annotations

import pandas as pd

from reports.palette import PALETTE, STATUS_COLOURS
from reports.spec import INK, TEXT, Spec, Tree, finished, layer, n, q
from reports.spec import rows as table

KINDS = {"kept": PALETTE[0], "negated": STATUS_COLOURS["fail"], "moved": PALETTE[2]}
"""What became of an axis, and the colour of its bar."""

MOST = 64
"""Most axes that a chart holds."""


def axis_correlations(rows: pd.DataFrame, what: str = "axis") -> Spec:
    """A bar an axis with its interval, and where axes change places a diamond for the partner's correlation.

    ``rows`` has axis, correlation, low, high (they may be NaN), share, kind (of :data:`KINDS`), partner (a
    number, or NaN) and partner_correlation. Kinds are told by colour and by the words of the key.
    """
    order = [str(axis) for axis in rows["axis"]]
    shown = rows.assign(name=order)
    kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
    moved = rows["partner"].notna()
    if moved.any():
        shown["partner_name"] = [
            f"← {p:.0f}" if known else "" for p, known in zip(rows["partner"], moved, strict=True)
        ]
    tooltip = [
        n("name", title=what),
        q("correlation", format=".3f"),
        q("low", format=".3f"),
        q("high", format=".3f"),
        q("share", title="share of the base's variance", format=".1%"),
        q("partner", title=f"goes with the transfer's {what}"),
        q("partner_correlation", title="correlation with that", format=".3f"),
    ]
    step = max(14, min(40, 1080 // len(rows)))
    axis = {"labelAngle": 0, "labelOverlap": True, "ticks": False, "domain": False}
    x = n("name", sort=order, title=f"{what} of the base", axis=axis, scale={"paddingInner": 0.3})

    def y(column: str) -> Tree:
        return q(
            column,
            title="correlation with the transfer's",
            scale={"domain": [-1.1, 1.1], "nice": False},
            axis={"values": [-1, -0.5, 0, 0.5, 1]},
        )

    colour = n(
        "kind",
        title=None,
        scale={"domain": kinds, "range": [KINDS[kind] for kind in kinds]},
        legend={"symbolType": "square"} if len(kinds) > 1 else None,
    )
    bar = {"type": "bar", "opacity": 0.85}
    span = {"type": "rule", "strokeWidth": 1.6, "color": INK}
    layers = [
        layer(bar, x=x, y=y("correlation"), color=colour, tooltip=tooltip),
        layer(span, x=x, y=y("low"), y2={"field": "high"}, tooltip=tooltip),
        layer({"type": "rule", "color": INK, "strokeWidth": 1}, table([{"zero": 0.0}]), y=y("zero")),
    ]
    if moved.any():
        where = "isValid(datum.partner)"
        mark = {"type": "point", "filled": True, "shape": "diamond", "size": 70, "opacity": 1}
        told = {"type": "text", "dy": -11, "fontSize": TEXT, "color": INK}
        at: Tree = {"x": x, "y": y("partner_correlation"), "tooltip": tooltip}
        layers += [
            layer({**mark, "color": KINDS["moved"]}, where=where, **at),
            layer(told, where=where, **at, text=n("partner_name")),
        ]
    hanging = {
        "type": "text",
        "dy": -9,
        "fontSize": TEXT + 1,
        "fontWeight": "bold",
        "color": KINDS["negated"],
    }
    layers.append(
        layer(
            hanging, where="datum.kind === 'negated'", x=x, y={"datum": 0.0}, text=n("name"), tooltip=tooltip
        )
    )
    return finished(
        {"data": table(shown), "layer": layers, "width": max(220, step * len(rows)), "height": 210}
    )
