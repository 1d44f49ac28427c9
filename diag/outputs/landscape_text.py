"""A landscape for a terminal: the walls by way, the losses on the straight line, and where the ends sit."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import numpy as np

from diag.landscapes.result import Height, Landscape, Plane, Route, RouteName, Seat, TaskSlice
from diag.outputs.text import WIDTH, headline, number, short, span, sparkline, warning_lines
from probes import Measure

RUNGS = {"identity": "R², as it is", "signs": "R², best signs"}
"""The rungs shown along the way, in words."""

ABOVE = {"escape": "above A", "frankle": "above the ends' mean", "entezari": "above the line of the ends"}
"""What each height is measured from."""

WAYS = {
    "raw": "straight, between the weights",
    "aligned": "straight, hidden units matched",
    "nearest": "straight, to B's nearest equal copy",
    "curve": "an optimised curve (at most)",
    "embedding": "straight, between the embeddings",
}
"""The ways from A to B, for a table."""


def render(result: Landscape, verbose: bool = False) -> str:
    """The whole text of a landscape."""
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    names = ("A (t=0)", "B (t=1)")
    for name, ref in zip(names, (result.base, result.transfer), strict=True):
        lines.append(f"  {name}  {short(ref.path)}")
    lines += [f"  C        {short(plane.third.path)}" for plane in result.planes if plane.third is not None]
    lines += _filled(moves_in_words(result))
    lines += [line for words in result.notes for line in _filled(words)]
    lines += [line for part, why in result.missing.items() for line in _filled(missing_in_words(part, why))]
    if verbose:
        lines += [line for words in result.pinned for line in _filled(f"held: {words}")]
    lines += ["", *_ways(result, verbose)]
    for task in result.tasks.values():
        lines += ["", *_slice(task, verbose)]
    for seat in result.seats:
        lines += ["", *_seat(seat, verbose)]
    for plane in result.planes:
        lines += ["", *_filled(f"plane: {plane_in_words(plane)} The picture is in --html.")]
    return "\n".join(line.rstrip() for line in lines)


def moves_in_words(result: Landscape) -> str:
    """What moves, how far, and on how many samples losses are taken."""
    verb = "moves" if len(result.moved) == 1 else "move"
    return (
        f"{', '.join(result.moved)} {verb} by {result.distance:.3g} (L2); {result.samples} samples a "
        "task, the same at every point"
    )


def missing_in_words(part: str, why: str) -> str:
    """Which part of the result is left out, and why."""
    return f"Not computed: {part}, since {why}."


def plane_in_words(plane: Plane) -> str:
    """Which plane, and what its axes are."""
    shape = f"{len(plane.alpha)} × {len(plane.beta)} points"
    match plane.kind:
        case "three":
            return (
                f"{shape} through A, B and C; seen from A, B and C are {plane.angle:.0f}° apart, at "
                f"{plane.lengths[0]:.3g} and {plane.lengths[1]:.3g}."
            )
        case "random":
            return (
                f"{shape} of two random directions through A, each filter as long as A's own; at 1 they "
                f"lie {plane.lengths[0]:.3g} and {plane.lengths[1]:.3g} from A."
            )
        case "trail":
            shares = plane.explained or (np.nan, np.nan)
            farthest = max(plane.marks, key=lambda mark: mark.off)
            return (
                f"{shape} of the training path's first two principal components ({shares[0]:.0%} and "
                f"{shares[1]:.0%} of its variance); {farthest.name} lies farthest off it, by "
                f"{farthest.off:.3g}."
            )


def _filled(words: str) -> list[str]:
    return textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _ways(result: Landscape, verbose: bool) -> Iterator[str]:
    yield f"  escape height on the {result.task} task, by the way from A to B"
    for name, route in result.routes.items():
        height = route.barrier["escape"]
        if is_straight(result, name):
            yield f"  {WAYS[name]:36} the same: it is B itself"
            continue
        yield f"  {WAYS[name]:36} {_height(height)}"
        if verbose:
            yield from _per_loss(height)


def is_straight(result: Landscape, name: RouteName) -> bool:
    """Whether a way to a copy of B is the straight line itself, because B is that copy."""
    raw, route = result.routes["raw"], result.routes[name]
    return name in ("aligned", "nearest") and route.barrier == raw.barrier


def _height(height: Height) -> str:
    if height.value is None or height.at is None:
        return "– a loss on the path is not finite"
    interval = span(Measure(height.value, height.low, height.high), 4)
    return f"{number(height.value, 4):>7} {interval} at t = {height.at:.2f}"


def _per_loss(height: Height) -> Iterator[str]:
    for term, measure in height.per_loss.items():
        if measure.value is not None:
            at = height.per_loss_at[term]
            where = "" if at is None else f" at t = {at:.2f}"
            yield f"    {term:34} {number(measure.value, 4):>7} {span(measure, 4)}{where}"


def _slice(task: TaskSlice, verbose: bool) -> Iterator[str]:
    raw = task.raw
    inside = (raw.t >= 0) & (raw.t <= 1)
    yield f"  {task.task} task             A   t: 0 {'·' * 33} 1   B"
    rows = {name: values[inside] for name, values in raw.losses.items()}
    if task.moves is not None:
        rows |= {
            "variance": task.moves.variance[inside],
            "effective rank": task.moves.effective_rank[inside],
        }
        for rung, words in RUNGS.items():
            if rung in task.moves.r2:
                rows[words] = task.moves.r2[rung][inside]
    for name, values in rows.items():
        yield f"  {name:20} {_cell(values[0]):>7} {sparkline(values)} {_cell(values[-1]):>7}"
    if task.moves is not None and task.moves.reference is not None:
        yield from _filled(f"R² is of the embedding to {task.moves.reference}.")
    yield ""
    for name, height in raw.barrier.items():
        above = "" if height.value is None else f", {ABOVE[name]}"
        yield f"  {name:9} {_height(height)}{above}"
        if verbose:
            yield from _per_loss(height)
    if verbose:
        yield from _elsewhere(task)
        yield from _conflict(task)


def _cell(value: float) -> str:
    """At most seven characters."""
    words = number(value, 3)
    return words if len(words) <= 7 else f"{value:.1e}"


def _elsewhere(task: TaskSlice) -> Iterator[str]:
    others: dict[str, Route] = {WAYS[n]: r for n, r in task.routes.items() if n != "raw"}
    if others:
        yield ""
    for name, route in others.items():
        yield f"  {name:36} {_height(route.barrier['escape'])}"


def _conflict(task: TaskSlice) -> Iterator[str]:
    if task.conflict is None:
        return
    yield ""
    yield "  cosine of two terms' gradients    A   t: 0 … 1"
    for (one, two), values in task.conflict.cosine.items():
        ends = f"{number(values[0]):>6} {sparkline(values, 20)} {number(values[-1]):>6}"
        yield f"  {f'{one}, {two}':40} {ends}"


def _seat(seat: Seat, verbose: bool) -> Iterator[str]:
    yield from textwrap.wrap(
        f"{seat.name}  {seat.place.summary}", WIDTH, initial_indent="  ", subsequent_indent="     "
    )
    if not verbose:
        return
    for name, words in seat_in_words(seat).items():
        yield from textwrap.wrap(
            f"{name:26} {words}", WIDTH, initial_indent="     ", subsequent_indent=" " * 32
        )


def seat_in_words(seat: Seat) -> dict[str, str]:
    """The numbers behind a place, each with its name."""
    found = seat.sharpness
    words = {"gradient norm": number(found.gradient, 3)}
    if found.towards is not None and found.towards.slope is not None:
        words[f"slope towards {'A' if seat.name == 'B' else 'B'}"] = number(found.towards.slope, 3)
    if found.ends is not None:
        for name, end in (("λ max", found.ends.high), ("λ min", found.ends.low)):
            words[name] = number(end.value, 2) + ("" if end.converged else ", not converged")
        words["largest residual"] = f"{max(found.ends.high.residual, found.ends.low.residual):.0e}"
    if found.trace is not None:
        words["trace"] = f"{number(found.trace.value, 1)} ± {number(found.trace.error, 1)}"
    if found.ball is not None:
        words["climb within 1% (at least)"] = number(found.ball.rise, 2)
    if found.adaptive is not None:
        words["the same, scale-free"] = number(found.adaptive.rise, 2)
    if found.drift is not None and (value := found.drift.change.value) is not None:
        change = found.drift.change
        factor, unit = (100, "%") if found.drift.relative else (1, "")
        low, high = (number(factor * (v or 0.0), 1) for v in (change.low, change.high))
        words["optimiser, 1,000 updates"] = f"{number(factor * value, 1)} [{low}, {high}]{unit}"
    return words
