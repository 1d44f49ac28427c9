"""Rows of embeddings with known structure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def uneven(rng: np.random.Generator) -> Floats:
    """120 rows in 4 dimensions of very different sizes and far from the origin."""
    return rng.normal(size=(120, 4)) * [1.0, 50.0, 0.01, 3.0] + 100.0


def blobs(rng: np.random.Generator, n: int = 90) -> tuple[Floats, NDArray[np.str_]]:
    """Three tight clusters in the plane, and the name of each row's."""
    codes = np.arange(n) % 3
    names = np.array(["apple", "pear", "plum"])
    return np.array([[0, 0], [8, 0], [0, 8]])[codes] + 0.3 * rng.normal(size=(n, 2)), names[codes]


def walked() -> tuple[np.ndarray, dict[str, Any]]:
    """40 episodes of 10 steps in 6 dimensions: a position that is there, one that is not, an event."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6))
    event = rng.permutation(np.repeat(["hit", "miss"], 200))
    x[:, 3] += 8 * (event == "hit")
    known = {
        "there": x[:, 0] - x[:, 1] + 0.1 * rng.normal(size=400),
        "absent": rng.normal(size=400),
        "event": event,
        "level": rng.integers(3, size=400),
        "still": np.ones(400),
        "name": np.array([f"row {i}" for i in range(400)]),
        "episodes": np.repeat(np.arange(40), 10),
    }
    return x, known
