"""Fitting a forecast to studies: what is known of early checkpoints, and how each transfer ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.forecasts import ForecastError
from diag.forecasts.base import base_features
from diag.forecasts.features import Floats, View, features
from diag.forecasts.model import Forecaster, Logistic, shares_of
from diag.studies.folder import Folder

Outcome = Literal["matched", "succeeded"]

FEWEST_BASES = 6
"""With fewer, nothing is fitted: a forecast is of bases that were not seen."""

DRAWS = 60
"""Refits on resampled bases."""

PENALTY = 1.0
"""C of the logistic models, features standardised: fixed, not chosen."""


@dataclass(frozen=True, eq=False)
class Known:
    """What studies know of their transfers: rows at shares of the budget, and how each ended."""

    rows: pd.DataFrame
    """Early rows of ``results``, with ``share``, ``group`` (the base, over all studies) and ``run``."""
    ended: pd.Series[Any]
    """By run: whether it ended well."""
    bases: Floats
    """(b, k) each base's own features, NaN where its checkpoint was not to be had."""
    groups: tuple[str, ...]
    """The names of the b bases."""
    names: tuple[str, ...]
    """Of the studies."""

    def group_of(self) -> pd.Series[Any]:
        """By run: its base."""
        return self.rows.drop_duplicates("run").set_index("run")["group"].reindex(self.ended.index)


def known(folders: Sequence[Path], outcome: Outcome) -> Known:
    """What studies know of their finished transfers with frozen models; raises StudyError, ForecastError."""
    tables, names, bases = [], [], {}
    for folder in folders:
        kept = Folder(folder)
        study = kept.study()
        owners = {v.name: study.base_of(v).name for v in study.variants}
        frozen = {p.name for v in study.variants for p in v.plans if p.frozen_components(["transition/x"])}
        table = kept.results()
        transfers = (
            table[(table["phase"] == "transfer") & table["plan"].isin(frozen)] if len(table) else table
        )
        if transfers.empty:
            continue
        names.append(study.name)
        place = folder.resolve().as_posix()
        of = transfers["variant"].map(owners) + "/base" + transfers["base_seed"].astype(str)
        group = place + ":" + of
        run = (
            group + "/" + transfers["variant"] + "/" + transfers["plan"] + "/" + transfers["seed"].astype(str)
        )
        tables.append(transfers.assign(group=group, run=run))
        owned = table[table["final"] & (table["phase"] == "base") & table["finite"]]
        for row in owned.to_dict("records"):
            bases[f"{place}:{row['variant']}/base{row['base_seed']}"] = folder / row["path"]
    if not tables:
        where = ", ".join(map(str, folders))
        raise ForecastError(f"{where}: found no transfer with a frozen transition model, expected some")
    rows = pd.concat(tables, ignore_index=True)
    last = rows[rows["final"]].set_index("run")
    ended = (last["relation"] == "matched") if outcome == "matched" else last["succeeded"].fillna(False)
    rows = rows[rows["run"].isin(last.index) & ~rows["final"] & rows["finite"]]
    rows = rows.assign(share=(rows["step"] / rows["updates"]).round(3))
    groups = tuple(dict.fromkeys(last["group"]))
    if len(groups) < FEWEST_BASES:
        raise ForecastError(
            f"found {len(groups)} bases with finished transfers, expected {FEWEST_BASES} or more"
        )
    if rows.empty:
        raise ForecastError("found no checkpoints on the way, expected a study that keeps some")
    if ended.all() or not ended.any():
        end = "none" if not ended.any() else "all"
        raise ForecastError(f"found {end} of {len(ended)} transfers {outcome}, expected both ends")
    return Known(
        rows,
        ended.astype(bool),
        np.array([base_features(bases.get(g)) for g in groups]),
        groups,
        tuple(names),
    )


def fitted(found: Known, outcome: Outcome, stop_below: Mapping[float, float], seed: int = 0) -> Forecaster:
    """The forecaster of all that is known."""
    rng = np.random.default_rng(seed)
    shares = shares_of(found.rows["share"].tolist())
    by_share = {share: with_draws(at(found, share), rng) for share in shares}
    return Forecaster(
        outcome,
        {
            "studies": list(found.names),
            "bases": len(found.groups),
            "transfers": len(found.ended),
            "ended_well": int(found.ended.sum()),
        },
        by_share,
        stop_below,
        of_bases(found, rng),
        float(found.ended.mean()),
    )


