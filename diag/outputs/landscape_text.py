"""A landscape for a terminal: the walls by way, the losses on the straight line, and where the ends sit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diag.landscapes.result import Height, Landscape, Plane, Returns, Route, RouteName, Seat, TaskSlice
from diag.outputs.drift_text import drift_lines
from diag.outputs.layout import width, wrapped
from diag.outputs.lines import WIDTH, headline, labelled, short, sparkline, warning_lines
from diag.outputs.words import number, span
from diag.wording import listed, plural
from probes import Measure

RUNGS = {"identity": "R², as it is", "signs": "R², best signs"}
"""The rungs of the ladder shown along the straight line, in words."""

ABOVE = {"escape": "above A", "frankle": "above the ends' mean", "entezari": "above the line of the ends"}
"""The level that each height is measured from, in words."""

WAYS = {
    "raw": "straight, between the weights",
    "aligned": "straight, hidden units matched",
    "nearest": "straight, to B's nearest equal copy",
    "curve": "an optimised curve (at most)",
    "embedding": "straight, between the embeddings",
}
"""The ways from A to B, for a table."""

WAY, TERM, LEAST_LINE = 36, 20, 8
"""Cells for the name of a way and for that of a loss term, and the fewest cells for a line of bars."""


def render(result: Landscape, verbose: bool = False) -> str:
    """The whole text of a landscape."""
    lines = [headline(result.verdict), *warning_lines(result.warnings), ""]
    names = ("A (t=0)", "B (t=1)")
    for name, ref in zip(names, (result.base, result.transfer), strict=True):
        lines.append(f"  {name}  {short(ref.path)}")
    lines += [f"  C        {short(plane.third.path)}" for plane in result.planes if plane.third is not None]
    lines += wrapped(moves_in_words(result), "  ", "  ")
    lines += [line for words in result.notes for line in wrapped(words, "  ", "  ")]
    lines += [
        line
        for part, why in result.missing.items()
        for line in wrapped(missing_in_words(part, why), "  ", "  ")
    ]
    if verbose:
        lines += [line for words in result.pinned for line in wrapped(f"held: {words}", "  ", "  ")]
    lines += ["", *_ways(result, verbose)]
    for task in result.tasks.values():
        lines += ["", *_slice(task, verbose)]
    if told := returns_in_words(result):
        lines += ["", *(line for words in told for line in wrapped(words, "  ", "  "))]
    if result.episode is not None:
        lines += ["", *(line for words in episode_in_words(result) for line in wrapped(words, "  ", "    "))]
    if result.drift:
        lines += ["", *drift_lines(result.drift, verbose)]
    for seat in result.seats:
        lines += ["", *_seat(seat, verbose)]
    for plane in result.planes:
        words = f"plane: {plane_in_words(plane)} The page that --html writes draws it."
        lines += ["", *wrapped(words, "  ", "  ")]
    return "\n".join(line.rstrip() for line in lines)


def moves_in_words(result: Landscape) -> str:
    """The components that move, their distance, and the samples that losses are taken on."""
    verb = "moves" if len(result.moved) == 1 else "move"
    return (
        f"{listed(result.moved)} {verb} by {result.distance:.3g} (L2); "
        f"{plural(result.samples, 'sample')} a task, the same at every point"
    )


def returns_in_words(result: Landscape) -> list[str]:
    """What is earned at A, at B and best between them on each task; nothing where nobody acts."""
    words, of = [], 0
    for name, task in result.tasks.items():
        returns = None if task.moves is None else task.moves.returns
        if returns is None or not np.isfinite(returns.value).all():
            continue
        of = returns.episodes
        best = int(returns.value.argmax())
        ends = [f"{end} earns {_earned(returns, at)}" for end, at in (("A", 0), ("B", -1))]
        more = f", and the most is {_earned(returns, best)} at t = {returns.t[best]:.1f}"
        inside = 0 < best < len(returns.t) - 1
        words.append(f"On the {name} task, {ends[0]} and {ends[1]}{more if inside else ''}.")
        if returns.gain is not None:
            low, high = float(returns.gain.low[-1]), float(returns.gain.high[-1])
            between = f"{number(float(returns.gain.value[-1]))} [{number(low)}, {number(high)}]"
            words[-1] += f" Episode by episode, B earns {between} more than A."
    if words:
        points = next(
            len(task.moves.returns.t)
            for task in result.tasks.values()
            if task.moves is not None and task.moves.returns is not None
        )
        words.append(
            f"Returns are means of {of} episodes at each of {points} points, with 95% bootstrap intervals "
            "over episodes."
        )
    return words


def episode_in_words(result: Landscape) -> list[str]:
    """What happens in the episode that the base, A and B all play."""
    episode = result.episode
    if episode is None:
        return []
    head = f"Episode {episode.number} of {episode.of}, played by each on its own task; the page draws it."
    return [
        head,
        *(f"{p.name[:1].upper()}{p.name[1:]}, {p.task}: {p.film.summary}" for p in episode.players),
    ]


def _earned(returns: Returns, at: int) -> str:
    low, high = float(returns.low[at]), float(returns.high[at])
    return f"{number(float(returns.value[at]))} [{number(low)}, {number(high)}]"


def missing_in_words(part: str, why: str) -> str:
    """A sentence on a part of the result that is left out, and the reason."""
    return f"Not computed: {part}, since {why}."


def plane_in_words(plane: Plane) -> str:
    """A plane's size, points and axes, in sentences."""
    shape = f"{len(plane.alpha)} × {len(plane.beta)} points"
    match plane.kind:
        case "three":
            return (
                f"{shape} through A, B and C. B lies {plane.lengths[0]:.3g} from A and C "
                f"{plane.lengths[1]:.3g}; the angle between the two at A is {plane.angle:.0f}°."
            )
        case "random":
            lengths = dict.fromkeys(f"{length:.3g}" for length in plane.lengths)
            return (
                f"{shape} in two random directions from A, in which each filter is as long as A's own. "
                f"Where a coordinate is 1, the distance from A is {' and '.join(lengths)}."
            )
        case "trail":
            shares = plane.explained or (np.nan, np.nan)
            farthest = max(plane.marks, key=lambda mark: mark.off)
            return (
                f"{shape} along the first two principal components of the training path "
                f"({shares[0]:.0%} and {shares[1]:.0%} of its variance). The checkpoint farthest off the "
                f"plane is {farthest.name}, by {farthest.off:.3g}."
            )


