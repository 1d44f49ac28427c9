"""A landscape as tables: a row for each point of each curve, for each height, and for each plane's points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from diag.landscapes.result import Landscape, Plane
from diag.outputs.tidy import curves_of, number, span, stacked


def frames(result: Landscape) -> dict[str, pd.DataFrame]:
    """``curves``, ``heights``, ``places`` of the ends, and ``planes``."""
    routes = [(name, way, route) for name, task in result.tasks.items() for way, route in task.routes.items()]
    curves = [
        curves_of(
            {"t": route.t, "loss": values, "low": route.low[term], "high": route.high[term]},
            task=task,
            route=way,
            term=term,
        )
        for task, way, route in routes
        for term, values in route.losses.items()
    ]
    heights: list[dict[str, Any]] = [
        {"task": task, "route": way, "height": kind, **span(height), "at": number(height.at)}
        for task, way, route in routes
        for kind, height in route.barrier.items()
    ]
    places = [
        {
            "checkpoint": seat.name,
            "place": seat.place.kind,
            "loss": seat.sharpness.loss,
            "gradient": seat.sharpness.gradient,
            "largest_curvature": np.nan if (ends := seat.sharpness.ends) is None else ends.high.value,
            "least_curvature": np.nan if ends is None else ends.low.value,
        }
        for seat in result.seats
    ]
    planes = [table for plane in result.planes for table in _points(plane)]
    return {
        "curves": stacked(curves),
        "heights": pd.DataFrame(heights),
        "places": pd.DataFrame(places),
        "planes": stacked(planes),
    }


def _points(plane: Plane) -> list[pd.DataFrame]:
    """The points of a plane, for each task and term."""
    beta, alpha = (grid.ravel() for grid in np.meshgrid(plane.beta, plane.alpha, indexing="ij"))
    return [
        curves_of(
            {"alpha": alpha, "beta": beta, "loss": values.ravel()}, plane=plane.kind, task=task, term=term
        )
        for task, terms in plane.losses.items()
        for term, values in terms.items()
    ]
