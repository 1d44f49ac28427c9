"""landscape: losses on the straight line, or the plane, between checkpoints, and how high the wall is.

For θ(t) = (1 − t)·θ_A + t·θ_B and a loss L, with the supremum over the points of the slice:

- escape height (the headline): sup L(θ(t)) − L(θ_A): what a run at A would have to climb;
- Frankle et al. (arXiv 1912.05671): sup L(θ(t)) − (L(θ_A) + L(θ_B)) / 2;
- Entezari et al. (arXiv 2110.06296): sup [L(θ(t)) − (1 − t)·L(θ_A) − t·L(θ_B)].

On a downhill path between unequal ends the second is positive and the first is 0. A supremum of noisy
values is biased upwards; the intervals are corrected by the bootstrap's estimate of that bias.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

import probes
from diag._threads import one_thread
from diag.result import FileRef, Height, Landscape, Plane, TaskSlice, Verdict
from diag.sources import opened, same_file
from diag.subject import Objective, Parameters, Sampled, Subject, SubjectError, TaskPair, require
from probes import Measure, make_groups

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]

POINTS = 51
SAMPLES = 1240
"""Transitions per task: ten rounds through the maze's 124 state–action pairs."""

PLANE_FROM, PLANE_TO, PLANE_STEPS = -0.25, 1.25, 25
"""The plane's α and β: a quarter beyond the checkpoints; in steps of 1/16, 0 and 1 are among them."""

MIN_SAMPLES = 124
"""One round: below it a bootstrap over states would rest on a handful of them."""

WALL = 0.05
"""Share of A's loss that an escape height must exceed, with its whole interval, to be called a wall."""

TOTAL = "total"


class LandscapeError(ValueError):
    """A number or a name that no landscape can be taken with."""


