"""The result of ``diag compare-embeddings``: how two embeddings relate, with the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diag.comparisons.dreams import Dreams
from diag.result import Columns, FileRef, Grouping, Verdict, finite, head, measure_tree, numbers
from diag.shown import Shown
from probes import ChannelLadders, Measure, Plane, Relation, Step

Outcome = Literal["landed", "near", "mirrored", "collapsed", "elsewhere", "free"]
"""Places where a transfer can end, by what follows from them (:mod:`diag.comparisons.conclusion`)."""


MOST_NUMBERS = 400_000
"""Most numbers of a picture that is saved whole, about 4 MB: 6,000 states of two embeddings of 32 numbers."""


@dataclass(frozen=True)
class Picture:
    """The embeddings and predictions that a drawing of them needs; not part of the JSON."""

    base: NDArray[np.float64]
    """(n, d) the base's embedding, flattened."""
    transfer: NDArray[np.float64]
    """(n, d) the transfer's embedding of the same states, flattened."""
    variables: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """{name: (n,)} known variables of the states."""
    base_predictions: NDArray[np.float64] | None = None
    """(n, actions, d) where the base's transition model expects each action to lead."""
    transfer_predictions: NDArray[np.float64] | None = None
    """(n, actions, d) where the transfer's transition model expects each action to lead."""
    colour: str | None = None
    """Name of the variable that points are coloured by; None for points of one colour."""
    of: int | None = None
    """Number of states that these were taken from, of a picture too large to be saved whole."""

    def kept(self) -> Picture:
        """The picture as it is saved: of so many states, evenly over all, that it has MOST_NUMBERS."""
        size = sum(held.size for held in (self.base, self.transfer, *self._predictions))
        if size <= MOST_NUMBERS:
            return self
        n = len(self.base)
        states = np.unique(np.linspace(0, n - 1, max(1, n * MOST_NUMBERS // size)).astype(np.int64))
        ours, theirs = self.base_predictions, self.transfer_predictions
        return Picture(
            self.base[states],
            self.transfer[states],
            {name: np.asarray(values)[states] for name, values in self.variables.items()},
            None if ours is None else ours[states],
            None if theirs is None else theirs[states],
            self.colour,
            self.of or n,
        )

    @property
    def _predictions(self) -> list[NDArray[np.float64]]:
        return [p for p in (self.base_predictions, self.transfer_predictions) if p is not None]

    @property
    def left_out(self) -> str | None:
        """What a saved picture lacks, in words."""
        if self.of is None:
            return None
        return f"of the {self.of:,} states, the pictures were saved with {len(self.base):,}"

    def drawn(self, most: int) -> Drawn:
        """The picture in two dimensions, of at most this many states, evenly over all.

        Both embeddings go to the plane of the base's first two principal components; a transfer of other
        dimensions than the base's goes to its own.
        """
        states = np.unique(np.linspace(0, len(self.base) - 1, min(len(self.base), most)).astype(np.int64))
        of_base = Plane.of(self.base)
        of_transfer = of_base if self.transfer.shape[1] == self.base.shape[1] else Plane.of(self.transfer)
        colours = np.full(len(states), "state")
        if self.colour is not None:
            colours = np.asarray(self.variables[self.colour])[states].astype(str)
        return Drawn(
            states,
            colours,
            of_base(self.base)[states],
            of_transfer(self.transfer)[states],
            _ends(of_base, self.base_predictions, states),
            _ends(of_transfer, self.transfer_predictions, states),
        )


@dataclass(frozen=True)
class Drawn:
    """A picture of m states in two dimensions."""

    states: NDArray[np.int64]
    """(m,) rows of the embeddings."""
    colours: NDArray[np.str_]
    """(m,) the category that each state is coloured by."""
    base: NDArray[np.float64]
    """(m, 2)"""
    transfer: NDArray[np.float64]
    """(m, 2)"""
    base_ends: NDArray[np.float64] | None
    """(m, actions, 2) ends of the lines from each state of the base; None without a transition model."""
    transfer_ends: NDArray[np.float64] | None


def _ends(
    plane: Plane, predictions: NDArray[np.float64] | None, states: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    if predictions is None:
        return None
    flat = plane(predictions.reshape(-1, predictions.shape[-1]))
    return flat.reshape(*predictions.shape[:2], 2)[states]


MOST_COLOURS = 6
"""Categories that a picture can colour: as many as there are colours that any colour vision tells apart."""


def colour_variable(variables: Mapping[str, NDArray[Any]], chosen: str | None = None) -> str | None:
    """Name of the variable that a picture is coloured by: the chosen one, else the first categorical one.

    Variables {name: (n,)} of strings or booleans are categorical; with more than :data:`MOST_COLOURS`
    categories they are passed over. None where there is none.
    """
    if chosen is not None and chosen in variables:
        return chosen
    for name, values in variables.items():
        known = np.asarray(values)
        if known.ndim == 1 and known.dtype.kind in "bUS" and len(np.unique(known)) <= MOST_COLOURS:
            return name
    return None


@dataclass(frozen=True, repr=False)
class Comparison(Shown, kind="comparison"):
    """The result of ``compare-embeddings``."""

    base: FileRef
    transfer: FileRef
    verdict: Verdict
    measures: Mapping[str, Measure]
    ladder: tuple[Step, ...]
    """The ladder of maps from the transfer's embedding to the base's."""
    shifted: tuple[Step, ...]
    """The rungs of that ladder that can have an offset, fitted with one."""
    back: tuple[Step, ...]
    """The ladder of maps from the base's embedding to the transfer's."""
    agreement: float
    """Share of bootstrap resamples that name the same relation."""
    margin: float
    """δ: R² that a simpler map may lack of the best one's and still name the relation."""
    margin_source: str
    """Origin of the margin, in words."""
    gap: float | None
    """R² of the best map minus the identity's, in the direction where it is less; matched if within the
    margin."""
    channels: bool
    """Whether the ladder's maps act on channels, alike at every place of a grid."""
    grid: str
    """Mirror image or turn that brings the transfer's grid to the base's."""
    grouping: Grouping
    """The units that were resampled as a whole."""
    rows: int
    dropped: int
    """Rows left out because they had NaN or infinity."""
    frozen: tuple[str, ...] | None
    """Frozen components that read the embedding; None where that is only assumed."""
    states: int
    dimensions: tuple[int, int]
    own_states: int | None
    """Number of states whose nearest base state is their own."""
    success_states: int | None
    """Number of states that must be nearest to their own base state for a success; None where the world sets
    none."""
    seed: int
    warnings: tuple[str, ...]
    picture: Picture
    rank_ratio: Measure
    """The transfer's effective rank over the base's; not part of the JSON, which has both."""
    columns: Columns | None = None
    """The named columns that were compared; None where the files name none."""
    outcome: Outcome | None = None
    """The place where the transfer ended; None where the evidence does not say."""
    conclusion: str = ""
    """Advice to a person on what to conclude and what to do next, in a sentence or two."""
    order: tuple[int, ...] = ()
    """For ``permuted``, the axis or channel of the transfer that becomes each of the base's."""
    by_channel: ChannelLadders | None = None
    """Maps of channels under every symmetry of the grid; None where the embeddings have none."""
    flat: tuple[Step, ...] | None = None
    """The ladder of maps of every number by itself, where :attr:`ladder` has those of channels."""
    foldable: bool = True
    """Whether a map of the embedding can be applied to the transfer: to its rows, or in its last layer."""
    dreams: Dreams | None = None
    """Open-loop predictions of both, where they are world models."""
    diagnosis: str = "compare-embeddings"

    @property
    def relation(self) -> Relation | None:
        """The verdict's relation."""
        return self.verdict.relation

    @property
    def success(self) -> bool | None:
        """Whether enough states are where the base has them; None where the world sets no number."""
        if self.own_states is None or self.success_states is None:
            return None
        return self.own_states >= self.success_states

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            **head(self.diagnosis, self.base, self.transfer, self.verdict),
            "outcome": self.outcome,
            "conclusion": self.conclusion,
            "measures": {name: measure_tree(m) for name, m in self.measures.items()},
            "ladder": [_step_tree(s) for s in self.ladder],
            "ladder_shifted": [_step_tree(s) for s in self.shifted],
            "ladder_back": [_step_tree(s) for s in self.back],
            "agreement": self.agreement,
            "margin": {"value": self.margin, "source": self.margin_source, "gap": finite(self.gap)},
            "channels": self.channels,
            "grid": self.grid,
            "order": list(self.order) or None,
            "grids": None if self.by_channel is None else _grids_tree(self.by_channel),
            "ladder_flat": None if self.flat is None else [_step_tree(s) for s in self.flat],
            "grouping": self.grouping,
            "rows": self.rows,
            "dropped": self.dropped,
            "frozen": None if self.frozen is None else list(self.frozen),
            "states": self.states,
            "dimensions": list(self.dimensions),
            "own_states": self.own_states,
            "success_states": self.success_states,
            "success": self.success,
            "seed": self.seed,
            "columns": None if self.columns is None else self.columns.to_tree(),
            "open_loop": None if self.dreams is None else self.dreams.to_tree(),
            "warnings": list(self.warnings),
        }


def _grids_tree(found: ChannelLadders) -> dict[str, Any]:
    return {
        "layout": found.layout,
        "height": found.height,
        "width": found.width,
        "channels": list(found.channels),
        "best": found.grid,
        "agreement": found.agreement,
        "by_grid": [
            {
                "grid": grid,
                "best": measure_tree(found.best(grid)),
                "ladder": [_step_tree(step) for step in ladder.steps],
            }
            for grid, ladder in found.ladders.items()
        ],
    }


def _step_tree(step: Step) -> dict[str, Any]:
    tree: dict[str, Any] = {"transform": step.transform, "r2": finite(step.r2.value)}
    tree |= {"low": finite(step.r2.low), "high": finite(step.r2.high)}
    if step.r2.reason is not None:
        tree["reason"] = step.r2.reason
    fitted = step.map
    if fitted is None:
        return {**tree, "map": None}
    parts = {
        "signs": None if fitted.signs is None else list(fitted.signs),
        "order": None if fitted.order is None else list(fitted.order),
        "matrix": None if fitted.matrix is None else [numbers(row) for row in fitted.matrix],
        "offset": None if fitted.offset is None else numbers(fitted.offset),
    }
    return {**tree, "map": {name: value for name, value in parts.items() if value is not None}}
