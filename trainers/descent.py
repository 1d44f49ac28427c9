"""Seeds of one system side by side in a stack, with all that their states hold: a Training but its update.

An algorithm's own file says how a batch is drawn and what is descended; that a seed is saved, restored and
logged is the same for all that train a :class:`trainers.stack.Stack` with :class:`trainers.rmsprop.RMSprop`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.plan import TransferPlan
from trainers.rmsprop import RMSprop
from trainers.stack import Gradients, Parameters, Stack, component_of, gradients
from trainers.system import State, StateError, System


class Descent:
    """A stack of S seeds, its optimisers' running squares, and its losses since they were last asked for."""

    def __init__(
        self,
        system: System,
        task: str,
        plan: TransferPlan,
        members: Sequence[Parameters],
        rmsprop: RMSprop,
        device: str = "cpu",
        generators: Sequence[np.random.Generator] = (),
    ) -> None:
        """Stack ``members`` on a task; what the plan freezes does not train.

        ``generators`` are the seeds' own, one each, of a training that draws as it goes.
        """
        self.system, self.task, self.plan, self.rmsprop, self.device = system, task, plan, rmsprop, device
        self.step, self.generators = 0, list(generators)
        self.stack = Stack(members, device)
        trained = plan.trainable(self.stack.views)
        self.stack.train_only(trained)
        self.components = list(dict.fromkeys(map(component_of, sorted(trained))))
        """The components that train."""
        self.squares: dict[str, dict[str, Tensor]] = {}
        """RMSprop's running squares: {optimiser: {component: (S, P)}}."""
        self.sums: dict[str, Tensor] = {}
        """Batch losses (S,) added up since :meth:`take_losses`, by term, and how many they are."""
        self.counts: dict[str, int] = {}
        self._slopes: dict[str, Gradients] = {}
        self.kept: dict[str, Tensor] = {}
        """Further tensors (S, …) that a seed goes on from, by name, such as target networks."""

    def slopes_of(self, kept: str = "") -> Gradients:
        """Memory for gradients that the next call with the same ``kept`` uses again."""
        if kept not in self._slopes:
            self._slopes[kept] = Gradients(self.stack)
        return self._slopes[kept]

    def descend(self, losses: Mapping[str, Tensor], rate: float) -> None:
        """One step down the sum of the batch losses {term: (S,)}, each seed by its own; remembers them."""
        self.remember(losses)
        if losses and self.components:
            slopes = self.slopes_of()
            total = torch.stack([loss.sum() for loss in losses.values()]).sum()
            gradients(total, self.stack, self.components, slopes)
            own = {component: slopes.buffers[component] for component in self.components}
            self.rmsprop.step(self.stack, own, self.squares.setdefault("summed", {}), rate)

    def remember(self, losses: Mapping[str, Tensor]) -> None:
        """Add batch losses {term: (S,)} up for :meth:`take_losses`."""
        for term, loss in losses.items():
            seen = self.sums.get(term)
            self.sums[term] = loss.detach() if seen is None else seen + loss.detach()
            self.counts[term] = self.counts.get(term, 0) + 1

    def take_losses(self) -> dict[str, NDArray[np.float32]]:
        """Mean losses {term: (S,)} since the last call; terms that were never active are left out."""
        means = {t: (s / self.counts[t]).cpu().numpy() for t, s in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means

    def evaluate(self) -> Mapping[str, NDArray[np.float32]]:
        """Mean returns on the task now, {mode: (S,)}; empty for a system that does not act."""
        first, *others = range(len(self.stack))
        returns = [self.system.evaluate(self.member(first), self.task, 0)]
        if returns[0]:
            returns += [self.system.evaluate(self.member(index), self.task, 0) for index in others]
        return {mode: np.array([one[mode] for one in returns], np.float32) for mode in returns[0]}

    def member(self, index: int) -> dict[str, Tensor]:
        """Copy of one seed's parameters on the CPU."""
        return self.stack.member(index)

    def state(self, index: int) -> State:
        """One seed's running squares and its losses since :meth:`take_losses`, on the CPU."""
        tensors = {
            f"squares/{optimiser}/{component}": values[index].cpu().clone()
            for optimiser, components in self.squares.items()
            for component, values in components.items()
        }
        tensors |= {f"sums/{term}": values[index].cpu().clone() for term, values in self.sums.items()}
        tensors |= {f"kept/{name}": values[index].cpu().clone() for name, values in self.kept.items()}
        return State(self.step, tensors, {"counts": dict(self.counts), **self._values(index)})

    def values(self, index: int) -> dict[str, Any]:
        """Further values that one seed goes on from, such as JSON holds: where it stands in its world."""
        return {}

    def go_on(self, index: int, values: Mapping[str, Any]) -> None:
        """Take up one seed's :meth:`values`; an error in looking them up or reading them refuses them."""

    def _values(self, index: int) -> dict[str, Any]:
        own = [("random", g.bit_generator.state) for g in self.generators[index : index + 1]]
        return {**dict(own), **self.values(index)}

    def restore(self, states: Sequence[State]) -> None:
        """Go on from these states; raises :class:`trainers.system.StateError`."""
        first = states[0]
        counts, sums = first.values.get("counts"), [n for n in first.tensors if n.startswith("sums/")]
        if not isinstance(counts, dict) or {f"sums/{term}" for term in counts} != set(sums):
            raise StateError("no counts of losses", f"those of a training of {self.system.name}")
        squares = any(name.startswith("squares/") for name in first.tensors)
        if first.step > 0 and self.components and not squares:
            raise StateError("no optimiser state", f"the running squares of a training of {self.system.name}")
        for name in self.kept:
            if f"kept/{name}" not in first.tensors:
                raise StateError(f"no {name}", f"that of a training of {self.system.name}")
        for name in first.tensors:
            kind, _, key = name.partition("/")
            optimiser, _, component = key.partition("/")
            size = self.stack.buffers[component].shape[1:] if component in self.stack.buffers else None
            kept = self.kept[key].shape[1:] if key in self.kept else None
            wanted = {"squares": size, "sums": torch.Size(), "kept": kept}.get(kind)
            stacked = self._stacked(name, states, wanted)
            if kind == "squares":
                self.squares.setdefault(optimiser, {})[component] = stacked
            elif kind == "kept":
                self.kept[key].copy_(stacked)
            else:
                self.sums[key] = stacked
        for index, state in enumerate(states):
            try:
                if self.generators:
                    self.generators[index].bit_generator.state = state.values["random"]
                self.go_on(index, state.values)
            except (LookupError, TypeError, ValueError, ArithmeticError):
                named = ", ".join(self._values(index))
                raise StateError(
                    f"no {named} that it can go on from", f"a state of {self.system.name}"
                ) from None
        self.step, self.counts = first.step, dict(counts)

    def _stacked(self, name: str, states: Iterable[State], wanted: Any) -> Tensor:
        """A tensor of all the states, side by side; raises StateError where one has another shape."""
        rows = [state.tensors.get(name) for state in states]
        if not all(row is not None and tuple(row.shape) == wanted for row in rows):
            raise StateError(f"an optimiser state of another shape ({name})", "the shape of the weights")
        return torch.stack([row for row in rows if row is not None]).to(self.device)
