"""The state dict of a Stable-Baselines3 policy -> its networks as functions of named parameters.

Names and shapes say all but the activation, which the policy's arguments name. The component ``encoder`` is
what makes the embedding: the features extractor where it has weights; else (vectors and numbers, which are
only flattened) the hidden layers that end in the policy's, or the Q-network's, last one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from diag.sources.sb3.statistics import Statistics
from diag.subject import Parameters, SubjectError

Activation: TypeAlias = Callable[[Tensor], Tensor]
Kind: TypeAlias = Literal["dqn", "qr-dqn", "actor-critic", "sac", "tqc", "td3"]
Net: TypeAlias = Callable[[Parameters, Tensor], Tensor]

ACTIVATIONS: Mapping[str, Activation] = {
    "ELU": functional.elu,
    "GELU": functional.gelu,
    "LeakyReLU": functional.leaky_relu,
    "Mish": functional.mish,
    "ReLU": functional.relu,
    "SELU": functional.selu,
    "SiLU": functional.silu,
    "Sigmoid": torch.sigmoid,
    "Softplus": functional.softplus,
    "Tanh": torch.tanh,
}
"""Modules of ``torch.nn`` without weights, as they are without arguments."""

STRIDES = {"cnn.0": (8, 4), "cnn.2": (4, 2), "cnn.4": (3, 1)}
"""Kernel and stride of NatureCNN's convolutions (Mnih et al. 2015)."""

PARTS = ("weight", "bias")

EXPECTED = "the layers of a Stable-Baselines3 policy, or --adapter for others"
KNOWN_EXTRACTOR = "NatureCNN, or --adapter or --trust-pickle for another"


@dataclass(frozen=True)
class Observing:
    """Observations of an environment -> what the networks take, as Stable-Baselines3 prepares them."""

    path: str
    """Path of the policy's file, for errors about observations that do not fit."""
    shape: tuple[int, ...]
    """Shape of one observation, channels first for images."""
    categories: int | None
    """Number of values of a Discrete space, for one-hot vectors; None for other spaces."""
    scaled: bool
    """Whether images are divided by 255."""
    statistics: Statistics | None = None
    """Statistics that normalise observations first, where the policy was trained with them."""

    @property
    def width(self) -> tuple[int, ...]:
        """The shape of one prepared observation."""
        return self.shape if self.categories is None else (self.categories,)

    def __call__(self, observations: Tensor) -> Tensor:
        """Prepare observations (n, *shape), or images (n, H, W, C) for nets of (C, H, W), as float32."""
        if self.categories is not None:
            whole = not observations.is_floating_point() and observations.shape[1:].numel() == 1
            if not whole or not bool(((observations >= 0) & (observations < self.categories)).all()):
                wanted = f"a policy for observations that are numbers from 0 to {self.categories - 1}"
                raise SubjectError(self.path, wanted, "one for the observations that it is shown")
            return functional.one_hot(observations.long().reshape(-1), self.categories).float()
        if observations.shape[1:] != self.shape and observations.ndim == 4:
            observations = observations.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
        if observations.shape[1:] != self.shape:
            wanted = f"a policy for observations of shape {self.shape}"
            raise SubjectError(
                self.path, wanted, f"one for {tuple(observations.shape[1:])}, as they are shown"
            )
        if self.statistics is not None:
            observations = self.statistics.observations(observations)
        return observations.float() / 255 if self.scaled else observations.float()


@dataclass(frozen=True)
class Chain:
    """Dense layers with activations between them; ``layers`` are the stems of their names: ``encoder/0.``."""

    layers: tuple[str, ...]
    activation: Activation
    closed: bool
    """Whether an activation follows the last layer too."""

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = functional.linear(x, parameters[f"{layer}weight"], parameters[f"{layer}bias"])
            if self.closed or number < len(self.layers) - 1:
                x = self.activation(x)
        return x


@dataclass(frozen=True)
class Nature:
    """NatureCNN: three convolutions and a dense layer, each with ReLU; ``stem`` begins their names."""

    stem: str

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        for layer, (_, stride) in STRIDES.items():
            weight, bias = (parameters[f"{self.stem}{layer}.{part}"] for part in PARTS)
            x = functional.relu(functional.conv2d(x, weight, bias, stride))
        weight, bias = (parameters[f"{self.stem}linear.0.{part}"] for part in PARTS)
        return functional.relu(functional.linear(x.flatten(1), weight, bias))


def flatten(parameters: Parameters, x: Tensor) -> Tensor:
    """Flatten observations, as the features extractor without weights does."""
    return x.flatten(1)


@dataclass(frozen=True)
class Extractor:
    """Features extractor: observations -> features."""

    build: Callable[[str], Net]
    """Function that makes the net from the stem of its parameters' names."""
    has_weights: bool


PLAIN = Extractor(lambda stem: flatten, has_weights=False)
"""The features extractor without weights: observations are only flattened."""


