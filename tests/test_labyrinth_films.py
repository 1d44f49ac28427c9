"""Films of episodes in labyrinths show the episode whose return is told."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.envs.labyrinth import LABYRINTHS, TAKEN
from trainers.envs.labyrinth_episodes import episode_of, idle_return, returns_of
from trainers.envs.labyrinth_films import MOMENTS, filmed, summary_of

WORLD = LABYRINTHS["labyrinth-small"]


def still(pictures: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.zeros(len(pictures), np.int64)


@pytest.mark.parametrize("number", range(6))
def test_an_episode_is_the_one_whose_return_is_told(number: int) -> None:
    returns = returns_of(WORLD, "target", still, 6, 3, explore=0.7)
    episode = episode_of(WORLD, "target", still, 6, number, 3, explore=0.7)
    assert episode.rewards.sum() == pytest.approx(returns[number], abs=1e-5)
    assert len(episode.states) == len(episode.rewards) + 1
    assert (episode.states.walls == episode.states.walls[:1]).all()
    frames, captions = filmed(WORLD, episode, "target")
    assert len(frames) == len(captions) <= MOMENTS
    assert captions[0] == "start"
    assert captions[-1].startswith(f"step {len(episode.rewards)}")
    taken = int((episode.states.keys[-1] == TAKEN).sum())
    assert sum(caption.endswith(": a key") for caption in captions) == taken
    assert summary_of(episode).startswith(f"takes {taken} of 2 keys")


def test_who_stands_still_in_the_corner_earns_what_is_said_of_it() -> None:
    assert returns_of(WORLD, "source", still, 4, 0) == pytest.approx([idle_return(WORLD)] * 4, abs=1e-5)


def test_the_target_task_is_drawn_in_the_opposite_colours() -> None:
    episode = episode_of(WORLD, "source", still, 2, 1, 5, explore=1.0)
    source, target = (filmed(WORLD, episode, task)[0] for task in ("source", "target"))
    assert (source == 255 - target).all()
