"""What a drawing of two embeddings needs: the places of the states, before and after the best map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import probes
from diag.comparisons.view import View, view_of
from probes import Relation, RelationResult, Step

if TYPE_CHECKING:
    from diag.comparisons.pairing import Pair

MOST_NUMBERS = 400_000
"""Most numbers of a picture that is saved whole, about 4 MB: 6,000 states of two embeddings of 32 numbers."""

CROWDED = 2
"""From how many times as many states as are drawn on their density is counted: few make spots."""

CELLS = 26
"""Cells of a density along each side of a picture: about twelve pixels each."""


@dataclass(frozen=True)
class Best:
    """The map that brings the transfer nearest to the base: the one that names the relation, if one does."""

    step: Step
    """Its rung of the ladder, with held-out R² and the map fitted to all states."""
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Shapes of a row of the transfer's and of the base's embedding, where the map acts on channels."""
    layout: probes.Layout = "channels last"
    grid: str = probes.UNTURNED
    """Turn or mirror image of the transfer's grid that comes first."""

    @property
    def changes(self) -> bool:
        """Whether it does anything at all."""
        moved = self.step.map is not None and self.step.map.offset is not None
        return self.step.transform != "identity" or moved or self.grid != probes.UNTURNED

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The places (n, d₂) to which it brings the transfer's embedding x (n, d₁), flattened rows."""
        assert self.step.map is not None
        if self.shapes is None:
            return self.step.map(x)
        grid = x.reshape(-1, *self.shapes[0])
        first = self.layout == "channels first"
        turned = probes.GRIDS[self.grid](grid.transpose(0, 2, 3, 1) if first else grid)
        moved = self.step.map(turned.reshape(-1, turned.shape[-1])).reshape(*turned.shape[:3], -1)
        return np.asarray((moved.transpose(0, 3, 1, 2) if first else moved).reshape(len(x), -1))


