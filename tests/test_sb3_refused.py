"""Stable-Baselines3 files that are none, hold code, or do not fit: refused on one line, or by trust alone."""

from __future__ import annotations

import base64
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import diag
from diag.sources.supplied import Supplied
from diag.subject import SubjectError
from tests.sb3_models import model_of, observations, opened
from tests.source_files import Explosive


def edited(path: str, out: Path, edit: Callable[[dict[str, Any]], None] | None = None, **parts: Any) -> str:
    """A copy of a file with its data edited, and parts replaced by bytes, or left out where None."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(out, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "data" and edit is not None:
                data = json.loads(content)
                edit(data)
                content = json.dumps(data).encode()
            content = parts.get(name.partition(".")[0], content)
            if content is not None:
                copy.writestr(name, content)
    return str(out)


def test_nothing_is_unpickled(saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved("ppo-images")[1]
    bomb = base64.b64encode(pickle.dumps(Explosive())).decode()

    def arm(data: dict[str, Any]) -> None:
        for value in data.values():
            if isinstance(value, dict) and ":serialized:" in value:
                value[":serialized:"] = bomb

    armed = opened(edited(path, tmp_path / "armed.zip", arm))
    assert armed.identity == opened(path).identity
    for name in ("policy", "pytorch_variables"):
        content = io.BytesIO()
        torch.save({"a": Explosive()}, content)
        replaced = edited(path, tmp_path / f"{name}.zip", **{name: content.getvalue()})
        if name == "policy":
            with pytest.raises(SubjectError, match="never loaded"):
                opened(replaced)
        else:
            opened(replaced)
    assert not (tmp_path / "exploded").exists()


class Halved(nn.Module):
    """A features extractor of one's own."""

    def __init__(self, observation_space: Any, features_dim: int = 7) -> None:
        super().__init__()
        self.features_dim = features_dim
        self.linear = nn.Linear(int(np.prod(observation_space.shape)), features_dim)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return torch.sin(self.linear(observations.flatten(1)))


class Dropping(Halved):
    """One that drops numbers whatever the mode."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return functional.dropout(super().forward(observations), 0.5)


class Wave(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


@pytest.mark.parametrize(
    ("algorithm", "kwargs", "words"),
    [
        ("PPO", {"features_extractor_class": Halved}, "features extractor .*Halved"),
        ("DQN", {"features_extractor_class": Halved}, "features extractor .*Halved"),
        ("PPO", {"activation_fn": Wave}, "activation .*Wave"),
    ],
)
def test_what_is_ones_own_takes_trust(
    algorithm: str, kwargs: dict[str, Any], words: str, tmp_path: Path
) -> None:
    model = model_of(algorithm, "MlpPolicy", "CartPole-v1", kwargs)
    model.save(tmp_path / "own.zip")
    path = str(tmp_path / "own.zip")
    with pytest.raises(SubjectError, match=f"{words}.*--adapter or --trust-pickle"):
        opened(path)
    subject = opened(path, "CartPole-v1", trust_pickle=True)
    assert subject.parameters is not None
    assert subject.encoder is not None
    assert subject.actor is not None
    seen = observations("CartPole-v1")
    with torch.no_grad():
        tensor = torch.from_numpy(seen)
        features = (model.policy if algorithm == "PPO" else model.policy.q_net).features_extractor(tensor)
        own = "features_extractor_class" in kwargs
        expected = features if own else model.policy.mlp_extractor.forward_actor(features)
        found = subject.encoder.embed(subject.parameters, tensor)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    act = subject.actor.best(subject.parameters, "source")  # type: ignore[attr-defined]
    assert act(seen).tolist() == model.predict(seen, deterministic=True)[0].tolist()
    moved = {n: t + 0.1 if n.startswith("encoder/") else t for n, t in subject.parameters.items()}
    assert not torch.allclose(subject.encoder.embed(moved, tensor), found)


def test_an_extractor_that_does_not_repeat_itself_is_refused(tmp_path: Path) -> None:
    for name, extractor in (("a", Halved), ("b", Dropping)):
        kwargs = {"features_extractor_class": extractor}
        model_of("PPO", "MlpPolicy", "CartPole-v1", kwargs).save(tmp_path / f"{name}.zip")
    given = Supplied(source_env="CartPole-v1", target_env="CartPole-v1", trust_pickle=True)
    with pytest.raises(SubjectError, match=r"b\.zip: found dropout left on: torch\.nn\.functional\.dropout"):
        diag.compare(tmp_path / "a.zip", tmp_path / "b.zip", supplied=given)


def first_layer(weights: Any, opening: Any) -> nn.Module:
    """An adapter: it is given the policy's state dict."""
    layer = nn.Linear(4, 64)
    layer.load_state_dict({p: weights[f"mlp_extractor.policy_net.0.{p}"] for p in ("weight", "bias")})
    return layer


def test_an_adapter_is_given_the_weights(saved: Any) -> None:
    model, path = saved("ppo")
    subject = opened(path, "CartPole-v1", adapter="tests.test_sb3_refused:first_layer")
    assert subject.encoder is not None
    seen = torch.from_numpy(observations("CartPole-v1"))
    with torch.no_grad():
        expected = model.policy.mlp_extractor.policy_net[0](seen)
    torch.testing.assert_close(subject.encoder.embed(subject.parameters or {}, seen), expected)


