"""A subject for a terminal: what it is, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diag.outputs.layout import Column, table, wrapped
from diag.outputs.lines import short
from diag.subject import CAPABILITIES, Subject
from diag.wording import plural
from trainers.safe_text import plain

NAMES, WORDS = 16, 0
"""Width of a capability's name; what it is takes the rest."""


def render(subject: Subject, verbose: bool = False) -> str:
    """A subject's path, facts and capabilities."""
    lines = [*wrapped(title(subject), "", "  "), ""]
    for name, words in facts(subject):
        lines += wrapped(words, f"  {name:14}", " " * 16)
    lines += ["", *table([Column("offers", NAMES, "<"), Column("", WORDS, "<")], offers(subject))]
    return "\n".join(lines)


def title(subject: Subject) -> str:
    """The subject's label and path, in one line."""
    return f"{plain(subject.label) or 'subject'}: {plain(subject.path)}"


def facts(subject: Subject) -> list[tuple[str, str]]:
    """Names and words: its hash, its task, what is frozen on it, and what it was made from."""
    rows = [("sha256", subject.sha256[:16])]
    if subject.task is not None:
        rows.append(("trained on", f"the {subject.task} task"))
    if subject.frozen is not None:
        parts = ", ".join(subject.frozen)
        rows.append(("frozen", parts or "nothing that reads the embedding"))
    if subject.base_path is not None:
        rows.append(("base", short(subject.base_path)))
    return rows


def offers(subject: Subject) -> list[tuple[str, str]]:
    """The subject's capabilities, each with its size where it has one."""
    return [(name, f"{CAPABILITIES[name]}{_size(getattr(subject, name))}") for name in subject.offers] or [
        ("nothing", "no diagnosis can use it")
    ]


def _size(value: Any) -> str:
    if isinstance(value, Mapping):
        count = sum(int(getattr(tensor, "numel", lambda: 0)()) for tensor in value.values())
        return f" ({plural(count, 'number')} in {plural(len(value), 'tensor')})"
    shape = getattr(value, "shape", None)
    return "" if shape is None else f" ({' × '.join(map(str, shape))})"
