"""Worlds to train and transfer in: one file each, and what a trainer needs to know of any of them."""

from __future__ import annotations

from trainers.envs.finite import FiniteWorld, Transitions, UnknownWorldError, collect, world, world_names

__all__ = ["FiniteWorld", "Transitions", "UnknownWorldError", "collect", "register", "world", "world_names"]


def register() -> None:
    """Register the worlds with gymnasium; harmless when repeated.

    They are ``transfer_diag/SimpleMaze-v0``, ``transfer_diag/Labyrinth-v0``,
    ``transfer_diag/LabyrinthSmall-v0``, ``transfer_diag/Catch-v0``, ``transfer_diag/CatchSmall-v0``, and
    ``transfer_diag/PendulumSwingUp-v0``, ``CartPoleSwingUp``, ``DoublePoleSwingUp`` and
    ``DrivenPoleSwingUp`` from pictures, and each as ``…State-v0``. Labyrinths and poles have time limits of
    their own, and a ball of Catch falls down.
    """
    import gymnasium

    if "transfer_diag/SimpleMaze-v0" not in gymnasium.registry:
        gymnasium.register(
            "transfer_diag/SimpleMaze-v0",
            entry_point="trainers.envs.simple_maze:SimpleMaze",
            max_episode_steps=500,
        )
    labyrinths = {"Labyrinth": {}, "LabyrinthSmall": {"tiles": 6, "keys": 2, "pixels": 2, "steps": 30}}
    for name, sizes in labyrinths.items():
        if f"transfer_diag/{name}-v0" not in gymnasium.registry:
            gymnasium.register(
                f"transfer_diag/{name}-v0",
                entry_point="trainers.envs.labyrinth:Labyrinth",
                kwargs=sizes,
            )
    for name, size in {"Catch": "catch", "CatchSmall": "catch-small"}.items():
        if f"transfer_diag/{name}-v0" not in gymnasium.registry:
            gymnasium.register(
                f"transfer_diag/{name}-v0", entry_point="trainers.envs.catch:Catch", kwargs={"size": size}
            )
    for task in ("pendulum", "cart-pole", "double-pole", "driven-pole"):
        for seen in ("", "-state"):
            name = "".join(part.title() for part in task.split("-")) + f"SwingUp{seen[1:].title()}"
            if f"transfer_diag/{name}-v0" not in gymnasium.registry:
                gymnasium.register(
                    f"transfer_diag/{name}-v0",
                    entry_point="trainers.envs.control:Control",
                    kwargs={"task": task + seen},
                )
