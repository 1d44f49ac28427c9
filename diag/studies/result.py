"""The report of a study: frozen, serialisable, with its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from diag.result import SCHEMA_VERSION, Verdict, finite, measure_tree, numbers
from diag.shown import Shown
from diag.studies.arms import Arm, Dreamt
from diag.studies.histogram import Bar, stacked
from diag.studies.scored import Episodes, Gated, Planes, Predictor, Standing, VariantFacts, standard_tree
from diag.studies.statistics import Rate
from probes import Floats, Measure


@dataclass(frozen=True)
class PlannedCell:
    """Number of transfers of one base under one plan that were asked for."""

    variant: str
    plan: str
    base_seed: int
    transfers: int


@dataclass(frozen=True)
class StudyFacts:
    """Facts about a study for the head of its report."""

    name: str
    preset: str
    settings: Mapping[str, str]
    """Settings in words or by dotted names, such as ``transfer.learning_rate``."""
    base_seeds: tuple[int, ...]
    transfer_seeds: tuple[int, ...]
    versions: Mapping[str, str]
    seconds: float
    """Spent in all, over the processes."""
    device: str
    planned: tuple[PlannedCell, ...] = ()
    """Every cell that was asked for; without it nothing can be said of what is missing."""
    world: str | None = None
    """The world that it was trained in; ``several`` where it is not one, None where it is not known."""
    variants: Mapping[str, VariantFacts] = field(default_factory=dict)
    measured_by: Mapping[str, int] = field(default_factory=dict)
    """Rows by the code that measured them (:mod:`diag.studies.code`)."""


@dataclass(frozen=True, eq=False)
class EmbeddingPicture:
    """One embedding of K states in the plane beside its base's, at one step.

    ``plan`` is empty for a base's own training: ``transfer`` is then its embedding at ``step`` and ``base``
    its last.
    """

    variant: str
    plan: str
    base_seed: int
    seed: int
    step: int
    final: bool
    base: Floats
    """(K, 2)."""
    transfer: Floats
    """(K, 2)."""
    groups: NDArray[Any]
    """(K,) the category that each state is coloured by."""
    arrows: Floats | None = None
    """(K, A, 2) where the transition model expects each action to lead from ``transfer``."""
    relation: str | None = None
    succeeded: bool | None = None
    """Filled in by the report from ``results``."""
    colour: str | None = None
    """Name of the variable that states are coloured by; None for states of one colour."""


@dataclass(frozen=True)
class Outcomes:
    """A median over the successes and one over the failures; None where there are none."""

    success: float | None
    failure: float | None

    def to_tree(self) -> dict[str, Any]:
        return {"success": finite(self.success), "failure": finite(self.failure)}


@dataclass(frozen=True)
class PValue:
    """A p-value, and the same corrected over its family (Holm)."""

    p: float
    corrected: float

    def to_tree(self) -> dict[str, Any]:
        return {"p": self.p, "holm": self.corrected}


@dataclass(frozen=True)
class Cell:
    """The transfers of one base under one plan and variant."""

    variant: str
    plan: str
    base_seed: int
    planned: int | None
    succeeded: Rate
    matched: Rate
    relations: Mapping[str, int]
    """Number of transfers by relation; ``undecided`` and ``not finite`` are counted too."""
    l2: Outcomes
    loss: Outcomes
    base_loss: float | None
    score: Outcomes
    """Medians of the scores; None where nobody acts."""
    base_score: float | None
    auc: Measure
    """AUC of the total loss: 0.5 does not tell failures from successes, at 1 a failure's is always higher."""
    against_rest: PValue | None
    """Boschloo, this base against all others of the group."""
    against_reference: PValue | None
    """Boschloo, this cell against the reference group's of the same base."""

    @property
    def missing(self) -> int:
        """Transfers that were planned and have no last checkpoint yet."""
        return max(0, (self.planned or 0) - self.succeeded.n)

    def to_tree(self) -> dict[str, Any]:
        return {
            "variant": self.variant,
            "plan": self.plan,
            "base_seed": self.base_seed,
            "planned": self.planned,
            "missing": self.missing,
            "succeeded": self.succeeded.to_tree(),
            "matched": self.matched.to_tree(),
            "relations": dict(self.relations),
            "l2": self.l2.to_tree(),
            "loss": self.loss.to_tree(),
            "base_loss": finite(self.base_loss),
            "score": self.score.to_tree(),
            "base_score": finite(self.base_score),
            "auc": measure_tree(self.auc),
            "against_rest": _tree(self.against_rest),
            "against_reference": _tree(self.against_reference),
        }


