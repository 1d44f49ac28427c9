"""The result of ``diag landscape A B C …``: the walls between every two checkpoints, and shared basins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diag.landscapes.result import Height, RouteName
from diag.result import SCHEMA_VERSION, FileRef, Verdict, finite, measure_tree, numbers
from diag.shown import Shown
from probes import Floats, Measure

Between = Literal["none", "wall", "open"]
"""Whether a wall stands between two checkpoints; ``open`` where the samples do not tell."""


@dataclass(frozen=True)
class Crossing:
    """One way between two checkpoints, and how far the loss climbs on it from either end."""

    t: Floats
    losses: Floats
    """(points,) total loss from the first checkpoint (t = 0) to the second (t = 1)."""
    low: Floats
    high: Floats
    there: Height
    """The escape height from the first checkpoint, its place measured from there."""
    back: Height
    """The escape height from the second, its place measured from there."""
    frankle: Height
    entezari: Height
    length: float
    """Length of the way in parameter space."""
    gaps: int
    """Number of points where the loss is not finite."""
    between: Between

    @property
    def wall(self) -> Height:
        """The escape height from the end whose loss is higher: what both ends lie below."""
        return self.there if self.losses[0] >= self.losses[-1] else self.back

    @property
    def lost(self) -> bool:
        """Whether a loss on the way is not finite, so that it has no height."""
        return self.wall.value is None

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "between": self.between,
            "wall": self.wall.to_tree(),
            "there": self.there.to_tree(),
            "back": self.back.to_tree(),
            "frankle": self.frankle.to_tree(),
            "entezari": self.entezari.to_tree(),
            "slice": {
                "t": self.t.tolist(),
                "losses": numbers(self.losses),
                "low": numbers(self.low),
                "high": numbers(self.high),
            },
            "length": finite(self.length),
            "gaps": self.gaps,
        }


@dataclass(frozen=True)
class CheckpointPair:
    """Two of the checkpoints, and the ways between them."""

    first: int
    second: int
    """Their numbers among the checkpoints; the first is the smaller."""
    ways: Mapping[RouteName, Crossing]
    """``raw``, and where hidden units are known ``aligned`` and ``nearest``."""

    def __post_init__(self) -> None:
        """Make a way that is the straight line that very one, also of a result read back from JSON."""
        raw = self.ways.get("raw")
        if raw is not None:
            joined = {
                n: raw if way is raw or way.to_tree() == raw.to_tree() else way
                for n, way in self.ways.items()
            }
            object.__setattr__(self, "ways", joined)

    def is_straight(self, way: RouteName) -> bool:
        """Whether another way leads to the second checkpoint itself, and so is the straight line."""
        return way != "raw" and self.ways.get(way) is self.ways["raw"]

    @property
    def matched(self) -> Between:
        """Whether a wall is left on the best of all ways: one without a wall is enough."""
        found = [way.between for way in self.ways.values()]
        return "none" if "none" in found else "open" if "open" in found else "wall"

    @property
    def lost(self) -> bool:
        """Whether no way that is open has a height, so that no samples would tell."""
        return all(way.lost for way in self.ways.values() if way.between == "open")


@dataclass(frozen=True)
class Grouping:
    """Checkpoints sorted by the walls between them."""

    groups: tuple[tuple[int, ...], ...]
    """Checkpoints that ways without a wall join, directly or over others; each checkpoint is in one."""
    through: tuple[tuple[int, int], ...]
    """Pairs within a group between which a wall stands all the same."""
    unknown: tuple[tuple[int, int], ...]
    """Pairs of which it is not known whether a wall stands between them."""
    lost: tuple[tuple[int, int], ...] = ()
    """Those of them of which no samples would tell, since a loss on the way is not finite."""

    @property
    def unsure(self) -> tuple[tuple[int, int], ...]:
        """Those of which more samples would tell."""
        return tuple(pair for pair in self.unknown if pair not in self.lost)

    def to_tree(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "groups": [[names[i] for i in group] for group in self.groups],
            "walls_within": [[names[i], names[j]] for i, j in self.through],
            "unknown": [[names[i], names[j]] for i, j in self.unknown],
            "not_finite": [[names[i], names[j]] for i, j in self.lost],
        }


@dataclass(frozen=True, repr=False)
class LandscapePairs(Shown, kind="landscape_pairs"):
    """The result of ``landscape_pairs``."""

    checkpoints: tuple[FileRef, ...]
    names: tuple[str, ...]
    """A letter for each checkpoint, as texts and pages call it."""
    losses: tuple[Measure, ...]
    """The total loss of each checkpoint."""
    verdict: Verdict
    straight: Grouping
    """The checkpoints sorted by their straight lines alone."""
    matched: Grouping | None
    """The same by the best of all ways; None where hidden units could not be matched at all."""
    pairs: tuple[CheckpointPair, ...]
    task: str
    """The task on whose data losses are taken."""
    weights: Mapping[str, float]
    """Each term's weight in the total."""
    moved: tuple[str, ...]
    pinned: tuple[str, ...]
    samples: int
    points: int
    evaluations: int
    """Number of times that the losses of the whole batch were taken."""
    seed: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    diagnosis: str = "landscape_pairs"

    @property
    def ways(self) -> tuple[RouteName, ...]:
        """The ways that some pair has, in the order in which they are shown."""
        return tuple(dict.fromkeys(name for pair in self.pairs for name in pair.ways))

    def pair(self, first: int, second: int) -> CheckpointPair:
        """The pair of two checkpoints' numbers, in either order; raises KeyError."""
        wanted = tuple(sorted((first, second)))
        for one in self.pairs:
            if (one.first, one.second) == wanted:
                return one
        raise KeyError(wanted)

    def height(self, way: RouteName, start: int, end: int) -> Height | None:
        """The escape height from one checkpoint to another on a way; None where the pair has not the way."""
        found = self.pair(start, end).ways.get(way)
        if found is None:
            return None
        return found.there if start < end else found.back

    def matrix(self, way: RouteName) -> list[list[float | None]]:
        """Escape heights in rows from, columns to; None on the diagonal, and where there is no number."""
        count = range(len(self.names))
        heights = [[None if i == j else self.height(way, i, j) for j in count] for i in count]
        return [[None if one is None else finite(one.value) for one in row] for row in heights]

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "diagnosis": self.diagnosis,
            "checkpoints": [
                {"name": name, "path": ref.path, "sha256": ref.sha256, "loss": measure_tree(loss)}
                for name, ref, loss in zip(self.names, self.checkpoints, self.losses, strict=True)
            ],
            "verdict": self.verdict.to_tree(),
            "task": self.task,
            "escape": {way: self.matrix(way) for way in self.ways},
            "straight": self.straight.to_tree(self.names),
            "matched": None if self.matched is None else self.matched.to_tree(self.names),
            "pairs": [
                {
                    "first": self.names[pair.first],
                    "second": self.names[pair.second],
                    "between": pair.matched,
                    "ways": {name: way.to_tree() for name, way in pair.ways.items()},
                }
                for pair in self.pairs
            ],
            "weights": dict(self.weights),
            "moved": list(self.moved),
            "pinned": list(self.pinned),
            "samples": self.samples,
            "points": self.points,
            "evaluations": self.evaluations,
            "seed": self.seed,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def shown_state(self) -> list[str]:
        best = self.straight if self.matched is None else self.matched
        return [self.verdict.status, f"{len(self.names)} checkpoints in {len(best.groups)} groups"]

    def shown_files(self) -> list[str]:
        return [ref.path for ref in self.checkpoints]