@dataclass(frozen=True, eq=False)
class At:
    """The runs that have a checkpoint at a share of their budget."""

    x: Floats
    """(n, k) features."""
    y: NDArray[np.bool_]
    """(n,) whether each ended well."""
    groups: NDArray[Any]
    """(n,) the base of each."""
    runs: NDArray[Any]
    """(n,) its name."""

    def __getitem__(self, rows: NDArray[np.bool_]) -> At:
        return At(self.x[rows], self.y[rows], self.groups[rows], self.runs[rows])

    def model(self) -> Logistic:
        """The model of them all."""
        return logistic(self.x, self.y.astype(float), np.ones(len(self.y)))


def at(found: Known, share: float, view: View = "embedding") -> At:
    """What is known of a share, as a view sees it."""
    rows = found.rows[np.isclose(found.rows["share"], share)]
    x = features(rows, view)
    ended = found.ended.loc[rows["run"]].to_numpy(bool)
    return At(x, ended, rows["group"].to_numpy(), rows["run"].to_numpy())[np.asarray(np.isfinite(x).all(1))]


def with_draws(seen: At, rng: np.random.Generator) -> Logistic:
    """A logistic model, and its refits on resampled bases."""
    return _drawn(seen.x, seen.y.astype(float), seen.groups, rng)


def _drawn(x: Floats, rate: Floats, groups: NDArray[Any], rng: np.random.Generator) -> Logistic:
    model = logistic(x, rate, np.ones(len(rate)))
    names, where = np.unique(groups, return_inverse=True)
    draws = []
    for _ in range(DRAWS):
        count = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        again = logistic(x, rate, count[where].astype(float), model)
        draws.append([*again.weights, again.intercept])
    return replace(model, draws=np.array(draws))


def logistic(x: Floats, rate: Floats, weights: Floats, like: Logistic | None = None) -> Logistic:
    """A penalised logistic model of rates (n,) with weights (n,); standardised as ``like`` where given.

    Where all rates are 0, or all 1, the features say nothing: half a case of each end is added, which
    leaves a flat model near the one end.
    """
    from sklearn.linear_model import LogisticRegression

    centre, scale = (x.mean(0), x.std(0)) if like is None else (like.centre, like.scale)
    scale = np.where(scale > 1e-12, scale, 1.0)
    standard = (x - centre) / scale
    size = x.shape[1]
    good, bad = weights * rate, weights * (1 - rate)
    if good.sum() == 0 or bad.sum() == 0:
        intercept = float(np.log((good.sum() + 0.5) / (bad.sum() + 0.5)))
        coefficients = np.zeros(size)
    else:
        both = np.concatenate([good, bad])
        model = LogisticRegression(C=PENALTY, max_iter=2000).fit(
            np.concatenate([standard, standard])[both > 0],
            np.repeat([1, 0], len(x))[both > 0],
            sample_weight=both[both > 0],
        )
        coefficients, intercept = model.coef_[0], float(model.intercept_[0])
    low, high = (x.min(0), x.max(0)) if like is None else (like.low, like.high)
    return Logistic(centre, scale, low, high, coefficients, intercept, np.empty((0, size + 1)))


def of_bases(found: Known, rng: np.random.Generator) -> Logistic | None:
    """How a base's features go with the share of its transfers that end well."""
    x, rate, names = by_base(found)
    if len(rate) < FEWEST_BASES:
        return None
    return _drawn(x, rate, np.array(names), rng)


def by_base(found: Known) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Features (b, k) and success shares (b,) of the bases whose features could be had, and their names."""
    rate = found.ended.groupby(found.group_of().to_numpy()).mean()
    stay = np.asarray(np.isfinite(found.bases).all(1))
    names = tuple(g for g, s in zip(found.groups, stay, strict=True) if s)
    return found.bases[stay], rate.reindex(list(names)).to_numpy(np.float64), names
