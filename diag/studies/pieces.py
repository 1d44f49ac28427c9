"""A study in pieces: stacks of seeds that one process trains, measures and writes down.

A training is done when its part files are written, and they are written last: a piece that was stopped
anywhere goes on from its checkpoints. What is in a piece is of no consequence for the numbers, since a
seed's weights do not depend on the seeds it is stacked with (on CUDA the library may choose its kernels by
the size of the stack: there the last bits may differ between one way of parting a study and another).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from platform import node
from typing import Any

import pandas as pd

from diag.studies import StudyError
from diag.studies.folder import base_path
from diag.studies.study import Study
from diag.studies.table import frame, write_part
from trainers import checkpoint as files
from trainers.plan import BASE_PLAN
from trainers.pool import Stopped
from trainers.run import Run, of_equal_step, prepare, train_members

STACK = 22
"""Seeds in a stack on a CPU: from 8 on, more gain a sixth at most (benchmarks/training.py)."""

STACK_ELSEWHERE = 64
"""On an accelerator, where a stack of this many costs little more than one."""

SAVE_SECONDS = 45.0
"""Between saves: what a kill can cost."""


@dataclass(frozen=True)
class Piece:
    """A stack of one cell's seeds, of bases where the run has no plan."""

    root: str
    variant: str
    run: Run
    """The run, with its folder and its base relative to ``root``."""
    base_seed: int | None = None

    @property
    def key(self) -> str:
        seeds = f"{self.run.seeds[0]}-{self.run.seeds[-1]}"
        if self.run.plan is None:
            return f"{self.variant}/base/seeds{seeds}"
        return f"{self.variant}/{self.run.plan.name}/base{self.base_seed}/seeds{seeds}"

    def part(self, seed: int) -> str:
        """The name of a seed's part files: its own, whatever stack it is in; no name has a ``+`` in it."""
        if self.run.plan is None:
            return f"{self.variant}+base+seed{seed}"
        return f"{self.variant}+{self.run.plan.name}+base{self.base_seed}+seed{seed}"

    @property
    def cost(self) -> float:
        """Cost of one update of one seed, in updates of the cheapest kind: for the time that is left."""
        return self.run.phase.cost

    def placed(self) -> Run:
        """The run, with its folder and base where they are."""
        root = Path(self.root)
        base = None if self.run.base is None else str(root / self.run.base)
        return replace(self.run, out=str(root / self.run.out), base=base)


Done = Callable[[str, str, str, int, int], bool]
"""Predicate of (variant, phase, plan, base seed, seed): whether that training is done and measured."""


def pieces_of(
    study: Study, root: str, done: Done, jobs: int, device: str
) -> tuple[list[Piece], dict[str, list[str]]]:
    """The pieces left to do, in a good order, and by key the pieces that each has to wait for."""
    bases: list[Piece] = []
    trained_in: dict[tuple[str, int], str] = {}
    wanted: defaultdict[str, set[int]] = defaultdict(set)
    for variant in study.variants:
        wanted[study.base_of(variant).name].update(variant.bases)
    owners = [v for v in study.variants if v.name in wanted]
    for owner in owners:
        todo = [s for s in sorted(wanted[owner.name]) if not done(owner.name, "base", "", s, s)]
        settings = owner.settings
        keep = study.steps(settings.train.updates)
        run = Run(settings, (), f"{owner.name}/base", device=device, keep=keep)
        for seeds in _stacks(todo, _size(device), ceil(jobs / len(owners))):
            piece = Piece(root, owner.name, replace(run, seeds=seeds))
            bases.append(piece)
            trained_in |= {(owner.name, seed): piece.key for seed in seeds}
    cells = [(v, p, b) for b in _in_turn(study) for v in study.variants if b in v.bases for p in v.plans]
    transfers, after = [], {}
    for variant, plan, base in cells:
        owner = study.base_of(variant)
        todo = [s for s in variant.transfers if not done(variant.name, "transfer", plan.name, base, s)]
        settings = variant.settings
        keep = study.steps(settings.transfer.updates)
        out = f"{variant.name}/{plan.name}/base{base}"
        run = Run(settings, (), out, plan, base_path(owner, base), device, keep)
        for seeds in _stacks(todo, _size(device), ceil(jobs / len(cells))):
            piece = Piece(root, variant.name, replace(run, seeds=seeds), base)
            transfers.append(piece)
            before = trained_in.get((owner.name, base))
            after[piece.key] = [] if before is None else [before]
    return [*bases, *transfers], after


def _in_turn(study: Study) -> list[int]:
    return sorted({base for variant in study.variants for base in variant.bases})


def _size(device: str) -> int:
    return STACK if device == "cpu" else STACK_ELSEWHERE


