"""Training runs on disk: which seeds, what to do next, and checkpoints that survive being stopped.

A run writes ``seed<N>.safetensors`` (and ``.resume`` beside each) into a folder, every ``save_every``
updates and when it is told to stop. Each seed's numbers depend on its own seed alone, so seeds may be
trained in one stack, split over processes, or resumed apart, with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from trainers.crar import CRAR, Trainer
from trainers.envs.world import FiniteWorld, collect, world
from trainers.plan import TransferPlan
from trainers.settings import Phase, Settings

MOST_NUMBERS = 100_000
"""In one range: more is a slip of the keyboard."""

LARGEST_NUMBER = 2**53

BASE_PLAN = TransferPlan.from_tree({"name": "base", "rules": [{"component": "*", "action": "copy"}]})
"""What training from nothing amounts to: every component is trained."""


class RunError(ValueError):
    """A run that cannot start: its folder, seeds, base or device are not as they should be."""


@dataclass(frozen=True)
class Run:
    """A training run: what to train, from what, for which seeds, and where to."""

    settings: Settings
    seeds: tuple[int, ...]
    out: str
    plan: TransferPlan | None = None
    """None trains bases; a plan makes transfers of ``base``."""
    base: str | None = None
    device: str = "cpu"
    keep: tuple[int, ...] = ()
    """Updates at which an extra checkpoint ``seed<N>.step<K>.safetensors`` is kept."""

    @property
    def phase(self) -> Phase:
        return self.settings.train if self.plan is None else self.settings.transfer

    def path(self, seed: int) -> Path:
        """Where a seed's checkpoint goes."""
        return Path(self.out) / f"seed{seed}.safetensors"

    def early_path(self, seed: int, step: int) -> Path:
        """Where the checkpoint goes that ``keep`` keeps of a seed on its way."""
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
    """One seed on its way: its parameters, its step and what its optimisers remember."""

    seed: int
    parameters: dict[str, Tensor]
    step: int = 0
    squares: dict[str, Tensor] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Losses added up since the last point of the curves, by term, and how many they are."""
    counts: dict[str, int] = field(default_factory=dict)


def seeds_from(text: str) -> tuple[int, ...]:
    """Seeds from ``0-3``, ``0,2,5`` or a mixture; raises :class:`RunError`.

    >>> seeds_from("0-2,7")
    (0, 1, 2, 7)
    """
    return numbers_from(text, "seeds")


def numbers_from(text: str | None, what: str) -> tuple[int, ...]:
    """Whole numbers from text as in :func:`seeds_from`, none from None; ``what`` names them in errors."""
    found: list[int] = []
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
        found.extend(range(low, high + 1))
    if len(set(found)) != len(found):
        raise RunError(f"{what} {text!r}: a number stands in it twice")
    return tuple(found)


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
    agent = CRAR(run.settings, world(run.settings.world))
    base = _base(run, agent)
    members = []
    for seed in run.seeds:
        found = _resumed(run, seed, base, agent) if resume and seed in there else None
        member = found or Member(seed, _initial(run, agent, base, seed))
        if member.step > run.phase.updates:
            most = f"at most the {run.phase.updates} asked for (ask for more, or --overwrite)"
            raise files.CheckpointError(run.path(seed), f"{member.step} updates", most)
        if member.step < run.phase.updates or not run.path(seed).exists():
            members.append(member)
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


def _base(run: Run, agent: CRAR) -> files.Checkpoint | None:
    if run.base is None:
        return None
    assert run.plan is not None
    base = files.read(run.base)
    if base.header.system != "crar":
        raise files.CheckpointError(run.base, f"a {base.header.system!r} checkpoint", "a 'crar' checkpoint")
    check_shapes(base, agent)
    check_plan(run.plan, base.tensors, run.settings)
    return base


def check_plan(plan: TransferPlan, parameters: Iterable[str], settings: Settings) -> None:
    """Raise PlanError or RunError unless the plan can be carried out on these parameters."""
    plan.check(parameters, settings.loss.terms)
    if any(rule.action == "ensemble" for rule in plan.rules):
        raise RunError(f"plan {plan.name!r}: crar's models have no inputs for an ensemble")


def check_shapes(base: files.Checkpoint, agent: CRAR) -> None:
    """Raise CheckpointError, naming the first difference, unless the tensors are the agent's."""
    expected = agent.shapes()
    for name, shape in expected.items():
        if name not in base.tensors:
            raise files.CheckpointError(base.path, f"no tensor {name}", f"{name} of shape {shape}")
        found = tuple(base.tensors[name].shape)
        if found != shape:
            raise files.CheckpointError(base.path, f"{name} of shape {found}", f"shape {shape}")
        if base.tensors[name].dtype != torch.float32:
            found_type = str(base.tensors[name].dtype).removeprefix("torch.")
            raise files.CheckpointError(base.path, f"{name} of type {found_type}", "float32")
    for name in base.tensors:
        if name not in expected:
            raise files.CheckpointError(base.path, f"a tensor {name}", "only " + ", ".join(agent.nets))


