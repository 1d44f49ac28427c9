"""The result of ``diag sources``: each source beside the target or its task, and what tells them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from diag.result import SCHEMA_VERSION, FileRef, Verdict, finite, measure_tree
from diag.shown import Shown
from diag.sourcing.ranking import Ranking
from probes import Measure, Relation

Question = Literal["resembles", "suits"]
"""Which source a trained target resembles; or, before there is one, which source suits its task."""


@dataclass(frozen=True)
class Likeness:
    """One component of the target beside one source's, on the same histories."""

    source: int
    component: str
    relation: Relation | None
    """The relation of the target's answers to the source's; None where it is open."""
    agreement: float | None
    """Share of resamples that name the same relation."""
    as_it_is: Measure
    """R² of the target's answers as they stand, beside the source's."""
    linear: Measure
    """R² of the best linear map of them."""
    cka: Measure
    """Debiased CKA."""
    reason: str | None = None
    """Why there is no relation."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "source": self.source,
            "component": self.component,
            "relation": self.relation,
            "agreement": finite(self.agreement),
            "r2_as_it_is": measure_tree(self.as_it_is),
            "r2_linear": measure_tree(self.linear),
            "cka_debiased": measure_tree(self.cka),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Suits:
    """One source on histories of a task that it was not trained on."""

    source: int
    losses: dict[str, Measure]
    """Mean of each loss as it stands, and their weighted ``total``."""
    told: Measure
    """Held-out R² of the task's rewards from the source's latent state, by a linear map."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        losses = {term: measure_tree(loss) for term, loss in self.losses.items()}
        return {"source": self.source, "losses": losses, "reward_r2": measure_tree(self.told)}


@dataclass(frozen=True)
class Between:
    """Two sources' embeddings of the same histories."""

    one: int
    other: int
    cka: Measure

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {"one": self.one, "other": self.other, "cka_debiased": measure_tree(self.cka)}


@dataclass(frozen=True)
class Remains:
    """What remains in a component's last layer of one source's share of a fraction."""

    source: int
    component: str
    steps: tuple[int, ...]
    """Updates at which it is known, from 0."""
    fractions: tuple[Measure, ...]
    """The share of the source's parameters that is left, λ over the number of sources at first."""
    shares: tuple[Measure, ...]
    """Share of the component's parameters that λ over the number of sources, times the source's, explains."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "source": self.source,
            "component": self.component,
            "steps": list(self.steps),
            "remains": [measure_tree(one) for one in self.fractions],
            "shares": [measure_tree(one) for one in self.shares],
        }


@dataclass(frozen=True, repr=False)
class SourcesCompared(Shown, kind="sources"):
    """The result of ``diag sources``."""

    question: Question
    target: FileRef | None
    """The target's file; None where there is none yet."""
    task: str
    """The task whose histories all were shown, in words."""
    sources: tuple[FileRef, ...]
    names: tuple[str, ...]
    """The sources' names in words, as short as they are told apart."""
    verdict: Verdict
    main: str
    """The component, or the loss, that the verdict rests on."""
    rankings: tuple[Ranking, ...]
    likeness: tuple[Likeness, ...]
    suits: tuple[Suits, ...]
    between: tuple[Between, ...]
    remains: tuple[Remains, ...]
    heard: tuple[Measure, ...]
    """How far a meta-model's predictions move without each source, in their own spreads; or none."""
    rows: int
    histories: int
    seed: int
    warnings: tuple[str, ...] = ()

    @property
    def named(self) -> int | None:
        """Number of the source that the answer names; None where they are not told apart."""
        first = next((one for one in self.rankings if one.what == self.main), None)
        return first.best if first is not None and first.apart else None

    def ranking(self, what: str) -> Ranking:
        """The order by a component, a loss or ``reward told``; raises KeyError."""
        for one in self.rankings:
            if one.what == what:
                return one
        raise KeyError(what)

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        target = None if self.target is None else {"path": self.target.path, "sha256": self.target.sha256}
        return {
            "schema_version": SCHEMA_VERSION,
            "diagnosis": "sources",
            "question": self.question,
            "target": target,
            "task": self.task,
            "sources": [{"path": one.path, "sha256": one.sha256} for one in self.sources],
            "verdict": self.verdict.to_tree(),
            "named": self.named,
            "main": self.main,
            "rankings": [one.to_tree() for one in self.rankings],
            "likeness": [one.to_tree() for one in self.likeness],
            "suits": [one.to_tree() for one in self.suits],
            "between": [one.to_tree() for one in self.between],
            "remains": [one.to_tree() for one in self.remains],
            "heard": [measure_tree(one) for one in self.heard],
            "rows": self.rows,
            "histories": self.histories,
            "seed": self.seed,
            "warnings": list(self.warnings),
        }

    def shown_state(self) -> list[str]:
        named = self.named
        return [self.question, "not told apart" if named is None else self.names[named]]

    def shown_files(self) -> list[str]:
        return [one.path for one in (self.target, *self.sources) if one is not None]
