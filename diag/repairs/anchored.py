"""Training an encoder on with its embedding tied to the base's at the paired states.

Each update descends, with Adam at a rate that falls to nothing (half a cosine), the weighted sum of the
task's losses on a batch of the transfer's own transitions, plus WEIGHT/K · Σ ‖e(s) − e_base(s)‖² over its
pairs, of the world's K states (or of K, where it has too many to list). Only the encoder moves. Without pairs
it is the task's losses alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diag.repairs.system import MendingObjective
from trainers.stack import component_of

RATE = 3e-3
"""Adam's learning rate at the start. With all states paired 3e-4, 1e-3 and 3e-3 did alike on the runs that
this was made with; with few pairs 3e-3 did best (docs/repair.md)."""

SHORT, WARM = 300, 0.1
"""Number of updates below which the learning rate is smaller in proportion, and share of the updates over
which it rises: Adam's first steps are as large as its rate allows, and lead good encoders astray."""

WEIGHT = 3.0
"""Weight of the pairing loss beside the task's losses where all states are paired; with fewer pairs it is
smaller in proportion."""

STREAM = 11
"""Number of the random stream that batches are drawn from, apart from other uses of a seed."""

BLOCK = 1000
"""Number of updates whose batches are drawn at once, from a seed of their own."""


class Anchored:
    """A stack of encoders in training; call :meth:`update` until :attr:`step` is ``updates``.

    A member's numbers do not depend on which others stand beside it (to rounding).
    """

    def __init__(
        self,
        objective: MendingObjective,
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
        """Prepare to train S members, none of whose parameters but the encoder's moves.

        ``targets`` (S, K, d) are the base's embeddings of the K paired states, flattened where they are
        planes; ``pairs`` (S, K) says which of them are known, and ``data_seeds`` (S,) name the transitions
        that the transfers were trained on.
        """
        self.objective, self.updates, self.step, self.device = objective, updates, 0, device
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
        self._transitions = objective.own_transitions(task, data_seeds, device)
        self._seeds, self._block = [[STREAM, seed, s] for s in data_seeds], -1
        self._rows: list[NDArray[np.int64]] = []

    def update(self) -> None:
        """Take one step of Adam."""
        x, losses = self._transitions.losses({**self._held, **self.moving}, self._drawn())
        total = self._weight * (self._share * (x.flatten(2) - self._targets).square().sum(-1)).sum()
        for term, values in losses.items():
            total = total + self.objective.terms[term] * values.mean(-1).sum()
        self._adam.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        for group in self._adam.param_groups:
            group["lr"] = self._rate * min(1.0, (self.step + 1) / self._warm) * self._falls()
        self._adam.step()
        self.step += 1

    def _falls(self) -> float:
        """Factor on the learning rate at this update: half a cosine from 1 to 0."""
        return (1 + math.cos(math.pi * self.step / self.updates)) / 2

    def _drawn(self) -> Tensor:
        """Rows (S, batch) of each member's transitions for this update."""
        block, offset = divmod(self.step, BLOCK)
        if block != self._block:
            shape, count = (BLOCK, self.objective.batch_size), self._transitions.count
            self._rows = [np.random.default_rng([*s, block]).integers(count, size=shape) for s in self._seeds]
            self._block = block
        return torch.from_numpy(np.stack([rows[offset] for rows in self._rows])).to(self.device)

    def member(self, index: int) -> dict[str, Tensor]:
        """A copy of one member's parameters on the CPU."""
        both = {**self._held, **self.moving}
        return {name: both[name][index].detach().cpu().clone() for name in sorted(both)}

    def remembered(self) -> dict[str, Tensor]:
        """Adam's state by name, for a file to resume from."""
        kept: dict[str, Tensor] = {}
        for name, tensor in self.moving.items():
            for kind, value in self._adam.state[tensor].items():
                kept[f"{kind}/{name}"] = torch.as_tensor(value).detach().cpu().clone()
        return kept

    def restore(self, step: int, remembered: Mapping[str, Tensor]) -> None:
        """Continue after ``step`` updates from the members and Adam's state as they were saved."""
        self.step = step
        for key, value in remembered.items():
            kind, _, name = key.partition("/")
            kept = value.clone() if kind == "step" else value.clone().to(self.device)
            self._adam.state[self.moving[name]][kind] = kept
