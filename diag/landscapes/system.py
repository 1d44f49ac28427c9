"""Checkpoints -> the space that they span and the data for their losses, or an error that says why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import probes
from diag.landscapes import LandscapeError
from diag.landscapes.corners import Corners, on_line
from diag.landscapes.evaluate import Data
from diag.landscapes.space import Space, Straight
from diag.landscapes.state import (
    follows_in,
    in_short,
    matters,
    offsets_along,
    same,
    state_names,
    state_of,
)
from diag.repeatable import steady_encoder, steady_objective
from diag.result import FileRef
from diag.sources import opened, same_file
from diag.sources.batches import to_device
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import (
    Encoder,
    Follows,
    Objective,
    Parameters,
    Stateful,
    Subject,
    SubjectError,
    TaskPair,
    Widening,
    agree,
    require,
    settled,
)
from probes import Floats
from trainers.checkpoint import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

EVERYTHING = "all"
"""Value of ``move`` that moves every parameter, equal ones too."""


@dataclass(frozen=True)
class System:
    """Checkpoints of one system: what moves between them, their losses, and the data for those."""

    subjects: tuple[Subject, ...]
    sets: tuple[Parameters, ...]
    objective: Objective
    pair: TaskPair
    encoder: Encoder | None
    space: Space
    vectors: tuple[Tensor, ...]
    """Each checkpoint's moving parameters (P,)."""
    names: tuple[str, ...]
    """Names of the tasks on whose data losses are computed."""
    headline: str
    moved: tuple[str, ...]
    pinned: tuple[str, ...]
    warnings: tuple[str, ...]
    device: str
    held: tuple[str, ...]
    """Components that differ but are held at A's values, in words."""
    spaces: tuple[Space, ...]
    """The space of each checkpoint, with its own values of state that cannot be interpolated."""
    own: tuple[Parameters, ...]
    """All tensors of each checkpoint; those that are held have A's values."""
    fresh: tuple[Follows, ...]
    """State that is computed afresh between the checkpoints."""
    uneven: tuple[str, ...]
    """Names of the state that differs and cannot be interpolated."""
    supplied: Supplied = NOTHING
    """Things handed over beside the files, for files that are opened later."""

    @cached_property
    def precise(self) -> Objective:
        """The losses for gradients and curvature, in float32 at least."""
        return self.objective.precise() if isinstance(self.objective, Stateful) else self.objective

    @property
    def has_state(self) -> bool:
        """Whether the checkpoints differ in state beside the parameters that move."""
        return bool(self.fresh or self.uneven)

    @property
    def holds_some(self) -> bool:
        """Whether some of B's parameters are held at A's values."""
        return bool(getattr(self.objective, "pinned", ())) or len(self.held) > 0

    @property
    def read_as(self) -> tuple[str, ...]:
        """Sentences on how the files were read, each once where it holds of several files."""
        files: dict[str, list[str]] = {}
        for subject in self.subjects:
            for note in subject.notes:
                files.setdefault(note, []).append(subject.path)
        return tuple(
            f"{paths[0]}{' (and the others)' if len(paths) > 1 else ''} {note}."
            for note, paths in files.items()
        )

    def uneven_matters(self, batch: Any) -> bool:
        """Whether a checkpoint's losses change when uneven state is replaced by another checkpoint's."""
        return any(
            matters(self.objective, own, other.fixed, self.uneven, batch)
            for own in self.own
            for other in self.spaces
            if self.uneven
        )

    @property
    def straight(self) -> Straight:
        """The straight line from A's vector to B's."""
        return Straight(self.vectors[0], self.vectors[1])

    @property
    def line(self) -> Corners:
        """The states of the points of the straight line from A to B."""
        return on_line((self.spaces[0], self.spaces[1]), (self.own[0], self.own[1]))

    @property
    def line_to_a_copy(self) -> Corners:
        """The states of points from A to a copy of B with rearranged units, whose own state is unknown."""
        return on_line((self.spaces[0], self.spaces[1]), (self.own[0], None))

    def data(self, task: str, samples: int, seed: int) -> Data:
        """A batch of samples of a task, the same at every call with one seed."""
        return Data.of(self.pair.batch(task, samples, seed), seed, self.device)

    def steady(self, data: Data, seed: int) -> System:
        """This system with losses and embeddings that repeat themselves: what they draw is held at ``seed``.

        The warnings say so. Raises SubjectError where they cannot be made to (:mod:`diag.repeatable`).
        """
        first, own = self.subjects[0].path, self.sets[0]
        encoder = self.encoder
        with torch.inference_mode():
            objective, words = steady_objective(self.objective, own, data.batch, first, seed=seed)
            if encoder is not None:
                seen = self.paired[0][self.headline]
                encoder, more = steady_encoder(encoder, own, seen, first, seed=seed)
                words += more
        return replace(self, objective=objective, encoder=encoder, warnings=(*self.warnings, *words))

    def is_all_there_is(self, samples: int, seed: int) -> bool:
        """Whether another seed gives the same samples."""
        one, other = (self.pair.batch(self.headline, samples, s) for s in (seed, seed + 1))
        return one.batch is other.batch

    @cached_property
    def paired(self) -> tuple[dict[str, Tensor], Any]:
        """Observations of the same states, {task: (n, *shape)}, and their groups."""
        pairs = self.pair.paired_observations(None, 0)
        return {n: to_device(o, self.device) for n, o in pairs.observations.items()}, pairs.groups


