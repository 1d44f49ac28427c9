"""The states of a world as its checkpoints embed them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diag._threads import one_thread
from diag.subject import Pairs, Subject, SubjectError, TaskPair, require

if TYPE_CHECKING:
    from torch import Tensor


def shared_tasks(subjects: Sequence[Subject]) -> TaskPair:
    """The tasks of all of them; raises SubjectError where they are of several worlds."""
    tasks = require(subjects[0], "tasks", subjects[0].tasks)
    for subject in subjects[1:]:
        other = require(subject, "tasks", subject.tasks)
        if other.name != tasks.name:
            expected = f"{tasks.name!r}, the world of {subjects[0].path}"
            raise SubjectError(subject.path, f"world {other.name!r}", expected)
    return tasks


def embedded(subject: Subject, pairs: Pairs) -> Tensor:
    """What its encoder makes of the states (n, ...), as the task that it was trained on shows them."""
    encoder = require(subject, "encoder", subject.encoder)
    parameters = require(subject, "parameters", subject.parameters)
    seen = pairs.observations[require(subject, "task", subject.task)]
    with one_thread():
        return encoder.embed(parameters, seen)
