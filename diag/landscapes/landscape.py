"""landscape: what lies between two checkpoints, how high the wall is, whether it is real, and who sits where.

The headline is the escape height: how far a run that is stuck at A would have to climb on its way to B.
It is taken on the straight line between the weights, and again on ways that take out what is not a wall:
see :data:`diag.landscapes.result.ROUTES`.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from diag.landscapes import LandscapeError, curve, moves, plane, sheets
from diag.landscapes.drift import Walk
from diag.landscapes.evaluate import (
    Data,
    between_embeddings,
    differentiable,
    on_route,
    route,
    take,
    total_of,
    totals_of,
)
from diag.landscapes.place import place
from diag.landscapes.result import (
    Landscape,
    Moves,
    Route,
    RouteName,
    Seat,
    TaskSlice,
)
from diag.landscapes.sharpness import sharpness
from diag.landscapes.space import Bezier, Straight
from diag.landscapes.state import check_own, in_short, in_words, jumps, uneven_in_words
from diag.landscapes.system import System, distance, gaps, natural, reference_of, spaced, system_of, trail_of
from diag.landscapes.verdict import NOTHING, verdict_of
from diag.result import FileRef
from diag.sources import Source
from diag.sources.supplied import NOTHING as NOTHING_SUPPLIED
from diag.sources.supplied import Supplied
from diag.subject import SAMPLES, LatentObjective, Layered, Steps
from diag.units.matching import match_activations, match_weights
from diag.units.symmetry import SymmetryError, apply
from probes import Floats
from trainers.threads import one_thread

if TYPE_CHECKING:
    from torch import Tensor

POINTS = 51

BEYOND = 0.2
"""How far the straight line is drawn beyond both ends."""

MIN_SAMPLES = 124
"""One round: below it a bootstrap over states would rest on a handful of them."""

SAME_FUNCTION = 1e-3
"""Relative difference of B's loss from its symmetric copy's above which the symmetry is none."""

SEAT_WORK = 700
"""Points of a slice that take about as long as looking at how one checkpoint sits."""


@one_thread()
def landscape(
    a: Source,
    b: Source,
    *,
    third: Source | None = None,
    random_plane: bool = False,
    trail: str | Sequence[Source] = (),
    base: Source | None = None,
    move: Sequence[str] | None = None,
    task: str | None = None,
    points: int = POINTS,
    beyond: float = BEYOND,
    samples: int = SAMPLES,
    steps: int = sheets.STEPS,
    curve_steps: int = curve.STEPS,
    quick: bool = False,
    per_sample: bool = False,
    save: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    device: str | None = None,
    supplied: Supplied = NOTHING_SUPPLIED,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Landscape:
    """Losses between checkpoints A (t = 0, where one is stuck) and B (t = 1), on both tasks' data.

    Planes, ``steps`` × ``steps``: through a ``third`` checkpoint; of two filter-normalised directions at
    random through A (``random_plane``); of a training path (``trail``: checkpoints along it, or a
    pattern). With ``save``, a folder, their rows are kept there and a later call goes on with them.

    ``move`` names the components that move (``all`` for every one); by default those that differ, the
    others being frozen. ``task`` (``source`` or ``target``) keeps one task; the headline is otherwise on
    the task that B was trained on. ``beyond`` is how far t goes on past 0 and 1; heights are over [0, 1].
    The same ``samples`` transitions (at least 124) serve every point. ``quick`` leaves out the curve
    (``curve_steps`` of Adam), the curvature at the ends, the terms' conflict and returns. ``per_sample``
    keeps every sample's loss. ``base`` is the checkpoint whose embedding R² is taken to (default: see
    :func:`diag.landscapes.system.reference_of`). ``device`` is where losses are taken (default: where the
    parameters are). ``supplied`` is what files of weights alone do not say: an adapter that makes a module
    with losses of them (:func:`diag.sources.torch_losses.from_module`), … ``progress`` is told points done
    and points in all.
    Raises SubjectError or CheckpointError for bad input, LandscapeError for bad numbers.
    """
    if points < 3:
        raise LandscapeError(f"points is {points}, expected at least 3")
    if samples < MIN_SAMPLES:
        raise LandscapeError(f"samples is {samples}, expected at least {MIN_SAMPLES}")
    if steps < 3:
        raise LandscapeError(f"steps is {steps}, expected at least 3")
    if not 0 <= beyond <= 10:
        raise LandscapeError(f"beyond is {beyond}, expected 0 to 10")
    along = _trail(trail)
    system = system_of((a, b, *(() if third is None else (third,))), move, task, device, supplied)
    t = spaced(points, beyond)
    data = {name: system.data(name, samples, seed) for name in system.names}
    system = system.steady(data[system.headline], seed)
    told = _told(system, data[system.headline].batch)
    refs = [FileRef.of(s) for s in system.subjects]
    # All that can be refused is, before any work is done for it.
    planned = _sheets(system, random_plane, along, refs, steps, seed, data[system.headline].batch)
    if save is not None and not planned:
        raise LandscapeError("found a folder to save rows in, expected a plane to take them of")
    stores = [None if save is None else _store(Path(save), sheet, system, samples, seed) for sheet in planned]
    reference = None if system.encoder is None else reference_of(system, base)
    if base is not None and reference is None:
        raise LandscapeError("found a base, expected checkpoints with an encoder to hold against it")
    done, of = 0, _work(system, len(t), points, 0 if quick else curve_steps, quick) + len(planned) * steps**2

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress(min(done, of), of)

    missing: dict[str, str] = {}
    with differentiable(system.device):
        paths, warnings = _paths(
            system, data[system.headline], curve_steps, quick, samples, seed, step, missing
        )
    routes = {name: _routes(system, name, data[name], paths, t, points, per_sample, step) for name in data}
    tasks = {}
    for name in data:
        conflict = None
        if not quick and name == system.headline:
            with differentiable(system.device), _left_out(missing, "the conflict of the terms' gradients"):
                conflict = moves.conflict_along(
                    system.precise, system.space, paths["raw"], data[name].batch, system.line
                )
        moved = _moves(system, name, paths["raw"], t, reference, quick, seed, step)
        tasks[name] = TaskSlice(name, routes[name], moved, conflict)
    seats: tuple[Seat, ...] = ()
    if not quick:
        with differentiable(system.device), _left_out(missing, "where the checkpoints sit"):
            seats = tuple(_seats(system, data[system.headline], seed, step))
    missing |= {f"the curvature at {s.name}": s.sharpness.reason for s in seats if s.sharpness.reason}
    processes = jobs or os.cpu_count() or 1 if system.device == "cpu" else 1
    planes = tuple(
        plane.losses_on(
            sheet,
            system.objective,
            system.space,
            data,
            corners=sheets.corners_of(sheet, system.spaces, system.own),
            jobs=processes,
            store=store,
            progress=step,
        )
        for sheet, store in zip(planned, stores, strict=True)
    )
    progress(of, of)
    warnings += gaps({name: (r["raw"].gaps, len(t)) for name, r in routes.items()})
    return Landscape(
        base=refs[0],
        transfer=refs[1],
        verdict=verdict_of(routes[system.headline], system.headline, system.objective.terms),
        task=system.headline,
        tasks=tasks,
        weights=dict(system.objective.terms),
        distance=distance(*system.vectors[:2]),
        moved=system.moved,
        pinned=system.pinned,
        seats=seats,
        samples=data[system.headline].n,
        seed=seed,
        planes=planes,
        warnings=(*system.warnings, *told, *warnings),
        notes=tuple(in_words(system.fresh, system.objective)),
        missing=missing,
    )


def _told(system: System, batch: Any) -> list[str]:
    """What is to be warned of in the checkpoints' state beside their weights.

    Raises SubjectError where B's network differs from A's in more than that.
    """
    objective, words = system.objective, list[str]()
    if not system.holds_some:
        for own, subject in zip(system.own[1:], system.subjects[1:], strict=True):
            check_own(objective, own, subject, system.subjects[0].path, batch)
    if system.uneven_matters(batch):
        words.append(uneven_in_words(system.uneven))
    if any(follows.what == "spectral norm" for follows in system.fresh):
        words += jumps(objective, system.spaces, system.vectors, system.own, batch, objective.terms)
    return words


@contextmanager
def _left_out(missing: dict[str, str], part: str) -> Iterator[None]:
    """What torch cannot differentiate, or not in float32, is left out, with the reason."""
    try:
        yield
    except RuntimeError as error:
        missing[part] = f"torch says: {str(error).strip().partition(chr(10))[0]}"


def _trail(trail: str | Sequence[Source]) -> list[Source]:
    """The checkpoints of a trail, in the order of their numbers where it is a pattern."""
    if not isinstance(trail, str):
        return list(trail)
    found = sorted(glob.glob(trail), key=natural)  # noqa: PTH207 (a pattern may be absolute)
    if len(found) < 3:
        raise LandscapeError(f"trail {trail!r} matches {len(found)} files, expected at least 3")
    return list(found)


def _work(system: System, length: int, points: int, curve_steps: int, quick: bool) -> int:
    """Points to take beside those of planes, other work counted as the points that take as long."""
    routes = length + 2 * points * isinstance(system.objective, Layered)
    routes += points * isinstance(system.objective, LatentObjective)
    one_task = routes + (0 if system.encoder is None else length)
    slow = 0 if quick else points + SEAT_WORK * len(system.subjects)
    return one_task * len(system.names) + curve_steps + slow


Paths: TypeAlias = "dict[RouteName, Straight | Bezier]"


def _paths(
    system: System,
    data: Data,
    curve_steps: int,
    quick: bool,
    samples: int,
    seed: int,
    step: Callable[[int], None],
    missing: dict[str, str],
) -> tuple[dict[RouteName, Any], list[str]]:
    """The ways from A to B through parameter space, and what to warn of."""
    objective, space = system.objective, system.space
    one, two = system.vectors[:2]
    paths: dict[RouteName, Any] = {"raw": Straight(one, two)}
    warnings: list[str] = []
    if isinstance(objective, Layered):
        try:
            copies = _symmetric_copies(objective, system, data.batch)
        except SymmetryError as error:
            copies = {}
            warnings.append(f"hidden units were not matched: {error}")
        loss = total_of(objective, system.spaces[1], data.batch)
        with torch.no_grad():
            own, middle = float(loss(two)), float(loss((one + two) / 2))
        for name, copy in copies.items():
            vector = space.pack(copy)
            with torch.no_grad():
                others = float(loss(vector))
            # A loss of nearly nothing is known to the rounding of larger ones.
            if not abs(own - others) <= SAME_FUNCTION * abs(own) + NOTHING * abs(middle):
                warnings.append(
                    f"the {name} copy of B has a loss of {others:.4g}, B itself {own:.4g}: the description "
                    "of its hidden units is wrong"
                )
                continue
            paths[name] = Straight(one, vector)
    if not quick and curve_steps > 0 and system.uneven_matters(data.batch):
        missing["an optimised curve"] = f"{in_short(system.uneven)} cannot move along it"
        step(curve_steps)
    elif not quick and curve_steps > 0:
        # Other samples than those that the curve is judged on.
        fresh = system.data(system.headline, samples, seed + 1)
        if system.is_all_there_is(samples, seed):
            warnings.append("the curve was made on the samples that it is judged on: there are no others")
        with _left_out(missing, "an optimised curve"):
            losses = totals_of(system.precise, space, fresh.batch)
            paths["curve"] = curve.bent(losses, one, two, steps=curve_steps, seed=seed, progress=step)
    return paths, warnings


def _symmetric_copies(objective: Any, system: System, batch: Any) -> dict[RouteName, dict[str, Tensor]]:
    """B with its hidden units matched to A's: by what they compute, and by their weights.

    Raises SymmetryError where weights are not finite.
    """
    space, (a, b) = system.space, system.own[:2]
    units = tuple(u for u in objective.units if all(spot.parameter in space.shapes for spot in u.spots))
    if not units:
        return {}
    for name in space.shapes:
        if not bool(a[name].isfinite().all() and b[name].isfinite().all()):
            raise SymmetryError(name, "weights that are not finite", "finite ones")
    held = {**b, **system.spaces[1].fixed}
    with torch.inference_mode():
        seen = [objective.activations(parameters, batch) for parameters in (a, held)]
    acting = tuple(u for u in units if u.name in seen[0])
    by_activation = match_activations(acting, seen[0], seen[1], a, held) if acting else {}
    by_weight = match_weights(units, a, held, start=by_activation)
    copies: dict[RouteName, dict[str, Tensor]] = {"nearest": apply(units, held, by_weight)}
    if acting == units:  # else some could be matched by their weights alone
        copies = {"aligned": apply(units, held, by_activation), **copies}
    return copies


def _routes(
    system: System,
    task: str,
    data: Data,
    paths: Mapping[RouteName, Any],
    t: Floats,
    points: int,
    per_sample: bool,
    step: Callable[[int], None],
) -> dict[RouteName, Route]:
    """Every route on one task's data; the curve, made for the headline task, on that one only."""
    objective, space, weights = system.objective, system.space, system.objective.terms
    inside = np.linspace(0.0, 1.0, points)
    found: dict[RouteName, Route] = {}
    for name, path in paths.items():
        if name == "curve" and task != system.headline:
            continue
        at = t if name == "raw" else inside
        corners = system.line_to_a_copy if name in ("aligned", "nearest") else system.line
        evaluate = on_route(objective, space, path, data.batch, corners)
        taken = take(evaluate, at, data, keep=per_sample and name == "raw", progress=step)
        found[name] = route(at, taken, weights, data, _length(path))
    if isinstance(objective, LatentObjective):
        evaluate, length = between_embeddings(objective, space, paths["raw"], data.batch)
        found["embedding"] = route(inside, take(evaluate, inside, data, progress=step), weights, data, length)
    return found


