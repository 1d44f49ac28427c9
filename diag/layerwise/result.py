"""The result of ``diag layers``: how each layer of two networks relates, and every layer with every other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diag.result import FileRef, Verdict, drift_tree, finite, head, measure_tree, numbers
from diag.shown import Shown
from diag.units.drift import Drift, Kept
from probes import Floats, Measure, Relation

FREE: tuple[Relation, ...] = ("matched", "flipped", "permuted")
"""Relations that leave what a network computes as it is, where the layers after it follow suit."""


NOT_SOUGHT = "relations were not asked for"
"""The reason of a layer whose relation was left out."""

SURE = 0.95
"""Share of resamples in which a layer must not be matched to count as one that differs."""


@dataclass(frozen=True)
class LayerPair:
    """One layer of the base, and the transfer's of the same name, on the same inputs."""

    name: str
    part: str
    """The module's own name of the layer."""
    kind: str
    """The layer's class."""
    units: tuple[int, int]
    """Units of the base's layer, and of the transfer's."""
    relation: Relation | None
    """The relation of the transfer's units to the base's; None where it is open or was not sought."""
    agreement: float | None
    """Share of resamples that name the same relation."""
    as_it_is: Measure
    """R² of the transfer's units as they stand, beside the base's."""
    matched: Measure
    """R² once its units are put in the base's order, with signs."""
    linear: Measure
    """R² of the best linear map of its units."""
    cka: Measure
    """Debiased CKA of the whole layers."""
    moved: float | None
    """Distance of its weights from the base's, relative to these; None for an input, or other shapes."""
    frozen: Kept | None
    """Whether its weights are the base's own: ``exactly``, or rounded to a half precision of that name."""
    mismatch: float | None = None
    """Share of resamples in which some map does better than none, by more than the margin."""
    is_input: bool = False
    """Whether this is what a layer reads, and not what it gives."""
    reason: str | None = None
    """Why there is no relation."""

    @property
    def differs(self) -> bool:
        """Whether the layer surely does not lie where the base's does, whether or not a relation is named."""
        if self.relation is not None:
            return self.relation != "matched"
        return self.mismatch is not None and self.mismatch >= SURE

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "units": list(self.units),
            "relation": self.relation,
            "differs": self.differs,
            "agreement": finite(self.agreement),
            "r2_as_it_is": measure_tree(self.as_it_is),
            "r2_units_matched": measure_tree(self.matched),
            "r2_linear": measure_tree(self.linear),
            "cka_debiased": measure_tree(self.cka),
            "weights_moved": finite(self.moved),
            "frozen": self.frozen is not None,
            "frozen_as": self.frozen,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class LayerMap:
    """Every layer of the base beside every layer of the transfer."""

    base: tuple[str, ...]
    """Names of the base's layers, in the order in which they run."""
    transfer: tuple[str, ...]
    cka: Floats
    """(base's layers, transfer's layers) debiased CKA; NaN where one does not vary."""
    cka_low: Floats
    cka_high: Floats
    r2: Floats
    """(base's layers, transfer's layers) held-out R² of the best linear map from the transfer's layer."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "base": list(self.base),
            "transfer": list(self.transfer),
            "cka_debiased": [numbers(row) for row in self.cka],
            "cka_low": [numbers(row) for row in self.cka_low],
            "cka_high": [numbers(row) for row in self.cka_high],
            "r2_linear": [numbers(row) for row in self.r2],
        }


@dataclass(frozen=True, repr=False)
class LayersCompared(Shown, kind="layers"):
    """The result of ``diag layers``."""

    base: FileRef
    transfer: FileRef
    verdict: Verdict
    layers: tuple[LayerPair, ...]
    """Layers of one name in both networks, in the order in which the base's run."""
    weights: tuple[Drift, ...]
    """How far each component's weights moved, and each of its layers', with what the plan did with them."""
    map: LayerMap
    differs: str | None
    """The first layer that does not lie where the base's does; None where all do."""
    departs: str | None
    """The first layer that differs by more than the order and the signs of its units."""
    reader: str | None
    """The first layer with the base's own weights that runs after one without, or the components that a
    checkpoint says are frozen; None where nothing frozen reads what changed."""
    inputs: int
    """Number of inputs that both networks were shown."""
    rows: int
    """Number of rows that relations rest on: places of inputs."""
    batches: int
    world: str
    """Name of the inputs."""
    seed: int
    warnings: tuple[str, ...] = ()

    def layer(self, name: str) -> LayerPair:
        """The layer of a name; raises KeyError."""
        for one in self.layers:
            if one.name == name:
                return one
        raise KeyError(name)

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            **head("layers", self.base, self.transfer, self.verdict),
            "differs": self.differs,
            "departs": self.departs,
            "frozen_reader": self.reader,
            "layers": [one.to_tree() for one in self.layers],
            "weights": [drift_tree(one) for one in self.weights],
            "map": self.map.to_tree(),
            "inputs": self.inputs,
            "rows": self.rows,
            "batches": self.batches,
            "world": self.world,
            "seed": self.seed,
            "warnings": list(self.warnings),
        }

    def shown_state(self) -> list[str]:
        return [f"{len(self.layers)} layers", f"first that differs: {self.differs or 'none'}"]

    def shown_files(self) -> list[str]:
        return [self.base.path, self.transfer.path]
