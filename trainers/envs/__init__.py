"""Worlds to train and transfer in: one file each, and what a trainer needs to know of any of them."""

from __future__ import annotations

from trainers.envs.finite import FiniteWorld, Transitions, UnknownWorldError, collect, world, world_names

__all__ = ["FiniteWorld", "Transitions", "UnknownWorldError", "collect", "register", "world", "world_names"]


def register() -> None:
    """Register the worlds with gymnasium (``transfer_diag/SimpleMaze-v0``); harmless when repeated."""
    import gymnasium

    if "transfer_diag/SimpleMaze-v0" not in gymnasium.registry:
        gymnasium.register(
            "transfer_diag/SimpleMaze-v0",
            entry_point="trainers.envs.simple_maze:SimpleMaze",
            max_episode_steps=500,
        )
