"""The recurrent state-space model of Dreamer: latent states, and how they go on with and without sight.

A state is a deterministic part h (GRU) and a stochastic part z, drawn from the posterior q(z | h, e) where an
observation's embedding e is seen, and from the prior p(z | h) where none is: Hafner et al., arXiv 1811.04551
(the model), 1912.01603 (Gaussian z) and 2010.02193 (categorical z with straight-through gradients, KL
balancing). One step is

    x = ELU(W·[z, a] + b);   h' = GRU(x, h);   prior = P(h');   posterior = Q([h', e'])

with one hidden ELU layer in P and in Q. All of it is one component, ``recurrent``: "the RSSM" whose weights
the fourth paper holds fixed while encoder and decoder train (section 3.1) is all of this.

What a step does not have to wait for is taken out of the loop over time: the actions' and the embeddings'
shares of their layers before it, all priors after it, and in training the weights' gradients. Random numbers
are given from outside, one uniform for each categorical (inverse of the cumulated probabilities), one normal
number for each Gaussian.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
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
        if self.kind == "gaussian":
            to_prior = self.divergence(posterior.detach(), prior)
            to_posterior = self.divergence(posterior, prior.detach())
        else:
            log_q, log_p = (self._split(x).log_softmax(-1) for x in (posterior, prior))
            fixed_q, fixed_p = log_q.detach(), log_p.detach()
            to_prior = (fixed_q.exp() * (fixed_q - log_p)).sum((-2, -1))
            to_posterior = (log_q.exp() * (log_q - fixed_p)).sum((-2, -1))
        return balance * to_prior, (1 - balance) * to_posterior


class _WeightLater(torch.autograd.Function):
    """What a layer adds to its inputs' share at every step of a loop, and its weight's gradient at the end.

    Inside the loop the weight is taken without a gradient. The gradients (T, B, out) of all steps meet here,
    and with the inputs of all steps make the weight's in one product, where autograd would make and add T.
    It has no second derivative: that of the loop would lack the weight's share.
    """

    @staticmethod
    def forward(ctx: Any, added: Tensor, weight: Tensor, inputs: list[Tensor]) -> Tensor:
        ctx.inputs = inputs
        return added.view_as(added)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, Tensor | None, None]:
        weight = None
        if ctx.needs_input_grad[1]:
            weight = slopes.flatten(0, 1).T @ torch.cat(ctx.inputs)
        return slopes, weight, None


_later: Any = _WeightLater.apply


class _Layer:
    """A layer inside the loop over time, of which ``added`` (T, B, out) does not depend on the loop."""

    def __init__(self, added: Tensor, weight: Tensor, once: bool) -> None:
        self._inputs: list[Tensor] = []
        self._once = once and weight.requires_grad and torch.is_grad_enabled()
        if self._once:
            added, weight = _later(added, weight, self._inputs), weight.detach()
        self._added, self._weight = added.unbind(0), weight.T

    def __call__(self, now: int, x: Tensor) -> Tensor:
        """The layer's outputs (B, out) at one step for inputs (B, in)."""
        if self._once:
            self._inputs.append(x.detach())
        return torch.addmm(self._added[now], x, self._weight)


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
        once: bool = False,
    ) -> Seen:
        """States along sequences of embeddings (T, B, E), each after the action (T, B, A) that led there.

        Where ``first`` (T, B) holds, an episode begins: the state before it is zeros, and the action none.
        Without ``noise`` (T, B, groups), each z is the most likely one. With ``once``, what follows has first
        derivatives alone, and they take less time.
        """
        own = self._own(parameters)
        stay = (~first).to(embeddings.dtype).unsqueeze(-1)
        any_first = first.flatten(1).any(1).tolist()
        steps, d, z_size = embeddings.shape[:2], self.deterministic, self.latents.size
        read, seen = own["input.weight"], own["posterior.0.weight"]
        from_actions = linear(actions * stay, read[:, z_size:], own["input.bias"])
        from_embeddings = linear(embeddings, seen[:, d:], own["posterior.0.bias"])
        bias = own.get("gates.bias")
        gate_bias = embeddings.new_zeros(*steps, 3 * d) if bias is None else bias.expand(*steps, -1)
        enter = _Layer(from_actions, read[:, :z_size], once)
        gates = _Layer(gate_bias, own["gates.weight"], once)
        look = _Layer(from_embeddings, seen[:, :d], once)
        tell = _Layer(own["posterior.1.bias"].expand(*steps, -1), own["posterior.1.weight"], once)
        if state is None:
            state = State(embeddings.new_zeros(steps[1], d), embeddings.new_zeros(steps[1], z_size))
        h, z = state
        deters, stochs, posteriors = [], [], []
        for now in range(len(embeddings)):
            if any_first[now]:
                h, z = h * stay[now], z * stay[now]
            x = elu(enter(now, z))
            h = self._gru(own, gates(now, torch.cat([x, h], -1)), h)
            posterior = tell(now, elu(look(now, h)))
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
        x = elu(linear(torch.cat([state.stoch, actions], -1), own["input.weight"], own["input.bias"]))
        gates = linear(torch.cat([x, state.deter], -1), own["gates.weight"], own.get("gates.bias"))
        h = self._gru(own, gates, state.deter)
        prior = self._prior(own, h)
        z = self.latents.likeliest(prior) if noise is None else self.latents.drawn(prior, noise)
        return State(h, z)

    def _own(self, parameters: Parameters) -> Mapping[str, Tensor]:
        return {name: parameters[f"{self.component}/{name}"] for name in self.shapes()}

    def _prior(self, own: Mapping[str, Tensor], deter: Tensor) -> Tensor:
        """Statistics (…, S) of the prior at deterministic states (…, D)."""
        hidden = elu(linear(deter, own["prior.0.weight"], own["prior.0.bias"]))
        return linear(hidden, own["prior.1.weight"], own["prior.1.bias"])

    def _gru(self, own: Mapping[str, Tensor], gates: Tensor, h: Tensor) -> Tensor:
        """The next deterministic state (B, D) from the gates (B, 3·D) and the one before."""
        if self.norm:
            gates = layer_norm(gates, gates.shape[-1:], own["gates.gain"], own["gates.offset"])
        reset, candidate, update = gates.chunk(3, -1)
        candidate = torch.tanh(reset.sigmoid() * candidate)
        return torch.lerp(h, candidate, (update + UPDATE_BIAS).sigmoid())
