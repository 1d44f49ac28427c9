"""What a forecast looks at: numbers of one early checkpoint, none of which has a scale of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

View = Literal["embedding", "losses", "all"]
"""What is looked at: the embedding beside the base's, the losses alone, or both and the way out."""

LOWEST_R2 = -3.0
"""What an embedding that is worse than this has to say is said by then."""


def _ratio(row: Mapping[Any, Any], above: str, below: str) -> float:
    return float(np.log(max(row[above], 1e-9) / max(row[below], 1e-9)))


_EMBEDDING: dict[str, Callable[[Mapping[Any, Any]], float]] = {
    "r2_identity": lambda row: max(row["r2_identity"], LOWEST_R2),
    "r2_signs": lambda row: max(row["r2_signs"], LOWEST_R2),
    "r2_orthogonal": lambda row: max(row["r2_orthogonal"], LOWEST_R2),
    "own_share": lambda row: row["own_states"] / row["states"],
    "l2_relative": lambda row: row["l2_relative"],
    "log_variance_ratio": lambda row: float(np.log(max(row["variance_ratio"], 1e-6))),
}

_LOSSES: dict[str, Callable[[Mapping[Any, Any]], float]] = {
    "log_loss": lambda row: float(np.log(max(row["loss_total"], 1e-9))),
    "log_gradient": lambda row: float(np.log(max(row["gradient_norm"], 1e-9))),
}

_WAY_OUT: dict[str, Callable[[Mapping[Any, Any]], float]] = {
    "mended_escape": lambda row: row["mended_escape"],
    "log_mended_over_loss": lambda row: _ratio(row, "mended_loss", "loss_total"),
}

VIEWS: Mapping[View, Mapping[str, Callable[[Mapping[Any, Any]], float]]] = {
    "embedding": _EMBEDDING,
    "losses": _LOSSES,
    "all": {**_EMBEDDING, **_LOSSES, **_WAY_OUT},
}


def features(rows: pd.DataFrame, view: View) -> Floats:
    """The features (n, k) of rows of a study's ``results``; NaN where a row has no such number."""
    found = [[one(row) for one in VIEWS[view].values()] for row in rows.to_dict("records")]
    return np.array(found, np.float64).reshape(len(rows), len(VIEWS[view]))
