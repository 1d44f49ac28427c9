"""The settings of a gate: names, types, defaults and meanings, and the list of all checks.

The same names stand in ``diag.toml``, in ``[tool.diag]`` of ``pyproject.toml`` and after ``--set``. What a
field means is said beside it: ``diag check --write-config`` writes these words into the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from diag.checks.embeddings import (
    CcaCheck,
    CkaCheck,
    CollapseCheck,
    L2Check,
    R2Check,
    RelationCheck,
    StatesCheck,
)
from diag.checks.forecasting import ForecastCheck
from diag.checks.kind import Check, Level, Tree
from diag.checks.layering import LayersCheck
from diag.checks.losses import LossCheck
from diag.checks.probing import ProbeCheck
from diag.checks.returns import ReturnsCheck
from trainers.settings import dotted_names


class Checks(Tree):
    """The settings of every check, in the order they are reported; a line adds a check."""

    relation: RelationCheck = RelationCheck()
    r2: R2Check = R2Check()
    l2: L2Check = L2Check()
    states: StatesCheck = StatesCheck()
    collapse: CollapseCheck = CollapseCheck()
    cka: CkaCheck = CkaCheck()
    cca: CcaCheck = CcaCheck()
    loss_ratio: LossCheck = LossCheck()
    layers: LayersCheck = LayersCheck()
    probe: ProbeCheck = ProbeCheck()
    returns: ReturnsCheck = ReturnsCheck()
    forecast: ForecastCheck = ForecastCheck()

    def each(self) -> Iterator[Check]:
        """Every check, with its settings."""
        return (getattr(self, name) for name in type(self).model_fields)

    def wanted(self) -> Iterator[Check]:
        """Every check that is not off."""
        return (check for check in self.each() if check.level != "off")


class GateSettings(Tree):
    """A gate."""

    strict: bool = Field(False, description="Exit with status 4 where an error check is inconclusive")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        0, description="Seed of the random numbers of every bootstrap and sample"
    )
    unfrozen: bool | None = Field(
        None, description="Nothing frozen reads the embedding: where it lies is information, no failure"
    )
    margin: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="R² within which two maps are equally good (unset: 0.05)"
    )
    worse_than_baseline: Level = Field(
        "warn",
        description="Level of a number whose whole interval is worse than the one that --baseline holds",
    )
    check: Checks = Checks()


def setting_names() -> list[str]:
    """The dotted names of all settings, in order."""
    return list(dotted_names(GateSettings))


def plain(settings: GateSettings) -> dict[str, Any]:
    """The settings as plain nested values."""
    return settings.model_dump(mode="json")