def stream_of(base: bool) -> int:
    """The random stream of a base, or of a transfer: the same seed walks another walk in another phase."""
    return 0 if base else 1


def _initial(run: Run, agent: CRAR, base: files.Checkpoint | None, seed: int) -> dict[str, Tensor]:
    if base is None:
        return agent.fresh(seed, stream_of(base=True))
    assert run.plan is not None
    stream = stream_of(base=False)
    rng = np.random.default_rng([seed, stream])
    return run.plan.initialise(base.tensors, agent.fresh(seed, stream), rng)


def _header(run: Run, member: Member, base: files.Checkpoint | None) -> files.Header:
    origin = None
    if base is not None:
        origin = {"path": base.path, "sha256": base.sha256, "identity": base.identity}
    finite = all(bool(torch.isfinite(t).all()) for t in member.parameters.values())
    return files.Header(
        system="crar",
        settings=run.settings.model_dump(mode="json"),
        task="source" if run.plan is None else "target",
        step=member.step,
        seed=member.seed,
        plan=None if run.plan is None else run.plan.to_tree(),
        base=origin,
        metrics={**member.curves, "finite": finite},
        environment=files.running_environment(run.device),
    )


def _resumed(run: Run, seed: int, base: files.Checkpoint | None, agent: CRAR) -> Member:
    path = run.path(seed)
    name = f"{path}{files.RESUME_SUFFIX}"
    weights, state, tensors = files.read_resume(path)
    run_before = state.get("run")
    for field_name, value in _signature(run, seed, base).items():
        if not isinstance(run_before, dict) or run_before.get(field_name) != value:
            found, expected = f"a run with other {field_name}", f"the same {field_name} to resume"
            raise files.CheckpointError(name, found, expected)
    if path.exists():
        saved = files.read(path, finite=False)
        if saved.identity != state["identity"] and saved.header.step >= state["step"]:
            raise files.CheckpointError(path, "weights changed since its run wrote them", "the run's own")
    curves, counts = state.get("curves"), state.get("counts")
    if {n: tuple(t.shape) for n, t in weights.items()} != agent.shapes():
        raise files.CheckpointError(name, "weights of another shape", "those of the settings")
    if not isinstance(curves, dict) or not isinstance(counts, dict):
        raise files.CheckpointError(name, "no loss curves", "a resume file of diag train")
    kept = {
        kind: {k.removeprefix(f"{kind}/"): v for k, v in tensors.items() if k.startswith(f"{kind}/")}
        for kind in ("squares", "sums")
    }
    if state["step"] > 0 and not kept["squares"]:
        raise files.CheckpointError(name, "no optimiser state", "a resume file of diag train")
    return Member(seed, weights, state["step"], kept["squares"], curves, kept["sums"], counts)


