"""The picture of a comparison: base, transfer, and the transfer after the best map laid over the base."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.comparisons.picture import MOST_COLOURS, Density, Drawn, Picture
from diag.comparisons.result import Comparison
from diag.comparisons.verdict import axes_in_words
from diag.outputs.words import hundredths
from reports import Figure
from reports.embeddings import JOINED, Ground, Look, Panel, side_by_side
from reports.trails import film

MOST_MARKS = 300
"""States drawn where there are more than can be told apart, over the density of all."""

MANY = 300
"""States from which on they are thinned."""

FAR = 5.0
"""How many times as wide as the base's the drawn extent may be: beyond, each panel has axes of its own."""

MOST_FACTS = 6
"""Known variables of a state in its tooltip."""


def has_picture(picture: Picture | None) -> bool:
    """Whether there are embeddings to draw: results that are read back from JSON have none."""
    return picture is not None and len(picture.base) > 0


def embeddings_figure(result: Comparison, name: str = "transfer", *, short: bool = False) -> Figure:
    """Base, transfer and mapped transfer side by side; ``short`` leaves out the overlay before the map.

    ``name`` is the transfer's in the panels' titles.
    """
    picture = result.picture
    few = len(picture.base) <= MANY
    drawn = picture.drawn(MANY if few else MOST_MARKS)
    points = _points(drawn, picture)
    panels = [Panel("base", "base"), Panel(name, "transfer")]
    same = drawn.distances is not None
    if same and len(drawn.states) <= JOINED and not short:
        panels.append(Panel(_as_it_is(result, name), "transfer", "base", plain=True))
    if drawn.mapped is not None:
        panels.append(Panel(_after(result), "mapped", "base"))
    elif same and len(drawn.states) > JOINED:
        panels.append(Panel(_as_it_is(result, name), "transfer", "base", plain=True))
    look = _look(picture, drawn, points)
    described = (
        "Scatter plots of the same states: in the base's embedding, in the transfer's, and in the transfer's "
        "after the best map, joined with their places in the base."
    )
    return Figure(side_by_side(points, panels, look), described, _caption(picture, drawn, look))


def stages_figure(stages: Sequence[tuple[str, Comparison]], of: Comparison | None = None) -> Figure:
    """The base once, and one embedding after another in the same axes, each joined with the base.

    ``stages`` are a title and a comparison each; they compare the same states with the same base. The plane
    is that of the comparison ``of``, or of the first.
    """
    first = (of or stages[0][1]).picture
    points, drawn, places = _together(stages, first)
    panels = [Panel("base", "base")]
    panels += [
        Panel(title, place, "base", plain=True) for (title, _), place in zip(stages, places, strict=True)
    ]
    look = replace(_look(first, drawn, points), shared=_is_near(points, places))
    described = "Scatter plots of the same states: in the base, and at each stage joined with the base's."
    return Figure(side_by_side(points, panels, look), described, _caption(first, drawn, look))


MOST_FRAMES = 4000
"""Marks that a slider chooses among: states times checkpoints."""