@one_thread()
def landscape(
    a: str | os.PathLike[str] | Subject,
    b: str | os.PathLike[str] | Subject,
    *,
    third: str | os.PathLike[str] | Subject | None = None,
    task: str | None = None,
    points: int = POINTS,
    samples: int = SAMPLES,
    steps: int = PLANE_STEPS,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Landscape:
    """Losses between checkpoints A (t = 0, where one is stuck) and B (t = 1), on both tasks' data.

    ``third`` adds the plane through three checkpoints, ``steps`` × ``steps``. ``task`` (``source`` or
    ``target``) keeps one task; the headline is otherwise on the task that B was trained on. The same
    ``samples`` transitions (at least 124) serve every point. ``progress`` is told points done and
    points in all.
    Raises SubjectError or CheckpointError for bad input, LandscapeError for bad numbers.
    """
    if points < 3:
        raise LandscapeError(f"points is {points}, expected at least 3")
    if samples < MIN_SAMPLES:
        raise LandscapeError(f"samples is {samples}, expected at least {MIN_SAMPLES}")
    if third is not None and steps < 3:
        raise LandscapeError(f"steps is {steps}, expected at least 3")
    subjects = [opened(s, "array") for s in (a, b) + (() if third is None else (third,))]
    first, second = subjects[:2]
    for index, subject in enumerate(subjects):
        for earlier in subjects[:index]:
            if same_file(subject.path, earlier.path):
                raise SubjectError(subject.path, f"{earlier.path} itself", "different files")
    sets = [require(s, "parameters", s.parameters) for s in subjects]
    objective = require(first, "objective", first.objective)
    pair = require(first, "tasks", first.tasks)
    for subject, parameters in zip(subjects[1:], sets[1:], strict=True):
        _same_system(first, sets[0], subject, parameters, pair, objective)
    warnings = _warnings(subjects)
    names = _task_names(pair, task)
    data = {name: pair.batch(name, samples, seed) for name in names}
    seen = pair.paired_observations(None, seed).observations
    encoder = require(first, "encoder", first.encoder)
    total_points = points + (0 if third is None else steps * steps)

    along: dict[str, list[dict[str, Floats]]] = {name: [] for name in names}
    spread: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    ts = np.linspace(0.0, 1.0, points)
    for done, t in enumerate(ts, 1):
        here = _between(sets[0], sets[1], float(t))
        for name in names:
            along[name].append(_losses(objective, here, data[name]))
            spread[name].append(_spread(encoder.embed(here, seen[name])))
        progress(done, total_points)
    slices = {
        name: _task_slice(name, ts, along[name], spread[name], objective.terms, data[name].groups, seed)
        for name in names
    }
    plane = None
    if third is not None:
        plane = _plane(
            subjects[2], sets, objective, data, steps, lambda k: progress(points + k, total_points)
        )
    headline = second.task if second.task in names else names[0]
    refs = [FileRef(s.path, s.sha256, s.label) for s in subjects]
    return Landscape(
        base=refs[0],
        transfer=refs[1],
        verdict=_verdict(slices[headline]),
        task=headline,
        tasks=slices,
        weights=dict(objective.terms),
        distance=_distance(sets[0], sets[1]),
        samples=samples,
        seed=seed,
        plane=plane,
        warnings=tuple(warnings + _not_finite(slices)),
    )


def _task_names(pair: TaskPair, task: str | None) -> list[str]:
    known = list(pair.paired_observations(None, 0).observations)
    if task is None:
        return known
    if task not in known:
        raise LandscapeError(f"task is {task!r}, expected {' or '.join(known)}")
    return [task]


def _same_system(
    first: Subject, one: Parameters, other: Subject, two: Parameters, pair: TaskPair, objective: Objective
) -> None:
    """Raise SubjectError at the first difference that makes a straight line between two meaningless."""
    for name, tensor in one.items():
        if name not in two:
            raise SubjectError(other.path, f"no tensor {name}", f"the components of {first.path}")
        if two[name].shape != tensor.shape:
            found, expected = tuple(two[name].shape), tuple(tensor.shape)
            raise SubjectError(other.path, f"{name} of shape {found}", f"{expected}, as in {first.path}")
    for name in two:
        if name not in one:
            raise SubjectError(other.path, f"a tensor {name}", f"only the components of {first.path}")
    if require(other, "tasks", other.tasks).name != pair.name:
        raise SubjectError(other.path, f"another world than {pair.name!r}", f"the world of {first.path}")
    theirs = require(other, "objective", other.objective)
    if (dict(theirs.terms), dict(theirs.constants)) != (dict(objective.terms), dict(objective.constants)):
        raise SubjectError(other.path, "other loss terms or constants", f"those of {first.path}")


def _warnings(subjects: Sequence[Subject]) -> list[str]:
    first = subjects[0]
    return [
        f"{first.path} and {other.path} hold the same weights: the slice is a point"
        for other in subjects[1:]
        if _distance(first.parameters or {}, other.parameters or {}) == 0
    ]


def _not_finite(slices: Mapping[str, TaskSlice]) -> list[str]:
    words = []
    for name, found in slices.items():
        bad = int((~np.isfinite(found.losses[TOTAL])).sum())
        if bad:
            words.append(f"{bad} of {len(found.t)} points have a loss that is not finite on the {name} task")
    return words


def _distance(one: Parameters, two: Parameters) -> float:
    return math.sqrt(sum(float((one[n].double() - two[n].double()).square().sum()) for n in one))


def _between(one: Parameters, two: Parameters, t: float) -> dict[str, Tensor]:
    """Parameters at t, afresh; torch.lerp gives both ends exactly."""
    return {name: torch.lerp(tensor, two[name], t) for name, tensor in one.items()}


def _losses(objective: Objective, parameters: Parameters, data: Sampled) -> dict[str, Floats]:
    found = objective.losses(parameters, data.batch)
    return {term: values.double().numpy() for term, values in found.items()}


def _spread(embeddings: Tensor) -> tuple[float, float]:
    matrix = embeddings.flatten(1).double().numpy()
    if not np.isfinite(matrix).all():
        return float("nan"), float("nan")
    return float(matrix.var(0).sum()), probes.effective_rank(matrix)


def _task_slice(
    name: str,
    ts: Floats,
    along: Sequence[Mapping[str, Floats]],
    spread: Sequence[tuple[float, float]],
    weights: Mapping[str, float],
    labels: NDArray[np.int64],
    seed: int,
) -> TaskSlice:
    groups = make_groups(labels, seed)
    counts = groups.resampled(np.ones((len(labels), 1)))
    values: dict[str, Floats] = {}
    draws: dict[str, Floats] = {}
    for term in weights:
        per_sample = np.stack([point[term] for point in along], 1)
        values[term] = per_sample.mean(0)
        draws[term] = groups.resampled(per_sample) / counts
    values[TOTAL] = sum((w * values[t] for t, w in weights.items()), np.zeros(len(ts)))
    draws[TOTAL] = sum((w * draws[t] for t, w in weights.items()), np.zeros((len(counts), len(ts))))
    curves = [TOTAL, *weights]
    with np.errstate(invalid="ignore"):
        ends = {c: np.quantile(draws[c], [0.025, 0.975], axis=0) for c in curves}
    return TaskSlice(
        task=name,
        t=ts,
        losses={c: values[c] for c in curves},
        low={c: ends[c][0] for c in curves},
        high={c: ends[c][1] for c in curves},
        barrier={kind: _height(kind, ts, values, draws) for kind in HEIGHTS},
        variance=np.array([v for v, _ in spread]),
        effective_rank=np.array([r for _, r in spread]),
    )


def _escape(curve: Floats, ts: Floats) -> Floats:
    return curve - curve[..., :1]


def _frankle(curve: Floats, ts: Floats) -> Floats:
    return curve - (curve[..., :1] + curve[..., -1:]) / 2


def _entezari(curve: Floats, ts: Floats) -> Floats:
    return curve - (1 - ts) * curve[..., :1] - ts * curve[..., -1:]


HEIGHTS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "escape": _escape,
    "frankle": _frankle,
    "entezari": _entezari,
}
"""Each height is the supremum over t of one of these."""