def best_of(pair: Pair, relation: RelationResult) -> Best | None:
    """The map that names the relation, or else the one of highest R²; None where none could be fitted."""
    steps = [step for step in (*relation.ladder.steps, *relation.ladder.shifted) if step.map is not None]
    best = max(steps, key=lambda step: -np.inf if step.r2.value is None else step.r2.value, default=None)
    step = relation.rung if relation.rung is not None and relation.rung.map is not None else best
    if step is None:
        return None
    if not relation.channels or relation.by_channel is None:
        return Best(step)
    shapes = tuple(pair.transfer.shape[1:]), tuple(pair.base.shape[1:])
    return Best(step, shapes, relation.by_channel.layout, relation.grid)


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
    observed: tuple[NDArray[Any], NDArray[Any]] | None = None
    """The states (n, ...) as the base's task shows them, and as the transfer's does; None where there are
    ready embeddings alone."""
    best: Best | None = None
    """The map that is drawn; None where no map can be fitted."""
    relation: Relation | None = None
    axes: tuple[int, ...] = ()
    """Axes, or channels, that the relation negates."""
    order: tuple[int, ...] = ()
    """The transfer's axis, or channel, that becomes each of the base's; empty where none change places."""
    of: int | None = None
    """Number of states that these were taken from, of a picture too large to be saved whole."""

    def to_save(self) -> Picture:
        """The picture as it is saved: of so many states, evenly over all, that it has MOST_NUMBERS."""
        held = (self.base, self.transfer, self.base_predictions, self.transfer_predictions)
        size = sum(part.size for part in (*held, *(self.observed or ())) if part is not None)
        if size <= MOST_NUMBERS:
            return self
        n = len(self.base)
        rows = np.unique(np.linspace(0, n - 1, max(1, n * MOST_NUMBERS // size)).astype(np.int64))
        return replace(self.thinned(rows), of=self.of or n)

    @property
    def left_out(self) -> str | None:
        """What a saved picture lacks, in words."""
        if self.of is None:
            return None
        return f"of the {self.of:,} states, the pictures were saved with {len(self.base):,}"

    def thinned(self, rows: NDArray[np.int64]) -> Picture:
        """The picture of some of the states."""
        both = (self.base_predictions, self.transfer_predictions)
        predictions = [None if p is None else p[rows] for p in both]
        seen = None if self.observed is None else (self.observed[0][rows], self.observed[1][rows])
        return replace(
            self,
            base=self.base[rows],
            transfer=self.transfer[rows],
            variables={name: np.asarray(values)[rows] for name, values in self.variables.items()},
            base_predictions=predictions[0],
            transfer_predictions=predictions[1],
            observed=seen,
        )

    def explored(self, most: int, most_axes: int) -> Explored | None:
        """At most so many states along at most so many axes; None between different dimensions.

        The axes are those of :attr:`view`, then, in more than two dimensions, axes of the embeddings: first
        those that the relation names, then those of most variance in the base.
        """
        if self.base.shape != self.transfer.shape:
            return None
        count, d = self.base.shape
        states = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
        base, transfer, view = self.base[states], self.transfer[states], self.view
        places = view.base(base), view.transfer(transfer)
        if view.flat:
            places = self._upright(places[0], states), self._upright(places[1], states)
        axes = {view.titles[i]: (places[0][:, i], places[1][:, i]) for i in (0, 1)}
        if d > 2:
            grid = self.best is not None and self.best.shapes is not None
            moved = [j for j, k in enumerate(self.order) if j != k]
            named = [] if grid else list(dict.fromkeys((*self.axes, *moved)))
            wide = np.argsort(-self.base.var(0), kind="stable")[:most_axes]
            for axis in sorted([*dict.fromkeys((*named, *(int(j) for j in wide)))][:most_axes]):
                axes.setdefault(f"axis {axis}", (base[:, axis], transfer[:, axis]))
        distances = np.linalg.norm(transfer - base, axis=1)
        seen = None if self.observed is None else (self.observed[0][states], self.observed[1][states])
        variables = {name: np.asarray(values)[states] for name, values in self.variables.items()}
        return Explored(states, axes, distances, variables, seen)

    def _upright(self, places: NDArray[np.float64], states: NDArray[np.int64]) -> NDArray[np.float64]:
        """(m, 2) places of one dimension: across each state's rank in the base, and upwards its value."""
        rank = np.argsort(np.argsort(self.base[:, 0], kind="stable"), kind="stable")[states]
        return np.stack([rank.astype(np.float64), places[:, 0]], 1)

    @property
    def view(self) -> View:
        """The plane that shows the relation."""
        places = 1 if self.best is None or self.best.shapes is None else _places(self.best)
        first = self.best is not None and self.best.layout == "channels first"
        return view_of(self.base, self.transfer, self.relation, self.axes, self.order, places, first)

    def drawn(self, most: int) -> Drawn:
        """The picture in two dimensions, of at most this many states, evenly over all.

        Both embeddings go to one plane, that of :attr:`view`; a transfer of other dimensions than the base's
        goes to one of its own. Of far more states than are drawn, the density of all is counted too.
        """
        count = len(self.base)
        states = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
        view = self.view
        every = {"base": view.base(self.base), "transfer": view.transfer(self.transfer)}
        if self.best is not None and self.best.changes:
            every["mapped"] = view.base(self.best(self.transfer))
        if view.flat:
            every = {name: self._upright(places, np.arange(count)) for name, places in every.items()}
        colours = np.full(len(states), "state")
        if self.colour is not None:
            colours = np.asarray(self.variables[self.colour])[states].astype(str)
        return Drawn(
            states,
            colours,
            every["base"][states],
            every["transfer"][states],
            None if view.flat else _ends(view.base, self.base_predictions, states),
            None if view.flat else _ends(view.transfer, self.transfer_predictions, states),
            every["mapped"][states] if "mapped" in every else None,
            view,
            _distances(self.base[states], self.transfer[states]),
            {name: np.asarray(values)[states] for name, values in self.variables.items()},
            _density(every) if count > CROWDED * len(states) else {},
        )


@dataclass(frozen=True)
class Explored:
    """Some states along several axes."""

    states: NDArray[np.int64]
    """(m,) rows of the embeddings."""
    axes: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    """{title: (m,) coordinates in the base's embedding, and in the transfer's}; the view's two come first."""
    distances: NDArray[np.float64]
    """(m,) distance of each state from where the base has it."""
    variables: Mapping[str, NDArray[Any]]
    observed: tuple[NDArray[Any], NDArray[Any]] | None
    """The states (m, ...) as the base's task shows them, and as the transfer's does."""

    @property
    def ranks(self) -> NDArray[np.int64]:
        """(m,) place of each state when the nearest comes first, from 1; equal ones in their order."""
        return np.argsort(np.argsort(self.distances, kind="stable"), kind="stable") + 1

    @property
    def height(self) -> NDArray[np.float64]:
        """(m,) the view's vertical coordinate in the base, by which points are coloured."""
        return next(iter([*self.axes.values()][1:]))[0]

    @property
    def upper(self) -> NDArray[np.bool_]:
        """(m,) whether a state lies in the upper half of the base."""
        return upper_half(self.height)


def upper_half(height: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(m,) whether a state is at least as high as half of them."""
    return height >= np.median(height)


@dataclass(frozen=True)
class Density:
    """How many states lie in each cell of a picture."""

    edges: tuple[NDArray[np.float64], NDArray[np.float64]]
    """(k + 1,) and (k + 1,) the cells' edges, from left to right and from the bottom to the top."""
    counts: NDArray[np.int64]
    """(k, k) states in each cell, by column and row."""


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
    mapped: NDArray[np.float64] | None
    """(m, 2) the transfer after the best map; None where no map helps, or none is needed."""
    view: View
    distances: NDArray[np.float64] | None
    """(m,) distance of each state from where the base has it; None between different dimensions."""
    variables: Mapping[str, NDArray[Any]]
    """{name: (m,)} known variables of the states."""
    density: Mapping[str, Density]
    """{``base``, ``transfer`` or ``mapped``: density of all states}; empty where there are few."""

    @property
    def upper(self) -> NDArray[np.bool_]:
        """(m,) whether a state lies in the upper half of the base."""
        return upper_half(self.base[:, 1])

    def placed(self, other: Picture) -> NDArray[np.float64]:
        """(m, 2) where the transfer of another picture of the same states and base lies in this view."""
        places = self.view.transfer(other.transfer[self.states])
        # Of one dimension the place across is the state's rank in the base, the same in every picture.
        return np.stack([self.base[:, 0], places[:, 0]], 1) if self.view.flat else places


def _places(best: Best) -> int:
    """Places of the grid that a map of channels acts on alike."""
    assert best.shapes is not None
    shape = best.shapes[1]
    channels = shape[0] if best.layout == "channels first" else shape[-1]
    return int(np.prod(shape)) // channels


def _ends(
    plane: probes.Plane, predictions: NDArray[np.float64] | None, states: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    if predictions is None:
        return None
    flat = plane(predictions.reshape(-1, predictions.shape[-1]))
    return flat.reshape(*predictions.shape[:2], 2)[states]


def _distances(base: NDArray[np.float64], transfer: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if base.shape != transfer.shape:
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # a picture may hold what no measure would take
        distances: NDArray[np.float64] = np.linalg.norm(transfer - base, axis=1)
    return distances


def _density(places: Mapping[str, NDArray[np.float64]]) -> dict[str, Density]:
    """The densities of each embedding's places (n, 2), each over its own extent."""
    found = {}
    for name, points in places.items():
        counts, *edges = np.histogram2d(points[:, 0], points[:, 1], CELLS)
        found[name] = Density((edges[0], edges[1]), counts.astype(np.int64))
    return found


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
