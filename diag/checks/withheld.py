"""Checks that cannot be made because a file withholds what they need: its numbers would not be its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from diag.checks.judging import Found
from diag.checks.kind import Check
from diag.subject import Subject
from trainers.safe_text import in_words


def withheld(base: Subject, transfer: Subject, checks: Iterable[Check]) -> Iterator[tuple[str, Found]]:
    """Answer ``unsure`` for each check that one of the two subjects withholds the data of.

    A policy without the statistics that its observations were normalised by would give numbers that mean
    nothing.
    """
    asked = list(checks)
    for subject in (base, transfer):
        if subject.withheld is None:
            continue
        reason, expected = subject.withheld
        words = f"{in_words(subject.path)} is {reason}; expected {expected}"
        for check in asked:
            if check.lacks(subject, is_base=subject is base):
                yield check.name, Found(check.name, "unsure", words)
