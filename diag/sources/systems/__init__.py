"""The registry of systems: the name in a checkpoint's header -> the function that makes its Subject.

A new system is a module with a function of a :class:`Trained`, and a line in :data:`SUBJECTS`. A package
makes its own known with an entry point of the group ``transfer_diag.subjects``; a test, or anything else that
is running, with :func:`register`.
"""

from __future__ import annotations

from dataclasses import dataclass

from diag.subject import Actor, Encoder, Objective, Subject, TaskPair
from diag.units.drift import FROZEN, IN_PART
from trainers import registry
from trainers.checkpoint import Checkpoint, CheckpointError
from trainers.envs import UnknownWorldError
from trainers.plan import ALL, PlanError, TransferPlan, original
from trainers.run import check_shapes
from trainers.settings import Settings, SettingsError
from trainers.system import System
from trainers.system import system_of as system_of_settings

TASKS = ("source", "target")
"""The tasks that a checkpoint may have been trained on."""

PLANNED = {
    "copy": "copied, trained",
    "permute": "shuffled, trained",
    "fraction": "a fraction, trained",
    "reset": "fresh",
    "ensemble": "fresh, reads copies",
}
"""Words for what a plan did with parameters that it trains."""

PLANNED_IN_PART = {"reset": f"{IN_PART}reset", "fraction": f"{IN_PART}a fraction"}
"""Words behind those for what a plan did with some columns alone."""

SUBJECTS = registry.Places(
    "subjects of system",
    "transfer_diag.subjects",
    {
        "crar": "diag.sources.systems.crar:subject",
        "dreamer": "diag.sources.systems.dreamer:subject",
        "impala": "diag.sources.systems.impala:subject",
    },
)
"""Each system's function of a :class:`Trained` that returns a Subject, loaded when one is opened."""

register = SUBJECTS.register


@dataclass(frozen=True)
class Trained:
    """A checkpoint of diag train or diag transfer, with all that its header says checked."""

    checkpoint: Checkpoint
    system: System
    plan: TransferPlan | None
    """None for a base."""

    @property
    def task(self) -> str:
        """The task that it was trained on."""
        return self.checkpoint.header.task

    @property
    def seed(self) -> int:
        """Seed of the training, and so of the transitions that it saw."""
        return self.checkpoint.header.seed

    def subject(
        self,
        *,
        encoder: Encoder,
        tasks: TaskPair,
        objective: Objective | None = None,
        actor: Actor | None = None,
        success_states: int | None = None,
    ) -> Subject:
        """The subject with these capabilities, and with what any checkpoint's header says."""
        checkpoint, header, settings = self.checkpoint, self.checkpoint.header, self.system.settings
        held = [] if self.plan is None else self.plan.frozen_components(checkpoint.tensors)
        reading = tuple(c for c in held if original(c) in self.system.readers)
        role = "base" if self.plan is None else f"transfer ({self.plan.name})"
        phase = settings.train if self.plan is None else settings.transfer
        return Subject(
            path=checkpoint.path,
            sha256=checkpoint.sha256,
            task=header.task,
            parameters=checkpoint.tensors,
            encoder=encoder,
            objective=objective,
            tasks=tasks,
            actor=actor,
            frozen=reading,
            plan=None if self.plan is None else self._planned(self.plan),
            identity=checkpoint.identity,
            made_from=None if header.base is None else header.base["identity"],
            base_path=None if header.base is None else header.base["path"],
            bases=tuple((base["path"], base["identity"]) for base in header.bases),
            share=header.step / phase.updates,
            training=(settings.world, settings.transfer.algorithm),
            success_states=success_states,
            label=f"{role}, {settings.world}, {header.task} task, seed {header.seed}, {header.step} updates",
        )

    def _planned(self, plan: TransferPlan) -> dict[str, str]:
        """What the plan did with each parameter, in words."""
        names = list(self.checkpoint.tensors)
        columns = [rule for rule in plan.rules if rule.partial]
        several, trained_ = len(self.checkpoint.header.bases) > 1, plan.trainable(names)
        words = {}
        for name in names:
            if original(component := name.partition("/")[0]) != component:
                words[name] = "a frozen copy"
                continue
            rule = plan.action_of(name)
            words[name] = PLANNED[rule.action] if name in trained_ else FROZEN
            if several and rule.base not in (None, 0):
                words[name] += " of all bases" if rule.base == ALL else f" of base {rule.base}"
            if self.checkpoint.tensors[name].dim() == 2:  # others have no columns
                parts = dict.fromkeys(PLANNED_IN_PART[r.action] for r in columns if r.matches(name))
                words[name] += "".join(parts)
        return words


def subject_of(checkpoint: Checkpoint) -> Subject:
    """The subject of a checkpoint; raises CheckpointError, such as for systems that nothing here reads."""
    name = checkpoint.header.system
    if name not in SUBJECTS.known():
        known = " or ".join(map(repr, SUBJECTS.known()))
        raise CheckpointError(checkpoint.path, f"system {name!r}", f"system {known}")
    subject: Subject = SUBJECTS.load(name)(trained(checkpoint))
    return subject


def trained(checkpoint: Checkpoint) -> Trained:
    """A checkpoint with its header's system and plan; raises CheckpointError for what does not fit."""
    system, header = _system_of(checkpoint), checkpoint.header
    try:
        plan = None if header.plan is None else TransferPlan.from_tree(header.plan)
        check_shapes(checkpoint, system, plan, len(header.bases))
        if plan is not None:
            plan.check(checkpoint.tensors, system.terms)
    except PlanError as error:
        raise CheckpointError(checkpoint.path, f"a plan in its header: {error}", "a valid plan") from None
    return Trained(checkpoint, system, plan)


def _system_of(checkpoint: Checkpoint) -> System:
    """The trainers' system that a checkpoint's header describes; raises CheckpointError."""
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
    return system
