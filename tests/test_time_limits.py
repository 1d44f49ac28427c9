"""Where a time limit cuts an episode short, IMPALA bootstraps from what the episode showed last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from diag.sources.systems.impala import columns, joined
from tests.impala_agents import tiny
from trainers.envs.acting import Envs, Step
from trainers.impala import IMPALA, Outputs, Rollout
from trainers.impala_training import ImpalaTrainer
from trainers.lstm import Memory
from trainers.streams import BASE_PHASE

pytest.importorskip("minatar")

LIMIT = 5
"""Steps of an episode: shorter than an unroll, so that every one of them is cut somewhere."""

OVERRIDES = (
    "world=minatar-breakout",
    f"world_settings={{steps={LIMIT}}}",
    "train.variant=default",
    "transfer.variant=permuted",
    "model.convs=[[4,3,1]]",
)


def limited(*overrides: str) -> IMPALA:
    """A tiny agent in games that end by the clock."""
    return IMPALA.of(tiny(*OVERRIDES, *overrides))


class Watched:
    """Environments that note what they said of each step."""

    def __init__(self, envs: Envs) -> None:
        self.envs, self.steps, self.lasts = envs, list[Step](), list[NDArray[np.uint8]]()

    @property
    def observations(self) -> NDArray[np.uint8]:
        return self.envs.observations

    def step(self, actions: NDArray[np.integer]) -> Step:
        self.steps.append(self.envs.step(actions))
        self.lasts.append(self.last_observations())
        return self.steps[-1]

    def last_observations(self) -> NDArray[np.uint8]:
        return self.envs.last_observations()

    def __getattr__(self, name: str) -> object:
        return getattr(self.envs, name)


def played(of: IMPALA, steps: int = 13) -> tuple[ImpalaTrainer, dict[str, Tensor], Watched, Rollout, Outputs]:
    trainer = ImpalaTrainer(of, None, of.fresh(0, BASE_PHASE), 0)
    trainer.update()
    weights = {name: view[0] for name, view in trainer.stack.views.items()}
    watched = Watched(trainer.envs)
    rollout, _, outputs = of.rollout(weights, watched, trainer.stand, trainer.generators[0], steps)
    return trainer, weights, watched, rollout, outputs


def ends(watched: Watched) -> Iterator[tuple[int, int, bool, NDArray[np.uint8]]]:
    """Step, environment, whether a time limit cut it, and last picture of each episode that ended."""
    for time, (step, lasts) in enumerate(zip(watched.steps, watched.lasts, strict=True)):
        for place, last in zip(np.flatnonzero(step.ended), lasts, strict=True):
            yield time, int(place), bool(step.truncated[place] and not step.terminated[place]), last


def values_one_by_one(of: IMPALA, weights: dict[str, Tensor], watched: Watched, rollout: Rollout) -> Tensor:
    """(T, N) values beyond a time limit, by torch's own LSTM cell, one episode after the other."""
    cell = torch.nn.LSTMCell(of.lstm.inputs, of.lstm.units)
    with torch.no_grad():
        for name, kind in (
            ("weight_ih", "weight_input"),
            ("weight_hh", "weight_hidden"),
            ("bias_ih", "bias"),
        ):
            getattr(cell, name).copy_(weights[f"core/lstm.{kind}"])
        cell.bias_hh.zero_()
    found = torch.zeros(rollout.cut.shape)
    actions = torch.cat([rollout.last_action[None], rollout.actions])
    rewards = torch.cat([rollout.last_reward[None], rollout.rewards])
    for time, place, cut, last in ends(watched):
        if not cut:
            continue
        begun = torch.nonzero(rollout.begins[: time + 1, place])
        first = int(begun[-1]) if len(begun) else 0
        memory = Memory(rollout.hidden[[place]], rollout.cell[[place]])
        memory = memory if not len(begun) else Memory(*(torch.zeros_like(part) for part in memory))
        shown = [*rollout.observations[first : time + 1, place], torch.from_numpy(last)]
        for step, picture in enumerate(shown, first):
            seen = of.embed(weights, picture[None])
            starts = torch.tensor([step == first and len(begun) > 0])
            inputs = of.read(seen, actions[[step], place], rewards[[step], place], starts)
            memory = Memory(*cell(inputs, memory))
        found[time, place] = of.value(weights, of.thought(weights, memory.hidden))
    return found


