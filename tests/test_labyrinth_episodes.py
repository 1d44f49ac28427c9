"""Episodes in labyrinths: returns are sums of rewards, and a perfect model plans a perfect way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.envs.labyrinth import GREY, KEY, LABYRINTHS, LabyrinthWorld, States, walking_steps
from trainers.envs.labyrinth_episodes import returns_of
from trainers.planning import Models, planned_actions

SMALL = LABYRINTHS["labyrinth-small"]
ONE_KEY = LabyrinthWorld(5, 1, 1, 12, walls=0)
"""A room of 3×3 tiles with one key, a pixel a tile: the way to it is never longer than four steps."""


def test_a_wall_all_the_time_costs_every_step() -> None:
    up = returns_of(SMALL, "source", lambda pictures: np.zeros(len(pictures), np.int64), 5, 0)
    assert up.tolist() == pytest.approx([-3.0] * 5)  # 30 steps of −0.1: the start is below the border


def test_labyrinths_and_strays_are_the_seeds() -> None:
    def policy(pictures: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.full(len(pictures), 3)

    first, again, other = (
        returns_of(SMALL, task, policy, 40, seed, explore=0.5)
        for task, seed in (("source", 1), ("target", 1), ("source", 2))
    )
    np.testing.assert_array_equal(first, again)  # a policy that does not look is as good in both tasks
    assert not np.array_equal(first, other)
    assert len(np.unique(first)) > 3


def perfect(world: LabyrinthWorld) -> Models:
    """What an agent knows that has learned a room with one key: an embedding is (agent, key) as numbers."""
    moves = torch.tensor([-world.tiles, world.tiles, -1, 1])

    def led(x: Tensor, a: Tensor) -> Tensor:
        agent, key = x[:, 0].long(), x[:, 1]
        goal = agent + moves[a]
        row, column = goal // world.tiles, goal % world.tiles
        inside = (torch.minimum(row, column) > 0) & (torch.maximum(row, column) < world.tiles - 1)
        return torch.stack([torch.where(inside, goal, agent).float(), key], 1)

    def takes(x: Tensor, a: Tensor) -> Tensor:
        return led(x, a)[:, 0] == x[:, 1]

    return Models(
        predict=led,
        reward=lambda x, a: torch.where(takes(x, a), 1.0, -0.1),
        discount=lambda x, a: torch.where(takes(x, a), 0.0, 0.9),
        q=lambda x: torch.zeros(len(x), 4),  # knows nothing: all comes from planning
    )


def test_a_perfect_model_plans_the_shortest_way() -> None:
    """With every action expanded, four steps ahead see the key from anywhere in the room."""
    models = perfect(ONE_KEY)

    def policy(pictures: NDArray[np.float32]) -> NDArray[np.int64]:
        flat = pictures.reshape(len(pictures), -1)
        agent, key = (np.isclose(flat, GREY[kind]).argmax(1) for kind in (3, KEY))
        x = torch.from_numpy(np.stack([agent, key], 1).astype(np.float32))
        return planned_actions(models, x, 4, breadth=4).numpy()

    found = returns_of(ONE_KEY, "source", policy, 30, 7)
    states = drawn(30, 7)
    steps = ONE_KEY.distances(states)
    assert steps.max() == 4
    np.testing.assert_allclose(found, 1.0 - 0.1 * (steps - 1), atol=1e-6)


def drawn(episodes: int, seed: int) -> States:
    """The labyrinths that are played, drawn from the same stream."""
    from trainers.streams import PLAY_STREAM, generator

    states = ONE_KEY.draw(generator(PLAY_STREAM, seed), episodes)
    assert (walking_steps(states.walls, states.walls) == -1).all()
    return states
