"""The result of ``diag probe``: what can be read from one embedding or two, with the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from diag.result import SCHEMA_VERSION, Columns, FileRef, Grouping, Verdict, finite, measure_tree
from diag.shown import Shown
from probes import ClusterEvents, HeldOutCCA, LinearProbe, Measure, Projection, Variable, VariableCCA

Reading = Literal["read", "in part", "not"]
"""Judgement of how much of a variable a linear probe reads (:func:`diag.probing.verdict.reading`)."""

Change = Literal["kept", "stronger", "weaker", "unclear", "gained", "lost", "neither"]
"""Change of a variable from the first column to the second (``diag.probing.verdict.change_of``)."""

COMPONENTS = 10
"""Number of principal components whose share of the variance is reported."""


@dataclass(frozen=True)
class Finding:
    """The measures of one variable in one embedding."""

    cca: VariableCCA
    held_out: HeldOutCCA
    """The same canonical correlation on rows that it was not fitted to."""
    probe: LinearProbe
    reading: Reading | None
    """Judgement of how much of the variable is read; None where the probe is undefined."""
    clusters: ClusterEvents | None
    """Clusters against the variable as events; None for numbers, which are no events."""

    @property
    def flatters(self) -> float | None:
        """How much higher the correlation in sample is than on held-out rows; None where one is undefined."""
        inside, outside = self.cca.value, self.held_out.value.value
        return None if inside is None or outside is None else inside - outside

    def to_tree(self) -> dict[str, Any]:
        cca, probe = self.cca, self.probe
        tree: dict[str, Any] = {
            "cca": {
                "value": finite(cca.value),
                "random": {
                    "mean": finite(cca.random_mean),
                    "high": finite(cca.random_high),
                    "most": finite(cca.random_most),
                    "draws": cca.draws,
                },
                "factor": finite(cca.factor),
                "p": cca.p,
                "p_floor": cca.p_floor,
                "rows": cca.rows,
                **_reason(cca.reason),
                "held_out": {
                    **measure_tree(self.held_out.value),
                    "random": list(self.held_out.random),
                    "folds": self.held_out.folds,
                    "flatters": finite(self.flatters),
                },
            },
            "probe": {
                "unit": probe.unit,
                "value": finite(probe.score.value),
                "low": finite(probe.score.low),
                "high": finite(probe.score.high),
                "chance": probe.chance,
                "shuffled": finite(probe.shuffled),
                "selectivity": finite(probe.selectivity),
                "p": probe.p,
                "p_floor": probe.p_floor,
                "shuffles": probe.shuffles,
                "folds": probe.folds,
                "rows": probe.rows,
                "left_out": list(probe.left_out),
                **_reason(probe.score.reason),
            },
            "reading": self.reading,
        }
        clusters = self.clusters
        if clusters is not None:
            tree["clusters"] = {
                "ami": finite(clusters.ami),
                "p": clusters.p,
                "p_floor": clusters.p_floor,
                "shuffles": clusters.shuffles,
                "clusters": clusters.clusters,
                "events": list(clusters.events),
                "counts": None if clusters.counts is None else clusters.counts.tolist(),
                "rows": clusters.rows,
                **_reason(clusters.reason),
            }
        return tree


@dataclass(frozen=True)
class Column:
    """One embedding that was probed."""

    file: FileRef
    dimensions: int
    effective_rank: float
    explained: tuple[float, ...]
    """Shares of the variance along the first principal components."""
    findings: Mapping[str, Finding]
    projections: tuple[Projection, ...]
    """Projections to two dimensions, for pictures; not part of the JSON."""
    plane: NDArray[np.float64] | None = None
    """(n, 2) two axes of the embedding, those that vary most in the first; a second one of zeros where it has
    one. For pictures; not part of the JSON."""
    axes: tuple[int, int] = (0, 1)
    """Numbers of the axes in :attr:`plane`."""
    columns: Columns | None = None
    """The named columns of the file that are the embedding; None where it names none."""


@dataclass(frozen=True, repr=False)
class Probed(Shown, kind="probe"):
    """The result of ``probe``: one column or two."""

    columns: tuple[Column, ...]
    verdict: Verdict
    variables: Mapping[str, Variable]
    """The known variables, of the rows that were used."""
    changes: Mapping[str, Change | None]
    """{variable: its change from the first column to the second}; empty where there is one column."""
    differences: Mapping[str, Measure | None]
    """{variable: its score in the second column minus that in the first}, which the change rests on."""
    rows: int
    """Number of rows used."""
    of: int
    """Number of rows in the files."""
    grouping: Grouping
    """The units that were held out, resampled and shuffled as a whole."""
    clusters: int | None
    seed: int
    warnings: tuple[str, ...]
    diagnosis: str = "probe"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns: A and B."""
        return tuple("AB"[: len(self.columns)])

    def shown_files(self) -> list[str]:
        return [column.file.path for column in self.columns]

    def measure(self, column: int, variable: str) -> Measure:
        """Held-out score of the linear probe."""
        return self.columns[column].findings[variable].probe.score

    def to_tree(self) -> dict[str, Any]:
        """The documented JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "diagnosis": self.diagnosis,
            "checkpoints": [{"path": c.file.path, "sha256": c.file.sha256} for c in self.columns],
            "verdict": self.verdict.to_tree(),
            "variables": {
                name: {
                    "kind": variable.kind,
                    "change": self.changes.get(name),
                    "difference": None if (one := self.differences.get(name)) is None else measure_tree(one),
                    "columns": [c.findings[name].to_tree() for c in self.columns],
                }
                for name, variable in self.variables.items()
            },
            "embeddings": [
                {
                    "dimensions": c.dimensions,
                    "effective_rank": finite(c.effective_rank),
                    "explained_variance": [finite(share) for share in c.explained],
                    "columns": None if c.columns is None else c.columns.to_tree(),
                }
                for c in self.columns
            ],
            "rows": self.rows,
            "of_rows": self.of,
            "grouping": self.grouping,
            "clusters": self.clusters,
            "seed": self.seed,
            "warnings": list(self.warnings),
        }


def _reason(reason: str | None) -> dict[str, str]:
    return {} if reason is None else {"reason": reason}
