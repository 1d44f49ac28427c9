"""Fit a forecast to studies: features of early checkpoints, and how each transfer ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diag.forecasts.features import View, features
from diag.forecasts.model import Forecaster, Logistic, sigmoid
from diag.forecasts.result import Outcome
from probes import Floats

FEWEST_BASES = 6
"""Fewest bases to fit a forecast to: it has to hold for bases that were not seen."""

DRAWS = 60
"""Number of refits on resampled bases."""

PENALTY = 1.0
"""Penalty of the logistic models on half the squared slopes of standardised features: fixed, not chosen."""

MOST_STEPS, CLOSE = 100, 1e-8
"""Most Newton steps, and how small the last one has to be."""


@dataclass(frozen=True, eq=False)
class Known:
    """The transfers of some studies: rows at shares of the budget, and how each ended."""

    rows: pd.DataFrame
    """Early rows of ``results``, with ``share``, ``group`` (the base), ``run`` and ``folder``."""
    ended: pd.Series[Any]
    """Whether each run ended well, indexed by run."""
    bases: Floats
    """(b, k) each base's own features, NaN where its checkpoint is missing."""
    groups: tuple[str, ...]
    """The names of the b bases."""
    names: tuple[str, ...]
    """Names of the studies."""
    kinds: tuple[str, ...] = ()
    """Worlds and algorithms of the transfers."""

    def group_of(self) -> NDArray[Any]:
        """The base of each of :attr:`ended`'s runs."""
        of = self.rows.drop_duplicates("run").set_index("run")["group"]
        return of.loc[self.ended.index].to_numpy()

    @property
    def shares(self) -> list[float]:
        """The shares of the budget at which enough bases have checkpoints."""
        bases = self.rows.groupby("share")["group"].nunique()
        return [float(share) for share in bases.index[bases >= FEWEST_BASES]]


def fitted(
    transfers: Known, outcome: Outcome, stop_below: Mapping[float, float], seed: int = 0
) -> Forecaster:
    """A forecaster fitted to all the transfers."""
    rng = np.random.default_rng(seed)
    return Forecaster(
        outcome,
        {
            "studies": list(transfers.names),
            "kinds": list(transfers.kinds),
            "bases": len(transfers.groups),
            "transfers": len(transfers.ended),
            "ended_well": int(transfers.ended.sum()),
        },
        {share: _with_draws(at(transfers, share), rng) for share in transfers.shares},
        stop_below,
        _of_bases(transfers, rng),
        float(transfers.ended.mean()),
    )


@dataclass(frozen=True, eq=False)
class At:
    """The runs that have a checkpoint at a share of their budget."""

    x: Floats
    """(n, k) features."""
    y: NDArray[np.bool_]
    """(n,) whether each run ended well."""
    groups: NDArray[Any]
    """(n,) the base of each run."""
    runs: NDArray[Any]
    """(n,) the name of each run."""

    def __getitem__(self, rows: NDArray[np.bool_]) -> At:
        return At(self.x[rows], self.y[rows], self.groups[rows], self.runs[rows])

    def model(self) -> Logistic:
        """A logistic model fitted to all these runs."""
        return logistic(self.x, self.y.astype(float), np.ones(len(self.y)))


def at(transfers: Known, share: float, view: View = "embedding") -> At:
    """The runs that are known at a share of the budget, with the features of one view."""
    rows = transfers.rows[np.isclose(transfers.rows["share"], share)]
    x = features(rows, view)
    ended = transfers.ended.loc[rows["run"]].to_numpy(bool)
    return At(x, ended, rows["group"].to_numpy(), rows["run"].to_numpy())[np.asarray(np.isfinite(x).all(1))]


def _with_draws(seen: At, rng: np.random.Generator) -> Logistic:
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
    if like is None:
        scale = x.std(0)
        like = Logistic(
            x.mean(0),
            np.where(scale > 1e-12, scale, 1.0),
            x.min(0),
            x.max(0),
            np.zeros(x.shape[1]),
            0.0,
            np.empty((0, x.shape[1] + 1)),
        )
    good, bad = float(weights @ rate), float(weights @ (1 - rate))
    if good == 0 or bad == 0:
        flat = float(np.log((good + 0.5) / (bad + 0.5)))
        return replace(like, weights=np.zeros(x.shape[1]), intercept=flat)
    solution = descended((x - like.centre) / like.scale, rate, weights, PENALTY)
    return replace(like, weights=solution[:-1], intercept=float(solution[-1]))


def descended(x: Floats, rate: Floats, weights: Floats, penalty: float) -> Floats:
    """The slopes and the intercept (k + 1,) of least Σ weights · cross-entropy + penalty/2 · ‖slopes‖².

    Newton's steps, halved until they descend: the function is convex. Rates lie between 0 and 1.
    """
    columns = np.column_stack([x, np.ones(len(x))])
    ridge = np.append(np.full(x.shape[1], penalty), 1e-9)
    solution = np.zeros(columns.shape[1])

    def height(place: Floats) -> float:
        logit = columns @ place
        return float(weights @ (np.logaddexp(0.0, logit) - rate * logit) + 0.5 * ridge @ np.square(place))

    for _ in range(MOST_STEPS):
        p = sigmoid(columns @ solution)
        slope = columns.T @ (weights * (p - rate)) + ridge * solution
        curve = (columns.T * (weights * p * (1 - p))) @ columns + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        here = height(solution)
        while height(solution - step) > here and np.abs(step).max() > CLOSE:
            step = step / 2
        solution = solution - step
        if np.abs(step).max() < CLOSE:
            break
    return solution


def _of_bases(transfers: Known, rng: np.random.Generator) -> Logistic | None:
    """Model of the share of a base's transfers that end well, from its features; None for too few bases."""
    x, rate, names = by_base(transfers)
    if len(rate) < FEWEST_BASES:
        return None
    return _drawn(x, rate, np.array(names), rng)


def by_base(transfers: Known) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Features (b, k), success shares (b,) and names of the bases whose features are known."""
    rate = transfers.ended.groupby(transfers.group_of()).mean()
    stay = np.asarray(np.isfinite(transfers.bases).all(1))
    names = tuple(g for g, s in zip(transfers.groups, stay, strict=True) if s)
    return transfers.bases[stay], rate.reindex(list(names)).to_numpy(np.float64), names
