"""Running a study: what is left of it, on an engine, with progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any

from diag.studies import StudyError
from diag.studies.folder import Folder
from diag.studies.pieces import Piece, pieces_of, steps_of, work
from diag.studies.study import Study
from trainers.checkpoint import running_environment
from trainers.pool import Engine, Todo, run_all
from trainers.run import check_device
from trainers.system import Provided, system_of

ATTEMPTS = 3
"""Times that a piece is begun at most when its worker is lost."""


@dataclass(frozen=True)
class Plan:
    """The work left to do of a study."""

    pieces: list[Piece]
    after: dict[str, list[str]]
    seeds: int
    updates: int
    behind: Mapping[str, int]
    """Updates that each piece has behind it."""
    done: Collection[tuple[Any, ...]]
    """The trainings that are done, as :meth:`Folder.done` names them."""

    @property
    def unit(self) -> float:
        """The cost of the cheapest update, which progress is counted in."""
        return min((p.cost for p in self.pieces), default=1.0)

    @property
    def total(self) -> int:
        """Cost of the work left, in updates of the cheapest kind."""
        left = sum(p.cost * (_updates(p) - self.behind[p.key]) for p in self.pieces)
        return round(left / self.unit)


def _updates(piece: Piece) -> int:
    return len(piece.run.seeds) * piece.run.phase.updates


def engine_of(name: str, address: str | None, jobs: int | None) -> tuple[Engine, int]:
    """``local`` (processes of this machine) or ``ray``, and so many jobs; raises :class:`StudyError`."""
    if name == "local":
        if address is not None:
            raise StudyError("--address goes with --engine ray")
        return run_all, jobs or os.cpu_count() or 1
    try:
        from diag.studies.ray_engine import RayEngine
    except ImportError:
        raise StudyError("--engine ray needs Ray: pip install 'transfer-diag[ray]'") from None
    engine = RayEngine(address, jobs)
    return engine, jobs or engine.jobs


def planned(study: Study, folder: Folder, jobs: int, device: str) -> Plan:
    """Plan the work left to do; raises :class:`StudyError` where a checkpoint was changed since."""
    done = folder.done()
    root = str(folder.root.resolve())
    pieces, after = pieces_of(study, root, lambda *which: which in done, jobs, device)
    return Plan(
        pieces,
        after,
        sum(len(p.run.seeds) for p in pieces),
        sum(map(_updates, pieces)),
        {p.key: steps_of(p.placed()) for p in pieces},
        done,
    )


def _provide(plan: Plan) -> None:
    """Make the files that trainings need, here, where a signal ends the command at once."""
    done: set[str] = set()
    for piece in plan.pieces:
        key = f"{piece.run.plan is None} {piece.run.settings.model_dump_json(exclude={'preset'})}"
        system = system_of(piece.run.settings)
        if isinstance(system, Provided) and key not in done:
            done.add(key)
            system.provide(piece.run.plan)


def run_study(
    study: Study,
    out: Path,
    *,
    engine: Engine = run_all,
    jobs: int,
    device: str = "cpu",
    progress: Callable[[int], AbstractContextManager[Callable[[int], None]]],
    begun: Callable[[Plan], None] = lambda plan: None,
) -> bool:
    """Run what is left of a study into ``out``; False where it was interrupted (all is saved).

    ``progress(total)`` opens a bar; ``begun`` is told before it what is left to do. Raises StudyError,
    RunError or CheckpointError for bad input.
    """
    check_device(device)
    folder = Folder(out)
    with folder.alone():
        whole = folder.claim(study)
        plan = planned(whole, folder, jobs, device)
        if not plan.pieces:
            return True
        folder.forget(plan.done)
        begun(plan)
        _provide(plan)
        began, started, finished = time(), monotonic(), False
        last, spent = dict(plan.behind), dict.fromkeys(plan.behind, 0)
        costs = {p.key: p.cost / plan.unit for p in plan.pieces}
        for piece in plan.pieces:
            (out / piece.run.out).mkdir(parents=True, exist_ok=True)
        try:
            with progress(plan.total) as advance:

                def told(key: str, behind: int) -> None:
                    done = behind - last[key]
                    last[key] = behind
                    spent[key] += max(done, 0)
                    if plan.total:  # else all is trained, and only measures are left
                        advance(round(done * costs[key]))

                items = {p.key: p for p in plan.pieces}
                finished = engine(Todo(work, items, plan.after, ATTEMPTS), jobs, told)
            folder.done()  # which raises where a base that was gone came back as another
        finally:
            session = {
                "began": round(began),
                "seconds": round(monotonic() - started, 1),
                "updates": sum(spent.values()),
                "finished": finished,
                "jobs": jobs,
                "environment": running_environment(device),
            }
            with suppress(OSError):  # a full disk has been said already
                folder.add_session(session)
    return finished
