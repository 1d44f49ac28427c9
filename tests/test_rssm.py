"""The recurrent state-space model against independent oracles: torch.distributions, torch.nn, and by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from trainers.dense import fresh_weights
from trainers.rssm import LEAST_DEVIATION, UPDATE_BIAS, Kind, Latents, Rssm, State

CATEGORICAL, GAUSSIAN = Latents("categorical", 5, 4), Latents("gaussian", 6)
RSSMS = {
    "categorical": Rssm(CATEGORICAL, deterministic=7, hidden=9, embedding=8, actions=3),
    "gaussian": Rssm(GAUSSIAN, deterministic=7, hidden=9, embedding=8, actions=3, norm=False),
}


def statistics(latents: Latents, seed: int, n: int = 10, dtype: torch.dtype = torch.float64) -> Tensor:
    drawn = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, latents.statistics)))
    return drawn.to(dtype).requires_grad_()


def distribution(latents: Latents, given: Tensor) -> Independent:
    if latents.kind == "gaussian":
        mean, raw = given[:, : latents.groups], given[:, latents.groups :]
        return Independent(Normal(mean, torch.log1p(raw.exp()) + LEAST_DEVIATION), 1)
    return Independent(Categorical(logits=given.reshape(-1, latents.groups, latents.classes)), 1)


@pytest.mark.parametrize("latents", [CATEGORICAL, GAUSSIAN])
def test_divergence_is_that_of_torch(latents: Latents) -> None:
    q, p = statistics(latents, 0), statistics(latents, 1)
    theirs = kl_divergence(distribution(latents, q), distribution(latents, p))
    torch.testing.assert_close(latents.divergence(q, p), theirs)
    assert float(latents.divergence(q, q).detach().abs().max()) < 1e-12


@pytest.mark.parametrize("latents", [CATEGORICAL, GAUSSIAN])
def test_balancing_keeps_the_value_and_weighs_the_two_gradients(latents: Latents) -> None:
    q, p = statistics(latents, 0), statistics(latents, 1)
    plain = kl_divergence(distribution(latents, q), distribution(latents, p))
    to_q, to_p = torch.autograd.grad(plain.sum(), [q, p])
    both = latents.balanced(q, p, 0.8)
    torch.testing.assert_close(sum(both), plain)
    balanced_q, balanced_p = torch.autograd.grad(sum(part.sum() for part in both), [q, p])
    torch.testing.assert_close(balanced_q, 0.2 * to_q)
    torch.testing.assert_close(balanced_p, 0.8 * to_p)


def test_a_class_is_drawn_as_often_as_its_probability_says() -> None:
    latents = Latents("categorical", 1, 4)
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    n = 20_000
    noise = latents.noise(np.random.default_rng(3), n)
    drawn = latents.drawn(logits.expand(n, 4), noise)
    assert torch.equal(drawn.sum(1), torch.ones(n))
    wanted = logits.softmax(0)
    error = (drawn.mean(0) - wanted).abs() / (wanted * (1 - wanted) / n).sqrt()
    assert float(error.max()) < 5  # standard errors


def test_draws_are_the_inverse_of_the_cumulated_probabilities() -> None:
    latents = Latents("categorical", 1, 3)
    logits = torch.tensor([0.5, 0.25, 0.25]).log().expand(5, 3)
    noise = torch.tensor([0.0, 0.49, 0.51, 0.76, float(np.nextafter(np.float32(1), np.float32(0)))])[:, None]
    assert latents.drawn(logits, noise).argmax(1).tolist() == [0, 0, 1, 2, 2]


def test_gradients_of_a_draw_are_those_of_its_probabilities() -> None:
    q = statistics(CATEGORICAL, 0)
    noise = CATEGORICAL.noise(np.random.default_rng(0), 10)
    ahead = torch.from_numpy(np.random.default_rng(1).normal(size=(10, CATEGORICAL.size)))
    (straight,) = torch.autograd.grad((CATEGORICAL.drawn(q, noise) * ahead).sum(), q)
    (probable,) = torch.autograd.grad((CATEGORICAL.expected(q) * ahead).sum(), q)
    torch.testing.assert_close(straight, probable)
    likeliest = CATEGORICAL.likeliest(q)
    assert torch.equal(
        likeliest.reshape(10, 5, 4).argmax(-1), CATEGORICAL.expected(q).reshape(10, 5, 4).argmax(-1)
    )


def step_by_hand(
    rssm: Rssm, w: Mapping[str, Tensor], e: Tensor | None, action: Tensor, state: State, noise: Tensor
) -> tuple[State, Tensor]:
    """One step as the module's docstring has it, nothing taken out of it."""
    elu = torch.nn.ELU()
    x = elu(torch.cat([state.stoch, action], -1) @ w["input.weight"].T + w["input.bias"])
    gates = torch.cat([x, state.deter], -1) @ w["gates.weight"].T
    if rssm.norm:
        gates = (gates - gates.mean(-1, keepdim=True)) / (gates.var(-1, False, keepdim=True) + 1e-5).sqrt()
        gates = gates * w["gates.gain"] + w["gates.offset"]
    else:
        gates = gates + w["gates.bias"]
    d = rssm.deterministic
    reset, update = gates[:, :d].sigmoid(), (gates[:, 2 * d :] + UPDATE_BIAS).sigmoid()
    h = update * (reset * gates[:, d : 2 * d]).tanh() + (1 - update) * state.deter
    which, read = ("prior", h) if e is None else ("posterior", torch.cat([h, e], -1))
    hidden = elu(read @ w[f"{which}.0.weight"].T + w[f"{which}.0.bias"])
    given = hidden @ w[f"{which}.1.weight"].T + w[f"{which}.1.bias"]
    return State(h, rssm.latents.drawn(given, noise)), given


