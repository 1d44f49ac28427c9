"""What the tests of studies share: short settings, an engine in this process, no bar, a folder's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers import checkpoint as files
from trainers.pool import Todo, Told

SHORT = (
    "train.updates=40",
    "transfer.updates=40",
    "data.steps=300",
    "transfers=3",
    "keep=0.25,0.5",
    "train.log_every=20",
    "transfer.log_every=20",
)
"""Settings of the shipped study `tiny` that take a second or two."""


@contextmanager
def silent(total: int) -> Iterator[Callable[[int], None]]:
    """No bar."""
    yield lambda done: None


def here(todo: Todo, jobs: int, told: Told) -> bool:
    """An engine in this process, that nothing disturbs."""
    for key, item in todo.items.items():
        todo.work(item, lambda value, key=key: told(key, value), lambda: False)  # type: ignore[misc]
    return True


def weights(folder: Path) -> dict[str, str]:
    """The identity of every checkpoint, by its place."""
    found = sorted(folder.rglob("*.safetensors"))
    return {p.relative_to(folder).as_posix(): files.read(p).identity for p in found}
