"""Walls between every two checkpoints as tables: a row for each way between two, and for each point of it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from diag.landscapes.pairs_result import LandscapePairs
from diag.outputs.tidy import curves_of, number, span, stacked


def frames(result: LandscapePairs) -> dict[str, pd.DataFrame]:
    """``pairs``, ``curves``, and ``checkpoints`` with the group that each is in."""
    ways = [
        (result.names[pair.first], result.names[pair.second], name, way)
        for pair in result.pairs
        for name, way in pair.ways.items()
    ]
    pairs: list[dict[str, Any]] = [
        {
            "first": first,
            "second": second,
            "route": name,
            "between": way.between,
            **span(way.wall),
            "at": number(way.wall.at),
            "length": way.length,
        }
        for first, second, name, way in ways
    ]
    curves = [
        curves_of(
            {"t": way.t, "loss": way.losses, "low": way.low, "high": way.high},
            first=first,
            second=second,
            route=name,
        )
        for first, second, name, way in ways
    ]
    group = {i: number for number, group in enumerate(result.straight.groups) for i in group}
    checkpoints = [
        {"checkpoint": name, "path": file.path, **span(loss), "group": group[i]}
        for i, (name, file, loss) in enumerate(
            zip(result.names, result.checkpoints, result.losses, strict=True)
        )
    ]
    return {"pairs": pd.DataFrame(pairs), "curves": stacked(curves), "checkpoints": pd.DataFrame(checkpoints)}