def system_of(
    what: Sequence[Any],
    move: Sequence[str] | None,
    task: str | None,
    device: str | None,
    supplied: Supplied = NOTHING,
) -> System:
    """Open checkpoints A, B and any others; raises SubjectError, CheckpointError or LandscapeError."""
    for one in what:
        if hasattr(one, "state_dict"):
            raise LandscapeError(
                "found a torch module, expected diag.sources.torch_losses.from_module(module, …)"
            )
    if isinstance(move, str):
        move = [move]
    subjects = tuple(opened(one, "array", supplied, task) for one in what)
    first, second = subjects[:2]
    for index, subject in enumerate(subjects):
        for earlier in subjects[:index]:
            if subject is earlier or same_file(subject.path, earlier.path):
                raise SubjectError(subject.path, f"{earlier.path} itself", "different files")
    sets = tuple(require(s, "parameters", s.parameters) for s in subjects)
    objective = require(first, "objective", first.objective)
    if isinstance(objective, Widening):
        for wider in sets:
            sets = tuple(objective.widened(own, wider) for own in sets)
    pair = settled([require(one, "tasks", one.tasks) for one in subjects])
    for subject, parameters in zip(subjects[1:], sets[1:], strict=True):
        _same_system(first, sets[0], subject, parameters, pair, objective)
    moving, equal, held = _moving(sets, move, objective)
    place = _checked(device or str(next(iter(sets[0].values())).device))
    sets = tuple({n: t.to(place) for n, t in s.items()} for s in sets)
    state = state_of(sets, moving, None if move is None else lambda n: _chosen(n, move), objective)
    known = list(pair.paired_observations(None, 0).observations) or [t for t in [first.task] if t]
    if task is not None and task not in known:
        raise LandscapeError(f"task is {task!r}, expected {' or '.join(known)}")
    names = tuple(known) if task is None else (task,)
    headline = second.task if second.task in names else names[0]
    assert headline is not None
    return System(
        subjects,
        sets,
        objective,
        pair,
        first.encoder,
        state.spaces[0],
        tuple(state.spaces[0].pack(s) for s in sets),
        names,
        headline,
        tuple(dict.fromkeys(_component(name) for name in moving)),
        tuple(equal + held + list(getattr(objective, "pinned", ()))),
        tuple(
            _warnings(subjects, sets, moving, objective)
            + [f"{words}: B's losses are not its own" for words in held]
        ),
        str(place),
        tuple(held),
        state.spaces,
        state.own,
        state.fresh,
        state.uneven,
        supplied,
    )


