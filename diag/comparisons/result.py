"""The result of ``diag compare-embeddings``: how two embeddings relate, with the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diag.comparisons.by_axis import ByAxis
from diag.comparisons.dreams import Dreams
from diag.comparisons.picture import Picture
from diag.result import Columns, FileRef, Grouping, Verdict, finite, head, measure_tree, numbers
from diag.shown import Shown
from probes import ChannelLadders, Measure, Relation, Step

Outcome = Literal["landed", "near", "mirrored", "collapsed", "elsewhere", "free"]
"""Places where a transfer can end, by what follows from them (:mod:`diag.comparisons.conclusion`)."""


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
    best: Step | None = None
    """The rung that names the relation, or else the one of highest R²; None where no map can be fitted."""
    by_axis: ByAxis | None = None
    """Correlation of each axis with the transfer's; None between different dimensions."""
    unrelated_l2: float | None = None
    """Mean distance of a state from where the base has another; None where the pair was read once, or has
    different dimensions."""
    trail: tuple[Stop, ...] = ()
    """Checkpoints along the transfer's training, each compared with the base, in order."""
    share: float | None = None
    """Fraction of the transfer's training completed; None where the file does not say."""
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
            "best": None if self.best is None else _step_tree(self.best),
            "by_axis": None if self.by_axis is None else self.by_axis.to_tree(),
            "l2_unrelated": finite(self.unrelated_l2),
            "trail": [stop.to_tree() for stop in self.trail],
            "open_loop": None if self.dreams is None else self.dreams.to_tree(),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Stop:
    """One checkpoint on the way, against the base."""

    name: str
    """The file's path."""
    share: float | None
    """Fraction of the training completed; None where the file does not say."""
    comparison: Comparison
    """Of this checkpoint with the base."""

    def r2(self, transform: str) -> Measure:
        """Held-out R² of a rung of the ladder."""
        return next(step.r2 for step in self.comparison.ladder if step.transform == transform)

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        found = self.comparison
        return {
            "path": self.name,
            "sha256": found.transfer.sha256,
            "share": finite(self.share),
            "relation": found.relation,
            "axes": list(found.verdict.axes),
            "status": found.verdict.status,
            "r2": measure_tree(self.r2("identity")),
            "r2_signs": measure_tree(self.r2("signs")),
            "own_states": found.own_states,
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
