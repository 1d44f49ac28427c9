"""IMPALA: an actor-critic with an LSTM that learns from unrolls of many environments by V-trace.

Espeholt et al., arXiv 1802.01561, in one process: environments step side by side, and one learner updates
after every unroll. The paper on frozen embeddings splits its network in two: the embedding, all convolutions
up to a vector for one picture, is component ``encoder``; the head is LSTM and a dense layer (``core``),
``policy`` and ``value``. The rectifier after the encoder's linear layer has no parameters and counts as the
head's first act.

An update descends the sum over the unroll's steps of

    −log π(a|x) · advantage + value · ½ (v − V(x))² − entropy · H(π(·|x)),

with targets v and advantages from :mod:`trainers.vtrace`. Where frames are on policy, the forward pass that
chose the actions is the learner's too: its graph is kept, and no picture is encoded twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear, one_hot, relu

from trainers.envs.acting import (
    CountingWorld,
    Discrete,
    Envs,
    World,
    WorldError,
    acting_world,
    acting_world_names,
)
from trainers.envs.played import AT_ONCE, Tally, random_returns
from trainers.impala_settings import ImpalaSettings
from trainers.lstm import LSTM, Memory, Record, uniform
from trainers.one_by_one import OneByOne
from trainers.plan import TransferPlan
from trainers.residual import Conv, PictureNet, ResidualNet, StridedNet, centred
from trainers.settings import Settings, SettingsError
from trainers.stack import Parameters
from trainers.streams import ACTION_STREAM, PLAY_STREAM, WEIGHT_STREAM, generator
from trainers.system import Share, Standard
from trainers.threads import one_thread
from trainers.vtrace import vtrace

TERMS = ("policy", "value", "entropy")


@dataclass(frozen=True)
class Rollout:
    """T steps of N environments, and what the agent had in mind when they began."""

    observations: Tensor
    """(T + 1, N, planes, height, width) pictures of 0 … 255; the last is what the last step led to."""
    begins: Tensor
    """(T + 1, N) whether a picture is the first of an episode."""
    actions: Tensor
    """(T, N)"""
    rewards: Tensor
    """(T, N) as the world pays them."""
    behaviour: Tensor
    """(T, N) log-probabilities of the actions by the policy that took them."""
    last_action: Tensor
    """(N,) the action that led to the first picture."""
    last_reward: Tensor
    """(N,) and its reward."""
    hidden: Tensor
    """(N, units) the LSTM's memory before the first picture."""
    cell: Tensor
    """(N, units)"""
    cut: Tensor
    """(T, N) whether a time limit cut the episode short with this step, which did not come to its end."""
    beyond: Tensor
    """(K, planes, height, width) what the K episodes that were cut showed last, step after step."""

    @property
    def pictures(self) -> Tensor:
        """All pictures ((T + 1) · N + K, planes, height, width), those of ``beyond`` last."""
        return torch.cat([self.observations.flatten(0, 1), self.beyond])

    def to(self, device: str) -> Rollout:
        """This rollout on another device."""
        return Rollout(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


class Outputs(NamedTuple):
    """What a network says along a rollout."""

    logits: Tensor
    """(T, N, actions)"""
    values: Tensor
    """(T + 1, N)"""
    beyond: Tensor
    """(T, N) values, without a gradient, of what episodes that were cut showed last; 0 where none was."""


class Stand(NamedTuple):
    """Where an agent stands in its environments between two steps."""

    memory: Memory
    begins: NDArray[np.bool_]
    """(N,) whether the pictures now are the first of an episode."""
    action: NDArray[np.int64]
    """(N,) the last action."""
    reward: NDArray[np.float32]
    """(N,) and its reward."""


@dataclass(frozen=True)
class IMPALA:
    """The network and losses of one IMPALA agent, a :class:`trainers.system.System`; holds no parameters."""

    name: ClassVar[str] = "impala"
    settings_type: ClassVar[type[Settings]] = ImpalaSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    terms: ClassVar[tuple[str, ...]] = TERMS
    readers: ClassVar[tuple[str, ...]] = ("core",)
    """What reads the embedding; ``policy`` and ``value`` read the core."""
    ensembles: ClassVar[tuple[str, ...]] = ()

    settings: ImpalaSettings
    world: World
    net: PictureNet = field(init=False)
    lstm: LSTM = field(init=False)

    @classmethod
    def of(cls, settings: Settings) -> IMPALA:
        """The agent of these settings; raises SettingsError for a world or a look that there is not.

        Raises it for a kernel, too, that is larger than what is left of a picture.
        """
        assert isinstance(settings, ImpalaSettings)
        try:
            world = acting_world(settings.world, settings.world_settings)
        except WorldError as error:
            named = "world_settings" if settings.world in acting_world_names() else "world"
            raise SettingsError(f"setting '{named}': {error}") from None
        if not isinstance(world.actions, Discrete):
            found = f"{world.name}, whose actions are continuous"
            raise SettingsError(f"setting 'world': found {found}, expected a world with discrete ones")
        for phase in ("train", "transfer"):
            variant = getattr(settings, phase).variant
            if variant not in world.variants:
                known = ", ".join(world.variants)
                raise SettingsError(f"setting '{phase}.variant': found {variant!r}, expected one of {known}")
        try:
            agent = cls(settings, world)
            agent.shapes()
        except ValueError as error:
            raise SettingsError(f"setting 'model.convs': {error}") from None
        return agent

    def __post_init__(self) -> None:
        model, (planes, height, width) = self.settings.model, self.world.observation_shape
        if model.net == "residual":
            net: PictureNet = ResidualNet(planes, height, width, model.filters, model.embedding)
        else:
            convs = tuple(Conv(*conv) for conv in model.convs)
            net = StridedNet(planes, height, width, convs, model.embedding)
        read = model.embedding + (self.world.actions.n + 1 if model.feedback else 0)
        object.__setattr__(self, "net", net)
        object.__setattr__(self, "lstm", LSTM(read, model.lstm))

    @property
    def embedding(self) -> int:
        """Numbers in one embedding."""
        return self.settings.model.embedding

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each term in the total."""
        return {"policy": 1.0, "value": self.settings.loss.value, "entropy": self.settings.loss.entropy}

    def shapes(self, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, tuple[int, ...]]:
        """Every parameter's name and shape, whatever the plan."""
        model, actions = self.settings.model, self.world.actions.n
        parts: dict[str, dict[str, tuple[int, ...]]] = {
            "encoder": self.net.shapes(),
            "core": {
                **self.lstm.shapes(),
                "dense.weight": (model.dense, model.lstm),
                "dense.bias": (model.dense,),
            },
            "policy": {"weight": (actions, model.dense), "bias": (actions,)},
            "value": {"weight": (1, model.dense), "bias": (1,)},
        }
        return {f"{part}/{name}": shape for part, named in parts.items() for name, shape in named.items()}

    def fresh(self, *seed: int, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, Tensor]:
        """A fresh initialisation from a seed: torch's own distributions, whatever the plan."""
        rng = generator(WEIGHT_STREAM, *seed)
        fresh = {f"encoder/{name}": value for name, value in self.net.fresh(rng).items()}
        fresh |= {f"core/{name}": value for name, value in self.lstm.fresh(rng).items()}
        model = self.settings.model
        for name, shape in self.shapes().items():
            if name not in fresh:
                fan_in = model.lstm if name.startswith("core/") else model.dense
                fresh[name] = uniform(rng, shape, fan_in**-0.5)
        return fresh

    def variant(self, task: str) -> str:
        """The world's look in a task, ``source`` or ``target``."""
        return self.settings.train.variant if task == "source" else self.settings.transfer.variant

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Embeddings (n, d) of pictures (n, planes, height, width) of 0 … 255."""
        return self.net(parameters, "encoder", centred(observations, self.settings.model.centring))

    def features(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Inputs (n, features) of the encoder's last layer for the same pictures."""
        return self.net.features(parameters, "encoder", centred(observations, self.settings.model.centring))

    def clipped(self, rewards: Tensor) -> Tensor:
        """Rewards as training counts them."""
        most = self.settings.loss.reward_clip
        return rewards.clamp(-most, most) if most else rewards

    def read(self, embeddings: Tensor, actions: Tensor, rewards: Tensor, begins: Tensor) -> Tensor:
        """What the LSTM reads (…, inputs): embeddings (…, d), rectified, and the last action and reward (…,).

        At the first picture of an episode there is no last action, and no reward.
        """
        x = relu(embeddings)
        if not self.settings.model.feedback:
            return x
        goes_on = (~begins).to(x.dtype).unsqueeze(-1)
        last = torch.cat(
            [one_hot(actions, self.world.actions.n).to(x.dtype), self.clipped(rewards).unsqueeze(-1)], -1
        )
        return torch.cat([x, last * goes_on], -1)

    def thought(self, parameters: Parameters, hidden: Tensor) -> Tensor:
        """Outputs (…, dense) of the dense layer after the LSTM, rectified."""
        return relu(linear(hidden, parameters["core/dense.weight"], parameters["core/dense.bias"]))

    def policy(self, parameters: Parameters, thought: Tensor) -> Tensor:
        """Logits (…, actions)."""
        return linear(thought, parameters["policy/weight"], parameters["policy/bias"])

    def value(self, parameters: Parameters, thought: Tensor) -> Tensor:
        """Values (…,)."""
        return linear(thought, parameters["value/weight"], parameters["value/bias"]).squeeze(-1)

    def outputs(self, parameters: Parameters, embeddings: Tensor, rollout: Rollout) -> Outputs:
        """What the network says along a rollout, given embeddings (pictures, d) of all its pictures."""
        number = rollout.begins.numel()
        seen = embeddings[:number].view(*rollout.begins.shape, -1)
        actions = torch.cat([rollout.last_action[None], rollout.actions])
        rewards = torch.cat([rollout.last_reward[None], rollout.rewards])
        inputs = self.read(seen, actions, rewards, rollout.begins)
        memory = Memory(rollout.hidden, rollout.cell)
        after = self.lstm.unroll(parameters, "core", inputs, memory, rollout.begins)
        thought = self.thought(parameters, after.hidden)
        beyond = torch.zeros(rollout.cut.shape, dtype=thought.dtype, device=thought.device)
        if len(rollout.beyond):
            at = rollout.cut.nonzero(as_tuple=True)
            beyond[at] = self.value_beyond(
                parameters,
                embeddings[number:],
                rollout.actions[at],
                rollout.rewards[at],
                Memory(after.hidden[at], after.cell[at]),
            )
        return Outputs(self.policy(parameters, thought[:-1]), self.value(parameters, thought), beyond)

    @torch.no_grad()
    def value_beyond(
        self, parameters: Parameters, embeddings: Tensor, actions: Tensor, rewards: Tensor, memory: Memory
    ) -> Tensor:
        """Values (n,) of pictures that nothing follows in the rollout: what is bootstrapped from.

        ``embeddings`` (n, d) are of the pictures, ``actions`` and ``rewards`` (n,) led to them, and
        ``memory`` is what the LSTM knew then. They carry no gradient.
        """
        inputs = self.read(embeddings, actions, rewards, torch.zeros_like(actions, dtype=torch.bool))
        after = self.lstm.step(parameters, "core", self.lstm.project(parameters, "core", inputs), memory)
        return self.value(parameters, self.thought(parameters, after.hidden))

    def losses_of(
        self, logits: Tensor, values: Tensor, beyond: Tensor, rollout: Rollout
    ) -> dict[str, Tensor]:
        """Losses {term: (T, N)} of each step, given what :class:`Outputs` holds.

        An episode that a time limit cut goes on to be worth what its last picture is: its last step is paid
        that as well, discounted, which is V-trace with the value there for that of the next picture.
        """
        loss = self.settings.loss
        log_policy = logits.log_softmax(-1)
        chosen = log_policy.gather(-1, rollout.actions.unsqueeze(-1)).squeeze(-1)
        goes_on = (~rollout.begins[1:]).to(values.dtype)
        targets, advantages = vtrace(
            chosen.detach() - rollout.behaviour,
            loss.discount * goes_on,
            self.clipped(rollout.rewards) + loss.discount * beyond,
            values.detach(),
            loss.rho_bar,
            loss.c_bar,
        )
        return {
            "policy": -chosen * advantages,
            "value": 0.5 * (targets - values[:-1]).square(),
            "entropy": (log_policy.exp() * log_policy).sum(-1),
        }

    def rollout(
        self,
        parameters: Parameters,
        envs: Envs,
        stand: Stand,
        rng: np.random.Generator,
        steps: int,
    ) -> tuple[Rollout, Stand, Outputs]:
        """Act for so many steps, and give what came of it, where the agent stands then, and its outputs.

        Where gradients are enabled the outputs carry one, but values that nothing is trained by have none:
        the last one, and those beyond a time limit.
        """
        device, number = stand.memory.hidden.device, len(stand.begins)
        before, memory, acted = stand, stand.memory, self.lstm_record(steps, number, device)
        pictures = np.empty((steps + 1, *envs.observations.shape), np.uint8)
        begins = np.empty((steps + 1, number), bool)
        actions = np.empty((steps + 1, number), np.int64)
        rewards = np.empty((steps + 1, number), np.float32)
        begins[0], actions[0], rewards[0] = stand.begins, stand.action, stand.reward
        cut, shown = np.zeros((steps, number), bool), list[NDArray[np.uint8]]()
        worth = torch.zeros(steps, number, device=device)
        embeddings = []
        for step in range(steps):
            pictures[step] = envs.observations
            embeddings.append(self.embed(parameters, torch.from_numpy(pictures[step]).to(device)))
            with torch.no_grad():
                now = [torch.from_numpy(column[step]).to(device) for column in (actions, rewards, begins)]
                inputs, goes_on = self.read(embeddings[-1], *now), _goes_on(now[-1], begins[step])
                memory = acted.take(parameters, "core", step, inputs, memory, goes_on)
                logits = self.policy(parameters, self.thought(parameters, memory.hidden))
                actions[step + 1] = sampled(logits, rng)
            came = envs.step(actions[step + 1])
            rewards[step + 1], begins[step + 1] = came.rewards, came.ended
            cut[step] = came.truncated & ~came.terminated
            if cut[step].any():
                shown.append(envs.last_observations()[cut[step][came.ended]])
                at = torch.from_numpy(np.flatnonzero(cut[step])).to(device)
                with torch.no_grad():
                    worth[step, at] = self.value_beyond(
                        parameters,
                        self.embed(parameters, torch.from_numpy(shown[-1]).to(device)),
                        torch.from_numpy(actions[step + 1]).to(device)[at],
                        torch.from_numpy(rewards[step + 1]).to(device)[at],
                        Memory(memory.hidden[at], memory.cell[at]),
                    )
        pictures[steps] = envs.observations
        action, reward, start = (torch.from_numpy(column).to(device) for column in (actions, rewards, begins))
        seen = torch.stack(embeddings)
        hidden = acted.hidden
        if torch.is_grad_enabled():
            read = self.read(seen, action[:-1], reward[:-1], start[:-1])
            hidden = acted.differentiable(parameters, "core", read)
        thought = self.thought(parameters, hidden)
        logits = self.policy(parameters, thought)
        with torch.no_grad():
            last = self.embed(parameters, torch.from_numpy(pictures[steps]).to(device))
            beyond = self.lstm_record(1, number, device).take(
                parameters,
                "core",
                0,
                self.read(last, action[-1], reward[-1], start[-1]),
                memory,
                _goes_on(start[-1], begins[steps]),
            )
            after = self.value(parameters, self.thought(parameters, beyond.hidden))
            taken = action[1:].unsqueeze(-1)
            behaviour = logits.log_softmax(-1).gather(-1, taken).squeeze(-1)
        rollout = Rollout(
            torch.from_numpy(pictures).to(device),
            start,
            action[1:],
            reward[1:],
            behaviour,
            action[0],
            reward[0],
            before.memory.hidden,
            before.memory.cell,
            torch.from_numpy(cut).to(device),
            torch.from_numpy(np.concatenate([pictures[:0, 0], *shown])).to(device),
        )
        values = torch.cat([self.value(parameters, thought), after[None]])
        return rollout, Stand(memory, begins[-1], actions[-1], rewards[-1]), Outputs(logits, values, worth)

    def lstm_record(self, steps: int, environments: int, device: torch.device | str) -> Record:
        """Room for the steps of an unroll."""
        return Record(self.lstm, steps, environments, device)

    def beginning(self, number: int, device: torch.device | str = "cpu") -> Stand:
        """Where an agent stands when all of its environments have just begun."""
        nothing = self.lstm.nothing(number, device)
        zeros = np.zeros(number, np.int64), np.zeros(number, np.float32)
        return Stand(nothing, np.ones(number, bool), *zeros)

    def returns(
        self, parameters: Parameters, task: str, episodes: int, *seed: int, greedy: bool = False
    ) -> NDArray[np.float64]:
        """Undiscounted, unclipped returns (episodes,) of one set of parameters on a task.

        Actions are sampled from the policy, or ``greedy``. Each environment plays as many episodes as the
        others, to within one, so that short ones are not counted more often.
        """
        number = min(episodes, AT_ONCE)
        quota = np.full(number, episodes // number) + (np.arange(number) < episodes % number)
        envs = self.world.envs(self.variant(task), number, PLAY_STREAM, *seed)
        rng = generator(ACTION_STREAM, *seed)
        device = parameters["policy/bias"].device
        stand, tally = self.beginning(number, device), Tally(number)
        with one_thread(), torch.inference_mode():
            while not tally.has(quota):
                stand = self._played(parameters, envs, stand, rng, greedy)
                tally.add(stand.reward, stand.begins)
        return tally.first(quota)

    def _played(
        self, parameters: Parameters, envs: Envs, stand: Stand, rng: np.random.Generator, greedy: bool
    ) -> Stand:
        """One step of every environment, without a record."""
        device = stand.memory.hidden.device
        first = torch.from_numpy(stand.begins).to(device)
        last = torch.from_numpy(stand.action).to(device), torch.from_numpy(stand.reward).to(device)
        seen = torch.from_numpy(envs.observations).to(device)
        inputs = self.read(self.embed(parameters, seen), *last, first)
        memory = stand.memory.where(_goes_on(first, stand.begins))
        memory = self.lstm.step(parameters, "core", self.lstm.project(parameters, "core", inputs), memory)
        logits = self.policy(parameters, self.thought(parameters, memory.hidden))
        action = logits.argmax(-1).cpu().numpy() if greedy else sampled(logits, rng)
        came = envs.step(action)
        return Stand(memory, came.ended, action, came.rewards)

    def evaluate(self, parameters: Parameters, task: str, seed: int) -> dict[str, float]:
        """Mean returns on a task of episodes that are played now, ``sampled`` and ``greedy``."""
        episodes = self.settings.evaluation.episodes
        return {
            mode: float(self.returns(parameters, task, episodes, seed, greedy=mode == "greedy").mean())
            for mode in ("sampled", "greedy")
        }

    def standards(self) -> tuple[Standard, ...]:
        """The mean return on the target task of an agent that chooses its actions at random."""
        returns = random_returns(self.world, self.variant("target"))
        return (Standard(float(returns.mean()), "an agent that acts at random", random=True),)

    def share(self) -> Share | None:
        """The share that a mean return stands for, where the world has one."""
        return self.world.share if isinstance(self.world, CountingWorld) else None

    def training(
        self,
        plan: TransferPlan | None,
        members: Sequence[Parameters],
        seeds: Sequence[int],
        device: str = "cpu",
    ) -> OneByOne:
        """Bases on the source task without a plan, else transfers; one seed after the other."""
        from trainers.impala_training import ImpalaTrainer

        pairs = zip(members, seeds, strict=True)
        return OneByOne([ImpalaTrainer(self, plan, member, seed, device) for member, seed in pairs])


def sampled(logits: Tensor, rng: np.random.Generator) -> NDArray[np.int64]:
    """An action (N,) from each row of logits (N, actions), by one uniform number each."""
    rows = logits.cpu().numpy()
    below = np.exp(rows - rows.max(1, keepdims=True)).cumsum(1)
    drawn = rng.random((len(below), 1)) * below[:, -1:]
    return np.asarray((below <= drawn).sum(1).clip(max=below.shape[1] - 1), np.int64)


def _goes_on(begins: Tensor, known: NDArray[np.bool_]) -> Tensor | None:
    """1 where an episode goes on (N, 1) and 0 where one begins; None where none does."""
    return (~begins).to(torch.float32).unsqueeze(-1) if known.any() else None