@dataclass(frozen=True)
class Compared:
    """A group against the reference, on the bases that both have."""

    tested: PValue
    """Exact, stratified by base (Mantel and Haenszel's test in its exact form); corrected over groups."""
    difference: Measure
    """Mean over bases of the difference of success shares; its interval resamples bases."""
    bases: int

    def to_tree(self) -> dict[str, Any]:
        return {
            **self.tested.to_tree(),
            "difference": measure_tree(self.difference),
            "bases": self.bases,
        }


@dataclass(frozen=True)
class Told:
    """One number of a transfer: its medians, and whether it tells failures from successes of one base."""

    name: str
    median: Outcomes
    auc: Measure

    def to_tree(self) -> dict[str, Any]:
        return {"name": self.name, "median": self.median.to_tree(), "auc": measure_tree(self.auc)}


@dataclass(frozen=True)
class Curve:
    """The interquartile mean of one number of the runs of one outcome over steps, with its band."""

    phase: str
    outcome: str
    """``success``, ``failure`` or, for bases, ``base``."""
    name: str
    runs: int
    step: Floats
    iqm: Floats
    low: Floats
    high: Floats

    def to_tree(self) -> dict[str, Any]:
        arrays = {"step": self.step, "iqm": self.iqm, "low": self.low, "high": self.high}
        words = {"phase": self.phase, "outcome": self.outcome, "name": self.name, "runs": self.runs}
        return {**words, **{name: numbers(values) for name, values in arrays.items()}}


@dataclass(frozen=True)
class Group:
    """All transfers under one plan and variant."""

    variant: str
    plan: str
    reference: bool
    cells: tuple[Cell, ...]
    succeeded: Rate
    matched: Rate
    over_bases: tuple[float, float] | None
    """95% interval of the pooled success rate that resamples whole bases."""
    relations: Mapping[str, int]
    relations_differ: Mapping[str, float]
    """p that as many transfers of all bases are ``matched``, and ``flipped``; empty for one base."""
    bases_differ: float | None
    """p that the success rate is the same from all bases; None for one base."""
    pairs: tuple[tuple[int, int, PValue], ...]
    """Boschloo for every pair of bases, corrected over all; empty where there are too many."""
    dip: Measure
    told: tuple[Told, ...]
    margins: tuple[tuple[int, int], ...]
    """(states required, transfers that succeed): how the count moves with the margin."""
    against_reference: Compared | None
    curves: tuple[Curve, ...]
    """Training losses over updates."""
    progress: tuple[Curve, ...]
    """States in place, R² and distance over the kept checkpoints."""

    @property
    def name(self) -> str:
        """``main, freeze-dynamics``."""
        return f"{self.variant}, {self.plan}"

    @property
    def missing(self) -> int:
        """Planned transfers without a last checkpoint."""
        return sum(cell.missing for cell in self.cells)

    def to_tree(self) -> dict[str, Any]:
        return {
            "variant": self.variant,
            "plan": self.plan,
            "reference": self.reference,
            "succeeded": self.succeeded.to_tree(),
            "matched": self.matched.to_tree(),
            "over_bases": None if self.over_bases is None else list(self.over_bases),
            "relations": dict(self.relations),
            "relations_differ": dict(self.relations_differ),
            "bases_differ": self.bases_differ,
            "pairs": [{"bases": [a, b], **tested.to_tree()} for a, b, tested in self.pairs],
            "dip": measure_tree(self.dip),
            "told": [told.to_tree() for told in self.told],
            "margins": [{"required": n, "count": count} for n, count in self.margins],
            "against_reference": _tree(self.against_reference),
            "cells": [cell.to_tree() for cell in self.cells],
            "curves": [curve.to_tree() for curve in self.curves],
            "progress": [curve.to_tree() for curve in self.progress],
        }


@dataclass(frozen=True)
class Beside:
    """One of our numbers beside the paper's."""

    what: str
    ours: str
    paper: str
    section: str
    note: str = ""
    p: float | None = None

    def to_tree(self) -> dict[str, Any]:
        words = {"what": self.what, "ours": self.ours, "paper": self.paper, "section": self.section}
        return {**words, "note": self.note, "p": self.p}


@dataclass(frozen=True)
class Sweep:
    """Variants that differ from the reference in one number, under its plan, on the bases that all have."""

    setting: str
    points: pd.DataFrame
    """A row a value: value, variant, count and n of successes, mean and sd of the scores."""
    transfers: pd.DataFrame
    """A row a transfer: value, base_seed, seed, score, outcome."""

    def to_tree(self) -> dict[str, Any]:
        return {"setting": self.setting, "points": [_plain(r) for r in self.points.to_dict("records")]}