def _ways(result: Landscape, verbose: bool) -> Iterator[str]:
    yield from wrapped(f"escape height on the {result.task} task, by the way from A to B")
    for name, route in result.routes.items():
        height = route.barrier["escape"]
        if is_straight(result, name):
            yield from labelled(WAYS[name], "the same: it is B itself", room=WAY)
            continue
        yield from labelled(WAYS[name], _height(height), room=WAY)
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
            words = f"{number(measure.value, 4):>7} {span(measure, 4)}{where}"
            yield from labelled(f"  {term}", words, room=WAY)


def _slice(task: TaskSlice, verbose: bool) -> Iterator[str]:
    raw = task.raw
    inside = (raw.t >= 0) & (raw.t <= 1)
    room = max(0, width() - WIDTH // 2)
    scale = f"   t: 0 {'·' * (room - 7)} 1   B" if room >= LEAST_LINE else "       B"
    yield f"  {f'{task.task} task':{TERM + 4}}A{scale}"
    rows = {name: values[inside] for name, values in raw.losses.items()}
    if task.moves is not None:
        rows |= {
            "variance": task.moves.variance[inside],
            "effective rank": task.moves.effective_rank[inside],
        }
        for rung, words in RUNGS.items():
            if rung in task.moves.r2:
                rows[words] = task.moves.r2[rung][inside]
    if task.moves is not None and task.moves.returns is not None:
        rows["mean return"] = task.moves.returns.value
    for name, values in rows.items():
        line = f"{sparkline(values, room)} " if room >= LEAST_LINE else ""
        yield f"  {name:{TERM}} {_cell(values[0]):>7} {line}{_cell(values[-1]):>7}"
    if task.moves is not None and task.moves.reference is not None:
        yield from wrapped(f"R² compares the embedding at each t with {task.moves.reference}.", "  ", "  ")
    yield ""
    for name, height in raw.barrier.items():
        above = "" if height.value is None else f", {ABOVE[name]}"
        yield from labelled(name, f"{_height(height)}{above}", room=9)
        if verbose:
            yield from _per_loss(height)
    if verbose:
        yield from _elsewhere(task)
        yield from _conflict(task)


def _cell(value: float) -> str:
    """A number in at most seven characters."""
    words = number(value, 3)
    return words if len(words) <= 7 else f"{value:.1e}"


def _elsewhere(task: TaskSlice) -> Iterator[str]:
    others: dict[str, Route] = {WAYS[n]: r for n, r in task.routes.items() if n != "raw"}
    if others:
        yield ""
    for name, route in others.items():
        yield from labelled(name, _height(route.barrier["escape"]), room=WAY)


def _conflict(task: TaskSlice) -> Iterator[str]:
    if task.conflict is None:
        return
    yield ""
    yield from wrapped("cosine of two terms' gradients, from A to B")
    for (one, two), values in task.conflict.cosine.items():
        ends = f"{number(values[0]):>6} {sparkline(values, 20)} {number(values[-1]):>6}"
        yield from labelled(f"{one}, {two}", ends, room=40)


def _seat(seat: Seat, verbose: bool) -> Iterator[str]:
    yield from wrapped(seat.place.summary, f"  {seat.name}  ", " " * 5)
    if not verbose:
        return
    for name, words in seat_in_words(seat).items():
        yield from labelled(f"   {name}", words, room=29)


def seat_in_words(seat: Seat) -> dict[str, str]:
    """The numbers that a checkpoint's place rests on, each with its name."""
    sharpness = seat.sharpness
    words = {"gradient norm": number(sharpness.gradient, 3)}
    if sharpness.towards is not None and sharpness.towards.slope is not None:
        words[f"slope towards {'A' if seat.name == 'B' else 'B'}"] = number(sharpness.towards.slope, 3)
    if sharpness.ends is not None:
        for name, end in (("λ max", sharpness.ends.high), ("λ min", sharpness.ends.low)):
            words[name] = number(end.value, 2) + ("" if end.converged else ", not converged")
        words["largest residual"] = f"{max(sharpness.ends.high.residual, sharpness.ends.low.residual):.0e}"
    if sharpness.trace is not None:
        words["trace"] = f"{number(sharpness.trace.value, 1)} ± {number(sharpness.trace.error, 1)}"
    if sharpness.ball is not None:
        words["climb within 1% (at least)"] = number(sharpness.ball.rise, 2)
    if sharpness.adaptive is not None:
        words["the same, scale-free"] = number(sharpness.adaptive.rise, 2)
    if sharpness.drift is not None and (value := sharpness.drift.change.value) is not None:
        change = sharpness.drift.change
        factor, unit = (100, "%") if sharpness.drift.relative else (1, "")
        low, high = (number(factor * (v or 0.0), 1) for v in (change.low, change.high))
        words["optimiser, 1,000 updates"] = f"{number(factor * value, 1)} [{low}, {high}]{unit}"
    return words
