"""A checkpoint of CRAR in labyrinths -> a Subject: embeddings of planes, losses, hidden units and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diag.sources.systems import Trained
from diag.sources.systems.stacked import StackedSystem, TaskBatch, after_each_action, stacked
from diag.sources.systems.walks import Way, walked
from diag.subject import Film, Pairs, Parameters, Sampled, Subject, Task
from diag.units.layers import Conv, Dense, chain
from trainers.crar_labyrinth import LabyrinthCRAR, LabyrinthTrainer, task_of
from trainers.crar_terms import SQUARED_DISTANCE_LIMITS, Batch
from trainers.envs.labyrinth import TASKS, LabyrinthWorld, States, joined
from trainers.envs.labyrinth_films import filmed, summary_of
from trainers.envs.labyrinth_walks import Walk, collect, scattered
from trainers.plan import BASE_PLAN
from trainers.streams import EVALUATION_STREAM, JUDGING_PHASE, generator, stream_of
from trainers.windows import encoded, windows_of

PAIRED = 500
"""Paired observations where no number is asked for, each of a labyrinth of its own."""

PLANNED = 0
"""Depth of planning in episodes that are played to judge a checkpoint: Q alone, whatever its settings say, so
that base and transfer are judged alike. ``evaluation.depths`` has deeper ones taken during training."""

FURTHER = 7
"""Part of the seed of further pairs, of other labyrinths than those that comparisons are made on."""

CONTINUATIONS = 4
"""Times that training goes on from a checkpoint: the fewest that give an interval, as each takes seconds."""

WAY = Way(warm=30, early=range(20, 70), late=range(170, 220))
"""Half as far as in the mazes, whose updates are a tenth as dear; intervals are wider by so much."""

STEPS_OF_A_SAMPLE = 10
"""Steps that are walked for each sample that is taken: a labyrinth then has only some samples."""


def subject(checkpoint: Trained) -> Subject:
    """The subject of a checkpoint of CRAR in labyrinths.

    It has no number of states that makes a success: a labyrinth has too many to list, and pays rewards, so
    that a transfer is judged by its returns. Its last layer is a convolution of 1×1, which takes a map
    between planes, but none between whole embeddings.
    """
    agent = checkpoint.system
    assert isinstance(agent, LabyrinthCRAR)
    system = LabyrinthSystem(agent, checkpoint)
    return checkpoint.subject(
        encoder=system,
        objective=system,
        tasks=LabyrinthTasks(agent.settings.world, agent.world, agent.walked),
        actor=system if "q" in agent.nets else None,
    )


class LabyrinthSystem(StackedSystem):
    """An agent's embeddings, losses and hidden units, and episodes played by it."""

    def __init__(self, agent: LabyrinthCRAR, origin: Trained) -> None:
        loss = agent.settings.loss
        super().__init__(
            agent, {t: loss.weight_of(t) for t in loss.terms}, loss.model_dump(mode="json"), origin
        )
        self.agent = agent
        shapes = agent.shapes()
        self.units = tuple(
            units
            for component, net in agent.nets.items()
            for units in chain(
                [
                    # A maximum over negated values is another: what is pooled has no sign to exchange.
                    *(Conv(f"{component}/{i}", odd=conv.pool == 1) for i, conv in enumerate(net.convs)),
                    *(Dense(f"{component}/{len(net.convs) + i}", odd=True) for i in range(len(net.dense))),
                ],
                shapes,
            )
        )

    @property
    def last_convolution(self) -> str:
        return f"encoder/{len(self.agent.nets['encoder'].convs) - 1}"

    def last_inputs(self, parameters: Parameters, observations: Tensor) -> Tensor:
        encoder = self.agent.nets["encoder"]
        return encoder.outputs(stacked(parameters), "encoder", observations.unsqueeze(-3))[-2][0]

    def walk(
        self, parameters: Parameters, task: Task, seed: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
        """Train on with the settings, random walk and learning rate of the checkpoint's last step.

        Q's target is taken with the nets at the start, until the next copy is due. Each continuation is
        trained by itself: stacked convolutions are slower.
        """
        origin, settings = self.origin, self.agent.settings
        base = origin.task == "source"
        phase = settings.train if base else settings.transfer
        data = self.agent.collected(origin.seed, stream_of(base))
        each = []
        for number in range(CONTINUATIONS):
            trainer = LabyrinthTrainer(
                self.agent,
                phase,
                task_of(task),
                origin.plan or BASE_PLAN,
                [parameters],
                [data],
                [(seed, number)],
                str(next(iter(parameters.values())).device),
            )
            trainer.step = max(0, origin.checkpoint.header.step - WAY.updates)
            each.append(walked(trainer, WAY))
        early, late, updates = zip(*each, strict=True)
        return _together(early), _together(late), updates[0]

    @property
    def batch_size(self) -> int:
        return self.agent.settings.optimiser.batch

    def own_transitions(self, task: Task, seeds: Sequence[int], device: str) -> WalkedSteps:
        """The random walks that transfers with these seeds were trained on."""
        walks = [self.agent.collected(seed, stream_of(base=False)) for seed in seeds]
        return WalkedSteps(self, task, walks, device)

    def losses_at_many(
        self, parameters: Parameters, embeddings: Tensor, batch: TaskBatch
    ) -> dict[str, Tensor]:
        """Per-sample losses; ``entropy_successive`` less what it is at a step that changed nothing.

        Such a step shows the same picture again and has one value whatever the encoder does. More than half
        of a random walk's are of that kind, and would be most of the total. Without it the losses are others
        by a constant: gradients, curvature and heights are the same.
        """
        losses = super().losses_at_many(parameters, embeddings, batch)
        if (loss := losses.get("entropy_successive")) is not None:
            shown, samples = batch.observations, batch.samples
            still = (shown[samples.state] == shown[samples.next_state]).flatten(1).all(1)
            constant = at_rest(self.agent.settings.loss.entropy_scale, loss)
            losses["entropy_successive"] = loss - still * constant
        return losses

    def predict(self, parameters: Parameters, embeddings: Tensor) -> Tensor | None:
        """Expected next embeddings (n, A, planes, tiles, tiles); None without a transition model."""
        if "transition" not in self.agent.nets:
            return None
        return after_each_action(self.agent, self.agent.world.actions, parameters, embeddings)

    def activations(self, parameters: Parameters, batch: TaskBatch) -> dict[str, Tensor]:
        """Hidden units' activations: the encoder's over the table of pictures, others' over the batch."""
        stack, samples = stacked(parameters), batch.samples
        encoder = self.agent.nets["encoder"].outputs(stack, "encoder", batch.observations.unsqueeze(-3))
        x, actions = encoder[-1][:, samples.state], self.agent.one_hot(samples.action)
        layers = {"encoder": encoder} | {
            component: self.agent.layers(component, stack, x, actions) for component in self.agent.readers
        }
        return {f"{c}/{i}": y[0] for c, outputs in layers.items() for i, y in enumerate(outputs[:-1])}

    def returns(
        self, parameters: Parameters, task: Task, episodes: int, seed: int, *, depth: int = PLANNED
    ) -> NDArray[np.float64]:
        """Undiscounted returns (episodes,), ε-greedy in a labyrinth each, planning to a depth.

        They are those of training's ``depth0``, … for its number of episodes and its seed.
        """
        return self.agent.returns(stacked(parameters), task_of(task), episodes, seed, depth=depth)

    def episodes_played(self) -> str:
        """The labyrinths that are played, and the share of random steps: both follow from the seed."""
        return f"{self.agent.world}, {self.agent.settings.evaluation.explore} of the steps at random"

    def film(self, parameters: Parameters, task: Task, episodes: int, number: int, seed: int) -> Film:
        """Episode ``number`` of those that :meth:`returns` plays, on Q alone."""
        shown = task_of(task)
        episode = self.agent.episode(stacked(parameters), shown, episodes, number, seed, depth=PLANNED)
        return Film(*filmed(self.agent.world, episode, shown), summary_of(episode))


def _together(each: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Positions (m, *shape) of m continuations, from those of each (1, *shape)."""
    return {name: torch.cat([one[name] for one in each]) for name in each[0]}


def at_rest(scale: float, like: Tensor) -> Tensor:
    """The value of ``entropy_successive`` where two pictures are the same: exp(−C_d·10⁻³)."""
    return torch.exp(-scale * torch.full((), SQUARED_DISTANCE_LIMITS[0], dtype=like.dtype).sqrt()).to(like)


class WalkedSteps:
    """The random walks of some transfers, whose pictures are rendered as they are asked for (OwnTransitions).

    Q's target is taken with the nets that are trained on, not with copies of them: a checkpoint has none.
    """

    def __init__(self, system: LabyrinthSystem, task: Task, walks: Sequence[Walk], device: str) -> None:
        """Take a walk for each member of a stack; all have the same pairs, those of a repair."""
        self._system, self._task, self._walks, self._device = system, task_of(task), walks, device
        self._pairs = further_states(system.agent.world, PAIRED, 0)
        self.count = min(len(walk) for walk in walks)

    def losses(self, parameters: Mapping[str, Tensor], rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        agent, each, columns = self._system.agent, [], []
        pairs, m = len(self._pairs), rows.shape[1]
        for walk, chosen in zip(self._walks, rows.cpu().numpy(), strict=True):
            shown = joined([self._pairs, walk.before(chosen), walk.after(chosen)])
            each.append(windows_of(agent.world, shown, self._task, self._device))
            columns.append((walk.action[chosen].astype(np.int64), walk.reward[chosen], walk.terminal[chosen]))
        x = encoded(agent.nets["encoder"], parameters, "encoder", each)
        action, reward, terminal = (
            torch.from_numpy(np.stack(column)).to(self._device) for column in zip(*columns, strict=True)
        )
        state = torch.arange(pairs, pairs + m, device=self._device)
        partner = torch.arange(m, device=self._device).roll(1)  # as in training: the batch rolled by one
        batch = Batch(state, action, reward, terminal, state + m, partner)
        return x[:, :pairs], agent.losses_at(parameters, x, batch, tuple(self._system.terms), held=True)


def further_states(world: LabyrinthWorld, n: int, seed: int) -> States:
    """n states, each of a labyrinth of its own, none of which comparisons are made on.

    One in six of the small world's would come up again: twice as many are drawn as are needed.
    """
    judged = set(_each(scattered(world, PAIRED, 0)))
    drawn = scattered(world, 2 * n, FURTHER, seed)
    return drawn[np.flatnonzero([state not in judged for state in _each(drawn)])[:n]]


def _each(states: States) -> list[bytes]:
    """What tells each of some states from others: its walls, the agent's place and the keys'."""
    rows = zip(states.walls, states.agent, states.keys, strict=True)
    return [walls.tobytes() + agent.tobytes() + np.sort(keys).tobytes() for walls, agent, keys in rows]


class LabyrinthTasks:
    """Labyrinths of one size as both tasks show them."""

    colour = "keys_left"

    def __init__(self, name: str, world: LabyrinthWorld, walked: LabyrinthWorld) -> None:
        """Take the world, and the world as the random policy walks it."""
        self.name, self.world, self.walked = name, world, walked

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        """n states, each of a labyrinth of its own after a random walk.

        Without a number, they are the same :data:`PAIRED` ones whatever the seed: those of :meth:`variables`.
        """
        return self._shown(scattered(self.world, PAIRED, 0) if n is None else scattered(self.world, n, seed))

    def further_pairs(self, n: int, seed: int) -> Pairs:
        """n states of further labyrinths, to fit to."""
        return self._shown(further_states(self.world, n, seed))

    def _shown(self, states: States) -> Pairs:
        shown = self.world.paired_observations(states)
        return Pairs({task: torch.from_numpy(shown[task]) for task in TASKS}, np.arange(len(states)))

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        """n steps of the random policy that training data come from, grouped by the labyrinth."""
        rng = generator(EVALUATION_STREAM, seed, n)
        walk = collect(self.walked, STEPS_OF_A_SAMPLE * n, seed, JUDGING_PHASE)
        rows = np.sort(rng.choice(len(walk), n, replace=False))
        pictures = self.world.observations(joined([walk.before(rows), walk.after(rows)]), task_of(task))
        first = np.arange(n)
        samples = Batch(
            torch.from_numpy(first),
            torch.from_numpy(walk.action[rows].astype(np.int64)),
            torch.from_numpy(walk.reward[rows]),
            torch.from_numpy(walk.terminal[rows]),
            torch.from_numpy(first + n),
            torch.from_numpy(_partners(walk.episode[rows], rng)),
        )
        return Sampled(TaskBatch(torch.from_numpy(pictures), samples), walk.episode[rows].astype(np.int64))

    def variables(self) -> Mapping[str, NDArray[Any]]:
        """Known facts of the states that are paired where no number is asked for."""
        return self.world.variables(scattered(self.world, PAIRED, 0))


def _partners(episodes: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.int64]:
    """A sample (n,) of another episode for each, so that no state is paired with itself or its neighbour.

    ``episodes`` (n,) stand in order. Where all samples are of one episode, any of them is taken.
    """
    n = len(episodes)
    first = np.searchsorted(episodes, episodes, "left")
    others = n - (np.searchsorted(episodes, episodes, "right") - first)
    if not others.min():
        return rng.integers(n, size=n)
    # A number among the others: those before the episode keep it, those behind it begin after its end.
    drawn = rng.integers(others)
    return np.asarray(np.where(drawn < first, drawn, drawn + n - others), np.int64)