def _length(path: Any) -> float:
    if isinstance(path, Straight):
        return distance(path.a, path.b)
    vectors = path(torch.linspace(0, 1, 101))
    return float((vectors[1:].double() - vectors[:-1].double()).norm(dim=1).sum())


def _moves(
    system: System,
    task: str,
    path: Straight,
    t: Floats,
    reference: tuple[str, Floats] | None,
    quick: bool,
    seed: int,
    step: Callable[[int], None],
) -> Moves | None:
    if system.encoder is None:
        return None
    observations, groups = system.paired
    found = moves.embedding_along(
        system.encoder, system.space, path, observations[task], t, reference, groups, step
    )
    actor = system.subjects[0].actor
    if quick or actor is None:
        return found
    returns = moves.returns_along(actor, system.space, path, task, seed)
    return replace(found, returns=returns)


def _seats(system: System, data: Data, seed: int, step: Callable[[int], None]) -> list[Seat]:
    """How each checkpoint sits in the headline task's loss, seen towards B (B towards A)."""
    seats = []
    for index, (name, vector) in enumerate(zip("ABC", system.vectors, strict=False)):
        subject = system.subjects[index]
        loss = total_of(system.precise, system.spaces[index], data.batch)
        walk = None
        if isinstance(subject.objective, Steps) and subject.task == system.headline:
            # Where the optimiser goes that was at work: it may follow no total loss at all.
            here = system.space.one(vector)  # with what is held, as the loss has it
            early, late, updates = subject.objective.walk(here, system.headline, seed)
            walk = Walk(_walked(early, vector, system), _walked(late, vector, system), updates)
        towards = system.vectors[0 if index == 1 else 1]
        found = sharpness(loss, vector, towards=towards, walk=walk, seed=seed)
        seats.append(Seat(name, found, place(found)))
        step(SEAT_WORK)
    return seats


