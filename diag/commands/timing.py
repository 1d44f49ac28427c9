"""How long work will take on this machine, told once it has begun: from how fast its beginning goes."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

SOON = 3.0
"""Seconds of work that a forecast is made from: the first of them go to whatever is done once."""

WORTH = 15.0
"""Seconds left from which a forecast is told: what ends sooner is there before it is read."""


def about(seconds: float) -> str:
    """A time as a person says it.

    >>> about(4), about(44), about(600), about(5500), about(200_000)
    ('some 5 s', 'some 45 s', 'some 10 minutes', 'some 1 h 30 min', 'some 56 hours')
    """
    if seconds < 90:
        return f"some {max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"some {minutes} minutes"
    if minutes < 600:
        whole = 5 * round(minutes / 5)
        return f"some {whole // 60} h {whole % 60} min" if whole % 60 else f"some {whole // 60} h"
    return f"some {round(seconds / 3600)} hours"


class Outlook:
    """Counts work beside its progress, and says once how long the rest of it will take.

    The clock begins with the first work that is told: what comes before it, such as starting processes, says
    nothing of how fast the rest will go.
    """

    def __init__(
        self, total: int, say: Callable[[str], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._total, self._say, self._clock = total, say, clock
        self._done = 0
        self._began: tuple[float, int] | None = None
        self._told = False

    def advance(self, more: int) -> None:
        """So much more is done."""
        self._done += more
        now = self._clock()
        if self._began is None:
            self._began = now, self._done
            return
        spent, work = now - self._began[0], self._done - self._began[1]
        if self._told or spent < SOON or work <= 0:
            return
        self._told = True
        left = (self._total - self._done) * spent / work
        if left >= WORTH:
            self._say(about(left))

    def step(self, done: int, of: int) -> None:
        """So much of so much is done, the whole told anew each time."""
        self._total = of
        self.advance(done - self._done)
