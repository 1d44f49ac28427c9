"""A run over processes: one stack of seeds in each, stopped together and without loss."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from trainers.run import Member, Run, RunError, train_members


def execute(run: Run, members: Sequence[Member], jobs: int, progress: Callable[[int], None]) -> bool:
    """Train all members, over ``jobs`` processes; False where it was interrupted (everything is saved)."""
    groups = _groups(members, jobs)
    if len(groups) <= 1 or jobs == 1:
        return _execute_here(run, groups, progress)
    return _execute_apart(run, groups, progress)


def _groups(members: Sequence[Member], jobs: int) -> list[list[Member]]:
    """Stacks of equal step, the largest split until there is one for each process."""
    by_step: dict[int, list[Member]] = {}
    for member in members:
        by_step.setdefault(member.step, []).append(member)
    groups = list(by_step.values())
    while len(groups) < jobs and any(len(g) > 1 for g in groups):
        groups.sort(key=len)
        largest = groups.pop()
        groups += [largest[::2], largest[1::2]]
    return groups


def _execute_here(run: Run, groups: Sequence[Sequence[Member]], progress: Callable[[int], None]) -> bool:
    stop = _StopOnSignal()
    with stop:
        for group in groups:
            train_members(run, group, progress, stop)
    return not stop()


_STOPS = (signal.SIGINT, signal.SIGTERM)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class _StopOnSignal:
    """While active, SIGINT and SIGTERM ask for a stop at the next update instead of raising."""

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        return self._asked

    def __enter__(self) -> _StopOnSignal:
        if _in_main_thread():  # elsewhere, whoever called decides about signals
            self._before = {n: signal.signal(n, self._ask) for n in _STOPS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _ask(self, *_: object) -> None:
        self._asked = True


def _execute_apart(run: Run, groups: Sequence[Sequence[Member]], progress: Callable[[int], None]) -> bool:
    context = multiprocessing.get_context("spawn")
    told: multiprocessing.Queue[tuple[str, Any]] = context.Queue()
    asked = context.Event()
    workers = {
        number: context.Process(target=_work, args=(run, group, told, asked, number), daemon=True)
        for number, group in enumerate(groups)
    }
    stop = _StopOnSignal()
    # Workers inherit ignored signals from their first instruction on: a signal to the process group then
    # reaches the parent alone, which asks them through the event.
    before = {n: signal.signal(n, signal.SIG_IGN) for n in _STOPS} if _in_main_thread() else {}
    for worker in workers.values():
        worker.start()
    for request, handler in before.items():
        signal.signal(request, handler)
    with stop:
        failures: list[Exception] = []
        while workers:
            if stop():
                asked.set()
            try:
                kind, value = told.get(timeout=0.2)
            except queue.Empty:
                for number, worker in list(workers.items()):
                    if worker.exitcode not in (None, 0):
                        failures.append(RuntimeError(f"a training process ended with {worker.exitcode}"))
                        del workers[number]
                continue
            if kind == "progress":
                progress(value)
            elif kind == "done":
                workers.pop(value).join()
            elif kind == "refused":
                failures.append(RunError(value))
            else:
                failures.append(RuntimeError(value))
        if failures:
            raise failures[0]
    return not stop()


def _work(run: Run, group: Sequence[Member], told: Any, asked: Any, number: int) -> None:
    parent = os.getppid()
    try:
        train_members(
            run,
            group,
            lambda n: told.put(("progress", n)),
            lambda: asked.is_set() or os.getppid() != parent,
        )
    except (OSError, ValueError) as error:
        told.put(("refused", str(error)))
    except Exception:
        told.put(("broken", traceback.format_exc()))
    told.put(("done", number))
