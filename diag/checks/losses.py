"""The loss check: each term of the transfer on the target task over the base's on the source task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import probes
from diag.checks import SettingError
from diag.checks.judging import Found, absent, judged
from diag.checks.kind import Check, Level, Positive, Share
from diag.checks.pair import Pair
from diag.embed import shared_tasks
from diag.repeatable import steady_objective
from diag.subject import Subject, SubjectError, require
from probes import Measure
from trainers.settings import unknown_name
from trainers.threads import one_thread

TOTAL = "total"

TERMS = "check.loss_ratio.terms"
"""Name of the only table of settings whose keys the user chooses: the loss terms."""


class LossCheck(Check):
    """Each loss term of the transfer on the target task, over the base's on the source task."""

    name: ClassVar[str] = "loss_ratio"
    asks: ClassVar[str] = "each loss term on the target task over the base's on the source task"
    limited_by: ClassVar[tuple[str, ...]] = ("max", "terms")

    level: Level = "warn"
    max: Positive = Field(
        2.0, description="Largest multiple of the base's loss that passes, for the total and each term"
    )
    terms: Mapping[str, Positive] = Field(
        {}, description="Limits of single terms in its place, such as { transition = 5.0 }"
    )
    floor: Share = Field(
        0.05,
        description="Each term of the base counts as at least this share of its total, so that a multiple of "
        "next to nothing does not fail",
    )
    samples: Annotated[int, Field(ge=100, le=10**6)] = Field(1240, description="Transitions per task")

    def lacks(self, subject: Subject, is_base: bool) -> bool:
        return subject.objective is None

    def measured(self, pair: Pair) -> Iterator[Found]:
        """Hold each term's ratio against its limit; raises SettingError for a term that the base lacks."""
        base, transfer = pair.base.subject, pair.transfer
        own = pair.base.once(self.name, lambda: losses_of(base, self.samples, pair.seed))
        if own is not None and (unknown := [term for term in self.terms if term not in own.terms]):
            words = unknown_name("loss term", unknown[0], list(own.terms))
            raise SettingError(f"{TERMS}.{unknown[0]}", words)
        losses = losses_of(transfer, self.samples, pair.seed) if own is not None else None
        if own is None or losses is None:
            yield absent(self.name, "the files offer no losses")
            return
        for words in (*own.warnings, *losses.warnings):
            pair.say(words)
        shared_tasks((base, transfer))
        if own.terms.keys() != losses.terms.keys():
            yield absent(self.name, "the two train on other loss terms")
            return
        # The total first, then the terms as the system names them.
        for term, measure in ratios(losses, own, self.floor, pair.seed).items():
            limit = f"terms.{term}" if term in self.terms else "max"
            loss = "total loss" if term == TOTAL else f"{term!r} loss"
            words = f"the transfer's {loss} over the base's"
            yield judged(self.name, words, measure, limit, most=self.terms.get(term, self.max), of=term)


@dataclass(frozen=True)
class Losses:
    """Weighted per-sample losses of a subject on its own task."""

    terms: Mapping[str, NDArray[np.float64]]
    """{term: (n,)}, each times its weight in the total; and the total."""
    groups: NDArray[np.int64]
    """(n,) the state or episode of each sample."""
    warnings: tuple[str, ...] = ()
    """Warnings about how the losses were taken."""


def losses_of(subject: Subject, samples: int, seed: int) -> Losses | None:
    """The losses of a subject on its own task; None where it has none, or no data to take them on.

    Losses that draw random numbers have them held at ``seed``, which the warnings say.
    Raises SubjectError for losses that are not finite, or that do not repeat themselves.
    """
    if subject.objective is None or subject.tasks is None or subject.task is None:
        return None
    import torch

    parameters = require(subject, "parameters", subject.parameters)
    with one_thread(), torch.no_grad():
        data = subject.tasks.batch(subject.task, samples, seed)
        objective, words = steady_objective(
            subject.objective, parameters, data.batch, subject.path, seed=seed
        )
        losses = objective.losses(parameters, data.batch)
    weights = subject.objective.terms
    terms = {t: weights[t] * values.double().cpu().numpy() for t, values in losses.items()}
    for term, values in terms.items():
        if bad := int((~np.isfinite(values)).sum()):
            expected = "finite losses: a network that has not diverged"
            raise SubjectError(subject.path, f"{bad} of {len(values)} {term!r} losses not finite", expected)
    return Losses({TOTAL: np.sum(list(terms.values()), axis=0), **terms}, data.groups, words)


def ratios(transfer: Losses, base: Losses, floor: float, seed: int) -> dict[str, Measure]:
    """{term: the transfer's mean over the base's}, each with its bootstrap interval over groups.

    A term of the base counts as at least ``floor`` of its total. Where both saw the same groups they are
    resampled alike, so that what makes a group's losses high in both leaves the ratio.
    """
    paired = np.array_equal(transfer.groups, base.groups)
    # Other seeds for other groups: resamples of the two are then independent.
    groups = [
        probes.make_groups(losses.groups, seed + (number if not paired else 0))
        for number, losses in enumerate((transfer, base))
    ]
    counts = [g.resampled(np.ones((len(g.index), 1)))[:, 0] for g in groups]
    total = base.terms[TOTAL].mean()
    measures = {}
    for term, above in transfer.terms.items():
        below = base.terms[term]
        if total <= 0 or above.mean() < 0 or below.mean() < 0:
            measures[term] = Measure.undefined("a mean loss is not positive, so that a ratio means nothing")
            continue
        least = floor * total
        if max(below.mean(), least) <= 0:
            measures[term] = Measure.undefined("the base's is 0, and no floor is set")
            continue
        tops = groups[0].resampled(above[:, None])[:, 0] / counts[0]
        bottoms = groups[1].resampled(below[:, None])[:, 0] / counts[1]
        value = float(above.mean() / max(below.mean(), least))
        with np.errstate(divide="ignore"):  # a resample in which the base's is 0
            draws = tops / np.maximum(bottoms, least)
        measures[term] = probes.interval(value, draws, min(g.count for g in groups), low=0.0)
    return measures
