"""Planned decisions a second on one core: our batched tree beside recursions, at the paper's sizes.

    python benchmarks/planning.py [--depth 6] [--repeats 3] [--states 32]

Models are convolutional, with fresh weights: the paper's on 8×8 tiles, and half as wide on 6×6. Contenders:

- ours, for many states at once and for one;
- the recursion that one would write down from the equations: a node at a time, each depth by itself;
- the recursion of the paper's public code: a state at a time, each depth by itself, a level of the tree at
  once.

They are checked first to give the same values. They take turns, round by round; times are of the processor,
of one thread; speeds are medians over rounds, a ratio is the median over rounds of ours ÷ theirs.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = "1"

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from trainers.nets import ConvNet, beside_planes, conv_head, conv_transition
from trainers.planning import BREADTH, Models, planned_values

ACTIONS = 4
TOLERANCE = 1e-4
"""Between routes that add up in another order; values are about 1."""


def models(tiles: int, narrower: int = 1) -> Models:
    """Models with fresh weights on embeddings (3, tiles, tiles), so many times narrower than the paper's."""

    def widths(*paper: int) -> list[int]:
        return [max(width // narrower, 1) for width in paper]

    head = (widths(16, 32, 16, 4), widths(200, 50, 20))
    nets = {
        "transition": conv_transition(tiles, ACTIONS, widths=widths(16, 32, 64, 32, 16)),
        "reward": conv_head(tiles, 3 + ACTIONS, 1, *head),
        "discount": conv_head(tiles, 3 + ACTIONS, 1, *head),
        "q": conv_head(tiles, 3, ACTIONS, *head),
    }
    rng = np.random.default_rng(0)
    parameters = {
        f"{component}/{name}": value.unsqueeze(0)
        for component, net in nets.items()
        for name, value in net.fresh(rng).items()
    }

    def of(component: str, net: ConvNet) -> Callable[[Tensor, Tensor], Tensor]:
        def answer(x: Tensor, action: Tensor) -> Tensor:
            planes = beside_planes(x.unsqueeze(0), torch.nn.functional.one_hot(action, ACTIONS))
            return net(parameters, component, planes)[0]

        return answer

    transition, reward, discount = (of(c, nets[c]) for c in ("transition", "reward", "discount"))
    return Models(
        predict=lambda x, a: x + transition(x, a),
        reward=lambda x, a: reward(x, a)[:, 0],
        discount=lambda x, a: discount(x, a)[:, 0],
        q=lambda x: nets["q"](parameters, "q", x.unsqueeze(0))[0],
    )


def node_by_node(m: Models, x: Tensor, depth: int) -> Tensor:
    """Planned values (actions,) of one state (1, *shape), by the equations."""

    def estimate(x: Tensor, action: int, depth: int) -> float:
        if depth == 0:
            return float(m.q(x)[0, action])
        a = torch.tensor([action])
        after = m.predict(x, a)
        best = m.q(after)[0].sort(descending=True, stable=True).indices[:BREADTH].tolist()
        value = max(estimate(after, b, depth - 1) for b in best)
        return float(m.reward(x, a)) + float(m.discount(x, a)) * value

    sums = [sum(estimate(x, action, d) for d in range(depth + 1)) for action in range(ACTIONS)]
    return torch.tensor(sums) / (depth + 1)


def level_by_level(m: Models, x: Tensor, depth: int) -> Tensor:
    """Planned values (actions,) of one state (1, *shape), a level at once, each depth by itself."""

    def estimates(x: Tensor, actions: Tensor, depth: int) -> Tensor:
        if depth == 0:
            return m.q(x).gather(1, actions)
        many = actions.shape[1]
        parents, taken = x.repeat_interleave(many, 0), actions.reshape(-1)
        after = m.predict(parents, taken)
        best = m.q(after).sort(dim=1, descending=True, stable=True).indices[:, :BREADTH]
        value = estimates(after, best, depth - 1).amax(1)
        return (m.reward(parents, taken) + m.discount(parents, taken) * value).view(-1, many)

    every = torch.arange(ACTIONS).unsqueeze(0)
    return torch.stack([estimates(x, every, d)[0] for d in range(depth + 1)]).mean(0)


def seconds(decide: Callable[[], object]) -> float:
    start = time.process_time()
    decide()
    return time.process_time() - start


def compare(title: str, m: Models, shape: Sequence[int], depth: int, states: int, repeats: int) -> None:
    x = torch.rand(states, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours = planned_values(m, x[:2], min(depth, 3))
    for other in (node_by_node, level_by_level):
        theirs = torch.stack([other(m, x[i : i + 1], min(depth, 3)) for i in range(2)])
        apart = (ours - theirs).abs().max()
        assert apart < TOLERANCE, f"{other.__name__} is {apart:.2g} from ours"
    few = min(states, 4)
    contenders: dict[str, tuple[int, Callable[[], object]]] = {
        f"ours, {states} states at once": (states, lambda: planned_values(m, x, depth)),
        "ours, one state at a time": (
            few,
            lambda: [planned_values(m, x[i : i + 1], depth) for i in range(few)],
        ),
        "recursion, a level at a time": (
            few,
            lambda: [level_by_level(m, x[i : i + 1], depth) for i in range(few)],
        ),
        "recursion, a node at a time": (1, lambda: node_by_node(m, x[:1], depth)),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, (decisions, decide) in contenders.items():
            rates[name].append(decisions / seconds(decide))
    print(f"{title}, depth {depth}: decisions a second (median of {repeats})")
    first = next(iter(rates.values()))
    for name, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(first, found, strict=True))
        print(f"  {name:32} {statistics.median(found):9.2f}   ours is {ratio:6.1f}× as fast")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--states", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, one thread")
    with torch.inference_mode():
        for title, tiles, narrower in (
            ("8×8 tiles, the paper's widths", 8, 1),
            ("6×6 tiles, half as wide", 6, 2),
        ):
            shape = (3, tiles, tiles)
            compare(title, models(tiles, narrower), shape, options.depth, options.states, options.repeats)


if __name__ == "__main__":
    main()
