"""State by state: both embeddings and the distance of every state, to be brushed and looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.comparisons.picture import MOST_COLOURS, Explored
from diag.comparisons.result import Comparison
from diag.outputs.dreams_pictures import in_colour
from diag.outputs.embeddings_html import FAR, MOST_FACTS, has_picture
from diag.outputs.words import number, span
from reports import Figure, Section
from reports.explorer import explorer
from reports.png import data_address

MOST_STATES = 350
"""States that can be looked at one by one, evenly over all."""

MOST_AXES = 8
"""Axes of the embeddings among which a reader can choose."""

MOST_PICTURES, MOST_BYTES = 300, 300_000
"""Observations that a page holds, and letters that they may take."""

SMALLEST, LARGEST = 3, 128
"""Sides in pixels of what is drawn as a picture."""

SHOWN_SIDE = 96
"""Pixels to which a small observation is enlarged."""


def states_section(result: Comparison) -> list[Section]:
    """Every state's distance beside both embeddings; none between different dimensions."""
    if not has_picture(result.picture):
        return []
    found = result.picture.explored(MOST_STATES, MOST_AXES)
    if found is None:
        return []
    pictures = _pictures(found)
    titles = list(found.axes)
    axes = {str(place): title for place, title in enumerate(titles)}
    points = _points(found, pictures)
    facts = {f"fact{place}": name for place, name in enumerate([*found.variables][:MOST_FACTS])}
    picture = result.picture
    group = ""
    if picture.colour is not None and picture.base.shape[1] <= 2:
        points["group"] = np.asarray(found.variables[picture.colour]).astype(str)
        group = "group" if points["group"].nunique() <= MOST_COLOURS else ""
    ends = [float(np.ptp(np.concatenate(v)) / (np.ptp(v[0]) or 1.0)) for v in found.axes.values()]
    chart = explorer(
        points, axes, ("0", "1"), facts, result.unrelated_l2, group=group, shared=max(ends[:2]) <= FAR
    )
    described = (
        "The base's embedding, the transfer's, and the states in order of their distance from the base's."
    )
    return [
        Section(
            "State by state",
            _words(result, found),
            Figure(chart, described, _caption(bool(pictures), len(titles) > 2)),
            short="States",
        )
    ]


def _caption(pictures: bool, choice: bool) -> str:
    """What a reader can do where the chart is live."""
    words = "Where the page runs scripts: draw a box in one panel, and its states stand out in all"
    if pictures:
        words += "; a state under the pointer shows what base and transfer see of it"
    if choice:
        words += "; choose other axes below the panels"
    return f"{words}."


def _words(result: Comparison, found: Explored) -> list[str]:
    distance = result.measures["l2"]
    worst = int(np.argmax(found.distances))
    told = [f"{name} {_plain(values[worst])}" for name, values in [*found.variables.items()][:MOST_FACTS]]
    who = f"state {found.states[worst]}" + (f" ({', '.join(told)})" if told else "")
    return [
        f"On average a state lies {number(distance.value)} {span(distance)}".rstrip()
        + f" from its place in the base. The farthest of those shown, {who}, lies "
        f"{number(float(found.distances[worst]))} away."
    ]


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)


def _points(found: Explored, pictures: dict[int, str]) -> pd.DataFrame:
    """A row a state, as the chart takes them."""
    columns: dict[str, Any] = {
        "state": found.states,
        "height": found.height,
        "half": np.where(found.upper, "upper half", "lower half"),
        "distance": found.distances,
        "rank": found.ranks,
    }
    for place, (base, transfer) in enumerate(found.axes.values()):
        columns |= {f"b{place}": base, f"t{place}": transfer}
    for place, (_, values) in enumerate([*found.variables.items()][:MOST_FACTS]):
        columns[f"fact{place}"] = values
    frame = pd.DataFrame(columns)
    for name in frame.columns:
        if frame[name].dtype.kind == "f":
            frame[name] = [float(f"{value:.4g}") for value in frame[name]]
    if pictures:
        frame["image"] = [pictures.get(place) for place in range(len(frame))]
    return frame


def _pictures(found: Explored) -> dict[int, str]:
    """{row: what base and transfer see of it, side by side}, where observations are pictures."""
    if found.observed is None:
        return {}
    both = [_scaled(seen) for seen in found.observed]
    if any(seen is None for seen in both):
        return {}
    rows = np.unique(np.linspace(0, len(found.states) - 1, min(len(found.states), MOST_PICTURES)).astype(int))
    drawn: dict[int, str] = {}
    taken = 0
    for row in rows:
        sides = [in_colour(seen[row]) for seen in both if seen is not None]
        tall = max(side.shape[0] for side in sides)
        gap = np.full((tall, 1, 3), 136, np.uint8)
        padded = [np.pad(s, ((0, tall - len(s)), (0, 0), (0, 0)), constant_values=136) for s in sides]
        picture = np.concatenate([padded[0], gap, padded[1]], 1)
        address = data_address(picture, max(1, SHOWN_SIDE // tall))
        taken += len(address)
        if taken > MOST_BYTES:
            break
        drawn[int(row)] = address
    return drawn


def _scaled(seen: NDArray[Any]) -> NDArray[np.float32] | None:
    """Observations (m, c, h, w) from 0 to 1; None where they are no pictures."""
    if seen.ndim == 3:
        seen = seen[:, None]
    if seen.ndim != 4 or not all(SMALLEST <= side <= LARGEST for side in seen.shape[2:]):
        return None
    numbers = seen.astype(np.float32)
    if not np.isfinite(numbers).all():
        return None
    least, most = float(numbers.min()), float(numbers.max())
    return (numbers - least) / ((most - least) or 1.0)
