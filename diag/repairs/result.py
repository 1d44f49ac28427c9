"""The result of a repair: what was tried, and the embedding at each stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from diag.comparisons.result import Comparison
from diag.repairs.fits import Few, Fit
from diag.repairs.returns import Played
from diag.repairs.search import Search
from diag.result import FileRef, Verdict, finite, head, measure_tree
from diag.saved.typed import NOT_SAVED
from diag.shown import Shown
from probes import Relation

if TYPE_CHECKING:
    from torch import Tensor

Mode = Literal["paired", "task"]
"""Kind of further training: on the task's losses and the pairs' distances, or as the transfer was trained."""

StageName = Literal["before", "folded", "trained"]


@dataclass(frozen=True)
class Stage:
    """The embedding at one point of the repair, against the base's."""

    name: StageName
    comparison: Comparison
    r2: float | None
    """R² of the embedding to the base's over all states, without any map."""
    losses: Mapping[str, float]
    """Each loss term of the target task and their ``total``; empty for arrays."""
    updates: int = 0
    """Number of updates trained up to this stage."""

    @property
    def own_states(self) -> int | None:
        return self.comparison.own_states

    @property
    def success(self) -> bool | None:
        return self.comparison.success

    @property
    def relation(self) -> Relation | None:
        return self.comparison.relation

    def to_tree(self) -> dict[str, Any]:
        compared = self.comparison
        return {
            "stage": self.name,
            "relation": compared.relation,
            "status": compared.verdict.status,
            "own_states": compared.own_states,
            "success": compared.success,
            "r2": finite(self.r2),
            "l2": measure_tree(compared.measures["l2"]),
            "losses": {term: finite(v) for term, v in self.losses.items()},
            "updates": self.updates,
        }


@dataclass(frozen=True)
class Training:
    """The training of a repaired encoder."""

    mode: Mode
    updates: int
    """Number of updates in all, those of a search's candidates included."""
    of_budget: int
    """Number of updates in the transfer's own training."""
    own: int
    """Number of updates of the mended encoder; fewer than ``updates`` where a search trained others too."""

    @property
    def share(self) -> float:
        return self.updates / self.of_budget

    def to_tree(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "updates": self.updates,
            "of_budget": self.of_budget,
            "own": self.own,
            "share": self.share,
        }


@dataclass(frozen=True, repr=False)
class Repair(Shown, kind="repair"):
    """The result of ``repair``."""

    base: FileRef
    transfer: FileRef
    verdict: Verdict
    written: str | None
    """File of the mended checkpoint, or embedding; None where it was not written."""
    fits: tuple[Fit, ...]
    """Maps and last layers fitted to the pairs, the best on held-out pairs first."""
    chosen: Fit | None
    """The fit that was folded in."""
    pairs: int
    of_pairs: int
    """Number of possible pairs: the world's states, or the rows of the arrays."""
    few: Few | None
    """The smallest number of pairs that the chosen map needs."""
    search: Search | None
    """The search without pairs; None where pairs were used."""
    training: Training | None
    stages: tuple[Stage, ...]
    """The stages of the repair: before, with the map folded in, and after further training."""
    seed: int
    warnings: tuple[str, ...]
    parameters: Mapping[str, Tensor] | None = field(default=None, metadata=NOT_SAVED)
    """Parameters of the mended encoder and the frozen models, for checkpoints; not part of the JSON."""
    embedding: NDArray[np.float64] | None = field(default=None, metadata=NOT_SAVED)
    """(n, d) the mended embedding of all states or rows; not part of the JSON."""
    map: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = field(default=None, metadata=NOT_SAVED)
    """Map from embeddings of the failing encoder to the base's, where the repair is such a map."""
    played: Played | None = None
    """Returns of base, transfer and mended transfer; None where they cannot act."""
    diagnosis: str = "repair"

    def __post_init__(self) -> None:
        """Make the chosen fit one of ``fits``, which renderers tell it by, also of a result read back."""
        chosen = self.chosen
        if chosen is None or any(fit is chosen for fit in self.fits):
            return
        alike = [fit for fit in self.fits if (fit.name, fit.method) == (chosen.name, chosen.method)]
        object.__setattr__(self, "chosen", alike[0] if alike else chosen)

    @property
    def relation(self) -> Relation | None:
        """Relation of the mended embedding to the base's."""
        return self.verdict.relation

    @property
    def before(self) -> Stage:
        return self.stages[0]

    @property
    def after(self) -> Stage:
        """The last stage: the first one where nothing was done."""
        return self.stages[-1]

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            **head(self.diagnosis, self.base, self.transfer, self.verdict),
            "written": self.written,
            "method": None if self.chosen is None else self.chosen.method,
            "map": None if self.chosen is None else self.chosen.to_tree(),
            "candidates": [{"name": f.name, "method": f.method, **measure_tree(f.r2)} for f in self.fits],
            "pairs": self.pairs,
            "of_pairs": self.of_pairs,
            "enough": None if self.few is None else self.few.to_tree(),
            "search": None if self.search is None else self.search.to_tree(),
            "returns": None if self.played is None else self.played.to_tree(),
            "training": None if self.training is None else self.training.to_tree(),
            "stages": [s.to_tree() for s in self.stages],
            "success_states": self.before.comparison.success_states,
            "seed": self.seed,
            "warnings": list(self.warnings),
        }
