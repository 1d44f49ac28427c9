"""Time left of work that is under way: at the mean speed so far, and told once in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp
from time import monotonic

from diag.wording import about, duration

EASE = 1.0
"""Seconds in which a bar makes up most (1 − 1/e) of what it is behind."""

AHEAD = 0.9
"""Share of the largest step so far that a bar may run ahead of what was reported."""

SOON = 3.0
"""Seconds of work that a forecast is made from: the first of them go to whatever is done once."""

WORTH = 15.0
"""Seconds left from which a forecast is told: what ends sooner is there before it is read."""


@dataclass
class Pace:
    """Speed of work, the time left at it, and how much to show as done between two reports.

    What is shown goes on at the mean speed so far, a step ahead of what was reported at most, catches up
    with a report within about a second, and never goes back. Times are seconds.
    """

    total: int
    began: float
    done: int = 0
    _at: float = 0.0
    """Time of the last report."""
    _largest: int = 0
    _shown: float = 0.0
    _seen: float | None = None
    """Time at which it was last shown."""

    def report(self, count: int, now: float) -> None:
        """Count further work as done."""
        self.done += count
        self._at, self._largest = now, max(self._largest, count)

    def shown(self, now: float) -> float:
        """Amount of work to show as done."""
        if self.done >= self.total:
            return float(self.total)
        speed = self.done / (self._at - self.began) if self.done and self._at > self.began else 0.0
        ahead = min(speed * (now - self._at), AHEAD * self._largest)
        target = min(self.done + ahead, float(self.total))
        passed = 0.0 if self._seen is None else now - self._seen
        self._seen = now
        self._shown += max(0.0, target - self._shown) * (1 - exp(-passed / EASE))
        return self._shown

    def left(self, now: float) -> float | None:
        """Seconds left at the mean speed so far; None before there is one."""
        if not self.done or now <= self.began:
            return None
        return max(0.0, (self.total - self.done) * (self._at - self.began) / self.done - (now - self._at))

    def left_in_words(self, now: float) -> str:
        """``about 24 s left``; empty before there is a speed."""
        left = self.left(now)
        return "" if left is None else f"{about(left)} left"

    def rate_in_words(self, now: float) -> str:
        """``1,250/s`` where things are counted; nothing for percent."""
        if self.total == 100 or not self.done or now <= self.began:
            return ""
        return f"{self.done / (now - self.began):,.0f}/s, "

    def time_in_words(self, now: float) -> str:
        """Rate, and the time that has passed and is left."""
        left = self.left_in_words(now)
        tail = f", {left}" if left else ""
        return f"{self.rate_in_words(now)}{duration(now - self.began)}{tail}"


class Outlook:
    """Says once, soon after work has begun, how long the rest of it will take.

    The clock begins with the first work that is told: what comes before it, such as starting processes, says
    nothing of how fast the rest will go.
    """

    def __init__(
        self, total: int, say: Callable[[str], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._total, self._say, self._clock = total, say, clock
        self._done = 0
        self._pace: Pace | None = None
        self._told = False

    def advance(self, more: int) -> None:
        """Count further work as done, and tell the time left where it is due."""
        self._done += more
        now = self._clock()
        if self._pace is None:
            self._pace = Pace(self._total - self._done, now)
            return
        self._pace.report(more, now)
        left = self._pace.left(now)
        if self._told or now - self._pace.began < SOON or left is None:
            return
        self._told = True
        if left >= WORTH:
            self._say(about(left))

    def step(self, done: int, of: int) -> None:
        """Set how much of a total is done, where both are told anew each time."""
        if self._pace is not None:
            self._pace.total += of - self._total
        self._total = of
        self.advance(done - self._done)
