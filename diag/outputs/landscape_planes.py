"""Planes of a landscape on its page: filled contours with the checkpoints and the way between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.landscapes import contours
from diag.landscapes.result import TOTAL, Plane
from diag.outputs.landscape_text import plane_in_words
from diag.wording import plural
from probes import Floats
from reports import Figure, Section, landscapes
from trainers.safe_text import plain

MOST_DRAWN = 101
"""Rows and columns of a plane that a page draws: more are finer than its pixels, and megabytes."""


def plane_section(plane: Plane, first: str) -> Section:
    """Contours of the total loss, the panel of task ``first`` before the other's."""
    columns, rows = (_thinned(len(axis)) for axis in (plane.alpha, plane.beta))
    alpha, beta = plane.alpha[columns], plane.beta[rows]
    order = sorted(plane.losses, key=lambda task: task != first)
    losses = {task: plane.losses[task][TOTAL][np.ix_(rows, columns)] for task in order}
    every = np.concatenate([values.ravel() for values in losses.values()])
    known = every[np.isfinite(every)]
    words = [_capital(plane_in_words(plane))]
    if plane.third is not None:
        words.append(f"C is {plane.third.path}.")
    notes = [
        "Each colour lies between two levels of the total loss, the same on both tasks. The dashed line is "
        "the straight line from A to B; the solid one joins the checkpoints of a training in their order."
    ]
    if len(columns) < len(plane.alpha):
        words.append(f"Only {len(columns)} × {len(rows)} of the points are drawn.")
    if len(known) < len(every):
        blank = len(every) - len(known)
        have, are = ("has", "is") if blank == 1 else ("have", "are")
        words.append(f"{plural(blank, 'point')} {have} no finite loss and {are} left blank.")
    title, short = {
        "three": ("The plane through three checkpoints", "Plane of three"),
        "random": ("A random plane through A", "Random plane"),
        "trail": ("The plane of the training path", "Training path"),
    }[plane.kind]
    if not len(known):
        return Section(title, words, short=short)
    logarithmic = bool((known > 0).all())
    levels = contours.levels(known, logarithmic) or [float(known.max())]
    bands = _bands(levels)
    sheets = {
        f"Data of the {task} task": _rings(
            contours.rings(alpha, beta, values, levels, logarithmic), alpha, beta, bands
        )
        for task, values in losses.items()
    }
    chart = landscapes.plane(
        sheets,
        bands,
        _marks(plane),
        _straight(plane),
        plane.axes,
        ((float(alpha[0]), float(alpha[-1])), (float(beta[0]), float(beta[-1]))),
    )
    return Section(title, words, Figure(chart, f"{title}: total loss, by task."), notes=notes, short=short)


def _rings(rings: pd.DataFrame, alpha: Floats, beta: Floats, bands: Sequence[str]) -> pd.DataFrame:
    """Contours as a chart takes them: rounded to a thousandth of the picture, each band with its words."""
    digits = [4 - int(np.floor(np.log10(float(axis[-1] - axis[0])))) for axis in (alpha, beta)]
    return pd.DataFrame(
        {
            "alpha": np.round(rings["x"], digits[0]),
            "beta": np.round(rings["y"], digits[1]),
            "band": rings["band"],
            "order": rings["order"],
            "said": [bands[band] for band in rings["band"]],
        }
    )


def _bands(levels: Sequence[float]) -> list[str]:
    """Words on what lies between levels, from below the first to above the last."""
    ends = [f"{level:.3g}" for level in levels]
    inner = [f"{low} to {high}" for low, high in pairwise(ends)]
    return [f"below {ends[0]}", *inner, f"{ends[-1]} and more"]


NAMED = 8
"""Most checkpoints of a trail that bear their numbers: more would cover each other."""


def _marks(plane: Plane) -> pd.DataFrame:
    """The checkpoints on a plane, those of a trail in their order, with what a tooltip says."""
    steps = [mark for mark in plane.marks if mark.name not in "ABC"]
    every = -(-len(steps) // NAMED) or 1
    kept = {mark.name for mark in [*steps[::every], *steps[-1:]]}
    files = dict(zip([mark.name for mark in steps], [file.path for file in plane.trail], strict=False))
    return pd.DataFrame(
        [
            {
                "alpha": mark.alpha,
                "beta": mark.beta,
                "name": mark.name,
                "order": steps.index(mark) if mark in steps else -1,
                "shown": mark not in steps or mark.name in kept,
                "said": f"{mark.name}"
                + (f": {plain(files[mark.name])}" if mark.name in files else "")
                + (f", {mark.off:.3g} off the plane" if mark.off > 0 else ""),
            }
            for mark in plane.marks
        ]
    )


def _straight(plane: Plane) -> pd.DataFrame:
    """The straight line from A to B, where both are on the plane."""
    ends = {mark.name: mark for mark in plane.marks}
    rows = [
        {"alpha": ends[name].alpha, "beta": ends[name].beta, "order": order}
        for order, name in enumerate("AB")
        if name in ends
    ]
    return pd.DataFrame(rows if len(rows) == 2 else [], columns=["alpha", "beta", "order"])


def _thinned(count: int) -> NDArray[np.int64]:
    """Evenly spread rows or columns of a plane, at most MOST_DRAWN."""
    return np.unique(np.round(np.linspace(0, count - 1, min(count, MOST_DRAWN))).astype(np.int64))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
