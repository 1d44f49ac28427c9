"""Stable-Baselines3 files: equal to what the library itself computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import diag
from diag.sources.environments import make
from diag.sources.sb3.losses import entropy
from diag.sources.supplied import Supplied
from diag.subject import LatentObjective, SubjectError
from tests.sb3_models import DOT, MODELS, STEERED, model_of, observations, opened, sb3


def latent(policy: Any, kind: str, seen: torch.Tensor) -> torch.Tensor:
    """The library's own embedding: the extractor's output, or the last hidden layer."""
    if kind in ("PPO", "A2C"):
        features = (
            policy.extract_features(seen, policy.features_extractor)
            if policy.share_features_extractor
            else (policy.extract_features(seen)[0])
        )
        return features if has_cnn(policy) else policy.mlp_extractor.forward_actor(features)
    if kind == "DQN":
        features = policy.q_net.extract_features(seen, policy.q_net.features_extractor)
        return features if has_cnn(policy) else policy.q_net.q_net[:-1](features)
    features = policy.actor.extract_features(seen, policy.actor.features_extractor)
    if has_cnn(policy):
        return features
    return policy.actor.latent_pi(features) if kind == "SAC" else policy.actor.mu[:-2](features)


def assert_equal(found: torch.Tensor, expected: torch.Tensor) -> None:
    """To rounding of the largest number among them."""
    torch.testing.assert_close(found, expected, atol=1e-6 * float(expected.abs().max()), rtol=0)


def has_cnn(policy: Any) -> bool:
    return "NatureCNN" in policy.features_extractor_class.__name__


@pytest.mark.parametrize("name", MODELS)
def test_embeddings_actions_and_values_are_the_librarys_own(name: str, saved: Any) -> None:
    model, path = saved(name)
    algorithm, _, env, _ = MODELS[name]
    subject = opened(path, env)
    assert subject.parameters is not None
    assert subject.encoder is not None
    assert subject.actor is not None
    seen = observations(env)
    model.policy.set_training_mode(False)
    with torch.no_grad():
        # Laid out as in the library's own training: convolutions sum in the order of memory.
        tensor = model.policy.obs_to_tensor(seen)[0].contiguous()
        expected = latent(model.policy, algorithm, tensor)
        found = subject.encoder.embed(subject.parameters, torch.from_numpy(seen))
        assert_equal(found, expected)
        act = subject.actor.best(subject.parameters, "source")  # type: ignore[attr-defined]
        np.testing.assert_allclose(act(seen), model.predict(seen, deterministic=True)[0], atol=1e-6)
        nets, prepared = subject.encoder.nets, subject.encoder.observing(torch.from_numpy(seen))  # type: ignore[attr-defined]
        if algorithm in ("PPO", "A2C"):
            read = found if nets.value_reads_embedding else prepared
            values = model.policy.predict_values(tensor)
            assert_equal(nets.value(subject.parameters, read), values)
        if algorithm == "DQN":
            values = model.policy.q_net(tensor)
            assert_equal(nets.act(subject.parameters, found), values)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_belongs_to_one_component(name: str, saved: Any) -> None:
    model, path = saved(name)
    parameters = opened(path).parameters
    assert parameters is not None
    own = {id(t): t.numel() for t in model.policy.parameters()}
    assert sum(t.numel() for t in parameters.values()) == sum(own.values())
    known = {
        "encoder",
        "value_encoder",
        "policy_latent",
        "value_latent",
        "action",
        "value",
        "q",
        "target",
        "critic",
    }
    assert {n.partition("/")[0] for n in parameters} <= known
    assert all("/" in n for n in parameters)


@pytest.mark.parametrize("name", ["dqn", "dqn-images"])
def test_dqns_loss_is_the_huber_loss_against_its_own_target(name: str, saved: Any) -> None:
    model, path = saved(name)
    subject = opened(path, MODELS[name][2])
    assert subject.tasks is not None
    assert subject.objective is not None
    assert subject.parameters is not None
    sampled = subject.tasks.batch("source", 200, 0)
    batch = sampled.batch
    with torch.no_grad():
        now, after = (
            model.policy.obs_to_tensor(batch[key].numpy())[0] for key in ("observations", "next_observations")
        )
        goal = batch["rewards"] + 0.99 * model.q_net_target(after).max(1)[0] * (~batch["terminated"]).float()
        taken = model.q_net(now).gather(1, batch["actions"][:, None])[:, 0]
        expected = functional.smooth_l1_loss(taken, goal, reduction="none")
    found = subject.objective.losses(subject.parameters, batch)["td"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert isinstance(subject.objective, LatentObjective)
    points = subject.objective.embeddings(subject.parameters, batch)
    at = subject.objective.losses_at(subject.parameters, points, batch)["td"]
    torch.testing.assert_close(at, found)
    assert len(np.unique(sampled.groups)) >= 5


def test_the_target_network_gets_no_gradient(saved: Any) -> None:
    subject = opened(saved("dqn")[1], "CartPole-v1")
    assert subject.tasks is not None
    assert subject.objective is not None
    assert subject.parameters is not None
    moving = {n: t.clone().requires_grad_() for n, t in subject.parameters.items()}
    losses = subject.objective.losses(moving, subject.tasks.batch("source", 50, 0).batch)
    losses["td"].sum().backward()  # type: ignore[no-untyped-call]
    assert {n.partition("/")[0] for n, t in moving.items() if t.grad is not None} == {"encoder", "q"}


@pytest.mark.parametrize("name", ["ppo", "ppo-images", "ppo-images-unshared", "ppo-images-steered"])
def test_the_value_loss_is_taken_on_the_policys_own_episodes(name: str, saved: Any) -> None:
    model, path = saved(name)
    env = MODELS[name][2]
    subject = opened(path, env)
    assert subject.tasks is not None
    assert subject.objective is not None
    assert subject.parameters is not None
    sampled = subject.tasks.batch("source", 150, 0)
    found = subject.objective.losses(subject.parameters, sampled.batch)
    assert found.keys() == {"value"} == subject.objective.terms.keys()
    with torch.no_grad():
        seen = model.policy.obs_to_tensor(sampled.batch["observations"].numpy())[0]
        expected = (model.policy.predict_values(seen)[:, 0] - sampled.batch["returns"]) ** 2
    torch.testing.assert_close(found["value"], expected, atol=1e-4, rtol=1e-4)
    assert len(np.unique(sampled.groups)) >= 20
    assert isinstance(subject.objective, LatentObjective) == (name in ("ppo-images", "ppo-images-steered"))
    again = subject.tasks.batch("source", 150, 0)
    assert torch.equal(again.batch["observations"], sampled.batch["observations"])


def test_returns_are_discounted_and_go_on_after_a_time_limit(saved: Any) -> None:
    """In Pendulum every episode is cut: at its last step the return is the reward plus the value after it."""
    model, path = saved("ppo-steered")
    subject = opened(path, "Pendulum-v1")
    assert subject.tasks is not None
    sampled = subject.tasks.batch("source", 4000, 0)  # twenty episodes of 200 steps: every row
    returns = sampled.batch["returns"].double().numpy()
    rows = np.flatnonzero(sampled.groups == 3)
    rewards = returns[rows[:-1]] - 0.99 * returns[rows[1:]]
    assert len(rows) == 200
    assert np.all(rewards <= 1e-3)  # Pendulum's are never positive
    assert np.all(rewards >= -17)
    last = sampled.batch["observations"][rows[-1]].numpy()
    with torch.no_grad():
        value = float(model.policy.predict_values(model.policy.obs_to_tensor(last)[0]))
    assert -17 - abs(value) * 2 < returns[rows[-1]] < abs(value) * 2


def test_an_entropy_bonus_is_a_term(tmp_path: Path) -> None:
    for name, env in (("chosen", "CartPole-v1"), ("steered", "Pendulum-v1")):
        model = model_of("PPO", "MlpPolicy", env, {}, ent_coef=0.02)
        model.save(tmp_path / name)
        subject = opened(str(tmp_path / f"{name}.zip"), env)
        assert subject.objective is not None
        assert subject.tasks is not None
        assert subject.parameters is not None
        assert subject.objective.terms == {"value": 0.5, "entropy": 0.02}
        batch = subject.tasks.batch("source", 60, 0).batch
        with torch.no_grad():
            seen = model.policy.obs_to_tensor(batch["observations"].numpy())[0]
            expected = -model.policy.get_distribution(seen).entropy()
        found = subject.objective.losses(subject.parameters, batch)["entropy"]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_entropy_of_equal_chances() -> None:
    torch.testing.assert_close(entropy(torch.zeros(3, 4), None), torch.full((3,), float(np.log(4))))


def test_returns_are_those_of_the_librarys_best_actions(saved: Any) -> None:
    model, path = saved("ppo")
    subject = opened(path, "CartPole-v1")
    assert subject.actor is not None
    assert subject.parameters is not None
    found = subject.actor.returns(subject.parameters, "target", 12, 3)
    again = subject.actor.returns(subject.parameters, "target", 12, 3)
    other = subject.actor.returns(subject.parameters, "target", 12, 4)
    assert found.tolist() == again.tolist() != other.tolist()
    environment = make("CartPole-v1")
    played = []
    for seed in range(60):
        seen, _ = environment.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            seen, reward, terminated, truncated, _ = environment.step(
                model.predict(seen, deterministic=True)[0]
            )
            total, over = total + float(reward), terminated or truncated
        played.append(total)
    assert abs(np.mean(found) - np.mean(played)) < 4 * np.std(played) / np.sqrt(12) + 1e-9


def test_without_environments_there_is_an_encoder_and_nothing_to_run(saved: Any) -> None:
    subject = opened(saved("dqn-images")[1])
    assert subject.encoder is not None
    assert (subject.objective, subject.tasks, subject.actor) == (None, None, None)
    assert subject.label.startswith("DQN of stable-baselines3 2.")
    assert "12 numbers from its features extractor" in subject.label
    assert "from its last hidden layer" in opened(saved("td3")[1]).label


@pytest.mark.parametrize("name", MODELS)
def test_the_label_names_the_algorithm(name: str, saved: Any) -> None:
    assert opened(saved(name)[1]).label.startswith(f"{MODELS[name][0]} of stable-baselines3 2.")


@pytest.mark.parametrize(
    ("name", "env", "words"),
    [
        ("ppo", DOT, r"a policy of Discrete actions, 2 numbers; expected one of Discrete\(3\)"),
        ("ppo", "Pendulum-v1", r"2 numbers; expected one of Box\("),
        ("sac", DOT, r"a policy of Box actions, 1 numbers; expected one of Discrete\(3\)"),
        ("ppo-steered", STEERED, r"1 numbers; expected one of Box\("),
    ],
)
def test_actions_of_another_environment_get_one_line(name: str, env: str, words: str, saved: Any) -> None:
    with pytest.raises(SubjectError, match=words):
        opened(saved(name)[1], env)


@pytest.mark.parametrize(
    ("name", "shown", "words"),
    [
        ("ppo", torch.zeros(9, 5), r"shape \(4,\); expected one for \(5,\)"),
        ("ppo-images", torch.zeros(9, 3, 36, 36), r"shape \(2, 36, 36\); expected one for "),
        ("a2c-numbers", torch.zeros(9, 4), "numbers from 0 to 15"),
        ("a2c-numbers", torch.full((9,), 16), "numbers from 0 to 15"),
    ],
)
def test_observations_of_another_environment_get_one_line(
    name: str, shown: torch.Tensor, words: str, saved: Any
) -> None:
    subject = opened(saved(name)[1])
    assert subject.encoder is not None
    with pytest.raises(SubjectError, match=words):
        subject.encoder.embed(subject.parameters or {}, shown)


def test_pairs_of_a_file_serve_as_well(saved: Any, tmp_path: Path) -> None:
    seen = observations(DOT, 30)
    np.savez(tmp_path / "pairs.npz", source=seen, target=255 - seen)
    subject = opened(saved("ppo-images")[1], pairs=tmp_path / "pairs.npz")
    assert subject.tasks is not None
    assert subject.encoder is not None
    assert subject.parameters is not None
    pairs = subject.tasks.paired_observations(None, 0)
    assert subject.encoder.embed(subject.parameters, pairs.observations["source"]).shape == (30, 12)
    assert subject.actor is None


def test_features_in_another_order_are_told(saved: Any, tmp_path: Path) -> None:
    """Whose heads are not reordered alike: what a frozen head would then read is wrong."""
    model, path = saved("ppo-images")
    other = sb3.PPO.load(path, device="cpu")
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for tensor in other.policy.features_extractor.linear[0].parameters():
            tensor.copy_(tensor[order])
    other.save(tmp_path / "permuted.zip")
    supplied = Supplied(source_env=DOT, target_env=DOT)
    found = diag.compare(path, tmp_path / "permuted.zip", supplied=supplied)
    assert found.relation == "permuted"
    assert found.verdict.status == "fail"
    with torch.no_grad():
        for head in (other.policy.mlp_extractor, other.policy.action_net, other.policy.value_net):
            for tensor in head.parameters():
                tensor += 0.01
    other.save(tmp_path / "learned.zip")
    learned = diag.compare(path, tmp_path / "learned.zip", supplied=supplied)
    assert (learned.relation, learned.frozen, learned.verdict.status) == ("permuted", (), "pass")
    model.save(tmp_path / "same.zip")
    assert diag.compare(path, tmp_path / "same.zip", supplied=supplied).relation == "matched"


def test_a_landscape_between_two_files(saved: Any, tmp_path: Path) -> None:
    other = model_of("DQN", "MlpPolicy", "CartPole-v1", {})
    with torch.no_grad():
        for tensor in other.q_net.parameters():
            tensor += 0.05
    other.save(tmp_path / "other.zip")
    ends = [opened(path, "CartPole-v1") for path in (saved("dqn")[1], str(tmp_path / "other.zip"))]
    found = diag.landscape(*ends, quick=True, samples=200, points=5)
    assert {"total", "td"} <= found.tasks["source"].raw.losses.keys()


@pytest.mark.long
def test_the_example_runs(tmp_path: Path, examples: Path) -> None:
    """A minute: trained so briefly the agents know nothing, but every part of it runs."""
    script = [sys.executable, examples / "sb3_gate.py", "--steps", "2048", "--out", tmp_path]
    found = subprocess.run(script, capture_output=True, text=True, check=True)
    assert found.stdout.count("$ diag check") == 1
    assert found.stdout.count("exit status") == 1
    assert "exit status 2" not in found.stdout
