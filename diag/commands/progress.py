"""How far long work is, on standard error: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp
from time import monotonic

from diag.wording import duration

QUARTERS = (0.25, 0.5, 0.75)
"""Shares of the work at which a log gets a line."""

QUIET = 5.0
"""Seconds that a log's lines are at least apart, so that short work gets a beginning and an end alone."""

EASE = 1.0
"""Seconds in which a bar makes up most (1 − 1/e) of what it is behind."""

AHEAD = 0.9
"""Share of the largest step so far that a bar may run ahead of what was reported."""


@contextmanager
def progress_bar(words: str, total: int, quiet: bool, brief: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar with the time left on standard error; ``brief`` work shows one on a terminal only.

    ``total`` other than 100 counts things, whose rate is shown too.
    """
    if quiet or (brief and not sys.stderr.isatty()):
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        with _lines(words, total) as advance:
            yield advance
        return
    pace = Pace(total, monotonic())

    class Steady(Progress):
        """Moves on at the pace of the work at every refresh, not at every report."""

        def get_renderables(self) -> Iterator[object]:  # type: ignore[override]
            for task in self.tasks:
                now = monotonic()
                self.update(task.id, completed=pace.shown(now), time=pace.time_in_words(now))
            yield from super().get_renderables()

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[time]}"),
    )
    with Steady(*columns, console=console, transient=brief) as bar:
        bar.add_task(words, total=total, time="")
        yield lambda n: pace.report(n, monotonic())


@dataclass
class Pace:
    """How much of the work to show as done between two reports, which may be far apart.

    What is shown goes on at the mean speed so far, a step ahead of what was reported at most, catches up
    with a report within about a second, and never goes back. Times are seconds.
    """

    total: int
    began: float
    done: int = 0
    _at: float = 0.0
    """When the last report came."""
    _largest: int = 0
    _shown: float = 0.0
    _seen: float | None = None
    """When it was last shown."""

    def report(self, count: int, now: float) -> None:
        """So much more is done."""
        self.done += count
        self._at, self._largest = now, max(self._largest, count)

    def shown(self, now: float) -> float:
        """How much to show as done."""
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

    def rate_in_words(self, now: float) -> str:
        """``1,250/s`` where things are counted; nothing for percent."""
        if self.total == 100 or not self.done or now <= self.began:
            return ""
        return f"{self.done / (now - self.began):,.0f}/s, "

    def time_in_words(self, now: float) -> str:
        """Rate, and the time that has passed and is left."""
        left = self.left(now)
        tail = "" if left is None else f", about {duration(left)} left"
        return f"{self.rate_in_words(now)}{duration(now - self.began)}{tail}"


def in_percent(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """A function of how much of how much is done, for a bar of 100."""
    seen = 0

    def step(done: int, of: int) -> None:
        nonlocal seen
        advance(100 * done // of - seen)
        seen = 100 * done // of

    return step


@contextmanager
def _lines(words: str, total: int, clock: Callable[[], float] = monotonic) -> Iterator[Callable[[int], None]]:
    """For a log: a line at the beginning, at each quarter, and at the end with the time it took.

    The work begins with its first report: what is refused before has its one line to itself.
    """
    pace = Pace(total, clock())
    due = list(QUARTERS)
    last = pace.began
    begun = False

    def advance(n: int) -> None:
        nonlocal last, begun
        now = clock()
        if not begun:
            begun = True
            sys.stderr.write(f"{words}: begun\n")
        pace.report(n, now)
        passed = [share for share in due if pace.done >= share * total]
        if not passed:
            return
        del due[: len(passed)]
        if pace.done < total and now - last >= QUIET:
            last = now
            left = duration(pace.left(now) or 0.0)
            share = 100 * pace.done // total
            sys.stderr.write(f"{words}: {share}%, {pace.rate_in_words(now)}about {left} left\n")

    yield advance
    if not begun:
        return
    ended = "done in" if pace.done >= total else f"ended at {100 * pace.done // total}% after"
    sys.stderr.write(f"{words}: {ended} {duration(clock() - pace.began)}\n")
