"""A checkpoint of Dreamer -> a Subject: latent states along histories, the world model's losses, and returns.

An observation here is one row of a history: whether the history begins there, the action that led to it, and
what was seen. Rows stand in the order of time, history after history, so that each is embedded with all that
came before it. The embedding is the posterior latent state: the mean of its stochastic part (a categorical's
probabilities) and its deterministic part, on the way of the most likely states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from diag.sources.systems import Trained
from diag.subject import Foreseen, Pairs, Parameters, Sampled, Subject, SubjectError, Task, TaskPair
from trainers.dreamer import META, Dreamer, scaled
from trainers.dreamer_settings import Data
from trainers.envs.acting import Discrete, PairedWorld
from trainers.histories import Histories, histories
from trainers.recorded import look_columns
from trainers.replay import Sequences, sequences_of
from trainers.rssm import State
from trainers.streams import EVALUATION_STREAM, JUDGING_PHASE, generator

PAIRED = 32
"""Least number of histories where no number of rows is asked for, each of an environment of its own."""

ROWS_A_NUMBER = 4
"""Rows for each number of the embedding, where none are asked for: a map of the whole embedding is fitted on
one half of them, and judged on the other."""

BEFORE = 3
"""Lengths of a sequence that an environment may have gone before one is taken from it to judge losses on."""

BEGINS = 1
"""Numbers of a row before the action's: 1 where its history begins, else 0. The picture's stand behind."""


def subject(trained: Trained) -> Subject:
    """The subject of a checkpoint of Dreamer; one that was trained on recorded data has no policy."""
    dreamer = trained.system
    assert isinstance(dreamer, Dreamer)
    settings = dreamer.settings
    phase = settings.train if trained.plan is None else settings.transfer
    system = DreamerSystem(dreamer, acts=phase.algorithm == "agent")
    return trained.subject(
        encoder=system,
        objective=system,
        tasks=OpenDreamerTasks(dreamer) if trained.plan is None else DreamerTasks(dreamer),
        actor=system if phase.algorithm == "agent" else None,
    )


@dataclass(frozen=True)
class HistoryBatch:
    """Sequences to take losses on, and the noise that their latent states are drawn by."""

    sequences: Sequences
    noise: Tensor
    rows: int
    """Losses that count: sequence after sequence, the last of them cut short."""

    def to(self, device: str) -> HistoryBatch:
        """This batch on another device."""
        return HistoryBatch(self.sequences.to(device), self.noise.to(device), self.rows)


class DreamerSystem:
    """Latent states, losses and returns of one set of parameters."""

    main = "latent"

    def __init__(self, dreamer: Dreamer, acts: bool = True) -> None:
        """``acts`` says whether an actor was trained, and so a critic."""
        loss, model = dreamer.settings.loss, dreamer.settings.model
        self.dreamer, self.acts = dreamer, acts
        self.terms: Mapping[str, float] = dreamer.weights
        self.constants: Mapping[str, Any] = {
            "loss": loss.model_dump(mode="json"),
            "latents": model.latents,
            "length": dreamer.settings.batches.length,
        }

    @property
    def unmendable(self) -> tuple[str, str]:
        """Why a repair is refused: no layer gives the latent state, and games have no place to lead to."""
        found = "a world model, whose latent state no last layer gives: no map of it can be folded in"
        if not isinstance(self.dreamer.world, PairedWorld):
            found += (
                f"; and the games of {self.dreamer.world.name} share no states that lead back to the base's"
            )
        return found, "a checkpoint of a system with an encoder of single observations (docs/repair.md)"

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Latent states (n, Z + D) of rows (n, 1 + A + c·h·w), histories one after the other.

        A discrete action is one number. Rows of continuous ones are float32, and pictures in them scaled.
        """
        rssm, n = self.dreamer.rssm, len(observations)
        discrete = isinstance(self.dreamer.world.actions, Discrete)
        marks = BEGINS + (1 if discrete else self.dreamer.world.actions.n)
        begins = observations[:, 0] != 0
        begins[0] = True
        starts = begins.nonzero()[:, 0]
        lengths = torch.diff(starts, append=starts.new_tensor([n]))
        step = torch.arange(int(lengths.max()), device=observations.device)[:, None]
        # Shorter histories are filled up with their own last row, which nothing is read of.
        rows = starts + torch.minimum(step, lengths - 1)
        pictures = observations[:, marks:].reshape(n, *self.dreamer.world.observation_shape)[rows]
        none = torch.zeros(rows.shape, device=observations.device)
        action = observations[:, BEGINS:marks]
        taken = action.squeeze(1).long() if discrete else action
        sequences = Sequences(pictures, taken[rows], none, none.bool(), (step == 0).expand_as(rows))
        seen = self.dreamer.observe(parameters, sequences, None)
        states = torch.cat([rssm.latents.expected(seen.posterior), seen.state.deter], -1)
        return states.transpose(0, 1)[(step < lengths).T]

    def losses(self, parameters: Parameters, batch: HistoryBatch) -> dict[str, Tensor]:
        """Losses {term: (n,)} of each row; ``kl`` is neither balanced nor free, which changes no value of it.

        Latent states are drawn by the batch's noise: of categoricals, losses jump where a draw changes, and
        gradients pass straight through, as in training.
        """
        dreamer = self.dreamer
        seen = dreamer.observe(parameters, batch.sequences, batch.noise)
        losses = dreamer.predictions(parameters, batch.sequences, seen.state.features)
        losses["kl"] = dreamer.rssm.latents.divergence(seen.posterior, seen.prior)
        return {term: values.T.flatten()[: batch.rows] for term, values in losses.items()}

    @torch.no_grad()
    def answers(self, parameters: Parameters, batch: HistoryBatch) -> dict[str, Tensor]:
        """What each component says of rows in the order of :meth:`losses`, by the likeliest states.

        ``transition`` is the prior: what the model expects of a row before it sees it. A discount is left
        out, which hardly varies, and an actor, whose actions are numbers of a task; a critic that was never
        trained is no answer.
        """
        dreamer, sequences = self.dreamer, batch.sequences
        expected = dreamer.rssm.latents.expected
        seen = dreamer.observe(parameters, sequences, None)
        latent = torch.cat([expected(seen.posterior), seen.state.deter], -1)
        heads = ("reward", "critic") if self.acts else ("reward",)
        found = {
            "encoder": dreamer.embed(parameters, sequences.observation),
            "latent": latent,
            "transition": expected(seen.prior),
            **{head: dreamer.head(parameters, head, seen.state.features).unsqueeze(-1) for head in heads},
        }
        return {name: self._in_rows(values, batch) for name, values in found.items()}

    @torch.no_grad()
    def heard(self, parameters: Parameters, batch: HistoryBatch) -> tuple[Tensor, Tensor] | None:
        """The meta-model's rewards (n,), and those with each base's model put at its mean (n, bases)."""
        dreamer = self.dreamer
        if parameters[META].shape[-1] == dreamer.embedding:
            return None
        features = self._in_rows(dreamer.observe(parameters, batch.sequences, None).state.features, batch)
        told = dreamer.told(parameters, features)

        def rewards(said: Tensor) -> Tensor:
            return dreamer.heads["reward"](parameters, "reward", torch.cat([features, said], -1)).squeeze(-1)

        without = []
        for base in range(told.shape[-1]):
            muted = told.clone()
            muted[:, base] = told[:, base].mean()
            without.append(rewards(muted))
        return rewards(told), torch.stack(without, -1)

    def earned(self, batch: HistoryBatch) -> Tensor:
        """Rewards (n,) of rows; NaN where a history begins, to which no action led."""
        reward = batch.sequences.reward.masked_fill(batch.sequences.first, torch.nan)
        return self._in_rows(reward.unsqueeze(-1), batch).squeeze(-1)

    def sees(self, other: object) -> tuple[str, str] | None:
        """Words on another system's observations or actions that are not this one's."""
        if not isinstance(other, DreamerSystem):
            return "a system of another kind", "a world model, as the others are"
        mine, theirs = self.dreamer, other.dreamer
        for name, own, found in (
            ("observations", mine.world.observation_shape, theirs.world.observation_shape),
            ("actions", (mine.world.actions.n,), (theirs.world.actions.n,)),
        ):
            if own != found or type(mine.world.actions) is not type(theirs.world.actions):
                sizes = ["×".join(map(str, shape)) for shape in (found, own)]
                world = f"those of world {mine.settings.world!r}"
                return f"{sizes[0]} {name} of world {theirs.settings.world!r}", f"{sizes[1]}, {world}"
        return None

    @staticmethod
    def _in_rows(values: Tensor, batch: HistoryBatch) -> Tensor:
        """Values (T, B, d) as rows (n, d): sequence after sequence, the last of them cut short."""
        return values.transpose(0, 1).flatten(0, 1)[: batch.rows]

    @torch.no_grad()
    def foresee(self, parameters: Parameters, histories: HistoryBatch) -> Foreseen:
        """Open-loop predictions of the last part of each history: as many rows as an actor imagines ahead.

        What is seen before is the rest, at least one row. Latent states are drawn by the histories' noise,
        from the posterior while it sees and from the prior after that; actions are those that were taken.
        """
        dreamer, batch, noise = self.dreamer, histories.sequences, histories.noise
        length = len(batch.reward)
        ahead = min(dreamer.settings.batches.horizon, length - 1)
        seen = length - ahead
        state = dreamer.observe(parameters, batch.rows(0, seen), noise[:seen]).state
        state = State(state.deter[-1], state.stoch[-1])
        features = [state.features]
        for now in range(seen, length):
            action = batch.action[now]
            if not action.is_floating_point():
                action = one_hot(action, dreamer.rssm.actions).to(torch.float32)
            state = dreamer.rssm.imagine(parameters, state, action, noise[now])
            features.append(state.features)
        rest, every = batch.rows(seen - 1, length), torch.stack(features)
        losses = dreamer.predictions(parameters, rest, every)
        expected, came = dreamer.pictured(parameters, every), scaled(rest.observation)
        begun = rest.first.clone()
        begun[0] = False
        over = (begun.cumsum(0) > 0).T.numpy()
        off = {
            "off": (expected - came).abs().flatten(2).sum(-1),
            "kept": (came[:1] - came).abs().flatten(2).sum(-1),
        }
        told = {
            name: np.where(over, np.nan, values.T.double().numpy()) for name, values in (losses | off).items()
        }
        kept = told.pop("kept")
        return Foreseen(told, kept, *(x.transpose(0, 1).numpy() for x in (expected, came)))

    def widened(self, parameters: Parameters, other: Parameters) -> Parameters:
        """The same losses, with the sources of the other's meta-model beside, which go unheard."""
        more = other[META].shape[1] - parameters[META].shape[1]
        if parameters[META].shape[1] != self.dreamer.embedding or more <= 0:
            return parameters
        none = parameters[META].new_zeros(len(parameters[META]), more)
        copies = {name: tensor for name, tensor in other.items() if name not in parameters}
        both = {**parameters, **copies, META: torch.cat([parameters[META], none], 1)}
        return {name: both[name] for name in sorted(both)}

    def returns(self, parameters: Parameters, task: Task, episodes: int, seed: int) -> NDArray[np.float64]:
        """Undiscounted returns (episodes,) with actions drawn from the policy."""
        return self.dreamer.returns(parameters, task, episodes, seed)


