"""Features of a forecast: numbers of one early checkpoint, none of which has a scale of its own.

They describe the embedding alone. The loss, its gradient, both beside the base's, the wall on the way to the
mended copy, and how each had changed since the checkpoint before were tried beside them and told nothing more
(docs/forecast.md). ``losses`` is kept to show what losses alone would tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

import probes
from probes import Floats
from trainers.threads import one_thread

View = Literal["embedding", "losses"]

LOWEST_R2 = -3.0
"""Least R² of a feature: lower ones are raised to it, since a worse embedding tells no more."""

_LEAST = 1e-9

_Feature: TypeAlias = Callable[[pd.DataFrame], Any]


def _r2(rung: str) -> _Feature:
    return lambda rows: np.maximum(rows[f"r2_{rung}"], LOWEST_R2)


def _log(column: str) -> _Feature:
    return lambda rows: np.log(np.maximum(rows[column], _LEAST))


VIEWS: Mapping[View, Mapping[str, _Feature]] = {
    "embedding": {
        "r2_identity": _r2("identity"),
        "r2_signs": _r2("signs"),
        "r2_orthogonal": _r2("orthogonal"),
        "own_share": lambda rows: rows["own_states"] / rows["states"],
        "l2_relative": lambda rows: rows["l2_relative"],
        "log_variance_ratio": _log("variance_ratio"),
    },
    "losses": {"log_loss": _log("loss_total"), "log_gradient": _log("gradient_norm")},
}

BASE_FEATURES = (
    "start_r2_identity",
    "start_r2_signs",
    "start_log_loss",
    "log_nearest_mirror",
    "log_start_mirror",
)
"""Names of a base's features (:func:`diag.forecasts.base.base_features`)."""


def features(rows: pd.DataFrame, view: View = "embedding") -> Floats:
    """The features (n, k) of rows of a study's ``results``; NaN where a row has no such number."""
    return np.column_stack([np.asarray(one(rows), np.float64) for one in VIEWS[view].values()])


def measures_of(embedding: Any, base: Any) -> dict[str, float]:
    """Measures that the embedding view looks at, by their column in ``results``, of paired embeddings (n, d).

    Rows with the same base embedding are one state, and never stand in both halves of a fit. Raises
    ProbeError for arrays that do not pair, are not finite, or hold too few rows.
    """
    with one_thread():
        x, y = probes.as_matrix(embedding, "embedding"), probes.as_matrix(base, "base")
        steps = {step.transform: step.r2 for step in probes.ladder(x, y, groups=probes.states(y)).steps}
        nearest, own = probes.nearest_own(x, y)
        distance = probes.l2(x, y)
        spread = probes.collapse(x, y).variance_ratio

    def value(measure: probes.Measure) -> float:
        return np.nan if measure.value is None else measure.value

    return {
        **{f"r2_{rung}": value(r2) for rung, r2 in steps.items()},
        "own_states": np.nan if nearest.value is None else float(own.sum()),
        "states": float(len(x)),
        "l2_relative": value(distance.relative),
        "variance_ratio": value(spread),
    }
