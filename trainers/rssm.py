"""The recurrent state-space model of Dreamer: latent states, and how they go on with and without sight.

A state is a deterministic part h (GRU) and a stochastic part z, drawn from the posterior q(z | h, e) where an
observation's embedding e is seen, and from the prior p(z | h) where none is: Hafner et al., arXiv 1811.04551
(the model), 1912.01603 (Gaussian z) and 2010.02193 (categorical z with straight-through gradients, KL
balancing). One step is

    x = ELU(W·[z, a] + b);   h' = GRU(x, h);   prior = P(h');   posterior = Q([h', e'])

with one hidden ELU layer in P and in Q. All of it is one component, ``recurrent``: "the RSSM" whose weights
the fourth paper holds fixed while encoder and decoder train (section 3.1) is all of this.

What a step does not have to wait for is taken out of the loop over time: the actions' and the embeddings'
shares of their layers before it, and all priors after it. Random numbers are given from outside, one uniform
for each categorical (inverse of the cumulated probabilities), one normal number for each Gaussian.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import elu, layer_norm, linear, softplus

from trainers.dense import Parameters, Shapes

Kind = Literal["categorical", "gaussian"]

LEAST_DEVIATION = 0.1
"""Least standard deviation of a Gaussian latent, as in Dreamer's public code."""

UPDATE_BIAS = -1.0
"""Added to the update gate before its sigmoid, as in DreamerV2's public code: states begin slow."""


