"""landscape: the losses between two checkpoints, the wall on the way, and how each checkpoint sits.

The headline is the escape height: how far a run that is stuck at A would have to climb on its way to B.
It is taken on the straight line between the weights, and again on ways that take out what is not a wall:
see :data:`diag.landscapes.result.ROUTES`.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diag.landscapes import LandscapeError, curve, moves, plane, sheets
from diag.landscapes.episodes import played_episode
from diag.landscapes.evaluate import Data, differentiable, left_out
from diag.landscapes.result import Landscape, Moves, Plane, Seat, TaskSlice
from diag.landscapes.routes import losses_along, paths_between
from diag.landscapes.seats import SEAT_WORK, seats_of
from diag.landscapes.state import check_own, jumps, notes_of, uneven_in_words
from diag.landscapes.system import System, distance, gaps, natural, reference_of, spaced, system_of, trail_of
from diag.landscapes.verdict import verdict_of
from diag.result import FileRef
from diag.sources import Source
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import SAMPLES, LatentObjective, Layered
from diag.units.drift import Drift, drift
from probes import Floats
from trainers.threads import one_thread

POINTS = 51

BEYOND = 0.2
"""Distance in t by which the straight line is drawn beyond both ends."""

MIN_SAMPLES = 124
"""Fewest samples that are accepted: with fewer, a bootstrap over states would rest on a handful of them."""


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
    supplied: Supplied = NOTHING,
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
    (``curve_steps`` of Adam), the curvature at the ends, the terms' conflict, returns and the episode that
    A, B and their base play. ``per_sample`` keeps every sample's loss. ``base`` is the checkpoint whose
    embedding R² is taken to (default: see :func:`diag.landscapes.system.reference_of`). ``device`` is where
    losses are taken (default: where the parameters are). ``supplied`` is what files of weights alone do not
    say: an adapter that makes a module with losses of them
    (:func:`diag.sources.torch_losses.from_module`), … ``progress`` is told points done and points in all.
    Raises SubjectError or CheckpointError for bad input, LandscapeError for bad numbers.
    """
    check_numbers(points, samples, steps, beyond)
    along = _trail(trail)
    system = system_of((a, b, *(() if third is None else (third,))), move, task, device, supplied)
    t = spaced(points, beyond)
    data = {name: system.data(name, samples, seed) for name in system.names}
    system = system.steady(data[system.headline], seed)
    told = told_of(system, data[system.headline].batch)
    refs = [FileRef.of(s) for s in system.subjects]
    # Everything that can be refused is refused before any work is done.
    planned = _sheets(system, random_plane, along, refs, steps, seed, data[system.headline].batch)
    if save is not None and not planned:
        raise LandscapeError("found a folder to save rows in, expected a plane to take them of")
    stores = [None if save is None else _store(Path(save), sheet, system, samples, seed) for sheet in planned]
    reference = None if system.encoder is None else reference_of(system, base)
    if base is not None and reference is None:
        raise LandscapeError("found a base, expected checkpoints with an encoder to hold against it")
    bends = 0 if quick else curve_steps
    done, of = 0, _work(system, len(t), points, bends, quick) + len(planned) * steps**2

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress(min(done, of), of)

    missing: dict[str, str] = {}
    headline = data[system.headline]
    with differentiable(system.device):
        paths, warnings = paths_between(system, headline, bends, samples, seed, step, missing)
    routes = {
        name: losses_along(system, name, one, paths, t, points, per_sample, step)
        for name, one in data.items()
    }
    tasks = {}
    for name, one in data.items():
        conflict = None
        if not quick and name == system.headline:
            with differentiable(system.device), left_out(missing, "the conflict of the terms' gradients"):
                conflict = moves.conflict_along(
                    system.precise, system.space, system.straight, one.batch, system.line
                )
        moved = _moves(system, name, t, reference, quick, seed, step)
        tasks[name] = TaskSlice(name, routes[name], moved, conflict)
    seats: tuple[Seat, ...] = ()
    if not quick:
        with differentiable(system.device), left_out(missing, "where the checkpoints sit"):
            seats = tuple(seats_of(system, headline, seed, step))
    missing |= {f"the curvature at {s.name}": s.sharpness.reason for s in seats if s.sharpness.reason}
    planes = _planes(system, data, planned, stores, jobs, step)
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
        samples=headline.n,
        seed=seed,
        planes=planes,
        warnings=(*system.warnings, *told, *warnings),
        notes=(*system.read_as, *notes_of(system.fresh, system.objective)),
        missing=missing,
        episode=None if quick else played_episode(system, base, seed),
        drift=_drift(system),
    )


