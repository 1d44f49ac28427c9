"""Estimate how long a study takes here: each kind of stack is trained for a moment, and one row measured."""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory
from time import monotonic

import numpy as np
import torch

from diag.comparisons.compare import compare
from diag.embed import embedding
from diag.sources.systems import subject_of
from diag.studies.pieces import Piece
from diag.studies.run import Plan
from trainers.checkpoint import Checkpoint, Header, identity_of
from trainers.run import Run
from trainers.streams import shuffling, stream_of
from trainers.system import Sketched, system_of
from trainers.threads import one_thread

WARM = 3
"""Updates before the clock begins: the first ones allocate."""

SECONDS = 0.5
"""Spent on each kind of stack."""

MOST_KINDS = 6
"""Kinds that are tried; a study of more has others of the same algorithm, which are taken to go as fast."""


def seconds_of(plan: Plan, jobs: int) -> float:
    """Seconds that what is left of a study takes in so many processes on this machine: training and measures.

    Starting the processes, saving and what they do to each other are not in it. Takes a few seconds itself.
    """
    measures = [len(p.run.seeds) * (len(p.run.keep) + 1) for p in plan.pieces if p.run.plan is not None]
    speeds: dict[tuple[str, bool, str, int], float] = {}
    total = sum(measures) * seconds_a_measure(plan.pieces[0]) if measures else 0.0
    for piece in plan.pieces:
        kind = _kind(piece)
        if kind not in speeds:
            alike = [speed for known, speed in speeds.items() if known[:2] == kind[:2]]
            guess = alike and len(speeds) >= MOST_KINDS
            speeds[kind] = alike[0] if guess else seconds_an_update(piece.run, len(piece.run.seeds))
        seeds, run = len(piece.run.seeds), piece.run
        left = seeds * run.phase.updates - plan.behind[piece.key]
        total += speeds[kind] * left / seeds
    return total / max(1, min(jobs, cores(), len(plan.pieces) or 1))


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _kind(piece: Piece) -> tuple[str, bool, str, int]:
    """Properties of a piece that the time of an update depends on."""
    run = piece.run
    way = f"{run.settings.system} {run.phase.algorithm}"
    return way, run.plan is None, run.settings.world, len(run.seeds)


@one_thread()
def seconds_an_update(run: Run, members: int) -> float:
    """Seconds of one update of a stack of so many seeds of a run, from a fresh one that is thrown away."""
    system, seeds = system_of(run.settings), range(members)
    fresh = [system.fresh(seed, stream_of(base=True)) for seed in seeds]
    if run.plan is not None:  # as if each were its own base
        bases = max(1, len(run.bases))
        new = system.fresh(0, stream_of(base=False), plan=run.plan, bases=bases)
        fresh = [run.plan.initialise([base] * bases, new, shuffling(0)) for base in fresh]
    with TemporaryDirectory() as folder:
        tried = system.sketch(folder) if isinstance(system, Sketched) else system
        training = tried.training(run.plan, fresh, seeds, run.device)
        for _ in range(WARM):
            training.update()
        began, updates = monotonic(), 0
        while monotonic() - began < SECONDS:
            training.update()
            updates += 1
        if run.device != "cpu":
            torch.cuda.synchronize()
        return (monotonic() - began) / updates


def files_of(plan: Plan) -> dict[str, float]:
    """{path: seconds} of files that what is left of a study has to make first, one after the other."""
    found: dict[str, float] = {}
    known: set[str] = set()
    for piece in plan.pieces:
        system = system_of(piece.run.settings)
        key = f"{piece.run.plan is None} {piece.run.settings.model_dump_json(exclude={'preset'})}"
        if isinstance(system, Sketched) and key not in known:
            known.add(key)
            if (missing := system.missing(piece.run.plan)) is not None:
                found.setdefault(*missing)
    return found


@one_thread()
def seconds_a_measure(piece: Piece) -> float:
    """Seconds of comparing one embedding of a piece's world with another, the longest of its measures."""
    settings = piece.run.settings
    system = system_of(settings)
    header = Header(system.name, settings.model_dump(mode="json"), "source", 0, 0)
    parameters = system.fresh(0, stream_of(base=True))
    fresh = subject_of(Checkpoint("a fresh model", header, parameters, "", identity_of(parameters)))
    shape = embedding(fresh).shape
    rng = np.random.default_rng(0)
    base, transfer = rng.normal(size=(2, *shape))
    began = 0.0
    for _ in range(2):  # the first loads what it needs
        began = monotonic()
        compare(base, transfer)
    return monotonic() - began
