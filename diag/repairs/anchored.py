"""Training a CRAR encoder on with its embedding tied to the base's at the paired states.

Each update descends, with Adam at a rate that falls to nothing (half a cosine), the weighted sum of the
task's losses on a batch of the transfer's own transitions, plus WEIGHT/K · Σ ‖e(s) − e_base(s)‖² over its
pairs, of the world's K states. Only the encoder moves. Without pairs it is the task's losses alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.crar import CRAR, Batch
from trainers.envs import collect
from trainers.stack import component_of
from trainers.streams import stream_of

RATE = 3e-3
"""Adam's learning rate at the start. With all states paired 3e-4, 1e-3 and 3e-3 did alike on the runs that
this was made with; with few pairs 3e-3 did best (docs/repair.md)."""

SHORT, WARM = 300, 0.1
"""Trainings shorter than this have a rate that is smaller in proportion, and every one rises to its rate over
its first tenth: Adam's first steps are as large as its rate allows, and lead good encoders astray."""

WEIGHT = 3.0
"""Of the pairs' term beside the task's losses, where all states are paired; of each pair, its share."""

STREAM = 11
"""Keeps these batches apart from other uses of a seed."""


BLOCK = 1000
"""Updates whose batches are drawn at once, each block from its own seed."""


class Anchored:
    """A stack of encoders on their way; call :meth:`update` until :attr:`step` is ``updates``.

    A member's numbers do not depend on which others stand beside it (to rounding).
    """

    def __init__(
        self,
        agent: CRAR,
        members: Sequence[Mapping[str, Tensor]],
        targets: NDArray[np.float64],
        pairs: NDArray[np.bool_],
        updates: int,
        *,
        data_seeds: Sequence[int],
        seed: int = 0,
        rate: float = RATE,
        weight: float = WEIGHT,
        task: str = "target",
        device: str = "cpu",
    ) -> None:
        """``targets`` (S, K, d) is where the base has the world's K states, ``pairs`` (S, K) which are known.

        ``data_seeds`` (S,) are the seeds whose transitions the transfers were trained on.
        """
        self.agent, self.updates, self.step, self.device = agent, updates, 0, device
        self._rate, self._weight = rate * min(1.0, updates / SHORT), weight
        self._warm = max(1.0, WARM * updates)
        names = list(members[0])
        self._held = {
            n: torch.stack([m[n] for m in members]).to(device) for n in names if component_of(n) != "encoder"
        }
        self.moving = {
            n: torch.stack([m[n] for m in members]).to(device).requires_grad_(True)
            for n in names
            if component_of(n) == "encoder"
        }
        self._adam = torch.optim.Adam(list(self.moving.values()), lr=rate)
        self._targets = torch.from_numpy(np.where(pairs[..., None], targets, 0.0)).float().to(device)
        self._share = torch.from_numpy(pairs / pairs.shape[1]).float().to(device)
        self._pictures = torch.from_numpy(agent.world.observations[task]).to(device)
        data = agent.settings.data
        walks = [
            collect(agent.world, data.steps, data.episode_steps, s, stream_of(base=False)) for s in data_seeds
        ]
        columns = ("state", "action", "reward", "terminal", "next_state")
        self._data = [[torch.from_numpy(getattr(w, c)).to(device) for c in columns] for w in walks]
        size = agent.settings.optimiser.batch
        self._seeds, self._size, self._block = [[STREAM, seed, s] for s in data_seeds], size, -1
        self._indices: list[NDArray[np.int64]] = []
        self._partner = torch.arange(size, device=device).roll(1).expand(len(members), -1)

    def update(self) -> None:
        """One step of Adam."""
        parameters = {**self._held, **self.moving}
        x = self.agent.embed(parameters, self._pictures)
        found = self.agent.losses_at(parameters, x, self._batch(), self.agent.settings.loss.terms)
        total = self._weight * (self._share * (x - self._targets).square().sum(-1)).sum()
        for term, values in found.items():
            total = total + self.agent.weight_of(term) * values.mean(-1).sum()
        self._adam.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        for group in self._adam.param_groups:
            group["lr"] = self._rate * min(1.0, (self.step + 1) / self._warm) * self._falls()
        self._adam.step()
        self.step += 1

    def _falls(self) -> float:
        return (1 + math.cos(math.pi * self.step / self.updates)) / 2

    def _batch(self) -> Batch:
        block, offset = divmod(self.step, BLOCK)
        if block != self._block:
            shape = (BLOCK, self._size)
            self._indices = [
                np.random.default_rng([*s, block]).integers(len(data[0]), size=shape)
                for s, data in zip(self._seeds, self._data, strict=True)
            ]
            self._block = block
        chosen = [torch.from_numpy(rows[offset]).to(self.device) for rows in self._indices]
        fields = [[column[i] for column in data] for data, i in zip(self._data, chosen, strict=True)]
        state, action, reward, terminal, after = (torch.stack(c) for c in zip(*fields, strict=True))
        return Batch(state, action, reward, terminal, after, self._partner)

    def member(self, index: int) -> dict[str, Tensor]:
        """A copy of one member's parameters on the CPU."""
        both = {**self._held, **self.moving}
        return {name: both[name][index].detach().cpu().clone() for name in sorted(both)}

    def remembered(self) -> dict[str, Tensor]:
        """What Adam remembers, by name, for a file to resume from."""
        kept: dict[str, Tensor] = {}
        for name, tensor in self.moving.items():
            for kind, value in self._adam.state[tensor].items():
                kept[f"{kind}/{name}"] = torch.as_tensor(value).detach().cpu().clone()
        return kept

    def restore(self, step: int, remembered: Mapping[str, Tensor]) -> None:
        """Go on after ``step`` updates, from members as they then were, with what Adam remembered."""
        self.step = step
        for key, value in remembered.items():
            kind, _, name = key.partition("/")
            kept = value.clone() if kind == "step" else value.clone().to(self.device)
            self._adam.state[self.moving[name]][kind] = kept
