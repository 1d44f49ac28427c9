"""The states of a world as its checkpoints embed them, and the loss where they are embedded otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from diag.repeatable import steady_encoder
from diag.subject import (
    LatentObjective,
    Pairs,
    Subject,
    SubjectError,
    TaskPair,
    agree,
    missing,
    require,
    settled,
)
from trainers.threads import one_thread

if TYPE_CHECKING:
    from torch import Tensor

UNABLE = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError)
"""Exceptions of an encoder that is given observations which it was not made for."""


def shared_tasks(subjects: Sequence[Subject]) -> TaskPair:
    """The tasks that all subjects share; raises SubjectError where they are of several worlds.

    They are a transfer's where a base leaves open which look of its world it is taken to.
    """
    each = [require(subject, "tasks", subject.tasks) for subject in subjects]
    tasks = settled(each)
    known = subjects[each.index(tasks)].path
    for subject, other in zip(subjects, each, strict=True):
        if not agree(other, tasks):
            raise SubjectError(subject.path, f"world {other.name!r}", f"{tasks.name!r}, the world of {known}")
    return tasks


def embedded(subject: Subject, pairs: Pairs, say: Callable[[str], None] = lambda words: None) -> Tensor:
    """A subject's embeddings (n, ...) of paired states, as the task that it was trained on shows them.

    An encoder that draws random numbers has them held fixed, and ``say`` is told.
    Raises SubjectError where the encoder fails on them, gives anything but numbers (n, ...), or does not
    repeat itself (:mod:`diag.repeatable`).
    """
    encoder = require(subject, "encoder", subject.encoder)
    task = require(subject, "task", subject.task)
    if task not in pairs.observations:
        expected = f"a subject of {' or '.join(pairs.observations)}: there are no pairs of another task"
        raise SubjectError(subject.path, f"the task {task!r}", expected)
    seen = pairs.observations[task]
    try:
        with one_thread():
            steady, said = steady_encoder(encoder, subject.parameters or {}, seen, subject.path)
            embeddings = steady.embed(subject.parameters or {}, seen)
    except SubjectError:
        raise
    except UNABLE as error:
        words = " ".join(str(error).split()) or type(error).__name__
        fault = f"an encoder that fails on observations of {seen.dtype} {tuple(seen.shape)} ({words})"
        raise SubjectError(subject.path, fault, "observations that it was made for") from error
    expected = f"numbers ({len(seen)}, ...), a row for each observation"
    if not hasattr(embeddings, "detach") or embeddings.is_complex():
        raise SubjectError(subject.path, f"a {type(embeddings).__name__} as embedding", expected)
    if embeddings.ndim < 2 or len(embeddings) != len(seen) or not embeddings.numel():
        raise SubjectError(subject.path, f"an embedding of shape {tuple(embeddings.shape)}", expected)
    for warning in said:
        say(warning)
    return embeddings


def embedding(subject: Subject) -> Any:
    """Embeddings (K, d) float64 of every state as the task that the subject was trained on shows it."""
    pairs = shared_tasks((subject,)).paired_observations(None, 0)
    return embedded(subject, pairs).double().numpy()


def loss_at(subject: Subject, embeddings: Tensor, batch: Any) -> float:
    """The total loss of a batch from given embeddings (K, d) of the observations that it indexes.

    Raises SubjectError for an objective that takes no embeddings.
    """
    objective = require(subject, "objective", subject.objective)
    if not isinstance(objective, LatentObjective):
        raise missing(subject, "losses at given embeddings")
    parameters = require(subject, "parameters", subject.parameters)
    losses = objective.losses_at(parameters, embeddings, batch)
    return float(total({term: values.mean() for term, values in losses.items()}, objective.terms))


def total(means: Mapping[str, Any], weights: Mapping[str, float]) -> Any:
    """The weighted sum of the terms."""
    return sum(weight * means[term] for term, weight in weights.items())