@pytest.mark.parametrize("overrides", [(), ("model.feedback=true",)])
def test_values_beyond_a_limit_are_of_what_was_shown_last(overrides: tuple[str, ...]) -> None:
    """While acting, from the record, and one episode after the other: the same numbers."""
    of = limited(*overrides)
    _, weights, watched, rollout, outputs = played(of)
    cut = [(time, place) for time, place, was_cut, _ in ends(watched) if was_cut]
    assert len(cut) >= 6
    assert [tuple(at) for at in rollout.cut.nonzero().tolist()] == cut
    with torch.no_grad():
        again = of.outputs(weights, of.embed(weights, rollout.pictures), rollout)
        alone = values_one_by_one(of, weights, watched, rollout)
    assert not outputs.beyond.requires_grad
    assert (outputs.beyond[~rollout.cut] == 0).all()
    assert (outputs.beyond[rollout.cut] != 0).all()
    torch.testing.assert_close(outputs.beyond, again.beyond, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(outputs.beyond, alone, rtol=1e-3, atol=1e-5)


def test_targets_are_the_discounted_rewards_up_to_the_cut_and_the_value_there() -> None:
    """On policy V-trace's target is the n-step return; where an episode came to an end it adds nothing."""
    of = limited()
    _, _, _, rollout, outputs = played(of)
    losses = of.losses_of(*outputs, rollout)
    discount, rewards = of.settings.loss.discount, of.clipped(rollout.rewards)
    after = outputs.values[-1].detach()
    for step in reversed(range(len(rewards))):
        goes_on = (~rollout.begins[step + 1]).float()
        after = rewards[step] + discount * (goes_on * after + outputs.beyond[step])
        expected = 0.5 * (after - outputs.values[step].detach()).square()
        torch.testing.assert_close(losses["value"][step].detach(), expected, rtol=1e-3, atol=1e-5)
    as_an_end = of.losses_of(outputs.logits, outputs.values, torch.zeros_like(outputs.beyond), rollout)
    assert not torch.allclose(losses["value"], as_an_end["value"])


@pytest.mark.parametrize("every", [1, 3])
def test_training_descends_the_gradient_of_the_record(every: int) -> None:
    """Acting's record and one pass over the unroll: equal gradients where episodes are cut."""
    of = limited(f"acting.renewed_every={every}")
    trainer, weights, _, rollout, outputs = played(of)
    again = of.outputs(weights, of.embed(weights, rollout.pictures), rollout)
    slopes = []
    for said in (outputs, again):
        losses = of.losses_of(*said, rollout)
        total = torch.stack([of.weights[term] * each.sum() for term, each in losses.items()]).sum()
        slopes.append(torch.autograd.grad(total, list(trainer.stack.views.values())))
    for one, two in zip(*slopes, strict=True):
        assert float((one - two).abs().max()) <= 1e-3 * float(two.abs().max())
    before = trainer.step
    trainer.update()
    assert trainer.step == before + 1


def test_pictures_beyond_go_with_their_environments() -> None:
    """Chosen in another order, and joined: each environment has the losses that it has alone."""
    of = limited()
    _, weights, _, rollout, _ = played(of)
    number = rollout.cut.shape[1]
    each = [columns(rollout, torch.tensor([place])) for place in range(number)]
    order = torch.tensor([3, 0, 5])
    chosen, put = columns(rollout, order), joined([each[int(place)] for place in order])
    for one in (chosen, put):
        assert len(one.beyond) == int(one.cut.sum()) > 0
        assert all(torch.equal(getattr(one, name), getattr(chosen, name)) for name in vars(chosen))
    with torch.no_grad():
        whole = of.outputs(weights, of.embed(weights, rollout.pictures), rollout).beyond
        some = of.outputs(weights, of.embed(weights, chosen.pictures), chosen).beyond
    torch.testing.assert_close(some, whole[:, order], rtol=1e-4, atol=1e-6)
    nothing = replace(rollout, cut=torch.zeros_like(rollout.cut), beyond=rollout.beyond[:0])
    assert len(joined([nothing, columns(nothing, order)]).beyond) == 0