@dataclass(frozen=True)
class Latents:
    """The kind of the stochastic part z, and its size."""

    kind: Kind
    groups: int
    """Number of categoricals, or of Gaussian numbers."""
    classes: int = 1
    """Classes of each categorical; 1 for Gaussian latents."""

    @property
    def size(self) -> int:
        """Numbers in z: one-hot vectors side by side, or the Gaussian numbers."""
        return self.groups * self.classes

    @property
    def statistics(self) -> int:
        """Numbers that a distribution of z is given by: logits, or means and unbounded deviations."""
        return self.size if self.kind == "categorical" else 2 * self.groups

    def noise(self, rng: np.random.Generator, *shape: int, device: str = "cpu") -> Tensor:
        """Random numbers (*shape, groups) that :meth:`drawn` makes samples of."""
        full = (*shape, self.groups)
        if self.kind == "categorical":
            return torch.from_numpy(rng.random(full, np.float32)).to(device)
        return torch.from_numpy(rng.standard_normal(full, np.float32)).to(device)

    def drawn(self, statistics: Tensor, noise: Tensor) -> Tensor:
        """Samples z (…, size), by noise (…, groups); gradients pass straight through a categorical's."""
        if self.kind == "gaussian":
            mean, deviation = self.moments(statistics)
            return mean + deviation * noise
        return self._straight_through(statistics, noise)

    def likeliest(self, statistics: Tensor) -> Tensor:
        """The most likely z (…, size)."""
        if self.kind == "gaussian":
            return self.moments(statistics)[0]
        logits = self._split(statistics)
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0).flatten(-2)

    def expected(self, statistics: Tensor) -> Tensor:
        """The mean of z (…, size): the probabilities of a categorical."""
        if self.kind == "gaussian":
            return self.moments(statistics)[0]
        return self._split(statistics).softmax(-1).flatten(-2)

    def _split(self, statistics: Tensor) -> Tensor:
        return statistics.reshape(*statistics.shape[:-1], self.groups, self.classes)

    def moments(self, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations (…, groups) of Gaussian latents."""
        mean, raw = statistics.chunk(2, -1)
        return mean, softplus(raw) + LEAST_DEVIATION

    def _straight_through(self, statistics: Tensor, noise: Tensor) -> Tensor:
        probabilities = self._split(statistics).softmax(-1)
        with torch.no_grad():
            cumulated = probabilities.cumsum(-1)
            # Held against the sum itself, which rounding may leave below 1: a class is always chosen.
            chosen = (cumulated <= noise.unsqueeze(-1) * cumulated[..., -1:]).sum(-1, keepdim=True)
            chosen.clamp_(max=self.classes - 1)
            one_hot = torch.zeros_like(probabilities).scatter_(-1, chosen, 1.0)
            if not probabilities.requires_grad:
                return one_hot.flatten(-2)
            one_hot -= probabilities
        return (one_hot + probabilities).flatten(-2)

    def divergence(self, q: Tensor, p: Tensor) -> Tensor:
        """KL(q ‖ p) (…,) in nats between distributions given by statistics."""
        if self.kind == "gaussian":
            (m, s), (n, t) = self.moments(q), self.moments(p)
            return ((t / s).log() + (s.square() + (m - n).square()) / (2 * t.square()) - 0.5).sum(-1)
        log_q, log_p = (self._split(x).log_softmax(-1) for x in (q, p))
        return (log_q.exp() * (log_q - log_p)).sum((-2, -1))

    def balanced(self, posterior: Tensor, prior: Tensor, balance: float) -> tuple[Tensor, Tensor]:
        """The two weighted terms (…,) of KL balancing: one trains the prior alone, one the posterior alone.

        α·KL(sg(q) ‖ p) and (1 − α)·KL(q ‖ sg(p)) (arXiv 2010.02193, algorithm 2): their sum is KL(q ‖ p).
        """
        to_prior = self.divergence(posterior.detach(), prior)
        to_posterior = self.divergence(posterior, prior.detach())
        return balance * to_prior, (1 - balance) * to_posterior


class State(NamedTuple):
    """Latent states: deterministic h (…, D) and stochastic z (…, Z)."""

    deter: Tensor
    stoch: Tensor

    @property
    def features(self) -> Tensor:
        """What heads, actor and critic read: [z, h] (…, Z + D)."""
        return torch.cat([self.stoch, self.deter], -1)

    def detached(self) -> State:
        return State(self.deter.detach(), self.stoch.detach())


class Seen(NamedTuple):
    """Latent states along sequences, with the statistics of their posteriors and priors, (T, B, …) each."""

    state: State
    posterior: Tensor
    prior: Tensor


@dataclass(frozen=True)
class Rssm:
    """The recurrent state-space model; holds no parameters, which are those of component ``recurrent``."""

    latents: Latents
    deterministic: int
    hidden: int
    embedding: int
    """Numbers in an observation's embedding."""
    actions: int
    norm: bool = True
    """Whether the GRU's gates are layer-normalised (DreamerV2); else they have a bias."""

    component = "recurrent"

    def shapes(self) -> Shapes:
        """Parameter names inside the component, and their shapes.

        Columns from ``latents.size`` on of ``input.weight`` read the action.
        """
        z, d, h, s = self.latents.size, self.deterministic, self.hidden, self.latents.statistics
        gates: Shapes = {"gates.weight": (3 * d, h + d)}
        after = {"gates.gain": (3 * d,), "gates.offset": (3 * d,)} if self.norm else {"gates.bias": (3 * d,)}
        return {
            "input.weight": (h, z + self.actions),
            "input.bias": (h,),
            **gates,
            **after,
            "prior.0.weight": (h, d),
            "prior.0.bias": (h,),
            "prior.1.weight": (s, h),
            "prior.1.bias": (s,),
            "posterior.0.weight": (h, d + self.embedding),
            "posterior.0.bias": (h,),
            "posterior.1.weight": (s, h),
            "posterior.1.bias": (s,),
        }

    def start(self, batch: int, device: str | torch.device = "cpu") -> State:
        """The state before anything was seen: zeros (batch, …)."""
        deter = torch.zeros(batch, self.deterministic, device=device)
        return State(deter, torch.zeros(batch, self.latents.size, device=device))

    def observe(
        self,
        parameters: Parameters,
        embeddings: Tensor,
        actions: Tensor,
        first: Tensor,
        noise: Tensor | None,
        state: State | None = None,
    ) -> Seen:
        """States along sequences of embeddings (T, B, E), each after the action (T, B, A) that led there.

        Where ``first`` (T, B) holds, an episode begins: the state before it is zeros, and the action none.
        Without ``noise`` (T, B, groups), each z is the most likely one.
        """
        own = self._own(parameters)
        stay = (~first).to(embeddings.dtype).unsqueeze(-1)
        any_first = first.flatten(1).any(1).tolist()
        from_actions = self._from_actions(own, actions * stay)
        from_embeddings = linear(
            embeddings, own["posterior.0.weight"][:, self.deterministic :], own["posterior.0.bias"]
        )
        h_weight = own["posterior.0.weight"][:, : self.deterministic].T
        z_weight = own["input.weight"][:, : self.latents.size].T
        out_weight, out_bias = own["posterior.1.weight"].T, own["posterior.1.bias"]
        h, z = self.start(embeddings.shape[1], embeddings.device) if state is None else state
        deters, stochs, posteriors = [], [], []
        for now in range(len(embeddings)):
            if any_first[now]:
                h, z = h * stay[now], z * stay[now]
            h = self._gru(own, elu(torch.addmm(from_actions[now], z, z_weight)), h)
            hidden = elu(torch.addmm(from_embeddings[now], h, h_weight))
            posterior = torch.addmm(out_bias, hidden, out_weight)
            draw = self.latents
            z = draw.likeliest(posterior) if noise is None else draw.drawn(posterior, noise[now])
            deters.append(h)
            stochs.append(z)
            posteriors.append(posterior)
        deter = torch.stack(deters)
        return Seen(State(deter, torch.stack(stochs)), torch.stack(posteriors), self._prior(own, deter))

    def imagine(self, parameters: Parameters, state: State, actions: Tensor, noise: Tensor | None) -> State:
        """The states (B, …) after actions (B, A) that nothing is seen of; z is drawn from the prior."""
        own = self._own(parameters)
        z_weight = own["input.weight"][:, : self.latents.size].T
        x = elu(torch.addmm(self._from_actions(own, actions), state.stoch, z_weight))
        h = self._gru(own, x, state.deter)
        prior = self._prior(own, h)
        z = self.latents.likeliest(prior) if noise is None else self.latents.drawn(prior, noise)
        return State(h, z)

    def _own(self, parameters: Parameters) -> Mapping[str, Tensor]:
        return {name: parameters[f"{self.component}/{name}"] for name in self.shapes()}

    def _from_actions(self, own: Mapping[str, Tensor], actions: Tensor) -> Tensor:
        """The share (…, H) of actions (…, A) in the input layer, with its bias."""
        return linear(actions, own["input.weight"][:, self.latents.size :], own["input.bias"])

    def _prior(self, own: Mapping[str, Tensor], deter: Tensor) -> Tensor:
        """Statistics (…, S) of the prior at deterministic states (…, D)."""
        hidden = elu(linear(deter, own["prior.0.weight"], own["prior.0.bias"]))
        return linear(hidden, own["prior.1.weight"], own["prior.1.bias"])

    def _gru(self, own: Mapping[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
        """The next deterministic state (B, D) from inputs (B, H) and the one before."""
        gates = linear(torch.cat([x, h], -1), own["gates.weight"], own.get("gates.bias"))
        if self.norm:
            gates = layer_norm(gates, gates.shape[-1:], own["gates.gain"], own["gates.offset"])
        reset, candidate, update = gates.chunk(3, -1)
        candidate = torch.tanh(reset.sigmoid() * candidate)
        return torch.lerp(h, candidate, (update + UPDATE_BIAS).sigmoid())
