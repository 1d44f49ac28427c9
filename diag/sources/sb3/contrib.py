"""Policies of sb3-contrib: which are rebuilt like the library's own, and what to do with the others.

TRPO's, MaskablePPO's, TQC's and QR-DQN's networks are those of PPO, SAC and DQN, but for what the last layer
says. A recurrent policy, CrossQ's with its batch renormalisation and the linear ones of ARS are not: their
embeddings are written by the library itself, in a line of Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from diag.sources.safe.names import shown
from diag.sources.sb3.nets import Kind, Nets
from diag.subject import Parameters, SubjectError

MASKED = "sb3_contrib.common.maskable.policies"
"""Module of MaskablePPO's policy: its file does not say which actions are allowed, so it cannot be played."""

POLICIES: Mapping[str, Kind] = {
    MASKED: "actor-critic",
    "sb3_contrib.qrdqn.policies": "qr-dqn",
    "sb3_contrib.tqc.policies": "tqc",
}
"""The modules of policies that are rebuilt. TRPO's is one of Stable-Baselines3 itself."""

OTHERS: Mapping[str, tuple[str, str, str]] = {
    "sb3_contrib.common.recurrent.policies": (
        "RecurrentPPO",
        "whose memory makes its embedding depend on all steps before",
        "h = p.lstm_actor(BaseModel.extract_features(p, o, p.pi_features_extractor)[:, None])[0][:, 0]",
    ),
    "sb3_contrib.crossq.policies": (
        "CrossQ",
        "with batch renormalisation between its layers",
        "h = p.actor.latent_pi(p.actor.extract_features(o, p.actor.features_extractor))",
    ),
    "sb3_contrib.ars.policies": (
        "ARS",
        "which has no value and trains without gradients",
        "n = max(i for i, m in enumerate(p.action_net) if hasattr(m, 'in_features')); "
        "h = p.action_net[:n](p.extract_features(o, p.features_extractor))",
    ),
}
"""Policies that are not rebuilt: algorithm, why, and the Python that makes embeddings h of observations o."""


def check_built(module: str, path: str) -> None:
    """Raises SubjectError, which says what to do instead, for a policy that is not rebuilt."""
    if module not in OTHERS:
        return
    algorithm, why, line = OTHERS[module]
    steps = " of one episode" if algorithm == "RecurrentPPO" else ""
    code = (
        f"import numpy as np; from stable_baselines3.common.policies import BaseModel; "
        f"from sb3_contrib import {algorithm}; p = {algorithm}.load('{path}', device='cpu').policy; "
        f"p.set_training_mode(False); o = p.obs_to_tensor(np.load('observations.npy'))[0]; {line}; "
        f"np.save('{Path(path).with_suffix('.npy')}', h.detach().numpy())"
    )
    expected = f"its embeddings of the same observations{steps}, as the policy saw them, in a .npy"
    raise SubjectError(
        path, f"a policy of {algorithm} (sb3-contrib), {why}", f'{expected}: python -c "{code}"'
    )


def averaged(nets: Nets, outputs: int, actions: object, path: str) -> Nets:
    """QR-DQN's networks with the mean of each action's quantiles as its value.

    ``outputs`` of the last layer are quantiles by actions; ``actions`` is their number as the file says it.
    Raises SubjectError where one is no multiple of the other.
    """
    words = str(actions)
    count = int(words) if words.isdecimal() and len(words) < 8 else 0
    if not count or outputs % count:
        expected = "as many for each of its actions"
        raise SubjectError(path, f"{outputs} quantiles of {shown(actions)} actions", expected)

    def act(parameters: Parameters, points: Tensor) -> Tensor:
        return nets.act(parameters, points).reshape(len(points), -1, count).mean(1)

    return replace(nets, act=act, target=None)
