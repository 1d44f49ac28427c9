"""A checkpoint of ``diag train`` or ``diag transfer`` -> the Subject that its system makes of it."""

from __future__ import annotations

from dataclasses import replace

from diag.sources.opening import Opening
from diag.sources.pairs import SeenBy
from diag.sources.safe.bounds import check_holdable
from diag.sources.systems import subject_of
from diag.subject import Subject
from trainers.checkpoint import read


def open_native(opening: Opening) -> Subject:
    """The subject in a checkpoint file, which sees the pairs that were handed over where there are any.

    Raises CheckpointError for files that are no whole checkpoint or of an unknown system, and SubjectError
    for pairs that do not fit.
    """
    check_holdable(opening.path)
    checkpoint = read(opening.path)
    subject = subject_of(checkpoint)
    if opening.tasks is None or subject.tasks is None:
        return subject
    # The number of states that make a success in its world does not apply to other observations.
    return replace(subject, tasks=SeenBy(opening.tasks, subject.tasks, opening.path), success_states=None)
