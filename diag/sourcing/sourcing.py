"""Which source does a target resemble, and before there is a target, which source suits its task?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diag.result import FileRef
from diag.sources import Source, opened, same_file
from diag.sources.remains import remains_in
from diag.sourcing.likeness import between, by_likeness, heard, likeness
from diag.sourcing.result import Remains, SourcesCompared
from diag.sourcing.suits import TOTAL, suits
from diag.sourcing.verdict import verdict_of
from diag.subject import Parted, Redirected, Subject, SubjectError
from diag.wording import short_names
from probes import Floats, Measure

Progress = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""

ROWS = 2048
"""Rows of histories that all are shown, unless so many others are asked for."""

FEWEST_ROWS = 64

PARTED = "a checkpoint of a world model, whose components can be asked one by one (docs/several-sources.md)"


def compare_sources(
    target: Source,
    sources: Sequence[Source] = (),
    *,
    to: str | None = None,
    rows: int = ROWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> SourcesCompared:
    """Compare a target with each of its sources, component by component, on histories of its own task.

    Args:
        target: A checkpoint of a transfer, or of a short training on the target's task; with ``to``, the
            first of the candidates.
        sources: Checkpoints of the sources; by default the bases that the transfer's header names.
        to: A task of the world that is still to be learned: each source's world model is then held against
            histories of it as it stands, played at random, to say which suits it best.
        rows: Number of rows of histories.
        seed: Seed of the histories.
        progress: Called with the steps done and the steps in all.

    Raises:
        SubjectError: files that are no world models, or of different worlds; fewer than two sources; a base
            that is not where the header says, or another file now; a task that the world does not have.
    """
    if rows < FEWEST_ROWS:
        raise SubjectError("rows", str(rows), f"{FEWEST_ROWS} or more")
    first = opened(target, "target")
    named = list(sources) if to is not None or sources else _bases_of(first)
    others = [opened(one, f"source {number}") for number, one in enumerate(named)]
    if to is not None:
        return _suiting([first, *others], to, rows, seed, progress or (lambda done, of: None))
    return _resembling(first, others, rows, seed, progress or (lambda done, of: None))


def _bases_of(target: Subject) -> list[Source]:
    """Paths of the bases that a transfer's header names, each of them there and unchanged."""
    if not target.bases:
        raise SubjectError(target.path, "no bases named in it", "its sources behind it, or a transfer")
    found: list[Source] = []
    for path, identity in target.bases:
        if not os.path.isfile(path):  # noqa: PTH113 (which a name that is too long makes no fault of)
            raise SubjectError(target.path, f"base {path}, which is not there", "its sources behind it")
        base = opened(path, "base")
        if base.identity != identity:
            raise SubjectError(path, "another file than the transfer was made from", "its sources behind it")
        found.append(base)
    return found


def _checked(every: Sequence[Subject]) -> list[Parted]:
    """The systems of subjects that can be compared; raises SubjectError."""
    parted: list[Parted] = []
    for one in every:
        if one.parameters is None or one.tasks is None or not isinstance(one.objective, Parted):
            raise SubjectError(one.path, "nothing that can be asked component by component", PARTED)
        parted.append(one.objective)
        words = parted[0].sees(parted[-1])
        if words is not None:
            raise SubjectError(one.path, *words)
    for number, one in enumerate(every):
        for other in every[:number]:
            if same_file(one.path, other.path) or (
                one.identity is not None and one.identity == other.identity
            ):
                raise SubjectError(one.path, f"the same as {other.path}", "different files")
    return parted


def _names(sources: Sequence[Subject]) -> tuple[str, ...]:
    """The sources' names, as short as they are told apart: the folders' where files are called alike."""
    names = short_names([one.path for one in sources])
    parts = [name.rsplit("/", 1) for name in names]
    if all(len(part) == 2 for part in parts) and len({part[-1] for part in parts}) == 1:
        return tuple(part[0] for part in parts)
    return tuple(names)


def _several(sources: Sequence[Subject], where: str) -> None:
    if len(sources) < 2:
        count = "one source" if sources else "no source"
        raise SubjectError(where, count, "two or more; diag compare-embeddings is for one")


