"""An episode in a labyrinth as a handful of small coloured pictures, with the way that the agent took.

>>> world = LABYRINTHS["labyrinth-small"]
>>> downwards = lambda pictures: np.ones(len(pictures), np.int64)
>>> frames, captions = filmed(world, episode_of(world, "source", downwards, 2, 0, 7), "source")
>>> frames.shape[1:], captions[0], captions[-1]
((36, 36, 3), 'start', 'step 30')
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trainers.envs.labyrinth import LABYRINTHS, TAKEN, LabyrinthWorld, Task
from trainers.envs.labyrinth_episodes import Episode, episode_of

__all__ = ["LABYRINTHS", "MOMENTS", "episode_of", "filmed", "summary_of"]

MOMENTS = 6
"""Frames of a film: so many stand side by side on a page, each large enough to be recognised."""

TRAIL = (70, 120, 190)
"""Red, green and blue of the dots where the agent came over; the target task has the complement."""

_TILE, _DOT = 6, 2
"""Pixels of a tile and of a dot in the pictures for people."""


def filmed(world: LabyrinthWorld, episode: Episode, task: Task) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """At most :data:`MOMENTS` pictures (k, 6·tiles, 6·tiles, 3) of an episode, and words under each.

    They are its start and its end, the steps that took a key, and others as evenly between as can be. Dots
    stand on the tiles that the agent came over since the picture before.
    """
    moments = _moments(episode)
    frames = world.pictures(episode.states[np.array(moments)], task, scale=1)
    colour = np.array(TRAIL if task == "source" else np.subtract(255, TRAIL), np.uint8)
    for frame, (before, now) in zip(frames[1:], pairwise(moments), strict=True):
        for tile in set(episode.states.agent[before:now].tolist()) - {int(episode.states.agent[now])}:
            row, column = (part * _TILE + (_TILE - _DOT) // 2 for part in divmod(tile, world.tiles))
            frame[row : row + _DOT, column : column + _DOT] = colour
    return frames, tuple(_caption(episode, moment) for moment in moments)


def summary_of(episode: Episode) -> str:
    """What happens in an episode: ``takes 1 of 2 keys in 30 steps, return -1.9``."""
    keys = episode.states.keys.shape[1]
    taken = int((episode.states.keys[-1:] == TAKEN).sum())
    steps = len(episode.rewards)
    return f"takes {taken} of {keys} keys in {steps} steps, return {float(episode.rewards.sum()):.1f}"


def _moments(episode: Episode) -> list[int]:
    """Numbers of the states that are shown, from the first to the last."""
    last = len(episode.rewards)
    shown = {0, last, *(int(step) + 1 for step in np.flatnonzero(episode.rewards > 0))}
    while len(shown) < min(MOMENTS, last + 1):
        before, after = max(pairwise(sorted(shown)), key=lambda pair: pair[1] - pair[0])
        shown.add((before + after) // 2)
    return sorted(shown)


def _caption(episode: Episode, moment: int) -> str:
    if moment == 0:
        return "start"
    return f"step {moment}{': a key' if episode.rewards[moment - 1] > 0 else ''}"
