"""Agents in labyrinths, made short: tiny nets on the small world, for tests that train them."""

from __future__ import annotations

from trainers.crar_labyrinth import LabyrinthCRAR, LabyrinthSettings
from trainers.settings import preset

TINY = (
    "data.steps=600",
    "model.encoder=[3,4,5]",
    "model.transition=[4,5,6,5,4]",
    "model.heads=[4,5,4,2]",
    "model.dense=[12,8,6]",
    "optimiser.batch=8",
    "loss.target_every=4",
    "evaluation.episodes=4",
    "train.updates=12",
    "train.log_every=4",
    "transfer.updates=12",
    "transfer.log_every=4",
)


def tiny(*assignments: str) -> LabyrinthSettings:
    """The small labyrinths' settings with tiny nets, a batch of 8 and 12 updates."""
    settings = preset("labyrinth-small").with_overrides([*TINY, *assignments])
    assert isinstance(settings, LabyrinthSettings)
    return settings


def agent(*assignments: str) -> LabyrinthCRAR:
    """The agent of :func:`tiny` settings."""
    return LabyrinthCRAR.of(tiny(*assignments))
