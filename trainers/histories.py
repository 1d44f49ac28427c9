"""Histories of a random policy with the hidden states behind them: what latent states are compared on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.envs.acting import Actions, PairedEnvs, PairedWorld, States, World
from trainers.envs.several import Several
from trainers.streams import EVALUATION_STREAM, generator

WALKED = 4
"""Histories begin after up to so many times their length: states then are of more than the first steps."""


@dataclass(frozen=True)
class Histories:
    """k histories of T rows, one after the other; every array (k·T, …).

    What an ended episode showed last is left out, since nothing is known of its hidden state; the next row
    begins a new episode.
    """

    observation: NDArray[Any]
    action: Actions
    """The action that led to each row; none where an episode begins, or the history."""
    reward: NDArray[np.float64]
    """The reward that came with each row; 0 where an episode begins, or the history."""
    first: NDArray[np.bool_]
    history: NDArray[np.int64]
    time: NDArray[np.int64]
    """Steps that the episode had before the row."""
    states: States
    """Hidden states by name; none of a world that does not show them."""
    variables: Mapping[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.action)


def histories(world: World, look: str, count: int, length: int, *seed: int) -> Histories:
    """Histories of one look, each of an environment of its own."""
    rng = generator(EVALUATION_STREAM, *seed)
    envs = world.envs(look, count, *seed, EVALUATION_STREAM)
    begin = rng.integers(WALKED * length + 1, size=count)
    time, ended = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    reward: NDArray[Any] = np.zeros(count)
    none = world.actions.none()
    action: Actions = world.actions.none(count)
    lanes: list[list[tuple[Any, ...]]] = [[] for _ in range(count)]
    hidden: list[list[dict[str, NDArray[Any]]]] = [[] for _ in range(count)]
    now = 0
    while min(map(len, lanes)) < length:
        seen = envs.observations
        states = envs.hidden() if isinstance(envs, PairedEnvs) else {}
        for place, lane in enumerate(lanes):
            if now >= begin[place] and len(lane) < length:
                first = not lane or bool(ended[place])
                came = (none, 0.0) if first else (action[place], reward[place])
                lane.append((seen[place], *came, first, place, time[place]))
                hidden[place].append({name: values[place] for name, values in states.items()})
        action = world.actions.sample(rng, count)
        step = envs.step(action)
        reward, ended = step.rewards, step.ended
        time = np.where(ended, 0, time + 1)
        now += 1
    envs.close()
    observation, actions, rewards, firsts, places, times = (
        np.array(column) for column in zip(*(row for lane in lanes for row in lane), strict=True)
    )
    rows = [one for lane in hidden for one in lane]
    known = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    variables: Mapping[str, NDArray[np.float64]] = {}
    if isinstance(world, Several):
        variables = world.variables(look, known)
    elif isinstance(world, PairedWorld):
        variables = world.variables(known)
    return Histories(
        observation,
        actions.astype(none.dtype),
        rewards.astype(np.float64),
        firsts.astype(np.bool_),
        places.astype(np.int64),
        times.astype(np.int64),
        known,
        variables,
    )
