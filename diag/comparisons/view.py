"""The plane in which a relation can be seen: the one in which an embedding is mirrored, swapped or turned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probes import Plane, Relation

MOST_ROWS = 2000
"""Rows, evenly over all, that a plane is taken from."""

MOST_NAMED = 3
"""Axes that a title names; more are counted."""


@dataclass(frozen=True)
class View:
    """A plane for both embeddings, the titles of its axes, and which plane it is."""

    base: Plane
    transfer: Plane
    """The base's, unless the two embeddings have different dimensions."""
    titles: tuple[str, str]
    """Titles of the horizontal and of the vertical axis."""
    words: str
    """A sentence on which plane it is; empty where all dimensions are drawn."""
    flat: bool = False
    """Whether both have a single dimension, which stands upwards, over the states in the base's order."""


def view_of(
    base: NDArray[np.float64],
    transfer: NDArray[np.float64],
    relation: Relation | None,
    axes: Sequence[int] = (),
    order: Sequence[int] = (),
    places: int = 1,
    channels_first: bool = False,
) -> View:
    """The plane of embeddings (n, d) in which what the relation names can be seen.

    ``axes`` are those that it negates, and ``order`` has the transfer's axis for each of the base's. Where
    ``places`` of a grid share their maps, both count channels, each of which has a number at every place.
    Two dimensions are drawn as they are.
    """
    d = base.shape[1]
    some = np.unique(np.linspace(0, len(base) - 1, min(len(base), MOST_ROWS)).astype(np.int64))
    base, transfer = base[some], transfer[some]
    plane = Plane.of(base)
    if d <= 2 or transfer.shape[1] != d:
        words = (
            "" if d <= 2 else f"Each is drawn in the plane of its own first two principal components{_of(d)}."
        )
        other = plane if transfer.shape[1] == d else Plane.of(transfer)
        titles = ("axis 0", "axis 1") if d <= 2 else ("first component", "second component")
        flat = d == 1 and transfer.shape[1] == 1
        if flat:
            titles = ("states, in the base's order", "axis 0")
        return View(plane, other, titles, words, flat)
    channel = np.arange(d) // places if channels_first else np.arange(d) % (d // places)
    what = ("axis", "axes") if places == 1 else ("channel", "channels")
    moved = [j for j, k in enumerate(order) if j != k]
    if axes and not moved:
        return _mirrored(base, np.isin(channel, axes), _named(axes, what), what)
    if moved:
        return _swapped(base, channel, moved, order, what)
    if relation in (None, "rotated", "rescaled", "affine"):
        difference = Plane.of(np.concatenate([transfer - base, base - transfer])).axes
        words = f"The plane is the one in which the two differ most{_of(d)}."
        seen = Plane(plane.centre, difference)
        return View(seen, seen, ("largest difference", "next largest difference"), words)
    words = f"The plane is that of the base's first two principal components{_of(d)}."
    return View(plane, plane, ("first component", "second component"), words)


def _of(d: int) -> str:
    return f", out of {d} dimensions"


def _mirrored(
    base: NDArray[np.float64], negated: NDArray[np.bool_], named: str, what: tuple[str, str]
) -> View:
    """Upwards the negated axes, and across the others: what is negated stands upside down."""
    d = base.shape[1]
    up = _within(base, negated)
    across = _within(base, ~negated)[:, 0] if not negated.all() else up[:, 1]
    single = int(negated.sum()) == 1
    title = f"{named}, negated" if single else f"{named}, negated (first component)"
    plane = Plane(base.mean(0), np.stack([across, up[:, 0]], 1))
    rest = f"the other {what[1]} (first component)" if not negated.all() else "their second component"
    across_words = "their second" if negated.all() else f"that of the other {d - int(negated.sum())}"
    single_words = f"{named} itself" if single else f"the first principal component of {named}"
    words = f"Upwards stands {single_words}, across {across_words} of {d} dimensions."
    return View(plane, plane, (rest, title), words)


def _swapped(
    base: NDArray[np.float64],
    channel: NDArray[np.int64],
    moved: Sequence[int],
    order: Sequence[int],
    what: tuple[str, str],
) -> View:
    """An axis that changes places upwards, and across the one whose place it takes."""
    spread = base.var(0)
    one = max(moved, key=lambda j: float(spread[channel == j].sum()))
    other = order[one]
    directions = [_within(base, channel == j)[:, 0] for j in (other, one)]
    plane = Plane(base.mean(0), np.stack(directions, 1))
    titles = (f"{what[0]} {other}", f"{what[0]} {one}")
    words = (
        f"The transfer has the base's {what[0]} {one} as its {what[0]} {other}: these two are drawn"
        f"{_of(base.shape[1])}."
    )
    return View(plane, plane, titles, words)


def _within(base: NDArray[np.float64], entries: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(d, 2) the first two principal components of some entries; a single one is itself."""
    directions = np.zeros((base.shape[1], 2))
    inner = Plane.of(base[:, entries]).axes
    if entries.sum() == 2:  # the plane of two axes is their own: its longest direction is asked for
        vectors = np.linalg.eigh(np.cov(base[:, entries].T))[1][:, ::-1]
        inner = vectors * np.where(vectors[np.abs(vectors).argmax(0), [0, 1]] < 0, -1.0, 1.0)
    directions[entries] = inner
    return directions


def _named(axes: Sequence[int], what: tuple[str, str]) -> str:
    if len(axes) == 1:
        return f"{what[0]} {axes[0]}"
    if len(axes) > MOST_NAMED:
        return f"{len(axes)} {what[1]}"
    first = ", ".join(map(str, axes[:-1]))
    return f"{what[1]} {first} and {axes[-1]}"
