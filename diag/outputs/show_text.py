"""What a file is, for a terminal."""

from __future__ import annotations

import textwrap

from diag._show import Description, FileDescription
from diag.outputs.text import WIDTH, description, plain


def text(found: Description | FileDescription, verbose: bool = False) -> str:
    """The whole text of ``diag show``."""
    if isinstance(found, Description):
        return description(found, verbose)
    subject = found.subject
    rows = facts(found)
    lines = [f"{plain(subject.path)}: {plain(subject.label or rows[0][1])}", ""]
    lines += [line for name, words in rows for line in _filled(name, words)]
    if verbose and subject.identity is not None:
        lines += _filled("tensors", f"{subject.identity[:16]}…")
    enough = [name for name, lacking in found.lacks.items() if not lacking]
    lines += ["", *_filled("enough for", ", ".join(enough) or "no diagnosis")]
    wanting: dict[str, list[str]] = {}
    for name, lacking in found.lacks.items():
        if lacking:
            wanting.setdefault(lacking, []).append(name)
    for lacking, names in wanting.items():
        lines += _filled("lacking", f"{', '.join(names)}: {lacking}")
    return "\n".join(lines)


def facts(found: FileDescription) -> list[tuple[str, str]]:
    """What is in a file, as pairs of a name and words."""
    subject, rows = found.subject, list[tuple[str, str]]()
    if subject.embeddings is not None:
        shape = subject.embeddings.shape
        size = " × ".join(map(str, shape[1:]))
        rows.append(("embeddings", f"{shape[0]:,} rows of {size} {subject.embeddings.dtype}"))
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
        rows.append(("returns", f"{len(subject.returns):,} episodes"))
    if subject.task is not None:
        rows.append(("task", subject.task))
    return [*rows, ("sha256", f"{subject.sha256[:16]}…")]


def _filled(name: str, words: str) -> list[str]:
    return textwrap.wrap(plain(words), WIDTH, initial_indent=f"  {name:11}", subsequent_indent=" " * 13)
