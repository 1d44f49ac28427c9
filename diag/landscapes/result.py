"""The result of ``diag landscape``: routes between two checkpoints, their heights, and how the ends sit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from diag.landscapes.place import Place
from diag.landscapes.sharpness import Sharpness
from diag.result import FileRef, Verdict, drift_tree, finite, head, measure_tree, numbers
from diag.saved.typed import NOT_SAVED
from diag.shown import Shown
from diag.subject import Film
from diag.units.drift import Drift
from probes import Floats, Measure

RouteName = Literal["raw", "aligned", "nearest", "curve", "embedding"]

ROUTES: Mapping[RouteName, str] = {
    "raw": "the straight line between the weights",
    "aligned": "B's hidden units are put in the order, and given the signs, of those of A that act alike",
    "nearest": "the line leads to the copy of B that computes the same and whose weights lie nearest to A's",
    "curve": "a Bézier curve fitted to keep its highest point low: an upper bound on the lowest wall",
    "embedding": "the line leads from A's embeddings of the observations to B's, and the models read it",
}
"""The ways from A to B, in words, in the order they are shown."""

TOTAL = "total"


@dataclass(frozen=True)
class Height:
    """One height of a wall and the t where it is reached, for the total loss and for each term."""

    value: float | None
    low: float | None
    high: float | None
    at: float | None
    bias: float | None
    """Bootstrap estimate of how much too high the supremum of noisy losses is; the interval is corrected
    for it, the value is not."""
    per_loss: Mapping[str, Measure]
    per_loss_at: Mapping[str, float | None]

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "value": finite(self.value),
            "low": finite(self.low),
            "high": finite(self.high),
            "at": self.at,
            "bias": finite(self.bias),
            "per_loss": {
                term: {**measure_tree(m), "at": self.per_loss_at[term]} for term, m in self.per_loss.items()
            },
        }


@dataclass(frozen=True)
class Route:
    """Losses along one way from A (t = 0) to B (t = 1), and the heights of the wall on it."""

    t: Floats
    losses: Mapping[str, Floats]
    """``total`` and each term, (points,)."""
    low: Mapping[str, Floats]
    high: Mapping[str, Floats]
    barrier: Mapping[str, Height]
    """``escape``, ``frankle``, ``entezari``, over t from 0 to 1."""
    length: float
    """Length of the route from A to B, in parameter space (in embedding space for ``embedding``)."""
    gaps: int
    """Number of points where the total is not finite."""
    per_sample: Mapping[str, Floats] | None = field(default=None, metadata=NOT_SAVED)
    """{term: (points, n)} the loss of each sample, where they were asked for."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "slice": self.slice_tree(),
            **{kind: height.to_tree() for kind, height in self.barrier.items()},
            "length": finite(self.length),
            "gaps": self.gaps,
        }

    def slice_tree(self) -> dict[str, Any]:
        """The curves of the documented JSON, without heights."""
        return {
            "t": self.t.tolist(),
            "losses": {name: numbers(v) for name, v in self.losses.items()},
            "low": {name: numbers(v) for name, v in self.low.items()},
            "high": {name: numbers(v) for name, v in self.high.items()},
        }


@dataclass(frozen=True)
class Returns:
    """Mean returns at some points of the straight line."""

    t: Floats
    value: Floats
    low: Floats
    high: Floats
    episodes: int
    gain: Gain | None = None
    """Differences to A; None where the system does not say that it plays the same episodes at each t."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        columns = {n: numbers(getattr(self, n)) for n in ("value", "low", "high")}
        gain = None if self.gain is None else self.gain.to_tree()
        return {"t": self.t.tolist(), **columns, "episodes": self.episodes, "gain": gain}


@dataclass(frozen=True)
class Gain:
    """Mean differences of the returns to those of A, episode by episode; every array is (points,)."""

    value: Floats
    low: Floats
    high: Floats

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {n: numbers(getattr(self, n)) for n in ("value", "low", "high")}


@dataclass(frozen=True)
class Moves:
    """Spread and fit of the embedding along the straight line; every array is (points,)."""

    t: Floats
    variance: Floats
    effective_rank: Floats
    r2: Mapping[str, Floats]
    """Held-out R² to the reference's embedding, by rung: identity, signs, orthogonal, affine."""
    reference: str | None
    """The checkpoint whose embedding R² refers to; None where there is none."""
    returns: Returns | None = None

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        tree: dict[str, Any] = {
            "t": self.t.tolist(),
            "variance": numbers(self.variance),
            "effective_rank": numbers(self.effective_rank),
            "reference": self.reference,
            "r2": {rung: numbers(v) for rung, v in self.r2.items()},
            "returns": None if self.returns is None else self.returns.to_tree(),
        }
        return tree


@dataclass(frozen=True)
class Conflict:
    """Gradients of the loss terms along the straight line: cosines and slopes; every array is (points,)."""

    t: Floats
    cosine: Mapping[tuple[str, str], Floats]
    """Cosine of the gradients of two terms: −1 where they pull against each other; NaN where one is 0."""
    slope: Mapping[str, Floats]
    """Each weighted term's derivative in t: positive where moving on raises it."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "t": self.t.tolist(),
            "cosine": [{"terms": list(pair), "values": numbers(v)} for pair, v in self.cosine.items()],
            "slope": {term: numbers(v) for term, v in self.slope.items()},
        }


@dataclass(frozen=True)
class TaskSlice:
    """All routes on one task's data."""

    task: str
    routes: Mapping[RouteName, Route]
    moves: Moves | None
    conflict: Conflict | None

    @property
    def raw(self) -> Route:
        """The straight line."""
        return self.routes["raw"]

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "slice": self.raw.slice_tree(),
            "barrier": {kind: height.to_tree() for kind, height in self.raw.barrier.items()},
            "paths": {name: route.to_tree() for name, route in self.routes.items()},
            "embedding": None if self.moves is None else self.moves.to_tree(),
            "conflict": None if self.conflict is None else self.conflict.to_tree(),
        }


