"""A ring of states and a linear encoder of them: the smallest system, with all that one has to have.

Offline it draws steps of a random walk; interacting it takes them itself, and goes on where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from trainers import registry
from trainers.plan import BASE_PLAN, TransferPlan
from trainers.settings import Phase, Settings
from trainers.streams import DATA_STREAM, WEIGHT_STREAM, generator, stream_of
from trainers.system import State, StateError

STATES, RATE, INERTIA = 8, 0.05, 0.9


class RingSettings(Settings):
    system: Literal["ring"] = "ring"
    world: str = "ring"
    interacting: bool = False
    train: Phase = Phase(updates=40)
    transfer: Phase = Phase(updates=40)


@dataclass(frozen=True)
class Ring:
    settings: RingSettings
    name: ClassVar[str] = "ring"
    settings_type: ClassVar[type[Settings]] = RingSettings
    presets: ClassVar[Mapping[str, Any]] = {"ring": {}, "ring-walked": {"interacting": True}}
    terms: ClassVar[tuple[str, ...]] = ("transition", "bound", "entropy_random", "entropy_successive")
    embedding: ClassVar[int] = 2
    readers: ClassVar[tuple[str, ...]] = ("transition",)
    ensembles: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of(cls, settings: Settings) -> Ring:
        assert isinstance(settings, RingSettings)
        return cls(settings)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"encoder/weight": (STATES, 2), "transition/weight": (3, 2)}

    def fresh(self, *seed: int) -> dict[str, Tensor]:
        rng = generator(WEIGHT_STREAM, *seed)
        return {n: torch.from_numpy(rng.normal(size=s).astype(np.float32)) for n, s in self.shapes().items()}

    def pictures(self, task: str) -> Tensor:
        return torch.eye(STATES) if task == "source" else -torch.eye(STATES)

    def losses(self, parameters: Mapping[str, Tensor], task: str, steps: Tensor) -> dict[str, Tensor]:
        """Per-sample losses (n,) by term of steps (n, 2): state and action, 0 back and 1 forth."""
        table = self.pictures(task) @ parameters["encoder/weight"]
        x, after = table[steps[:, 0]], table[(steps[:, 0] + 2 * steps[:, 1] - 1) % STATES]
        moved = x + torch.cat([x, steps[:, 1:].float()], 1) @ parameters["transition/weight"]
        return {
            "transition": (moved - after).square().mean(1),
            "bound": (x.square().amax(1) - 1).clamp_min(0),
            "entropy_random": torch.exp(-(x - x.roll(1, 0)).square().sum(1)),
            "entropy_successive": torch.exp(-(x - after).square().sum(1)),
        }

    def evaluate(self, parameters: Mapping[str, Tensor], task: str, seed: int) -> dict[str, float]:
        x = self.pictures(task) @ parameters["encoder/weight"]
        return {"greedy": float((x - x.roll(1, 0)).norm(dim=1).mean())}  # a return, if far apart is good

    def training(
        self, plan: TransferPlan | None, members: Sequence[Any], seeds: Sequence[int], device: str = "cpu"
    ) -> Walkers:
        return Walkers(self, plan, members, seeds)


class Walkers:
    """Seeds in turn, each with its momentum, its generator, the place where it stands and its losses."""

    def __init__(
        self, ring: Ring, plan: TransferPlan | None, members: Sequence[Any], seeds: Sequence[int]
    ) -> None:
        self.ring, self.step, self.plan = ring, 0, plan or BASE_PLAN
        self.task, phase = ("source", "train") if plan is None else ("target", "transfer")
        self.updates = getattr(ring.settings, phase).updates
        self.parameters = [{n: t.clone() for n, t in sorted(m.items())} for m in members]
        self.momenta = [{n: torch.zeros_like(t) for n, t in m.items()} for m in self.parameters]
        self.generators = [generator(DATA_STREAM, seed, stream_of(plan is None)) for seed in seeds]
        self.places = [0 for _ in seeds]
        self.sums: list[dict[str, list[float]]] = [{} for _ in seeds]

    def update(self) -> None:
        active = self.plan.active_terms(self.ring.terms, self.step, self.updates)
        for index, parameters in enumerate(self.parameters):
            moving = sorted(self.plan.trainable(parameters))
            leaves = {n: t.clone().requires_grad_(n in moving) for n, t in parameters.items()}
            losses = self.ring.losses(leaves, self.task, self.steps(index))
            means = {term: losses[term].mean() for term in active}
            for term, mean in means.items():
                self.sums[index].setdefault(term, []).append(mean.item())
            wanted = [leaves[n] for n in moving]
            slopes = torch.autograd.grad(sum(means.values()), wanted, materialize_grads=True)
            for name, slope in zip(moving, slopes, strict=True):
                self.momenta[index][name].mul_(INERTIA).add_(slope)
                parameters[name] = parameters[name] - RATE * self.momenta[index][name]
        self.step += 1

    def steps(self, index: int) -> Tensor:
        rng = self.generators[index]
        actions = rng.integers(2, size=16)
        if not self.ring.settings.interacting:
            return torch.from_numpy(np.stack([rng.integers(STATES, size=16), actions], 1))
        states = (self.places[index] + np.cumsum([0, *(2 * actions - 1)])) % STATES
        self.places[index] = int(states[-1])
        return torch.from_numpy(np.stack([states[:-1], actions], 1))

    def member(self, index: int) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.parameters[index].items()}

    def state(self, index: int) -> State:
        momenta = {n: t.clone() for n, t in self.momenta[index].items()}
        random = self.generators[index].bit_generator.state
        sums = {term: list(seen) for term, seen in self.sums[index].items()}
        return State(self.step, momenta, {"place": self.places[index], "random": random, "sums": sums})

    def restore(self, states: Sequence[State]) -> None:
        for index, state in enumerate(states):
            if {n: t.shape for n, t in state.tensors.items()} != {
                n: t.shape for n, t in self.parameters[index].items()
            }:
                raise StateError("no momentum of each parameter", "a state of a ring")
            self.step, self.places[index] = state.step, state.values["place"]
            self.generators[index].bit_generator.state = state.values["random"]
            self.momenta[index] = {n: t.clone() for n, t in state.tensors.items()}
            self.sums[index] = {term: list(seen) for term, seen in state.values["sums"].items()}

    def take_losses(self) -> dict[str, Any]:
        means = {t: np.array([np.mean(seen[t]) for seen in self.sums], np.float32) for t in self.sums[0]}
        self.sums = [{} for _ in self.sums]
        return means

    def evaluate(self) -> dict[str, Any]:
        scores = [self.ring.evaluate(p, self.task, 0) for p in self.parameters]
        return {mode: np.array([s[mode] for s in scores], np.float32) for mode in scores[0]}


registry.register("ring", "tests.ring:Ring")
