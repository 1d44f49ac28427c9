"""Planning by expanding learned models into a tree, all its nodes and many states at once.

CRAR (François-Lavet et al., arXiv 1809.04506, section on planning) estimates the value of an action by
looking d steps ahead with its own models, x' = p̂(x, a), r̂(x, a) and γ̂(x, a):

    Q̂⁰(x, a) = Q(x, a)
    Q̂ᵈ(x, a) = r̂(x, a) + γ̂(x, a) · max over a' in A*(x') of Q̂ᵈ⁻¹(x', a')

and acts on Q̂⁰ + Q̂¹ + … + Q̂ᴰ. A*(x') are the few actions that Q likes best in x': the authors' public code,
and the first paper with it, expand every action at the root and the best two at all later nodes. That code
divides the sum by D + 1; so do we, which keeps values in units of returns and chooses the same action.

Nodes that the estimates of several depths have in common are expanded once: for four actions, depth 6 and the
best two, 252 predictions where the recursion makes 480.

Ties: of equal values the action with the smaller number counts as better, both at A* and at the end.

>>> models = Models(
...     predict=lambda x, a: x + a[:, None],
...     reward=lambda x, a: x[:, 0] * a,
...     discount=lambda x, a: 0.5 + 0 * a,
...     q=lambda x: x.repeat(1, 2),
... )
>>> depth_estimates(models, torch.tensor([[1.0]]), 1).squeeze(1)
tensor([[1.0000, 1.0000],
        [0.5000, 2.0000]])
>>> planned_actions(models, torch.tensor([[1.0]]), 1)
tensor([1])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

DEPTHS = (0, 1, 3, 6)
"""The depths that the first paper evaluates, in the order of its modes."""

BREADTH = 2
"""Actions that are expanded below the root."""

MOST_NODES = 256
"""Most nodes that a model sees at once: what it computes then stays in a processor's cache."""


@dataclass(frozen=True)
class Models:
    """Learned models of an agent, as functions of n embeddings (n, *shape) and n actions (n,) int64."""

    predict: Callable[[Tensor, Tensor], Tensor]
    """The next embeddings (n, *shape)."""
    reward: Callable[[Tensor, Tensor], Tensor]
    """(n,)"""
    discount: Callable[[Tensor, Tensor], Tensor]
    """(n,)"""
    q: Callable[[Tensor], Tensor]
    """Values (n, actions) of embeddings."""


def depth_estimates(
    models: Models, x: Tensor, depth: int, breadth: int = BREADTH, most_nodes: int = MOST_NODES
) -> Tensor:
    """Q̂ᵈ for every d from 0 to ``depth``, (depth + 1, n, actions), of embeddings (n, *shape).

    ``most_nodes`` bounds memory and sets no number but by rounding. Raises ValueError for a depth below 0, or
    a breadth below 1.
    """
    if depth < 0 or breadth < 1:
        raise ValueError(f"depth and breadth: found {depth} and {breadth}, expected 0 or more and 1 or more")
    n, shape = x.shape[0], x.shape[1:]
    values = [_in_parts(models.q, most_nodes, x)]
    actions = values[0].shape[1]
    levels: list[tuple[Tensor, Tensor]] = []
    chosen = torch.arange(actions, device=x.device).expand(n, -1)
    nodes = x
    for level in range(depth):
        if level:
            # A stable sort keeps the smaller action first among equals; topk promises no order.
            chosen = values[-1].sort(dim=1, descending=True, stable=True).indices[:, :breadth]
        many = chosen.shape[1]
        parents = nodes.repeat_interleave(many, 0)
        taken = chosen.reshape(-1)
        reward = _in_parts(models.reward, most_nodes, parents, taken).view(-1, many)
        discount = _in_parts(models.discount, most_nodes, parents, taken).view(-1, many)
        levels.append((reward, discount))
        nodes = _in_parts(models.predict, most_nodes, parents, taken).view(-1, *shape)
        values.append(_in_parts(models.q, most_nodes, nodes))
    # From the leaves up: best[j] (nodes,) is the best value of each node of a level with j levels below it.
    best: list[Tensor] = []
    estimates = values[:1]
    for level in reversed(range(depth)):
        best = [values[level + 1].amax(1), *best]
        reward, discount = levels[level]
        backed = [reward + discount * b.view_as(reward) for b in best]
        best = [b.amax(1) for b in backed]
        estimates = [values[0], *backed]
    return torch.stack(estimates)


def planned_values(
    models: Models, x: Tensor, depth: int, breadth: int = BREADTH, most_nodes: int = MOST_NODES
) -> Tensor:
    """The mean of Q̂⁰ to Q̂ᵈ, (n, actions), that the agent acts on."""
    return depth_estimates(models, x, depth, breadth, most_nodes).mean(0)


def planned_actions(
    models: Models, x: Tensor, depth: int, breadth: int = BREADTH, most_nodes: int = MOST_NODES
) -> Tensor:
    """The best action (n,) int64 in each state; of equals the one with the smaller number."""
    values = planned_values(models, x, depth, breadth, most_nodes)
    return values.max(1).indices


def _in_parts(model: Callable[..., Tensor], most: int, *inputs: Tensor) -> Tensor:
    """A model's outputs, of so many inputs at a time."""
    if len(inputs[0]) <= most:
        return model(*inputs)
    starts = range(0, len(inputs[0]), most)
    return torch.cat([model(*(tensor[start : start + most] for tensor in inputs)) for start in starts])
