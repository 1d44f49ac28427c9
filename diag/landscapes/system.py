"""Checkpoints -> the space that they span and the data that they are judged on; or what stands against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import probes
from diag.batches import to_device
from diag.landscapes import LandscapeError
from diag.landscapes.evaluate import Data
from diag.landscapes.result import Floats
from diag.landscapes.space import Space
from diag.repeatable import steady_encoder, steady_objective
from diag.result import FileRef
from diag.sources import opened, same_file
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Encoder, Objective, Parameters, Subject, SubjectError, TaskPair, require
from trainers.checkpoint import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

EVERYTHING = "all"
"""``move`` every parameter, equal ones too."""


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
    """The tasks whose data losses are taken on."""
    headline: str
    moved: tuple[str, ...]
    pinned: tuple[str, ...]
    warnings: tuple[str, ...]
    device: str
    supplied: Supplied = NOTHING
    """What was handed over beside the files, for others that are opened later."""

    def data(self, task: str, samples: int, seed: int) -> Data:
        """So many samples of a task."""
        return Data.of(self.pair.batch(task, samples, seed), seed, self.device)

    def steady(self, data: Data, seed: int) -> System:
        """The same with losses and embeddings that repeat themselves: what they draw is held at ``seed``.

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
            raise LandscapeError("found a torch module, expected diag.sources.module.from_module(module, …)")
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
    pair = require(first, "tasks", first.tasks)
    for subject, parameters in zip(subjects[1:], sets[1:], strict=True):
        _same_system(first, sets[0], subject, parameters, pair, objective)
    moving, equal, held = _moving(sets, move)
    place = _checked(device or str(next(iter(sets[0].values())).device))
    sets = tuple({n: t.to(place) for n, t in s.items()} for s in sets)
    space = Space.of(sets[0], moving)
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
        space,
        tuple(space.pack(s) for s in sets),
        names,
        headline,
        tuple(dict.fromkeys(_component(name) for name in moving)),
        tuple(equal + held + list(getattr(objective, "pinned", ()))),
        tuple(_warnings(subjects, sets) + [f"{words}: B's losses are not its own" for words in held]),
        str(place),
        supplied,
    )


def reference_of(system: System, base: Any) -> tuple[str, Floats]:
    """The embedding that the others are held against, and whose it is, in words.

    The base's own, of the states as its own task shows them: the base given, or A or B where it is one,
    or the file that the checkpoint says it was made from. B's where there is none.
    """
    chosen, words = _base_of(system, base), "the base's"
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


def _base_of(system: System, base: Any) -> Subject | None:
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
            found = opened(subject.base_path, "base", system.supplied, "source")
        except (SubjectError, CheckpointError):
            continue
        if found.identity == subject.made_from:
            return found
    return None


def trail_of(system: System, trail: Sequence[Any]) -> tuple[Tensor, tuple[FileRef, ...]]:
    """The moving parameters (m, P) of the checkpoints of a trail, and their files.

    Raises LandscapeError for fewer than three, and where what is held differs in them: their own losses
    would be others than those that are drawn.
    """
    if len(trail) < 3:
        raise LandscapeError(f"a trail of {len(trail)} checkpoints, expected at least 3")
    first, vectors, files = system.subjects[0], [], []
    for one in trail:
        subject = opened(one, "trail", system.supplied)
        parameters = require(subject, "parameters", subject.parameters)
        _same_system(first, system.sets[0], subject, parameters, system.pair, system.objective)
        placed = {name: t.to(system.device) for name, t in parameters.items()}
        for name, held in system.space.fixed.items():
            if not torch.equal(held, placed[name]):
                expected = f"that of {first.path}, which is held: a trail of the same base, or --move"
                raise SubjectError(subject.path, f"another {name}", expected)
        vectors.append(system.space.pack(placed))
        files.append(FileRef.of(subject))
    return torch.stack(vectors), tuple(files)


def distance(one: Tensor, two: Tensor) -> float:
    """Euclidean, in double precision."""
    return float((one.double() - two.double()).norm())


def _component(name: str) -> str:
    return name.partition("/")[0]


def _moving(sets: Sequence[Parameters], move: Sequence[str] | None) -> tuple[list[str], list[str], list[str]]:
    """The names of the moving parameters; in words what is equal, and what is held though it differs."""
    first = sets[0]
    floating = [n for n, t in first.items() if t.is_floating_point()]
    if not floating:
        raise LandscapeError("found no parameters of floating point, expected some that can move")
    differ = [n for n in floating if any(not torch.equal(first[n], s[n]) for s in sets[1:])]
    if move is None:
        chosen = differ or floating
        equal = dict.fromkeys(_component(n) for n in floating if n not in chosen)
        return chosen, [f"{', '.join(equal)}: equal in all checkpoints"] if equal else [], []
    chosen = []
    for wanted in move:
        some = [n for n in floating if wanted in (EVERYTHING, _component(n), n) or n.startswith(f"{wanted}/")]
        if not some:
            known = ", ".join(dict.fromkeys(_component(n) for n in floating))
            raise LandscapeError(f"found no component {wanted!r} to move, expected {EVERYTHING}, {known}")
        chosen += [n for n in some if n not in chosen]
    held = dict.fromkeys(_component(n) for n in differ if n not in chosen)
    words = [f"{', '.join(held)}: held at A's values, though the others' differ"] if held else []
    return [n for n in floating if n in chosen], [], words


def _checked(device: str) -> torch.device:
    try:
        # What can be computed and read back, which the device "meta" cannot.
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
            found, expected = tuple(two[name].shape), tuple(tensor.shape)
            raise SubjectError(other.path, f"{name} of shape {found}", f"{expected}, as in {first.path}")
    for name in two:
        if name not in one:
            raise SubjectError(other.path, f"a tensor {name}", f"only the components of {first.path}")
    name = require(other, "tasks", other.tasks).name
    if name != pair.name:
        raise SubjectError(
            other.path, f"other data or another world: {name}", f"those of {first.path}: {pair.name}"
        )
    theirs = require(other, "objective", other.objective)
    if (dict(theirs.terms), dict(theirs.constants)) != (dict(objective.terms), dict(objective.constants)):
        raise SubjectError(other.path, "other loss terms or constants", f"those of {first.path}")


def _warnings(subjects: Sequence[Subject], sets: Sequence[Parameters]) -> list[str]:
    words = []
    for index, (subject, own) in enumerate(zip(subjects, sets, strict=True)):
        for earlier, theirs in zip(subjects[:index], sets, strict=False):
            if all(torch.equal(tensor, theirs[name]) for name, tensor in own.items()):
                what = "the slice is a point" if index == 1 else "the plane is a line"
                words.append(f"{earlier.path} and {subject.path} hold the same weights: {what}")
    for subject, parameters in zip(subjects, sets, strict=True):
        if not all(math.isfinite(float(t.double().sum())) for t in parameters.values()):
            words.append(f"{subject.path} holds weights that are not finite")
    return words


def gaps(counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Warnings of points, by task, whose loss is not finite: (how many, of how many)."""
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