def _drift(system: System) -> tuple[Drift, ...]:
    """How far B's weights lie from A's; beside the plan where one of the two was made from the other."""
    (a, b), (one, two) = system.subjects[:2], system.sets[:2]
    made = next((s for s, of in ((b, a), (a, b)) if s.made_from == of.identity), None)
    return drift(one, two, None if made is None else made.plan)


def check_numbers(points: int, samples: int, steps: int, beyond: float) -> None:
    """Raise LandscapeError for numbers that no landscape can be taken with."""
    if points < 3:
        raise LandscapeError(f"points is {points}, expected at least 3")
    if samples < MIN_SAMPLES:
        raise LandscapeError(f"samples is {samples}, expected at least {MIN_SAMPLES}")
    if steps < 3:
        raise LandscapeError(f"steps is {steps}, expected at least 3")
    if not 0 <= beyond <= 10:
        raise LandscapeError(f"beyond is {beyond}, expected 0 to 10")


def _planes(
    system: System,
    data: Mapping[str, Data],
    planned: Sequence[sheets.Sheet],
    stores: Sequence[plane.Store | None],
    jobs: int | None,
    step: Callable[[int], None],
) -> tuple[Plane, ...]:
    """The losses on each planned plane, over ``jobs`` processes where losses are taken on the CPU."""
    processes = jobs or os.cpu_count() or 1 if system.device == "cpu" else 1
    return tuple(
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


def told_of(system: System, batch: Any) -> list[str]:
    """Warnings about the state that checkpoints hold beside their weights.

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


def _trail(trail: str | Sequence[Source]) -> list[Source]:
    """The checkpoints of a trail, in the order of their numbers where it is a pattern."""
    if not isinstance(trail, str):
        return list(trail)
    files = sorted(glob.glob(trail), key=natural)  # noqa: PTH207 (a pattern may be absolute)
    if len(files) < 3:
        raise LandscapeError(f"trail {trail!r} matches {len(files)} files, expected at least 3")
    return list(files)


def _work(system: System, length: int, points: int, curve_steps: int, quick: bool) -> int:
    """Work without the planes, as a number of points; other work counts as the points that take as long."""
    routes = length + 2 * points * isinstance(system.objective, Layered)
    routes += points * isinstance(system.objective, LatentObjective)
    one_task = routes + (0 if system.encoder is None else length)
    slow = 0 if quick else points + SEAT_WORK * len(system.subjects)
    return one_task * len(system.names) + curve_steps + slow


def _moves(
    system: System,
    task: str,
    t: Floats,
    reference: tuple[str, Floats] | None,
    quick: bool,
    seed: int,
    step: Callable[[int], None],
) -> Moves | None:
    """The embedding along the straight line, with returns if the system can act; None without an encoder."""
    if system.encoder is None:
        return None
    observations, groups = system.paired
    moved = moves.embedding_along(
        system.encoder, system.space, system.straight, observations[task], t, reference, groups, step
    )
    actor = system.subjects[0].actor
    if quick or actor is None:
        return moved
    returns = moves.returns_along(actor, system.space, system.straight, task, seed)
    return replace(moved, returns=returns)


def _store(save: Path, sheet: sheets.Sheet, system: System, samples: int, seed: int) -> plane.Store:
    """The folder of one plane's rows, with a note of all else that their numbers depend on."""
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
    """The planes that were asked for: through three checkpoints, at random, along a trail."""
    planned = []
    if len(system.vectors) > 2:
        one, two, three = system.vectors[:3]
        planned.append(sheets.through_three(one, two, three, refs[2], steps))
    if random_plane:
        planned.append(sheets.at_random(system.space, system.vectors[0], seed, steps))
    if trail:
        vectors, files = trail_of(system, trail, batch)
        ends = dict(zip("AB", system.vectors, strict=False))
        planned.append(sheets.along_trail(vectors, files, ends, steps))
    return planned