def reference_of(system: System, base: Any) -> tuple[str, Floats]:
    """Words for the embedding that R² refers to, and the embedding (n, d) itself.

    It is the base's own, of the states as its own task shows them. The base is the one given, else A or B if
    one of them is a base, else the file that a checkpoint says it was made from. Without a base it is B's.
    """
    chosen, words = base_of(system, base), "the base's"
    if chosen is None:
        chosen, words = system.subjects[1], "B's"
    observations, _ = system.paired
    encoder = require(chosen, "encoder", chosen.encoder)
    parameters = require(chosen, "parameters", chosen.parameters)
    task = require(chosen, "task", chosen.task)
    with torch.inference_mode():
        seen = observations[task].cpu()
        encoder, _ = steady_encoder(encoder, parameters, seen, chosen.path)
        points = encoder.embed(parameters, seen)
    name = f"{words}, {chosen.path}"
    return name, probes.as_matrix(points.flatten(1), f"{chosen.path}: the embedding")


def base_of(system: System, base: Any) -> Subject | None:
    """The base given, else A or B if one of them is a base, else the file that one of them was made from."""
    first = system.subjects[0]
    if base is not None:
        given = opened(base, "base", system.supplied, "source")
        parameters = require(given, "parameters", given.parameters)
        _same_system(first, system.sets[0], given, parameters, system.pair, system.objective)
        return given
    for subject in system.subjects[:2]:
        if subject.made_from is None and subject.identity is not None:
            return subject
    for subject in system.subjects[:2]:
        if subject.base_path is None or not Path(subject.base_path).exists():
            continue
        try:
            known = opened(subject.base_path, "base", system.supplied, "source")
        except (SubjectError, CheckpointError):
            continue
        if known.identity == subject.made_from:
            return known
    return None


def trail_of(system: System, trail: Sequence[Any], batch: Any) -> tuple[Tensor, tuple[FileRef, ...]]:
    """The moving parameters (m, P) of the checkpoints of a trail, and their files.

    Raises LandscapeError for fewer than three; SubjectError where what is held differs in them, so that their
    own losses on the batch would be others than those that are drawn, and for weights that are not finite.
    """
    if len(trail) < 3:
        raise LandscapeError(f"a trail of {len(trail)} checkpoints, expected at least 3")
    first, vectors, files = system.subjects[0], [], []
    discrete = state_names(system.objective)
    for one in trail:
        subject = opened(one, "trail", system.supplied)
        parameters = require(subject, "parameters", subject.parameters)
        _same_system(first, system.sets[0], subject, parameters, system.pair, system.objective)
        placed = {name: t.to(system.device) for name, t in parameters.items()}
        differ = [name for name, held in system.space.fixed.items() if not same(held, placed[name])]
        lasting = [n for n in differ if n not in discrete and placed[n].is_floating_point()]
        if not lasting and differ and matters(system.objective, placed, system.space.fixed, differ, batch):
            lasting = differ
        if lasting:
            expected = f"that of {first.path}, which is held: a trail of the same base, or --move"
            raise SubjectError(subject.path, f"another {lasting[0]}", expected)
        vector = system.space.pack(placed)
        if not bool(vector.isfinite().all()):
            raise SubjectError(subject.path, "weights that are not finite", "a trail of finite ones")
        vectors.append(vector)
        files.append(FileRef.of(subject))
    return torch.stack(vectors), tuple(files)


def distance(one: Tensor, two: Tensor) -> float:
    """Euclidean distance, in double precision."""
    return float((one.double() - two.double()).norm())


def _component(name: str) -> str:
    return name.partition("/")[0]


def _chosen(name: str, move: Sequence[str]) -> bool:
    return any(
        wanted in (EVERYTHING, _component(name), name) or name.startswith(f"{wanted}/") for wanted in move
    )


