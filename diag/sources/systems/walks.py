"""Training that goes on from a checkpoint, with positions averaged early and late on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from trainers.stack import Stack


class Descending(Protocol):
    """A training of a stack of seeds, an update at a time."""

    stack: Stack

    def update(self) -> None:
        """Do one update of every seed."""
        ...


@dataclass(frozen=True)
class Way:
    """How far training goes on, and over which of its updates positions are averaged.

    The noise of single updates goes by averaging, the way between the two windows stays; the windows are to
    be equally long (:class:`diag.landscapes.drift.Walk`).
    """

    warm: int
    """Updates that warm the optimiser's running squares up, and are taken back."""
    early: range
    late: range

    @property
    def updates(self) -> int:
        """All updates, the warming ones too."""
        return self.warm + self.late.stop


def walked(trainer: Descending, way: Way) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """Train on; each trained parameter's mean (m, *shape) in both windows, and the updates between these."""
    stack = trainer.stack
    start = {component: buffer.clone() for component, buffer in stack.buffers.items()}
    for _ in range(way.warm):
        trainer.update()
        with torch.no_grad():
            for component, buffer in stack.buffers.items():
                buffer.copy_(start[component])
    trained = {name: view for name, view in stack.views.items() if view.requires_grad}
    early, late = ({name: torch.zeros_like(view) for name, view in trained.items()} for _ in range(2))
    for update in range(way.late.stop):
        trainer.update()
        for window, means in ((way.early, early), (way.late, late)):
            if update in window:
                for name, mean in means.items():
                    mean.add_(trained[name].detach(), alpha=1 / len(window))
    return early, late, way.late.start - way.early.start
