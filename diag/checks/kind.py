"""A check: its settings, what it needs of a subject, and how it measures a pair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import pydantic
from pydantic import Field

from diag.checks.judging import Found
from diag.checks.pair import Pair
from diag.subject import Subject

Level = Literal["error", "warn", "off"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Reading = Annotated[float, Field(ge=-1, le=1)]


class Tree(pydantic.BaseModel):
    """A tree of settings that refuses unknown names and numbers that are none."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Check(Tree, ABC):
    """The settings that every check has, and the questions that the gate puts to it.

    A new check is a subclass in a file of its own and a line in :class:`diag.checks.settings.Checks`. The
    docstring explains it in ``diag.toml`` and in SARIF.
    """

    name: ClassVar[str]
    """Name of its field in Checks, of its table in ``diag.toml`` and of its findings."""
    asks: ClassVar[str]
    """The question that it answers, in its row of docs/check.md."""
    limited_by: ClassVar[tuple[str, ...]]
    """The settings that are its limits, in that row."""
    default: ClassVar[str] = ""
    """Default limits in words, in that row; empty where the settings' own values say it."""

    level: Level = Field(
        "error", description='"error" fails the gate, "warn" only says so, "off" skips the check'
    )
    on_inconclusive: Literal["pass", "warn", "fail"] | None = Field(
        None,
        description='"pass", "warn" or "fail" where the data cannot tell, whatever --strict says '
        "(unset: inconclusive, which for an error check is exit status 4 under --strict, else 0)",
    )

    def lacks(self, subject: Subject, is_base: bool) -> bool:
        """Whether a subject does not offer what the check needs of it; a check that needs nothing says no."""
        return False

    @abstractmethod
    def measured(self, pair: Pair) -> Iterator[Found]:
        """Measure a pair and hold it against the limits: a finding for each part, or why there is none."""