def _signature(run: Run, seed: int, base: files.Checkpoint | None) -> dict[str, Any]:
    """What must agree for a run to go on as if it had not stopped; the number of updates may grow."""
    tree = run.settings.model_dump(mode="json")
    for phase in ("train", "transfer"):
        for free in ("updates", "save_every"):
            tree[phase].pop(free)
    plan = None if run.plan is None else run.plan.to_tree()
    if run.plan is not None and run.plan.terms:
        tree["updates"] = run.phase.updates  # the windows of loss terms are shares of the updates
    return {"settings": tree, "seed": seed, "base": base and base.identity, "plan": plan}


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
    the_world: FiniteWorld = world(run.settings.world)
    agent = CRAR(run.settings, the_world)
    base = _base(run, agent)
    stream = stream_of(run.plan is None)
    data = run.settings.data
    trainer = Trainer(
        agent,
        run.phase,
        "source" if run.plan is None else "target",
        run.plan or BASE_PLAN,
        [m.parameters for m in members],
        [collect(the_world, data.steps, data.episode_steps, m.seed, stream) for m in members],
        [(m.seed, stream) for m in members],
        run.device,
    )
    _restore(trainer, members)
    saved = monotonic()

    def save() -> None:
        nonlocal saved
        saved = monotonic()
        if trainer.step == run.phase.updates:
            _log(trainer, members)
        for index, member in enumerate(members):
            _take(trainer, index, member)
            _save(run, member, base)

    phase, told = run.phase, trainer.step
    while trainer.step < phase.updates and not stopped():
        trainer.update()
        if trainer.step % phase.log_every == 0:
            _log(trainer, members)
        if trainer.step in run.keep:
            for index, member in enumerate(members):
                kept = replace(member, parameters=trainer.stack.member(index), step=trainer.step)
                path = run.early_path(member.seed, trainer.step)
                files.save(path, _header(run, kept, base), kept.parameters)
        if trainer.step % phase.save_every == 0 and trainer.step < phase.updates:
            save()
        if trainer.step % 20 == 0:
            progress((trainer.step - told) * len(members))
            told = trainer.step
            if monotonic() - saved > save_seconds:
                save()
    save()
    progress((trainer.step - told) * len(members))


def _log(trainer: Trainer, members: Sequence[Member]) -> None:
    means = trainer.take_losses()
    if not means:
        return
    for index, member in enumerate(members):
        curve = member.curves.setdefault("losses", {})
        member.curves.setdefault("updates", []).append(trainer.step)
        length = len(member.curves["updates"])
        for term in trainer.agent.settings.loss.terms:
            values = curve.setdefault(term, [None] * (length - 1))
            value = float(means[term][index]) if term in means else None
            values.append(value if value is not None and np.isfinite(value) else None)


def _save(run: Run, member: Member, base: files.Checkpoint | None) -> None:
    path = run.path(member.seed)
    state = {
        "step": member.step,
        "curves": member.curves,
        "counts": member.counts,
        "run": _signature(run, member.seed, base),
    }
    tensors = {f"squares/{k}": v for k, v in member.squares.items()}
    tensors |= {f"sums/{k}": v for k, v in member.sums.items()}
    files.save_resume(path, member.parameters, state, tensors)
    files.save(path, _header(run, member, base), member.parameters)


def _take(trainer: Trainer, index: int, member: Member) -> None:
    """Bring a member up to its row of the trainer."""
    member.parameters = trainer.stack.member(index)
    member.step = trainer.step
    member.squares = {
        f"{optimiser}/{component}": values[index].cpu().clone()
        for optimiser, components in trainer.squares.items()
        for component, values in components.items()
    }
    member.sums = {term: values[index].cpu().clone() for term, values in trainer.sums.items()}
    member.counts = dict(trainer.counts)


def _restore(trainer: Trainer, members: Sequence[Member]) -> None:
    """Give the trainer what its members remember; the opposite of :func:`_take`."""
    trainer.step = members[0].step
    trainer.counts = dict(members[0].counts)
    try:
        for term in members[0].sums:
            trainer.sums[term] = torch.stack([m.sums[term] for m in members]).to(trainer.device)
        for key in members[0].squares:
            optimiser, _, component = key.partition("/")
            rows = torch.stack([m.squares[key] for m in members]).to(trainer.device)
            if rows.shape != trainer.stack.buffers[component].shape:
                raise RunError(f"seed {members[0].seed}: an optimiser state of another shape; --overwrite")
            trainer.squares.setdefault(optimiser, {})[component] = rows
    except (KeyError, RuntimeError) as error:
        raise RunError(f"seed {members[0].seed}: an optimiser state that does not fit ({error})") from None
