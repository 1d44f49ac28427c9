"""Opening: the file that a source is to open, and what was said about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from diag.sources.bounds import sha256_of
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, Task, TaskPair


@dataclass(frozen=True)
class Opening:
    """A file, the task that its model sees, and what was handed over beside it."""

    path: str
    task: Task | None = None
    """``source`` or ``target``, where it is known."""
    supplied: Supplied = NOTHING

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes; raises SubjectError where it cannot be read."""
        return sha256_of(self.path)

    @cached_property
    def tasks(self) -> TaskPair | None:
        """The paired observations that were handed over; the same object for all files of one command."""
        from diag.sources.pairs import tasks_of

        return tasks_of(self.supplied)

    def completed(self, subject: Subject) -> Subject:
        """The subject with the task, and the pairs for its encoder, where it does not say its own."""
        if subject.encoder is not None and subject.tasks is None:
            subject = replace(subject, tasks=self.tasks)
        return subject if subject.task is not None else replace(subject, task=self.task)
