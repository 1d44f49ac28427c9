"""Parts that tidy tables share: a measure as the cells of a row, and one part of a result's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from probes import Floats, Measure

if TYPE_CHECKING:
    from probes import Step

MEASURED = ("value", "low", "high", "p", "reason")
"""Columns of a measure: the number, its 95% interval, its p-value, and why there is none."""


class Spanned(Protocol):
    """A number with its interval."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def cells(measure: Measure | None) -> dict[str, Any]:
    """A measure as cells; NaN for numbers that are not there, None for no reason."""
    if measure is None:
        return {name: None if name == "reason" else np.nan for name in MEASURED}
    numbers = {name: number(getattr(measure, name)) for name in MEASURED[:-1]}
    return {**numbers, "reason": measure.reason}


def span(found: Spanned) -> dict[str, float]:
    """A number and its interval as cells."""
    return {name: number(getattr(found, name)) for name in MEASURED[:3]}


def number(value: float | None) -> float:
    """A number as a cell: NaN where there is none."""
    return np.nan if value is None else float(value)


def rows_of(steps: Sequence[Step], **names: str) -> list[dict[str, Any]]:
    """A ladder as rows."""
    return [{**names, "transform": step.transform, **cells(step.r2)} for step in steps]


def curves_of(columns: Mapping[str, Floats], **names: Any) -> pd.DataFrame:
    """Arrays of one length as columns, each row with the same names."""
    length = len(next(iter(columns.values())))
    return pd.DataFrame({**{name: [word] * length for name, word in names.items()}, **columns})


def stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of the same columns below each other; empty where there are none."""
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
