"""A base and a transfer as the checks see them; what they need of the base is measured once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from diag.comparisons.result import Comparison
from diag.subject import Subject

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Base:
    """A base, and what checks measure of it: computed once, when the first transfer asks for it."""

    subject: Subject
    said: list[str] = field(default_factory=list)
    """Warnings about how the base was measured, which concern every transfer."""
    _kept: dict[str, Any] = field(default_factory=dict)

    def once(self, check: str, measure: Callable[[], Measured]) -> Measured:
        """The result of ``measure``, which is called the first time that ``check`` asks."""
        if check not in self._kept:
            self._kept[check] = measure()
        kept: Measured = self._kept[check]
        return kept


@dataclass(frozen=True)
class Pair:
    """One transfer beside its base."""

    base: Base
    transfer: Subject
    comparison: Comparison | None
    """The comparison of the embeddings; None where there are none, or no check looks at them."""
    seed: int
    """Seed of every bootstrap and sample."""
    say: Callable[[str], None] = lambda words: None
    """Called with each warning about how the transfer was measured."""
