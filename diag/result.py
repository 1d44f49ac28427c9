"""The parts that every diagnosis's result is made of: files, a verdict, and numbers as JSON has them.

Each engine's own result stands in its ``result.py``; all are frozen and carry their evidence. ``to_tree()``
gives the documented JSON (docs/api.md): plain values, with null where a number is not finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from diag.saved.kinds import SCHEMA_VERSION as SCHEMA_VERSION
from probes import Measure, Relation

if TYPE_CHECKING:
    from diag.subject import Subject
    from diag.units.drift import Drift

Grouping = Literal["states", "episodes", "blocks of a rollout"]

Status = Literal["pass", "warn", "fail", "inconclusive"]


OPENED_ALONE = ("base, ", "transfer (", "embeddings (")
"""Beginnings of the labels of files that need no option beside their names."""


@dataclass(frozen=True)
class FileRef:
    """A file that was diagnosed."""

    path: str
    sha256: str
    label: str = ""

    @classmethod
    def of(cls, subject: Subject) -> FileRef:
        """The file that a subject was read from."""
        return cls(subject.path, subject.sha256, subject.label)

    @property
    def opens_alone(self) -> bool:
        """Whether a command opens it by its name, as far as its label tells.

        Checkpoints of ``diag train`` and ``diag transfer`` do, and embeddings; weights of other networks need
        ``--model`` and ``--inputs`` beside them, and objects in memory have no file.
        """
        return bool(PurePath(self.path).suffix) and self.label.startswith(OPENED_ALONE)


@dataclass(frozen=True)
class Columns:
    """The columns or arrays of a file that are its embedding, by name."""

    taken: tuple[str, ...]
    """Names of the columns that are the embedding, in the base's order."""
    left_out: tuple[str, ...] = ()
    """Names of the columns that were left out since they only count or label rows."""
    key: str = ""
    """Name of the key or index that rows were paired by; empty where they were taken in order."""

    @classmethod
    def of(cls, subject: Subject) -> Columns | None:
        """The columns that were taken of a subject's file; None where it names none."""
        taken = subject.taken
        if taken is None or not taken.names:
            return None
        counted = len(taken.keys) == 1 and np.array_equal(taken.keys[0], np.arange(len(taken.keys[0])))
        return cls(taken.names, taken.left_out, "" if counted and not taken.asked else taken.key)

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {"taken": list(self.taken), "left_out": list(self.left_out), "key": self.key or None}


@dataclass(frozen=True)
class Verdict:
    """One status, one relation, one sentence."""

    status: Status
    summary: str
    relation: Relation | None = None
    axes: tuple[int, ...] = ()

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "status": self.status,
            "relation": self.relation,
            "axes": list(self.axes),
            "summary": self.summary,
        }


def finite(value: float | None) -> float | None:
    """``value``, or None where it is not a finite number."""
    return value if value is not None and math.isfinite(value) else None


def numbers(values: NDArray[np.float64]) -> list[float | None]:
    """A row of numbers for JSON: null where one is not finite."""
    return [finite(float(v)) for v in values]


def measure_tree(measure: Measure) -> dict[str, Any]:
    """A measure for JSON."""
    tree: dict[str, Any] = {
        "value": finite(measure.value),
        "low": finite(measure.low),
        "high": finite(measure.high),
    }
    if measure.p is not None:
        tree |= {"p": measure.p, "p_floor": measure.p_floor}
    return tree if measure.reason is None else {**tree, "reason": measure.reason}


def head(diagnosis: str, base: FileRef, transfer: FileRef, verdict: Verdict) -> dict[str, Any]:
    """The JSON fields that every diagnosis of two checkpoints begins with."""
    return {
        "schema_version": SCHEMA_VERSION,
        "diagnosis": diagnosis,
        "base": {"path": base.path, "sha256": base.sha256},
        "transfer": {"path": transfer.path, "sha256": transfer.sha256},
        "verdict": verdict.to_tree(),
    }


def drift_tree(one: Drift) -> dict[str, Any]:
    """How far weights moved, as documented JSON."""
    return {
        "component": one.component,
        "layer": one.layer,
        "parameters": one.parameters,
        "norm": finite(one.norm),
        "distance": finite(one.distance),
        "relative": finite(one.relative),
        "share": finite(one.share),
        "kept": one.kept,
        "plan": one.plan,
        "broken": one.broken,
    }