def put(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """An edit of the data."""

    def edit(data: dict[str, Any]) -> None:
        for name in path[:-1]:
            data = data[name]
        data[path[-1]] = value

    return edit


@pytest.mark.parametrize(
    ("name", "edit", "words"),
    [
        ("ppo", put("policy_class", "__module__", value="mine.policies"), "the module 'mine.policies'"),
        ("ppo", put("policy_class", value=3), "the module ''"),
        ("ppo", put("policy_kwargs", value={"activation_fn": "<class 'mine.ReLU'>"}), "activation"),
        ("ppo", put("observation_space", "_shape", value=[5]), "networks that do not run"),
        ("ppo", put("observation_space", "_shape", value=[-4]), r"shape \[-4\]"),
        ("ppo", put("observation_space", "_shape", value=[2**23] * 8), "networks that do not run"),
        ("ppo", put("observation_space", ":type:", value="<class 'gymnasium.spaces.dict.Dict'>"), "Dict obs"),
        ("a2c-numbers", put("observation_space", "n", value="9" * 5000), "values of observations"),
        ("a2c-numbers", put("observation_space", "n", value="17"), "networks that do not run"),
        (
            "dqn",
            put("policy_class", "__module__", value="stable_baselines3.td3.policies"),
            "no layers 'actor.mu.'",
        ),
        ("ppo", put("policy_class", "__module__", value="stable_baselines3.dqn.policies"), "no layers"),
        ("sac", put("use_sde", value=True), "state-dependent exploration"),
        ("ppo-images-unshared", put("policy_kwargs", value={}), "other than the shared one"),
    ],
)
def test_data_that_do_not_fit_get_one_line(
    name: str, edit: Any, words: str, saved: Any, tmp_path: Path
) -> None:
    with pytest.raises(SubjectError, match=words) as caught:
        opened(edited(saved(name)[1], tmp_path / "edited.zip", edit))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("gamma", "words"), [("0.99", "gamma 0.99"), (None, "gamma None"), (float("inf"), "gamma inf")]
)
def test_a_discount_is_a_number(gamma: Any, words: str, saved: Any, tmp_path: Path) -> None:
    path = edited(saved("ppo")[1], tmp_path / "edited.zip", put("gamma", value=gamma))
    with pytest.raises(SubjectError, match=words):
        opened(path, "CartPole-v1")


def state(path: str) -> dict[str, torch.Tensor]:
    with zipfile.ZipFile(path) as archive:
        return torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("action_net.bias"), "no layer 'action/'"),
        (lambda s: s.pop("mlp_extractor.policy_net.2.bias"), "layers other than dense"),
        (
            lambda s: s.update({"mlp_extractor.policy_net.1.weight": torch.ones(64)}),
            "layers other than dense",
        ),
        (lambda s: s.update({"extra": torch.ones(2)}), "weights 'extra'"),
        (lambda s: s.update({"action_net.weight": torch.ones(2, 63)}), "networks that do not run"),
        (lambda s: s["action_net.weight"].fill_(float("nan")), "128 non-finite weights"),
        (lambda s: s.update({"log_std": torch.ones(1).expand(10**9)}), "more than its data"),
        (
            lambda s: s.update({"value_net.weight": torch.ones(2, 64), "value_net.bias": torch.ones(2)}),
            "2 values",
        ),
        (
            lambda s: s.update({"action_net.weight": torch.ones(0, 64), "action_net.bias": torch.ones(0)}),
            "units",
        ),
        (lambda s: s.update({"list": [1]}), "a list among its weights"),
        (
            lambda s: s.update({"features_extractor.cnn.0.weight": torch.ones(3)}),
            "extractor with other layers",
        ),
    ],
)
def test_weights_that_do_not_fit_get_one_line(change: Any, words: str, saved: Any, tmp_path: Path) -> None:
    path = saved("ppo")[1]
    tensors, content = state(path), io.BytesIO()
    change(tensors)
    torch.save(tensors, content)
    with pytest.raises(SubjectError, match=words):
        opened(edited(path, tmp_path / "edited.zip", policy=content.getvalue()))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"policy": None}, "without policy.pth"),
        ({"data": None}, "without data"),
        ({"data": b"[" * 10**6}, "no whole archive"),
        ({"data": b"[1]"}, "a list as its data"),
        ({"data": b"\xff\xfe"}, "no whole archive"),
        ({"policy": b"\x80\x04."}, "a pickle, which is never loaded"),
        ({"policy": b"nothing"}, "no file of torch.save"),
        ({"data": b" " * (2**25 + 1)}, "bytes of data"),
    ],
)
def test_parts_that_are_no_models_get_one_line(
    parts: dict[str, Any], words: str, saved: Any, tmp_path: Path
) -> None:
    with pytest.raises(SubjectError, match=words) as caught:
        opened(edited(saved("ppo")[1], tmp_path / "edited.zip", **parts))
    assert "\n" not in str(caught.value)


def test_a_bomb_is_not_unpacked(saved: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", "{}")
        with archive.open("policy.pth", "w") as file:
            for _ in range(64):
                file.write(bytes(2**20))
    with pytest.raises(SubjectError, match=r"policy\.pth packed otherwise"):
        opened(str(tmp_path / "bomb.zip"))


def test_damage_anywhere_gets_one_line(saved: Any, tmp_path: Path, rng: np.random.Generator) -> None:
    """Cut or bit-flipped: refused in one line, or, where the damage is in what is not read, opened."""
    content = Path(saved("ppo-relu")[1]).read_bytes()
    file = tmp_path / "damaged.zip"
    told: list[str] = []
    for number in range(150):
        damaged = bytearray(content)
        if number % 3 == 0:
            damaged = damaged[: rng.integers(len(damaged))]
        else:
            for place in rng.integers(len(damaged), size=1 + number % 5):
                damaged[place] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        try:
            opened(str(file))
        except SubjectError as error:
            told.append(str(error))
    assert len(told) > 75
    assert not any("\n" in line for line in told)
