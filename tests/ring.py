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

from diag.sources import systems
from trainers import registry
from trainers.descent import Descent
from trainers.envs import FiniteWorld
from trainers.plan import BASE_PLAN, TransferPlan
from trainers.rmsprop import RMSprop
from trainers.settings import Phase, Settings
from trainers.streams import DATA_STREAM, WEIGHT_STREAM, generator, stream_of

STATES, BATCH, RATE = 16, 16, 0.01
PICTURES, AROUND = np.eye(STATES, dtype=np.float32), np.arange(STATES)
WORLD = FiniteWorld(
    name="ring",
    observations={"source": PICTURES, "target": -PICTURES},
    transitions=np.stack([AROUND - 1, AROUND + 1], 1) % STATES,
    rewards=np.zeros((STATES, 2), np.float32),
    terminals=np.zeros((STATES, 2), np.bool_),
    start=0,
    variables={"place": AROUND},
    action_names=("back", "forth"),
    success_states=STATES,
)


class RingSettings(Settings):
    system: Literal["ring"] = "ring"
    world: str = "ring"
    interacting: bool = False
    train: Phase = Phase(updates=40)
    transfer: Phase = Phase(updates=40)


@dataclass(frozen=True)
class Steps:
    state: Tensor
    action: Tensor


@dataclass(frozen=True)
class Ring:
    settings: RingSettings
    name: ClassVar[str] = "ring"
    settings_type: ClassVar[type[Settings]] = RingSettings
    presets: ClassVar[Mapping[str, Any]] = {"ring": {}, "ring-walked": {"interacting": True}}
    terms: ClassVar[tuple[str, ...]] = ("transition", "bound", "entropy_random", "entropy_successive")
    embedding: ClassVar[int] = 2
    readers: ClassVar[tuple[str, ...]] = ("transition",)
    ensembles: ClassVar[tuple[str, ...]] = ("transition",)

    @classmethod
    def of(cls, settings: Settings) -> Ring:
        assert isinstance(settings, RingSettings)
        return cls(settings)

    def shapes(self, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, tuple[int, ...]]:
        copies = 0 if plan is None else len(plan.copies(["transition/weight"], bases))
        encoder = {"encoder/0.weight": (2, STATES), "encoder/0.bias": (2,)}
        return {**encoder, "transition/weight": (3 + 2 * copies, 2)}

    def fresh(self, *seed: int, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, Tensor]:
        rng, shapes = generator(WEIGHT_STREAM, *seed), self.shapes(plan, bases)
        return {n: torch.from_numpy(rng.normal(size=s).astype(np.float32)) for n, s in shapes.items()}

    def embed(self, parameters: Mapping[str, Tensor], observations: Tensor) -> Tensor:
        return observations @ parameters["encoder/0.weight"].mT + parameters["encoder/0.bias"][:, None]

    def losses_at(
        self, parameters: Mapping[str, Tensor], embeddings: Tensor, steps: Steps, terms: Sequence[str]
    ) -> dict[str, Tensor]:
        def rows(states: Tensor) -> Tensor:
            return embeddings.take_along_dim(states.expand(len(embeddings), -1)[..., None], 1)

        x, after = rows(steps.state), rows((steps.state + 2 * steps.action - 1) % STATES)
        inputs = torch.cat([x, steps.action.expand(x.shape[:2])[..., None]], 2)
        copies = [inputs @ tensor for name, tensor in parameters.items() if "transition.source" in name]
        moved = x + torch.cat([inputs, *copies], 2) @ parameters["transition/weight"]
        losses = {
            "transition": (moved - after).square().mean(2),
            "bound": (x.square().amax(2) - 1).clamp_min(0),
            "entropy_random": torch.exp(-(x - x.roll(1, 1)).square().sum(2)),
            "entropy_successive": torch.exp(-(x - after).square().sum(2)),
        }
        return {term: losses[term] for term in terms}

    def drawn(self, rng: np.random.Generator, place: int, number: int = BATCH) -> tuple[Steps, int]:
        """Steps of a random walk from a place, or from places drawn; and the place that it ends at."""
        actions = rng.integers(2, size=number)
        walk = (place + np.cumsum([0, *(2 * actions - 1)])) % STATES
        states = walk[:-1] if self.settings.interacting else rng.integers(STATES, size=number)
        return Steps(torch.from_numpy(states), torch.from_numpy(actions)), int(walk[-1])

    def evaluate(self, parameters: Mapping[str, Tensor], task: str, seed: int) -> dict[str, float]:
        return {"greedy": float(self.lengths(parameters, task).mean())}  # a return, if far apart is good

    def lengths(self, parameters: Mapping[str, Tensor], task: str) -> Tensor:
        stack = {name: tensor[None] for name, tensor in parameters.items()}
        x = self.embed(stack, torch.from_numpy(WORLD.observations[task]))[0]
        return (x - x.roll(1, 0)).norm(dim=1)

    def training(
        self, plan: TransferPlan | None, members: Sequence[Any], seeds: Sequence[int], device: str = "cpu"
    ) -> Walkers:
        return Walkers(self, plan, members, seeds, device)


class Walkers(Descent):
    """Seeds side by side, each with its generator and the place where it stands."""

    def __init__(
        self, ring: Ring, plan: TransferPlan | None, members: Sequence[Any], seeds: Sequence[int], device: str
    ) -> None:
        task, phase = ("source", ring.settings.train) if plan is None else ("target", ring.settings.transfer)
        generators = [generator(DATA_STREAM, seed, stream_of(plan is None)) for seed in seeds]
        super().__init__(ring, task, plan or BASE_PLAN, members, RMSprop(), device, generators)
        self.ring, self.updates, self.places = ring, phase.updates, [WORLD.start for _ in seeds]
        self.seen = torch.from_numpy(WORLD.observations[task]).to(device)

    def update(self) -> None:
        drawn = [self.ring.drawn(*one) for one in zip(self.generators, self.places, strict=True)]
        self.places = [place for _, place in drawn]
        columns = ([getattr(steps, name) for steps, _ in drawn] for name in ("state", "action"))
        steps = Steps(*(torch.stack(column).to(self.device) for column in columns))
        terms = self.plan.active_terms(self.ring.terms, self.step, self.updates)
        table = self.ring.embed(self.stack.views, self.seen)
        losses = self.ring.losses_at(self.stack.views, table, steps, terms)
        self.descend({term: values.mean(1) for term, values in losses.items()}, RATE)
        self.step += 1

    def values(self, index: int) -> dict[str, Any]:
        return {"place": self.places[index]}

    def go_on(self, index: int, values: Mapping[str, Any]) -> None:
        self.places[index] = int(values["place"])


registry.register("ring", "tests.ring:Ring")
systems.register("ring", "tests.ring_subject:subject")
