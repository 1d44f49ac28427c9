"""A Stable-Baselines3 ``.zip`` -> a Subject: its networks rebuilt from names, shapes and readable words.

torch is all that it takes. Only a features extractor, a policy or an activation of one's own is beyond that:
it is in the file as a pickle alone, which ``--trust-pickle`` lets the library itself load.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from gymnasium.spaces import Discrete
from torch import Tensor, nn
from torch.func import functional_call

from diag.sources.adapter import adapted
from diag.sources.environments import EnvironmentTasks, actions_of
from diag.sources.opening import Opening
from diag.sources.safe.names import line, shown
from diag.sources.sb3 import contrib as sb3_contrib
from diag.sources.sb3.file import Saved, read_saved
from diag.sources.sb3.losses import ActorCritic, LatentActorCritic, TemporalDifference
from diag.sources.sb3.nets import (
    ACTIVATIONS,
    KNOWN_EXTRACTOR,
    Activation,
    Extractor,
    Kind,
    Net,
    Nets,
    Observing,
    nature,
    nets_of,
)
from diag.sources.sb3.normalize import UNTOLD, statistics_of, trained_on
from diag.sources.sb3.play import Acting, OwnTasks, Player
from diag.subject import Objective, Parameters, Subject, SubjectError, TaskPair
from trainers.checkpoint import identity_of
from trainers.safe_text import in_words

POLICIES: Mapping[str, Kind] = {
    **sb3_contrib.POLICIES,
    "stable_baselines3.common.policies": "actor-critic",
    "stable_baselines3.dqn.policies": "dqn",
    "stable_baselines3.sac.policies": "sac",
    "stable_baselines3.td3.policies": "td3",
}
"""{module of a policy's class: its kind}, of the library and of sb3-contrib's that are built alike."""

SIGNS: Mapping[str, Kind] = {
    "q_net.q_net.": "dqn",
    "action_net.": "actor-critic",
    "actor.latent_pi.": "sac",
    "actor.mu.": "td3",
}
"""First parts of the weights' names in a custom policy that is built like one of the library's."""

EXTRACTOR_PREFIX: Mapping[Kind, str] = {
    "actor-critic": "features_extractor.",
    "dqn": "q_net.features_extractor.",
    "qr-dqn": "quantile_net.features_extractor.",
    "sac": "actor.features_extractor.",
    "tqc": "actor.features_extractor.",
    "td3": "actor.features_extractor.",
}

WITHOUT_REWARDS = (
    "a value trained on rewards that VecNormalize divided by an unknown number",
    "--normalize FILE with norm_reward, return_var and clip_reward in it too (docs/sources.md)",
)
"""Why there are no losses where the statistics are of observations alone."""

INSTALL = "stable-baselines3 (pip install 'transfer-diag[sb3]') or sb3-contrib"

MOST_CATEGORIES = 10**6
"""Most values of a Discrete observation: each becomes a vector of that length."""

BOUNDS = {"low": "0", "high": "255"}
"""Bounds of an image's numbers, as their space is described."""


def open_sb3(opening: Opening) -> Subject:
    """The subject in a model's file: its encoder, and its losses and returns where environments are given.

    An adapter is given the policy's state dict instead. Raises SubjectError for files that are none, and for
    networks that cannot be rebuilt from it.
    """
    path, supplied, task = opening.path, opening.supplied, opening.task
    saved = read_saved(path)
    if supplied.adapter is not None:
        return adapted(saved.weights, opening)
    kind = _kind(saved, supplied.trust_pickle)
    observing = _observing(saved)
    kwargs = saved.words("policy_kwargs")
    custom = _custom(saved, kind)
    loaded = _unpickled(saved, kind) if custom and supplied.trust_pickle else None
    if custom and loaded is None:
        raise SubjectError(path, *custom)
    plain = nature(saved.weights, EXTRACTOR_PREFIX[kind], path) if loaded is None else None
    extractor = plain or _opaque(loaded, kind)
    activation = _activation(kwargs, kind, loaded)
    shared = bool(kwargs.get("share_features_extractor", kind == "actor-critic"))
    nets = nets_of(kind, saved.weights, extractor, activation, shared, path)
    try:
        width, outputs = nets.widths(observing.width)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
        expected = f"layers that fit observations of shape {observing.width}"
        raise SubjectError(path, f"networks that do not run ({line(error)})", expected) from None
    if kind == "qr-dqn":
        actions = saved.words("action_space").get("n")
        nets = sb3_contrib.averaged(nets, outputs, actions, path)
        outputs = int(str(actions))
    tasks = opening.tasks
    if isinstance(tasks, EnvironmentTasks):
        _check_actions(saved, outputs, tasks)
    made = "its features extractor" if extractor.has_weights else "its last hidden layer"
    library, steps = f"stable-baselines3 {saved.version}".strip(), int(saved.number("num_timesteps", 0))
    known = Subject(
        path,
        saved.sha256,
        task=task,
        parameters=nets.parameters,
        tasks=tasks,
        identity=identity_of(nets.parameters),
        label=f"{_algorithm(saved, kind)} of {library}, {steps:,} steps, {width} numbers from {made}",
    )
    statistics, withheld = statistics_of(saved, kind, observing.shape, tasks, task, supplied)
    if withheld is not None:
        return replace(known, withheld=withheld)
    notes: tuple[str, ...] = ()
    if statistics is not None and statistics.path:
        notes = (f"is shown observations normalised by {in_words(statistics.path)}",)
    elif statistics is None and supplied.normalize is not None:
        notes = ("was trained on raw observations, and is shown them: --normalize has no part in it",)
    elif statistics is None and tasks is not None and trained_on(saved, kind, tasks, task) == "unknown":
        notes = (UNTOLD,)
    observing = replace(observing, statistics=statistics)
    objective, offered, player = _offered(saved, kind, nets, observing, tasks)
    if objective is not None and statistics is not None and statistics.reward_scale is None:
        objective, offered, withheld = None, tasks, WITHOUT_REWARDS
    return replace(
        known,
        encoder=Embedding(nets, observing),
        objective=objective,
        tasks=offered,
        actor=player,
        withheld=withheld,
        notes=notes,
    )


class Embedding:
    """A policy's features, or its last hidden layer, as Encoder."""

    def __init__(self, nets: Nets, observing: Observing) -> None:
        self.nets, self.observing = nets, observing

    def embed(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self.nets.embed(parameters, self.observing(observations))


def _offered(
    saved: Saved, kind: Kind, nets: Nets, observing: Observing, tasks: TaskPair | None
) -> tuple[Objective | None, TaskPair | None, Player | None]:
    """The losses of a policy in a pair of environments, the data for them, and its player."""
    acting = _acting(saved, kind)
    if not isinstance(tasks, EnvironmentTasks) or acting is None:
        return None, tasks, None
    player, gamma = Player(nets, observing, acting, tasks.ids), saved.number("gamma", 0.99)
    if kind == "dqn" and saved.number("n_steps", 1) == 1:
        return TemporalDifference(nets, observing, gamma), tasks, player
    if kind != "actor-critic":
        return None, tasks, player
    discrete = acting == "greedy"
    losses = LatentActorCritic if nets.value_reads_embedding else ActorCritic
    weights = saved.number("vf_coef", 0.5), saved.number("ent_coef", 0.0)
    own = OwnTasks(tasks, player, nets.parameters, gamma, discrete)
    return losses(nets, observing, gamma, *weights, discrete), own, player


def _kind(saved: Saved, trusted: bool) -> Kind:
    module = shown(_module(saved))
    sb3_contrib.check_built(module, saved.path)
    if (name := {"sac": "SAC", "tqc": "TQC"}.get(POLICIES.get(module, ""))) and saved.data.get("use_sde"):
        expected = f"{name} without it, or --adapter"
        raise SubjectError(saved.path, f"{name} with state-dependent exploration", expected)
    if module in POLICIES:
        return POLICIES[module]
    if not trusted:
        expected = (
            "PPO, A2C, DQN, SAC, TD3 or DDPG, TRPO, MaskablePPO, QR-DQN or TQC, "
            "or --adapter or --trust-pickle for another policy"
        )
        raise SubjectError(saved.path, f"a policy of the module {module!r}", expected)
    for start, kind in SIGNS.items():
        if any(name.startswith(start) for name in saved.weights):
            return kind
    raise SubjectError(
        saved.path, f"a policy of the module {module!r}", "one built like the library's own, or --adapter"
    )


def _module(saved: Saved) -> str:
    """The module of the policy's class."""
    return str(saved.words("policy_class").get("__module__", ""))


def _algorithm(saved: Saved, kind: Kind) -> str:
    """The algorithm's name, told by attributes that only it has."""
    if kind == "actor-critic" and _module(saved) == sb3_contrib.MASKED:
        return "MaskablePPO"
    if kind == "actor-critic":
        return "PPO" if "clip_range" in saved.data else "TRPO" if "cg_max_steps" in saved.data else "A2C"
    if kind == "td3":
        return "DDPG" if saved.words("policy_kwargs").get("n_critics") == 1 else "TD3"
    return {"dqn": "DQN", "qr-dqn": "QR-DQN", "sac": "SAC", "tqc": "TQC"}[kind]


def _custom(saved: Saved, kind: Kind) -> tuple[str, str] | None:
    """Error words (found, expected) for a part of the networks that only a pickle holds, else None."""
    kwargs = saved.words("policy_kwargs")
    if _module(saved) not in POLICIES:
        return "a policy of one's own", KNOWN_EXTRACTOR
    extractor = _class(kwargs.get("features_extractor_class", "NatureCNN"))
    if extractor not in ("NatureCNN", "FlattenExtractor"):
        return f"the features extractor {shown(extractor)}", KNOWN_EXTRACTOR
    activation = _class(kwargs.get("activation_fn", "ReLU"))
    if activation not in ACTIVATIONS:
        return (
            f"the activation {shown(activation)}",
            f"{', '.join(ACTIVATIONS)}, or --adapter or --trust-pickle",
        )
    return None


def _class(words: Any) -> str:
    """Name of a class: ``<class 'torch.nn.modules.activation.ReLU'>`` -> ``ReLU``."""
    match = re.fullmatch(r"<class '(?:torch\.nn\.modules|stable_baselines3)\.[\w.]*\.(\w+)'>", str(words))
    return match[1] if match else str(words)


def _activation(kwargs: Mapping[str, Any], kind: Kind, loaded: Any) -> Activation:
    if loaded is not None:
        made: Activation = loaded.policy.activation_fn()
        return made
    return ACTIVATIONS[_class(kwargs.get("activation_fn", "Tanh" if kind == "actor-critic" else "ReLU"))]


def _acting(saved: Saved, kind: Kind) -> Acting | None:
    """The way in which outputs become actions; None for spaces and noises that are not known here."""
    space = _space(saved, "action_space")
    if _module(saved) == sb3_contrib.MASKED:
        return None
    if space == "Discrete":
        return "greedy"
    if space != "Box" or saved.data.get("use_sde"):
        return None
    return "clipped" if kind == "actor-critic" else "squashed"


def _check_actions(saved: Saved, outputs: int, tasks: EnvironmentTasks) -> None:
    """Raises SubjectError where the environments take other actions than the policy makes."""
    space = _space(saved, "action_space")
    known: Any = actions_of(tasks.ids["target"])
    if space in ("Discrete", "Box"):
        wanted = known.n if isinstance(known, Discrete) else math.prod(known.shape or ())
        if type(known).__name__ != space or wanted != outputs:
            actions = f"a policy of {space} actions, {outputs} numbers"
            raise SubjectError(saved.path, actions, f"one of {known}, as {tasks.name} take them")


def _space(saved: Saved, name: str) -> str:
    """Name of a space's class, such as ``Box``."""
    match = re.fullmatch(
        r"<class 'gym(?:nasium)?\.spaces\.\w+\.(\w+)'>", str(saved.words(name).get(":type:"))
    )
    return match[1] if match else "unknown"


def _observing(saved: Saved) -> Observing:
    """The preparation of observations, by the readable description of their space."""
    words, space = saved.words("observation_space"), _space(saved, "observation_space")
    if space == "Discrete":
        count = str(words.get("n"))
        if not re.fullmatch(r"\d{1,7}", count) or not 0 < int(count) <= MOST_CATEGORIES:
            raise SubjectError(
                saved.path, f"{shown(count)} values of observations", f"1 to {MOST_CATEGORIES}"
            )
        return Observing(saved.path, (), int(count), scaled=False)
    if space not in ("Box", "MultiBinary"):
        expected = "Box, MultiBinary or Discrete ones, or --adapter"
        raise SubjectError(saved.path, f"{shown(space)} observations", expected)
    shape = words.get("_shape")
    if (
        not isinstance(shape, list)
        or len(shape) > 8
        or not all(type(s) is int and 0 < s < 2**24 for s in shape)
    ):
        raise SubjectError(saved.path, f"observations of shape {shown(shape)}", "a few whole numbers")
    image = len(shape) == 3 and words.get("dtype") == "uint8"
    for end, of in BOUNDS.items():  # the words are numpy's, with dots for the middle of a large array
        image = image and set(re.findall(r"[-\w.]*\w", str(words.get(end)))) <= {of}
    scaled = image and bool(saved.words("policy_kwargs").get("normalize_images", True))
    return Observing(saved.path, tuple(shape), None, scaled)


def _unpickled(saved: Saved, kind: Kind) -> Any:
    """The model as the library itself loads it, which runs what code the file has; raises SubjectError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            name = _algorithm(saved, kind)
            contrib = name in ("MaskablePPO", "QR-DQN", "TQC", "TRPO")
            library = import_module("sb3_contrib" if contrib else "stable_baselines3")
            return getattr(library, name.replace("-", "")).load(saved.path, device="cpu")
    except ImportError as error:
        expected = f"what it was trained with, and {INSTALL}"
        raise SubjectError(saved.path, f"a model that cannot be loaded ({line(error)})", expected) from None
    except Exception as error:  # the file's own code is run
        raise SubjectError(
            saved.path, f"a model that cannot be loaded ({line(error)})", "one that Stable-Baselines3 loads"
        ) from None


def _opaque(loaded: Any, kind: Kind) -> Extractor:
    """A custom features extractor, run as it is with the weights that it is given."""
    policy = loaded.policy
    owners = {"actor-critic": "", "dqn": "q_net", "qr-dqn": "quantile_net"}
    owner = getattr(policy, name) if (name := owners.get(kind, "actor")) else policy
    module: nn.Module = owner.features_extractor.eval().requires_grad_(False)
    names = [n for n, t in module.state_dict().items() if t.is_floating_point()]

    def build(stem: str) -> Net:
        def run(parameters: Parameters, x: Tensor) -> Tensor:
            own = {name: parameters[f"{stem}{name}"] for name in names}
            result: Tensor = functional_call(module, own, (x,))
            return result

        return run

    return Extractor(build, bool(names))
