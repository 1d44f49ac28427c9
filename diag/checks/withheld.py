"""Checks that cannot be made because a file withholds what they need: its numbers would not be its own."""

from __future__ import annotations

from collections.abc import Iterator

from diag.checks.embeddings import NAMES as EMBEDDINGS
from diag.checks.judging import Found
from diag.subject import Subject
from trainers.safe_text import in_words


def withheld(base: Subject, transfer: Subject, base_returns: bool) -> Iterator[tuple[str, Found]]:
    """Each check that cannot be made of the two because one withholds what it needs, as undecided.

    A policy without the statistics that its observations were normalised by would give numbers, and none of
    them its own. ``base_returns`` says whether the base's returns are needed.
    """
    for subject in (base, transfer):
        if subject.withheld is None:
            continue
        found, expected = subject.withheld
        words = f"{in_words(subject.path)} is {found}; expected {expected}"
        checks: list[str] = []
        if subject.encoder is None and subject.embeddings is None:
            checks += [*EMBEDDINGS, "probe"]
        if subject.objective is None:
            checks.append("loss_ratio")
        if subject.actor is None and subject.returns is None and (base_returns or subject is transfer):
            checks.append("returns")
        yield from ((name, Found(name, "unsure", words)) for name in checks)
