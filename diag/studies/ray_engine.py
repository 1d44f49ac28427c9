"""A study over machines, by Ray: its tasks wait for one another, and are begun again when a node is lost."""

from __future__ import annotations

import logging
import socket
from time import monotonic
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from diag.studies import StudyError
from trainers.pool import StopOnSignal, Todo, Told, Work, attempt, failure
from trainers.run import RunError

ASKED_EVERY = 1.0
"""Seconds between a worker's questions whether to stop, and between its reports."""


ANSWER_SECONDS = 10.0
"""Seconds that a cluster at an address is given to answer."""


class RayEngine:
    """Work on a Ray cluster; without an ``address`` on a new local one. Raises :class:`StudyError`.

    The study's folder has to be where every node sees it under the same path.
    """

    def __init__(self, address: str | None, jobs: int | None) -> None:
        if address and jobs:
            raise StudyError("--jobs is of a local cluster; one at an --address uses all the cores it has")
        _check_answers(address)
        options: dict[str, Any] = {"address": address} if address else {"num_cpus": jobs, "address": "local"}
        if not ray.is_initialized():
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False, **options)
            except (ConnectionError, RuntimeError, ValueError) as error:
                words = " ".join(str(error).split())
                found = f"--address {address}: found no" if address else "--engine ray: cannot start a"
                raise StudyError(f"{found} Ray cluster ({words})") from None

    @property
    def jobs(self) -> int:
        """Number of tasks that can run at once."""
        return max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]

    def __call__(self, todo: Todo, jobs: int, told: Told) -> bool:
        """Do all of the work like :func:`trainers.pool.run_all`; Ray decides how many tasks run at once."""
        try:
            return self._run(todo, told)
        except ray.exceptions.RayError as error:
            raise RunError(
                f"the Ray cluster was lost ({_first_line(error)}); what is saved is kept"
            ) from None

    def _run(self, todo: Todo, told: Told) -> bool:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        board: Any = ray.remote(num_cpus=0)(_Board).options(scheduling_strategy=here).remote()
        task = _do.options(max_retries=todo.attempts - 1)
        tasks: dict[str, Any] = {}
        for key, item in todo.items.items():  # which Ray holds back until those before them are done
            before = [tasks[other] for other in todo.items if other in todo.before(key)]
            tasks[key] = task.remote(todo.work, key, item, board, *before)
        failures: list[Exception] = []
        left = {ref: key for key, ref in tasks.items()}
        with StopOnSignal() as stop:
            while left:
                if stop() or failures:
                    ray.get(board.stop.remote())
                done, _ = ray.wait(list(left), timeout=0.5)
                for key, value in ray.get(board.heard.remote()).items():
                    told(key, value)
                for ref in done:
                    key = left.pop(ref)
                    try:
                        kind, value = ray.get(ref)
                    except ray.exceptions.RayError as error:
                        kind, value = "refused", f"{key}: its worker was lost ({_first_line(error)})"
                    if kind != "done" and not failures:
                        failures.append(failure(kind, value))
        if failures:
            raise failures[0]
        return not stop()


def _check_answers(address: str | None) -> None:
    """Raise StudyError where nothing answers at ``HOST:PORT``, which Ray takes minutes to say."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or "/" in host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise StudyError(f"--address {address}: found no Ray cluster ({error})") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class _Board:
    """An actor beside the command that holds the workers' last reports, and whether they are to stop."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.halt = False

    def tell(self, key: str, value: Any) -> bool:
        self.values[key] = value
        return self.halt

    def stopped(self) -> bool:
        return self.halt

    def heard(self) -> dict[str, Any]:
        values, self.values = self.values, {}
        return values

    def stop(self) -> None:
        self.halt = True


@ray.remote(num_cpus=1)
def _do(work: Work, key: str, item: Any, board: Any, *before: tuple[str, Any]) -> tuple[str, Any]:
    if any(kind != "done" for kind, _ in before):
        return "done", None  # what it needs failed, which is being said already
    asked, halt, waiting = monotonic(), False, None

    def stopped() -> bool:
        nonlocal asked, halt
        if not halt and monotonic() - asked > ASKED_EVERY:
            asked = monotonic()
            halt = ray.get(board.stopped.remote())
        return halt

    def tell(value: Any) -> None:
        nonlocal waiting
        waiting = value
        if monotonic() - asked > ASKED_EVERY / 2:
            board.tell.remote(key, value)

    stopped_already = ray.get(board.stopped.remote())
    if stopped_already:
        return "done", None
    answer = attempt(work, item, tell, stopped)
    if waiting is not None:
        ray.get(board.tell.remote(key, waiting))
    return answer