def _walked(positions: Mapping[str, Tensor], start: Tensor, system: System) -> Tensor:
    """Positions (m, P) from those of each parameter (m, *shape); what is not trained stays at the start.

    What is trained beside the moving parameters is left where it was: its part in the walk does not count.
    """
    still, count = system.space.one(start), len(next(iter(positions.values())))
    rows = [{**still, **{name: p[row] for name, p in positions.items()}} for row in range(count)]
    return torch.stack([system.space.pack(row) for row in rows])


def _store(save: Path, sheet: sheets.Sheet, system: System, samples: int, seed: int) -> plane.Store:
    """The folder of one plane's rows; what else their numbers depend on stands beside them."""
    about = {
        "system": system.pair.name,
        "tasks": list(system.names),
        "samples": samples,
        "seed": seed,
        "weights": dict(system.objective.terms),
        "constants": {name: repr(value) for name, value in system.objective.constants.items()},
        "moving": list(system.space.shapes),
        "held": {name: plane.digest(tensor) for name, tensor in system.space.fixed.items()},
        **({"own": [subject.identity for subject in system.subjects]} if system.has_state else {}),
    }
    return plane.Store(save / sheet.kind, sheet, about)


def _sheets(
    system: System,
    random_plane: bool,
    trail: Sequence[Source],
    refs: Sequence[FileRef],
    steps: int,
    seed: int,
    batch: Any,
) -> list[sheets.Sheet]:
    found = []
    if len(system.vectors) > 2:
        one, two, three = system.vectors[:3]
        found.append(sheets.through_three(one, two, three, refs[2], steps))
    if random_plane:
        found.append(sheets.at_random(system.space, system.vectors[0], seed, steps))
    if trail:
        vectors, files = trail_of(system, trail, batch)
        ends = dict(zip("AB", system.vectors, strict=False))
        found.append(sheets.along_trail(vectors, files, ends, steps))
    return found
