"""What the tests of studies share: an engine in this process, no progress bar, and what a folder holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainers import checkpoint as files
from trainers.pool import Todo, Told


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
