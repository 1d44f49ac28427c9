"""Small untrained models of Stable-Baselines3, and their files as subjects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from diag.sources import open_subject
from diag.sources.environments import make
from diag.sources.supplied import Supplied
from diag.subject import Subject

sb3 = pytest.importorskip("stable_baselines3")

DOT, FIRST, STEERED = (f"tests.dots:{name}Dot-v0" for name in ("", "First", "Steered"))
SMALL = {"features_extractor_kwargs": {"features_dim": 12}}

MODELS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "ppo": ("PPO", "MlpPolicy", "CartPole-v1", {}),
    "ppo-relu": ("PPO", "MlpPolicy", "CartPole-v1", {"activation_fn": nn.ReLU, "net_arch": [8]}),
    "ppo-steered": ("PPO", "MlpPolicy", "Pendulum-v1", {}),
    "ppo-images": ("PPO", "CnnPolicy", DOT, SMALL),
    "ppo-images-first": ("PPO", "CnnPolicy", FIRST, SMALL | {"net_arch": {"pi": [6], "vf": [8, 5]}}),
    "ppo-images-unshared": ("PPO", "CnnPolicy", DOT, SMALL | {"share_features_extractor": False}),
    "ppo-images-steered": ("PPO", "CnnPolicy", STEERED, SMALL | {"normalize_images": False}),
    "a2c-numbers": ("A2C", "MlpPolicy", "FrozenLake-v1", {}),
    "dqn": ("DQN", "MlpPolicy", "CartPole-v1", {}),
    "dqn-images": ("DQN", "CnnPolicy", DOT, SMALL | {"net_arch": [9]}),
    "sac": ("SAC", "MlpPolicy", "Pendulum-v1", {"net_arch": [16, 16]}),
    "td3": ("TD3", "MlpPolicy", "Pendulum-v1", {"net_arch": [16, 16]}),
    "td3-images": ("TD3", "CnnPolicy", STEERED, SMALL | {"net_arch": [16]}),
    "ddpg": ("DDPG", "MlpPolicy", "Pendulum-v1", {"net_arch": [16, 16]}),
}
"""Algorithm, policy, environment and policy_kwargs."""


def model_of(algorithm: str, policy: str, env: str, kwargs: dict[str, Any], **more: Any) -> Any:
    """An untrained model whose weights are all random, targets apart from what they follow."""
    if algorithm not in ("PPO", "A2C"):
        more |= {"buffer_size": 2}
    model = getattr(sb3, algorithm)(
        policy, make(env), policy_kwargs=dict(kwargs), seed=0, device="cpu", **more
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def opened(path: str, env: str = "", **more: Any) -> Subject:
    given = {"source_env": env, "target_env": env} if env else {}
    return open_subject(path, Supplied(**given, **more), "source")


def observations(env: str, n: int = 40) -> Any:
    """(n, *shape) of the environment's own space, unbounded ones near 0."""
    environment = make(env)
    environment.observation_space.seed(0)
    return np.array([np.clip(environment.observation_space.sample(), -3, 255) for _ in range(n)]).astype(
        environment.observation_space.dtype
    )
