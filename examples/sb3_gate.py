"""Train Stable-Baselines3 agents on two views of CartPole, transfer between them, and gate the transfers.

    python examples/sb3_gate.py [--out DIR] [--steps N]

A base learns by PPO from the pictures of one camera (``visual_cartpole.py``). The other camera hangs upside
down. Three agents are made for it:

- ``trained``: the base's heads, frozen; a new encoder, trained through them by PPO;
- ``aligned``: the base's heads, frozen; a new encoder, fitted to the base's embedding of paired pictures;
- ``scratch``: a new agent with nothing of the base.

Then the gate, as on a command line. It takes a few minutes on two cores, and needs
``pip install 'transfer-diag[sb3]'``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import visual_cartpole  # noqa: F401 (registers the two environments)
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from torch import nn
from torch.nn import functional

SOURCE, TARGET = "VisualCartPole-v0", "UpsideDownCartPole-v0"
FEATURES = 16
PAIRS, EPOCHS, BATCH = 20_000, 8, 64
"""Pictures that the aligned encoder is fitted to, how often, and how many at a time."""


def agent(env: str, seed: int) -> PPO:
    """A PPO agent with NatureCNN, whose 16 features two heads read."""
    return PPO(
        "CnnPolicy",
        make_vec_env(env, 8, seed=seed),
        n_steps=128,
        batch_size=256,
        n_epochs=8,
        learning_rate=lambda left: 7e-4 * max(left, 0.05),
        gamma=0.98,
        gae_lambda=0.9,
        seed=seed,
        device="cpu",
        policy_kwargs={"net_arch": [64], "features_extractor_kwargs": {"features_dim": FEATURES}},
    )


def with_frozen_heads(base: PPO, seed: int) -> PPO:
    """A new agent for the target task: the base's heads, which are not trained on, and a new encoder."""
    new = agent(TARGET, seed)
    heads = {n: t for n, t in base.policy.state_dict().items() if "features_extractor" not in n}
    new.policy.load_state_dict(heads, strict=False)
    for head in (new.policy.mlp_extractor, new.policy.action_net, new.policy.value_net):
        head.requires_grad_(False)
    return new


def paired(base: PPO, steps: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures of the same states (n, 2, 36, 36) by both cameras; the base acts, and at times chance does."""
    both, rng = [make_vec_env(env, 8, seed=seed) for env in (SOURCE, TARGET)], np.random.default_rng(seed)
    seen = [env.reset() for env in both]
    rows: list[list[np.ndarray]] = [[], []]
    for _ in range(steps // 8):
        best, _ = base.predict(seen[0], deterministic=True)
        actions = np.where(rng.random(8) < 0.3, rng.integers(2, size=8), best)
        for row, picture in zip(rows, seen, strict=True):
            row.append(picture)
        seen = [env.step(actions)[0] for env in both]
    source, target = (torch.from_numpy(np.concatenate(row)).permute(0, 3, 1, 2).contiguous() for row in rows)
    return source, target


def align(new: PPO, base: PPO) -> None:
    """Fit the new encoder to the base's embedding of the same states, before its ReLU, where none dies."""
    source, target = paired(base, PAIRS, 0)
    encoder = new.policy.features_extractor
    with torch.no_grad():
        goals = torch.cat([before_relu(base.policy.features_extractor, part) for part in source.split(1000)])
    optimiser = torch.optim.Adam(encoder.parameters(), 2e-3)
    updates = EPOCHS * -(-len(target) // BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, updates)
    generator = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(target), generator=generator).split(BATCH):
            loss = functional.mse_loss(before_relu(encoder, target[rows]), goals[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def before_relu(encoder: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """The features (n, 16) of a NatureCNN as its last dense layer gives them."""
    return encoder.linear[0](encoder.cnn(pictures / 255))


def made(name: str, env: str, out: Path, make: Callable[[], PPO]) -> PPO:
    """Make an agent, save it, and say what it earns."""
    begin = time.perf_counter()
    model = make()
    model.save(out / f"{name}.zip")
    mean, spread = evaluate_policy(model, make_vec_env(env, 8, seed=1000), 24)
    seconds = time.perf_counter() - begin
    print(f"{name:8} on {env}: mean return {mean:.0f} ± {spread:.0f} of 500, in {seconds:.0f} s", flush=True)
    return model


def gate(out: Path, *words: str) -> None:
    """Run ``diag check`` where visual_cartpole.py lies."""
    environments = [f"--source-env=visual_cartpole:{SOURCE}", f"--target-env=visual_cartpole:{TARGET}"]
    files = [str((out / word).resolve()) if word.endswith(".zip") else word for word in words]
    print("\n$ diag check", " ".join([*words, *environments]), flush=True)
    begin = time.perf_counter()
    found = subprocess.run(
        [sys.executable, "-m", "diag", "check", *files, *environments], cwd=Path(__file__).parent, check=False
    )
    print(f"exit status {found.returncode}, in {time.perf_counter() - begin:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("sb3-gate"), help="where the agents are saved")
    parser.add_argument("--steps", type=int, default=65_536, help="of every training by PPO")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)

    def trained(model: PPO) -> PPO:
        return model.learn(asked.steps)

    def aligned() -> PPO:
        new = with_frozen_heads(base, 2)
        align(new, base)
        return new

    base = made("base", SOURCE, asked.out, lambda: trained(agent(SOURCE, 0)))
    made("trained", TARGET, asked.out, lambda: trained(with_frozen_heads(base, 1)))
    made("aligned", TARGET, asked.out, aligned)
    made("scratch", TARGET, asked.out, lambda: trained(agent(TARGET, 3)))
    gate(asked.out, "base.zip", "trained.zip", "aligned.zip", "scratch.zip")


if __name__ == "__main__":
    main()
