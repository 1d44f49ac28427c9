"""The charts of a training seen checkpoint by checkpoint: R² on the way, and a slider over the embeddings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from reports.embeddings import OF_HALVES, by_group, by_height, ends_of, ring, tooltip
from reports.palette import PALETTE, SHAPES
from reports.spec import GREY, INK, Spec, Tree, colours, finished, layer, n, q, rows

SIDE = 440

CUT = -2.0
"""Least R² that is drawn in its place."""


def on_the_way(frame: pd.DataFrame, title: str, percent: bool) -> Spec:
    """R² from checkpoint to checkpoint; ``frame`` has at, name, r2, low, high, map and relation.

    ``map`` is what was done to the transfer, a line each; ``at`` is where in the training, and ``title``
    the name of that axis.
    """
    maps = list(dict.fromkeys(frame["map"]))
    ends = {end: frame[end].clip(lower=CUT) for end in ("low", "high")}
    shown = frame.assign(**ends, left=frame["r2"].clip(lower=CUT))
    axis = {"format": "%"} if percent else {"tickMinStep": 1, "format": "d"}
    x = q("at", title=title, axis=axis, scale={"nice": False, "padding": 12})
    y = q("left", title=f"held-out R² (cut at −{-CUT:g})", scale={"domainMax": 1})
    key = {"title": None, "sort": maps}
    colour, shape = (n("map", scale=colours(maps, kept), **key) for kept in (PALETTE, SHAPES))
    tooltip = [n("name"), n("map"), n("relation"), *(q(c, format=".3f") for c in ("r2", "low", "high"))]
    at: Tree = {"x": x, "color": colour, "tooltip": tooltip}
    point = {"type": "point", "filled": True, "size": 60, "opacity": 1}
    layers = [
        layer({"type": "rule", "color": INK, "opacity": 0.6}, rows([{"left": 0.0}]), y=y),
        layer({"type": "line", "strokeWidth": 2}, **at, y=y),
        layer({"type": "rule", "strokeWidth": 1.5}, **at, y=q("low"), y2={"field": "high"}),
        layer(point, **at, y=y, shape=shape),
    ]
    return finished({"data": rows(shown), "layer": layers, "width": 480, "height": 250})


def film(
    frames: pd.DataFrame,
    titles: Sequence[str],
    axes: tuple[str, str],
    colour: str,
    facts: Mapping[str, str],
) -> Spec:
    """The embedding at one checkpoint over the base's, with a slider that chooses which; the last at first.

    ``frames`` has stop (from 1), state, x, y, base_x, base_y, and either ``colour``, a column of categories,
    or, where that is empty, height and half (:func:`reports.embeddings.side_by_side`).
    """
    count = len(titles)
    bind = {"input": "range", "min": 1, "max": count, "step": 1, "name": f"checkpoint, of {count}:"}
    scales = {
        axis: {"domain": ends_of([frames[axis], frames[f"base_{axis}"]]), "nice": False, "zero": False}
        for axis in "xy"
    }
    home: Tree = {
        axis: q(f"base_{axis}", title=title, scale=scales[axis])
        for axis, title in zip("xy", axes, strict=True)
    }
    here: Tree = {axis: q(axis, scale=scales[axis]) for axis in "xy"}
    marks: Tree = (
        by_group(frames, colour, title=None) if colour else by_height(title="in the base", legend=OF_HALVES)
    )
    chosen: Tree = {"where": "datum.stop === stop"}
    mark = {"type": "point", "filled": True, "size": 46, "opacity": 0.95}
    rule = {"type": "rule", "color": GREY, "opacity": 0.45}
    layers = [
        layer(ring(34), **chosen, **home),
        layer(rule, **chosen, **home, x2={"field": "x"}, y2={"field": "y"}),
        layer(mark, **chosen, **here, **marks, tooltip=tooltip(facts)),
    ]
    return finished(
        {
            "data": rows(frames),
            "layer": layers,
            "params": [{"name": "stop", "value": count, "bind": bind}],
            "width": SIDE,
            "height": SIDE,
            "title": {"text": {"expr": f"{json.dumps(list(titles))}[stop - 1]"}},
        }
    )
