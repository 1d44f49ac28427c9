"""What plans end with, side by side: losses, returns and relations of all that is taken to one target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.result import finite

RETURN = "return"
"""The quantity of returns that training took on its way."""

WORLD_MODEL = ("image", "reward", "discount", "kl")
"""Losses of a world model, in the fourth paper's order; others follow."""


@dataclass(frozen=True)
class End:
    """What the runs of one plan end with: the mean over runs, and the least and the most of a run."""

    mean: float
    least: float
    most: float
    runs: int

    def to_tree(self) -> dict[str, Any]:
        return {"mean": finite(self.mean), "least": finite(self.least), "most": finite(self.most)} | {
            "runs": self.runs
        }


@dataclass(frozen=True)
class PlanEnds:
    """One plan of an arm: what its runs end with, and how their embeddings relate to their bases'."""

    variant: str
    plan: str
    fresh: bool
    """Whether nothing of a base is kept."""
    ends: Mapping[str, End]
    relations: Mapping[str, int]
    identity: float | None
    """Median R² of the embedding as it is, and of its best affine map, to the base's."""
    affine: float | None

    def to_tree(self) -> dict[str, Any]:
        return {
            "variant": self.variant,
            "plan": self.plan,
            "ends": {name: end.to_tree() for name, end in self.ends.items()},
            "relations": dict(self.relations),
            "r2_identity": finite(self.identity),
            "r2_affine": finite(self.affine),
        }


@dataclass(frozen=True)
class Arm:
    """Plans that were taken to the same target, side by side."""

    name: str
    """Name of the first of its variants."""
    plans: tuple[PlanEnds, ...]
    curves: pd.DataFrame = field(repr=False)
    """Interquartile means over runs with bootstrap bands: quantity, plan, step, value, low, high, runs."""
    standards: tuple[tuple[str, float], ...] = ()
    """Whose mean return, and how much: of agents that have learned nothing."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "plans": [plan.to_tree() for plan in self.plans],
            "standards": [{"whose": whose, "return": score} for whose, score in self.standards],
        }


@dataclass(frozen=True)
class Dreamt:
    """What the models of an arm foresee of the same histories, without sight."""

    arm: str
    histories: int
    drift: pd.DataFrame = field(repr=False)
    """Means over runs of means over histories: quantity, name, step, value, low, high (least, most), runs."""
    strips: tuple[tuple[str, NDArray[np.float32]], ...] = field(repr=False)
    """Titles, and pictures (1 + H, c, h, w) of one history: as it came, and as models expect it."""

    def to_tree(self) -> dict[str, Any]:
        rows = self.drift.to_dict("records")
        return {
            "arm": self.arm,
            "histories": self.histories,
            "drift": [
                {str(k): finite(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows
            ],
        }


def short(value: float) -> str:
    """A number to three digits.

    >>> short(23.456), short(0.0312), short(1234.5)
    ('23.5', '0.0312', '1,234')
    """
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
