"""Open-loop predictions of two world models on the same histories, and how they drift from what came.

Each model sees the first rows of a history and goes on by itself through the rest, with the actions that were
taken there. A latent space that the model cannot go on in shows here, where single steps may look well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import probes
from diag.embed import shared_tasks
from diag.result import measure_tree
from diag.subject import Foreseeing, Foreseen, Remembered, Subject, require
from probes import Floats, Measure
from trainers.threads import one_thread

HISTORIES = 128
"""Histories that both models go on with: means of losses are then uncertain by some 5% of their spread."""

FEWEST = 8
"""Histories that still go on, below which nothing is said of a step ahead."""

Who = Literal["base", "transfer", "difference"]

KEPT = "kept"
"""Name of who holds on to the last picture that was seen."""


@dataclass(frozen=True)
class Frames:
    """One history as it came and as both models expect it, every array (1 + H, c, h, w) from 0 to 1."""

    came: NDArray[np.float32]
    base: NDArray[np.float32]
    transfer: NDArray[np.float32]


@dataclass(frozen=True)
class Dreams:
    """The drift of two models' open-loop predictions, by steps ahead: 0 is the last row that they saw."""

    histories: int
    task: str
    ahead: int
    """H, the steps ahead."""
    drift: Mapping[str, Mapping[Who, tuple[Measure, ...]]]
    """{term: {who: (1 + H,)}}, means over histories; ``difference`` is the transfer's minus the base's."""
    kept: tuple[Measure, ...]
    """(1 + H,) ``off`` of who holds on to the last picture that was seen."""
    frames: Frames
    """The history that goes on longest and changes most; not part of the JSON."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "histories": self.histories,
            "task": self.task,
            "ahead": self.ahead,
            "drift": {
                term: {who: [measure_tree(m) for m in steps] for who, steps in by.items()}
                for term, by in self.drift.items()
            },
            "kept": [measure_tree(m) for m in self.kept],
        }


def dreams(base: Subject, transfer: Subject, seed: int = 0) -> Dreams | None:
    """The open-loop predictions of a base and its transfer on the transfer's task; None for other models.

    Intervals resample histories. Raises SubjectError for models of several worlds.
    """
    both = (base, transfer)
    objectives = [s.objective for s in both]
    if not all(isinstance(o, Foreseeing) for o in objectives) or transfer.task is None:
        return None
    tasks = shared_tasks(both)
    if not isinstance(tasks, Remembered):
        return None
    found: list[Foreseen] = []
    with one_thread():
        for subject, objective in zip(both, objectives, strict=True):
            assert isinstance(objective, Foreseeing)
            own = tasks.histories(require(subject, "task", subject.task), HISTORIES, seed)
            found.append(objective.foresee(require(subject, "parameters", subject.parameters), own))
    return joined(found[0], found[1], transfer.task, seed)


def joined(base: Foreseen, transfer: Foreseen, task: str, seed: int = 0) -> Dreams:
    """Both models' predictions of the same k histories as means with intervals."""
    k, steps = base.kept.shape
    resampling = probes.make_groups(np.arange(k), seed)

    def means(values: Floats) -> tuple[Measure, ...]:
        there = np.isfinite(values)
        sums, counts = np.where(there, values, 0.0), there.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = resampling.resampled(sums) / resampling.resampled(counts)
            whole = sums.sum(0) / counts.sum(0)
        few = f"fewer than {FEWEST} histories go on so far"
        return tuple(
            probes.interval(float(whole[step]), draws[:, step], int(counts[:, step].sum()))
            if counts[:, step].sum() >= FEWEST
            else Measure.undefined(few)
            for step in range(steps)
        )

    drift: dict[str, Mapping[Who, tuple[Measure, ...]]] = {
        term: {
            "base": means(values),
            "transfer": means(transfer.losses[term]),
            "difference": means(transfer.losses[term] - values),
        }
        for term, values in base.losses.items()
        if term in transfer.losses
    }
    shown = longest(base)
    frames = Frames(transfer.came[shown], base.expected[shown], transfer.expected[shown])
    return Dreams(k, task, steps - 1, drift, means(base.kept), frames)


def longest(found: Foreseen) -> int:
    """The history that goes on longest, and of those the one whose pictures change most."""
    there = np.isfinite(found.kept)
    return int(np.lexsort((np.nansum(found.kept, 1), there.sum(1)))[-1])
