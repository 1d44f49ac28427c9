"""Pairs that are equal by construction, to count the gate's false alarms on: one network, other noise.

    python benchmarks/equal_pairs.py /tmp/equal
    diag check --calibrate /tmp/equal/n31
    diag check --calibrate /tmp/equal/n200

One fixed network (two tanh layers, 8 numbers out) embeds the same n states, whose 16 observed numbers carry
fresh noise of 5% in every file: what "the same run on other data" is. Each folder has FILES files of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

FILES, LATENT, OBSERVED, HIDDEN, EMBEDDED, NOISE = 60, 4, 16, 64, 8, 0.05


def embeddings(n: int, seed: int) -> list[np.ndarray]:
    """FILES embeddings (n, EMBEDDED) of the same states."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, LATENT))
    shown = latent @ rng.normal(size=(LATENT, OBSERVED)) / np.sqrt(LATENT)
    first = rng.normal(size=(OBSERVED, HIDDEN)) / np.sqrt(OBSERVED)
    second = rng.normal(size=(HIDDEN, EMBEDDED)) / np.sqrt(HIDDEN)
    noisy = (shown + NOISE * rng.normal(size=shown.shape) for _ in range(FILES))
    return [np.tanh(np.tanh(x @ first) @ second) for x in noisy]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for n in (31, 200):
        folder = out / f"n{n}"
        folder.mkdir(parents=True, exist_ok=True)
        for number, x in enumerate(embeddings(n, n)):
            np.save(folder / f"{number:02}.npy", x)


if __name__ == "__main__":
    main()
