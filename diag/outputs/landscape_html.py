"""A landscape as a page: the walls by way, losses and embedding on the straight line, seats and planes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.landscapes.result import ROUTES, Gain, Height, Landscape, Plane, Returns, TaskSlice
from diag.landscapes.verdict import rises_most
from diag.outputs.landscape_text import (
    WAYS,
    is_straight,
    missing_in_words,
    moves_in_words,
    plane_in_words,
    returns_in_words,
    seat_in_words,
)
from diag.outputs.sections import footer, warning_words
from diag.outputs.words import named, number, span
from diag.wording import plural
from probes import Measure
from reports import Drawing, Figure, Page, Section, landscapes
from reports.pixels import Row, drawing

MOST_DRAWN = 101
"""Rows and columns of a plane that a page draws: more are finer than its pixels, and megabytes."""


def page(result: Landscape) -> Page:
    """A landscape as a page."""
    facts = [
        ("A (t = 0)", named(result.base)),
        ("B (t = 1)", named(result.transfer)),
        ("between them", moves_in_words(result)),
        *(("held", words) for words in result.pinned),
        *(("computed", words) for words in result.notes),
        *(("left out", missing_in_words(part, why)) for part, why in result.missing.items()),
        ("seed", str(result.seed)),
    ]
    parts = sections(result)
    if result.warnings:
        parts.append(Section("Warnings", warning_words(result.warnings)))
    return Page("landscape", result.verdict.status, result.verdict.summary, facts, parts, footer())


def sections(result: Landscape) -> list[Section]:
    """The sections that show a landscape, on its own page and on others."""
    parts = [_ways(result), _slices(result)]
    parts += [_seats(result)] if result.seats else []
    parts += _moves(result) + _returns(result) + _episode(result) + _conflict(result)
    return parts + [_plane(plane) for plane in result.planes]


def _ways(result: Landscape) -> Section:
    words = [
        "The table gives the height of the wall for each way from A to B. The escape height is how far the "
        "loss climbs above its value at A on that way.",
        *(f"{_capital(WAYS[name])}: {ROUTES[name]}." for name in result.routes if name != "raw"),
        "A wall on one way does not prove that training is stuck, because training need not follow that way "
        "(arXiv 2106.16004). If no low curve was found, that does not prove that there is none.",
    ]
    curves = pd.DataFrame(
        [
            {"way": WAYS[name], "t": t, "loss": v, "low": low, "high": high}
            for name, route in result.routes.items()
            for t, v, low, high in zip(
                route.t, route.losses["total"], route.low["total"], route.high["total"], strict=True
            )
            if 0 <= t <= 1 and not is_straight(result, name)
        ]
    )
    table = pd.DataFrame(
        [
            {
                "way": WAYS[name],
                "escape height": "B itself" if is_straight(result, name) else number(height.value, 4),
                "95% interval": _interval(height),
                "highest at t": number(height.at),
                "length": number(route.length),
            }
            for name, route in result.routes.items()
            for height in [route.barrier["escape"]]
        ]
    )
    figure = Figure(
        landscapes.ways(_finite(curves)), "Total loss against t, a line for each way from A to B."
    )
    return Section(f"Ways from A to B, on the {result.task} task", words, figure, table)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _slices(result: Landscape) -> Section:
    total = " + ".join(name if w == 1 else f"{w:g}·{name}" for name, w in result.weights.items())
    rows = [
        {"task": name, "term": term, "t": t, "loss": v, "low": low, "high": high}
        for name, task in result.tasks.items()
        for term in task.raw.losses
        for t, v, low, high in zip(
            task.raw.t, task.raw.losses[term], task.raw.low[term], task.raw.high[term], strict=True
        )
    ]
    table = pd.DataFrame(
        [
            {
                "task": name,
                "height": kind,
                "value": number(height.value, 4),
                "95% interval": _interval(height),
                "highest at t": number(height.at),
                "rises most": _most(task, height, result.weights),
            }
            for name, task in result.tasks.items()
            for kind, height in task.raw.barrier.items()
        ]
    )
    words = [
        f"The total loss is {total}. The bands are 95% bootstrap intervals over states.",
        "Each height is that of the highest point between A and B. The escape height is taken above A, "
        "Frankle's above the mean of A and B, and Entezari's above the straight line between their losses. "
        "The highest of several noisy values is too high on average; the intervals are corrected for this, "
        "the values are not.",
    ]
    figure = Figure(
        landscapes.slices(_finite(pd.DataFrame(rows))),
        "Loss against t for the total and each term, on each task.",
    )
    return Section("Losses along the straight line", words, figure, table)


def _most(task: TaskSlice, height: Height, weights: Mapping[str, float]) -> str:
    return "" if height.at is None or not height.value else rises_most(task.raw, weights, height.at)


def _seats(result: Landscape) -> Section:
    words = [f"{seat.name}: {seat.place.summary}" for seat in result.seats]
    words.append(
        "λ max and λ min are the largest and the smallest eigenvalue of the loss's Hessian, and the largest "
        "residual says how far they may be off, as a share of the larger one. The climb is the highest rise "
        "of the loss that was found within 1% of the parameters' length (L2 norm); in its scale-free form "
        "each parameter moves by about 1% of itself."
    )
    numbers = {seat.name: seat_in_words(seat) for seat in result.seats}
    names = list(dict.fromkeys(name for words_of in numbers.values() for name in words_of))
    table = pd.DataFrame([{"": name, **{s: numbers[s].get(name, "–") for s in numbers}} for name in names])
    return Section(f"Where they sit, on the {result.task} task", words, table=table)


def _moves(result: Landscape) -> list[Section]:
    rows = []
    words = ["The panels show the variance and the effective rank of all states' embeddings at each t."]
    for name, task in result.tasks.items():
        if task.moves is None:
            continue
        moves = task.moves
        quantities = {"variance": moves.variance, "effective rank": moves.effective_rank}
        quantities |= {f"R² by {rung}": values for rung, values in moves.r2.items()}
        for quantity, values in quantities.items():
            rows += [
                {"quantity": quantity, "name": name, "t": t, "value": max(v, -1.0) if "R²" in quantity else v}
                for t, v in zip(moves.t, values, strict=True)
            ]
        if moves.reference is not None and len(words) == 1:
            words.append(
                f"R² compares the embedding at each t with {moves.reference}, after the map that is named. "
                "Values below −1 are drawn at −1."
            )
    if not rows:
        return []
    chart = landscapes.small_lines(_finite(pd.DataFrame(rows), ["value"]), "data of task")
    figure = Figure(chart, "Spread of the embedding, and R² to the reference's, against t.")
    return [Section("The embedding along the straight line", words, figure)]


def _returns(result: Landscape) -> list[Section]:
    rows, words = [], returns_in_words(result)
    for name, task in result.tasks.items():
        returns = None if task.moves is None else task.moves.returns
        if returns is None:
            continue
        kinds: dict[str, Returns | Gain] = {"mean return": returns}
        kinds |= {"its difference to A's": returns.gain} if returns.gain is not None else {}
        rows += [
            {"quantity": kind, "name": name, "t": t, "value": v, "low": low, "high": high}
            for kind, some in kinds.items()
            for t, v, low, high in zip(returns.t, some.value, some.low, some.high, strict=True)
        ]
    if not rows:
        return []
    figure = Figure(
        landscapes.small_lines(_finite(pd.DataFrame(rows), ["value"]), "task"),
        "Mean return against t, with intervals.",
    )
    return [Section("Returns along the straight line", words, figure)]


def _episode(result: Landscape) -> list[Section]:
    episode = result.episode
    if episode is None:
        return []
    rows = [
        Row(
            f"{_capital(p.name)}, on the {p.task} task (mean {number(p.mean)}): {p.film.summary}",
            list(p.film.frames),
            p.film.captions,
        )
        for p in episode.players
    ]
    words = [
        f"All of them play the same episode, number {episode.number} of {episode.of}: the one in which all "
        "earn most nearly what they earn on average. Each plays it as its own task shows it. Dots show the "
        "way since the picture before."
    ]
    description = " ".join(f"{row.title}: {', '.join(row.captions)}." for row in rows)
    return [Section("An episode, played by each", words, Drawing(drawing(rows), description))]


def _conflict(result: Landscape) -> list[Section]:
    conflict = result.tasks[result.task].conflict
    if conflict is None:
        return []
    rows = [
        {"quantity": "weighted slope towards B", "name": term, "t": t, "value": v}
        for term, values in conflict.slope.items()
        for t, v in zip(conflict.t, values, strict=True)
    ]
    rows += [
        {"quantity": "cosine of gradients", "name": f"{one}, {two}", "t": t, "value": v}
        for (one, two), values in conflict.cosine.items()
        for t, v in zip(conflict.t, values, strict=True)
    ]
    words = [
        f"The slopes and gradients are those on the {result.task} task. A term whose slope towards B is "
        "positive stands against moving on; two terms whose gradients have a negative cosine pull against "
        "each other.",
    ]
    frame = _finite(pd.DataFrame(rows), ["value"])
    figure = Figure(
        landscapes.small_lines(frame, None), "Each term's slope, and cosines between the terms' gradients."
    )
    return [Section("How the terms pull", words, figure)]


def _plane(plane: Plane) -> Section:
    columns, rows = (_thinned(len(axis)) for axis in (plane.alpha, plane.beta))
    a, b = _edges(plane.alpha[columns]), _edges(plane.beta[rows])
    cells = pd.DataFrame(
        [
            {
                "task": task,
                "alpha": a[j],
                "alpha2": a[j + 1],
                "beta": b[i],
                "beta2": b[i + 1],
                "loss": float(f"{terms['total'][row, column]:.5g}"),
            }
            for task, terms in plane.losses.items()
            for i, row in enumerate(rows)
            for j, column in enumerate(columns)
        ]
    )
    drawn = _finite(cells, ["loss"])
    order = [index if mark.name not in "ABC" else -1 for index, mark in enumerate(plane.marks)]
    marks = pd.DataFrame(
        [
            {"alpha": m.alpha, "beta": m.beta, "name": m.name, "order": o}
            for m, o in zip(plane.marks, order, strict=True)
        ]
    )
    words = [_capital(plane_in_words(plane))]
    if plane.third is not None:
        words.append(f"C is {plane.third.path}.")
    if len(columns) < len(plane.alpha):
        words.append(f"Only {len(columns)} × {len(rows)} of the points are drawn.")
    if len(drawn) < len(cells):
        blank = len(cells) - len(drawn)
        have, are = ("has", "is") if blank == 1 else ("have", "are")
        words.append(f"{plural(blank, 'point')} {have} no finite loss and {are} left blank.")
    title = {
        "three": "The plane through three checkpoints",
        "random": "A random plane through A",
        "trail": "The plane of the training path",
    }[plane.kind]
    if drawn.empty:
        return Section(title, words)
    chart = landscapes.plane(drawn, marks, plane.axes, logarithmic=bool((drawn["loss"] > 0).all()))
    return Section(title, words, Figure(chart, f"{title}: total loss, by task."))


def _thinned(count: int) -> NDArray[np.int64]:
    """Evenly spread rows or columns of a plane, at most MOST_DRAWN."""
    return np.unique(np.round(np.linspace(0, count - 1, min(count, MOST_DRAWN))).astype(np.int64))


def _edges(centres: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
    between = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - between[0], 2 * centres[-1] - between[-1]
    return [float(f"{c:.6g}") for c in (first, *between, last)]


def _interval(height: Height) -> str:
    return span(Measure(height.value, height.low, height.high), 4)


def _finite(frame: pd.DataFrame, needed: list[str] | None = None) -> pd.DataFrame:
    """Rows without points that are not finite (the text counts them)."""
    return frame.replace([np.inf, -np.inf], np.nan).dropna(subset=needed or ["loss", "low", "high"])
