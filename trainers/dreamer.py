"""Dreamer: a world model that imagines, and an actor and a critic that learn from what it imagines.

Hafner et al., arXiv 2010.02193 (version 2: categorical latents, KL balancing, REINFORCE) and 1912.01603
(version 1: Gaussian latents, gradients through the dynamics). Components: ``encoder`` (an observation's
embedding), ``recurrent`` (:mod:`trainers.rssm`), ``decoder``, ``reward`` and ``discount`` (heads on the
latent state: the observation, the reward on arrival, the chance that the episode goes on), ``actor`` and
``critic``.

The world model descends, as means over a batch's B sequences of T rows,

    image + w_r·reward + w_d·discount + w_KL·(α·KL(sg(q) ‖ p) + (1 − α)·KL(q ‖ sg(p))),

where ``image`` and ``reward`` are −log-likelihoods (of deviation 1 without their constants; ``image`` may be
of chances), and ``discount`` that of "not terminal". Actor and critic: :mod:`trainers.imagination`.

Actions are discrete, or continuous (:mod:`trainers.actors`), as the world has them. A transfer's ``reward``
may be a meta-model (the second paper, section 4.2): beside the latent state it reads what frozen copies of
its bases' reward models, ``reward.source``, say of it.

A phase either trains the world model alone on recorded data (``recorded``; :mod:`trainers.recorded`), or acts
and trains all of it on what it met (``agent``). What a plan freezes stays; what is learned beside goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from trainers.actors import Actor, actor_of
from trainers.codecs import CodecError, Decoder, Encoder, decoder_of, encoder_of
from trainers.dense import Dense, Parameters, fresh_weights
from trainers.dreamer_settings import DreamerSettings
from trainers.envs.acting import Discrete, World, WorldError
from trainers.envs.played import random_returns
from trainers.envs.several import world_of
from trainers.one_by_one import OneByOne
from trainers.plan import TransferPlan
from trainers.policies import check_policies
from trainers.recorded import Recording, absent, recorded
from trainers.replay import Sequences
from trainers.rssm import Latents, Rssm, Seen, State
from trainers.settings import Settings, SettingsError
from trainers.streams import PLAY_STREAM, WEIGHT_STREAM, generator
from trainers.system import Misfit, Standard, Training
from trainers.threads import one_thread

MODEL = ("encoder", "recurrent", "decoder", "reward", "discount")
"""The components of the world model, which one optimiser trains."""

META = "reward/0.weight"
"""The weight that reads the latent state, and in a meta-model what the sources' reward models say."""

BRIGHTEST = 255.0
"""An observation's numbers are divided by this."""


SIZES = ("latents", "groups", "classes", "deterministic", "hidden", "norm", "codec", "widths", "heads")
"""Settings of the nets that a base and a transfer of it have in common."""


def _size(world: World) -> str:
    return "×".join(map(str, world.observation_shape))


def _acted(world: World) -> str:
    return f"{world.actions.n} {'discrete' if isinstance(world.actions, Discrete) else 'continuous'}"


def scaled(observations: Tensor) -> Tensor:
    """Observations of 0 … 1: those of uint8 divided by :data:`BRIGHTEST`, others as they are."""
    if observations.dtype != torch.uint8:
        return observations
    return observations.to(torch.float32).mul_(1 / BRIGHTEST)


class Outlook(NamedTuple):
    """What the heads expect at latent states (…,)."""

    reward: Tensor
    discount: Tensor
    """γ times the chance that the episode goes on."""


