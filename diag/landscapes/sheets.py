"""Planes through parameter space: through three checkpoints, of random directions, or of a training path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from diag.landscapes import LandscapeError
from diag.landscapes.corners import Corners
from diag.landscapes.result import Mark, Outline
from diag.landscapes.space import Flat, Space, Through

if TYPE_CHECKING:
    from torch import Tensor

    from diag.result import FileRef
    from diag.subject import Parameters

THREE_FROM, THREE_TO, STEPS = -0.25, 1.25, 25
"""Range and steps of α and β of a plane through three: a quarter beyond the checkpoints; of 25 steps, two are
at 0 and 1."""

RANDOM_REACH = 1.0
"""Largest α and β of a random plane: as far as each filter's own norm."""

TRAIL_BEYOND = 0.15
"""Share of a trail's extent that its plane goes beyond the trail."""


@dataclass(frozen=True, kw_only=True)
class Sheet(Outline):
    """A plane whose losses are to be taken."""

    vectors: Flat | Through


def through_three(a: Tensor, b: Tensor, c: Tensor, third: FileRef, steps: int = STEPS) -> Sheet:
    """The plane of A, B and C, with A at (0, 0), B at (1, 0) and C at (0, 1)."""
    grid = np.linspace(THREE_FROM, THREE_TO, steps)
    marks = (Mark("A", 0.0, 0.0, 0.0), Mark("B", 1.0, 0.0, 0.0), Mark("C", 0.0, 1.0, 0.0))
    lengths = _norm(b - a), _norm(c - a)
    axes, angle = ("B − A", "C − A"), _angle(b - a, c - a)
    return Sheet("three", grid, grid, marks, axes, lengths, angle, third=third, vectors=Through(a, b, c))


def at_random(space: Space, a: Tensor, seed: int, steps: int = STEPS) -> Sheet:
    """The plane through A of two random directions, filter-normalised (Li et al., arXiv 1712.09913)."""
    u, v = (random_direction(space, a, [seed, axis]) for axis in (0, 1))
    grid = np.linspace(-RANDOM_REACH, RANDOM_REACH, steps)
    marks = (Mark("A", 0.0, 0.0, 0.0),)
    axes = ("a random direction", "another random direction")
    lengths = _norm(u), _norm(v)
    return Sheet("random", grid, grid, marks, axes, lengths, _angle(u, v), vectors=Flat(a, u, v))


def random_direction(space: Space, at: Tensor, seed: Sequence[int]) -> Tensor:
    """A Gaussian direction (P,), each filter or row with the norm of the same filter of the weights.

    Parameters with one axis (biases, gains) stay where they are.
    """
    rng = np.random.default_rng([6, *seed])
    parts = []
    with torch.no_grad():
        for name, shape in space.shapes.items():
            weights = space.one(at)[name]
            drawn = torch.from_numpy(rng.normal(size=shape)).to(weights)
            if len(shape) < 2:
                parts.append(torch.zeros_like(weights))
                continue
            flat, own = drawn.flatten(1), weights.flatten(1)
            norms = own.norm(dim=1, keepdim=True) / flat.norm(dim=1, keepdim=True)
            parts.append((flat * norms).reshape(shape))
    return torch.cat([p.reshape(-1) for p in parts])


def along_trail(
    trail: Tensor, files: tuple[FileRef, ...], ends: Mapping[str, Tensor], steps: int = STEPS
) -> Sheet:
    """The plane of the first two principal components of a training path (m, P), seen from its end.

    Its checkpoints are marked 1 to m, and ``ends`` beside them, at their feet. One unit of α or β is one unit
    of distance in parameter space.
    """
    origin = trail[-1]
    steps_off = trail[:-1] - origin
    _, values, rows = torch.linalg.svd(steps_off.double(), full_matrices=False)
    power = values.square()
    if len(values) < 2 or float(values[1]) <= 1e-6 * float(values[0]):
        raise LandscapeError("the trail is a point or a line, expected checkpoints that span a plane")
    u, v = (row.to(origin) for row in rows[:2])
    marks = [_foot(str(number), vector, origin, u, v) for number, vector in enumerate(trail, 1)]
    marks += [_foot(name, vector, origin, u, v) for name, vector in ends.items()]
    grids = []
    for places in ([m.alpha for m in marks], [m.beta for m in marks]):
        beyond = TRAIL_BEYOND * (max(places) - min(places))
        grids.append(np.linspace(min(places) - beyond, max(places) + beyond, steps))
    share = power / power.sum()
    axes = ("first principal component", "second principal component")
    explained = float(share[0]), float(share[1])
    vectors, lengths = Flat(origin, u, v), (1.0, 1.0)
    return Sheet(
        "trail",
        grids[0],
        grids[1],
        tuple(marks),
        axes,
        lengths,
        90.0,
        explained,
        trail=files,
        vectors=vectors,
    )


def _foot(name: str, vector: Tensor, origin: Tensor, u: Tensor, v: Tensor) -> Mark:
    step = (vector - origin).double()
    alpha, beta = float(step @ u.double()), float(step @ v.double())
    off = float(step.square().sum()) - alpha**2 - beta**2
    return Mark(name, alpha, beta, max(0.0, off) ** 0.5)


def corners_of(sheet: Sheet, spaces: Sequence[Space], own: Sequence[Parameters | None]) -> Corners | None:
    """Coordinates and state of checkpoints A, B and C on a plane; None for a trail, off which they lie."""
    if sheet.kind == "trail":
        return None
    at = np.array([[mark.alpha, mark.beta] for mark in sheet.marks])
    (one, two), cosine = sheet.lengths, float(np.cos(np.radians(sheet.angle)))
    metric = np.array([[one * one, one * two * cosine], [one * two * cosine, two * two]])
    known = bool(np.isfinite(metric).all())
    return Corners(at, tuple(spaces[: len(at)]), tuple(own[: len(at)]), metric if known else np.eye(2))


def _norm(vector: Tensor) -> float:
    return float(vector.double().norm())


def _angle(one: Tensor, two: Tensor) -> float:
    lengths = _norm(one) * _norm(two)
    cosine = float(one.double() @ two.double()) / lengths if lengths > 0 else 1.0
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