def _stacks(seeds: Sequence[int], size: int, at_least: int) -> Iterator[tuple[int, ...]]:
    """The seeds in stacks as equal as can be, none over ``size``; ``at_least`` so many if they last."""
    number = min(len(seeds), max(ceil(len(seeds) / size), at_least))
    for i in range(number):
        yield tuple(seeds[len(seeds) * i // number : len(seeds) * (i + 1) // number])


def steps_of(run: Run) -> int:
    """Updates that the run's checkpoints have behind them, over its seeds; unreadable ones have none."""
    total = 0
    for seed in run.seeds:
        try:
            total += min(files.read(run.path(seed), finite=False).header.step, run.phase.updates)
        except files.CheckpointError:
            continue
    return total


def work(piece: Piece, tell: Callable[[int], None], stopped: Stopped) -> None:
    """Train what is left of a piece, measure it all, write it down; tells how many updates it has in all.

    Returns early, with everything saved, once ``stopped()``; raises OSError or ValueError for what is wrong
    with its files.
    """
    run = piece.placed()
    if not Path(run.out).is_dir():
        raise StudyError(
            f"{run.out}: not seen from {node()}; a study's folder must be where all workers see it"
        )
    if run.base is not None and not files.read(run.base, finite=False).header.metrics.get("finite", True):
        _give_up(piece)
        tell(len(run.seeds) * run.phase.updates)
        return
    _forget_broken(run)
    members = prepare(run, resume=True, overwrite=False)
    behind = len(run.seeds) * run.phase.updates - sum(run.phase.updates - m.step for m in members)
    tell(behind)

    def progress(done: int) -> None:
        nonlocal behind
        behind += done
        tell(behind)

    for group in of_equal_step(members):
        train_members(run, group, progress, stopped, SAVE_SECONDS)
    if not stopped():
        _write_down(piece, run, stopped)


def _forget_broken(run: Run) -> None:
    """Begin seeds anew of which a checkpoint on the way is gone: it cannot be had otherwise."""
    for seed in run.seeds:
        early = [run.early_path(seed, step) for step in run.keep]
        resume = Path(f"{run.path(seed)}{files.RESUME_SUFFIX}")
        if resume.exists() and not all(p.exists() for p in early[: _passed(run, seed)]):
            run.path(seed).unlink(missing_ok=True)  # first: a checkpoint alone could not be gone on with
            resume.unlink()


def _passed(run: Run, seed: int) -> int:
    """Number of early checkpoints that a seed has passed."""
    _, state, _ = files.read_resume(run.path(seed))
    return sum(step <= state["step"] for step in run.keep)


def _where(piece: Piece, seed: int) -> dict[str, Any]:
    """Whose row it is."""
    plan = piece.run.plan
    return {
        "variant": piece.variant,
        "phase": "base" if plan is None else "transfer",
        "plan": "" if plan is None else plan.name,
        "base_seed": seed if piece.base_seed is None else piece.base_seed,
        "seed": seed,
    }


def _give_up(piece: Piece) -> None:
    """Transfers of a base that diverged: there is nothing to train."""
    updates = piece.run.phase.updates
    blank = {"step": updates, "updates": updates, "final": True, "path": "", "sha256": "", "finite": False}
    for seed in piece.run.seeds:
        rows = [{**_where(piece, seed), **blank}]
        write_part(Path(piece.root) / "results", piece.part(seed), frame(rows))


def _write_down(piece: Piece, run: Run, stopped: Stopped) -> None:
    root, base = Path(piece.root), None
    if run.base is not None:
        from diag.sources import opened

        base = opened(run.base, run.base)
    for seed in run.seeds:
        where, rows = _where(piece, seed), []
        for step in (*run.keep, run.phase.updates):
            if stopped():
                return
            rows.append({**where, "step": step, **_row(piece, run, seed, step, base)})
        curve = _curve(where, files.read(run.path(seed), finite=False).header.metrics)
        write_part(root / "curves", piece.part(seed), curve)
        write_part(root / "results", piece.part(seed), frame(rows))


def _row(piece: Piece, run: Run, seed: int, step: int, base: Any) -> dict[str, Any]:
    from diag.sources import opened
    from diag.studies.measure import measured

    path = run.path(seed) if step == run.phase.updates else run.early_path(seed, step)
    saved = files.read(path, finite=False)
    if (saved.header.step, saved.header.seed) != (step, seed):
        found = f"step {saved.header.step} of seed {saved.header.seed}"
        raise files.CheckpointError(path, found, "what its name says; delete it to have it made again")
    row = {
        "updates": run.phase.updates,
        "final": step == run.phase.updates,
        "path": path.relative_to(piece.root).as_posix(),
        "sha256": saved.sha256,
        "finite": bool(saved.header.metrics.get("finite", True)),
    }
    if row["finite"]:
        row |= measured(opened(path, str(path)), base, run.plan or BASE_PLAN)
    return row


def _curve(where: Mapping[str, Any], metrics: Mapping[str, Any]) -> pd.DataFrame:
    updates, losses = metrics.get("updates", []), metrics.get("losses", {})
    return pd.DataFrame(
        [
            {**where, "update": update, "term": term, "loss": value}
            for term, values in losses.items()
            for update, value in zip(updates, values, strict=True)
        ],
        columns=[*where, "update", "term", "loss"],
    ).astype({"loss": "float64"})
