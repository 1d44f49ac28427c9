"""CRAR with rewards in labyrinths: convolutional nets, double Q-learning, planning and returns.

The agent of the first paper's section 5.2 (François-Lavet et al., arXiv 1809.04506). Embeddings are planes,
(3, tiles, tiles); the models on them are convolutional. It learns from random steps that are collected once
and kept as hidden states: pictures are rendered for each batch. Terms and algorithms are those of
:mod:`trainers.crar_terms`, ``q`` among them: the nets that its target is taken with are copied from the
trained ones every ``loss.target_every`` updates, belong to the training's state and are in no checkpoint.

It acts by planning (:mod:`trainers.planning`) at the depths of ``evaluation.depths``, each a mode
``depth<D>``: ε-greedily, one episode in each of ``evaluation.episodes`` labyrinths at once. The paper's
authors play one after the other, 200 steps (about five episodes) an epoch; the score is their mean return.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.crar_labyrinth_settings import LabyrinthSettings
from trainers.crar_terms import (
    BLOCK,
    WITH_SUCCESSORS,
    Agent,
    Batch,
    CrarPhase,
    TermDescent,
    batch_rows,
    double_q_target,
    rows_of,
    sample_losses,
)
from trainers.envs.finite import UnknownWorldError
from trainers.envs.labyrinth import LABYRINTHS, LabyrinthWorld, States, Task, joined
from trainers.envs.labyrinth_episodes import Episode, Policy, episode_of, idle_return, returns_of
from trainers.envs.labyrinth_walks import Walk, collect
from trainers.nets import ConvNet, beside_planes, conv_encoder, conv_head, conv_transition
from trainers.one_by_one import OneByOne
from trainers.plan import BASE_PLAN, TransferPlan
from trainers.planning import Models, planned_actions
from trainers.settings import Settings, SettingsError
from trainers.stack import Parameters, Stack, gradients
from trainers.streams import stream_of
from trainers.system import Standard, Training
from trainers.threads import one_thread
from trainers.windows import encoded, windows_of

__all__ = ["LABYRINTHS", "LabyrinthCRAR", "LabyrinthSettings", "LabyrinthTrainer"]

MODELS = ("transition", "reward", "discount", "q")
"""The models on the embedding, each trained by the term of its name."""

RANDOM_WALKS = 1000
"""Labyrinths that a random walk is judged in: the standard error of its mean return is then 0.03."""


@dataclass(frozen=True)
class LabyrinthCRAR(Agent):
    """The networks and losses of an agent in labyrinths, a :class:`trainers.system.System`; no parameters."""

    name: ClassVar[str] = "crar"
    settings_type: ClassVar[type[Settings]] = LabyrinthSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    settings: LabyrinthSettings
    world: LabyrinthWorld
    nets: Mapping[str, ConvNet] = field(init=False)

    @classmethod
    def of(cls, settings: Settings) -> LabyrinthCRAR:
        """The agent of these settings; raises SettingsError for depths of planning that it has no models for.

        Raises :class:`trainers.envs.UnknownWorldError` for other worlds.
        """
        assert isinstance(settings, LabyrinthSettings)
        if settings.world not in LABYRINTHS:
            raise UnknownWorldError(settings.world)
        wanted = MODELS if max(settings.evaluation.depths, default=-1) > 0 else ("q",)
        lacking = [t for t in wanted if settings.evaluation.depths and t not in settings.loss.terms]
        if lacking:
            depths = ", ".join(map(str, settings.evaluation.depths))
            words = f"a model for each depth (loss.terms lacks {', '.join(lacking)}), or no depths ([])"
            raise SettingsError(f"setting 'evaluation.depths': found {depths}, expected {words}")
        return cls(settings, LABYRINTHS[settings.world])

    def __post_init__(self) -> None:
        world, model = self.world, self.settings.model
        tiles, planes, actions = world.tiles, model.planes, world.actions
        every = {
            "encoder": conv_encoder(tiles, world.pixels, planes, model.encoder),
            "transition": conv_transition(tiles, actions, planes, model.transition),
            "reward": conv_head(tiles, planes + actions, 1, model.heads, model.dense),
            "discount": conv_head(tiles, planes + actions, 1, model.heads, model.dense),
            "q": conv_head(tiles, planes, actions, model.heads, model.dense),
        }
        nets = {c: net for c, net in every.items() if c == "encoder" or c in self.settings.loss.terms}
        object.__setattr__(self, "nets", nets)

    @property
    def terms(self) -> tuple[str, ...]:
        """The loss terms in the order of their optimiser steps."""
        return self.settings.loss.terms

    @property
    def embedding(self) -> int:
        """Numbers in one embedding, all its planes'."""
        return self.settings.model.planes * self.world.tiles**2

    @property
    def walked(self) -> LabyrinthWorld:
        """The world as the random policy walks it for data: its episodes may have no limit."""
        return self.world if self.settings.data.limited else replace(self.world, steps=None)

    def collected(self, *seed: int) -> Walk:
        """The random policy's steps that a run with this seed trains on."""
        return collect(self.walked, self.settings.data.steps, *seed)

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Embeddings (S, n, planes, tiles, tiles) of pictures (n, side, side), or (S, n, side, side)."""
        return self.nets["encoder"](parameters, "encoder", observations.unsqueeze(-3))

    def model(self, component: str, parameters: Parameters, x: Tensor, actions: Tensor) -> Tensor:
        """Outputs (S, n, …) of a model at embeddings and one-hot actions, which Q does not read."""
        return self.layers(component, parameters, x, actions)[-1]

    def layers(self, component: str, parameters: Parameters, x: Tensor, actions: Tensor) -> list[Tensor]:
        """Outputs (S, n, …) of each layer of a model at embeddings and one-hot actions."""
        seen = x if component == "q" else beside_planes(x, actions)
        return self.nets[component].outputs(parameters, component, seen)

    def predict(self, parameters: Parameters, x: Tensor, actions: Tensor) -> Tensor:
        """The embeddings (S, n, planes, tiles, tiles) that are expected after one-hot actions (n, A)."""
        return x + self.model("transition", parameters, x, actions)

    def one_hot(self, actions: Tensor) -> Tensor:
        """Actions (…,) as (…, A)."""
        return torch.nn.functional.one_hot(actions.long(), self.world.actions)

    def losses_of(
        self,
        parameters: Parameters,
        x: Tensor,
        x_next: Tensor | None,
        batch: Batch,
        terms: Iterable[str],
        target: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Per-sample losses {term: (S, n)} from embeddings of states and of what followed, and Q's target."""
        return sample_losses(
            terms,
            lambda component, x, actions: self.model(component, parameters, x, actions),
            self.settings.loss,
            x,
            x_next,
            batch.partner,
            self.one_hot(batch.action),
            batch.reward,
            batch.terminal,
            target,
        )

    def losses_at(
        self,
        parameters: Parameters,
        embeddings: Tensor,
        batch: Batch,
        terms: Iterable[str],
        *,
        held: bool = False,
    ) -> dict[str, Tensor]:
        """Per-sample losses {term: (S, n)} given embeddings (S, K, …) of the pictures that the batch indexes.

        A checkpoint holds no target nets: Q's target is taken with these parameters. Gradients are those of
        the losses as they stand here, and so go through that target too; ``held`` keeps it fixed, as training
        does.
        """
        terms = tuple(terms)
        x, x_next = rows_of(embeddings, batch.state), rows_of(embeddings, batch.next_state)
        target = None
        if "q" in terms:
            values = self.nets["q"](parameters, "q", x_next)
            target = self.target(batch, values, values)
            target = target.detach() if held else target
        return self.losses_of(parameters, x, x_next, batch, terms, target)

    def target(self, batch: Batch, online: Tensor, target: Tensor) -> Tensor:
        """Double Q-learning's target (S, n) from both nets' values (S, n, A) of what followed."""
        return double_q_target(batch.reward, batch.terminal, self.settings.loss.discount, online, target)

    def returns(
        self, parameters: Parameters, task: Task, episodes: int, *seed: int, depth: int = 0
    ) -> NDArray[np.float64]:
        """Returns (episodes,) of one seed's parameters (1, *shape), planning to a depth, ε-greedily."""
        policy, explore = self.policy(parameters, depth), self.settings.evaluation.explore
        return returns_of(self.world, task, policy, episodes, *seed, explore=explore)

    def episode(
        self, parameters: Parameters, task: Task, episodes: int, number: int, *seed: int, depth: int = 0
    ) -> Episode:
        """Episode ``number`` of those whose returns :meth:`returns` gives, state by state."""
        policy, explore = self.policy(parameters, depth), self.settings.evaluation.explore
        return episode_of(self.world, task, policy, episodes, number, *seed, explore=explore)

    def standards(self) -> tuple[Standard, ...]:
        """The return of an agent that never takes a key, and the mean return of a random one."""
        walks = returns_of(self.world, "source", _still, RANDOM_WALKS, 0, explore=1.0)
        idle = Standard(idle_return(self.world), "an agent that never takes a key")
        return idle, Standard(float(walks.mean()), "a random walk", random=True)

    def policy(self, parameters: Parameters, depth: int) -> Policy:
        """What one seed's parameters (1, *shape) do, planning to a depth."""
        device = parameters["encoder/0.weight"].device

        def policy(pictures: NDArray[np.float32]) -> NDArray[np.int64]:
            with one_thread(), torch.inference_mode():
                x = self.embed(parameters, torch.from_numpy(pictures).to(device))[0]
                return planned_actions(self.models(parameters), x, depth).cpu().numpy()

        return policy

    def models(self, parameters: Parameters) -> Models:
        """The learned models of one seed, parameters (1, *shape), for planning."""

        def outputs(component: str, x: Tensor, actions: Tensor) -> Tensor:
            return self.model(component, parameters, x[None], self.one_hot(actions))[0]

        return Models(
            predict=lambda x, a: x + outputs("transition", x, a),
            reward=lambda x, a: outputs("reward", x, a)[:, 0],
            discount=lambda x, a: outputs("discount", x, a)[:, 0],
            q=lambda x: self.nets["q"](parameters, "q", x[None])[0],
        )

    def evaluate(self, parameters: Parameters, task: str, seed: int) -> dict[str, float]:
        """Mean returns on a task by depth of planning: ``depth0``, …"""
        stack = {name: tensor[None] for name, tensor in parameters.items()}
        return self.modes(stack, task_of(task), seed)

    def modes(self, stack: Parameters, task: Task, seed: int) -> dict[str, float]:
        """Mean returns by depth of one seed's parameters (1, *shape)."""
        return {
            f"depth{depth}": float(
                self.returns(stack, task, self.settings.evaluation.episodes, seed, depth=depth).mean()
            )
            for depth in self.settings.evaluation.depths
        }

    def training(
        self,
        plan: TransferPlan | None,
        members: Sequence[Mapping[str, Tensor]],
        seeds: Sequence[int],
        device: str = "cpu",
    ) -> Training:
        """Bases on the source task without a plan, else transfers: on CUDA in one stack, else one by one."""
        if device == "cpu" and len(members) > 1:
            pairs = zip(members, seeds, strict=True)
            return OneByOne([self.training(plan, [member], [seed], device) for member, seed in pairs])
        stream = stream_of(base=plan is None)
        return LabyrinthTrainer(
            self,
            self.settings.train if plan is None else self.settings.transfer,
            "source" if plan is None else "target",
            plan or BASE_PLAN,
            members,
            [self.collected(seed, stream) for seed in seeds],
            [(seed, stream) for seed in seeds],
            device,
        )


