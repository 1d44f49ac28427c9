"""Progress of long work on standard error: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from diag.commands.timing import Pace
from diag.wording import about, duration

QUARTERS = (0.25, 0.5, 0.75)
"""Shares of the work at which a log gets a line."""

QUIET = 5.0
"""Seconds that a log's lines are at least apart, so that short work gets a beginning and an end alone."""


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


def in_percent(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """Convert progress told as (done, total) into steps of a bar of 100."""
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
            share = 100 * pace.done // total
            left = about(pace.left(now) or 0.0)
            sys.stderr.write(f"{words}: {share}%, {pace.rate_in_words(now)}{left} left\n")

    yield advance
    if not begun:
        return
    ended = "done in" if pace.done >= total else f"ended at {100 * pace.done // total}% after"
    sys.stderr.write(f"{words}: {ended} {duration(clock() - pace.began)}\n")