def film_figure(stages: Sequence[tuple[str, Comparison]], of: Comparison) -> Figure:
    """One panel with the embedding at one of some checkpoints over the base's, and a slider over them."""
    points, drawn, places = _together(stages, of.picture, MOST_FRAMES // len(stages))
    columns = list(map(str, points.columns))
    kept = [c for c in columns if c in ("state", "height", "half", "group") or c.startswith("fact")]
    frames = [
        points[kept].assign(
            stop=number,
            x=points[f"{place}_x"],
            y=points[f"{place}_y"],
            base_x=points["base_x"],
            base_y=points["base_y"],
        )
        for number, place in enumerate(places, 1)
    ]
    grouped = "group" if _by_group(of.picture, drawn) else ""
    facts = {column: name for column, name in _facts(drawn).items() if column.startswith("fact")}
    chart = film(
        pd.concat(frames, ignore_index=True), [t for t, _ in stages], drawn.view.titles, grouped, facts
    )
    described = "A scatter plot of the transfer's embedding at one checkpoint, joined with the base's."
    return Figure(chart, described, "Rings are the states' places in the base.")


def _together(
    stages: Sequence[tuple[str, Comparison]], first: Picture, most: int = MANY
) -> tuple[pd.DataFrame, Drawn, list[str]]:
    """States in the base and at every stage, in the plane of one picture; and the stages' columns."""
    count = len(first.base)
    drawn = replace(first.drawn(min(most, MANY if count <= MANY else MOST_MARKS)), mapped=None)
    points = _points(drawn, first)
    digits = _digits([drawn.base, drawn.transfer])
    names = []
    for place, (_, compared) in enumerate(stages):
        x, y = drawn.placed(compared.picture).round(digits).T
        points = points.assign(**{f"stage{place}_x": x, f"stage{place}_y": y})
        names.append(f"stage{place}")
    return points, drawn, names


def _look(picture: Picture, drawn: Drawn, points: pd.DataFrame) -> Look:
    grouped = _by_group(picture, drawn)
    return Look(
        colour="group" if grouped else "",
        title=(picture.colour or "") if grouped else "in the base",
        facts=_facts(drawn),
        axes=drawn.view.titles,
        shared=drawn.distances is not None and _is_near(points),
        grounds=_grounds(drawn),
    )


def _caption(picture: Picture, drawn: Drawn, look: Look) -> str:
    """How to read the marks."""
    words = ["Each mark is a state."]
    if drawn.mapped is not None or drawn.distances is not None:
        words.append("Rings are its place in the base, and a line joins the two.")
    if not look.colour:
        words.append("Colours and shapes are those of the state's height in the base.")
    if drawn.base_ends is not None:
        words.append("Thin lines lead to where the transition model expects each action to lead.")
    if drawn.view.words:
        words.append(drawn.view.words)
    if len(drawn.states) < len(picture.base):
        count = f"{len(drawn.states):,} of {len(picture.base):,} states are drawn"
        words.append(f"{count}, over the grey density of all of these." if drawn.density else f"{count}.")
    if not look.shared and drawn.distances is not None:
        words.append("The panels have axes of their own, since the transfer lies far from the base.")
    return " ".join(words)


def _as_it_is(result: Comparison, name: str) -> str:
    """Title of the overlay before the map, with its R²."""
    identity = next((s.r2.value for s in result.ladder if s.transform == "identity"), None)
    return f"{name} over base" if identity is None else f"{name} over base: R² {hundredths(identity)}"


def _after(result: Comparison) -> str:
    """Title of the overlay after the map: what the map does, and its R²."""
    best = result.picture.best
    assert best is not None
    r2 = "" if best.step.r2.value is None else f": R² {hundredths(best.step.r2.value)}"
    return f"{map_words(result)}{r2}"


def map_words(result: Comparison) -> str:
    """What the best map does to the transfer, in a few words: ``axis 1 negated back``."""
    step, axes = result.best, result.verdict.axes
    if step is None:
        return "no map"
    what = ("channel", "channels") if result.channels else ("axis", "axes")
    words = {
        "identity": "as it is",
        "signs": f"{axes_in_words(axes, 3, what)} negated back" if axes else "best signs",
        "permutation": f"{what[1]} put in order",
        "orthogonal": "turned or reflected back",
        "similarity": "turned and rescaled back",
        "affine": "after the best linear map",
    }[step.transform]
    free = step.transform in ("identity", "signs", "permutation")
    moved = free and step.map is not None and step.map.offset is not None
    if not moved:
        return words
    return "moved back" if step.transform == "identity" else f"{words}, moved"


def _by_group(picture: Picture, drawn: Drawn) -> bool:
    """Whether points are coloured by a known variable: in two dimensions, where it has few categories."""
    few = len(np.unique(drawn.colours)) <= MOST_COLOURS
    return picture.colour is not None and picture.base.shape[1] <= 2 and few


def _points(drawn: Drawn, picture: Picture) -> pd.DataFrame:
    """A row a state, as the chart takes them; places to four digits."""
    placings = {"base": drawn.base, "transfer": drawn.transfer}
    if drawn.mapped is not None:
        placings["mapped"] = drawn.mapped
    columns: dict[str, Any] = {"state": drawn.states}
    digits = _digits(placings.values())
    for name, places in placings.items():
        columns |= {f"{name}_x": places[:, 0].round(digits), f"{name}_y": places[:, 1].round(digits)}
    columns |= {
        "height": drawn.base[:, 1].round(digits),
        "half": np.where(drawn.upper, "upper half", "lower half"),
    }
    if drawn.distances is not None:
        columns["distance from the base"] = drawn.distances.round(digits)
    if picture.colour is not None:
        columns["group"] = drawn.colours
    for number_of, (_, values) in enumerate([*drawn.variables.items()][:MOST_FACTS]):
        columns[f"fact{number_of}"] = values
    return pd.DataFrame(columns)


def _digits(placings: Iterable[NDArray[np.float64]]) -> int:
    """Decimals of places in a picture: four digits of its extent, which no pixel can show."""
    extent = max(float(np.ptp(places)) for places in placings)
    return 4 if not 0.0 < extent < np.inf else min(300, 4 - int(np.floor(np.log10(extent))))


def _facts(drawn: Drawn) -> dict[str, str]:
    """{column: name} of what a tooltip tells."""
    facts = {f"fact{place}": name for place, name in enumerate([*drawn.variables][:MOST_FACTS])}
    if drawn.distances is not None:
        facts["distance from the base"] = "distance from the base"
    return facts


def _is_near(points: pd.DataFrame, placings: Sequence[str] = ("transfer",)) -> bool:
    """Whether base and other placings can share their axes."""
    for axis in ("x", "y"):
        base = points[f"base_{axis}"]
        every = pd.concat([base, *(points[f"{name}_{axis}"] for name in placings)])
        if np.ptp(every) > FAR * max(np.ptp(base), 1e-12 + np.ptp(every) / 1e6):
            return False
    return True


def _grounds(drawn: Drawn) -> dict[str, Ground]:
    ends = {"base": (drawn.base, drawn.base_ends), "transfer": (drawn.transfer, drawn.transfer_ends)}
    return {
        name: Ground(
            None if to is None else _lines(places, to),
            _cells(drawn.density[name]) if name in drawn.density else None,
        )
        for name, (places, to) in ends.items()
    }


def _lines(places: NDArray[np.float64], ends: NDArray[np.float64]) -> pd.DataFrame:
    """A line a state and action, from the state to where the action is expected to lead."""
    digits = _digits([places])
    return pd.concat(
        [
            pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "x2": end[:, 0], "y2": end[:, 1]}).round(
                digits
            )
            for end in ends.swapaxes(0, 1)
        ],
        ignore_index=True,
    )


def _cells(density: Density) -> pd.DataFrame:
    """A row for each cell in which there is a state."""
    column, row = np.nonzero(density.counts)
    across, up = (edges.round(_digits(density.edges)) for edges in density.edges)
    return pd.DataFrame(
        {
            "x": across[column],
            "x2": across[column + 1],
            "y": up[row],
            "y2": up[row + 1],
            "states": density.counts[column, row],
        }
    )
