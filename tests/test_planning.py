"""Planning: the batched tree gives what the recursion in the paper gives, with its breadth and its ties."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from trainers.planning import DEPTHS, Models, depth_estimates, planned_actions, planned_values


def random_models(actions: int, seed: int, shape: tuple[int, ...] = (2, 3)) -> Models:
    """Smooth functions of embedding and action, in double precision, as different as chance makes them."""
    size = torch.Size(shape).numel()
    made = torch.Generator().manual_seed(seed)
    step, reward, discount = (
        torch.randn(actions, size, out, generator=made, dtype=torch.float64) for out in (size, 1, 1)
    )
    values = torch.randn(size, actions, generator=made, dtype=torch.float64)

    def at(weights: Tensor, x: Tensor, a: Tensor) -> Tensor:
        assert a.dtype == torch.int64
        return torch.tanh(torch.einsum("ni,nio->no", x.flatten(1), weights[a]))

    return Models(
        predict=lambda x, a: x + 0.5 * at(step, x, a).view_as(x),
        reward=lambda x, a: at(reward, x, a)[:, 0],
        discount=lambda x, a: 0.5 + 0.4 * at(discount, x, a)[:, 0],
        q=lambda x: torch.tanh(x.flatten(1) @ values),
    )


def recursion(m: Models, x: Tensor, action: int, depth: int, breadth: int) -> float:
    """Q̂ᵈ(x, a) of one embedding (1, *shape), from the equations."""
    if depth == 0:
        return float(m.q(x)[0, action])
    a = torch.tensor([action])
    after = m.predict(x, a)
    values = m.q(after)[0].tolist()
    best = sorted(range(len(values)), key=lambda b: (-values[b], b))[:breadth]
    ahead = max(recursion(m, after, b, depth - 1, breadth) for b in best)
    return float(m.reward(x, a)) + float(m.discount(x, a)) * ahead


@pytest.mark.parametrize(("actions", "breadth"), [(4, 2), (3, 1), (3, 5), (1, 2)])
def test_every_depth_is_what_the_recursion_gives(actions: int, breadth: int) -> None:
    m, deepest = random_models(actions, actions), 4
    x = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    estimates = depth_estimates(m, x, deepest, breadth)
    assert estimates.shape == (deepest + 1, 3, actions)
    for depth, state, action in itertools.product(range(deepest + 1), range(3), range(actions)):
        expected = recursion(m, x[state : state + 1], action, depth, breadth)
        # Sums of a few numbers about 1 in double precision, in another order.
        assert float(estimates[depth, state, action]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("depth", DEPTHS)
def test_values_are_the_mean_over_depths_and_the_action_is_their_best(depth: int) -> None:
    m = random_models(4, 1)
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    estimates, values = depth_estimates(m, x, depth), planned_values(m, x, depth)
    torch.testing.assert_close(values, estimates.mean(0))
    assert torch.equal(planned_actions(m, x, depth), values.argmax(1))
    assert torch.equal(estimates[0], m.q(x))


@pytest.mark.parametrize("most", [1, 7, 10_000])
def test_parts_that_models_see_at_once_set_no_number(most: int) -> None:
    m = random_models(4, 3)
    x = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    sizes = []
    counted = Models(
        predict=lambda x, a: (sizes.append(len(x)), m.predict(x, a))[1],  # type: ignore[func-returns-value]
        reward=m.reward,
        discount=m.discount,
        q=m.q,
    )
    ours = planned_values(counted, x, 3, most_nodes=most)
    torch.testing.assert_close(ours, planned_values(m, x, 3), atol=1e-12, rtol=0)
    assert max(sizes) == min(most, 4 * 4 * 2 * 2)
    assert sum(sizes) == 4 * (4 + 8 + 16)  # every node of the deepest tree once


def test_of_equal_values_the_smaller_action_is_the_better() -> None:
    """Below the root only actions 0 and 1 are looked at where Q likes all alike; at the root all are."""

    def q(x: Tensor) -> Tensor:
        return torch.zeros(len(x), 4)

    def models(prize: dict[int, float]) -> Models:
        pay = torch.tensor([prize.get(a, 0.0) for a in range(4)])
        return Models(
            predict=lambda x, a: x + 1,
            reward=lambda x, a: torch.where(x[:, 0] == 1, pay[a], torch.zeros(())),  # at the second step
            discount=lambda x, a: torch.ones(len(a)),
            q=q,
        )

    start = torch.zeros(1, 1)
    assert depth_estimates(models({2: 5.0, 3: 5.0}), start, 2)[2].tolist() == [[0.0] * 4]
    assert depth_estimates(models({1: 5.0}), start, 2)[2].tolist() == [[5.0] * 4]
    assert depth_estimates(models({2: 5.0}), start, 2, breadth=3)[2].tolist() == [[5.0] * 4]
    at_root = Models(
        predict=lambda x, a: x,
        reward=lambda x, a: (a >= 2).float(),
        discount=lambda x, a: torch.ones(len(a)),
        q=q,
    )
    assert planned_actions(at_root, torch.zeros(3, 1), 1).tolist() == [2, 2, 2]
    assert planned_actions(models({}), torch.zeros(3, 1), 3).tolist() == [0, 0, 0]


def test_planning_finds_a_reward_that_q_knows_nothing_of() -> None:
    """A corridor of tiles, +1 at its end four steps to the right: seen at depth 6, not at depth 3."""
    m = Models(
        predict=lambda x, a: (x + (2 * a - 1)[:, None]).clamp(0, 9),
        reward=lambda x, a: ((x[:, 0] == 3) & (a == 1)).float(),
        discount=lambda x, a: torch.full((len(a),), 0.9),
        q=lambda x: torch.zeros(len(x), 2),
    )
    start = torch.zeros(1, 1)
    found = planned_values(m, start, 6)
    assert planned_values(m, start, 3).tolist() == [[0.0, 0.0]]
    assert found[0, 1] > found[0, 0] > 0
    # At depths 4, 5 and 6, of 7 depths; at 6 there is time to take it again. The other action costs a step.
    assert float(found[0, 1]) == pytest.approx((3 * 0.9**3 + 0.9**5) / 7, rel=1e-6)
    assert float(found[0, 0]) == pytest.approx(0.9**4 * 2 / 7, rel=1e-6)


@pytest.mark.parametrize(("depth", "breadth"), [(-1, 2), (2, 0)])
def test_impossible_trees_are_refused(depth: int, breadth: int) -> None:
    with pytest.raises(ValueError, match=f"found {depth} and {breadth}, expected 0 or more and 1 or more"):
        planned_values(random_models(2, 0), torch.zeros(1, 2, 3, dtype=torch.float64), depth, breadth)
