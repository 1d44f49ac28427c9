"""An LSTM over unrolls of many environments, which begins anew where an episode does.

Hochreiter and Schmidhuber (1997) with a forget gate, torch's order of gates (input, forget, cell, output) and
one bias. The loop is written out: a fused library kernel cannot begin anew in the middle of an unroll.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]
"""Named parameters, ``component/parameter``, of one network, without a stack axis."""


class Memory(NamedTuple):
    """What an LSTM remembers between two steps: both (N, units)."""

    hidden: Tensor
    cell: Tensor

    def where(self, goes_on: Tensor | None) -> Memory:
        """This memory with nothing in it where ``goes_on`` (N, 1) is 0; None says that all go on."""
        return self if goes_on is None else Memory(self.hidden * goes_on, self.cell * goes_on)


@dataclass(frozen=True)
class LSTM:
    """One layer of ``units`` that reads ``inputs`` numbers a step."""

    inputs: int
    units: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of parameters: rows of the gates input, forget, cell and output."""
        return {
            "lstm.weight_input": (4 * self.units, self.inputs),
            "lstm.weight_hidden": (4 * self.units, self.units),
            "lstm.bias": (4 * self.units,),
        }

    def fresh(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Uniform within ±1/√units, as torch has it."""
        limit = 1 / math.sqrt(self.units)
        return {name: uniform(rng, shape, limit) for name, shape in self.shapes().items()}

    def nothing(self, environments: int, device: torch.device | str = "cpu") -> Memory:
        """Memory (N, units) at the beginning of an episode."""
        empty = torch.zeros(environments, self.units, device=device)
        return Memory(empty, empty.clone())

    def project(self, parameters: Parameters, component: str, x: Tensor) -> Tensor:
        """What inputs (…, inputs) add to the gates (…, 4 · units): of all steps at once where they are known."""
        weight, bias = parameters[f"{component}/lstm.weight_input"], parameters[f"{component}/lstm.bias"]
        return torch.nn.functional.linear(x, weight, bias)

    def step(self, parameters: Parameters, component: str, projected: Tensor, memory: Memory) -> Memory:
        """Memory after one step; ``projected`` (N, 4 · units) is that of :meth:`project`."""
        gates = torch.addmm(projected, memory.hidden, parameters[f"{component}/lstm.weight_hidden"].mT)
        enters, stays, new, shown = gates.chunk(4, 1)
        cell = torch.addcmul(torch.sigmoid(stays) * memory.cell, torch.sigmoid(enters), torch.tanh(new))
        return Memory(torch.sigmoid(shown) * torch.tanh(cell), cell)

    def unroll(
        self, parameters: Parameters, component: str, x: Tensor, memory: Memory, begins: Tensor
    ) -> tuple[Tensor, Memory]:
        """Hidden states (T, N, units) of inputs (T, N, inputs), and the memory after the last.

        ``begins`` (T, N), boolean, says where an input is the first of an episode.
        """
        projected = self.project(parameters, component, x)
        some = begins.any(1).tolist()
        goes_on = (~begins).to(x.dtype).unsqueeze(-1)
        hidden = []
        for step in range(len(x)):
            memory = memory.where(goes_on[step] if some[step] else None)
            memory = self.step(parameters, component, projected[step], memory)
            hidden.append(memory.hidden)
        return torch.stack(hidden), memory


def uniform(rng: np.random.Generator, shape: tuple[int, ...], limit: float) -> Tensor:
    """Numbers of this shape, uniform within ±limit."""
    return torch.from_numpy(rng.uniform(-limit, limit, shape).astype(np.float32))
