"""Work over processes: items that may wait for one another, stopped together, workers that may be lost.

Each worker is a process with a pipe of its own, so that one that is killed takes nothing with it: its item
is given to another. Workers never see signals of the terminal; they hear of a stop, or of the parent's
death, through the pipe, and end at a moment of their own choosing.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, TypeAlias

from trainers.run import RunError

Stopped: TypeAlias = Callable[[], bool]

Work: TypeAlias = Callable[[Any, Callable[[Any], None], Stopped], None]
"""``work(item, tell, stopped)``: a function of a module, as other processes have to find it. It reports
progress through ``tell``, and returns early, with everything saved, once ``stopped()`` is true."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def never() -> bool:
    """Never stop: the default of ``stopped``."""
    return False


class StopOnSignal:
    """While active, SIGINT and SIGTERM ask for a stop at the next update instead of raising.

    ``also`` is a further function that may ask for a stop; once asked for, a stop is not taken back.
    """

    def __init__(self, also: Stopped = never) -> None:
        self._asked, self._also = False, also
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        self._asked = self._asked or self._also()
        return self._asked

    def __enter__(self) -> StopOnSignal:
        if _in_main_thread():  # elsewhere, whoever called decides about signals
            self._before = {n: signal.signal(n, self._ask) for n in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _ask(self, *_: object) -> None:
        self._asked = True


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    key: str


@dataclass(frozen=True)
class Todo:
    """Items of work by key, in their preferred order."""

    work: Work
    items: Mapping[str, Any]
    after: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The items that must be done before one is begun."""
    attempts: int = 1
    """Times that an item may be begun in all, counting those whose worker was lost."""

    def before(self, key: str) -> set[str]:
        """The items that must be done before this one."""
        return set(self.after.get(key, ())) & set(self.items)


Told: TypeAlias = Callable[[str, Any], None]
"""``told(key, value)`` hears what the workers tell."""

Engine: TypeAlias = Callable[[Todo, int, Told], bool]
"""``engine(todo, jobs, told)``: :func:`run_all`, or the same on other machines."""


def run_all(todo: Todo, jobs: int, told: Told, stopped: Stopped = never) -> bool:
    """Do all the work in ``jobs`` processes; False where a signal, or ``stopped()``, stopped it.

    When an item fails, the others are stopped (they save), and then it raises: :class:`RunError` in the
    words of an OSError or a ValueError in the worker, RuntimeError with the worker's traceback for anything
    else.
    """
    work, items, attempts = todo.work, todo.items, todo.attempts
    waits = {key: todo.before(key) for key in items}
    left, tries = dict(items), dict.fromkeys(items, 0)
    workers: list[_Worker] = []
    idle: list[_Worker] = []
    failures: list[Exception] = []
    with StopOnSignal(stopped) as stop:
        try:
            while left or workers:
                halt = stop() or bool(failures)
                if halt and not workers:
                    break
                for key in [] if halt else [k for k in left if not waits[k]]:
                    if len(workers) == jobs:
                        break
                    tries[key] += 1
                    workers.append(_given(idle.pop() if idle else None, key, work, left.pop(key)))
                if not workers:
                    raise ValueError(f"items that wait for one another: {sorted(left)}")
                if halt:
                    for worker in workers:
                        _send(worker, "stop")
                ready = wait([w.pipe for w in workers], timeout=0.2)
                for worker in [w for w in workers if w.pipe in ready]:
                    kind, value = _heard(worker)
                    match kind:
                        case "told":
                            told(worker.key, value)
                            continue
                        case "done":
                            idle.append(worker)
                            if not stop():
                                for others in waits.values():
                                    others.discard(worker.key)
                        case "lost" if tries[worker.key] < attempts:
                            left = {worker.key: items[worker.key], **left}
                        case "lost":
                            failures.append(RunError(f"{worker.key}: its process was lost {value}"))
                        case _:
                            idle.append(worker)
                            failures.append(failure(kind, value))
                    workers.remove(worker)
        finally:
            for worker in workers + idle:
                worker.pipe.close()  # workers take a closed pipe for a stop
            for worker in workers + idle:
                worker.process.join()
    if failures:
        raise failures[0]
    return not stop()


def attempt(work: Work, item: Any, tell: Callable[[Any], None], stopped: Stopped) -> tuple[str, Any]:
    """Do one item in this process: ``done``, or what went wrong in words that can travel."""
    try:
        work(item, tell, stopped)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return "refused", f"{place}{error.strerror or error}"
    except ValueError as error:
        return "refused", str(error)
    except Exception:
        return "broken", traceback.format_exc()
    return "done", None


def failure(kind: str, value: Any) -> Exception:
    """The exception that stands for a ``refused`` or ``broken`` item."""
    return RunError(value) if kind == "refused" else RuntimeError(value)


def _given(worker: _Worker | None, key: str, work: Work, item: Any) -> _Worker:
    """A worker with an item to do: an idle one, or a new one."""
    if worker is None or not _send(worker, (work, item)):
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        # Ignored signals are inherited from the first instruction on: a signal to the process group then
        # reaches the parent alone, which passes it on through the pipe.
        before = {n: signal.signal(n, signal.SIG_IGN) for n in _SIGNALS} if _in_main_thread() else {}
        process.start()
        for number, handler in before.items():
            signal.signal(number, handler)
        theirs.close()
        worker = _Worker(process, ours, key)
        _send(worker, (work, item))
    worker.key = key
    return worker


def _send(worker: _Worker, message: Any) -> bool:
    try:
        worker.pipe.send(message)
    except OSError:  # it is gone, which its pipe will say
        return False
    return True


def _heard(worker: _Worker) -> tuple[str, Any]:
    try:
        kind, value = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode
        return "lost", f"(signal {-code})" if code and code < 0 else f"(status {code})"
    return kind, value


def _serve(pipe: Connection) -> None:
    """Body of a worker process: do the items that come through the pipe until it is closed."""
    asked = False

    def stopped() -> bool:
        nonlocal asked
        try:
            while not asked and pipe.poll():
                asked = pipe.recv() == "stop"
        except (EOFError, OSError):
            asked = True
        return asked

    def say(kind: str, value: Any) -> None:
        nonlocal asked
        try:
            pipe.send((kind, value))
        except OSError:  # the parent is gone
            asked = True

    while not asked:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return
        if message == "stop":
            return
        work, item = message
        say(*attempt(work, item, lambda value: say("told", value), stopped))
