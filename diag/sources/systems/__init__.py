"""The registry of systems: the name in a checkpoint's header -> the module that makes its Subject.

A new system is a module in this package with the functions of :class:`SystemSource`, and a line in
:data:`SYSTEMS`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from diag.subject import Subject
from trainers.checkpoint import Checkpoint, CheckpointError
from trainers.plan import PlanError, TransferPlan


class SystemSource(Protocol):
    """A module that reads the checkpoints of one system; its functions raise CheckpointError."""

    def subject_of(self, checkpoint: Checkpoint) -> Subject:
        """The subject of a checkpoint, with every capability that the system has."""
        ...

    def settings_of(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        """The settings in a checkpoint's header as a tree, complete: what it leaves out has its default."""
        ...

    def plan_of(self, checkpoint: Checkpoint) -> TransferPlan | None:
        """The plan in a checkpoint's header, checked against its tensors; None for a base."""
        ...


SYSTEMS: Mapping[str, str] = {
    "crar": "crar",
}
"""{name in a header: module of this package}; the module is loaded when a checkpoint of it is opened."""


def system_of(checkpoint: Checkpoint) -> SystemSource:
    """The module that reads a checkpoint's system; raises CheckpointError for systems without one."""
    name = checkpoint.header.system
    if name not in SYSTEMS:
        known = " or ".join(repr(system) for system in SYSTEMS)
        raise CheckpointError(checkpoint.path, f"system {name!r}", f"system {known}")
    return cast(SystemSource, import_module(f"diag.sources.systems.{SYSTEMS[name]}"))


def checked_plan(checkpoint: Checkpoint, terms: Collection[str]) -> TransferPlan | None:
    """The plan in a checkpoint's header, None for a base; raises CheckpointError for a bad one.

    ``terms`` are the names of the losses that a plan of its system may schedule.
    """
    if checkpoint.header.plan is None:
        return None
    try:
        plan = TransferPlan.from_tree(checkpoint.header.plan)
        plan.check(checkpoint.tensors, terms)
    except PlanError as error:
        raise CheckpointError(checkpoint.path, f"a plan in its header: {error}", "a valid plan") from None
    return plan
