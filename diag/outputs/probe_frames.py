"""What can be read from an embedding as tables: a row for each measure of each variable in each column."""

from __future__ import annotations

from typing import Any

import pandas as pd

from diag.outputs.tidy import cells, number
from diag.probing.result import Finding, Probed


def frames(result: Probed) -> dict[str, pd.DataFrame]:
    """``variables``, and ``changes`` from the first column to the second where there are two."""
    variables = [
        {"column": name, "variable": variable, "reading": finding.reading, **row}
        for name, column in zip(result.names, result.columns, strict=True)
        for variable, finding in column.findings.items()
        for row in _rows(finding)
    ]
    changes = [
        {"variable": name, "change": change, **cells(result.differences.get(name))}
        for name, change in result.changes.items()
    ]
    return {"variables": pd.DataFrame(variables), "changes": pd.DataFrame(changes)}


def _rows(finding: Finding) -> list[dict[str, Any]]:
    """``chance`` is what knowing nothing comes to: of random embeddings, or of shuffled targets."""
    cca, probe, clusters = finding.cca, finding.probe, finding.clusters
    rows: list[dict[str, Any]] = [
        {"measure": "cca", "value": number(cca.value), "p": number(cca.p), "chance": number(cca.random_mean)},
        {"measure": "cca_held_out", **cells(finding.held_out.value)},
        {
            "measure": probe.unit,
            **cells(probe.score),
            "p": number(probe.p),
            "chance": number(probe.shuffled),
        },
    ]
    if clusters is not None:
        rows.append({"measure": "ami", "value": number(clusters.ami), "p": number(clusters.p)})
    return rows
