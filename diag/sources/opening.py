"""Opening: the file that a source opens, with what was handed over beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from diag.sources.pairs import tasks_of
from diag.sources.safe.bounds import sha256_of
from diag.sources.supplied import NOTHING, Supplied
from diag.subject import Subject, SubjectError, Taken, Task, TaskPair


@dataclass(frozen=True)
class Opening:
    """A file, the task that its model sees, and what was handed over beside it."""

    path: str
    task: Task | None = None
    """``source`` or ``target``, where it is known."""
    supplied: Supplied = NOTHING

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes; raises SubjectError where it cannot be read."""
        return sha256_of(self.path)

    @cached_property
    def tasks(self) -> TaskPair | None:
        """The paired observations that were handed over; the same object for all files of one command."""
        return tasks_of(self.supplied)

    def completed(self, subject: Subject) -> Subject:
        """The subject, given the task and pairs that were handed over where it has none of its own.

        Raises SubjectError where a key, columns or targets were given that a file of its kind has no use for.
        """
        subject = self._named(subject)
        if subject.encoder is not None and subject.tasks is None:
            subject = replace(subject, tasks=self.tasks)
        return subject if subject.task is not None else replace(subject, task=self.task)

    def _named(self, subject: Subject) -> Subject:
        supplied, taken = self.supplied, subject.taken
        if supplied.targets is not None and supplied.model is None:
            expected = "--targets with --model, whose outputs they are compared with"
            raise SubjectError(self.path, "no network that targets are for", expected)
        if supplied.model is None and supplied.key is not None and (taken is None or not taken.asked):
            raise SubjectError(self.path, "no key of rows", "--key with tables and files of named arrays")
        if not supplied.columns or taken is not None:
            return subject
        if subject.embeddings is None or supplied.columns != ("*",):
            expected = "--columns with tables and files of named arrays"
            raise SubjectError(self.path, "no columns with names", expected)
        return replace(subject, taken=Taken((), chosen=True))
