"""CRAR (combined reinforcement via abstract representations): settings, networks, loss terms and one update.

François-Lavet et al., arXiv 1809.04506, as the first paper transfers it (sections 4.2 and 5.1), on
worlds whose states can be listed. With x = e(s), x' = e(s') and the frozen-or-not models p̂, r̂, γ̂:

- ``transition``: mean over dimensions of (x + p̂(x, a) − x')², zero at terminals;
- ``reward``: (r̂(x, a) − r)²;  ``discount``: (γ̂(x, a) − γ·(1 − terminal))²;
- ``bound`` (L_d2): clip(max_i x_i² − 1, 0, 100);
- ``entropy_random`` (L_d1): exp(−C_d·‖x − x₂‖) for random pairs, the batch rolled by one;
- ``entropy_successive`` (L'_d1): the same for x and x'.

Squared distances are clipped to [1e-6, 10] before the root, whose gradient at 0 would be infinite.
Each term is descended by its own RMSprop (reward and discount share one), in the order of
``loss.terms``; see :data:`Algorithm` for the two faster variants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic
import torch
from torch import Tensor

from trainers.descent import Descent
from trainers.envs.finite import FiniteWorld, Transitions, collect, world
from trainers.nets import Pass, TanhNet
from trainers.plan import BASE_PLAN, TransferPlan
from trainers.rmsprop import ClipBy, RMSprop
from trainers.settings import MOST_UNITS, Phase, Positive, Rate, Settings, Tree, Units, Widths
from trainers.stack import Parameters, gradients
from trainers.streams import BATCH_STREAM, WEIGHT_STREAM, generator, stream_of

Algorithm = Literal["separate", "shared", "summed"]
"""Ways to descend the loss terms: one optimiser step per term at the parameters that the step before
left (``separate``, the paper's); every term's gradient at one point, then all the steps (``shared``);
one gradient of the weighted sum (``summed``)."""

Term = Literal["transition", "reward", "discount", "bound", "entropy_random", "entropy_successive"]


class Data(Tree):
    """The transitions that a run trains on, collected once with a random policy."""

    steps: Annotated[int, pydantic.Field(gt=0, le=10**7, strict=True)] = 5000
    episode_steps: Positive = 500
    ends_are_terminal: bool = False
    """Whether an episode's last step is stored as terminal, followed by an observation of zeros, as in the
    authors' files; else it is a step like any other."""


class Model(Tree):
    """Hidden widths of the fully connected nets (tanh), and the size of the embedding."""

    embedding: Units = 2
    encoder: Widths = (200, 100, 50, 10)
    transition: Widths = (10, 30, 30, 10)
    reward: Widths = (10, 50, 20)
    discount: Widths = (10, 50, 20)


class Loss(Tree):
    """The loss terms in the order of their optimiser steps, and their constants."""

    terms: Annotated[tuple[Term, ...], pydantic.Field(min_length=1)] = (
        "transition",
        "reward",
        "discount",
        "bound",
        "entropy_random",
        "entropy_successive",
    )
    discount: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.9
    """Target of the discount model where the episode goes on."""
    entropy_scale: Rate = 5.0
    """C_d in exp(−C_d·‖x − x'‖)."""
    entropy_successive_divisor: Rate = 5.0
    """The learning rate (or, summed, the weight) of ``entropy_successive`` is divided by this."""

    @pydantic.field_validator("terms")
    @classmethod
    def _distinct(cls, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        if len(set(terms)) != len(terms):
            raise ValueError("names a term twice")
        return terms


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


class CrarSettings(Settings):
    """Everything that, with a seed, determines a run of CRAR."""

    system: Literal["crar"] = "crar"
    data: Data = Data()
    model: Model = Model()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    train: CrarPhase = CrarPhase()
    transfer: CrarPhase = CrarPhase()


COMPONENT_OF_TERM: Mapping[str, str | None] = {
    "transition": "transition",
    "reward": "reward",
    "discount": "discount",
    "bound": None,
    "entropy_random": None,
    "entropy_successive": None,
}
"""The model that each term trains beside the encoder."""

# Reward and discount share one optimiser in the paper's code, and so one running square per weight.
_OPTIMISER_OF_TERM = {"reward": "heads", "discount": "heads"}

SQUARED_DISTANCE_LIMITS = (1e-6, 10.0)
BOUND_LIMIT = 100.0

# Batches are drawn in blocks of this many updates, each from its own seed: any update's batch can be
# had again from the seed and the update's number alone.
BLOCK = 250


@dataclass(frozen=True)
class Batch:
    """n transitions of a task as indices into its table of observations; every tensor is (n,) or (S, n)."""

    state: Tensor
    action: Tensor
    reward: Tensor
    terminal: Tensor
    next_state: Tensor
    partner: Tensor
    """The sample, within the batch, that each sample is paired with in ``entropy_random``."""


@dataclass(frozen=True)
class CRAR:
    """The networks and losses of one CRAR agent, a :class:`trainers.system.System`; holds no parameters."""

    name: ClassVar[str] = "crar"
    settings_type: ClassVar[type[Settings]] = CrarSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    settings: CrarSettings
    world: FiniteWorld
    nets: Mapping[str, TanhNet] = field(init=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The agent of these settings in their world; raises :class:`trainers.envs.UnknownWorldError`."""
        assert isinstance(settings, CrarSettings)
        return cls(settings, world(settings.world))

    def __post_init__(self) -> None:
        model, d = self.settings.model, self.settings.model.embedding
        head = d + self.world.actions
        nets = {"encoder": TanhNet((self.world.observation_size, *model.encoder, d))}
        if "transition" in self.settings.loss.terms:
            nets["transition"] = TanhNet((head, *model.transition, d))
        if "reward" in self.settings.loss.terms:
            nets["reward"] = TanhNet((head, *model.reward, 1))
        if "discount" in self.settings.loss.terms:
            nets["discount"] = TanhNet((head, *model.discount, 1))
        object.__setattr__(self, "nets", nets)

    @property
    def terms(self) -> tuple[str, ...]:
        """The loss terms in the order of their optimiser steps."""
        return self.settings.loss.terms

    @property
    def embedding(self) -> int:
        """Dimensions of the embedding."""
        return self.settings.model.embedding

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

    def pictures(self, task: str) -> Tensor:
        """A task's observations that data index: one a state, and zeros after a stored episode's end."""
        table = torch.from_numpy(self.world.observations[task])
        ends = self.settings.data.ends_are_terminal
        return torch.cat([table, torch.zeros_like(table[:1])]) if ends else table

    def collected(self, *seed: int) -> Transitions:
        """The random policy's transitions that a run with this seed trains on."""
        data = self.settings.data
        return collect(
            self.world, data.steps, data.episode_steps, *seed, ends_are_terminal=data.ends_are_terminal
        )

    def fresh(self, *seed: int, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, Tensor]:
        """A fresh initialisation from a seed, whatever the plan."""
        rng = generator(WEIGHT_STREAM, *seed)
        return {
            f"{component}/{name}": value
            for component, net in self.nets.items()
            for name, value in net.fresh(rng).items()
        }

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Embeddings (S, n, d) of observations (n, *shape)."""
        return self.nets["encoder"](parameters, "encoder", observations.flatten(1))

    def predict(self, parameters: Parameters, x: Tensor, actions: Tensor) -> Tensor:
        """The embedding (S, n, d) that the transition model expects after one-hot actions (n, A)."""
        return x + self._head("transition", parameters, x, actions)

    def _head(self, component: str, parameters: Parameters, x: Tensor, actions: Tensor) -> Tensor:
        return self.nets[component](parameters, component, beside(x, actions))

    def losses_at(
        self, parameters: Parameters, embeddings: Tensor, batch: Batch, terms: Iterable[str]
    ) -> dict[str, Tensor]:
        """Per-sample losses {term: (S, n)} given the embeddings (S, K, d) of the task's K observations."""
        stack, _, d = embeddings.shape

        def rows(index: Tensor) -> Tensor:
            index = index.expand(stack, index.shape[-1])
            return embeddings.gather(1, index.unsqueeze(-1).expand(-1, -1, d))

        x, x_next = rows(batch.state), rows(batch.next_state)
        actions = torch.nn.functional.one_hot(batch.action, self.world.actions)
        goes_on = 1.0 - batch.terminal.to(x.dtype)
        losses: dict[str, Tensor] = {}
        for term in terms:
            match term:
                case "transition":
                    error = self.predict(parameters, x, actions) - x_next
                    losses[term] = error.square().mean(-1) * goes_on
                case "reward":
                    predicted = self._head("reward", parameters, x, actions)[..., 0]
                    losses[term] = (predicted - batch.reward).square()
                case "discount":
                    predicted = self._head("discount", parameters, x, actions)[..., 0]
                    losses[term] = (predicted - self.settings.loss.discount * goes_on).square()
                case "bound":
                    losses[term] = (x.square().amax(-1) - 1.0).clamp(0.0, BOUND_LIMIT)
                case "entropy_random":
                    other = batch.partner.expand(stack, batch.partner.shape[-1])
                    losses[term] = self._entropy(x, x.gather(1, other.unsqueeze(-1).expand(-1, -1, d)))
                case "entropy_successive":
                    losses[term] = self._entropy(x, x_next)
                case _:
                    raise ValueError(f"unknown loss term {term!r}")
        return losses

    def _entropy(self, x: Tensor, other: Tensor) -> Tensor:
        distance = (x - other).square().sum(-1).clamp(*SQUARED_DISTANCE_LIMITS).sqrt()
        return torch.exp(-self.settings.loss.entropy_scale * distance)

    def weight_of(self, term: str) -> float:
        """A term's weight in the total: 1, but for ``entropy_successive`` (its learning rate's divisor)."""
        if term == "entropy_successive":
            return 1.0 / self.settings.loss.entropy_successive_divisor
        return 1.0

    def training(
        self,
        plan: TransferPlan | None,
        members: Sequence[Mapping[str, Tensor]],
        seeds: Sequence[int],
        device: str = "cpu",
    ) -> Trainer:
        """A stack of bases on the source task without a plan, else of transfers on the target task."""
        stream = stream_of(base=plan is None)
        return Trainer(
            self,
            self.settings.train if plan is None else self.settings.transfer,
            "source" if plan is None else "target",
            plan or BASE_PLAN,
            members,
            [self.collected(seed, stream) for seed in seeds],
            [(seed, stream) for seed in seeds],
            device,
        )

    def evaluate(self, parameters: Mapping[str, Tensor], task: str, seed: int) -> dict[str, float]:
        """Nothing: without a value model the agent does not act."""
        return {}


class Trainer(Descent):
    """One phase of training for a stack of seeds; call :meth:`update` and read :attr:`stack`."""

    def __init__(
        self,
        agent: CRAR,
        phase: CrarPhase,
        task: str,
        plan: TransferPlan,
        members: Sequence[Parameters],
        data: Sequence[Transitions],
        batch_seeds: Sequence[Sequence[int]],
        device: str = "cpu",
    ) -> None:
        constants = agent.settings.optimiser
        rmsprop = RMSprop(constants.rho, constants.epsilon, constants.clip, constants.clip_by)
        super().__init__(agent, task, plan, members, rmsprop, device)
        self.agent, self.phase = agent, phase
        pictures = agent.pictures(task).to(device)
        self._encoder = Pass(agent.nets["encoder"], "encoder", self.stack, pictures.flatten(1))
        self._data = [_tensors(d, device) for d in data]
        self._seeds = [list(s) for s in batch_seeds]
        self._block: tuple[int, tuple[Tensor, ...]] | None = None

    def learning_rate(self) -> float:
        """The rate at the current update."""
        phase = self.phase
        falls = max(0, self.step - phase.decay_after) // phase.decay_every
        return phase.learning_rate * float(phase.decay**falls)

    def update(self) -> None:
        """One update: a batch per seed, and every active term descended once."""
        batch = self._batch()
        terms = self.plan.active_terms(self.agent.settings.loss.terms, self.step, self.phase.updates)
        rate = self.learning_rate()
        match self.phase.algorithm:
            case "separate":
                for term in terms:
                    embeddings, losses = self._losses(batch, (term,))
                    gradient = self._gradients(losses[term].sum(), embeddings, self._reached(term))
                    self._descend(term, gradient, rate)
            case "shared":
                embeddings, losses = self._losses(batch, terms)
                slopes = {
                    term: self._gradients(losses[term].sum(), embeddings, self._reached(term), term)
                    for term in terms
                }
                for term, gradient in slopes.items():
                    self._descend(term, gradient, rate)
            case "summed":
                embeddings, losses = self._losses(batch, terms)
                reached = [c for c in self.components if any(c in self._reached(t) for t in terms)]
                if terms and reached:
                    total = sum((self.agent.weight_of(t) * losses[t].sum() for t in terms), torch.zeros(()))
                    squares = self.squares.setdefault("summed", {})
                    self.rmsprop.step(self.stack, self._gradients(total, embeddings, reached), squares, rate)
        self.step += 1

    def _losses(self, batch: Batch, terms: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Embeddings (S, K, d), a leaf of the graph, and the terms' batch means (S,), also remembered."""
        embeddings = self._encoder.outputs().requires_grad_("encoder" in self.components)
        per_sample = self.agent.losses_at(self.stack.views, embeddings, batch, terms)
        losses = {term: values.mean(-1) for term, values in per_sample.items()}
        self.remember(losses)
        return embeddings, losses

    def _reached(self, term: str) -> list[str]:
        """The trainable components that a term has a gradient for."""
        own = COMPONENT_OF_TERM[term]
        return [c for c in self.components if c in ("encoder", own)]

    def _gradients(
        self, loss: Tensor, embeddings: Tensor, components: list[str], kept: str = ""
    ) -> dict[str, Tensor]:
        """∂loss/∂component, {component: (S, P)}, in memory that the next call with the same ``kept`` uses.

        Autograd goes back to the embeddings and the models on them; from there the encoder does.
        """
        if not components:
            return {}
        room = self.slopes_of(kept)
        leaves = [embeddings] if "encoder" in components else []
        models = [c for c in components if c != "encoder"]
        for slopes in gradients(loss, self.stack, models, room, leaves, keep=bool(kept)):
            self._encoder.backward(slopes, room)
        return {component: room.buffers[component] for component in components}

    def _descend(self, term: str, gradient: dict[str, Tensor], rate: float) -> None:
        if term == "entropy_successive":
            rate /= self.agent.settings.loss.entropy_successive_divisor
        if gradient:
            squares = self.squares.setdefault(_OPTIMISER_OF_TERM.get(term, term), {})
            self.rmsprop.step(self.stack, gradient, squares, rate)

    def _batch(self) -> Batch:
        number, offset = divmod(self.step, BLOCK)
        if self._block is None or self._block[0] != number:
            size = self.agent.settings.optimiser.batch
            fields = [
                [column[_indices(seed, number, size, len(data[0]))] for column in data]
                for seed, data in zip(self._seeds, self._data, strict=True)
            ]
            columns = [torch.stack(column, 1) for column in zip(*fields, strict=True)]
            partner = torch.arange(size, device=columns[0].device).roll(1).expand(columns[0].shape)
            self._block = number, (*columns, partner)
        return Batch(*(column[offset] for column in self._block[1]))


def beside(x: Tensor, actions: Tensor) -> Tensor:
    """Embeddings (S, n, d) and one-hot actions (n, A) side by side, for the models on the embedding."""
    return torch.cat([x, actions.to(x.dtype).expand(*x.shape[:-1], -1)], -1)


def _indices(seed: Sequence[int], block: int, size: int, n: int) -> Tensor:
    rng = generator(BATCH_STREAM, *seed, block)
    return torch.from_numpy(rng.integers(n, size=(BLOCK, size)))


def _tensors(data: Transitions, device: str) -> list[Tensor]:
    columns = (data.state, data.action, data.reward, data.terminal, data.next_state)
    return [torch.from_numpy(column).to(device) for column in columns]
