"""Every kind of attack by name, and how many of a hundred are of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

from tests.attacks import checkpoints, containers, damage, parquet, pickles, places, programs, settings
from tests.attacks.attack import Attack, Maker, Seeds

KINDS: Mapping[str, tuple[Maker, int]] = {
    "cut short": (damage.cut, 6),
    "bits flipped": (damage.flipped, 12),
    "lengths overwritten": (damage.lengths, 8),
    "parts mixed": (damage.mixed, 7),
    "of another format": (damage.renamed, 4),
    "safetensors headers": (checkpoints.safetensors, 6),
    "checkpoint headers": (checkpoints.ours, 10),
    "numpy headers": (containers.numpy_headers, 5),
    "archives": (containers.archives, 5),
    "Parquet": (parquet.tables, 4),
    "strange numbers": (containers.numbers, 2),
    "pickles": (pickles.pickles, 4),
    "files of torch.save": (pickles.saves, 5),
    "Stable-Baselines3": (pickles.policies, 5),
    "ONNX": (programs.programs, 3),
    "configurations": (settings.configurations, 6),
    "baselines": (settings.baselines, 4),
    "no plain files": (places.special, 3),
    "names": (places.named, 3),
}
"""What makes an attack of each kind, and its share."""


def attack(kind: str, number: int, seeds: Seeds, seed: int = 0) -> Attack:
    """An attack by its number, the same for the same seed."""
    return KINDS[kind][0](Random(f"{seed}/{kind}/{number}"), seeds, number)


def numbered(count: int) -> Iterator[tuple[str, int]]:
    """The kinds and numbers of about so many attacks, each kind as often as its share says."""
    whole = sum(share for _, share in KINDS.values())
    for kind, (_, share) in KINDS.items():
        for number in range(max(1, round(count * share / whole))):
            yield kind, number