@dataclass(frozen=True)
class Seat:
    """Sharpness and place of a checkpoint in the loss of the headline task."""

    name: str
    """``A``, ``B`` or ``C``."""
    sharpness: Sharpness
    place: Place

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {"place": self.place.kind, "summary": self.place.summary, **self.sharpness.to_tree()}


PlaneKind = Literal["three", "random", "trail"]


@dataclass(frozen=True)
class Mark:
    """A checkpoint drawn on a plane, at its own coordinates or at those of its foot."""

    name: str
    alpha: float
    beta: float
    off: float
    """Distance of the checkpoint from the plane, in parameter space."""


@dataclass(frozen=True)
class Outline:
    """A plane through parameter space: its kind, its grid, and the checkpoints drawn on it."""

    kind: PlaneKind
    alpha: Floats
    beta: Floats
    marks: tuple[Mark, ...]
    axes: tuple[str, str]
    """The directions of α and β, in words."""
    lengths: tuple[float, float]
    """Lengths of one unit of α and of β, in parameter space."""
    angle: float
    """Angle between the two directions, in degrees."""
    explained: tuple[float, float] | None = None
    """Share of a trail's variance along each axis; None for other planes."""
    third: FileRef | None = None
    trail: tuple[FileRef, ...] = ()
    """The files of the marks 1, 2, …"""


@dataclass(frozen=True, kw_only=True)
class Plane(Outline):
    """Losses on a plane through parameter space."""

    losses: Mapping[str, Mapping[str, Floats]]
    """{task: {``total`` and each term: (beta, alpha)}}."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        third = self.third
        return {
            "kind": self.kind,
            "third": None if third is None else {"path": third.path, "sha256": third.sha256},
            "trail": [{"path": file.path, "sha256": file.sha256} for file in self.trail],
            "alpha": self.alpha.tolist(),
            "beta": self.beta.tolist(),
            "losses": {
                task: {name: [numbers(row) for row in values] for name, values in terms.items()}
                for task, terms in self.losses.items()
            },
            "marks": [
                {"name": m.name, "alpha": m.alpha, "beta": m.beta, "off": finite(m.off)} for m in self.marks
            ],
            "axes": list(self.axes),
            "lengths": [finite(length) for length in self.lengths],
            "angle": finite(self.angle),
            "explained": None if self.explained is None else list(self.explained),
        }


@dataclass(frozen=True, eq=False)
class Played:
    """An episode as one checkpoint plays it on its own task."""

    name: str
    """``A``, ``B`` or ``the base``."""
    path: str
    task: str
    mean: float
    """Mean return of all the episodes of which this is one."""
    film: Film


@dataclass(frozen=True)
class PlayedEpisode:
    """The same episode played by the base, by A and by B."""

    players: tuple[Played, ...]
    number: int
    """The episode, of so many."""
    of: int

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON, without the pictures."""
        return {
            "number": self.number,
            "of": self.of,
            "players": [
                {
                    "name": p.name,
                    "path": p.path,
                    "task": p.task,
                    "mean": finite(p.mean),
                    "summary": p.film.summary,
                }
                for p in self.players
            ],
        }


@dataclass(frozen=True, repr=False)
class Landscape(Shown, kind="landscape"):
    """The result of ``landscape``."""

    base: FileRef
    """The checkpoint A at t = 0, which the escape height is measured from."""
    transfer: FileRef
    """The checkpoint B at t = 1."""
    verdict: Verdict
    task: str
    """The task of the headline."""
    tasks: Mapping[str, TaskSlice]
    weights: Mapping[str, float]
    """Each term's weight in the total."""
    distance: float
    """Euclidean distance of the two checkpoints' moving parameters."""
    moved: tuple[str, ...]
    """The components that move from A to B."""
    pinned: tuple[str, ...]
    """Components that were held fixed, and at which values, in words."""
    seats: tuple[Seat, ...]
    samples: int
    seed: int
    planes: tuple[Plane, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """State that is computed afresh at every point, and the precision of the losses, in words."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Parts of the result that could not be computed, each with the reason."""
    episode: PlayedEpisode | None = None
    """One episode as A, B and their base play it; None where none can be drawn, or little time was given."""
    drift: tuple[Drift, ...] = ()
    """How far B's weights lie from A's by component and layer, with the plan where one was made from the
    other."""
    diagnosis: str = "landscape"

    @property
    def routes(self) -> Mapping[RouteName, Route]:
        """The headline task's routes."""
        return self.tasks[self.task].routes

    @property
    def barrier(self) -> Mapping[str, Height]:
        """The heights on the headline task's straight line."""
        return self.routes["raw"].barrier

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        headline = self.tasks[self.task].to_tree()
        return {
            **head(self.diagnosis, self.base, self.transfer, self.verdict),
            "task": self.task,
            "slice": headline["slice"],
            "barrier": headline["barrier"],
            "paths": headline["paths"],
            "sharpness": {seat.name: seat.to_tree() for seat in self.seats},
            "tasks": {name: s.to_tree() for name, s in self.tasks.items()},
            "weights": dict(self.weights),
            "distance": finite(self.distance),
            "moved": list(self.moved),
            "pinned": list(self.pinned),
            "samples": self.samples,
            "seed": self.seed,
            "planes": [plane.to_tree() for plane in self.planes],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "missing": dict(self.missing),
            "weights_moved": [drift_tree(one) for one in self.drift],
            "episode": None if self.episode is None else self.episode.to_tree(),
        }
