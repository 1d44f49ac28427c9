"""What a report is made of: a verdict, key numbers, sections of words, pictures and tables, and facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Figure:
    """A chart and the sentence that says what it shows (read aloud in its place)."""

    chart: Any
    description: str
    caption: str = ""
    """A sentence below the chart that says how to read its marks; empty for none."""


@dataclass(frozen=True)
class Drawing:
    """An SVG drawing as it stands, which no script replaces, and the sentence that says what it shows."""

    svg: str
    description: str
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, then what the reader sees in this order: words, a picture, its numbers, explanations.

    The picture stands beside the words where the window is wide and the picture is not.
    """

    title: str
    words: Sequence[str] = ()
    """What the evidence says, a paragraph each: always visible."""
    figure: Figure | Drawing | None = None
    table: pd.DataFrame | None = None
    notes: Sequence[str] = ()
    """How the numbers were made and how to read them, a paragraph each: folded away."""
    commands: Sequence[str] = ()
    """Shell commands to go on with, each with a button that copies it."""
    folded: bool = False
    """Fold the table away, since the picture shows what it says."""
    short: str = ""
    """Name in the list of contents; the title where it is empty."""


@dataclass(frozen=True)
class Key:
    """A number that a reader looks for first: its value in large, its name, and a note (an interval)."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report; ``status`` colours the verdict (empty for no judgement)."""

    title: str
    status: str
    verdict: str
    facts: Sequence[tuple[str, str]]
    """What was measured and how: names, hashes, seeds, versions, at the end of the page."""
    sections: Sequence[Section]
    footer: str
    kind: str = ""
    """The command or the kind of report, above the title."""
    keys: Sequence[Key] = ()
    """At most five numbers below the verdict."""
    parts: Sequence[Page] = ()
    """Whole pages that stand in this one, below an index with a row for each."""
