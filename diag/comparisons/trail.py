"""Checkpoints along a transfer's training, each compared with the base: how it came where it is."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Sequence

from diag.comparisons.result import Comparison, Stop
from diag.sources import Source, opened
from diag.sources.supplied import Supplied
from diag.subject import Subject, SubjectError

MOST_STOPS = 60
"""Checkpoints of a trail that are compared: each takes as long as a comparison."""


def stops(
    trail: str | Sequence[Source],
    last: Subject,
    supplied: Supplied,
    compared: Callable[[Subject], Comparison],
) -> tuple[Stop, ...]:
    """The checkpoints of a trail in the order of training, each as ``compared`` with the base.

    A pattern stands for the files that match it; the transfer itself, ``last``, is left out of them.
    Raises SubjectError for a pattern that matches nothing, and for more than :data:`MOST_STOPS` files.
    """
    if not trail:
        return ()
    sources: list[Source] = []
    if isinstance(trail, str):
        files = sorted(glob.glob(trail), key=_natural)  # noqa: PTH207 (a pattern may be absolute)
        sources += files
        if not sources:
            raise SubjectError(trail, "no file that matches", "a pattern of checkpoints, in quotes")
    else:
        sources += trail
    if len(sources) > MOST_STOPS:
        raise SubjectError(str(trail), f"{len(sources)} checkpoints", f"at most {MOST_STOPS} along a trail")
    subjects = [opened(one, f"trail array {place}", supplied, "target") for place, one in enumerate(sources)]
    subjects = [one for one in subjects if one.sha256 != last.sha256]
    if all(one.share is not None for one in subjects):
        subjects.sort(key=lambda one: one.share or 0.0)
    return tuple(Stop(one.path, one.share, compared(one)) for one in subjects)


def _natural(path: str) -> list[tuple[int, str]]:
    """Sort key by which step1000 comes after step200."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path)]
