"""Pages of several results as one: an index with a row for each, then the sections of each under its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from diag.outputs.sections import footer
from diag.wording import plural
from reports import Page, Section
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


def combined(parts: Sequence[Part], title: str = "report") -> Page:
    """One page of several: an index on top, then every part's verdict, facts and sections.

    The status is the worst of the parts'. A part that could not be read has a row of the index alone.
    """
    status = min((part.status for part in parts), key=WORST.index, default="")
    whole = [index(parts)]
    for number, part in enumerate(parts, 1):
        if part.page is not None:
            whole += _sections(number, part, part.page)
    return Page(title, status, summary(parts), [], whole, footer())


def summary(parts: Sequence[Part]) -> str:
    """How many results there are, and how many of each status."""
    statuses = [part.status for part in parts]
    counts = [(one, statuses.count(one)) for one in WORST if one in statuses]
    words = ", ".join(f"{count} {one or 'without a judgement'}" for one, count in counts)
    return f"{plural(len(parts), 'result')}: {words}."


def index(parts: Sequence[Part]) -> Section:
    """The section on top: a row for each result."""
    table = pd.DataFrame(
        [
            {
                "": f"{number}",
                "result": plain(part.name),
                "kind": "" if part.page is None else part.page.title,
                "status": part.status or "–",
                "verdict": plain(part.verdict),
            }
            for number, part in enumerate(parts, 1)
        ]
    )
    return Section("Index", ["Each result's sections stand below under its number."], table=table)


def with_lacks(page: Page, lacks: Sequence[str]) -> Page:
    """The page of a saved result, with what it lacks of the result that was saved among its facts."""
    return replace(page, facts=[*page.facts, *(("left out", words) for words in lacks)])


def _sections(number: int, part: Part, page: Page) -> list[Section]:
    """The sections of one part, the first with its verdict and its facts."""
    verdict = plain(f"{page.status.upper()}: {page.verdict}" if page.status else page.verdict)
    facts = [f"{name}: {words}" if name else words for name, words in page.facts]
    head = Section(f"{number}. {page.title}: {plain(part.name)}", [verdict, *facts, page.footer])
    return [head, *(replace(one, title=f"{number}. {one.title}") for one in page.sections)]