@dataclass(frozen=True)
class Nets:
    """A policy's networks; every one takes the policy's parameters by their new names."""

    parameters: Parameters
    """``component/parameter``; the target networks are the component ``target``."""
    embed: Net
    """Preprocessed observations (n, ...) -> embeddings (n, d)."""
    act: Net
    """Embeddings -> Q-values (DQN), logits, or the mean of continuous actions before any bounds, (n, A)."""
    value: Net | None = None
    """Actor-critic: values (n, 1), of embeddings where ``value_reads_embedding``, else of observations."""
    value_reads_embedding: bool = False
    target: Net | None = None
    """DQN: observations -> Q-values (n, A) of the target network."""

    def widths(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """d and A for preprocessed observations (*shape); RuntimeError where the layers do not fit together.

        Only shapes are worked out: nothing is computed, and nothing of that size is made.
        """
        bare = {name: tensor.to("meta") for name, tensor in self.parameters.items()}
        observations = torch.empty((1, *shape), device="meta")
        points = self.embed(bare, observations)
        outputs = self.act(bare, points)
        sizes = [points.shape[1], outputs.shape[1]]
        if self.value is not None:
            values = self.value(bare, points if self.value_reads_embedding else observations)
            if values.shape[1] != 1:
                raise RuntimeError(f"{values.shape[1]} values")
        if self.target is not None:
            sizes.append(self.target(bare, observations).shape[1])
            if sizes[1] != sizes[2]:
                raise RuntimeError(f"{sizes[1]} Q-values, {sizes[2]} of the target network")
        if 0 in sizes:
            raise RuntimeError("layers without units")
        return points.shape[1], outputs.shape[1]


def nets_of(
    kind: Kind,
    state: Parameters,
    extractor: Extractor,
    activation: Activation,
    shared: bool,
    path: str,
) -> Nets:
    """The networks of a policy, by its kind.

    ``shared`` says whether policy and value read one features extractor. Raises SubjectError for a state
    dict that is not that policy's.
    """
    names = _Names(state, path)
    nets = _BUILDERS[kind](names, extractor, activation, shared)
    names.done()
    return nets


def nature(state: Parameters, prefix: str, path: str) -> Extractor:
    """NatureCNN where a state dict has its layers under ``prefix``; PLAIN where there are none."""
    under = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    if not under:
        return PLAIN
    expected = {f"{layer}.{part}" for layer in (*STRIDES, "linear.0") for part in PARTS}
    if other := sorted(under.keys() ^ expected):
        other_layers = f"a features extractor with other layers ({', '.join(other[:3])[:80]})"
        raise SubjectError(path, other_layers, KNOWN_EXTRACTOR)
    for layer, (size, _) in STRIDES.items():
        if (kernel := under[f"{layer}.weight"].shape)[2:] != (size, size):
            raise SubjectError(
                path, f"a features extractor with {layer} of shape {tuple(kernel)}", KNOWN_EXTRACTOR
            )
    return Extractor(Nature, has_weights=True)


class _Names:
    """Renames the tensors of a state dict, each once."""

    def __init__(self, state: Parameters, path: str) -> None:
        self.state, self.path = dict(state), path
        self.renamed: dict[str, Tensor] = {}

    def move(self, old: str, new: str) -> None:
        """Rename all tensors that begin with ``old`` to begin with ``new``."""
        for name in [name for name in self.state if name.startswith(old)]:
            self.renamed[new + name.removeprefix(old)] = self.state.pop(name)

    def drop(self, old: str, same: str) -> None:
        """Leave out tensors that begin with ``old``, a second name of the module that became ``same``."""
        for name in [name for name in self.state if name.startswith(old)]:
            other = self.renamed.get(same + name.removeprefix(old))
            if other is None or not torch.equal(self.state.pop(name), other):
                raise SubjectError(self.path, f"{name} other than the shared one", EXPECTED)

    def last(self, prefix: str) -> int:
        """The number of the last dense layer under an old prefix."""
        matches = [re.fullmatch(re.escape(prefix) + r"(\d{1,3})\.weight", name) for name in self.state]
        numbers = [int(m[1]) for m in matches if m]
        if not numbers:
            raise SubjectError(self.path, f"no layers {prefix!r}", EXPECTED)
        return max(numbers)

    def chain(self, stem: str, activation: Activation, closed: bool, start: int = 0) -> Chain:
        """The dense layers under a new stem, numbered from ``start`` by twos: activations stand between."""
        under = {name.removeprefix(stem) for name in self.renamed if name.startswith(stem)}
        count = len(under) // 2
        numbers = range(start, start + 2 * count, 2)
        if under != {f"{number}.{part}" for number in numbers for part in PARTS}:
            raise SubjectError(self.path, f"layers other than dense ones in {stem!r}", EXPECTED)
        return Chain(tuple(f"{stem}{number}." for number in numbers), activation, closed)

    def single(self, stem: str) -> Chain:
        """The only dense layer under a new stem."""
        if not {f"{stem}{part}" for part in PARTS} <= self.renamed.keys():
            raise SubjectError(self.path, f"no layer {stem!r}", EXPECTED)
        return Chain((stem,), torch.relu, closed=False)

    def hidden(self, chain: Chain) -> Chain:
        """The layers that make the embedding where the extractor has no weights; there must be one."""
        if not chain.layers:
            expected = "hidden layers or a features extractor: something that makes an embedding"
            raise SubjectError(self.path, "a linear policy", expected)
        return chain

    def done(self) -> None:
        if self.state:
            raise SubjectError(self.path, f"weights {min(self.state)[:80]!r}", EXPECTED)


def _after(first: Net, second: Net) -> Net:
    return lambda parameters, x: second(parameters, first(parameters, x))


def _dqn(names: _Names, extractor: Extractor, activation: Activation, shared: bool) -> Nets:
    (embed, q), (target_embed, target_q) = (
        _q_network(names, extractor, activation, *where)
        for where in (("q_net.", "", "/"), ("q_net_target.", "target/", "."))
    )
    return Nets(names.renamed, embed, q, target=_after(target_embed, target_q))


def _qr_dqn(names: _Names, extractor: Extractor, activation: Activation, shared: bool) -> Nets:
    """The networks of QR-DQN: DQN's under other names, with every quantile of every action as an output."""
    names.state = {name.replace("quantile_net", "q_net"): t for name, t in names.state.items()}
    return _dqn(names, extractor, activation, shared)


def _q_network(
    names: _Names, extractor: Extractor, activation: Activation, old: str, new: str, dot: str
) -> tuple[Net, Net]:
    """The net that makes a Q-network's embedding, and the head on it."""
    encoder, head = f"{new}encoder{dot}", f"{new}q{dot}"
    last = names.last(f"{old}q_net.")
    if extractor.has_weights:
        names.move(f"{old}features_extractor.", encoder)
        names.move(f"{old}q_net.", head)
        return extractor.build(encoder), names.chain(head, activation, closed=False)
    names.move(f"{old}q_net.{last}.", f"{head}{last}.")
    names.move(f"{old}q_net.", encoder)
    hidden = names.hidden(names.chain(encoder, activation, closed=True))
    return _after(extractor.build(encoder), hidden), names.chain(head, activation, closed=False, start=last)


def _actor_critic(names: _Names, extractor: Extractor, activation: Activation, shared: bool) -> Nets:
    names.move("features_extractor.", "encoder/")
    names.drop("pi_features_extractor.", "encoder/")
    if shared:
        names.drop("vf_features_extractor.", "encoder/")
    else:
        names.move("vf_features_extractor.", "value_encoder/")
    stem = "policy_latent/" if extractor.has_weights else "encoder/"
    names.move("mlp_extractor.policy_net.", stem)
    names.move("mlp_extractor.value_net.", "value_latent/")
    names.move("action_net.", "action/")
    names.move("log_std", "action/log_std")
    names.move("value_net.", "value/")
    latent, action = names.chain(stem, activation, closed=True), names.single("action/")
    critic = _after(names.chain("value_latent/", activation, closed=True), names.single("value/"))
    features = extractor.build("encoder/")
    if not extractor.has_weights:
        embed = _after(features, names.hidden(latent))
        return Nets(names.renamed, embed, action, _after(features, critic))
    act = _after(latent, action)
    if shared:
        return Nets(names.renamed, features, act, critic, value_reads_embedding=True)
    return Nets(names.renamed, features, act, _after(extractor.build("value_encoder/"), critic))


def _sac(names: _Names, extractor: Extractor, activation: Activation, shared: bool) -> Nets:
    stem = "policy_latent/" if extractor.has_weights else "encoder/"
    names.move("actor.latent_pi.", stem)
    names.move("actor.mu.", "action/")
    names.move("actor.log_std.", "action/log_std.")
    latent = names.chain(stem, activation, closed=True)
    return _off_policy(names, extractor, latent, names.single("action/"), shared)


def _td3(names: _Names, extractor: Extractor, activation: Activation, shared: bool) -> Nets:
    stem = "policy_latent/" if extractor.has_weights else "encoder/"
    last = names.last("actor.mu.")
    names.move(f"actor.mu.{last}.", f"action/{last}.")
    names.move("actor.mu.", stem)
    latent = names.chain(stem, activation, closed=True)
    action = names.chain("action/", activation, closed=False, start=last)
    return _off_policy(names, extractor, latent, action, shared)


def _off_policy(names: _Names, extractor: Extractor, latent: Chain, action: Chain, shared: bool) -> Nets:
    """The networks of SAC and TD3; their critics read observations and actions, and are only carried."""
    names.move("actor.features_extractor.", "encoder/")
    if shared:
        names.drop("critic.features_extractor.", "encoder/")
    names.move("critic.", "critic/")
    names.move("actor_target.", "target/actor.")
    names.move("critic_target.", "target/critic.")
    features = extractor.build("encoder/")
    if extractor.has_weights:
        return Nets(names.renamed, features, _after(latent, action))
    return Nets(names.renamed, _after(features, names.hidden(latent)), action)


_BUILDERS: Mapping[Kind, Callable[[_Names, Extractor, Activation, bool], Nets]] = {
    "dqn": _dqn,
    "qr-dqn": _qr_dqn,
    "actor-critic": _actor_critic,
    "sac": _sac,
    "tqc": _sac,  # whose critics of quantiles are only carried
    "td3": _td3,
}
