"""What a file that is no checkpoint of diag train is read as, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diag.outputs.layout import wrapped
from diag.outputs.text import plain
from diag.wording import plural

if TYPE_CHECKING:
    from diag.sources.description import FileDescription

NAME = 11
"""Cells for the name of a fact."""


def render(found: FileDescription, verbose: bool = False) -> str:
    """What a file holds, and which diagnoses that is enough for."""
    lines = [*wrapped(title(found), "", "  "), ""]
    lines += [line for name, words in facts(found) for line in _row(name, words)]
    if verbose and found.subject.identity is not None:
        lines += _row("tensors", f"{found.subject.identity[:16]}…")
    enough = [name for name, lacking in found.lacks.items() if not lacking]
    lines += ["", *_row("enough for", ", ".join(enough) or "no diagnosis")]
    wanting: dict[str, list[str]] = {}
    for name, lacking in found.lacks.items():
        if lacking:
            wanting.setdefault(lacking, []).append(name)
    for lacking, names in wanting.items():
        lines += _row("lacking", f"{', '.join(names)}: {lacking}")
    return "\n".join(lines)


def title(found: FileDescription) -> str:
    """The file's path and what it is, in one line."""
    return f"{plain(found.subject.path)}: {plain(found.subject.label or facts(found)[0][1])}"


def facts(found: FileDescription) -> list[tuple[str, str]]:
    """What is in a file, as pairs of a name and words."""
    subject, rows = found.subject, list[tuple[str, str]]()
    if subject.embeddings is not None:
        shape = subject.embeddings.shape
        size = " × ".join(map(str, shape[1:]))
        rows.append(("embeddings", f"{plural(shape[0], 'row')} of {size} {subject.embeddings.dtype}"))
    if subject.episodes is not None:
        rows.append(("episodes", f"{len(set(subject.episodes.tolist())):,}"))
    if subject.encoder is not None:
        rows.append(("encoder", "observations to embeddings"))
    if found.components:
        sizes = ", ".join(f"{name} {count:,}" for name, count in found.components.items())
        rows.append(("parameters", sizes))
    if subject.objective is not None:
        rows.append(("losses", ", ".join(subject.objective.terms)))
    if subject.tasks is not None:
        rows.append(("pairs", subject.tasks.name))
    if subject.returns is not None:
        rows.append(("returns", plural(len(subject.returns), "episode")))
    if subject.task is not None:
        rows.append(("task", subject.task))
    return [*rows, ("sha256", f"{subject.sha256[:16]}…")]


def _row(name: str, words: str) -> list[str]:
    return wrapped(words, f"  {name:{NAME}}", " " * (NAME + 2))