@dataclass(frozen=True)
class Dreamer:
    """The networks and losses of one Dreamer agent, a :class:`trainers.system.System`; no parameters."""

    name: ClassVar[str] = "dreamer"
    settings_type: ClassVar[type[Settings]] = DreamerSettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    readers: ClassVar[tuple[str, ...]] = ("recurrent", "decoder", "reward", "discount", "actor", "critic")
    ensembles: ClassVar[tuple[str, ...]] = ("reward",)

    settings: DreamerSettings
    world: World
    actor: Actor = field(init=False)
    """What the actor's outputs mean."""
    encoder: Encoder = field(init=False)
    decoder: Decoder = field(init=False)
    rssm: Rssm = field(init=False)
    heads: Mapping[str, Dense] = field(init=False)
    """Fully connected nets on the latent state: ``reward``, ``discount``, ``actor`` and ``critic``."""

    @classmethod
    def of(cls, settings: Settings) -> Dreamer:
        """The agent of these settings; raises SettingsError for a world or nets that cannot be."""
        assert isinstance(settings, DreamerSettings)
        try:
            world = world_of(settings.world)
        except WorldError as error:
            raise SettingsError(f"setting 'world': {error}") from None
        for task in ("source", "target"):
            for look in getattr(settings.tasks, task):
                if look not in world.variants:
                    known = ", ".join(world.variants)
                    raise SettingsError(f"setting 'tasks.{task}': found {look!r}, expected some of {known}")
        for task, phase in (("source", settings.train), ("target", settings.transfer)):
            looks, places = len(getattr(settings.tasks, task)), settings.acting.environments
            if phase.algorithm == "agent" and places < looks:
                raise SettingsError(
                    f"setting 'acting.environments': found {places}, expected {looks} or more: one for each "
                    f"of tasks.{task}, since others would never be met"
                )
        check_policies(settings.data.policies, world)
        acting, length = settings.acting, settings.batches.length
        for name, rows in (("prefill", acting.prefill), ("capacity", acting.capacity)):
            if rows // acting.environments < length:
                least = length * acting.environments
                raise SettingsError(
                    f"setting 'acting.{name}': found {rows}, expected {least} or more: a sequence of "
                    f"{length} steps for each of {acting.environments} environments"
                )
        try:
            return cls(settings, world)
        except CodecError as error:
            raise SettingsError(f"setting 'model.codec': {error}") from None

    def __post_init__(self) -> None:
        model = self.settings.model
        latents = Latents(model.latents, model.groups, model.classes)
        features = latents.size + model.deterministic
        encoder = encoder_of(model.codec, self.world.observation_shape, model.widths)
        actor = actor_of(self.world.actions)
        outputs = {"reward": 1, "discount": 1, "actor": actor.outputs, "critic": 1}
        made = {
            "actor": actor,
            "encoder": encoder,
            "decoder": decoder_of(model.codec, features, self.world.observation_shape, model.widths),
            "rssm": Rssm(
                latents, model.deterministic, model.hidden, encoder.out, self.world.actions.n, model.norm
            ),
            "heads": {name: Dense((features, *model.heads, out)) for name, out in outputs.items()},
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    @property
    def terms(self) -> tuple[str, ...]:
        """The loss terms: those of the world model, then those of acting."""
        return ("image", "reward", "discount", "kl", "actor", "critic")

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the world model's terms."""
        loss = self.settings.loss
        return {
            "image": loss.image_weight,
            "reward": loss.reward_weight,
            "discount": loss.discount_weight,
            "kl": loss.kl_weight,
        }

    @property
    def embedding(self) -> int:
        """Numbers in a latent state."""
        return self.rssm.latents.size + self.rssm.deterministic

    def shapes(self, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, ``component/parameter``: a meta-model has more inputs."""
        nets = {"encoder": self.encoder, "recurrent": self.rssm, "decoder": self.decoder, **self.heads}
        shapes = {f"{c}/{name}": shape for c, net in nets.items() for name, shape in net.shapes().items()}
        units, read = shapes[META]
        copies = 0 if plan is None else len(plan.copies([META], bases))
        return {**shapes, META: (units, read + copies)}

    def misfit(self, base: Settings) -> Misfit | None:
        """The first thing in which a base's observations, actions or nets are not those of these settings."""
        assert isinstance(base, DreamerSettings)
        other, named = world_of(base.world), f"world {self.settings.world!r}: train a base in it"
        for what, mine, theirs in (
            ("observations", _size(self.world), _size(other)),
            ("actions", _acted(self.world), _acted(other)),
        ):
            if mine != theirs:
                return Misfit(f"{theirs} {what} of world {base.world!r}", f"{mine}, those of {named}")
        for name in SIZES:
            mine, theirs = getattr(self.settings.model, name), getattr(base.model, name)
            if mine != theirs:
                word = ",".join(map(str, theirs)) if isinstance(theirs, tuple) else theirs
                todo = f"give bases that agree, or --set 'model.{name}={word}' where all have it"
                return Misfit(f"model.{name} = {theirs}", f"{mine}, as in the run's settings: {todo}")
        return None

    def columns(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Named inputs of a parameter, {parameter: {inputs: columns [from, to)}}."""
        first = self.rssm.latents.size
        return {"recurrent/input.weight": {"action": (first, first + self.rssm.actions)}}

    def fresh(self, *seed: int, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, Tensor]:
        """Fresh parameters; those of one seed are the same whatever is trained of them."""
        return fresh_weights(self.shapes(plan, bases), generator(WEIGHT_STREAM, *seed))

    def looks(self, task: str) -> tuple[str, ...]:
        """The world's looks that a task shows."""
        tasks = self.settings.tasks
        return tasks.source if task == "source" else tasks.target

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Embeddings (…, E) of single observations (…, c, h, w): uint8, or scaled (:func:`scaled`)."""
        seen = scaled(observations.reshape(-1, *observations.shape[-3:]))
        return self.encoder(parameters, "encoder", seen).reshape(*observations.shape[:-3], -1)

    def observe(
        self,
        parameters: Parameters,
        batch: Sequences,
        noise: Tensor | None,
        state: State | None = None,
        once: bool = False,
    ) -> Seen:
        """Latent states along sequences; without noise, each stochastic part is the most likely one."""
        actions = self.actor.read(batch.action)
        embeddings = self.embed(parameters, batch.observation)
        return self.rssm.observe(parameters, embeddings, actions, batch.first, noise, state, once)

    def head(self, parameters: Parameters, component: str, features: Tensor) -> Tensor:
        """Outputs (…,) of reward, discount (a logit) and critic, or the actor's (…, outputs)."""
        read = features
        if component == "reward" and parameters[META].shape[-1] > self.embedding:
            read = torch.cat([features, self.told(parameters, features)], -1)
        out = self.heads[component](parameters, component, read)
        return out if component == "actor" else out.squeeze(-1)

    def told(self, parameters: Parameters, features: Tensor) -> Tensor:
        """What the frozen reward models of the bases say (…, bases) of latent states, in the bases' order."""
        copies = sorted(
            {name.partition("/")[0] for name in parameters if name.startswith("reward.source")},
            key=lambda name: int(name.removeprefix("reward.source") or 0),
        )
        return torch.cat([self.heads["reward"](parameters, copy, features) for copy in copies], -1)

    def outlook(self, parameters: Parameters, features: Tensor) -> Outlook:
        """What reward and discount are expected at latent states."""
        chance = self.head(parameters, "discount", features).sigmoid()
        return Outlook(self.head(parameters, "reward", features), self.settings.loss.discount * chance)

    def pictured(self, parameters: Parameters, features: Tensor) -> Tensor:
        """The decoder's pictures (…, c, h, w) of latent states (…, F): means, or chances."""
        pictures = self.decoder(parameters, "decoder", features.reshape(-1, features.shape[-1]))
        if self.settings.loss.image == "bernoulli":
            pictures = pictures.sigmoid()
        return pictures.reshape(*features.shape[:-1], *pictures.shape[1:])

    def predictions(self, parameters: Parameters, batch: Sequences, features: Tensor) -> dict[str, Tensor]:
        """Losses {term: (T, B)} of what the heads and the decoder say of latent states (T, B, F)."""
        seen = scaled(batch.observation.flatten(0, 1))
        flat = features.flatten(0, 1)
        pictures = self.decoder(parameters, "decoder", flat)
        if self.settings.loss.image == "bernoulli":
            image = softplus(pictures) - pictures * seen  # −ln of the chances, in fewer passes
        else:
            image = (pictures - seen).square() / 2
        reward = (self.head(parameters, "reward", features) - batch.reward).square() / 2
        logits = self.head(parameters, "discount", features)
        goes_on = (~batch.terminal).to(torch.float32)
        discount = binary_cross_entropy_with_logits(logits, goes_on, reduction="none")
        return {
            "image": image.flatten(1).sum(1).reshape(batch.reward.shape),
            "reward": reward,
            "discount": discount,
        }

    def kl(self, seen: Seen) -> Tensor:
        """The mean KL between posteriors and priors, balanced, and free below ``loss.free_nats``.

        Each of its two parts stays at its share of the free nats, as in DreamerV2's public code.
        """
        loss = self.settings.loss
        to_prior, to_posterior = self.rssm.latents.balanced(seen.posterior, seen.prior, loss.balance)
        shares = (loss.balance, 1 - loss.balance)
        both = zip((to_prior, to_posterior), shares, strict=True)
        first, second = (part.mean().clamp_min(share * loss.free_nats) for part, share in both)
        return first + second

    def evaluate(self, parameters: Parameters, task: str, seed: int) -> dict[str, float]:
        """Mean return on a task, ``sampled`` from the policy; empty where no actor was trained."""
        phase = self.settings.train if task == "source" else self.settings.transfer
        if phase.algorithm == "recorded":
            return {}
        return {
            "sampled": float(self.returns(parameters, task, self.settings.evaluation.episodes, seed).mean())
        }

    def returns(self, parameters: Parameters, task: str, episodes: int, *seed: int) -> NDArray[np.float64]:
        """Undiscounted returns (episodes,), the looks of the task in turn; actions drawn from the policy."""
        looks = self.looks(task)
        found = np.zeros(episodes, np.float64)
        for number, look in enumerate(looks[:episodes]):
            places = np.arange(number, episodes, len(looks))
            found[places] = self._played(parameters, look, len(places), *seed, number)
        return found

    def _played(self, parameters: Parameters, look: str, n: int, *seed: int) -> NDArray[np.float64]:
        """Returns (n,) of the first episode of n environments."""
        from trainers.dreamer_acting import Player

        rng = generator(PLAY_STREAM, *seed)
        envs = self.world.envs(look, n, *seed, PLAY_STREAM)
        device = str(parameters["encoder/0.weight"].device)
        player, total, going = Player(self, n, device), np.zeros(n, np.float64), np.ones(n, np.bool_)
        with one_thread():
            for _ in range(self.world.max_steps):
                step = envs.step(player.act(parameters, envs.observations, rng))
                player.first = step.ended
                total += np.where(going, step.rewards, 0)
                going &= ~step.ended
                if not going.any():
                    break
        envs.close()
        return total

    def standards(self) -> tuple[Standard, ...]:
        """The mean return on the target task of an agent that chooses its actions at random."""
        returns = [random_returns(self.world, look).mean() for look in self.looks("target")]
        return (Standard(float(np.mean(returns)), "an agent that acts at random", random=True),)

    def provide(self, plan: TransferPlan | None) -> None:
        """Record the data of a phase that learns from such, unless they are there."""
        phase, task = (self.settings.train, "source") if plan is None else (self.settings.transfer, "target")
        if phase.algorithm == "recorded":
            self.recording(task)

    def sketch(self, folder: str) -> Dreamer:
        """The same agent on some random rows in a folder; a training of it is of use to a clock alone."""
        settings, length = self.settings, self.settings.batches.length
        data = {"folder": folder, "policies": ("random",), "steps": 4 * length, "environments": 1}
        acting = {"prefill": length * settings.acting.environments}
        update: dict[str, Any] = {
            "data": settings.data.model_copy(update=data),
            "acting": settings.acting.model_copy(update=acting),
        }
        return Dreamer(settings.model_copy(update=update), self.world)

    def missing(self, plan: TransferPlan | None) -> tuple[str, float] | None:
        """The recording that a phase would make, and about how many seconds that takes."""
        phase, task = (self.settings.train, "source") if plan is None else (self.settings.transfer, "target")
        if phase.algorithm != "recorded":
            return None
        return absent(self.world, self.settings.world, self.looks(task), self.settings.data)

    def recording(self, task: str) -> Recording:
        """The recorded data of a task, made now unless their file is there."""
        return recorded(self.world, self.settings.world, self.looks(task), self.settings.data)

    def training(
        self,
        plan: TransferPlan | None,
        members: Sequence[Mapping[str, Tensor]],
        seeds: Sequence[int],
        device: str = "cpu",
    ) -> Training:
        """Bases on the source task without a plan, else transfers: seed after seed."""
        from trainers.dreamer_training import DreamerTraining

        each = [DreamerTraining(self, plan, m, s, device) for m, s in zip(members, seeds, strict=True)]
        return each[0] if len(each) == 1 else OneByOne(each)