def _resembling(
    target: Subject, sources: list[Subject], rows: int, seed: int, report: Progress
) -> SourcesCompared:
    _several(sources, target.path)
    parted = _checked([target, *sources])
    assert target.tasks is not None
    sampled = target.tasks.batch(target.task or "target", rows, seed)
    asked = [
        _answers(system, subject, sampled.batch)
        for system, subject in zip(parted, [target, *sources], strict=True)
    ]
    own, theirs = asked[0], asked[1:]
    advance = _counted(report, len(own) * len(sources))
    groups = sampled.groups
    alike = likeness(own, theirs, groups, seed, advance)
    rankings = by_likeness(own, theirs, groups)
    main, names = parted[0].main, _names(sources)
    warnings = _made_from(target, sources)
    order = [_number(sources, identity) for _, identity in target.bases]
    listening = parted[0].heard(target.parameters or {}, sampled.batch)
    ears: list[Measure] = []
    if listening is not None and all(number is not None for number in order):
        said, without = (tensor.double().numpy() for tensor in listening)
        moved = heard(said, without, groups)
        ears = [moved[order.index(number)] for number in range(len(sources)) if number in order]
        ears = ears if len(ears) == len(sources) else []
    left, unknown = _remains(target, sources, order)
    warnings += unknown
    return SourcesCompared(
        question="resembles",
        target=FileRef.of(target),
        task=target.tasks.name,
        sources=tuple(FileRef.of(one) for one in sources),
        names=names,
        verdict=verdict_of("resembles", rankings, main, names, target.tasks.name),
        main=main,
        rankings=rankings,
        likeness=tuple(alike),
        suits=(),
        between=tuple(between([one[main] for one in theirs], groups)),
        remains=left,
        heard=tuple(ears),
        rows=len(groups),
        histories=len(np.unique(groups)),
        seed=seed,
        warnings=tuple(warnings),
    )


def _suiting(sources: list[Subject], to: str, rows: int, seed: int, report: Progress) -> SourcesCompared:
    _several(sources, sources[0].path)
    parted = _checked(sources)
    lost: list[dict[str, Floats]] = []
    embeddings: list[Floats] = []
    shown: list[tuple[NDArray[np.int64], Floats]] = []
    weights = dict(parted[0].terms)
    for one, system in zip(sources, parted, strict=True):
        if not isinstance(one.tasks, Redirected):
            raise SubjectError(
                one.path, "a transfer, which has a target of its own", "a base, with --to TASK"
            )
        if dict(system.terms) != weights:
            raise SubjectError(one.path, "other weights of its losses", f"those of {sources[0].path}")
        sampled = one.tasks.to(to).batch("target", rows, seed)
        found = system.losses(one.parameters or {}, sampled.batch)
        lost.append({term: values.detach().double().numpy() for term, values in found.items()})
        embeddings.append(_answers(system, one, sampled.batch)[system.main])
        shown.append((sampled.groups, system.earned(sampled.batch).double().numpy()))
    groups, rewards = shown[0]
    for one, (theirs, _) in zip(sources, shown, strict=True):
        if not np.array_equal(theirs, groups):
            raise SubjectError(one.path, "histories of another length", f"those of {sources[0].path}")
    advance = _counted(report, len(sources))
    each, rankings = suits(lost, weights, embeddings, rewards, groups, seed, advance)
    names = _names(sources)
    return SourcesCompared(
        question="suits",
        target=None,
        task=to,
        sources=tuple(FileRef.of(one) for one in sources),
        names=names,
        verdict=verdict_of("suits", rankings, TOTAL, names, to),
        main=TOTAL,
        rankings=rankings,
        likeness=(),
        suits=tuple(each),
        between=tuple(between(embeddings, groups)),
        remains=(),
        heard=(),
        rows=len(groups),
        histories=len(np.unique(groups)),
        seed=seed,
        warnings=(),
    )


def _counted(report: Progress, steps: int) -> Callable[[], None]:
    """A function that reports one step more of so many each time that it is called."""
    number = count(1)
    return lambda: report(next(number), steps)


def _answers(system: Parted, subject: Subject, batch: Any) -> dict[str, Floats]:
    found = system.answers(subject.parameters or {}, batch)
    return {name: _numbers(values.double().numpy()) for name, values in found.items()}


def _numbers(values: NDArray[np.float64]) -> Floats:
    return values.reshape(len(values), -1)


def _number(sources: Sequence[Subject], identity: str) -> int | None:
    """Number of the source with this identity."""
    return next((number for number, one in enumerate(sources) if one.identity == identity), None)


def _made_from(target: Subject, sources: Sequence[Subject]) -> list[str]:
    """Warnings on sources that the transfer was not made from."""
    made = {identity for _, identity in target.bases}
    return [
        f"{target.path} was not made from {one.path}" for one in sources if made and one.identity not in made
    ]


def _remains(
    target: Subject, sources: Sequence[Subject], order: Sequence[int | None]
) -> tuple[tuple[Remains, ...], list[str]]:
    """What is left of each source's fraction in a transfer of files, and warnings."""
    if not target.bases or None in order:
        return (), []
    found = remains_in(target.path)
    if found is None:
        return (), [
            "what is left of each fraction is unknown: a base is not where it was, or another file now"
        ]
    return tuple(
        Remains(order[one.base] or 0, one.component, one.steps, one.fractions, one.shares) for one in found
    ), []
