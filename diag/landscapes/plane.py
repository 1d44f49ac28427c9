"""Compute losses on a plane row by row, over processes, saved and resumed."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from diag.landscapes import LandscapeError
from diag.landscapes.corners import Corners
from diag.landscapes.evaluate import Data, on_route, take, with_total
from diag.landscapes.result import TOTAL, Outline, Plane
from diag.landscapes.sheets import Sheet
from diag.landscapes.space import Space
from diag.subject import Objective
from probes import Floats

if TYPE_CHECKING:
    from torch import Tensor

WORTH_PROCESSES = 2.0
"""Seconds of work below which rows are not spread over processes."""

Row = Mapping[str, Mapping[str, Floats]]
"""Losses on one row of a plane: {task: {curve: (alpha,)}}."""


def losses_on(
    sheet: Sheet,
    objective: Objective,
    space: Space,
    data: Mapping[str, Data],
    *,
    corners: Corners | None = None,
    jobs: int = 1,
    store: Store | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Plane:
    """The losses on the whole grid, rows over ``jobs`` processes (forked; one where that cannot be).

    With ``corners``, checkpoints on the plane have their own state and other points that of the nearest.
    With a ``store``, each row is written there once it is done, and those that lie there are not taken again.
    """

    def row(index: int) -> Row:
        beta = np.full(len(sheet.alpha), sheet.beta[index])
        at = np.stack([sheet.alpha, beta], 1)
        curves: dict[str, dict[str, Floats]] = {}
        for name, one in data.items():
            evaluate = on_route(objective, space, sheet.vectors, one.batch, corners)
            curves[name] = with_total(take(evaluate, at, one).means, objective.terms)
        return curves

    rows: dict[int, Row] = {} if store is None else store.rows()
    for _ in rows:
        progress(len(sheet.alpha))
    missing = [index for index in range(len(sheet.beta)) if index not in rows]
    for index, taken in _taken(row, missing, jobs):
        rows[index] = taken
        if store is not None:
            store.write(index, taken)
        progress(len(sheet.alpha))
    curves = [TOTAL, *objective.terms]
    count = range(len(sheet.beta))
    losses = {name: {c: np.stack([rows[i][name][c] for i in count]) for c in curves} for name in data}
    return Plane(**{f.name: getattr(sheet, f.name) for f in fields(Outline)}, losses=losses)


_work: Callable[[int], Row] | None = None


def _begin(row: Callable[[int], Row]) -> None:
    global _work
    _work = row
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the work
    torch.set_num_threads(1)


def _do(index: int) -> tuple[int, Row]:
    assert _work is not None
    return index, _work(index)


def _taken(row: Callable[[int], Row], missing: Sequence[int], jobs: int) -> Iterator[tuple[int, Row]]:
    """Compute rows, and yield each when done: the first here, the others over processes if that pays."""
    if not missing:
        return
    began = time.perf_counter()
    yield missing[0], row(missing[0])
    rest, spent = missing[1:], time.perf_counter() - began
    if jobs < 2 or spent * len(rest) < WORTH_PROCESSES or sys.platform != "linux":
        yield from ((index, row(index)) for index in rest)
        return
    with _forked(row, min(jobs, len(rest))) as pool:
        yield from pool.imap_unordered(_do, rest)


@contextmanager
def _forked(row: Callable[[int], Row], jobs: int) -> Iterator[Any]:
    """A pool of forked processes that share all that ``row`` refers to: nothing of a model is pickled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads only evaluate here
        pool = multiprocessing.get_context("fork").Pool(jobs, _begin, (row,))
    with pool:
        yield pool


class Store:
    """A folder of a plane's finished rows, a file each, with a note of the plane that they belong to.

    Raises LandscapeError where it holds something else, OSError where it cannot be written.
    """

    def __init__(self, folder: Path, sheet: Sheet, about: Mapping[str, Any]) -> None:
        self.folder, self.length = folder, len(sheet.alpha)
        tree = {
            "kind": sheet.kind,
            "alpha": sheet.alpha.tolist(),
            "beta": sheet.beta.tolist(),
            "vectors": [digest(getattr(sheet.vectors, f.name)) for f in fields(sheet.vectors)],
            **about,
        }
        words = json.dumps(tree, indent=1, sort_keys=True)
        note = folder / "plane.json"
        if note.exists():
            if note.read_text() != words:
                raise LandscapeError(f"{folder}: found rows of another plane, expected an empty folder")
        elif folder.exists() and any(folder.iterdir()):
            raise LandscapeError(f"{folder}: found other files, expected an empty folder")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            _replace(note, words.encode())

    def _file(self, index: int) -> Path:
        return self.folder / f"row-{index:04}.npz"

    def rows(self) -> dict[int, Row]:
        """The rows in the folder that are whole."""
        rows: dict[int, Row] = {}
        for path in sorted(self.folder.glob("row-*.npz")):
            try:
                with np.load(path) as saved:
                    row: dict[str, dict[str, Floats]] = {}
                    for key in saved.files:
                        task, _, curve = key.partition("/")
                        row.setdefault(task, {})[curve] = saved[key]
                rows[int(path.stem.removeprefix("row-"))] = row
            except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
                continue  # a damaged row is computed again
        return rows

    def write(self, index: int, row: Row) -> None:
        """Write a row, whole or not at all."""
        import io

        held = io.BytesIO()
        np.savez(held, **{f"{t}/{c}": v for t, curves in row.items() for c, v in curves.items()})  # type: ignore[arg-type]
        _replace(self._file(index), held.getvalue())


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def digest(vector: Tensor) -> str:
    """SHA-256 of a tensor's numbers."""
    numbers = vector.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(numbers.numpy().tobytes()).hexdigest()
