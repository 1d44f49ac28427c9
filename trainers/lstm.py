"""An LSTM over unrolls of many environments, which begins anew where an episode does.

Hochreiter and Schmidhuber (1997) with a forget gate, torch's order of gates (input, forget, cell, output) and
one bias. The loop is written out: a fused library kernel cannot begin anew in the middle of an unroll.

Acting takes one step at a time and learning differentiates all of them. A :class:`Record` of the steps that
were taken gives their hidden states a gradient without taking them again: through time it is a few products a
step, and those of the weights and inputs are made once for all steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

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
        """What inputs (…, inputs) add to the gates (…, 4 · units), of one step or of many."""
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
    ) -> Memory:
        """Memory after each step, both parts (T, N, units), of inputs (T, N, inputs).

        ``begins`` (T, N), boolean, says where an input is the first of an episode.
        """
        projected = self.project(parameters, component, x)
        some = begins.any(1).tolist()
        goes_on = (~begins).to(x.dtype).unsqueeze(-1)
        after = []
        for step in range(len(x)):
            memory = memory.where(goes_on[step] if some[step] else None)
            memory = self.step(parameters, component, projected[step], memory)
            after.append(memory)
        return Memory(torch.stack([m.hidden for m in after]), torch.stack([m.cell for m in after]))


class Record:
    """The steps of one unroll as they are taken, and what their gradient needs."""

    def __init__(self, lstm: LSTM, steps: int, environments: int, device: torch.device | str) -> None:
        shape = (steps, environments, lstm.units)
        self.lstm = lstm
        self.gates = torch.empty(steps, environments, 4 * lstm.units, device=device)
        """After their sigmoid or tanh."""
        self.hidden_before, self.cell_before, self.hidden, self.cell = (
            torch.empty(shape, device=device) for _ in range(4)
        )
        self.begins: list[Tensor | None] = [None] * steps

    @torch.no_grad()
    def take(
        self,
        parameters: Parameters,
        component: str,
        step: int,
        inputs: Tensor,
        memory: Memory,
        goes_on: Tensor | None,
    ) -> Memory:
        """Take a step from a memory, which counts where ``goes_on`` (N, 1) is 1; gives that after it."""
        units, gates = self.lstm.units, self.gates[step]
        memory = memory.where(goes_on)
        self.begins[step] = goes_on
        self.hidden_before[step], self.cell_before[step] = memory
        projected = self.lstm.project(parameters, component, inputs)
        weight = parameters[f"{component}/lstm.weight_hidden"]
        torch.addmm(projected, memory.hidden, weight.mT, out=gates)
        enters, stays, new, shown = gates.chunk(4, 1)
        gates[:, : 2 * units].sigmoid_()
        new.tanh_()
        shown.sigmoid_()
        cell = torch.mul(stays, memory.cell, out=self.cell[step]).addcmul_(enters, new)
        hidden = torch.mul(shown, torch.tanh(cell), out=self.hidden[step])
        return Memory(hidden, cell)

    def differentiable(self, parameters: Parameters, component: str, inputs: Tensor) -> Tensor:
        """The hidden states (T, N, units) with a gradient to the inputs (T, N, inputs) and the parameters."""
        names = ("weight_input", "weight_hidden", "bias")
        weights = (parameters[f"{component}/lstm.{name}"] for name in names)
        hidden: Tensor = _Recorded.apply(self, inputs, *weights)  # type: ignore[no-untyped-call]
        return hidden


class _Recorded(torch.autograd.Function):
    """Hidden states of a record, with their gradient through time."""

    @staticmethod
    def forward(
        ctx: Any, record: Record, inputs: Tensor, weight_input: Tensor, weight_hidden: Tensor, bias: Tensor
    ) -> Tensor:
        ctx.record = record
        ctx.save_for_backward(inputs, weight_input, weight_hidden)
        return record.hidden.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        record: Record = ctx.record
        inputs, weight_input, weight_hidden = ctx.saved_tensors
        units, shape = record.lstm.units, record.hidden.shape
        enters, stays, new, shown = record.gates.chunk(4, 2)
        seen = torch.tanh(record.cell)
        # What a change of a gate before its sigmoid or tanh does to the cell, and to what is shown of it.
        to_cell = torch.stack(
            [
                new * enters * (1 - enters),
                record.cell_before * stays * (1 - stays),
                enters * (1 - new * new),
            ],
            2,
        )
        to_hidden, through = seen * shown * (1 - shown), shown * (1 - seen * seen)
        gates = torch.empty_like(record.gates)
        by_gate = gates.view(*shape[:2], 4, units)
        later_hidden, later_cell = torch.zeros_like(record.hidden[0]), torch.zeros_like(record.cell[0])
        for step in reversed(range(shape[0])):
            hidden = slopes[step] + later_hidden
            cell = torch.addcmul(later_cell, hidden, through[step])
            torch.mul(cell.unsqueeze(1), to_cell[step], out=by_gate[step, :, :3])
            torch.mul(hidden, to_hidden[step], out=by_gate[step, :, 3])
            later_hidden, later_cell = gates[step] @ weight_hidden, cell * stays[step]
            if (goes_on := record.begins[step]) is not None:
                later_hidden, later_cell = later_hidden * goes_on, later_cell * goes_on
        flat = gates.flatten(0, 1)
        _, to_inputs, to_weight_input, to_weight_hidden, to_bias = ctx.needs_input_grad
        return (
            None,
            (flat @ weight_input).view(inputs.shape) if to_inputs else None,
            flat.mT @ inputs.flatten(0, 1) if to_weight_input else None,
            flat.mT @ record.hidden_before.flatten(0, 1) if to_weight_hidden else None,
            flat.sum(0) if to_bias else None,
        )


def uniform(rng: np.random.Generator, shape: tuple[int, ...], limit: float) -> Tensor:
    """Numbers of this shape, uniform within ±limit."""
    return torch.from_numpy(rng.uniform(-limit, limit, shape).astype(np.float32))
