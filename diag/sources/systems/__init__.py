"""The registry of systems: the name in a checkpoint's header -> the module that makes its Subject.

A new system is a module in this package with the functions of :class:`SystemSource`, and a line in
:data:`SYSTEMS`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from diag.subject import Subject
from trainers import registry
from trainers.checkpoint import Checkpoint, CheckpointError
from trainers.envs import UnknownWorldError
from trainers.plan import PlanError, TransferPlan
from trainers.run import check_shapes
from trainers.settings import Settings, SettingsError
from trainers.system import System
from trainers.system import system_of as system_of_settings

TASKS = ("source", "target")
"""The tasks that a checkpoint may have been trained on."""


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


def trained_system(checkpoint: Checkpoint) -> System:
    """The trainers' system that a checkpoint's header describes, its tensors checked against it.

    Raises CheckpointError for unknown systems, settings, tasks and tensors of another shape.
    """
    header = checkpoint.header
    if header.system not in registry.known():
        known = " or ".join(map(repr, registry.known()))
        raise CheckpointError(checkpoint.path, f"system {header.system!r}", f"system {known}")
    try:
        settings = Settings.from_tree({"system": header.system, **header.settings})
        system = system_of_settings(settings)
    except (SettingsError, UnknownWorldError) as error:
        raise CheckpointError(checkpoint.path, f"settings in its header: {error}", "known settings") from None
    if header.system != system.name:
        words = f"system {header.system!r} with settings of {system.name!r} in its header"
        raise CheckpointError(checkpoint.path, words, "a valid header")
    if header.task not in TASKS:
        raise CheckpointError(checkpoint.path, f"task {header.task!r} in its header", " or ".join(TASKS))
    check_shapes(checkpoint, system)
    return system


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
