"""Draw the picture of docs/worlds.md: one state of Catch and one of MinAtar's breakout, in every look.

python docs/make_worlds_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainers.envs.acting import PairedWorld, acting_world

SHOWN = {"catch-small": (7, 2500), "minatar-breakout": (17, 777)}
"""Worlds, with the pixels of a cell, and which of 3,000 sampled states is shown."""

BORDER = 6


def row_of(name: str, scale: int, number: int) -> NDArray[np.uint8]:
    """One state in every look, side by side."""
    world = acting_world(name)
    assert isinstance(world, PairedWorld)
    states = {key: rows[[number]] for key, rows in world.sample_states(3000, 0).states.items()}
    pictures = [world.pictures(states, variant, scale)[0] for variant in world.variants]
    framed = [np.pad(p, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), constant_values=150) for p in pictures]
    return np.concatenate(framed, 1)


def main() -> None:
    rows = [row_of(name, *shown) for name, shown in SHOWN.items()]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows]
    Image.fromarray(np.concatenate(padded)).save(Path(__file__).parent / "worlds.png", optimize=True)


if __name__ == "__main__":
    main()
