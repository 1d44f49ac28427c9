"""Train a mended encoder further, with the pairs or as its transfer was trained; it can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diag.repairs.anchored import RATE, WEIGHT, Anchored
from diag.repairs.system import Case
from trainers import checkpoint as files
from trainers.plan import Rule, TransferPlan, Window
from trainers.processes import execute
from trainers.run import Run, prepare

SAVE_EVERY = 500
"""Number of updates between saves, the most that a stop can cost."""

Progress: TypeAlias = Callable[[int], None]


@dataclass(frozen=True)
class Known:
    """The base's embeddings of the states, and which states are known pairs."""

    targets: NDArray[np.float64]
    """(K, d) the base's embeddings of the paired states, flattened."""
    pairs: NDArray[np.bool_]
    """(K,) which states are known pairs."""


def train_paired(
    case: Case,
    start: dict[str, Tensor],
    known: Known,
    updates: int,
    *,
    seed: int,
    device: str,
    folder: Path | None,
    progress: Progress,
) -> dict[str, Tensor]:
    """Parameters after ``updates`` on the task's losses and the pairs' distances.

    With a ``folder`` it goes on from what is there, if that is the same training; raises CheckpointError if
    it is another.
    """
    place = None if folder is None else folder / "paired.safetensors"
    training = {
        "start": files.identity_of(start),
        "pairs": np.flatnonzero(known.pairs).tolist(),
        "updates": updates,
        "seed": seed,
        "rate": RATE,
        "weight": WEIGHT,
    }
    step, remembered = 0, dict[str, Tensor]()
    if place is not None and Path(f"{place}{files.RESUME_SUFFIX}").exists():
        start, state, remembered = files.read_resume(place)
        if state.get("training") != training:
            raise files.CheckpointError(
                f"{place}{files.RESUME_SUFFIX}", "another training", "this one's; --overwrite begins anew"
            )
        step = state["step"]
    stack = Anchored(
        case.objective,
        [start],
        known.targets[None],
        known.pairs[None],
        updates,
        data_seeds=[case.data_seed],
        seed=seed,
        device=device,
    )
    if step:
        stack.restore(step, remembered)
        progress(step)
    while stack.step < updates:
        stack.update()
        progress(1)
        if place is not None and stack.step % SAVE_EVERY == 0:
            state = {"step": stack.step, "training": training}
            files.save_resume(place, stack.member(0), state, stack.remembered())
    return stack.member(0)


def train_as_before(
    header: files.Header,
    start: dict[str, Tensor],
    updates: int,
    *,
    device: str,
    folder: Path,
    progress: Progress,
) -> dict[str, Tensor]:
    """Parameters after ``updates`` as the transfer was trained: its losses, data, optimiser and rate.

    The rate begins anew, what was frozen stays so, and loss terms are active that were so at the end. Goes on
    from what is in ``folder``; raises CheckpointError or RunError where that is another training, and
    KeyboardInterrupt when stopped.
    """
    from trainers.settings import Settings
    from trainers.system import system_of

    folder.mkdir(parents=True, exist_ok=True)
    origin = folder / "folded.safetensors"
    files.save(origin, header, start)
    assert header.plan is not None
    settings = Settings.from_tree(header.settings).with_overrides([f"transfer.updates={updates}"])
    plan = continued(TransferPlan.from_tree(header.plan), system_of(settings).terms)
    run = Run(settings, (header.seed,), str(folder), plan, str(origin), device)
    members = prepare(run, resume=True, overwrite=False)
    progress(updates - sum(updates - m.step for m in members))
    if members and not execute(run, members, 1, progress):
        raise KeyboardInterrupt
    return dict(files.read(run.path(header.seed)).tensors)


def clear(folder: Path, seed: int) -> None:
    """Remove what a training left in its folder, and the folder if nothing else is in it."""
    for stem in ("paired", "folded", f"seed{seed}"):
        for suffix in ("", files.RESUME_SUFFIX):
            (folder / f"{stem}.safetensors{suffix}").unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def continued(plan: TransferPlan, terms: tuple[str, ...]) -> TransferPlan:
    """The transfer's plan for further training: no parameter begins anew, and what was frozen stays so."""
    rules = [
        Rule(
            component=rule.component,
            parameters=rule.parameters,
            action="freeze" if rule.action == "freeze" else "copy",
        )
        for rule in plan.rules
        if rule.columns is None
    ]
    active = plan.active_terms(terms, 999_999, 1_000_000)
    over = {term: Window(stop=0.0) for term in terms if term not in active}
    return TransferPlan(name=f"{plan.name}, continued", rules=tuple(rules), terms=over)


def written_header(header: files.Header, entry: dict[str, object]) -> files.Header:
    """The header of a mended checkpoint: the transfer's, with its base and plan, and what was done to it.

    Its loss curves are those of the training before the repair and are left out.
    """
    metrics = {name: v for name, v in header.metrics.items() if name not in ("losses", "updates")}
    return replace(header, metrics={**metrics, "repair": entry})
