"""A study as tables: a row for each transfer, for each cell, and for each point of each curve."""

from __future__ import annotations

from typing import Any

import pandas as pd

from diag.outputs.tidy import curves_of, number, stacked
from diag.studies.result import Cell, Curve, StudyReport


def frames(result: StudyReport) -> dict[str, pd.DataFrame]:
    """``transfers``, ``cells``, ``curves`` of losses and of progress, and ``scores`` over steps."""
    curves = [
        _points(curve, variant=group.variant, plan=group.plan, of=of)
        for group in result.groups
        for of, every in (("loss", group.curves), ("progress", group.progress))
        for curve in every
    ]
    curves += [_points(curve, variant="", plan="", of="base") for curve in result.base_curves]
    return {
        "transfers": result.transfers.copy(),
        "cells": pd.DataFrame([_cell(cell) for group in result.groups for cell in group.cells]),
        "curves": stacked(curves),
        "scores": result.scores.copy(),
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "variant": cell.variant,
        "plan": cell.plan,
        "base_seed": cell.base_seed,
        "transfers": cell.succeeded.n,
        "missing": cell.missing,
        "succeeded": cell.succeeded.count,
        "share": number(cell.succeeded.share),
        "low": number(cell.succeeded.low),
        "high": number(cell.succeeded.high),
        "matched": cell.matched.count,
    }


def _points(curve: Curve, **names: str) -> pd.DataFrame:
    columns = {"step": curve.step, "iqm": curve.iqm, "low": curve.low, "high": curve.high}
    return curves_of(columns, **names, phase=curve.phase, outcome=curve.outcome, name=curve.name)
