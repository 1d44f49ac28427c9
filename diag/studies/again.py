"""Measuring a study's kept checkpoints again, where another version of the code measured them before."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from diag.studies.code import code_version
from diag.studies.folder import Folder, base_path
from diag.studies.table import KEY, TRAINING, frame, read_part, write_part
from trainers import checkpoint as files
from trainers.plan import BASE_PLAN, TransferPlan
from trainers.pool import Engine, Stopped, Todo, run_all

_GIVEN = ("updates", "final", "path", "sha256", "finite")
"""Columns that say which checkpoint a row is of, and are no measures of it."""


@dataclass(frozen=True)
class Part:
    """The rows of one training that are to be measured again."""

    root: str
    name: str
    rows: tuple[dict[Hashable, Any], ...]
    plan: TransferPlan
    base: str | None
    """Its base's checkpoint, relative to ``root``; None for a base."""


@dataclass(frozen=True)
class Left:
    """What is to be measured again."""

    parts: tuple[Part, ...]
    gone: int
    """Rows that stay as they are, since their checkpoints, or their bases', are not there."""

    @property
    def rows(self) -> int:
        return sum(len(part.rows) for part in self.parts)


def left_of(folder: Folder, *, every: bool = False) -> Left:
    """The rows that another version of the code measured, or all of them; raises StudyError."""
    study, done = folder.study(), folder.done()
    variants = {v.name: v for v in study.variants}
    plans = {(v.name, p.name): p for v in study.variants for p in v.plans}
    parts, gone = [], 0
    for path in sorted((folder.root / "results").glob("*.parquet")):
        rows: list[dict[Hashable, Any]] = []
        plan, base = BASE_PLAN, None
        for row in _with_code(read_part(path, KEY)).to_dict("records"):
            if row["code"] == code_version() and not every:
                continue
            if row["phase"] == "transfer":
                plan = plans[row["variant"], row["plan"]]
                base = base_path(study.base_of(variants[row["variant"]]), row["base_seed"])
            known = tuple(row[column] for column in TRAINING) in done
            needed = [row["path"], base] if base else [row["path"]]
            if row["finite"] and known and all((folder.root / one).is_file() for one in needed):
                rows.append(row)
            elif row["finite"]:
                gone += 1
        if rows:
            parts.append(Part(str(folder.root.resolve()), path.stem, tuple(rows), plan, base))
    return Left(tuple(parts), gone)


def measure_again(
    folder: Folder,
    *,
    every: bool = False,
    engine: Engine = run_all,
    jobs: int,
    progress: Callable[[int], AbstractContextManager[Callable[[int], None]]],
) -> Left | None:
    """Measure what :func:`left_of` names; what was left, or None where it was stopped (all is saved).

    Each training's rows are written once they are all measured, so that the same call goes on. Raises
    StudyError or CheckpointError for bad input.
    """
    with folder.alone():
        left = left_of(folder, every=every)
        told = dict.fromkeys((part.name for part in left.parts), 0)
        with progress(left.rows) as advance:

            def tell(key: str, done: int) -> None:
                advance(done - told[key])
                told[key] = done

            items = {part.name: part for part in left.parts}
            finished = not items or engine(Todo(_work, items), jobs, tell)
    return left if finished else None


def _work(part: Part, tell: Callable[[Any], None], stopped: Stopped) -> None:
    from diag.sources import opened
    from diag.studies.measure import measured

    root = Path(part.root)
    base = None if part.base is None else opened(root / part.base, part.base)
    kept = _with_code(read_part(root / "results" / f"{part.name}.parquet", KEY)).to_dict("records")
    fresh = {}
    for number, row in enumerate(part.rows, 1):
        if stopped():
            return
        path = root / row["path"]
        found = files.read(path, finite=False)
        if found.sha256 != row["sha256"]:
            raise files.CheckpointError(
                path, "a file that was changed meanwhile", f"SHA-256 {row['sha256'][:12]}…"
            )
        said = {name: row[name] for name in (*KEY, *_GIVEN)}
        fresh[row["step"]] = said | measured(opened(path, str(path)), base, part.plan)
        tell(number)
    table = frame([fresh.get(row["step"], _known(row)) for row in kept])
    write_part(root / "results", part.name, table)


def _known(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as it was, without what it lacks."""
    return {str(name): value for name, value in row.items() if not pd.isna(value)}


def _with_code(table: pd.DataFrame) -> pd.DataFrame:
    return table if "code" in table else table.assign(code=None)
