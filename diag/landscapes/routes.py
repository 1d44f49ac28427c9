"""The ways from A to B through parameter space, and the losses along each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from diag.landscapes import curve
from diag.landscapes.evaluate import (
    Data,
    between_embeddings,
    left_out,
    on_route,
    route,
    take,
    total_of,
    totals_of,
)
from diag.landscapes.result import Route, RouteName
from diag.landscapes.space import Bezier, Space, Straight
from diag.landscapes.state import follows_in, in_short
from diag.landscapes.system import System, distance
from diag.landscapes.verdict import NOTHING
from diag.sources.batches import numbers_in
from diag.subject import LatentObjective, Layered
from diag.units.matching import match_activations, match_weights
from diag.units.symmetry import SymmetryError, apply
from probes import Floats

if TYPE_CHECKING:
    from torch import Tensor

    from diag.subject import Parameters
    from diag.units.symmetry import Units

SAME_FUNCTION = 1e-3
"""Relative difference between the losses of B and of its symmetric copy above which the units do not describe
a symmetry of the network."""

LARGE = 100_000
"""Numbers in a batch, such as pixels, above which each step of a curve's training takes a smaller one."""

PARTS, FEWEST = 8, 124
"""Number of the smaller batches, and the fewest samples in one."""

Path: TypeAlias = Straight | Bezier
"""A way through parameter space: vectors (k, P) at t (k,)."""


def paths_between(
    system: System,
    data: Data,
    curve_steps: int,
    samples: int,
    seed: int,
    step: Callable[[int], None],
    missing: dict[str, str],
) -> tuple[dict[RouteName, Path], list[str]]:
    """The ways from A to B through parameter space, and warnings.

    The straight line, the lines to B's symmetric copies where hidden units are known, and the curve where
    ``curve_steps`` are taken for it. ``missing`` gets a part that cannot be computed, with the reason.
    """
    one, two = system.vectors[:2]
    paths: dict[RouteName, Path] = {"raw": system.straight}
    copies, warnings = _lines_to_copies(system, data.batch)
    paths |= copies
    if curve_steps > 0 and system.uneven_matters(data.batch):
        missing["an optimised curve"] = f"{in_short(system.uneven)} cannot move along it"
        step(curve_steps)
    elif curve_steps > 0:
        # The curve is trained on other samples than it is judged on.
        fresh = system.data(system.headline, samples, seed + 1)
        if system.is_all_there_is(samples, seed):
            warnings.append("the curve was made on the samples that it is judged on: there are no others")
        with left_out(missing, "an optimised curve"):
            whole, *parts = (
                totals_of(system.precise, system.space, batch)
                for batch in (fresh.batch, *_parts(system, fresh, samples, seed))
            )
            paths["curve"] = curve.bent(
                whole, one, two, steps=curve_steps, seed=seed, parts=parts, progress=step
            )
    return paths, warnings


