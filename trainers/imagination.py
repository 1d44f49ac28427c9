"""Learning to act from imagined steps: λ-returns, and the losses of actor and critic.

DreamerV2 (Hafner et al., arXiv 2010.02193, equations 4 to 6). From H imagined steps with rewards r̂, discounts
γ̂ (the model's chance that the episode goes on, times γ) and the critic's values v, the λ-return of step t is

    V_t = r̂_{t+1} + γ̂_{t+1}·((1 − λ)·v_{t+1} + λ·V_{t+1}),   V_H = v_H.

The critic descends ½(v_t − sg(V_t))². The actor descends either −ln π(a_t)·sg(V_t − v_t) (``reinforce``) or
−V_t (``dynamics``, whose gradient goes through the model), and −η·H[π] beside. Each step counts by the chance
that it is reached, the product of the discounts before it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["reinforce", "dynamics"]


def lambda_returns(rewards: Tensor, discounts: Tensor, values: Tensor, mixing: float) -> Tensor:
    """Returns V (H, …) from rewards, discounts and values (H, …) of the states that the steps led to.

    Entry t belongs to the step from state t to t + 1; the values' last entry stands for all that follows.
    """
    mixed = rewards + discounts * (1 - mixing) * values
    last, returns = values[-1], []
    for now in range(len(rewards) - 1, -1, -1):
        last = mixed[now] + discounts[now] * mixing * last
        returns.append(last)
    return torch.stack(returns[::-1])


def reached(discounts: Tensor, start: Tensor) -> Tensor:
    """Weights (H, n) of the states 0 … H − 1: the product of the discounts (H, n) on the way there.

    ``discounts`` are those of the states 1 … H; ``start`` (n,) weighs the states that all began in.
    """
    return torch.cat([start.unsqueeze(0), discounts[:-1]]).cumprod(0)


def critic_loss(values: Tensor, returns: Tensor, weights: Tensor) -> Tensor:
    """Mean of ½(v − V)², weighted; gradients reach the values (H, n) alone."""
    return (weights.detach() * (values - returns.detach()).square() / 2).mean()


def actor_loss(
    log_chances: Tensor,
    entropies: Tensor,
    returns: Tensor,
    baseline: Tensor,
    weights: Tensor,
    entropy_scale: float,
    estimator: Estimator,
) -> Tensor:
    """The actor's loss from (H, n) each: ln π of the actions taken, entropies, returns and their baseline."""
    objective = returns if estimator == "dynamics" else log_chances * (returns - baseline).detach()
    return -(weights.detach() * (objective + entropy_scale * entropies)).mean()
