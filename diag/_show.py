"""show: what a checkpoint file is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diag.shown import Shown
from trainers.checkpoint import Checkpoint, read
from trainers.stack import component_of


@dataclass(frozen=True)
class Component:
    """A component's name, its tensors and parameters, and what the plan does with it."""

    name: str
    tensors: int
    parameters: int
    shape: str
    """The widths from input to output."""
    trained: bool


@dataclass(frozen=True, repr=False)
class Description(Shown, kind="description"):
    """What :func:`show` found."""

    checkpoint: Checkpoint
    components: tuple[Component, ...]
    settings: Mapping[str, Any]
    """The header's settings, complete: what it leaves out has its default."""

    def shown_state(self) -> list[str]:
        header = self.checkpoint.header
        role = "base" if header.plan is None else f"transfer ({header.plan['name']})"
        return [f"{header.system} {role}", f"{header.task} task", f"step {header.step}"]

    def shown_files(self) -> list[str]:
        return [self.checkpoint.path]

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        header = self.checkpoint.header
        return {
            "schema_version": 1,
            "path": self.checkpoint.path,
            "sha256": self.checkpoint.sha256,
            "identity": self.checkpoint.identity,
            **header.to_tree(),
            "components": [vars(c) for c in self.components],
        }


def show(path: str | os.PathLike[str]) -> Description:
    """Describe a checkpoint; raises CheckpointError for anything that is not one."""
    from diag.sources.native import agent_of, plan_of

    checkpoint = read(path)
    settings = agent_of(checkpoint).settings.model_dump(mode="json")
    plan = plan_of(checkpoint)
    frozen = set() if plan is None else set(plan.frozen_components(checkpoint.tensors))
    components = []
    for name in dict.fromkeys(map(component_of, sorted(checkpoint.tensors))):
        own = {n: t for n, t in checkpoint.tensors.items() if component_of(n) == name}
        weights = [own[n] for n in sorted(own) if own[n].dim() == 2]
        widths = [weights[0].shape[1], *(w.shape[0] for w in weights)] if weights else []
        components.append(
            Component(
                name,
                len(own),
                sum(t.numel() for t in own.values()),
                "-".join(map(str, widths)),
                name not in frozen,
            )
        )
    return Description(checkpoint, tuple(components), settings)
