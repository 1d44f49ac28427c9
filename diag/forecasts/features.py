"""What a forecast looks at: numbers of one early checkpoint, none of which has a scale of its own.

They are of the embedding alone. The loss, its gradient, both beside the base's, the wall on the way to the
mended copy, and how each had changed since the checkpoint before were tried beside them and told nothing
more (docs/results.md). ``losses`` is kept to show what losses alone would tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

View = Literal["embedding", "losses"]

LOWEST_R2 = -3.0
"""What an embedding that is worse than this has to say is said by then."""


def _log(value: float) -> float:
    return float(np.log(max(value, 1e-9)))


_Feature: TypeAlias = Callable[[Mapping[Any, Any]], float]

VIEWS: Mapping[View, Mapping[str, _Feature]] = {
    "embedding": {
        "r2_identity": lambda row: max(row["r2_identity"], LOWEST_R2),
        "r2_signs": lambda row: max(row["r2_signs"], LOWEST_R2),
        "r2_orthogonal": lambda row: max(row["r2_orthogonal"], LOWEST_R2),
        "own_share": lambda row: row["own_states"] / row["states"],
        "l2_relative": lambda row: row["l2_relative"],
        "log_variance_ratio": lambda row: _log(row["variance_ratio"]),
    },
    "losses": {
        "log_loss": lambda row: _log(row["loss_total"]),
        "log_gradient": lambda row: _log(row["gradient_norm"]),
    },
}


def features(rows: pd.DataFrame, view: View = "embedding") -> Floats:
    """The features (n, k) of rows of a study's ``results``; NaN where a row has no such number."""
    found = [[one(row) for one in VIEWS[view].values()] for row in rows.to_dict("records")]
    return np.array(found, np.float64).reshape(len(rows), len(VIEWS[view]))
