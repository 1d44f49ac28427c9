"""Changes along the straight line: the embedding, returns, and the loss terms' gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import probes
from diag.landscapes.corners import Corners
from diag.landscapes.evaluate import on_route
from diag.landscapes.result import Conflict, Gain, Moves, Returns
from diag.landscapes.space import Space, Straight
from diag.repeatable import HeldActor
from diag.subject import Actor, Encoder, Objective, SeededEpisodes
from probes import Floats, make_groups
from probes._alignment import held_out
from probes._maps import Rung

if TYPE_CHECKING:
    from torch import Tensor

RUNGS: tuple[Rung, ...] = ("identity", "signs", "orthogonal", "affine")
"""Rungs of the ladder that are computed along the straight line."""

SPLITS = 4
"""Number of random splits behind each R²: a point of a curve needs fewer than a verdict."""

RETURN_POINTS = 11
"""Number of points of the line at which a system that can act is evaluated."""

EPISODES = 50
"""Number of episodes at each of :data:`RETURN_POINTS` points."""

CONFLICT_POINTS = 26
"""Number of points of the line at which the terms' gradients are taken."""


def embedding_along(
    encoder: Encoder,
    space: Space,
    path: Straight,
    observations: Tensor,
    t: Floats,
    reference: tuple[str, Floats] | None,
    groups: Any,
    progress: Callable[[int], None] = lambda done: None,
) -> Moves:
    """Variance and rank of the embedding at t (points,), and R² to the reference, a name and (n, d)."""
    variance, rank = [], []
    r2: dict[str, list[float]] = {rung: [] for rung in RUNGS}
    for at in t:
        with torch.inference_mode():
            points = encoder.embed(space.one(path(torch.tensor([at]))[0]), observations)
        matrix = points.flatten(1).double().cpu().numpy()
        usable = bool(np.isfinite(matrix).all())
        variance.append(float(matrix.var(0).sum()) if usable else np.nan)
        rank.append(probes.effective_rank(matrix) if usable else np.nan)
        if reference is not None:
            known = held_out(matrix, reference[1], RUNGS, groups=groups, splits=SPLITS) if usable else {}
            for rung in RUNGS:
                value = known.get(rung)
                r2[rung].append(np.nan if value is None else value)
        progress(1)
    moved = Moves(t, np.array(variance), np.array(rank), {}, None)
    if reference is None:
        return moved
    return replace(moved, r2={rung: np.array(v) for rung, v in r2.items()}, reference=reference[0])


def returns_along(actor: Actor, space: Space, path: Straight, task: str, seed: int) -> Returns:
    """Mean returns at points of the line, with bootstrap intervals over episodes; the same seeds at each.

    Where the episodes follow from the seed, the differences to A are taken episode by episode, too.
    """
    t = np.linspace(0, 1, RETURN_POINTS)
    played = [
        np.asarray(
            HeldActor(actor).returns(space.one(path(torch.tensor([at]))[0]), task, EPISODES, seed), np.float64
        )
        for at in t
    ]
    value, low, high = _means(played, seed)
    gain = None
    if isinstance(actor, SeededEpisodes):
        gain = Gain(*_means([returns - played[0] for returns in played], seed))
    return Returns(t, value, low, high, EPISODES, gain)


def _means(rows: list[Floats], seed: int) -> tuple[Floats, Floats, Floats]:
    """Means of rows of one number an episode, and the ends of their intervals, (rows,) each."""
    measures = []
    for row in rows:
        draws = make_groups(np.arange(len(row)), seed).resampled(row[:, None])[:, 0] / len(row)
        measure = probes.interval(float(row.mean()), draws, len(row))
        measures.append([np.nan if v is None else v for v in (measure.value, measure.low, measure.high)])
    value, low, high = np.array(measures).T
    return value, low, high


def conflict_along(
    objective: Objective, space: Space, path: Straight, batch: Any, corners: Corners | None = None
) -> Conflict:
    """Cosines between the terms' gradients, and their slopes along the way, at points from A to B.

    With ``corners``, each point has the state of the nearest checkpoint.
    """
    t = np.linspace(0, 1, CONFLICT_POINTS)
    gradients: dict[str, list[Tensor]] = {term: [] for term in objective.terms}
    halves = [t] if corners is None else [t[t <= 0.5], t[t > 0.5]]
    for part in (few for half in halves for few in np.array_split(half, -(-len(half) // 8))):
        here = space if corners is None else corners.space_at(float(part[0]))
        vectors = path(torch.from_numpy(part)).detach().requires_grad_()
        with torch.enable_grad():
            losses = on_route(objective, here, lambda v: v, batch)(vectors)
            for term, weight in objective.terms.items():
                loss = (weight * losses[term].mean(1)).sum()
                gradient = torch.zeros_like(vectors)  # of a term that reads no moving parameter
                if loss.requires_grad:
                    (gradient,) = torch.autograd.grad(
                        loss, vectors, retain_graph=True, materialize_grads=True
                    )
                gradients[term].append(gradient.double())
    whole = {term: torch.cat(parts) for term, parts in gradients.items()}
    way = (path.b - path.a).double()
    return Conflict(
        t,
        {pair: _cosines(whole[pair[0]], whole[pair[1]]) for pair in combinations(whole, 2)},
        {term: (g @ way).cpu().numpy() for term, g in whole.items()},
    )


def _cosines(one: Tensor, two: Tensor) -> Floats:
    lengths = one.norm(dim=1) * two.norm(dim=1)
    products = (one * two).sum(1)
    cosines = torch.where(
        lengths > 0, products / lengths.clamp_min(torch.finfo(lengths.dtype).tiny), torch.nan
    )
    return np.asarray(cosines.cpu().numpy(), np.float64)
