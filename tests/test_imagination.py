"""λ-returns and the losses of actor and critic against their definitions, written out in another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainers.imagination import actor_loss, critic_loss, lambda_returns, reached


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def n_step(rewards: Tensor, discounts: Tensor, values: Tensor, start: int, n: int) -> Tensor:
    """Rewards of n steps from a state, then the value of where they led."""
    total, weight = torch.zeros_like(rewards[0]), torch.ones_like(rewards[0])
    for step in range(start, start + n):
        total = total + weight * rewards[step]
        weight = weight * discounts[step]
    return total + weight * values[start + n - 1]


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 1000))
def test_a_lambda_return_is_the_mixture_of_all_n_step_returns(horizon: int, mixing: float, seed: int) -> None:
    rewards, values = drawn(seed, horizon, 3), drawn(seed + 1, horizon, 3)
    discounts = drawn(seed + 2, horizon, 3).sigmoid()
    returns = lambda_returns(rewards, discounts, values, mixing)
    for start in range(horizon):
        left = horizon - start
        mixture = mixing ** (left - 1) * n_step(rewards, discounts, values, start, left)
        for n in range(1, left):
            mixture = mixture + (1 - mixing) * mixing ** (n - 1) * n_step(
                rewards, discounts, values, start, n
            )
        torch.testing.assert_close(returns[start], mixture)


def test_states_count_by_the_chance_that_they_are_reached() -> None:
    discounts = torch.tensor([[0.5, 1.0], [0.8, 0.0], [0.9, 1.0]])
    weights = reached(discounts, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.4, 0.0]]))
    weights = reached(discounts, torch.ones(2))
    torch.testing.assert_close(weights[:, 1], torch.tensor([1.0, 1.0, 0.0]))


def test_the_critic_descends_its_error_and_nothing_else() -> None:
    values, returns, weights = (drawn(i, 4, 3).requires_grad_() for i in range(3))
    loss = critic_loss(values, returns, weights)
    (slope,) = torch.autograd.grad(loss, values, retain_graph=True)
    torch.testing.assert_close(slope, (weights * (values - returns) / 12).detach())
    assert torch.autograd.grad(loss, [returns, weights], allow_unused=True) == (None, None)


@pytest.mark.parametrize("estimator", ["reinforce", "dynamics"])
def test_the_actor_climbs_by_its_estimator(estimator: str) -> None:
    chances, entropies, returns, baseline, weights = (drawn(i, 4, 3).requires_grad_() for i in range(5))
    loss = actor_loss(chances, entropies, returns, baseline, weights, 0.25, estimator)  # type: ignore[arg-type]
    wanted = [chances, entropies, returns, baseline, weights]
    slopes = torch.autograd.grad(loss, wanted, allow_unused=True)
    weight, advantage = weights.detach() / 12, (returns - baseline).detach()
    torch.testing.assert_close(slopes[1], -0.25 * weight)
    if estimator == "reinforce":
        torch.testing.assert_close(slopes[0], -weight * advantage)
        assert slopes[2] is None
    else:
        torch.testing.assert_close(slopes[2], -weight)
        assert slopes[0] is None
    assert slopes[3] is None
    assert slopes[4] is None


def test_reinforce_is_the_gradient_of_the_expected_return() -> None:
    """Over all actions, weighed by their chances, −ln π·A has the gradient of −E[return]."""
    logits, worth = drawn(0, 3).requires_grad_(), drawn(1, 3)
    expected = -(logits.softmax(0) * worth).sum()
    (wanted,) = torch.autograd.grad(expected, logits)
    total = torch.zeros_like(wanted)
    for action in range(3):
        chance = logits.log_softmax(0)[action].reshape(1, 1)
        zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
        loss = actor_loss(chance, zero, worth[action] * one, 0.3 * one, one, 0.0, "reinforce")
        (slope,) = torch.autograd.grad(loss, logits)
        total += float(chance.detach().exp()) * slope
    torch.testing.assert_close(total, wanted)
