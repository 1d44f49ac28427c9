"""One row of a study's table: the measures of one checkpoint (:mod:`diag.studies.table`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import probes
from diag.comparisons.compare import compare
from diag.embed import embedding, loss_at, total
from diag.studies.code import code_version
from diag.subject import (
    SAMPLES,
    LastLinear,
    LatentObjective,
    Parameters,
    Subject,
    require,
)
from diag.units.last_layer import folded
from trainers.plan import TransferPlan

POINTS = 21
"""Points on the line to the mended copy."""

EPISODES = 200
"""Episodes behind a score: the standard error of a mean return is then 7% of the returns' spread."""


def measured(subject: Subject, base: Subject | None, plan: TransferPlan) -> dict[str, Any]:
    """Measure one checkpoint, a transfer where ``base`` is given: {column: value}.

    The seeds of all that is random are fixed: the same checkpoint always gives the same row. The losses of
    the mended copy are left out where no map can be folded in. Raises SubjectError for a system without
    losses.
    """
    row = {"code": code_version()} | _losses(subject, plan) | _score(subject)
    if base is not None:
        row |= _comparison(base, subject) | _mended(base, subject)
    return row


def _losses(subject: Subject, plan: TransferPlan) -> dict[str, Any]:
    """The losses on its own task, and the gradient of their sum in what was trained."""
    objective, own = require(subject, "objective", subject.objective), _parameters(subject)
    trained = plan.trainable(own)
    parameters = {name: value.detach().clone().requires_grad_(name in trained) for name, value in own.items()}
    means = {term: loss.mean() for term, loss in objective.losses(parameters, _batch(subject)).items()}
    whole = total(means, objective.terms)
    moved = [parameters[name] for name in sorted(trained)]
    # What trained may be in none of these losses, such as an actor on a fixed world model.
    reached = bool(moved) and whole.requires_grad
    gradient = torch.autograd.grad(whole, moved, allow_unused=True, materialize_grads=True) if reached else ()
    norm = float(torch.stack([g.square().sum() for g in gradient]).sum().sqrt()) if reached else 0.0
    losses = {f"loss_{term}": float(value.detach()) for term, value in means.items()}
    return {"loss_total": float(whole.detach()), **losses, "gradient_norm": norm}


def _score(subject: Subject) -> dict[str, Any]:
    """Mean return on its own task of a system that acts, over the same episodes for every checkpoint."""
    if subject.actor is None:
        return {}
    task = require(subject, "task", subject.task)
    returns = subject.actor.returns(_parameters(subject), task, EPISODES, 0)
    return {"score": float(np.mean(returns))}


def _comparison(base: Subject, subject: Subject) -> dict[str, Any]:
    """Measures of the transfer's embedding against its base's, by column."""
    result = compare(base, subject)

    def value(name: str) -> float:
        measure = result.measures.get(name)
        return np.nan if measure is None or measure.value is None else measure.value

    def r2(step: probes.Step) -> float:
        return np.nan if step.r2.value is None else step.r2.value

    return {
        "states": result.states,
        "success_states": result.success_states,
        "own_states": np.nan if result.own_states is None else float(result.own_states),
        "succeeded": result.success,
        "relation": result.relation,
        "status": result.verdict.status,
        "axes": ",".join(map(str, result.verdict.axes)),
        "agreement": result.agreement,
        "l2": value("l2"),
        "l2_relative": value("l2_relative"),
        "flip": value("flip"),
        "cka": value("cka_debiased"),
        "variance_ratio": value("variance_ratio"),
        **{f"r2_{step.transform}": r2(step) for step in result.ladder},
        **{f"r2_shifted_{step.transform}": r2(step) for step in result.shifted},
    }


def _mended(base: Subject, subject: Subject) -> dict[str, Any]:
    """The loss of its mended copy, and the wall on the way there; nothing where no map can be folded in.

    Only the last, linear layer differs between the two, so that the straight line between their weights is
    the straight line between their embeddings.
    """
    encoder, objective = subject.encoder, subject.objective
    if not isinstance(encoder, LastLinear) or not isinstance(objective, LatentObjective):
        return {}
    parameters, batch = _parameters(subject), _batch(subject)
    fit = probes.fit("orthogonal", embedding(subject), embedding(base))
    mended = folded(parameters, encoder.last_linear, fit)
    here, there = (objective.embeddings(p, batch) for p in (parameters, mended))
    heights = [loss_at(subject, torch.lerp(here, there, t), batch) for t in torch.linspace(0, 1, POINTS)]
    return {"mended_loss": heights[-1], "mended_escape": max(heights) - heights[0]}


def _parameters(subject: Subject) -> Parameters:
    return require(subject, "parameters", subject.parameters)


def _batch(subject: Subject) -> Any:
    """The transitions of its own task that losses are taken on."""
    tasks, task = require(subject, "tasks", subject.tasks), require(subject, "task", subject.task)
    return tasks.batch(task, SAMPLES, 0).batch
