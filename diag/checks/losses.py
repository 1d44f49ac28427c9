"""The loss check: each term of the transfer on the target task over the base's on the source task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import probes
from diag.checks import SettingError
from diag.checks.config import TERMS
from diag.checks.judging import Found, absent, judged
from diag.checks.settings import LossCheck
from diag.embed import shared_tasks
from diag.repeatable import steady_objective
from diag.subject import Subject, SubjectError, require
from probes import Measure
from trainers.settings import unknown_name
from trainers.threads import one_thread

TOTAL = "total"


@dataclass(frozen=True)
class Losses:
    """Weighted per-sample losses of a subject on its own task."""

    terms: Mapping[str, NDArray[np.float64]]
    """{term: (n,)}, each times its weight in the total; and the total."""
    groups: NDArray[np.int64]
    """(n,) the state or episode of each sample."""
    warnings: tuple[str, ...] = ()
    """What is to be said of how they were taken."""


def losses_of(subject: Subject, samples: int, seed: int) -> Losses | None:
    """The losses of a subject on its own task; None where it has none, or no data to take them on.

    Losses that draw random numbers have them held at ``seed``, which the warnings say.
    Raises SubjectError for losses that are not finite, or that do not repeat themselves.
    """
    if subject.objective is None or subject.tasks is None or subject.task is None:
        return None
    parameters = require(subject, "parameters", subject.parameters)
    with one_thread(), torch.no_grad():
        data = subject.tasks.batch(subject.task, samples, seed)
        objective, words = steady_objective(
            subject.objective, parameters, data.batch, subject.path, seed=seed
        )
        found = objective.losses(parameters, data.batch)
    weights = subject.objective.terms
    terms = {t: weights[t] * values.double().cpu().numpy() for t, values in found.items()}
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
    found = {}
    for term, above in transfer.terms.items():
        below = base.terms[term]
        if total <= 0 or above.mean() < 0 or below.mean() < 0:
            found[term] = Measure.undefined("a mean loss is not positive, so that a ratio means nothing")
            continue
        least = floor * total
        if max(below.mean(), least) <= 0:
            found[term] = Measure.undefined("the base's is 0, and no floor is set")
            continue
        tops = groups[0].resampled(above[:, None])[:, 0] / counts[0]
        bottoms = groups[1].resampled(below[:, None])[:, 0] / counts[1]
        value = float(above.mean() / max(below.mean(), least))
        with np.errstate(divide="ignore"):  # a resample in which the base's is 0
            draws = tops / np.maximum(bottoms, least)
        found[term] = probes.interval(value, draws, min(g.count for g in groups), low=0.0)
    return found


def of_losses(
    base: Subject,
    transfer: Subject,
    own: Losses | None,
    limits: LossCheck,
    seed: int,
    say: Callable[[str], None] = lambda words: None,
) -> Iterator[Found]:
    """What the check says of each term; ``own`` are the base's losses, ``say`` is told what to warn of.

    Raises SettingError for a limit of a term that the base does not have.
    """
    if own is not None and (unknown := [term for term in limits.terms if term not in own.terms]):
        words = unknown_name("loss term", unknown[0], list(own.terms))
        raise SettingError(f"{TERMS}.{unknown[0]}", words)
    found = losses_of(transfer, limits.samples, seed) if own is not None else None
    if own is None or found is None:
        yield absent("loss_ratio", "the files offer no losses")
        return
    for words in (*own.warnings, *found.warnings):
        say(words)
    shared_tasks((base, transfer))
    if own.terms.keys() != found.terms.keys():
        yield absent("loss_ratio", "the two train on other loss terms")
        return
    measured = ratios(found, own, limits.floor, seed)
    # The total first, then the terms as the system names them.
    for term, measure in measured.items():
        limit = f"terms.{term}" if term in limits.terms else "max"
        words = f"the transfer's {'total loss' if term == TOTAL else repr(term) + ' loss'} over the base's"
        most = limits.terms.get(term, limits.max)
        yield judged("loss_ratio", words, measure, limit, most=most, of=term)
