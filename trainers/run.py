"""Training runs on disk: which seeds, what to do next, and checkpoints that survive being stopped.

A run writes ``seed<N>.safetensors`` (and ``.resume`` beside each) into a folder, every ``save_every``
updates and when it is told to stop. Each seed's numbers depend on its own seed alone, so seeds may be
trained in one stack, split over processes, or resumed apart, with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainers import checkpoint as files
from trainers import lock as locks
from trainers import registry
from trainers.plan import TransferPlan
from trainers.settings import Phase, Settings, SettingsError
from trainers.stack import component_of
from trainers.streams import shuffling, stream_of
from trainers.system import (
    Fitting,
    NamedInputs,
    Provided,
    Sourced,
    State,
    StateError,
    System,
    Training,
    system_of,
)

MOST_NUMBERS = 100_000
"""Most numbers in one range: more is a slip of the keyboard."""

LARGEST_NUMBER = 2**53


class RunError(ValueError):
    """A run that cannot start: its folder, seeds, base or device are not as they should be."""


class ResumeError(files.CheckpointError, RunError):
    """A resume file that its run cannot go on from."""


@dataclass(frozen=True)
class Run:
    """A training run: what to train, from what, for which seeds, and where to."""

    settings: Settings
    seeds: tuple[int, ...]
    out: str
    plan: TransferPlan | None = None
    """None trains bases; a plan makes transfers of ``base`` and of ``more_bases``."""
    base: str | None = None
    device: str = "cpu"
    keep: tuple[int, ...] = ()
    """Updates at which an extra checkpoint ``seed<N>.step<K>.safetensors`` is kept."""
    more_bases: tuple[str, ...] = ()
    """The second base and those after it, for a plan that names several."""

    def __post_init__(self) -> None:
        if self.plan is not None:
            object.__setattr__(self, "plan", settled(self.plan, self.settings))

    @property
    def bases(self) -> tuple[str, ...]:
        """Every base's path, in the order in which the plan counts them."""
        return () if self.base is None else (self.base, *self.more_bases)

    @property
    def phase(self) -> Phase:
        return self.settings.train if self.plan is None else self.settings.transfer

    def path(self, seed: int) -> Path:
        """Path of a seed's checkpoint."""
        return Path(self.out) / f"seed{seed}.safetensors"

    def early_path(self, seed: int, step: int) -> Path:
        """Path of the checkpoint that ``keep`` keeps of a seed on its way."""
        return self.path(seed).with_suffix(f".step{step}.safetensors")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from training these seeds in this folder meanwhile; raises RunError.

        Other seeds of the folder may be trained beside them. Where files cannot be locked, nothing is kept.
        """
        folder = Path(self.out)
        begun = not folder.exists()
        with ExitStack() as held:
            if begun:
                held.callback(_remove_empty, folder)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(locks.alone([folder / f".seed{seed}{locks.NAME}" for seed in self.seeds]))
            except locks.HeldError as error:
                seed = error.place.name.removeprefix(".").removesuffix(locks.NAME)
                holder = f" ({error.holder})" if error.holder else ""
                raise RunError(
                    f"{self.out}: found another command that trains {seed} there{holder}; "
                    "wait for it, or take another --out"
                ) from None
            except locks.NoLocksError:
                pass
            except OSError as error:
                raise RunError(f"{self.out}: cannot write there ({error.strerror or error})") from None
            yield

    def is_finite(self, seed: int) -> bool:
        """Whether the seed's checkpoint holds weights that can be used."""
        try:
            files.read(self.path(seed))
        except files.CheckpointError:
            return False
        return True


def _remove_empty(folder: Path) -> None:
    """Take away a folder that was made for a run which then was refused."""
    with suppress(OSError):
        folder.rmdir()