@dataclass(frozen=True, eq=False, repr=False)
class StudyReport(Shown, kind="study"):
    """The report of a study; the reference group stands first."""

    facts: StudyFacts
    verdict: Verdict
    rule: str
    """The rule by which a transfer succeeds, in words."""
    states: int | None
    success_states: int | None
    groups: tuple[Group, ...]
    missing: tuple[str, ...]
    """Missing parts of an unfinished study, a line each."""
    beside: tuple[Beside, ...]
    transfers: pd.DataFrame
    """Every finished one: variant, plan, base_seed, seed, outcome, relation, own_states, l2, loss, and where
    they act their score, their base's, and the share ``retained`` of what it earns more than by chance."""
    scores: pd.DataFrame
    """Mean scores over steps (:func:`diag.studies.curves.score_curves`); empty for worlds without rewards."""
    base_curves: tuple[Curve, ...]
    stages: tuple[Sequence[EmbeddingPicture], ...]
    """Pictures at growing steps of a base, of a successful and of a failed transfer of it."""
    pictures: tuple[EmbeddingPicture, ...]
    """The last embedding of bases and transfers."""
    by: Standing = "states"
    """What success is judged by."""
    predictors: tuple[Predictor, ...] = ()
    """What each measure says of the success of the reference's transfers, where scores decide it."""
    gated: Gated | None = None
    sweep: Sweep | None = None
    returns: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Returns on the way (:func:`diag.studies.curves.returns_on_the_way`)."""
    distances: pd.DataFrame = field(default_factory=pd.DataFrame)
    """L2 of the reference's transfers at the kept checkpoints: base, seed, step, l2 and outcome."""
    terms: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Quartiles of each loss over bases, successes and failures (:func:`diag.studies.scores.spreads`)."""
    planes: tuple[Planes, ...] = ()
    episodes: Episodes | None = None
    arms: tuple[Arm, ...] = ()
    """Plans side by side, where a transfer's relation alone would be its success."""
    dreamt: tuple[Dreamt, ...] = ()
    """What world models foresee without sight, an arm each."""
    diagnosis: str = "study"

    def shown_files(self) -> list[str]:
        """The study's name."""
        return [self.facts.name]

    @property
    def reference(self) -> Group | None:
        """The group that the others are held against; None where nothing was found."""
        return self.groups[0] if self.groups else None

    def histogram(self, group: Group, column: str) -> tuple[Bar, ...]:
        """Bars of a column of ``transfers`` over the transfers of a group, by outcome."""
        every = self.transfers
        own = every[(every["variant"] == group.variant) & (every["plan"] == group.plan)]
        return stacked(own[column].to_numpy(float), own["outcome"].to_numpy(str))

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        facts = self.facts
        return {
            "schema_version": SCHEMA_VERSION,
            "diagnosis": self.diagnosis,
            "study": {
                "name": facts.name,
                "preset": facts.preset,
                "settings": dict(facts.settings),
                "base_seeds": list(facts.base_seeds),
                "transfer_seeds": list(facts.transfer_seeds),
                "versions": dict(facts.versions),
                "measured_by": dict(facts.measured_by),
                "seconds": finite(facts.seconds),
                "device": facts.device,
            },
            "verdict": self.verdict.to_tree(),
            "success": {
                "rule": self.rule,
                "states": self.states,
                "success_states": self.success_states,
                "by": self.by,
                "standards": {
                    name: [standard_tree(one) for one in variant.standards]
                    for name, variant in facts.variants.items()
                },
            },
            "missing": list(self.missing),
            "groups": [group.to_tree() for group in self.groups],
            "paper": [row.to_tree() for row in self.beside],
            "scores": [_plain(row) for row in self.scores.to_dict("records")],
            "predictors": [one.to_tree() for one in self.predictors],
            "gated": None if self.gated is None else self.gated.to_tree(),
            "plans": [arm.to_tree() for arm in self.arms],
            "open_loop": [one.to_tree() for one in self.dreamt],
            "sweep": None if self.sweep is None else self.sweep.to_tree(),
            "base_curves": [curve.to_tree() for curve in self.base_curves],
            "transfers": [_plain(row) for row in self.transfers.to_dict("records")],
        }


def _tree(tested: PValue | Compared | None) -> dict[str, Any] | None:
    return None if tested is None else tested.to_tree()


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a table for JSON: null where a number is missing."""
    return {str(k): finite(v) if isinstance(v, float) else v for k, v in row.items()}