def _still(pictures: NDArray[np.float32]) -> NDArray[np.int64]:
    """The first action, whatever is seen: what is left of a policy whose every step is random."""
    return np.zeros(len(pictures), np.int64)


def task_of(name: str) -> Task:
    """The task of that name."""
    return "source" if name == "source" else "target"


class LabyrinthTrainer(TermDescent):
    """One phase of training for a stack of seeds, each on its own random steps."""

    def __init__(
        self,
        agent: LabyrinthCRAR,
        phase: CrarPhase,
        task: Task,
        plan: TransferPlan,
        members: Sequence[Parameters],
        data: Sequence[Walk],
        batch_seeds: Sequence[Sequence[int]],
        device: str = "cpu",
    ) -> None:
        settings = agent.settings
        super().__init__(agent, phase, settings.loss, settings.optimiser, task, plan, members, device)
        self.agent, self.shown = agent, task
        self._data, self._seeds = list(data), [list(s) for s in batch_seeds]
        self._block: tuple[int, list[NDArray[np.int64]]] | None = None
        self.targets: Stack | None = None
        """Nets that Q's target is taken with: encoder and Q as they were at the last copy."""
        if "q" in agent.nets:
            read = [n for n in members[0] if n.partition("/")[0] in ("encoder", "q")]
            self.targets = Stack([{name: member[name] for name in read} for member in members], device)
            self.kept = {f"target/{component}": b for component, b in self.targets.buffers.items()}

    def begin(self) -> None:
        """Take up this update's batch, and copy the nets of Q's target where it is time."""
        if self.targets is not None and self.step % self.agent.settings.loss.target_every == 0:
            for component, buffer in self.targets.buffers.items():
                buffer.copy_(self.stack.buffers[component])
        states, self.batch = self.batch_of(self.step)
        self.seen = [windows_of(self.agent.world, one, self.shown, self.device) for one in states]
        self._last: tuple[int, bool, Tensor] | None = None

    def batch_of(self, step: int) -> tuple[list[States], Batch]:
        """The K states of each seed that an update shows, and its transitions (S, n).

        The first n are those that the steps started from. Of those that they led to there are the ones that
        differ from where they started, for a seed alone: a step against a wall shows the same again. Stacked
        seeds have all of them, and so as many each.
        """
        number, offset = divmod(step, BLOCK)
        size = self.agent.settings.optimiser.batch
        if self._block is None or self._block[0] != number:
            pairs = zip(self._seeds, self._data, strict=True)
            self._block = number, [batch_rows(seed, number, size, len(walk)) for seed, walk in pairs]
        shown: list[States] = []
        columns: list[tuple[NDArray[Any], ...]] = []
        for rows, walk in zip(self._block[1], self._data, strict=True):
            chosen = rows[offset]
            before, after = walk.before(chosen), walk.after(chosen)
            new = (after.agent != before.agent) | (len(self._data) > 1)
            shown.append(joined([before, after[new]]))
            follows = np.where(new, size - 1 + np.cumsum(new), np.arange(size))
            actions = walk.action[chosen].astype(np.int64)
            columns.append((actions, walk.reward[chosen], walk.terminal[chosen], follows))
        action, reward, terminal, next_state = (
            torch.from_numpy(np.stack(column)).to(self.device) for column in zip(*columns, strict=True)
        )
        state = torch.arange(size, device=self.device)
        return shown, Batch(state, action, reward, terminal, next_state, state.roll(1))

    def embedded(self, views: Parameters, rows: slice | Tensor) -> Tensor:
        """Embeddings (S, m, …) of some of the states that the update shows, by number, (m,) or (S, m)."""
        each = [
            windows.rows(rows if isinstance(rows, slice) else rows[index])
            for index, windows in enumerate(self.seen)
        ]
        return encoded(self.agent.nets["encoder"], views, "encoder", each)

    def losses(self, terms: Sequence[str]) -> dict[str, Tensor]:
        """Batch means {term: (S,)}; each distinct picture that they need is encoded once."""
        agent, views, batch, n = self.agent, self.stack.views, self.batch, len(self.batch.state)
        both = not WITH_SUCCESSORS.isdisjoint(terms)
        table = self._table(both)
        x, x_next, target = table[:, :n], None, None
        if both:
            x_next = rows_of(table, batch.next_state)
        if "q" in terms:
            target = self._target(x_next, x)
        per_sample = agent.losses_of(views, x, x_next, batch, terms, target)
        return {term: values.mean(-1) for term, values in per_sample.items()}

    def _table(self, both: bool) -> Tensor:
        """Embeddings (S, …) of the n states, or of those that followed, too.

        They are had again where no step has moved the encoder since (a term was at rest, or it is frozen).
        """
        moved = self.stack.buffers["encoder"]._version
        if self._last is None or self._last[0] != moved or (both and not self._last[1]):
            rows = slice(None) if both else slice(len(self.batch.state))
            self._last = moved, both, self.embedded(self.stack.views, rows)
        return self._last[2]

    def at_rest(self, loss: Tensor) -> bool:
        """On a processor; another device would have to wait for the answer."""
        return loss.device.type == "cpu" and not bool(loss.detach().any())

    @torch.no_grad()
    def _target(self, x_next: Tensor | None, x: Tensor) -> Tensor:
        """Q's target (S, n), from embeddings of the states and, where they are there, of what followed."""
        assert self.targets is not None
        agent, batch, n = self.agent, self.batch, len(self.batch.state)
        if x_next is None:
            new = self.embedded(self.stack.views, slice(n, None))
            x_next = rows_of(torch.cat([x, new], 1), batch.next_state)
        online = agent.nets["q"](self.stack.views, "q", x_next)
        x_then = self.embedded(self.targets.views, batch.next_state)
        return agent.target(batch, online, agent.nets["q"](self.targets.views, "q", x_then))

    def slopes(self, loss: Tensor, components: list[str], kept: str = "") -> dict[str, Tensor]:
        """Gradients of the components by autograd."""
        room = self.slopes_of(kept)
        gradients(loss, self.stack, components, room, keep=bool(kept))
        return {component: room.buffers[component] for component in components}

    def evaluate(self) -> dict[str, NDArray[np.float32]]:
        """Mean returns on the task now by depth of planning, {mode: (S,)}, where it is time for them."""
        settings = self.agent.settings.evaluation
        point = self.step // self.phase.log_every
        if self.step < self.phase.updates and point % settings.every:
            return {}
        one = [
            {name: view[index : index + 1].detach() for name, view in self.stack.views.items()}
            for index in range(len(self.stack))
        ]
        found = [self.agent.modes(parameters, self.shown, settings.seed) for parameters in one]
        return {mode: np.array([by[mode] for by in found], np.float32) for mode in found[0]}
