"""A subject for a terminal: what it is, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diag.outputs.layout import Column, table, wrapped
from diag.outputs.text import short
from diag.subject import CAPABILITIES, Subject
from diag.wording import plural

NAMES, WORDS = 16, 0
"""Width of a capability's name; what it is takes the rest."""


def render(subject: Subject) -> str:
    """What a subject is and what it offers."""
    lines = [*wrapped(f"{subject.label or 'subject'}: {subject.path}", "", "  "), ""]
    for name, words in facts(subject):
        lines += wrapped(words, f"  {name:14}", " " * 16)
    lines += ["", *table([Column("offers", NAMES, "<"), Column("", WORDS, "<")], offers(subject))]
    return "\n".join(lines)


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
    """What it offers, each with its size where it has one; a line of dashes where it offers nothing."""
    return [(name, f"{CAPABILITIES[name]}{_size(getattr(subject, name))}") for name in subject.offers] or [
        ("nothing", "no diagnosis can use it")
    ]


def _size(found: Any) -> str:
    if isinstance(found, Mapping):
        count = sum(int(getattr(tensor, "numel", lambda: 0)()) for tensor in found.values())
        return f" ({plural(count, 'number')} in {plural(len(found), 'tensor')})"
    shape = getattr(found, "shape", None)
    return "" if shape is None else f" ({' × '.join(map(str, shape))})"
