"""Small settings of Dreamer among pendulums, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainers.settings import Settings

SMALL: Mapping[str, Any] = {
    "preset": "pendulum-small",
    "system": "dreamer",
    "world": "control-state",
    "tasks": {"source": ["pendulum", "cart-pole"], "target": ["double-pole"]},
    "model": {
        "latents": "gaussian",
        "groups": 4,
        "classes": 1,
        "deterministic": 12,
        "hidden": 12,
        "norm": False,
        "codec": "mlp",
        "widths": [12],
        "heads": [12],
    },
    "loss": {"discount": 0.99, "estimator": "dynamics", "free_nats": 1.0},
    "batches": {"sequences": 4, "length": 6, "starts": 8, "horizon": 4},
    "acting": {"environments": 4, "prefill": 40, "capacity": 400, "noise": 0.3},
    "evaluation": {"episodes": 2},
    "train": {"algorithm": "agent", "updates": 8, "log_every": 2, "model_rate": 3e-3},
    "transfer": {"algorithm": "agent", "updates": 8, "log_every": 2, "model_rate": 3e-3},
}


def poles(*assignments: str) -> Settings:
    """Small settings among pendulums from their state's numbers."""
    return Settings.from_tree(SMALL).with_overrides(assignments)
