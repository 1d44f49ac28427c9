"""CRAR's loss terms, and the three algorithms that descend them, for every world and kind of net.

With x = e(s), x' = e(s') and the frozen-or-not models p̂, r̂, γ̂ and Q, a sample's losses are (François-Lavet
et al., arXiv 1809.04506; the first paper, section 4.2):

- ``transition``: mean over dimensions of (x + p̂(x, a) − x')², zero at terminals;
- ``reward``: (r̂(x, a) − r)²;  ``discount``: (γ̂(x, a) − γ·(1 − terminal))²;
- ``bound`` (L_d2): clip(max_i x_i² − 1, 0, 100);
- ``entropy_random`` (L_d1): exp(−C_d·‖x − x₂‖) for random pairs, the batch rolled by one;
- ``entropy_successive`` (L'_d1): the same for x and x';
- ``q``: (Q(x, a) − Y)² with double Q-learning's target Y (:func:`double_q_target`).

Squared distances are clipped to [1e-6, 10] before the root, whose gradient at 0 would be infinite. Of an
embedding of planes, the maximum of ``bound`` is taken over the planes of each tile, and the tiles' losses are
averaged, as CRAR's public code does; distances are of whole embeddings.

Each term is descended by its own RMSprop (reward and discount share one), in the order of ``loss.terms``; see
:data:`Algorithm` for the two faster variants.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.descent import Descent
from trainers.plan import TransferPlan
from trainers.rmsprop import ClipBy, RMSprop
from trainers.settings import MOST_UNITS, Phase, Positive, Rate, Tree
from trainers.stack import Parameters
from trainers.streams import BATCH_STREAM, WEIGHT_STREAM, generator
from trainers.system import System

Algorithm = Literal["separate", "shared", "summed"]
"""Ways to descend the loss terms: one optimiser step per term at the parameters that the step before
left (``separate``, the paper's); every term's gradient at one point, then all the steps (``shared``);
one gradient of the weighted sum (``summed``)."""


class Constants(Tree):
    """The loss terms in the order of their optimiser steps, and their constants."""

    terms: Annotated[tuple[str, ...], pydantic.Field(min_length=1)] = ()
    discount: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.9
    """Target of the discount model where the episode goes on."""
    entropy_scale: Rate = 5.0
    """C_d in exp(−C_d·‖x − x'‖)."""
    entropy_successive_divisor: Rate = 5.0
    """The learning rate (or, summed, the weight) of ``entropy_successive`` is divided by this."""

    @pydantic.field_validator("terms")
    @classmethod
    def _distinct(cls, terms: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(terms)) != len(terms):
            raise ValueError("names a term twice")
        return terms

    def weight_of(self, term: str) -> float:
        """A term's weight in the total: 1, but for ``entropy_successive`` (its learning rate's divisor)."""
        return 1.0 / self.entropy_successive_divisor if term == "entropy_successive" else 1.0


class Optimiser(Tree):
    """RMSprop, and how many transitions a step sees."""

    rho: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.9
    epsilon: Rate = 1e-4
    clip: Rate = 1.0
    clip_by: ClipBy = "step"
    batch: Annotated[int, pydantic.Field(ge=2, le=MOST_UNITS, strict=True)] = 32


class CrarPhase(Phase):
    """One phase of CRAR's training, with a learning rate that falls in steps."""

    algorithm: Algorithm = "separate"
    learning_rate: Rate = 5e-4
    decay: Annotated[float, pydantic.Field(gt=0, le=1)] = 1.0
    """The learning rate is multiplied by this every ``decay_every`` updates."""
    decay_every: Positive = 5000
    decay_after: Annotated[int, pydantic.Field(ge=0, le=10**9, strict=True)] = 0
    """Updates before the learning rate begins to fall."""

    @property
    def cost(self) -> float:
        """Cost of an update, in updates of ``summed``."""
        return {"separate": 4.0, "shared": 3.0, "summed": 1.0}[self.algorithm]


WITH_SUCCESSORS = frozenset({"transition", "entropy_successive"})
"""Terms whose gradient goes through what followed, too."""

COMPONENT_OF_TERM: Mapping[str, str | None] = {
    "transition": "transition",
    "reward": "reward",
    "discount": "discount",
    "bound": None,
    "entropy_random": None,
    "entropy_successive": None,
    "q": "q",
}
"""The model that each term trains beside the encoder."""

# Reward and discount share one optimiser in the paper's code, and so one running square per weight.
_OPTIMISER_OF_TERM = {"reward": "heads", "discount": "heads"}

SQUARED_DISTANCE_LIMITS = (1e-6, 10.0)
BOUND_LIMIT = 100.0

# Batches are drawn in blocks of this many updates, each from its own seed: any update's batch can be
# had again from the seed and the update's number alone.
BLOCK = 250

Models = Callable[[str, Tensor, Tensor], Tensor]
"""``model(component, x, actions)``: outputs (S, n, …) of a model at embeddings and one-hot actions."""


class Agent:
    """The parts of a :class:`trainers.system.System` that follow from an agent's nets by component."""

    nets: Mapping[str, Any]
    """{component: its net}; ``encoder`` makes the embedding, and the others read it."""

    @property
    def readers(self) -> tuple[str, ...]:
        """The models on the embedding."""
        return tuple(component for component in self.nets if component != "encoder")

    @property
    def ensembles(self) -> tuple[str, ...]:
        """None: no net has inputs for a frozen copy's outputs."""
        return ()

    def shapes(self, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, tuple[int, ...]]:
        """Every parameter's name and shape, whatever the plan."""
        return {
            f"{component}/{name}": shape
            for component, net in self.nets.items()
            for name, shape in net.shapes().items()
        }

    def fresh(self, *seed: int, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, Tensor]:
        """A fresh initialisation from a seed, whatever the plan."""
        rng = generator(WEIGHT_STREAM, *seed)
        return {
            f"{component}/{name}": value
            for component, net in self.nets.items()
            for name, value in net.fresh(rng).items()
        }


@dataclass(frozen=True)
class Batch:
    """n transitions of a task as indices into a table of its observations; every tensor is (n,) or (S, n)."""

    state: Tensor
    action: Tensor
    reward: Tensor
    terminal: Tensor
    next_state: Tensor
    partner: Tensor
    """The sample, within the batch, that each sample is paired with in ``entropy_random``."""


def sample_losses(
    terms: Iterable[str],
    model: Models,
    constants: Constants,
    x: Tensor,
    x_next: Tensor | None,
    partner: Tensor,
    actions: Tensor,
    reward: Tensor,
    terminal: Tensor,
    target: Tensor | None = None,
) -> dict[str, Tensor]:
    """Per-sample losses {term: (S, n)} from embeddings (S, n, *shape) of states and of what followed them.

    ``x_next`` and ``target`` may be None where no term needs them. ``partner`` (S, n) or (n,) is the sample
    that each is paired with in ``entropy_random``; ``actions`` are as ``model`` takes them, and for ``q``
    one-hot, (S, n, A) or (n, A).
    """
    goes_on = 1.0 - terminal.to(x.dtype)
    losses: dict[str, Tensor] = {}
    for term in terms:
        match term:
            case "transition":
                assert x_next is not None
                error = x + model("transition", x, actions) - x_next
                losses[term] = error.square().flatten(2).mean(-1) * goes_on
            case "reward":
                losses[term] = (model("reward", x, actions)[..., 0] - reward).square()
            case "discount":
                predicted = model("discount", x, actions)[..., 0]
                losses[term] = (predicted - constants.discount * goes_on).square()
            case "bound":
                beyond = (x.square().amax(2) - 1.0).clamp(0.0, BOUND_LIMIT)
                losses[term] = beyond if beyond.dim() == 2 else beyond.flatten(2).mean(-1)
            case "entropy_random":
                losses[term] = _entropy(x, rows_of(x, partner), constants.entropy_scale)
            case "entropy_successive":
                assert x_next is not None
                losses[term] = _entropy(x, x_next, constants.entropy_scale)
            case "q":
                assert target is not None
                values = model("q", x, actions)
                losses[term] = ((values * actions).sum(-1) - target).square()
            case _:
                raise ValueError(f"unknown loss term {term!r}")
    return losses


def double_q_target(
    reward: Tensor, terminal: Tensor, discount: float, online: Tensor, target: Tensor
) -> Tensor:
    """Y = r + γ·(1 − terminal)·Q⁻(x'⁻, argmax_a Q(x', a)), (S, n), from values (S, n, A) of what followed.

    The trained nets (``online``) choose the action, the target nets say what it is worth (van Hasselt et al.,
    2016; the first paper, section 4.2). Of equal values the first action is chosen.
    """
    best = online.argmax(-1, keepdim=True)
    worth = target.gather(-1, best)[..., 0]
    return reward + discount * (1.0 - terminal.to(worth.dtype)) * worth


def _entropy(x: Tensor, other: Tensor, scale: float) -> Tensor:
    distance = (x - other).square().flatten(2).sum(-1).clamp(*SQUARED_DISTANCE_LIMITS).sqrt()
    return torch.exp(-scale * distance)


def rows_of(embeddings: Tensor, index: Tensor) -> Tensor:
    """Rows (S, n, *shape) of embeddings (S, K, *shape), by number (S, n) or (n,)."""
    stack, _, *shape = embeddings.shape
    index = index.expand(stack, index.shape[-1])
    index = index.reshape(*index.shape, *[1] * len(shape)).expand(-1, -1, *shape)
    return embeddings.gather(1, index)


class TermDescent(Descent, ABC):
    """A stack of seeds that descends CRAR's terms by one of the algorithms; a world says how they arise."""

    def __init__(
        self,
        system: System,
        phase: CrarPhase,
        constants: Constants,
        optimiser: Optimiser,
        task: str,
        plan: TransferPlan,
        members: Sequence[Parameters],
        device: str = "cpu",
    ) -> None:
        rmsprop = RMSprop(optimiser.rho, optimiser.epsilon, optimiser.clip, optimiser.clip_by)
        super().__init__(system, task, plan, members, rmsprop, device)
        self.phase, self.constants = phase, constants

    @abstractmethod
    def begin(self) -> None:
        """Take up this update's batch."""

    @abstractmethod
    def losses(self, terms: Sequence[str]) -> dict[str, Tensor]:
        """The terms' batch means {term: (S,)} at the parameters as they stand."""

    @abstractmethod
    def slopes(self, loss: Tensor, components: list[str], kept: str = "") -> dict[str, Tensor]:
        """∂loss/∂component, {component: (S, P)}, of a sum of the last losses; ``kept`` keeps their graph.

        They lie in memory that the next call with the same ``kept`` uses again.
        """

    def learning_rate(self) -> float:
        """The rate at the current update."""
        phase = self.phase
        falls = max(0, self.step - phase.decay_after) // phase.decay_every
        return phase.learning_rate * float(phase.decay**falls)

    def update(self) -> None:
        """One update: a batch per seed, and every active term descended once."""
        self.begin()
        terms = self.plan.active_terms(self.constants.terms, self.step, self.phase.updates)
        rate = self.learning_rate()
        match self.phase.algorithm:
            case "separate":
                for term in terms:
                    losses = self._remembered((term,))
                    self._descend(term, self._slopes_of(losses[term], self._reached(term)), rate)
            case "shared":
                losses = self._remembered(terms)
                slopes = {term: self._slopes_of(losses[term], self._reached(term), term) for term in terms}
                for term, gradient in slopes.items():
                    self._descend(term, gradient, rate)
            case "summed":
                losses = self._remembered(terms)
                reached = [c for c in self.components if any(c in self._reached(t) for t in terms)]
                if terms and reached:
                    weighted = (self.constants.weight_of(t) * losses[t].sum() for t in terms)
                    total = sum(weighted, torch.zeros((), device=self.device))
                    squares = self.squares.setdefault("summed", {})
                    self.rmsprop.step(self.stack, self.slopes(total, reached), squares, rate)
        self.step += 1

    def _remembered(self, terms: Sequence[str]) -> dict[str, Tensor]:
        losses = self.losses(terms)
        self.remember(losses)
        return losses

    def _reached(self, term: str) -> list[str]:
        """The trainable components that a term has a gradient for."""
        own = COMPONENT_OF_TERM[term]
        return [c for c in self.components if c in ("encoder", own)]

    def _slopes_of(self, loss: Tensor, components: list[str], kept: str = "") -> dict[str, Tensor] | None:
        """∂loss/∂component of a term's batch means (S,); None where they are 0, and so their slopes."""
        if not components:
            return {}
        return None if self.at_rest(loss) else self.slopes(loss.sum(), components, kept)

    def at_rest(self, loss: Tensor) -> bool:
        """Whether a term's batch means (S,) are known to be at their least, 0, where nothing has a slope."""
        return False

    def _descend(self, term: str, gradient: dict[str, Tensor] | None, rate: float) -> None:
        if term == "entropy_successive":
            rate /= self.constants.entropy_successive_divisor
        squares = self.squares.setdefault(_OPTIMISER_OF_TERM.get(term, term), {}) if gradient != {} else {}
        if gradient is None:
            self.rmsprop.rest({c: self.stack.buffers[c] for c in self._reached(term)}, squares)
        elif gradient:
            self.rmsprop.step(self.stack, gradient, squares, rate)


def batch_rows(seed: Sequence[int], block: int, size: int, n: int) -> NDArray[np.int64]:
    """Numbers (BLOCK, size) of the transitions, of n, in a block of batches of one seed."""
    return generator(BATCH_STREAM, *seed, block).integers(n, size=(BLOCK, size))
