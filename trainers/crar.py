"""CRAR (combined reinforcement via abstract representations) on worlds whose states can be listed.

François-Lavet et al., arXiv 1809.04506, as the first paper transfers it (sections 4.2 and 5.1): settings,
fully connected networks and one update. The loss terms and the ways to descend them are those of
:mod:`trainers.crar_terms`; labyrinths, which have rewards, have an agent of their own
(:mod:`trainers.crar_labyrinth`), and one name of a system stands for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pydantic
import torch
from torch import Tensor

from trainers.crar_labyrinth import LABYRINTHS, LabyrinthCRAR, LabyrinthSettings
from trainers.crar_terms import (
    BLOCK,
    WITH_SUCCESSORS,
    Agent,
    Batch,
    Constants,
    CrarPhase,
    Optimiser,
    TermDescent,
    batch_rows,
    rows_of,
    sample_losses,
)
from trainers.envs.finite import FiniteWorld, Transitions, collect, world
from trainers.nets import Pass, TanhNet
from trainers.plan import BASE_PLAN, TransferPlan
from trainers.settings import Positive, Settings, Tree, Units, Widths
from trainers.stack import Parameters, gradients
from trainers.streams import stream_of
from trainers.system import System

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


class Loss(Constants):
    """The loss terms in the order of their optimiser steps, and their constants."""

    terms: Annotated[tuple[Term, ...], pydantic.Field(min_length=1)] = (
        "transition",
        "reward",
        "discount",
        "bound",
        "entropy_random",
        "entropy_successive",
    )


class CrarSettings(Settings):
    """Everything that, with a seed, determines a run of CRAR."""

    system: Literal["crar"] = "crar"
    data: Data = Data()
    model: Model = Model()
    loss: Loss = Loss()
    optimiser: Optimiser = Optimiser()
    train: CrarPhase = CrarPhase()
    transfer: CrarPhase = CrarPhase()

    @classmethod
    def kinds(cls) -> tuple[type[Settings], ...]:
        """These of finite worlds, and those of labyrinths."""
        return cls, LabyrinthSettings

    @classmethod
    def kind_of(cls, tree: Mapping[str, Any]) -> type[Settings]:
        """The settings of labyrinths where the tree's world is one, else these."""
        world = tree.get("world")
        return LabyrinthSettings if isinstance(world, str) and world in LABYRINTHS else cls


@dataclass(frozen=True)
class CRAR(Agent):
    """The networks and losses of one CRAR agent, a :class:`trainers.system.System`; holds no parameters."""

    name: ClassVar[str] = "crar"
    settings_type: ClassVar[type[Settings]] = CrarSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    settings: CrarSettings
    world: FiniteWorld
    nets: Mapping[str, TanhNet] = field(init=False)

    @classmethod
    def of(cls, settings: Settings) -> System:
        """The agent of these settings in their world; raises :class:`trainers.envs.UnknownWorldError`.

        In a labyrinth it is a :class:`trainers.crar_labyrinth.LabyrinthCRAR`.
        """
        if isinstance(settings, LabyrinthSettings):
            return LabyrinthCRAR.of(settings)
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
        terms = tuple(terms)
        onward = not WITH_SUCCESSORS.isdisjoint(terms)
        return sample_losses(
            terms,
            lambda component, x, chosen: self._head(
                component, parameters, x, torch.nn.functional.one_hot(chosen, self.world.actions)
            ),
            self.settings.loss,
            rows_of(embeddings, batch.state),
            rows_of(embeddings, batch.next_state) if onward else None,
            batch.partner,
            batch.action,
            batch.reward,
            batch.terminal,
        )

    def weight_of(self, term: str) -> float:
        """A term's weight in the total (:meth:`trainers.crar_terms.Constants.weight_of`)."""
        return self.settings.loss.weight_of(term)

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


class Trainer(TermDescent):
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
        settings = agent.settings
        super().__init__(agent, phase, settings.loss, settings.optimiser, task, plan, members, device)
        self.agent = agent
        pictures = agent.pictures(task).to(device)
        self._encoder = Pass(agent.nets["encoder"], "encoder", self.stack, pictures.flatten(1))
        self._data = [_tensors(d, device) for d in data]
        self._seeds = [list(s) for s in batch_seeds]
        self._block: tuple[int, tuple[Tensor, ...]] | None = None

    def begin(self) -> None:
        self._now = self._batch()

    def losses(self, terms: Sequence[str]) -> dict[str, Tensor]:
        """Batch means {term: (S,)}, whose graph begins at the embeddings (S, K, d)."""
        self._embedded = self._encoder.outputs().requires_grad_("encoder" in self.components)
        per_sample = self.agent.losses_at(self.stack.views, self._embedded, self._now, terms)
        return {term: values.mean(-1) for term, values in per_sample.items()}

    def slopes(self, loss: Tensor, components: list[str], kept: str = "") -> dict[str, Tensor]:
        """Gradients by autograd back to the embeddings and the models on them; then the encoder's own."""
        room = self.slopes_of(kept)
        leaves = [self._embedded] if "encoder" in components else []
        models = [c for c in components if c != "encoder"]
        for slopes in gradients(loss, self.stack, models, room, leaves, keep=bool(kept)):
            self._encoder.backward(slopes, room)
        return {component: room.buffers[component] for component in components}

    def _batch(self) -> Batch:
        number, offset = divmod(self.step, BLOCK)
        if self._block is None or self._block[0] != number:
            size = self.agent.settings.optimiser.batch
            fields = [
                [column[torch.from_numpy(batch_rows(seed, number, size, len(data[0])))] for column in data]
                for seed, data in zip(self._seeds, self._data, strict=True)
            ]
            columns = [torch.stack(column, 1) for column in zip(*fields, strict=True)]
            partner = torch.arange(size, device=columns[0].device).roll(1).expand(columns[0].shape)
            self._block = number, (*columns, partner)
        return Batch(*(column[offset] for column in self._block[1]))


def beside(x: Tensor, actions: Tensor) -> Tensor:
    """Embeddings (S, n, d) and one-hot actions (n, A) side by side, for the models on the embedding."""
    return torch.cat([x, actions.to(x.dtype).expand(*x.shape[:-1], -1)], -1)


def _tensors(data: Transitions, device: str) -> list[Tensor]:
    columns = (data.state, data.action, data.reward, data.terminal, data.next_state)
    return [torch.from_numpy(column).to(device) for column in columns]
