"""Policies of sb3-contrib: rebuilt where they are built like the library's own, told where they are not."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diag.sources import open_subject
from diag.sources.environments import make
from diag.sources.sb3.contrib import MASKED, OTHERS
from diag.sources.supplied import Supplied
from diag.subject import Subject, SubjectError

sb3 = pytest.importorskip("stable_baselines3")

KEEPING = {"buffer_size": 2}


def model_of(algorithm: str, env: str) -> Any:
    more = {} if algorithm == "PPO" else KEEPING
    kwargs = {"net_arch": [8]}
    return getattr(sb3, algorithm)("MlpPolicy", make(env), policy_kwargs=kwargs, device="cpu", seed=0, **more)


def as_contrib(path: Path, module: str, rename: Callable[[str], str] = str) -> Path:
    """A file with its policy's class in another module, and its weights under other names."""
    out = path.with_name(f"contrib-{path.name}")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(out, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "data":
                data = json.loads(content)
                data["policy_class"]["__module__"] = module
                content = json.dumps(data).encode()
            if name == "policy.pth":
                weights = torch.load(io.BytesIO(content), weights_only=True)
                buffer = io.BytesIO()
                torch.save({rename(k): v for k, v in weights.items()}, buffer)
                content = buffer.getvalue()
            copy.writestr(name, content)
    return out


def opened(path: Path, env: str) -> Subject:
    return open_subject(path, Supplied(source_env=env, target_env=env), "source")


def quantile(name: str) -> str:
    """A Q-network's names as QR-DQN has them: its one quantile is the value."""
    return name.replace("q_net", "quantile_net")


@pytest.mark.parametrize(
    ("algorithm", "env", "module", "rename", "label"),
    [
        ("PPO", "CartPole-v1", MASKED, str, "MaskablePPO of"),
        ("SAC", "Pendulum-v1", "sb3_contrib.tqc.policies", str, "TQC of"),
        ("DQN", "CartPole-v1", "sb3_contrib.qrdqn.policies", quantile, "QR-DQN of"),
    ],
)
def test_the_same_networks_in_another_module(
    algorithm: str, env: str, module: str, rename: Callable[[str], str], label: str, tmp_path: Path
) -> None:
    model = model_of(algorithm, env)
    model.save(tmp_path / "own.zip")
    own, other = tmp_path / "own.zip", as_contrib(tmp_path / "own.zip", module, rename)
    one, two = opened(own, env), opened(other, env)
    assert two.label.startswith(label)
    assert one.encoder is not None
    assert two.encoder is not None
    seen = torch.randn(20, 4 if env == "CartPole-v1" else 3, generator=torch.Generator().manual_seed(0))
    found = two.encoder.embed(two.parameters or {}, seen)
    assert torch.equal(found, one.encoder.embed(one.parameters or {}, seen))
    if module == MASKED:  # whose actions its environment masks
        assert (two.actor, two.objective) == (None, None)
        return
    assert two.actor is not None
    assert two.objective is None
    act = two.actor.best(two.parameters, "source")  # type: ignore[attr-defined]
    expected = model.predict(seen.numpy(), deterministic=True)[0]
    np.testing.assert_allclose(act(seen.numpy()), expected, atol=1e-6)


def test_quantiles_are_as_many_for_each_action(tmp_path: Path) -> None:
    model_of("DQN", "CartPole-v1").save(tmp_path / "own.zip")
    path = as_contrib(tmp_path / "own.zip", "sb3_contrib.qrdqn.policies", quantile)
    content = path.read_bytes()
    for actions in ("3", "0", "none"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        data = json.loads(parts["data"])
        data["action_space"]["n"] = actions
        parts["data"] = json.dumps(data).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
        with pytest.raises(SubjectError, match=f"found 2 quantiles of {actions} actions"):
            open_subject(path)


@pytest.mark.parametrize("module", OTHERS)
def test_the_others_say_what_they_are_and_what_works(module: str, tmp_path: Path) -> None:
    model_of("PPO", "CartPole-v1").save(tmp_path / "own.zip")
    path = as_contrib(tmp_path / "own.zip", module)
    for trusted in (False, True):
        with pytest.raises(SubjectError, match=rf"a policy of {OTHERS[module][0]} \(sb3-contrib\)") as caught:
            open_subject(path, Supplied(trust_pickle=trusted))
        words = str(caught.value)
        assert "\n" not in words
        assert "--trust-pickle" not in words
        code = re.search(r'python -c "(.*)"$', words)
        assert code is not None
        compile(code[1], "advice", "exec")


@pytest.mark.parametrize(
    ("algorithm", "policy", "env"),
    [
        ("TRPO", "MlpPolicy", "CartPole-v1"),
        ("QRDQN", "MlpPolicy", "CartPole-v1"),
        ("TQC", "MlpPolicy", "Pendulum-v1"),
        ("RecurrentPPO", "MlpLstmPolicy", "CartPole-v1"),
        ("CrossQ", "MlpPolicy", "Pendulum-v1"),
        ("ARS", "MlpPolicy", "CartPole-v1"),
        ("ARS", "LinearPolicy", "Pendulum-v1"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_library_itself_agrees(
    algorithm: str, policy: str, env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where sb3-contrib is installed: what is rebuilt acts alike, and the advice for the others is taken."""
    contrib = pytest.importorskip("sb3_contrib")
    monkeypatch.chdir(tmp_path)
    more = KEEPING if algorithm in ("QRDQN", "TQC", "CrossQ") else {}
    model = getattr(contrib, algorithm)(policy, make(env), device="cpu", **more)
    model.save("model.zip")
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(20, 4 if env == "CartPole-v1" else 3)).astype(np.float32)
    np.save("observations.npy", seen)
    if algorithm in ("TRPO", "QRDQN", "TQC"):
        subject = opened(Path("model.zip"), env)
        assert subject.actor is not None
        act = subject.actor.best(subject.parameters, "source")  # type: ignore[attr-defined]
        np.testing.assert_allclose(act(seen), model.predict(seen, deterministic=True)[0], atol=1e-6)
        return
    with pytest.raises(SubjectError) as caught:
        open_subject("model.zip")
    code = re.search(r'python -c "(.*)"$', str(caught.value))
    assert code is not None
    exec(code[1], {})
    embeddings = open_subject("model.npy").embeddings
    assert embeddings is not None
    assert len(embeddings) == 20
