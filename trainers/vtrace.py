"""V-trace: value targets and policy advantages from steps that another policy may have taken.

Espeholt et al., IMPALA (arXiv 1802.01561), equations 1 to 3. With importance ratios π(a|x)/μ(a|x) of the
trained policy π to the acting policy μ, ρ = min(ρ̄, ratio) and c = min(c̄, ratio),

    v_s = V(x_s) + Σ_{t ≥ s} (Π_{s ≤ i < t} γ_i c_i) ρ_t (r_t + γ_t V(x_{t+1}) − V(x_t)),

and the advantage of step s is ρ_s (r_s + γ_s v_{s+1} − V(x_s)), where v at the end of the unroll is V itself.
On policy (π = μ, ρ̄ ≥ c̄ = 1) v_s is the discounted return up to the unroll's end plus the value there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class VTrace(NamedTuple):
    """What a policy and its value model are moved towards; neither carries a gradient."""

    targets: Tensor
    """(T, N) value targets v_s."""
    advantages: Tensor
    """(T, N) advantages of the actions that were taken."""


@torch.no_grad()
def vtrace(
    log_ratios: Tensor,
    discounts: Tensor,
    rewards: Tensor,
    values: Tensor,
    rho_bar: float = 1.0,
    c_bar: float = 1.0,
) -> VTrace:
    """Targets and advantages of T steps of N environments.

    ``log_ratios`` (T, N) are log π(a|x) − log μ(a|x) of the actions taken, ``discounts`` (T, N) are γ, and 0
    where an episode ended with the step, ``rewards`` (T, N) what the steps paid, and ``values`` (T + 1, N) V
    of every observation, the one after the last step among them. Raises ValueError for other shapes.
    """
    steps = log_ratios.shape
    if not (discounts.shape == rewards.shape == steps) or values.shape != (steps[0] + 1, *steps[1:]):
        shapes = ", ".join(str(tuple(t.shape)) for t in (log_ratios, discounts, rewards, values))
        raise ValueError(f"found shapes {shapes}; expected (T, N) three times, and (T + 1, N)")
    ratios = log_ratios.exp()
    rhos, traces = ratios.clamp_max(rho_bar), discounts * ratios.clamp_max(c_bar)
    errors = rhos * (rewards + discounts * values[1:] - values[:-1])
    beyond = torch.empty_like(values)  # v_s − V(x_s)
    beyond[-1] = 0
    for step in reversed(range(steps[0])):
        torch.addcmul(errors[step], traces[step], beyond[step + 1], out=beyond[step])
    targets = values + beyond
    advantages = rhos * (rewards + discounts * targets[1:] - values[:-1])
    return VTrace(targets[:-1], advantages)
