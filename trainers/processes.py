"""A run over processes: one stack of seeds in each, stopped together and without loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trainers.pool import StopOnSignal, Stopped, Todo, never, run_all
from trainers.run import Member, Run, of_equal_step, train_members


def execute(
    run: Run,
    members: Sequence[Member],
    jobs: int,
    progress: Callable[[int], None],
    stopped: Stopped = never,
) -> bool:
    """Train all members, over ``jobs`` processes.

    False where a signal or ``stopped()`` interrupted it; everything is saved then, and can be resumed.
    """
    groups = _groups(members, jobs)
    if len(groups) <= 1 or jobs == 1:
        with StopOnSignal(stopped) as stop:
            for group in groups:
                train_members(run, group, progress, stop)
        return not stop()
    items = {f"seeds {', '.join(str(m.seed) for m in group)}": (run, group) for group in groups}
    return run_all(Todo(_train, items), jobs, lambda key, done: progress(done), stopped)


def _groups(members: Sequence[Member], jobs: int) -> list[list[Member]]:
    """Stacks of equal step, the largest split until there is one for each process."""
    groups = of_equal_step(members)
    while len(groups) < jobs and any(len(g) > 1 for g in groups):
        groups.sort(key=len)
        largest = groups.pop()
        groups += [largest[::2], largest[1::2]]
    return groups


def _train(item: tuple[Run, Sequence[Member]], tell: Callable[[int], None], stopped: Stopped) -> None:
    run, group = item
    train_members(run, group, tell, stopped)
