"""Features of a base alone that tell of its transfers: where they start, and what draws them elsewhere.

Every transfer that starts from a copy of its base starts at the same place: the base's encoder on the target
task's observations. And every mirrored copy of the base's embedding has a loss under the frozen models: the
lower it is, the better a place to be caught in.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product

import numpy as np
import torch

import probes
from diag.embed import loss_at
from diag.forecasts.features import BASE_FEATURES, LOWEST_R2
from diag.subject import SAMPLES, LatentObjective, Subject
from probes import Floats

MOST_DIMENSIONS = 4
"""Dimensions up to which every signed permutation is tried: 384 of them."""


LEAST = 1e-9
"""Loss below which it counts as zero."""


def base_features(base: Subject | None) -> Floats:
    """The features (5,) of a base, in the order of ``BASE_FEATURES``; NaN for what cannot be had.

    ``start_…``: measures of the embedding that its encoder gives the target task's observations, beside its
    own: held-out R² as it is and with axes negated, and the log of the target task's loss there over the
    base's own. ``log_nearest_mirror``: the lowest loss of a mirrored or swapped copy of its embedding under
    its own models, over its own. ``log_start_mirror``: the loss, likewise, of the copy that the start lies
    nearest to.
    """
    missing = np.full(len(BASE_FEATURES), np.nan)
    if base is None:
        return missing
    encoder, tasks, parameters = base.encoder, base.tasks, base.parameters
    if encoder is None or tasks is None or parameters is None:
        return missing
    if not isinstance(base.objective, LatentObjective):
        return missing
    seen = tasks.paired_observations(None, 0).observations
    if not {"source", "target"} <= set(seen):
        return missing
    home, start = (encoder.embed(parameters, seen[task]) for task in ("source", "target"))
    if home.ndim != 2 or home.shape[1] > MOST_DIMENSIONS:
        return missing
    x, y = start.double().numpy(), home.double().numpy()
    try:
        steps = {step.transform: step.r2.value for step in probes.ladder(x, y).steps}
    except probes.ProbeError:
        return missing
    batches = {task: tasks.batch(task, SAMPLES, 0).batch for task in ("source", "target")}
    own = loss_at(base, home, batches["source"])
    mirrors = {copy: loss_at(base, _moved(home, copy), batches["source"]) for copy in _copies(home.shape[1])}
    permutation = probes.fit("permutation", x, y)
    nearest = (permutation.order or (), permutation.signs or ())
    at_start = mirrors.get(nearest, own)
    r2 = [_at_least(steps[rung]) for rung in ("identity", "signs")]
    losses = (loss_at(base, start, batches["target"]), min(mirrors.values()), at_start)
    return np.array([*r2, *(float(np.log(max(loss, LEAST) / max(own, LEAST))) for loss in losses)])


def _at_least(r2: float | None) -> float:
    return LOWEST_R2 if r2 is None else max(r2, LOWEST_R2)


def _copies(dimensions: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every signed permutation but the identity: base axis j of a copy is sign[j] times axis order[j]."""
    same = tuple(range(dimensions))
    for order in permutations(range(dimensions)):
        for signs in product((1, -1), repeat=dimensions):
            if (order, signs) != (same, (1,) * dimensions):
                yield order, signs


def _moved(home: torch.Tensor, copy: tuple[tuple[int, ...], tuple[int, ...]]) -> torch.Tensor:
    """The embedding that the copy's map sends back to ``home``."""
    order, signs = copy
    moved = torch.empty_like(home)
    moved[:, list(order)] = home * torch.tensor(signs, dtype=home.dtype)
    return moved
