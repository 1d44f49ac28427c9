"""The shipped checkpoints: a base, a transfer of it that landed, and one that is mirrored."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

NAMES = ("base", "matched", "mirrored")

PICTURE = (
    "A point is a place in the maze, coloured by its room; a line leads to where the transition model "
    "expects an action to lead. Every transfer started from the base's encoder and was shown the inverted "
    "maze, with the base's transition model frozen. One that landed looks like the base. In a mirrored one "
    "the rooms have changed sides; the frozen model, which expects them on the other, bends the picture."
)
"""Words on the embeddings' pictures."""


def shipped(name: str) -> Path:
    """The file of a shipped checkpoint, one of :data:`NAMES`; raises FileNotFoundError where it is missing.

    An installed package holds them as data, a clone in its folder ``examples``.
    """
    if name not in NAMES:
        raise ValueError(f"no shipped checkpoint {name!r}, expected one of {', '.join(NAMES)}")
    file = f"{name}.safetensors"
    installed = Path(str(resources.files("diag.commands.demo"))) / "checkpoints" / file
    cloned = Path(__file__).parents[3] / "examples" / file
    for place in (installed, cloned):
        if place.is_file():
            return place
    raise FileNotFoundError(
        2, "a checkpoint that comes with transfer-diag is missing; install it anew", str(installed)
    )
