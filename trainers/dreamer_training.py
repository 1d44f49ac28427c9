"""One seed of Dreamer in training: an update of the world model, of actor and critic, and steps in between.

All random numbers of an update follow from the seed and the update's number alone: the batch, the latents'
noise, the states that are imagined from, and what is drawn on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.adam import Adam
from trainers.descent import Descent
from trainers.dreamer import MODEL, Dreamer, scaled
from trainers.dreamer_acting import STATE_FAULTS, Experience
from trainers.imagination import actor_loss, critic_loss, lambda_returns, reached
from trainers.plan import BASE_PLAN, TransferPlan
from trainers.recorded import Recording
from trainers.replay import Sequences
from trainers.rmsprop import RMSprop
from trainers.rssm import Seen, State
from trainers.stack import gradients
from trainers.streams import BATCH_STREAM, DATA_STREAM, generator, stream_of
from trainers.system import State as TrainingState
from trainers.system import StateError

OWN = ("replay/", "player/", "envs")
"""Beginnings of the names of tensors that an agent's experience goes on from."""


class DreamerTraining(Descent):
    """A stack of one seed: its world model, actor and critic, and what they learn from."""

    def __init__(
        self,
        dreamer: Dreamer,
        plan: TransferPlan | None,
        member: Mapping[str, Tensor],
        seed: int,
        device: str = "cpu",
    ) -> None:
        settings = dreamer.settings
        task, self.phase = ("source", settings.train) if plan is None else ("target", settings.transfer)
        super().__init__(dreamer, task, plan or BASE_PLAN, [member], RMSprop(), device)
        self.dreamer, self.seed = dreamer, (seed, stream_of(base=plan is None))
        self.adam = Adam(epsilon=self.phase.epsilon, clip=self.phase.clip)
        self.acts = self.phase.algorithm == "agent"
        self.recording: Recording | None = None
        self.experience: Experience | None = None
        if self.acts:
            self.experience = Experience(dreamer, task, *self.seed, device=device)
            self.target = self.stack.buffers["critic"].clone()
            """The critic that returns are taken with."""
            self.kept = {"critic": self.target}
            spans = {n: self.stack.span(n) for n in self.stack.names("critic")}
            self._target_views = {
                n: self.target[0, span].view(self.stack.views[n].shape[1:]) for n, span in spans.items()
            }
        else:
            self.recording = dreamer.recording(task)
        self._views = {name: view.squeeze(0) for name, view in self.stack.views.items()}

    @property
    def facts(self) -> dict[str, Any]:
        """What its checkpoint says beside: the file of recorded data that it learned from."""
        return {} if self.recording is None else {"data": self.recording.named}

    def update(self) -> None:
        """One update of all that trains, after the steps that are due."""
        rng = generator(BATCH_STREAM, *self.seed, self.step)
        batch = self._batch(rng)
        terms = self.plan.active_terms(self.dreamer.terms, self.step, self.phase.updates)
        noise = self.dreamer.rssm.latents.noise(rng, *batch.reward.shape, device=self.device)
        seen = self.learn(batch, noise, terms)
        if self.acts:
            self.learn_to_act(seen, batch, rng, terms)
        self.step += 1

    def _batch(self, rng: np.random.Generator) -> Sequences:
        """The update's sequences; an agent's are of what it met so far."""
        sizes = self.dreamer.settings.batches
        if self.recording is not None:
            return self.recording.sample(rng, sizes.sequences, sizes.length).to(self.device)
        assert self.experience is not None
        acting, met = self.dreamer.settings.acting, self.experience
        if self.step == 0:
            random = generator(DATA_STREAM, *self.seed)
            for _ in range(acting.prefill // met.n):
                met.step(self.dreamer.world.actions.sample(random, met.n))
        if self.step % acting.every == 0:
            met.step(met.player.act(self.fixed(), met.observations, rng, acting.noise))
        return met.replay.sample(rng, sizes.sequences, sizes.length).to(self.device)

    def fixed(self) -> dict[str, Tensor]:
        """Parameters now, which no gradient reaches."""
        return {name: view.detach() for name, view in self._views.items()}

    def live(self) -> dict[str, Tensor]:
        """Parameters now, whose gradients reach the stack."""
        return {name: view.squeeze(0) for name, view in self.stack.views.items()}

    def learn(self, batch: Sequences, noise: Tensor, terms: Sequence[str]) -> Seen:
        """One step of the world model; gives the latent states that the batch was seen in."""
        trained = [c for c in MODEL if c in self.components]
        batch = replace(batch, observation=scaled(batch.observation))
        with torch.set_grad_enabled(bool(trained)):
            parameters = self.live() if trained else self.fixed()
            seen = self.dreamer.observe(parameters, batch, noise, once=True)
            per_row = self.dreamer.predictions(parameters, batch, seen.state.features)
            losses = {term: rows.mean() for term, rows in per_row.items()} | {"kl": self.dreamer.kl(seen)}
            losses = {term: loss for term, loss in losses.items() if term in terms}
            weights = self.dreamer.weights
            self.remember({term: loss.detach()[None] for term, loss in losses.items()})
            if trained and losses:
                total = torch.stack([weights[term] * loss for term, loss in losses.items()]).sum()
                self.descended(total, trained, self.phase.model_rate)
        return Seen(seen.state.detached(), seen.posterior.detach(), seen.prior.detach())

    def descended(self, total: Tensor, components: Sequence[str], rate: float | Mapping[str, float]) -> None:
        """Adam's step down a loss: together, or each component by a rate of its own."""
        slopes = self.slopes_of()
        gradients(total, self.stack, components, slopes)
        own = {component: slopes.buffers[component] for component in components}
        if isinstance(rate, float):
            self.adam.step(self.stack, own, self.squares, rate, self.step + 1)
        else:
            for component, slope in own.items():
                self.adam.step(self.stack, {component: slope}, self.squares, rate[component], self.step + 1)

    def learn_to_act(
        self, seen: Seen, batch: Sequences, rng: np.random.Generator, terms: Sequence[str]
    ) -> None:
        """One step of actor and critic, from imagined steps."""
        loss, phase = self.dreamer.settings.loss, self.phase
        if self.step % loss.target_every == 0:
            self.target.copy_(self.stack.buffers["critic"].detach())
        losses = self.imagined(*self._starts(seen, batch, rng), rng)
        losses = {term: value for term, value in losses.items() if term in terms}
        self.remember({term: value.detach()[None] for term, value in losses.items()})
        trained = [component for component in ("actor", "critic") if component in self.components]
        total = [losses[component] for component in trained if component in losses]
        if total:
            rates = {"actor": phase.actor_rate, "critic": phase.critic_rate}
            self.descended(torch.stack(total).sum(), [c for c in trained if c in losses], rates)

    def _starts(self, seen: Seen, batch: Sequences, rng: np.random.Generator) -> tuple[State, Tensor]:
        """States (n, …) to imagine from, and whether each is one that an episode goes on from, as 0 or 1."""
        deter, stoch = (part.flatten(0, 1) for part in seen.state)
        goes_on = (~batch.terminal).flatten().to(torch.float32)
        wanted = self.dreamer.settings.batches.starts
        if 0 < wanted < len(deter):
            rows = torch.from_numpy(rng.permutation(len(deter))[:wanted]).to(deter.device)
            deter, stoch, goes_on = deter[rows], stoch[rows], goes_on[rows]
        return State(deter, stoch), goes_on

    def imagined(self, start: State, goes_on: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        """Losses of actor and critic by imagined steps from states (n, …).

        For ``reinforce`` no gradient goes through the steps: they are taken without a graph, and the actor's
        chances are had again from all states at once.
        """
        dreamer, loss, actor = self.dreamer, self.dreamer.settings.loss, self.dreamer.actor
        horizon, n = dreamer.settings.batches.horizon, len(goes_on)
        through = loss.estimator == "dynamics"
        fixed, live = self.fixed(), self.live()
        noise = dreamer.rssm.latents.noise(rng, horizon, n, device=self.device)
        shaken = actor.noise(rng, horizon, n).to(self.device)
        state, features, actions, outputs = start, [start.features], [], []
        with torch.set_grad_enabled(through):
            for now in range(horizon):
                policy = live if through else fixed
                outputs.append(dreamer.head(policy, "actor", features[-1].detach()))
                actions.append(actor.drawn(outputs[-1], shaken[now]))
                state = dreamer.rssm.imagine(fixed, state, actions[-1], noise[now])
                features.append(state.features)
            every = torch.stack(features)
            reward, discount = dreamer.outlook(fixed, every[1:])
            values = dreamer.head(self._target_views, "critic", every)
            returns = lambda_returns(reward, discount, values[1:], loss.mixing)
        weights, before = reached(discount.detach(), goes_on), every[:-1].detach()
        policies = torch.stack(outputs) if through else dreamer.head(live, "actor", before)
        _, taken, entropies = actor.judged(policies, torch.stack(actions), shaken)
        return {
            "actor": actor_loss(
                taken, entropies, returns, values[:-1], weights, loss.entropy, loss.estimator
            ),
            "critic": critic_loss(dreamer.head(live, "critic", before), returns, weights),
        }

    def evaluate(self) -> Mapping[str, NDArray[np.float32]]:
        """Mean return of the episodes that ended since the last call, ``{"episodes": (1,)}``, or NaN."""
        if self.experience is None:
            return {}
        finished, self.experience.finished = self.experience.finished, []
        mean = float(np.mean(finished)) if finished else np.nan
        return {"episodes": np.array([mean], np.float32)}

    def state(self, index: int) -> TrainingState:
        """All that the seed goes on from, replay and environments included."""
        state = super().state(index)
        if self.experience is None:
            return state
        tensors, values = self.experience.state()
        return replace(
            state, tensors={**state.tensors, **tensors}, values={**state.values, "experience": values}
        )

    def values(self, index: int) -> dict[str, Any]:
        return {} if self.recording is None else {"data": self.recording.sha256}

    def restore(self, states: Sequence[TrainingState]) -> None:
        """Go on from a state; raises :class:`trainers.system.StateError`."""
        own = {n: t for n, t in states[0].tensors.items() if n.startswith(OWN)}
        rest = {n: t for n, t in states[0].tensors.items() if n not in own}
        super().restore([replace(states[0], tensors=rest)])
        if self.recording is not None and states[0].values.get("data") != self.recording.sha256:
            raise StateError(f"other bytes in {self.recording.path} than it began with", "the same data")
        if self.experience is not None:
            try:
                self.experience.restore(own, states[0].values["experience"])
            except STATE_FAULTS as error:
                raise StateError(
                    f"no experience that it can go on from ({error})", "a state of dreamer"
                ) from None
