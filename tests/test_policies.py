"""Q-networks for recorded data learn to play, and their snapshots are of different skill."""

from __future__ import annotations

import numpy as np
import pytest

from tests.corridor import CORRIDOR
from trainers.dqn import EXPLORES
from trainers.policies import Policy, policies_of


def mean_return(policy: Policy, episodes: int = 200) -> float:
    envs, rng = CORRIDOR.envs("default", episodes, 9), np.random.default_rng(0)
    total, going = np.zeros(episodes), np.ones(episodes, np.bool_)
    for _ in range(CORRIDOR.max_steps):
        step = envs.step(policy(envs.observations, rng))
        total += np.where(going, step.rewards, 0)
        going &= ~step.ended
    return float(total.mean())


@pytest.mark.numeric
def test_a_network_plays_better_at_the_end_of_its_training() -> None:
    random, early, late = policies_of(CORRIDOR, "default", ("random", "dqn1", "dqn100"), 8000, 0)
    assert abs(mean_return(random)) < 0.5
    assert mean_return(late) > 0.9 - EXPLORES
    assert mean_return(early) < mean_return(late) - 0.3


def test_snapshots_are_the_same_each_time() -> None:
    seen = CORRIDOR.envs("default", 50, 1).observations
    one, two = (policies_of(CORRIDOR, "negative", ("dqn50",), 600, 3)[0] for _ in range(2))
    actions = [policy(seen, np.random.default_rng(0)) for policy in (one, two)]
    assert np.array_equal(*actions)