@pytest.mark.parametrize("kind", RSSMS)
def test_sequences_are_steps_one_after_another(kind: Kind) -> None:
    rssm, rng = RSSMS[kind], np.random.default_rng(0)
    weights = {n: t.double() for n, t in fresh_weights(rssm.shapes(), rng).items()}
    weights = {n: t + 0.1 * torch.from_numpy(rng.normal(size=t.shape)) for n, t in weights.items()}
    parameters = {f"recurrent/{name}": tensor for name, tensor in weights.items()}
    length, batch = 6, 4
    embeddings = torch.from_numpy(rng.normal(size=(length, batch, 8)))
    actions = torch.eye(3, dtype=torch.float64)[torch.from_numpy(rng.integers(3, size=(length, batch)))]
    first = torch.zeros(length, batch, dtype=torch.bool)
    first[0, 0] = first[3, 1] = True
    noise = rssm.latents.noise(rng, length, batch).double()
    start = State(
        torch.from_numpy(rng.normal(size=(batch, 7))), torch.zeros(batch, rssm.latents.size).double()
    )
    seen = rssm.observe(parameters, embeddings, actions, first, noise, start)
    state = start
    for now in range(length):
        keep = (~first[now]).double()[:, None]
        before = State(state.deter * keep, state.stoch * keep)
        moved = actions[now] * keep
        state, posterior = step_by_hand(rssm, weights, embeddings[now], moved, before, noise[now])
        _, prior = step_by_hand(rssm, weights, None, moved, before, noise[now])
        torch.testing.assert_close(seen.posterior[now], posterior)
        torch.testing.assert_close(seen.prior[now], prior)
        torch.testing.assert_close(seen.state.deter[now], state.deter)
        torch.testing.assert_close(seen.state.stoch[now], state.stoch)
    imagined = rssm.imagine(parameters, state, actions[0], noise[0])
    by_hand, _ = step_by_hand(rssm, weights, None, actions[0], state, noise[0])
    torch.testing.assert_close(imagined.deter, by_hand.deter)
    torch.testing.assert_close(imagined.stoch, by_hand.stoch)
    assert imagined.features.shape == (batch, rssm.latents.size + 7)


@pytest.mark.parametrize("kind", RSSMS)
def test_gradients_reach_every_parameter(kind: Kind) -> None:
    rssm, rng = RSSMS[kind], np.random.default_rng(0)
    parameters = {f"recurrent/{n}": t.requires_grad_() for n, t in fresh_weights(rssm.shapes(), rng).items()}
    actions = torch.eye(3)[torch.from_numpy(rng.integers(3, size=(5, 4)))]
    embeddings = torch.from_numpy(rng.normal(size=(5, 4, 8))).float()
    first = torch.zeros(5, 4, dtype=torch.bool)
    seen = rssm.observe(parameters, embeddings, actions, first, rssm.latents.noise(rng, 5, 4))
    rssm.latents.divergence(seen.posterior, seen.prior).sum().backward()
    assert all(t.grad is not None and bool(t.grad.any()) for t in parameters.values())


@pytest.mark.parametrize("kind", RSSMS)
def test_weights_whose_gradients_come_later_have_the_same(kind: Kind) -> None:
    rssm, rng = RSSMS[kind], np.random.default_rng(0)
    parameters = {
        f"recurrent/{n}": t.double().requires_grad_() for n, t in fresh_weights(rssm.shapes(), rng).items()
    }
    actions = torch.eye(3)[torch.from_numpy(rng.integers(3, size=(5, 4)))].double()
    embeddings = torch.from_numpy(rng.normal(size=(5, 4, 8))).requires_grad_()
    first = torch.from_numpy(rng.random((5, 4)) < 0.2)
    noise, ahead = rssm.latents.noise(rng, 5, 4).double(), torch.from_numpy(rng.normal(size=(5, 4, 7)))
    slopes = []
    for once in (False, True):
        seen = rssm.observe(parameters, embeddings, actions, first, noise, None, once)
        loss = rssm.latents.divergence(seen.posterior, seen.prior).sum() + (seen.state.deter * ahead).sum()
        slopes.append(torch.autograd.grad(loss, [*parameters.values(), embeddings], create_graph=not once))
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other)
