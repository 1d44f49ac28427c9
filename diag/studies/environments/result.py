"""Environment metrics of a study: frozen, serialisable, with the runs behind each number counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from diag.result import SCHEMA_VERSION, finite, measure_tree
from diag.shown import Shown
from diag.studies.environments.asked import Asked
from probes import Measure

RANDOM, SCRATCH = "random", "from-scratch"
"""Names of the two rows that every look has beside its plans."""

Way = Literal["end", "area"]
"""``end``: the score of the last checkpoint. ``area``: the mean return of training over the whole budget."""

WAYS: tuple[Way, ...] = ("end", "area")


@dataclass(frozen=True)
class Earned:
    """What one plan earns in one look by one way of judging."""

    score: Measure
    """Mean return."""
    over_scratch: Measure
    """The mean return over from-scratch's, as the paper normalises; undefined where that says nothing."""
    share: Measure | None = None
    """The share that the mean return stands for, where the world has one."""
    share_over_scratch: Measure | None = None
    """That share over from-scratch's."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "score": measure_tree(self.score),
            "over_scratch": measure_tree(self.over_scratch),
            "share": None if self.share is None else measure_tree(self.share),
            "share_over_scratch": (
                None if self.share_over_scratch is None else measure_tree(self.share_over_scratch)
            ),
        }


@dataclass(frozen=True)
class Reached:
    """When the runs of one plan reached a level."""

    count: int
    n: int
    frames: Measure
    """Mean frames until the level; runs that never reach it count with their whole budget, so that this is
    the least that the mean can be."""
    speed: Measure
    """From-scratch's mean over this one: 2 for a plan that needs half of the frames."""
    bound: Literal["", "at most", "at least", "either way"]
    """What ``speed`` is where runs never reach the level: the plan's own (at most), from-scratch's (at least)
    or some of both."""

    @property
    def never(self) -> int:
        """Runs that do not reach it within their budget."""
        return self.n - self.count

    def to_tree(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "never": self.never,
            "n": self.n,
            "frames": measure_tree(self.frames),
            "speed": measure_tree(self.speed),
            "bound": self.bound or None,
        }


@dataclass(frozen=True)
class Entry:
    """One plan in one look, or a random agent, or training from scratch."""

    plan: str
    runs: int
    bases: int
    """Bases that they are of; 0 where nothing is kept of a base."""
    earned: Mapping[Way, Earned]
    reached: Reached | None
    """None for a random agent, and where there is no level or no curve."""
    relations: Mapping[str, int]
    """Number of runs by the relation of their embedding to the base's."""
    cka: Measure
    """CKA without its bias between the two embeddings, mean over runs."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "plan": self.plan,
            "runs": self.runs,
            "bases": self.bases,
            **{way: earned.to_tree() for way, earned in self.earned.items()},
            "reached": None if self.reached is None else self.reached.to_tree(),
            "relations": dict(self.relations),
            "cka": measure_tree(self.cka),
        }


@dataclass(frozen=True)
class Level:
    """The mean return that runs are asked to reach."""

    score: float | None
    words: str
    """What it is, or why there is none."""

    def to_tree(self) -> dict[str, Any]:
        return {"score": finite(self.score), "words": self.words}


@dataclass(frozen=True)
class LookMetrics:
    """All metrics of one look."""

    name: str
    budget: float
    """Frames of a transfer."""
    level: Level
    entries: tuple[Entry, ...]
    """A random agent, the plans in the study's order, and training from scratch."""

    def entry(self, plan: str) -> Entry | None:
        """The entry of a plan."""
        return next((one for one in self.entries if one.plan == plan), None)

    def to_tree(self) -> dict[str, Any]:
        return {
            "look": self.name,
            "budget": self.budget,
            "level": self.level.to_tree(),
            "entries": [entry.to_tree() for entry in self.entries],
        }


@dataclass(frozen=True, eq=False, repr=False)
class EnvironmentMetrics(Shown, kind="environment_metrics"):
    """The metrics of every look of a study, and the answer to what its paper leaves open."""

    study: str
    looks: tuple[LookMetrics, ...]
    curves: pd.DataFrame
    """Mean returns of training with intervals: look, plan, frames, mean, low, high, runs."""
    asked: Mapping[Way, Asked]
    """Whether to freeze the head goes with the relation, by each way of judging; empty where no base has both
    plans in one look."""
    share: str
    """Name of the share that returns stand for; empty where they stand for none."""
    unit: str
    """``frames``, or ``updates`` where the settings do not count frames."""
    missing: tuple[str, ...]
    diagnosis: str = "environment-metrics"

    def shown_files(self) -> list[str]:
        """The study's name."""
        return [self.study]

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "diagnosis": self.diagnosis,
            "study": self.study,
            "share": self.share or None,
            "unit": self.unit,
            "missing": list(self.missing),
            "looks": [look.to_tree() for look in self.looks],
            "asked": {way: one.to_tree() for way, one in self.asked.items()},
            "curves": [
                {str(k): finite(v) if isinstance(v, float) else v for k, v in row.items()}
                for row in self.curves.to_dict("records")
            ],
        }
