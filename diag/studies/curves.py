"""A study's curves: interquartile means over runs with bootstrap bands, successes and failures apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from diag.studies.result import Curve, Group
from diag.studies.statistics import iqm_bands

MOST_POINTS = 40
"""Points of a curve: as many as a small panel can show."""

SEEN_BY_MOST = 0.5
"""A step that fewer of the runs have is left out, then every run that lacks one of the rest."""

QUANTITIES = ("own_states", "l2", "r2_identity", "r2_signs")
"""Columns of ``results`` that are drawn over the kept checkpoints."""


def loss_curves(curves: pd.DataFrame, last: pd.DataFrame) -> tuple[Curve, ...]:
    """Each loss term over updates for the finished transfers of a group, those with finite losses only."""
    if curves.empty or last.empty:
        return ()
    name = last["variant"].iloc[0], last["plan"].iloc[0]
    mine = curves[
        (curves["phase"] == "transfer") & (curves["variant"] == name[0]) & (curves["plan"] == name[1])
    ]
    return tuple(
        curve
        for term in dict.fromkeys(mine["term"])
        for curve in _by_outcome(mine[mine["term"] == term], "update", "loss", last, str(term))
    )


def progress_curves(transfers: pd.DataFrame, last: pd.DataFrame) -> tuple[Curve, ...]:
    """Curves of measures over the kept checkpoints' steps; none where only the last was kept."""
    if last.empty:
        return ()
    name = last["variant"].iloc[0], last["plan"].iloc[0]
    mine = transfers[(transfers["variant"] == name[0]) & (transfers["plan"] == name[1])]
    if mine["final"].all():
        return ()
    return tuple(
        curve
        for quantity in QUANTITIES
        if quantity in mine
        for curve in _by_outcome(mine, "step", quantity, last, quantity)
    )


def base_curves(curves: pd.DataFrame, groups: Sequence[Group]) -> tuple[Curve, ...]:
    """Each loss term over updates for the bases of the reference's variant, or of the first that has any."""
    if curves.empty or not groups:
        return ()
    bases = curves[curves["phase"] == "base"]
    variants = list(dict.fromkeys(bases["variant"]))
    if not variants:
        return ()
    variant = groups[0].variant if groups[0].variant in variants else variants[0]
    mine = bases[bases["variant"] == variant]
    curves_of_terms = []
    for term in dict.fromkeys(mine["term"]):
        runs = _runs(mine[mine["term"] == term], "update", "loss")
        if len(runs):
            curves_of_terms.append(_curve("base", "base", str(term), runs, np.zeros(len(runs), np.int64)))
    return tuple(curves_of_terms)


def _by_outcome(mine: pd.DataFrame, step: str, value: str, last: pd.DataFrame, name: str) -> Iterator[Curve]:
    pairs = zip(last["base_seed"], last["seed"], strict=True)
    succeeded = dict(zip(pairs, last["success"], strict=True))
    for outcome, wanted in (("success", True), ("failure", False)):
        keys = pd.MultiIndex.from_tuples(
            [k for k, s in succeeded.items() if s == wanted] or [(-1, -1)], names=["base_seed", "seed"]
        )
        chosen = pd.MultiIndex.from_frame(mine[["base_seed", "seed"]]).isin(keys)
        runs = _runs(mine[chosen], step, value)
        if len(runs):
            strata = runs.index.get_level_values("base_seed").to_numpy(np.int64)
            yield _curve("transfer", outcome, name, runs, strata)


def _runs(mine: pd.DataFrame, step: str, value: str) -> pd.DataFrame:
    """(runs, steps): one row a run, thinned to :data:`MOST_POINTS` steps, whole and finite."""
    if mine.empty:
        return pd.DataFrame()
    wide = mine.drop_duplicates(["base_seed", "seed", step], keep="last").pivot(
        index=["base_seed", "seed"], columns=step, values=value
    )
    wide = wide.astype(float).replace([np.inf, -np.inf], np.nan)
    wide = wide.loc[:, wide.notna().mean() > SEEN_BY_MOST].dropna()
    if wide.shape[1] == 0:
        return pd.DataFrame()
    shown = np.unique(np.linspace(0, wide.shape[1] - 1, MOST_POINTS).round().astype(int))
    return wide.iloc[:, shown]


def _curve(phase: str, outcome: str, name: str, runs: pd.DataFrame, strata: np.ndarray) -> Curve:
    iqm, low, high = iqm_bands(runs.to_numpy(float), strata)
    return Curve(phase, outcome, name, len(runs), runs.columns.to_numpy(float), iqm, low, high)