def _parts(system: System, fresh: Data, samples: int, seed: int) -> list[Any]:
    """Smaller batches for the curve's steps where whole ones are large; empty where they are not."""
    size = max(FEWEST, samples // PARTS)
    if numbers_in(fresh.batch) <= LARGE or size >= fresh.n:
        return []
    return [system.data(system.headline, size, seed + 2 + number).batch for number in range(PARTS)]


def _lines_to_copies(system: System, batch: Any) -> tuple[dict[RouteName, Path], list[str]]:
    """The straight lines from A to B's symmetric copies, and warnings about copies that differ from B."""
    objective, space = system.objective, system.space
    if not isinstance(objective, Layered):
        return {}, []
    one, two = system.vectors[:2]
    paths: dict[RouteName, Path] = {}
    warnings: list[str] = []
    try:
        copies = _symmetric_copies(objective, system, batch)
    except SymmetryError as error:
        copies = {}
        warnings.append(f"hidden units were not matched: {error}")
    loss = total_of(objective, system.spaces[1], batch)
    with torch.no_grad():
        own, middle = float(loss(two)), float(loss((one + two) / 2))
    for name, copy in copies.items():
        vector = space.pack(copy)
        with torch.no_grad():
            others = float(loss(vector))
        # A loss near 0 is only as exact as the rounding of the larger losses around it.
        if not abs(own - others) <= SAME_FUNCTION * abs(own) + NOTHING * abs(middle):
            warnings.append(
                f"the {name} copy of B has a loss of {others:.4g}, B itself {own:.4g}: the description "
                "of its hidden units is wrong"
            )
            continue
        paths[name] = Straight(one, vector)
    return paths, warnings


def _symmetric_copies(objective: Any, system: System, batch: Any) -> dict[RouteName, dict[str, Tensor]]:
    """B with its hidden units matched to A's; raises SymmetryError where weights are not finite."""
    a, b = system.own[:2]
    held = {**b, **system.spaces[1].fixed}
    units = units_in(objective, system.space)
    if not units:
        return {}
    check_finite(system.space, a, b)
    with torch.inference_mode():
        seen = [objective.activations(parameters, batch) for parameters in (a, held)]
    return copies(units, system.space, (a, held), (seen[0], seen[1]))


def units_in(objective: Layered, space: Space) -> tuple[Units, ...]:
    """The layers of hidden units all of whose spots move.

    Where a norm's averages are computed afresh, what moves in their place is their offsets, unit by unit.
    """
    instead = {
        name: offset
        for follows in follows_in(objective)  # type: ignore[arg-type]
        if len(follows.names) == len(follows.offsets)
        for name, offset in zip(follows.names, follows.offsets, strict=True)
        if name not in space.shapes
    }
    moving = (
        replace(u, spots=tuple(replace(s, parameter=instead.get(s.parameter, s.parameter)) for s in u.spots))
        for u in objective.units
    )
    return tuple(u for u in moving if all(spot.parameter in space.shapes for spot in u.spots))


def check_finite(space: Space, *networks: Parameters) -> None:
    """Raise SymmetryError where moving weights are not finite."""
    for name in space.shapes:
        if not all(bool(one[name].isfinite().all()) for one in networks):
            raise SymmetryError(name, "weights that are not finite", "finite ones")


def copies(
    units: Sequence[Units],
    space: Space,
    networks: tuple[Parameters, Parameters],
    seen: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
) -> dict[RouteName, dict[str, Tensor]]:
    """The second network with its hidden units matched to the first's: by what they do, and by their weights.

    ``seen`` holds what the units of each do on the same samples; layers without it have weights alone to be
    matched by, and then there is no copy that acts alike.
    """
    a, b = networks
    acting = tuple(u for u in units if u.name in seen[0])
    by_activation = match_activations(acting, seen[0], seen[1], a, b) if acting else {}
    by_weight = match_weights(units, a, b, start=by_activation)
    made: dict[RouteName, dict[str, Tensor]] = {"nearest": apply(units, b, by_weight)}
    if acting == tuple(units):  # else some could be matched by their weights alone
        made = {"aligned": apply(units, b, by_activation), **made}
    return made


def losses_along(
    system: System,
    task: str,
    data: Data,
    paths: Mapping[RouteName, Path],
    t: Floats,
    points: int,
    per_sample: bool,
    step: Callable[[int], None],
) -> dict[RouteName, Route]:
    """Losses along every way on one task's data; along the curve only on the headline task's.

    The straight line is taken at t, the others at ``points`` from 0 to 1.
    """
    objective, space, weights = system.objective, system.space, system.objective.terms
    inside = np.linspace(0.0, 1.0, points)
    routes: dict[RouteName, Route] = {}
    for name, path in paths.items():
        if name == "curve" and task != system.headline:
            continue
        at = t if name == "raw" else inside
        corners = system.line_to_a_copy if name in ("aligned", "nearest") else system.line
        evaluate = on_route(objective, space, path, data.batch, corners)
        taken = take(evaluate, at, data, keep=per_sample and name == "raw", progress=step)
        routes[name] = route(at, taken, weights, data, _length(path))
    if isinstance(objective, LatentObjective):
        evaluate, length = between_embeddings(objective, space, paths["raw"], data.batch)
        routes["embedding"] = route(
            inside, take(evaluate, inside, data, progress=step), weights, data, length
        )
    return routes


def _length(path: Path) -> float:
    if isinstance(path, Straight):
        return distance(path.a, path.b)
    vectors = path(torch.linspace(0, 1, 101))
    return float((vectors[1:].double() - vectors[:-1].double()).norm(dim=1).sum())
