"""One row of a study's table: what a checkpoint is, measured (:mod:`diag.studies.table`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import probes
from diag.comparisons.compare import compare
from diag.embed import embedded, shared_tasks
from diag.repairs.last_layer import folded, last_layer
from diag.sources.systems.crar import CrarSystem
from diag.subject import SAMPLES, Subject
from trainers.plan import TransferPlan

POINTS = 21
"""On the line to the mended copy."""


def measured(subject: Subject, base: Subject | None, plan: TransferPlan) -> dict[str, Any]:
    """The measures of one checkpoint, by column; of a transfer where ``base`` is given.

    The seeds of all that is random are fixed: the same checkpoint always gives the same row.
    """
    assert subject.parameters is not None
    row = _losses(subject, plan)
    if base is not None:
        row |= _comparison(base, subject) | _mended(base, subject)
    return row


def _losses(subject: Subject, plan: TransferPlan) -> dict[str, Any]:
    """The losses on its own task, and the gradient of their sum in what was trained."""
    system, batch = _system(subject), _batch(subject)
    assert subject.parameters is not None
    trained = plan.trainable(subject.parameters)
    parameters = {
        name: value.detach().clone().requires_grad_(name in trained)
        for name, value in subject.parameters.items()
    }
    means = {term: loss.mean() for term, loss in system.losses(parameters, batch).items()}
    whole = total(means, system.terms)
    moved = [parameters[name] for name in sorted(trained)]
    gradient = torch.autograd.grad(whole, moved, allow_unused=True, materialize_grads=True) if moved else ()
    norm = float(torch.stack([g.square().sum() for g in gradient]).sum().sqrt()) if moved else 0.0
    losses = {f"loss_{term}": float(value.detach()) for term, value in means.items()}
    return {"loss_total": float(whole.detach()), **losses, "gradient_norm": norm}


def _comparison(base: Subject, subject: Subject) -> dict[str, Any]:
    found = compare(base, subject)

    def value(name: str) -> float:
        measure = found.measures.get(name)
        return np.nan if measure is None or measure.value is None else measure.value

    def r2(step: probes.Step) -> float:
        return np.nan if step.r2.value is None else step.r2.value

    return {
        "states": found.states,
        "success_states": found.success_states,
        "own_states": np.nan if found.own_states is None else float(found.own_states),
        "succeeded": found.success,
        "relation": found.relation,
        "status": found.verdict.status,
        "axes": ",".join(map(str, found.verdict.axes)),
        "agreement": found.agreement,
        "l2": value("l2"),
        "l2_relative": value("l2_relative"),
        "flip": value("flip"),
        "variance_ratio": value("variance_ratio"),
        **{f"r2_{step.transform}": r2(step) for step in found.ladder},
        **{f"r2_shifted_{step.transform}": r2(step) for step in found.shifted},
    }


def _mended(base: Subject, subject: Subject) -> dict[str, Any]:
    """The loss of its mended copy, and the wall on the way there.

    Only the last, linear layer differs between the two, so that the straight line between their weights is
    the straight line between their embeddings.
    """
    system, batch = _system(subject), _batch(subject)
    assert subject.parameters is not None
    x, y = embedding(subject), embedding(base)
    mended = folded(subject.parameters, last_layer(subject.parameters), probes.fit("orthogonal", x, y))
    here, there = (system.embeddings(p, batch) for p in (subject.parameters, mended))
    heights = [loss_at(subject, torch.lerp(here, there, t), batch) for t in torch.linspace(0, 1, POINTS)]
    return {"mended_loss": heights[-1], "mended_escape": max(heights) - heights[0]}


def embedding(subject: Subject) -> Any:
    """Every state (K, d) float64, as the task that the subject was trained on shows it."""
    pairs = shared_tasks((subject,)).paired_observations(None, 0)
    return embedded(subject, pairs).double().numpy()


def _system(subject: Subject) -> CrarSystem:
    assert isinstance(subject.objective, CrarSystem)
    return subject.objective


def _batch(subject: Subject) -> Any:
    assert subject.tasks is not None
    assert subject.task is not None
    return subject.tasks.batch(subject.task, SAMPLES, 0).batch


def loss_at(subject: Subject, embeddings: torch.Tensor, batch: Any) -> float:
    """The total loss of a batch from given embeddings (K, d) of the observations that it indexes."""
    system = _system(subject)
    assert subject.parameters is not None
    losses = system.losses_at(subject.parameters, embeddings, batch)
    return float(total({term: values.mean() for term, values in losses.items()}, system.terms))


def total(means: Mapping[str, Any], weights: Mapping[str, float]) -> Any:
    """The weighted sum of the terms."""
    return sum(weight * means[term] for term, weight in weights.items())
