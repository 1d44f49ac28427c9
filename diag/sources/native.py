"""A checkpoint of ``diag train`` or ``diag transfer`` -> a Subject with every capability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diag.sources.systems.crar import CrarSystem, Origin, TaskBatch
from diag.subject import Pairs, Sampled, Subject, Task
from trainers import registry
from trainers.checkpoint import Checkpoint, CheckpointError, read
from trainers.crar import CRAR, Batch
from trainers.envs import FiniteWorld, UnknownWorldError
from trainers.plan import BASE_PLAN, PlanError, TransferPlan
from trainers.run import check_shapes
from trainers.settings import Settings, SettingsError
from trainers.streams import EVALUATION_STREAM, generator
from trainers.system import System, system_of

TASKS = ("source", "target")
"""The tasks that a checkpoint may have been trained on."""


class FiniteTasks:
    """A finite world as TaskPair: paired observations are all of its states."""

    def __init__(self, the_world: FiniteWorld) -> None:
        self.world, self.name = the_world, the_world.name
        self._observations = {t: torch.from_numpy(o) for t, o in the_world.observations.items()}

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        states = np.arange(self.world.states)
        if n is not None and n < len(states):
            states = np.sort(generator(EVALUATION_STREAM, seed).permutation(states)[:n])
        chosen = torch.from_numpy(states)
        return Pairs({t: o[chosen] for t, o in self._observations.items()}, states)

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        """States and actions uniform, as the random policy visits them in the long run; grouped by state."""
        rng = generator(EVALUATION_STREAM, seed)
        states, actions = self.world.transitions.shape
        # Whole rounds through all (state, action) pairs, then a random part of one.
        order = np.concatenate(
            [rng.permutation(states * actions) for _ in range(-(-n // (states * actions)))]
        )
        state, action = np.divmod(order[:n], actions)
        samples = Batch(
            torch.from_numpy(state),
            torch.from_numpy(action),
            torch.from_numpy(self.world.rewards[state, action]),
            torch.from_numpy(self.world.terminals[state, action]),
            torch.from_numpy(self.world.transitions[state, action]),
            torch.from_numpy(rng.integers(n, size=n)),
        )
        return Sampled(TaskBatch(self._observations[task], samples), state)

    def variables(self) -> Mapping[str, NDArray[Any]]:
        return self.world.variables


def system_in(checkpoint: Checkpoint) -> System:
    """The system that a checkpoint's header describes, its tensors checked against it."""
    header = checkpoint.header
    if header.system not in registry.known():
        known = " or ".join(map(repr, registry.known()))
        raise CheckpointError(checkpoint.path, f"system {header.system!r}", f"system {known}")
    try:
        settings = Settings.from_tree({"system": header.system, **header.settings})
        system = system_of(settings)
    except (SettingsError, UnknownWorldError) as error:
        raise CheckpointError(checkpoint.path, f"settings in its header: {error}", "known settings") from None
    if header.system != system.name:
        found = f"system {header.system!r} with settings of {system.name!r} in its header"
        raise CheckpointError(checkpoint.path, found, "a valid header")
    if header.task not in TASKS:
        raise CheckpointError(checkpoint.path, f"task {header.task!r} in its header", " or ".join(TASKS))
    check_shapes(checkpoint, system)
    return system


def agent_of(checkpoint: Checkpoint) -> CRAR:
    """The CRAR agent that a checkpoint's header describes, its tensors checked against it."""
    if checkpoint.header.system != "crar":
        raise CheckpointError(checkpoint.path, f"system {checkpoint.header.system!r}", "system 'crar'")
    agent = system_in(checkpoint)
    assert isinstance(agent, CRAR)
    return agent


def plan_of(checkpoint: Checkpoint) -> TransferPlan | None:
    """The plan in a checkpoint's header, None for a base; raises CheckpointError for a bad one."""
    if checkpoint.header.plan is None:
        return None
    try:
        plan = TransferPlan.from_tree(checkpoint.header.plan)
        plan.check(checkpoint.tensors, system_of(Settings.from_tree(checkpoint.header.settings)).terms)
    except PlanError as error:
        raise CheckpointError(checkpoint.path, f"a plan in its header: {error}", "a valid plan") from None
    return plan


def open_native(path: str) -> Subject:
    """The subject in a checkpoint file; raises CheckpointError."""
    checkpoint = read(path)
    agent = agent_of(checkpoint)
    plan = plan_of(checkpoint)
    header = checkpoint.header
    system = CrarSystem(agent, Origin(plan or BASE_PLAN, header.task, header.seed, header.step))
    held = () if plan is None else plan.frozen_components(checkpoint.tensors)
    frozen = tuple(component for component in held if component in agent.readers)
    role = "base" if plan is None else f"transfer ({plan.name})"
    return Subject(
        path=checkpoint.path,
        sha256=checkpoint.sha256,
        task=header.task,
        parameters=checkpoint.tensors,
        encoder=system,
        objective=system,
        tasks=FiniteTasks(agent.world),
        frozen=frozen,
        identity=checkpoint.identity,
        made_from=None if header.base is None else header.base["identity"],
        base_path=None if header.base is None else header.base["path"],
        share=header.step / (agent.settings.train if plan is None else agent.settings.transfer).updates,
        success_states=agent.world.success_states,
        label=f"{role}, {agent.world.name}, {header.task} task, seed {header.seed}, {header.step} updates",
    )
