"""The settings of a gate: names, types, defaults and meanings, one place for all of them.

The same names stand in ``diag.toml``, in ``[tool.diag]`` of ``pyproject.toml`` and after ``--set``. What a
field means is said beside it: ``diag check --write-config`` writes these words into the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from trainers.settings import dotted_names

Level = Literal["error", "warn", "off"]
Known = Literal["matched", "flipped", "permuted", "rotated", "rescaled", "affine", "collapsed", "unrelated"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Reading = Annotated[float, Field(ge=-1, le=1)]


class Tree(pydantic.BaseModel):
    """What all settings share: unknown names and numbers that are none are refused."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Check(Tree):
    """What every check has."""

    level: Level = Field(
        "error", description='"error" fails the gate, "warn" only says so, "off" does not look'
    )
    on_inconclusive: Literal["pass", "warn", "fail"] | None = Field(
        None,
        description='"pass", "warn" or "fail" where the data cannot tell, whatever --strict says '
        "(unset: inconclusive, which for an error check is exit status 4 under --strict, else 0)",
    )


class RelationCheck(Check):
    """How the transfer's embedding lies to the base's (docs/measures.md)."""

    allow: Annotated[tuple[Known, ...], Field(min_length=1, strict=False)] = Field(
        ("matched",), description="Relations that pass"
    )


class StatesCheck(Check):
    """How many states lie nearest to their own base state; where every state is listed."""

    level: Level = "warn"
    min: Annotated[int, Field(ge=1)] | None = Field(
        None, description="At least so many (unset: as many as the world asks for, 29 of the maze's 31)"
    )


class L2Check(Check):
    """Mean L2 distance of paired embeddings, as a share of the base's spread."""

    max: Positive = Field(0.35, description="At most; successful transfers of the maze have 0.04 to 0.17")


class R2Check(Check):
    """R² of the identity: how much of the base's variance the transfer's embedding explains as it is."""

    min: Annotated[float, Field(le=1)] = Field(
        0.8, description="At least; successful transfers of the maze have 0.97 or more"
    )


class CkaCheck(Check):
    """Linear CKA without its bias: blind to flips, sees what is lost."""

    level: Level = "warn"
    min: Reading = Field(0.8, description="At least")


class CcaCheck(Check):
    """Mean canonical correlation: blind to every linear map, sees what is lost."""

    level: Level = "warn"
    min: Reading = Field(0.8, description="At least")


class CollapseCheck(Check):
    """Whether the embedding keeps the base's variance and its effective rank."""

    min_variance: Share = Field(0.5, description="The transfer's variance over the base's, at least")
    min_rank: Share = Field(0.7, description="The transfer's effective rank over the base's, at least")


class LossCheck(Check):
    """Each loss term of the transfer on the target task, over the base's on the source task."""

    level: Level = "warn"
    max: Positive = Field(2.0, description="At most so many times the base's, for the total and each term")
    terms: Mapping[str, Positive] = Field(
        {}, description="Limits of single terms instead, such as { transition = 5.0 }"
    )
    floor: Share = Field(
        0.05,
        description="A term of the base counts as at least this share of its total: many times next to "
        "nothing is still nothing",
    )
    samples: Annotated[int, Field(ge=100, le=10**6)] = Field(1240, description="Transitions per task")


class ProbeCheck(Check):
    """What a linear probe reads of each known state variable, beside what it reads from the base."""

    level: Level = "warn"
    max_drop: Positive = Field(
        0.2, description="The score (R², or balanced accuracy) may fall by at most this"
    )


class ReturnsCheck(Check):
    """Non-inferiority of the returns: worse by less than the margin, with an interval."""

    margin: Positive = Field(0.1, description="So much worse is still as good")
    relative: bool = Field(
        True,
        validate_default=True,
        description="Whether the margin is a share of the reference's mean return",
    )
    reference: float | None = Field(
        None, description="A mean return to hold the transfer against (unset: the base's on its own task)"
    )
    episodes: Annotated[int, Field(ge=2, le=10**6)] = Field(
        100, description="Episodes to run, where the source can run them"
    )

    @pydantic.field_validator("relative")
    @classmethod
    def _a_share(cls, relative: bool, info: pydantic.ValidationInfo) -> bool:
        if relative and info.data.get("margin", 0.0) >= 1:
            raise ValueError(f"false for a margin of {info.data['margin']:g}, which as a share is no limit")
        return relative


class ForecastCheck(Check):
    """The probability that a transfer ends matched, where it has updates left to do (docs/forecast.md)."""

    level: Level = "warn"
    min: Share = Field(0.5, description="At least")


class Checks(Tree):
    """The checks, in the order they are reported."""

    relation: RelationCheck = RelationCheck()
    r2: R2Check = R2Check()
    l2: L2Check = L2Check()
    states: StatesCheck = StatesCheck()
    collapse: CollapseCheck = CollapseCheck()
    cka: CkaCheck = CkaCheck()
    cca: CcaCheck = CcaCheck()
    loss_ratio: LossCheck = LossCheck()
    probe: ProbeCheck = ProbeCheck()
    returns: ReturnsCheck = ReturnsCheck()
    forecast: ForecastCheck = ForecastCheck()


class GateSettings(Tree):
    """A gate."""

    strict: bool = Field(False, description="Exit with status 4 where an error check is inconclusive")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="Of every bootstrap and sample")
    unfrozen: bool | None = Field(
        None, description="Nothing frozen reads the embedding: where it lies is information, no failure"
    )
    margin: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="R² within which two maps are as good (unset: 0.05)"
    )
    worse_than_baseline: Level = Field(
        "warn", description="Of a number whose whole interval is worse than the one that --baseline holds"
    )
    check: Checks = Checks()


def setting_names() -> list[str]:
    """The dotted names of all settings, in order."""
    return list(dotted_names(GateSettings))


def plain(settings: GateSettings) -> dict[str, Any]:
    """The settings as plain nested values."""
    return settings.model_dump(mode="json")
