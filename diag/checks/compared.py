"""The classes of checks that rest on a comparison of the two embeddings: what a new one begins with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from diag.checks.judging import Found, absent, idle, judged
from diag.checks.kind import Check, Level, Reading
from diag.checks.pair import Pair
from diag.comparisons.result import Comparison
from diag.subject import Subject
from diag.wording import plural

INFORMATION = "nothing frozen reads the embedding, so that where it lies is no failure"
NO_EMBEDDINGS = "the files hold no embeddings"


class EmbeddingCheck(Check, ABC):
    """A check that rests on a comparison of the two embeddings."""

    def lacks(self, subject: Subject, is_base: bool) -> bool:
        return subject.encoder is None and subject.embeddings is None

    def measured(self, pair: Pair) -> Iterator[Found]:
        if pair.comparison is None:
            yield absent(self.name, NO_EMBEDDINGS)
        else:
            yield from self.of(pair.comparison)

    @abstractmethod
    def of(self, result: Comparison) -> Iterator[Found]:
        """Hold a comparison against the limits."""


class ReadCheck(EmbeddingCheck, ABC):
    """A check of an embedding that something frozen reads; of any other it has nothing to say."""

    def of(self, result: Comparison) -> Iterator[Found]:
        if result.frozen == ():
            yield idle(self.name, INFORMATION)
        else:
            yield from self.held(result)

    @abstractmethod
    def held(self, result: Comparison) -> Iterator[Found]:
        """Hold a comparison of an embedding that something frozen reads against the limits."""


class BlindCheck(ReadCheck, ABC):
    """A measure that is blind to some maps, such as flips, and sees what is lost."""

    measure: ClassVar[str]
    """Name among the measures of a comparison."""
    called: ClassVar[str]
    """Name in messages."""
    limited_by: ClassVar[tuple[str, ...]] = ("min",)

    level: Level = "warn"
    min: Reading = Field(0.8, description="Least value that passes")

    def held(self, result: Comparison) -> Iterator[Found]:
        yield judged(self.name, self.called, result.measures[self.measure], "min", least=self.min)


def other_widths(result: Comparison) -> str | None:
    """Words on two embeddings of different dimensions; None where they have the same."""
    base, transfer = result.dimensions
    if base == transfer:
        return None
    return f"the base's embedding has {plural(base, 'dimension')}, and the transfer's has {transfer}"
