"""How well maps of growing freedom explain an embedding: a bar each."""

from __future__ import annotations

import pandas as pd

from reports.palette import PALETTE
from reports.spec import INK, TEXT, Spec, finished, layer, n, q, rows

WIDTH, HEIGHT = 380, 28
"""Pixels of the chart's width, and of each bar's room."""


def ladder(rungs: pd.DataFrame, line: float | None = None) -> Spec:
    """Held-out R² of each rung with its interval; ``rungs`` has transform, r2, low and high.

    Where some are ``named`` (a column), the others are paler. What lies beyond ``line`` does about as well as
    the best.
    """
    order = list(rungs["transform"])
    ends = {end: rungs[end].astype(float).clip(lower=-1) for end in ("low", "high")}
    words = [f"{round(value, 2) or 0.0:.2f}" for value in rungs["r2"]]
    shown = rungs.assign(**ends, left=rungs["r2"].clip(lower=-1), told=words)
    y = n("transform", sort=order, title=None, axis={"ticks": False, "domain": False})
    scale = {"domain": [-1 if float(shown["left"].min()) < 0 else 0, 1], "clamp": True}
    x = q("left", title="held-out R²", scale=scale)
    tooltip = [n("transform"), *(q(c, format=".3f") for c in ("r2", "low", "high"))]
    pale = {"condition": {"test": "datum.named === false", "value": 0.4}, "value": 0.9}
    label = {"type": "text", "align": "left", "dx": 8, "color": INK, "fontSize": TEXT}
    span = {"type": "rule", "strokeWidth": 2, "color": INK}
    layers = [
        layer({"type": "bar", "color": PALETTE[0]}, x=x, y=y, opacity=pale, tooltip=tooltip),
        layer(span, x=q("low"), x2={"field": "high"}, y=y),
        layer(label, x={"datum": 1.0}, y=y, text=n("told")),
    ]
    if line is not None and line > -1:
        rule = {"type": "rule", "color": INK, "strokeDash": [4, 3]}
        layers.append(layer(rule, rows([{"line": line}]), x=q("line", scale=scale)))
    return finished({"data": rows(shown), "layer": layers, "width": WIDTH, "height": HEIGHT * len(order)})
