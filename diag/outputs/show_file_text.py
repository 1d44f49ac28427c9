"""A file that is no checkpoint of diag train, for a terminal: its contents, and what they suffice for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diag.outputs.layout import wrapped
from diag.wording import plural
from trainers.safe_text import plain

if TYPE_CHECKING:
    from diag.sources.description import FileDescription

NAME = 11
"""Cells for the name of a fact."""


def render(file: FileDescription, verbose: bool = False) -> str:
    """The contents of a file, and the diagnoses that they suffice for."""
    lines = [*wrapped(title(file), "", "  "), ""]
    lines += [line for name, words in facts(file) for line in _row(name, words)]
    if verbose and file.subject.identity is not None:
        lines += _row("tensors", f"{file.subject.identity[:16]}…")
    enough = [name for name, lacking in file.lacks.items() if not lacking]
    lines += ["", *_row("enough for", ", ".join(enough) or "no diagnosis")]
    wanting: dict[str, list[str]] = {}
    for name, lacking in file.lacks.items():
        if lacking:
            wanting.setdefault(lacking, []).append(name)
    for lacking, names in wanting.items():
        lines += _row("lacking", f"{', '.join(names)}: {lacking}")
    return "\n".join(lines)


def title(file: FileDescription) -> str:
    """The file's path and what it is, in one line."""
    return f"{plain(file.subject.path)}: {plain(file.subject.label or facts(file)[0][1])}"


def facts(file: FileDescription) -> list[tuple[str, str]]:
    """The contents of a file, as pairs of a name and words."""
    subject, rows = file.subject, list[tuple[str, str]]()
    if subject.embeddings is not None:
        shape = subject.embeddings.shape
        size = " × ".join(map(str, shape[1:]))
        rows.append(("embeddings", f"{plural(shape[0], 'row')} of {size} {subject.embeddings.dtype}"))
    if subject.episodes is not None:
        rows.append(("episodes", f"{len(set(subject.episodes.tolist())):,}"))
    if subject.encoder is not None:
        rows.append(("encoder", "observations to embeddings"))
    if file.components:
        sizes = ", ".join(f"{name} {count:,}" for name, count in file.components.items())
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