def _moving(
    sets: Sequence[Parameters], move: Sequence[str] | None, objective: Objective
) -> tuple[list[str], list[str], list[str]]:
    """The names of the moving parameters; then, in words, the equal ones and those held though they differ.

    State that follows from parameters, or that has nothing between two values, does not move.
    """
    first, still = sets[0], state_names(objective)
    floating = [n for n, t in first.items() if t.is_floating_point() and n not in still]
    if not floating:
        raise LandscapeError("found no parameters of floating point, expected some that can move")
    offsets = {n for f in follows_in(objective) for n in f.offsets}
    free = [n for n in floating if n not in offsets]
    differ = [n for n in free if any(not same(first[n], s[n]) for s in sets[1:])]
    along = offsets_along(sets, objective)
    if move is None:
        chosen = set(differ or free) | along
        equal = dict.fromkeys(_component(n) for n in free if n not in chosen)
        moving = [n for n in floating if n in chosen]
        return moving, [f"{', '.join(equal)}: equal in all checkpoints"] if equal else [], []
    for wanted in move:
        if not any(_chosen(n, [wanted]) for n in free):
            known = ", ".join(dict.fromkeys(_component(n) for n in free))
            raise LandscapeError(f"found no component {wanted!r} to move, expected {EVERYTHING}, {known}")
    some = {n for n in floating if _chosen(n, move) and (n not in offsets or n in along)}
    held = dict.fromkeys(_component(n) for n in differ if n not in some)
    words = [f"{', '.join(held)}: held at A's values, though the others' differ"] if held else []
    return [n for n in floating if n in some], [], words


def _checked(device: str) -> torch.device:
    try:
        # A device must compute and give numbers back, which "meta" does not.
        torch.zeros(1, device=device).sum().item()
        return torch.device(device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise LandscapeError(f"device is {device!r}, expected one that this torch can use") from None


def _same_system(
    first: Subject, one: Parameters, other: Subject, two: Parameters, pair: TaskPair, objective: Objective
) -> None:
    """Raise SubjectError at the first difference that makes a straight line between two meaningless."""
    for name, tensor in one.items():
        if name not in two:
            raise SubjectError(other.path, f"no tensor {name}", f"the components of {first.path}")
        if two[name].shape != tensor.shape:
            shape, expected = tuple(two[name].shape), tuple(tensor.shape)
            raise SubjectError(other.path, f"{name} of shape {shape}", f"{expected}, as in {first.path}")
    for name in two:
        if name not in one:
            raise SubjectError(other.path, f"a tensor {name}", f"only the components of {first.path}")
    tasks = require(other, "tasks", other.tasks)
    if not agree(tasks, pair):
        raise SubjectError(
            other.path, f"other data or another world: {tasks.name}", f"those of {first.path}: {pair.name}"
        )
    theirs = require(other, "objective", other.objective)
    if (dict(theirs.terms), dict(theirs.constants)) != (dict(objective.terms), dict(objective.constants)):
        raise SubjectError(other.path, "other loss terms or constants", f"those of {first.path}")


def _warnings(
    subjects: Sequence[Subject], sets: Sequence[Parameters], moving: Sequence[str], objective: Objective
) -> list[str]:
    words = []
    offsets = {n for f in follows_in(objective) for n in f.offsets}
    for index, (subject, own) in enumerate(zip(subjects, sets, strict=True)):
        for earlier, theirs in zip(subjects[:index], sets, strict=False):
            if all(same(tensor, theirs[name]) for name, tensor in own.items()):
                words.append(
                    f"{earlier.path} and {subject.path} hold the same weights: nothing lies between them"
                )
    for subject, parameters in zip(subjects, sets, strict=True):
        broken = [n for n in moving if n not in offsets and not bool(parameters[n].isfinite().all())]
        if broken:
            count = sum(int((~parameters[n].isfinite()).sum()) for n in broken)
            names = in_short(broken)
            words.append(f"{subject.path} holds weights that are not finite: {count} in {names}")
    return words


def gaps(counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Warnings about points whose loss is not finite, from their number and that of all points, by task."""
    return [
        f"{bad} of {of} points have a loss that is not finite on the {name} task"
        for name, (bad, of) in counts.items()
        if bad
    ]


def natural(path: str) -> tuple[Any, ...]:
    """A key that sorts step1000 after step200."""
    import re

    return tuple(int(p) if p.isdigit() else p for p in re.split(r"(\d+)", path))


def spaced(points: int, beyond: float) -> Floats:
    """``points`` values of t from 0 to 1, and on at the same step as far as ``beyond`` on both sides."""
    inside = np.linspace(0.0, 1.0, points)
    step = inside[1]
    count = int(np.floor(beyond / step + 1e-9))
    return np.concatenate([-step * np.arange(count, 0, -1), inside, 1 + step * np.arange(1, count + 1)])
