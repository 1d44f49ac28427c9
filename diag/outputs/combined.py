"""Pages of several results as one: an index with a row for each, then the sections of each under its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from diag.outputs.sections import footer
from diag.wording import plural
from reports import Page
from trainers.safe_text import plain

WORST = ("error", "fail", "inconclusive", "warn", "pass", "")
"""Statuses, worst first; an empty one judges nothing."""

ERROR = "error"


@dataclass(frozen=True)
class Part:
    """One result of a combined page: its page, or why it has none."""

    name: str
    """The file's path, as it was named or below the folder."""
    page: Page | None = None
    problem: str = ""
    """The line that says why the file could not be read."""

    @property
    def status(self) -> str:
        return ERROR if self.page is None else self.page.status

    @property
    def verdict(self) -> str:
        return self.problem if self.page is None else self.page.verdict


def combined(parts: Sequence[Part], title: str = "Several results") -> Page:
    """One page of several: an index on top, then every part as it would stand alone, with its file's name.

    The status is the worst of the parts'. A part that could not be read has its reason in place of sections.
    """
    status = min((part.status for part in parts), key=WORST.index, default="")
    return Page(
        title, status, summary(parts), [], [], footer(), kind="report", parts=[_page(p) for p in parts]
    )


def summary(parts: Sequence[Part]) -> str:
    """How many results there are, and how many of each status."""
    statuses = [part.status for part in parts]
    counts = [(one, statuses.count(one)) for one in WORST if one in statuses]
    words = ", ".join(f"{count} {one or 'without a judgement'}" for one, count in counts)
    return f"{plural(len(parts), 'result')}: {words}."


def with_lacks(page: Page, lacks: Sequence[str]) -> Page:
    """The page of a saved result, with what it lacks of the result that was saved among its facts."""
    return replace(page, facts=[*page.facts, *(("left out", words) for words in lacks)])


def _page(part: Part) -> Page:
    if part.page is None:
        return Page(plain(part.name), ERROR, plain(part.problem), [], [], "", kind="not read")
    name = plain(part.name)
    return replace(
        part.page,
        verdict=plain(part.page.verdict),
        facts=[("file", name), *part.page.facts],
        kind=f"{part.page.kind}, {name}" if part.page.kind else name,
    )
