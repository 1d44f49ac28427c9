"""Comparison and losses of a transfer, as the demo's pages show them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from diag.checks.losses import TOTAL, losses_of
from diag.comparisons.compare import compare
from diag.comparisons.result import Comparison, Outcome
from diag.embed import embedding
from diag.sources import open_subject
from diag.subject import SAMPLES, LatentObjective, Subject, require
from trainers.threads import one_thread

TRANSITION = "transition"


@dataclass(frozen=True)
class Shown:
    """A transfer, or an image of the base's embedding, beside its base."""

    name: str
    comparison: Comparison
    loss: float
    """Mean total loss on its own task."""
    transition_loss: float

    @property
    def outcome(self) -> Outcome | None:
        """The place where the transfer ended."""
        return self.comparison.outcome


def shown(name: str, base: Subject, transfer: str | os.PathLike[str]) -> Shown:
    """A transfer's checkpoint, compared with its base; raises what reading and comparing it raise."""
    subject = open_subject(transfer)
    return Shown(name, compare(base, subject), *mean_losses(subject))


def mean_losses(subject: Subject) -> tuple[float, float]:
    """Mean total and mean transition loss of a checkpoint on its own task."""
    losses = losses_of(subject, SAMPLES, 0)
    assert losses is not None  # a checkpoint of ours has losses and tasks
    return float(losses.terms[TOTAL].mean()), float(losses.terms[TRANSITION].mean())


def exact_mirror(base: Subject) -> Shown:
    """The base's embedding with its first axis negated, and what the base's frozen models make of it.

    It is no checkpoint: it shows what an exact mirror image would score, were one to come about.
    """
    tasks = require(base, "tasks", base.tasks)
    parameters = require(base, "parameters", base.parameters)
    objective = require(base, "objective", base.objective)
    assert isinstance(objective, LatentObjective)
    batch = tasks.batch(require(base, "task", base.task), SAMPLES, 0).batch
    with one_thread(), torch.no_grad():
        embeddings = objective.embeddings(parameters, batch)
        signs = torch.ones(embeddings.shape[-1])
        signs[0] = -1
        losses = objective.losses_at(parameters, embeddings * signs, batch)
    means = {term: objective.terms[term] * float(values.double().mean()) for term, values in losses.items()}
    points = embedding(base)
    compared = compare(points, points * signs.double().numpy())
    return Shown("an exact mirror image", compared, sum(means.values()), means[TRANSITION])


def best_first(transfers: Sequence[Shown]) -> list[Shown]:
    """Transfers by how they ended, then by distance: landed, near, others, mirrored."""
    order = {"landed": 0, "near": 1, "mirrored": 3}
    return sorted(
        transfers, key=lambda t: (order.get(t.outcome or "", 2), t.comparison.measures["l2"].value or 0.0)
    )
