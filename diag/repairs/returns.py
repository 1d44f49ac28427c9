"""Mean returns of a base, of its transfer, and of the mended transfer, in the same episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import probes
from diag.repeatable import HeldActor
from diag.result import measure_tree
from diag.subject import Parameters, Subject
from probes import Measure
from trainers.threads import one_thread

EPISODES = 400
"""Episodes that each of them plays. The standard error of a labyrinth's mean return is then some 0.07, and
that of the difference of two, in the same labyrinths, about as much."""


@dataclass(frozen=True)
class Played:
    """Returns of the base on its own task, and of each stage of the repair on the target task."""

    episodes: int
    base: Measure
    stages: Mapping[str, Measure]
    """{stage: mean return with its interval}, over episodes."""
    gained: Measure
    """Mean return of the last stage minus that of the first, over pairs of the same episode."""
    lacking: Measure
    """Mean return of the last stage minus the base's, over pairs of the same episode."""

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "episodes": self.episodes,
            "base": measure_tree(self.base),
            "stages": {name: measure_tree(mean) for name, mean in self.stages.items()},
            "gained": measure_tree(self.gained),
            "lacking": measure_tree(self.lacking),
        }


def played(
    base: Subject, transfer: Subject, stages: Sequence[tuple[str, Parameters]], seed: int
) -> Played | None:
    """Episodes played with the base's parameters and with those of each stage; None where neither can act."""
    if base.actor is None or transfer.actor is None or base.parameters is None:
        return None
    own = _returns(base, base.parameters, seed)
    by_stage = {name: _returns(transfer, parameters, seed) for name, parameters in stages}
    first, *_, last = [*by_stage.values()] if len(by_stage) > 1 else [*by_stage.values()] * 2
    return Played(
        EPISODES,
        mean_of(own, seed),
        {name: mean_of(values, seed) for name, values in by_stage.items()},
        mean_of(last - first, seed),
        mean_of(last - own, seed),
    )


def mean_of(values: NDArray[np.float64], seed: int) -> Measure:
    """The mean of values (n,) with its bootstrap interval."""
    groups = probes.make_groups(np.arange(len(values)), seed)
    draws = groups.resampled(values[:, None])[:, 0] / len(values)
    return probes.interval(float(values.mean()), draws, groups.count)


def _returns(subject: Subject, parameters: Parameters, seed: int) -> NDArray[np.float64]:
    assert subject.actor is not None
    assert subject.task is not None
    with one_thread():
        found = HeldActor(subject.actor).returns(parameters, subject.task, EPISODES, seed)
    return np.asarray(found, np.float64)
