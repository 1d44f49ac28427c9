"""V-trace against its definition, against returns on policy, and against hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainers.vtrace import vtrace

STEPS, ENVIRONMENTS = 9, 5


def drawn(seed: int = 0, on_policy: bool = False) -> tuple[NDArray[np.float64], ...]:
    rng = np.random.default_rng(seed)
    log_ratios = rng.normal(size=(STEPS, ENVIRONMENTS)) * (0 if on_policy else 1)
    discounts = 0.9 * (rng.random((STEPS, ENVIRONMENTS)) > 0.2)
    rewards = rng.normal(size=(STEPS, ENVIRONMENTS))
    return log_ratios, discounts, rewards, rng.normal(size=(STEPS + 1, ENVIRONMENTS))


def by_definition(
    log_ratios: NDArray[np.float64],
    discounts: NDArray[np.float64],
    rewards: NDArray[np.float64],
    values: NDArray[np.float64],
    rho_bar: float,
    c_bar: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Equation 1 of arXiv 1802.01561 as it stands: a sum over later steps, with a product each."""
    rho, c = (np.minimum(bar, np.exp(log_ratios)) for bar in (rho_bar, c_bar))
    targets = values.copy()
    for s in range(STEPS):
        for t in range(s, STEPS):
            between = np.prod(discounts[s:t] * c[s:t], axis=0)
            targets[s] += between * rho[t] * (rewards[t] + discounts[t] * values[t + 1] - values[t])
    advantages = rho * (rewards + discounts * targets[1:] - values[:-1])
    return targets[:-1], advantages


@pytest.mark.parametrize(("rho_bar", "c_bar"), [(1.0, 1.0), (2.0, 0.5), (1e9, 1e9)])
def test_it_is_the_papers_equation(rho_bar: float, c_bar: float) -> None:
    data = drawn()
    found = vtrace(*map(torch.from_numpy, data), rho_bar, c_bar)
    targets, advantages = by_definition(*data, rho_bar, c_bar)
    np.testing.assert_allclose(found.targets.numpy(), targets, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.advantages.numpy(), advantages, rtol=1e-9, atol=1e-9)


def test_on_policy_a_target_is_the_discounted_return_and_the_last_value() -> None:
    log_ratios, discounts, rewards, values = drawn(1, on_policy=True)
    found = vtrace(*map(torch.from_numpy, (log_ratios, discounts, rewards, values)))
    expected, ahead = np.empty_like(rewards), values[-1]
    for step in reversed(range(STEPS)):
        ahead = expected[step] = rewards[step] + discounts[step] * ahead
    np.testing.assert_allclose(found.targets.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_nothing_beyond_an_episodes_end_is_seen() -> None:
    log_ratios, discounts, rewards, values = map(torch.from_numpy, drawn(2))
    discounts[4] = 0
    before = vtrace(log_ratios, discounts, rewards, values)
    rewards[5:] += 100
    values[5:] -= 100
    after = vtrace(log_ratios, discounts, rewards, values)
    torch.testing.assert_close(after.targets[:5], before.targets[:5])
    assert not torch.allclose(after.targets[5:], before.targets[5:])


def test_actions_that_the_policy_would_never_take_teach_nothing() -> None:
    log_ratios, discounts, rewards, values = map(torch.from_numpy, drawn(3))
    found = vtrace(torch.full_like(log_ratios, -torch.inf), discounts, rewards, values)
    torch.testing.assert_close(found.targets, values[:-1])
    assert not found.advantages.any()


def test_another_librarys_targets_are_the_same() -> None:
    functional = pytest.importorskip("torchrl.objectives.value.functional")
    log_ratios, discounts, rewards, values = (torch.from_numpy(a).float() for a in drawn(4))
    done = (discounts == 0).mT.unsqueeze(-1)
    by_row = [t.mT.unsqueeze(-1) for t in (log_ratios, values[:-1], values[1:], rewards)]
    zeros = torch.zeros_like(by_row[0])
    advantages, targets = functional.vtrace_advantage_estimate(
        0.9, by_row[0], zeros, *by_row[1:], done, done.clone(), rho_thresh=1.0, c_thresh=1.0
    )
    found = vtrace(log_ratios, discounts, rewards, values)
    torch.testing.assert_close(found.targets.mT, targets.squeeze(-1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.advantages.mT, advantages.squeeze(-1), rtol=1e-4, atol=1e-4)


def test_shapes_that_do_not_fit_are_named() -> None:
    data = [torch.zeros(3, 2)] * 3
    with pytest.raises(ValueError, match=r"expected \(T, N\) three times, and \(T \+ 1, N\)"):
        vtrace(*data, torch.zeros(3, 2))
