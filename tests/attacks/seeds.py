"""Small valid files of every format that ``diag check`` opens."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diag.checks.written import text
from tests import source_files as files
from tests.attacks.attack import Seeds
from tests.harmful_files import saved
from tests.source_files import Explosive
from trainers.checkpoint import Header, identity_of, save
from trainers.crar import CRAR
from trainers.envs import world
from trainers.plan import named_plan
from trainers.settings import Settings, preset

SMALL = [
    *("model.encoder=[6]", "model.transition=[5]", "model.reward=[4]", "model.discount=[4]"),
    *("train.updates=40", "transfer.updates=40", "data.steps=400"),
]
"""A checkpoint of 5 kB: its header is hit as often as its weights."""

PAIRS, DIMENSIONS = 60, 4
"""Of the paired observations, which the policies and programs fit."""


def seeds(folder: Path) -> Seeds:
    """The files by name; each is also written into the folder, which is empty."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(30, 3)) * [1.0, 0.7, 0.4]
    arrays = {"embeddings": y, "episodes": np.arange(30) // 3, "returns": np.ones(3)}
    bare = {"embeddings": y}
    files.npy(folder / "base", {"embeddings": y + 0.02 * rng.normal(size=y.shape)})
    files.npy(folder / "array", bare)
    for name, write in {
        "arrays": files.npz,
        "packed": files.packed,
        "tensors": files.safetensors,
        "state": files.saved,
        "tensor": files.bare,
        "columns": files.columns,
    }.items():
        write(folder / name, arrays)
    files.lists(folder / "lists", bare)
    files.frame(folder / "frame", arrays)
    files.tensors(folder / "grid", {"embeddings": y.reshape(30, 3, 1)})
    files.pairs(folder / "pairs.npz", rng)
    with np.load(folder / "pairs.npz") as pairs:
        files.safetensors(folder / "pairs", {task: pairs[task] for task in ("source", "target")})
    base, transfer = files.flipping(rng)
    files.onnx(folder / "base-program", base)
    files.onnx(folder / "program", transfer)
    _checkpoints(folder)
    for name, seed in {"base-policy.zip": 0, "policy.zip": 1}.items():
        (folder / name).write_bytes(policy(seed))
    (folder / "diag.toml").write_text(text())
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "accepted.json").write_text(json.dumps(ACCEPTED, indent=1))
    return {place.name: place.read_bytes() for place in sorted(folder.iterdir())}


PROJECT = """\
[project]
name = "mine"
[tool.diag]
strict = true
[tool.diag.check.r2]
min = 0.9 # of the variance
[tool.diag.check.loss_ratio.terms]
transition = 5.0
"""

_ENTRY = {"outcome": "fail", "word": "", "value": 0.5, "low": 0.4, "high": 0.6}

ACCEPTED: Mapping[str, Any] = {
    "format": 1,
    "accepted": {
        "array.npy": {"r2": _ENTRY, "l2": _ENTRY, "relation": {"outcome": "fail", "word": "flipped"}}
    },
}


def _checkpoints(folder: Path) -> None:
    """A base, and a transfer of it that has half of its updates to do, so that it is forecast."""
    settings = preset("simple-maze").with_overrides(SMALL)
    agent = CRAR(settings, world(settings.world))
    base = agent.fresh(0, 0)
    save(folder / "base.safetensors", _header(settings, "source", 40), base)
    origin = {
        "path": str(folder / "base.safetensors"),
        "sha256": "0" * 64,
        "identity": identity_of(base),
    }
    plan = named_plan("freeze-dynamics")
    tensors = plan.initialise([base], agent.fresh(1, 1), np.random.default_rng(1))
    header = _header(settings, "target", 20, plan=plan.to_tree(), bases=(origin,))
    save(folder / "transfer.safetensors", header, tensors)


def _header(settings: Settings, task: str, step: int, **more: Any) -> Header:
    losses = {"losses": {"transition": [0.5, 0.25, None]}}
    return Header("crar", settings.model_dump(mode="json"), task, step, 0, metrics=losses, **more)


DATA: Mapping[str, Any] = {
    "policy_class": {
        ":type:": "<class 'abc.ABCMeta'>",
        ":serialized:": "",
        "__module__": "stable_baselines3.common.policies",
    },
    "policy_kwargs": {
        "net_arch": [6],
        "activation_fn": "<class 'torch.nn.modules.activation.Tanh'>",
        ":type:": "<class 'dict'>",
    },
    "observation_space": {
        ":type:": "<class 'gymnasium.spaces.box.Box'>",
        "dtype": "float32",
        "low": "[-4.8 -inf -0.41887903 -inf]",
        "high": "[4.8 inf 0.41887903 inf]",
        "_shape": [4],
    },
    "action_space": {":type:": "<class 'gymnasium.spaces.discrete.Discrete'>", "n": "2", "_shape": []},
    "num_timesteps": 2048,
    "gamma": 0.99,
    "vf_coef": 0.5,
    "ent_coef": 0.0,
    "clip_range": {":type:": "<class 'function'>", ":serialized:": ""},
    "use_sde": False,
}
"""As Stable-Baselines3 writes a policy for vectors of four numbers; its pickles are made harmful below."""


def policy(seed: int, data: bytes | None = None, weights: bytes | None = None) -> bytes:
    """A policy's ``.zip``, its parts replaced by what is given."""
    import base64

    harm = base64.b64encode(pickle.dumps(Explosive())).decode()
    text = json.dumps(DATA).replace('":serialized:": ""', f'":serialized:": "{harm}"')
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", text.encode() if data is None else data)
        archive.writestr("pytorch_variables.pth", saved({}))
        archive.writestr("policy.pth", saved(policy_weights(seed)) if weights is None else weights)
        archive.writestr("policy.optimizer.pth", saved({"state": {}, "param_groups": []}))
        archive.writestr("_stable_baselines3_version", "2.9.2")
        archive.writestr("system_info.txt", "- OS: none")
    return buffer.getvalue()


def policy_weights(seed: int) -> dict[str, torch.Tensor]:
    """The state dict of such a policy."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "mlp_extractor.policy_net.0": (6, DIMENSIONS),
        "mlp_extractor.value_net.0": (6, DIMENSIONS),
        "action_net": (2, 6),
        "value_net": (1, 6),
    }
    return {
        f"{name}.{part}": torch.randn(shape if part == "weight" else shape[:1], generator=generator)
        for name, shape in shapes.items()
        for part in ("weight", "bias")
    }
