"""The charts of a training seen checkpoint by checkpoint: R² on the way, and a slider over the embeddings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from reports.charts import PALETTE, SHAPES, finish
from reports.embeddings import HALVES
from reports.spec import GREY, INK

SIDE = 440

CUT = -2.0
"""Least R² that is drawn in its place."""


def on_the_way(rows: pd.DataFrame, title: str, percent: bool) -> Any:
    """R² from checkpoint to checkpoint; ``rows`` has at, name, r2, low, high, map and relation.

    ``map`` is what was done to the transfer, a line each; ``at`` is where in the training, and ``title``
    the name of that axis.
    """
    maps = list(dict.fromkeys(rows["map"]))
    ends = {end: rows[end].clip(lower=CUT) for end in ("low", "high")}
    shown = rows.assign(**ends, left=rows["r2"].clip(lower=CUT))
    axis = alt.Axis(format="%") if percent else alt.Axis(tickMinStep=1, format="d")
    key = {"title": None, "sort": maps}
    numbers = [alt.Tooltip(f"{column}:Q", format=".3f") for column in ("r2", "low", "high")]
    colours, shapes = (alt.Scale(domain=maps, range=r[: len(maps)]) for r in (PALETTE, SHAPES))
    base = alt.Chart(shown).encode(
        x=alt.X("at:Q", title=title, axis=axis, scale=alt.Scale(nice=False, padding=12)),
        color=alt.Color("map:N", scale=colours, **key),
        tooltip=["name", "map", "relation", *numbers],
    )
    y = alt.Y("left:Q", title=f"held-out R² (cut at −{-CUT:g})", scale=alt.Scale(domainMax=1))
    return finish(
        alt.layer(
            alt.Chart(pd.DataFrame({"left": [0.0]})).mark_rule(color=INK, opacity=0.6).encode(y=y),
            base.mark_line(strokeWidth=2).encode(y=y),
            base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q"),
            base.mark_point(filled=True, size=60, opacity=1).encode(
                y=y, shape=alt.Shape("map:N", scale=shapes, **key)
            ),
        ).properties(width=480, height=250)
    )


def film(
    frames: pd.DataFrame,
    titles: Sequence[str],
    axes: tuple[str, str],
    colour: str,
    facts: Mapping[str, str],
) -> Any:
    """The embedding at one checkpoint over the base's, with a slider that chooses which; the last at first.

    ``frames`` has stop (from 1), state, x, y, base_x, base_y, and either ``colour``, a column of categories,
    or, where that is empty, height and half (:func:`reports.embeddings.side_by_side`).
    """
    count = len(titles)
    stop = alt.param(
        name="stop",
        value=count,
        bind=alt.binding_range(min=1, max=count, step=1, name="checkpoint "),
    )

    def scale(axis: str) -> alt.Scale:
        both = pd.concat([frames[axis], frames[f"base_{axis}"]])
        room = 0.05 * float(both.max() - both.min()) or 0.5
        return alt.Scale(domain=[float(both.min()) - room, float(both.max()) + room], nice=False, zero=False)

    base = alt.Chart(frames).transform_filter("datum.stop === stop")
    home = {
        "x": alt.X("base_x:Q", title=axes[0], scale=scale("x")),
        "y": alt.Y("base_y:Q", title=axes[1], scale=scale("y")),
    }
    if colour:
        groups = list(dict.fromkeys(frames[colour]))
        marks: dict[str, Any] = {
            "color": alt.Color(f"{colour}:N", title=None, scale=alt.Scale(domain=groups, range=PALETTE)),
            "shape": alt.Shape(f"{colour}:N", title=None, scale=alt.Scale(domain=groups, range=SHAPES)),
        }
    else:
        halves = alt.Scale(domain=["upper half", "lower half"], range=["triangle-up", "circle"])
        marks = {
            "color": alt.Color("height:Q", legend=None, scale=alt.Scale(range=HALVES, interpolate="rgb")),
            "shape": alt.Shape("half:N", title="in the base", scale=halves),
        }
    told = {"expr": f"{json.dumps(list(titles))}[stop - 1]"}
    return finish(
        alt.layer(
            base.mark_point(size=34, strokeWidth=1, color=GREY, opacity=0.9).encode(**home),
            base.mark_rule(color=GREY, opacity=0.45).encode(**home, x2="x:Q", y2="y:Q"),
            base.mark_point(filled=True, size=46, opacity=0.95).encode(
                x=alt.X("x:Q", scale=scale("x")),
                y=alt.Y("y:Q", scale=scale("y")),
                tooltip=["state:Q", *(alt.Tooltip(c, title=name) for c, name in facts.items())],
                **marks,
            ),
        )
        .properties(width=SIDE, height=SIDE, title=alt.TitleParams(text=told))
        .add_params(stop)
    )
