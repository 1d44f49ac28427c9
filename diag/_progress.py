"""How far long work is, on standard error: a bar on a terminal, a line at every tenth elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(words: str, total: int, quiet: bool, brief: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar with rate and time left on standard error; ``brief`` work shows one on a terminal only."""
    if quiet or (brief and not sys.stderr.isatty()):
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        with _milestones(words, total) as advance:
            yield advance
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=brief) as bar:
        task = bar.add_task(words, total=total, rate="")

        def advance(n: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=n, rate="" if speed is None else f"{speed:,.0f}/s")

        yield advance


def in_percent(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """A function of how much of how much is done, for a bar of 100."""
    seen = 0

    def step(done: int, of: int) -> None:
        nonlocal seen
        advance(100 * done // of - seen)
        seen = 100 * done // of

    return step


@contextmanager
def _milestones(words: str, total: int) -> Iterator[Callable[[int], None]]:
    """Where there is no terminal: a line at every tenth, with rate and time left."""
    from time import monotonic

    began, done, next_tenth = monotonic(), 0, 1

    def advance(n: int) -> None:
        nonlocal done, next_tenth
        done += n
        if done * 10 >= next_tenth * total:
            next_tenth = done * 10 // total + 1
            rate = done / max(monotonic() - began, 1e-9)
            left = (total - done) / max(rate, 1e-9)
            sys.stderr.write(f"{words}: {done * 100 // total}%, {rate:,.0f}/s, {left:.0f} s left\n")

    yield advance
