"""What a study of agents that act has beside others: standards, predictors of success, episodes, planes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from diag.result import finite, measure_tree, numbers
from diag.studies.statistics import Rate
from diag.subject import Film
from probes import Floats, Measure
from trainers.system import Standard

Standing = Literal["states", "score", "relation"]
"""What a transfer's success is judged by."""


@dataclass(frozen=True)
class VariantFacts:
    """What a study's definition says of one of its variants."""

    owner: str
    """The variant whose bases it transfers."""
    standards: tuple[Standard, ...] = ()
    """Scores of agents that have learned nothing of its task; none where nobody acts."""
    differs: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Settings that differ from the first variant's, by dotted names: its own value, and that one's."""
    fresh: tuple[str, ...] = ()
    """Plans of it that keep nothing of a base: their transfers belong to any base."""
    unread: tuple[str, ...] = ()
    """Plans of it that freeze nothing, so that a transfer's embedding need not lie where its base's does."""


@dataclass(frozen=True)
class Roc:
    """A measure as a sign of failure: what each of its thresholds finds, and what it gets wrong."""

    alarms: Floats
    """(k,) the share of the successes that are taken for failures, ascending."""
    found: Floats
    """(k,) the share of the failures that are found."""

    def to_tree(self) -> dict[str, Any]:
        return {"alarms": numbers(self.alarms), "found": numbers(self.found)}


@dataclass(frozen=True)
class Predictor:
    """What one measure of a transfer says of its success."""

    name: str
    more_is_worse: bool
    n: int
    """Transfers that have it."""
    missing: int
    area: Measure
    """Area under the ROC curve over all transfers: 0.5 tells nothing, 1 all."""
    within: Measure
    """The same over pairs of one base."""
    threshold: Measure
    """The value that parts failures from successes best."""
    rank: Measure
    """Spearman's correlation with the score."""
    rank_within: Measure
    """The same of the ranks within each base."""
    roc: Roc
    roc_within: Roc

    def to_tree(self) -> dict[str, Any]:
        measures = ("area", "within", "threshold", "rank", "rank_within")
        return {
            "name": self.name,
            "more_is_worse": self.more_is_worse,
            "n": self.n,
            "missing": self.missing,
            **{name: measure_tree(getattr(self, name)) for name in measures},
            "roc": self.roc.to_tree(),
            "roc_within": self.roc_within.to_tree(),
        }


@dataclass(frozen=True)
class Gated:
    """What the gate's check of the relation would say of transfers whose success is known."""

    false_passes: Rate
    """Of the failures, those that are surely matched."""
    false_alarms: Rate
    """Of the successes, those that surely have another relation."""
    undecided: int
    """Transfers whose relation is not known."""

    def to_tree(self) -> dict[str, Any]:
        rates = {n: getattr(self, n).to_tree() for n in ("false_passes", "false_alarms")}
        return {**rates, "undecided": self.undecided}


@dataclass(frozen=True, eq=False)
class Strip:
    """One agent's episode in the labyrinth, maze or game that the others of a report play, too."""

    base_seed: int
    seed: int | None
    """The transfer's; None for the base itself."""
    outcome: Literal["base", "success", "failure"]
    score: float
    relation: str
    """The transfer's relation to its base; empty for the base."""
    film: Film


@dataclass(frozen=True)
class Episodes:
    """The same episode played by a base, by a transfer of it that succeeds, and by one that fails."""

    strips: tuple[Strip, ...]
    number: int
    """The episode, of so many."""
    of: int


@dataclass(frozen=True, eq=False)
class Planes:
    """The embedding of one state as planes, of a base or of one of its transfers."""

    base_seed: int
    seed: int | None
    outcome: Literal["base", "success", "failure"]
    relation: str
    planes: Floats
    """(c, h, w)."""
    shown: Floats
    """(h, w) the state as its task shows it."""


def standard_tree(standard: Standard) -> dict[str, Any]:
    """A standard for JSON."""
    return {"score": finite(standard.score), "whose": standard.whose}