@dataclass
class Member:
    """One seed on its way: its parameters, what its training goes on from, and its curves."""

    seed: int
    parameters: dict[str, Tensor]
    state: State = field(default_factory=lambda: State(0))
    curves: dict[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Updates done."""
        return self.state.step


def seeds_from(text: str) -> tuple[int, ...]:
    """Seeds from ``0-3``, ``0,2,5`` or a mixture; raises :class:`RunError`.

    >>> seeds_from("0-2,7")
    (0, 1, 2, 7)
    """
    return numbers_from(text, "seeds")


def numbers_from(text: str | None, what: str) -> tuple[int, ...]:
    """Whole numbers from text as in :func:`seeds_from`, none from None; ``what`` names them in errors."""
    numbers: list[int] = []
    for part in [] if text is None else text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            words = f"found {part.strip()!r}, expected numbers such as 0-3 or 0,2,5"
            raise RunError(f"{what} {text!r}: {words}")
        low, high = int(first), int(last if dash else first)
        if high < low:
            raise RunError(f"{what} {text!r}: {part.strip()!r} is a range of nothing")
        if high - low >= MOST_NUMBERS or high > LARGEST_NUMBER:
            limits = f"at most {MOST_NUMBERS}, each up to {LARGEST_NUMBER}"
            raise RunError(f"{what} {text!r}: found {part.strip()!r}, expected {limits}")
        numbers.extend(range(low, high + 1))
    if len(set(numbers)) != len(numbers):
        raise RunError(f"{what} {text!r}: a number stands in it twice")
    return tuple(numbers)


def check_device(device: str) -> None:
    """Raise :class:`RunError` unless torch can use the device."""
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise RunError(f"device {device!r} cannot be used here: expected cpu, cuda or cuda:N")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise RunError(f"device {device!r} cannot be used here: {first}") from None


def prepare(run: Run, resume: bool, overwrite: bool) -> list[Member]:
    """The members that still have updates to do; raises RunError or CheckpointError for bad input."""
    check_device(run.device)
    there = [seed for seed in run.seeds if _exists(run, seed)]
    if there and not (resume or overwrite):
        raise RunError(
            f"{run.path(there[0])}: already there; --resume goes on with it, --overwrite begins anew"
        )
    late = [step for step in run.keep if step > run.phase.updates]
    if late:
        raise RunError(f"--keep {late[0]}: expected at most the {run.phase.updates} updates of the run")
    system = system_of(run.settings)
    bases = _bases(run, system)
    members = []
    for seed in run.seeds:
        resumed = _resumed(run, seed, bases, system) if resume and seed in there else None
        member = resumed or Member(seed, _initial(run, system, bases, seed))
        if member.step > run.phase.updates:
            most = f"at most the {run.phase.updates} asked for (ask for more, or --overwrite)"
            raise files.CheckpointError(run.path(seed), f"{member.step} updates", most)
        if member.step < run.phase.updates or not run.path(seed).exists():
            members.append(member)
    if members and isinstance(system, Provided):
        system.provide(run.plan)
    folder = Path(run.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_atomically(folder / ".writable", b"")
        (folder / ".writable").unlink(missing_ok=True)  # another stack of the folder may have been faster
    except OSError as error:
        raise RunError(f"{run.out}: cannot write there ({error.strerror or error})") from None
    return members


def _exists(run: Run, seed: int) -> bool:
    path = run.path(seed)
    return path.exists() or Path(f"{path}{files.RESUME_SUFFIX}").exists()


def _bases(run: Run, system: System) -> list[files.Checkpoint]:
    """The run's bases, each fit for its system and plan; raises CheckpointError, PlanError or RunError."""
    if run.plan is None:
        return []
    bases = [files.read(path) for path in run.bases]
    for base in bases:
        if base.header.system != system.name:
            found = f"a {base.header.system!r} checkpoint"
            raise files.CheckpointError(base.path, found, f"a {system.name!r} checkpoint")
        _check_fit(base, system)
        check_shapes(base, system)
    check_plan(run.plan, system, len(bases))
    return bases


def settled(plan: TransferPlan, settings: Settings) -> TransferPlan:
    """The plan with numbers for what only the settings' system knows; raises PlanError."""
    if not any(rule.symbolic for rule in plan.rules):
        return plan
    system = system_of(settings)
    return plan.settled(system.shapes(), system.columns() if isinstance(system, NamedInputs) else {})


def _check_fit(base: files.Checkpoint, system: System) -> None:
    """Raise CheckpointError where the system can say of a base's settings that they do not fit its own."""
    if not isinstance(system, Fitting):
        return
    try:
        own = Settings.from_tree({"system": base.header.system, **base.header.settings})
        misfit = system.misfit(own)
    except ValueError as error:
        raise files.CheckpointError(base.path, f"settings in its header: {error}", "known settings") from None
    if misfit is not None:
        raise files.CheckpointError(base.path, misfit.found, misfit.expected)


def check_plan(plan: TransferPlan, system: System, bases: int | None = None) -> None:
    """Raise PlanError or RunError unless the plan can be carried out, from so many bases, in a system."""
    shapes, plan = system.shapes(), settled(plan, system.settings)
    plan.check(shapes, system.terms, bases)
    for name in shapes:
        if plan.action_of(name).action == "ensemble" and component_of(name) not in system.ensembles:
            raise RunError(f"plan {plan.name!r}: {system.name}'s models have no inputs for an ensemble")


def shapes_of(system: System, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, tuple[int, ...]]:
    """Shapes of a base's parameters, or of a transfer's under a plan, with its ensembles' frozen copies."""
    own = system.shapes()
    if plan is None:
        return own
    copies = {copy: own[name] for copy, (name, _) in plan.copies(own, bases).items()}
    return system.shapes(plan, bases) | copies


def check_shapes(
    base: files.Checkpoint, system: System, plan: TransferPlan | None = None, bases: int = 1
) -> None:
    """Raise CheckpointError, naming the first difference, unless the tensors are the system's.

    They are a base's without a plan, else those of a transfer of so many ``bases`` under it.
    """
    expected = shapes_of(system, plan, bases)
    for name, shape in expected.items():
        if name not in base.tensors:
            raise files.CheckpointError(base.path, f"no tensor {name}", f"{name} of shape {shape}")
        own_shape = tuple(base.tensors[name].shape)
        if own_shape != shape:
            raise files.CheckpointError(base.path, f"{name} of shape {own_shape}", f"shape {shape}")
        if base.tensors[name].dtype != torch.float32:
            own_type = str(base.tensors[name].dtype).removeprefix("torch.")
            raise files.CheckpointError(base.path, f"{name} of type {own_type}", "float32")
    for name in base.tensors:
        if name not in expected:
            components = dict.fromkeys(map(component_of, expected))
            raise files.CheckpointError(base.path, f"a tensor {name}", "only " + ", ".join(components))


def _initial(run: Run, system: System, bases: Sequence[files.Checkpoint], seed: int) -> dict[str, Tensor]:
    if run.plan is None:
        return system.fresh(seed, stream_of(base=True))
    fresh = system.fresh(seed, stream_of(base=False), plan=run.plan, bases=len(bases))
    return run.plan.initialise([base.tensors for base in bases], fresh, shuffling(seed))


def _header(run: Run, member: Member, bases: Sequence[files.Checkpoint]) -> files.Header:
    finite = all(bool(torch.isfinite(t).all()) for t in member.parameters.values())
    return files.Header(
        system=run.settings.system,
        settings=run.settings.model_dump(mode="json"),
        task="source" if run.plan is None else "target",
        step=member.step,
        seed=member.seed,
        plan=None if run.plan is None else run.plan.to_tree(),
        bases=tuple({"path": b.path, "sha256": b.sha256, "identity": b.identity} for b in bases),
        metrics={**member.curves, "finite": finite},
        environment=files.running_environment(run.device),
    )


def _resumed(run: Run, seed: int, bases: Sequence[files.Checkpoint], system: System) -> Member:
    """The seed as its resume file has it, tried on a training of its own; raises CheckpointError."""
    path = run.path(seed)
    name = f"{path}{files.RESUME_SUFFIX}"
    weights, state, tensors = files.read_resume(path)
    run_before = _as_now(state.get("run"))
    for field_name, value in _signature(run, seed, bases).items():
        if run_before.get(field_name) != value:
            expected = f"the same {field_name} to resume"
            raise files.CheckpointError(name, f"a run with other {field_name}", expected)
    if path.exists():
        saved = files.read(path, finite=False)
        if saved.identity != state["identity"] and saved.header.step >= state["step"]:
            raise files.CheckpointError(path, "weights changed since its run wrote them", "the run's own")
    # Files of the first version had the one value of crar's training at the top.
    curves, values = state.get("curves"), state.get("training", {"counts": state.get("counts")})
    if not isinstance(curves, dict) or not isinstance(values, dict):
        raise files.CheckpointError(name, "no loss curves", "a resume file of diag train")
    member = Member(seed, weights, State(state["step"], tensors, values), curves)
    if {n: tuple(t.shape) for n, t in weights.items()} != shapes_of(system, run.plan, len(bases)):
        raise files.CheckpointError(name, "weights of another shape", "those of the settings")
    try:
        system.training(run.plan, [weights], [seed], run.device).restore([member.state])
    except StateError as error:
        raise ResumeError(name, error.found, error.expected) from None
    return member


def _as_now(before: Any) -> dict[str, Any]:
    """The facts about its run in a resume file, with settings as they would be written now.

    A setting that came since has its default, under which a run does what it did before there was one.
    """
    if not isinstance(before, dict) or not isinstance(before.get("settings"), dict):
        return {}
    tree = {"system": registry.DEFAULT, **before["settings"]}
    windows = {"updates": tree.pop("updates")} if "updates" in tree else {}
    try:
        return {**before, "settings": {**_free_of_length(Settings.from_tree(tree)), **windows}}
    except SettingsError:
        return {**before, "settings": {**tree, **windows}}


def _signature(run: Run, seed: int, bases: Sequence[files.Checkpoint]) -> dict[str, Any]:
    """The facts that must agree for a run to go on as if it had not stopped; its updates may grow."""
    tree = _free_of_length(run.settings)
    plan = None if run.plan is None else run.plan.to_tree()
    if run.plan is not None and run.plan.terms:
        tree["updates"] = run.phase.updates  # the windows of loss terms are shares of the updates
    base: Any = [b.identity for b in bases]
    if len(bases) < 2:  # as it is written since before there could be several
        base = bases[0].identity if bases else None
    return {"settings": tree, "seed": seed, "base": base, "plan": plan}


def _free_of_length(settings: Settings) -> dict[str, Any]:
    """Settings without those that a run may go on with others of."""
    tree = settings.model_dump(mode="json")
    for phase in ("train", "transfer"):
        for free in getattr(settings, phase).of_length:
            tree[phase].pop(free, None)
    return tree


def of_equal_step(members: Sequence[Member]) -> list[list[Member]]:
    """Members that can go on side by side: those with as many updates behind them."""
    by_step: dict[int, list[Member]] = {}
    for member in members:
        by_step.setdefault(member.step, []).append(member)
    return list(by_step.values())


def train_members(
    run: Run,
    members: Sequence[Member],
    progress: Callable[[int], None],
    stopped: Callable[[], bool],
    save_seconds: float = inf,
) -> None:
    """Train ``members`` (all at one step) as one stack until done or ``stopped()``, saving as it goes.

    ``progress`` is told the number of seed-updates done since it was last called. Beside every
    ``save_every`` updates, members are saved when ``save_seconds`` have passed since they last were.
    """
    torch.set_num_threads(1)
    system = system_of(run.settings)
    bases = _bases(run, system)
    parameters, seeds = [m.parameters for m in members], [m.seed for m in members]
    training = system.training(run.plan, parameters, seeds, run.device)
    if members[0].step > 0:
        training.restore([member.state for member in members])
    for member in members:
        member.curves.update(training.facts if isinstance(training, Sourced) else {})
    saved = monotonic()

    def save() -> None:
        nonlocal saved
        saved = monotonic()
        if training.step == run.phase.updates:
            _log(training, system, members)
        for index, member in enumerate(members):
            member.parameters, member.state = training.member(index), training.state(index)
            _save(run, member, bases)

    phase, told = run.phase, training.step
    while training.step < phase.updates and not stopped():
        training.update()
        if training.step % phase.log_every == 0:
            _log(training, system, members)
        if training.step in run.keep:
            for index, member in enumerate(members):
                kept = replace(member, parameters=training.member(index), state=State(training.step))
                path = run.early_path(member.seed, training.step)
                files.save(path, _header(run, kept, bases), kept.parameters)
        if training.step % phase.save_every == 0 and training.step < phase.updates:
            save()
        if training.step % 20 == 0:
            progress((training.step - told) * len(members))
            told = training.step
            if monotonic() - saved > save_seconds:
                save()
    save()
    progress((training.step - told) * len(members))


def _log(training: Training, system: System, members: Sequence[Member]) -> None:
    """Add a point to the members' curves: losses since the last one, and returns now."""
    means = training.take_losses()
    if not means:
        return
    returns = training.evaluate()
    for index, member in enumerate(members):
        member.curves.setdefault("losses", {})
        member.curves.setdefault("updates", []).append(training.step)
        length = len(member.curves["updates"])
        # Returns may be taken at some points only.
        modes = tuple(dict.fromkeys([*member.curves.get("returns", {}), *returns]))
        for kind, names, points in (("losses", system.terms, means), ("returns", modes, returns)):
            for name in names:
                values = member.curves.setdefault(kind, {}).setdefault(name, [None] * (length - 1))
                value = float(points[name][index]) if name in points else None
                values.append(value if value is not None and np.isfinite(value) else None)


def _save(run: Run, member: Member, bases: Sequence[files.Checkpoint]) -> None:
    path = run.path(member.seed)
    state = {
        "step": member.step,
        "curves": member.curves,
        "training": member.state.values,
        "run": _signature(run, member.seed, bases),
    }
    files.save_resume(path, member.parameters, state, member.state.tensors)
    files.save(path, _header(run, member, bases), member.parameters)
