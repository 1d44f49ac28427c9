"""Sharpness and place of each checkpoint in the loss of the headline task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from diag.landscapes.drift import Walk
from diag.landscapes.evaluate import Data, total_of
from diag.landscapes.place import place
from diag.landscapes.result import Seat
from diag.landscapes.sharpness import sharpness
from diag.landscapes.system import System
from diag.subject import Steps

if TYPE_CHECKING:
    from torch import Tensor

SEAT_WORK = 700
"""Number of points of a slice that take as long as the sharpness of one checkpoint."""


def seats_of(system: System, data: Data, seed: int, step: Callable[[int], None]) -> list[Seat]:
    """Sharpness and place of each checkpoint in the headline task's loss, seen towards B (B towards A)."""
    seats = []
    for index, (name, vector) in enumerate(zip("ABC", system.vectors, strict=False)):
        subject = system.subjects[index]
        loss = total_of(system.precise, system.spaces[index], data.batch)
        walk = None
        if isinstance(subject.objective, Steps) and subject.task == system.headline:
            # The walk of the optimiser that was at work, which may follow no total loss at all.
            here = system.space.one(vector)  # held parameters included, at the values that the loss uses
            early, late, updates = subject.objective.walk(here, system.headline, seed)
            walk = Walk(_walked(early, vector, system), _walked(late, vector, system), updates)
        towards = system.vectors[0 if index == 1 else 1]
        evidence = sharpness(loss, vector, towards=towards, walk=walk, seed=seed)
        seats.append(Seat(name, evidence, place(evidence)))
        step(SEAT_WORK)
    return seats


def _walked(positions: Mapping[str, Tensor], start: Tensor, system: System) -> Tensor:
    """Vectors (m, P) of a walk from positions of each parameter (m, *shape).

    Parameters that are not trained stay at the start. Those that are trained but do not move between the
    checkpoints are left where they were: their part in the walk does not count.
    """
    still, count = system.space.one(start), len(next(iter(positions.values())))
    rows = [{**still, **{name: p[row] for name, p in positions.items()}} for row in range(count)]
    return torch.stack([system.space.pack(row) for row in rows])