def _height(kind: str, ts: Floats, values: Mapping[str, Floats], draws: Mapping[str, Floats]) -> Height:
    def above(curve: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # a loss that is infinite at an end has no height: NaN
            return HEIGHTS[kind](curve, ts)

    found = {curve: _supremum(above(values[curve]), above(draws[curve])) for curve in values}
    total = found.pop(TOTAL)
    rise = above(values[TOTAL])
    at = float(ts[int(np.nanargmax(rise))]) if np.isfinite(rise).any() else None
    return Height(total.value, total.low, total.high, at, found)


def _supremum(rise: Floats, draws: Floats) -> Measure:
    """sup of a curve (points,) with its interval from resampled curves (draws, points).

    Resampled suprema exceed the estimate by about as much as the estimate exceeds the truth; the
    interval's ends are moved down by that difference, and never below what the ends of the path force.
    """
    if not np.isfinite(rise).all():
        return Measure.undefined("a loss on the path is not finite")
    value = float(rise.max())
    suprema = draws.max(1)
    bias = max(0.0, float(suprema.mean()) - value)
    low, high = np.quantile(suprema, [0.025, 0.975]) - bias
    floor = float(np.quantile(np.maximum(draws[:, 0], draws[:, -1]), 0.025))
    return Measure(value, float(min(value, max(low, floor))), float(max(value, high)))


def _plane(
    third: Subject,
    sets: Sequence[Parameters],
    objective: Objective,
    data: Mapping[str, Sampled],
    steps: int,
    progress: Callable[[int], None],
) -> Plane:
    grid = np.linspace(PLANE_FROM, PLANE_TO, steps)
    curves = [TOTAL, *objective.terms]
    losses = {name: {c: np.full((steps, steps), np.nan) for c in curves} for name in data}
    for row, beta in enumerate(grid):
        for column, alpha in enumerate(grid):
            here = _affine(sets, float(alpha), float(beta))
            for name, sampled in data.items():
                total = 0.0
                for term, values in _losses(objective, here, sampled).items():
                    losses[name][term][row, column] = values.mean()
                    total += objective.terms[term] * float(values.mean())
                losses[name][TOTAL][row, column] = total
        progress((row + 1) * steps)
    lengths = _distance(sets[0], sets[1]), _distance(sets[0], sets[2])
    inner = sum(
        float(((sets[1][n].double() - o.double()) * (sets[2][n].double() - o.double())).sum())
        for n, o in sets[0].items()
    )
    cosine = inner / (lengths[0] * lengths[1]) if min(lengths) > 0 else 1.0
    angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    ref = FileRef(third.path, third.sha256, third.label)
    return Plane(ref, grid, grid, losses, lengths, angle)


def _affine(sets: Sequence[Parameters], alpha: float, beta: float) -> dict[str, Tensor]:
    """(1 − α − β)·A + α·B + β·C: exactly A, B and C at the corners."""
    a, b, c = sets
    # Frozen components are equal in all three; written this way they stay so to rounding at any α, β.
    return {n: (1 - alpha - beta) * t + alpha * b[n] + beta * c[n] for n, t in a.items()}


def _verdict(found: TaskSlice) -> Verdict:
    escape = found.barrier["escape"]
    if escape.value is None or escape.low is None or escape.high is None or escape.at is None:
        return Verdict("inconclusive", "Cannot tell: a loss on the path is not finite.")
    start, end = (float(found.losses[TOTAL][i]) for i in (0, -1))
    measured = f"{escape.value:.3g} [{escape.low:.3g}, {escape.high:.3g}]"
    where = f"on the {found.task} task"
    threshold = WALL * abs(start)
    if escape.low > threshold and escape.at == 1.0:
        return Verdict("warn", f"Uphill: the loss rises by {measured} {where}, highest at B itself.")
    if escape.low > threshold:
        terms = {t: m.value for t, m in escape.per_loss.items() if m.value is not None}
        most = max(terms, key=lambda t: terms[t])
        return Verdict(
            "warn",
            f"A wall of {measured} stands between A and B {where}, highest at t = {escape.at:.2f}; "
            f"'{most}' rises most (total at A {start:.3g}, at B {end:.3g}).",
        )
    if escape.high <= threshold:
        return Verdict(
            "pass", f"No wall: from A ({start:.3g}) to B ({end:.3g}) the loss climbs by {measured} {where}."
        )
    return Verdict(
        "inconclusive", f"Cannot tell: the escape height is {measured} {where}; take more --samples."
    )