class DreamerTasks:
    """Source and target of a world's looks, as a random policy meets them.

    A world that shows the same hidden states in every look pairs histories of the source's first look with
    the same as the target's first look shows them. Games have no states in common: both tasks then show the
    target's, so that a comparison says how two models see the same histories of the target.
    """

    def __init__(self, dreamer: Dreamer) -> None:
        self.dreamer, self.length = dreamer, dreamer.settings.batches.length
        looks = {task: ", ".join(dreamer.looks(task)) for task in ("source", "target")}
        self.name = f"{dreamer.settings.world} ({looks['source']} to {looks['target']})"
        self._met: dict[tuple[Task, int, int], HistoryBatch] = {}

    def _histories(self, n: int | None, seed: int, look: str | None = None) -> Histories:
        wanted = ROWS_A_NUMBER * self.dreamer.embedding if n is None else n
        count = -(-wanted // self.length)
        count = max(PAIRED, count) if n is None else count
        look = self.dreamer.looks("target")[0] if look is None else look
        return histories(
            self.dreamer.world, look, count, self.length, 0 if n is None else seed, JUDGING_PHASE
        )

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        """n rows of histories of a sequence's length; without a number always the same ones."""
        return self._pairs(self._histories(n, seed), n)

    def _pairs(self, met: Histories, n: int | None, look: str | None = None) -> Pairs:
        rows, world = len(met) if n is None else n, self.dreamer.world
        shown = {}
        for task in ("source", "target"):
            seen = met.observation
            if isinstance(world, PairedWorld):
                seen = world.render(met.states, self.dreamer.looks(task)[0] if look is None else look)
            kind = np.uint8 if isinstance(world.actions, Discrete) else np.float32
            if kind is np.float32 and seen.dtype == np.uint8:
                seen = scaled(torch.from_numpy(seen)).numpy()
            columns = met.first[:, None], met.action.reshape(len(met), -1), seen.reshape(len(met), -1)
            whole = np.concatenate([column.astype(kind) for column in columns], 1)[:rows]
            shown[task] = torch.from_numpy(whole)
        return Pairs(shown, met.history[:rows], "episodes")

    def variables(self) -> Mapping[str, NDArray[Any]]:
        """Known facts of the rows that are paired where no number is asked for."""
        return self._known(self._histories(None, 0))

    def known_pairs(
        self, n: int | None, look: str | None, seed: int
    ) -> tuple[Pairs, Mapping[str, NDArray[Any]]]:
        """n rows of histories of a look, by default the target's first, and what is known of each."""
        if look is not None and look not in self.dreamer.world.variants:
            known = ", ".join(self.dreamer.world.variants)
            raise SubjectError(self.name, f"no look {look!r}", f"one of {known}")
        met = self._histories(n, seed, look)
        known_rows = len(met) if n is None else n
        facts = {name: values[:known_rows] for name, values in self._known(met).items()}
        return self._pairs(met, n, look), facts

    def _known(self, met: Histories) -> dict[str, NDArray[Any]]:
        """Numbers of the hidden states, and as events what was done and whether it was rewarded.

        Where every step pays, "rewarded" would only say which rows begin a history: it is left out.
        """
        known = {"steps_before": met.time.astype(np.float64), **met.variables}
        actions = self.dreamer.world.actions
        if isinstance(actions, Discrete):
            known["action"] = np.where(met.first, "none", np.array(actions.names)[met.action])
        rewarded = met.reward != 0
        return known if rewarded[~met.first].all() else {**known, "rewarded": rewarded}

    def histories(self, task: Task, count: int, seed: int) -> HistoryBatch:
        """Sequences by a random policy, as many rows long as those of training."""
        shown = task if isinstance(self.dreamer.world, PairedWorld) else "target"
        asked = shown, count, seed
        if asked not in self._met:  # which both models of a comparison ask for
            batch = self.batch(shown, count * self.length, seed).batch
            assert isinstance(batch, HistoryBatch)
            self._met = {asked: batch}
        return self._met[asked]

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        """n rows of sequences by a random policy, each of an environment of its own; a group each."""
        dreamer, length = self.dreamer, self.length
        looks, count = dreamer.looks(task), -(-n // length)
        rng = generator(EVALUATION_STREAM, seed, n)
        parts: list[dict[str, NDArray[Any]]] = []
        for number, look in enumerate(looks[:count]):
            places = len(range(number, count, len(looks)))
            rows = places * length * (1 + BEFORE)
            data = Data(steps=rows, environments=places, seed=seed)
            columns = look_columns(dreamer.world, look, data, rows, JUDGING_PHASE, number)
            parts.append({name: c.reshape(places, -1, *c.shape[1:]) for name, c in columns.items()})
        lanes = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        starts = rng.integers(length * BEFORE + 1, size=count)
        sequences = sequences_of(lanes, np.arange(count), starts + np.arange(length)[:, None])
        noise = dreamer.rssm.latents.noise(rng, length, count)
        return Sampled(HistoryBatch(sequences, noise, n), np.arange(count).repeat(length)[:n])


class OpenDreamerTasks(DreamerTasks):
    """The tasks of a base, which settles what its source shows, but not what it is taken to."""

    def to(self, look: str) -> DreamerTasks:
        """The tasks of a transfer to that look."""
        settings, variants = self.dreamer.settings, self.dreamer.world.variants
        if look not in variants:
            raise SubjectError(self.name, f"no task {look!r}", f"one of {', '.join(variants)}")
        tasks = settings.tasks.model_copy(update={"target": (look,)})
        return DreamerTasks(Dreamer(settings.model_copy(update={"tasks": tasks}), self.dreamer.world))

    def leads_to(self, other: TaskPair) -> bool:
        """Whether other tasks are of the same world and source, in histories of the same length."""
        if not isinstance(other, DreamerTasks):
            return False
        mine, theirs = self.dreamer, other.dreamer
        same = mine.settings.world == theirs.settings.world and self.length == other.length
        return same and mine.looks("source") == theirs.looks("source")
