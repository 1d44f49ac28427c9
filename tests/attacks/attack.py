"""One attack: a file, or what stands where a file is expected, and as what it is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["subject", "pairs", "config", "baseline"]
"""A checkpoint or an array file; what stands after ``--pairs``, ``--config`` and ``--baseline``."""

Seeds: TypeAlias = Mapping[str, bytes]
"""Valid files by name, :func:`tests.attacks.seeds.seeds`."""

Maker: TypeAlias = Callable[[Random, Seeds, int], "Attack"]
"""The attack of a number; ``Random`` is that number's own."""


@dataclass(frozen=True)
class Attack:
    """What is put where, and how it is opened."""

    name: str
    """The file's name; one with lone surrogates stands for bytes that are no UTF-8."""
    content: bytes = b""
    role: Role = "subject"
    make: Callable[[Path], object] | None = None
    """Makes what is no plain file: a link, a device."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Other files of the same folder."""
    opened: str | None = None
    """The path that is opened, relative to the folder, where it is not the name."""

    def placed(self, folder: Path) -> str:
        """Put everything into a folder; the path to open."""
        for name, content in self.beside.items():
            (folder / name).write_bytes(content)
        place = folder / self.name
        if self.make is not None:
            self.make(place)
        else:
            place.write_bytes(self.content)
        return os.path.join(folder, self.name if self.opened is None else self.opened)  # noqa: PTH118


def role_of(name: str) -> Role:
    """As what a valid file of :func:`tests.attacks.seeds.seeds` is opened."""
    roles: Mapping[str, Role] = {
        "pairs.npz": "pairs",
        "pairs.safetensors": "pairs",
        "diag.toml": "config",
        "pyproject.toml": "config",
        "accepted.json": "baseline",
    }
    return roles.get(name, "subject")
