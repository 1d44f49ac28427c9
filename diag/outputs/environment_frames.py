"""Environment metrics as tables: a row for each measure of each plan in each look, and the curves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from diag.outputs.tidy import cells
from diag.studies.environments.result import Entry, EnvironmentMetrics
from probes import Measure


def frames(result: EnvironmentMetrics) -> dict[str, pd.DataFrame]:
    """``metrics`` and ``curves``."""
    rows: list[dict[str, Any]] = [
        {"look": look.name, "plan": entry.plan, "runs": entry.runs, "measure": name, **cells(measure)}
        for look in result.looks
        for entry in look.entries
        for name, measure in _measures(entry)
    ]
    return {"metrics": pd.DataFrame(rows), "curves": result.curves.copy()}


def _measures(entry: Entry) -> Iterator[tuple[str, Measure]]:
    for way, earned in entry.earned.items():
        for name in ("score", "over_scratch", "share", "share_over_scratch"):
            if (measure := getattr(earned, name)) is not None:
                yield f"{way} {name}", measure
    if entry.reached is not None:
        yield "frames to the level", entry.reached.frames
        yield "speed", entry.reached.speed
    yield "cka", entry.cka
