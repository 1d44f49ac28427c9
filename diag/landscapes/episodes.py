"""The same episode played by the checkpoints of a landscape, each on its own task, as small pictures.

Returns along the straight line are means; an episode shows what an agent does to earn them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from diag.landscapes.result import Played, PlayedEpisode
from diag.landscapes.system import System, base_of
from diag.repeatable import HeldActor
from diag.subject import Actor, Filmed, Parameters, Subject, require
from probes import Floats

PLAYED = 64
"""Episodes of which one is shown."""


@runtime_checkable
class _FilmedActor(Actor, Filmed, Protocol):
    """An actor whose episodes can be drawn."""


def typical(returns: Sequence[Floats]) -> int:
    """The episode in which all players earn most nearly what they earn on average.

    ``returns`` are rows (episodes,), one a player, of the same episodes. Deviations are in units of each
    player's own spread, and their squares are summed.
    """
    apart = [(row - row.mean()) / max(float(row.std()), 1e-9) for row in returns]
    return int(np.argmin(np.sum(np.square(apart), axis=0)))


def played_episode(system: System, base: object, seed: int) -> PlayedEpisode | None:
    """One episode of A, B and their base (default: the one they were made from), if they can be drawn."""
    players = list(_players(system, base))
    if len(players) < 2:
        return None
    returns = [
        np.asarray(HeldActor(actor).returns(parameters, task, PLAYED, seed), np.float64)
        for _, _, actor, parameters, task in players
    ]
    number = typical(returns)
    return PlayedEpisode(
        tuple(
            Played(name, path, task, float(row.mean()), actor.film(parameters, task, PLAYED, number, seed))
            for (name, path, actor, parameters, task), row in zip(players, returns, strict=True)
        ),
        number,
        PLAYED,
    )


def _players(system: System, base: object) -> Iterator[tuple[str, str, _FilmedActor, Parameters, str]]:
    """Name, path, actor, parameters and task of the base, of A and of B, if their episodes can be drawn."""
    chosen = base_of(system, base)
    subjects: list[tuple[str, Subject]] = list(zip("AB", system.subjects, strict=False))
    if chosen is not None and all(chosen.identity != subject.identity for _, subject in subjects):
        subjects.insert(0, ("the base", chosen))
    for name, subject in subjects:
        if isinstance(subject.actor, _FilmedActor):
            parameters = require(subject, "parameters", subject.parameters)
            yield name, subject.path, subject.actor, parameters, require(subject, "task", subject.task)
