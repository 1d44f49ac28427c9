"""A fitted forecast: a logistic model for each share of the budget, with refits that give its uncertainty."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diag.forecasts import ForecastError
from diag.forecasts.features import BASE_FEATURES, VIEWS, features
from diag.wording import percent_interval
from probes import Floats, Measure

FORMAT = 1

FIRST_STOP = 0.1
"""Share of the budget before which nothing is stopped: too many transfers that end well still look lost
there."""


@dataclass(frozen=True)
class Probability:
    """A probability with its interval: where 95% of models fitted to other bases would put it."""

    value: float
    low: float
    high: float

    def to_tree(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Logistic:
    """p = σ((x − centre) / scale · weights + intercept), features clipped to the range of the fit."""

    centre: Floats
    scale: Floats
    low: Floats
    high: Floats
    weights: Floats
    """(k,)."""
    intercept: float
    draws: Floats
    """(m, k + 1): weights and intercept of refits on resampled bases."""

    def __call__(self, x: Floats) -> Floats:
        """Probabilities (n,) of features (n, k)."""
        return sigmoid(self._standard(x) @ self.weights + self.intercept)

    def spread(self, x: Floats) -> Floats:
        """Probabilities (m, n) of features (n, k) by each of the refits."""
        return sigmoid(self.draws[:, :-1] @ self._standard(x).T + self.draws[:, -1:])

    def _standard(self, x: Floats) -> Floats:
        """Standardised features, clipped to the range of the fit, beyond which its line is no guide."""
        return (np.clip(x, self.low, self.high) - self.centre) / self.scale

    def to_tree(self) -> dict[str, Any]:
        arrays = ("centre", "scale", "low", "high", "weights", "draws")
        tree = {name: np.round(getattr(self, name), 4).tolist() for name in arrays}
        return {**tree, "intercept": round(self.intercept, 4)}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any], size: int) -> Logistic:
        """Read a model of ``size`` features from its tree; raises KeyError, TypeError or ValueError."""
        names = ("centre", "scale", "low", "high", "weights", "draws")
        arrays = {name: np.array(tree[name], np.float64) for name in names}
        intercept = float(tree["intercept"])
        shapes = {values.shape for name, values in arrays.items() if name != "draws"}
        if shapes != {(size,)} or arrays["draws"].shape[1:] != (size + 1,) or not len(arrays["draws"]):
            raise ValueError("arrays of other shapes")
        if not np.isfinite(np.concatenate([*(v.ravel() for v in arrays.values()), [intercept]])).all():
            raise ValueError("numbers that are not finite")
        if not (arrays["scale"] > 0).all():
            raise ValueError("a scale that is not positive")
        return cls(**arrays, intercept=intercept)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(−x)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


@dataclass(frozen=True)
class Forecaster:
    """Fitted models: one of transfers for each share of the budget, and one of bases."""

    outcome: str
    """``matched`` or ``succeeded``."""
    fitted_to: Mapping[str, Any]
    """The data that it was fitted to: studies, numbers of bases and transfers, how many ended well."""
    by_share: Mapping[float, Logistic]
    """Model of transfers for each share of the budget."""
    stop_below: Mapping[float, float]
    """Probability below which a transfer may be stopped, for each share."""
    bases: Logistic | None
    """Model of a base's own features; None where there were too few bases."""
    mean_rate: float

    @property
    def shares(self) -> list[float]:
        """The shares that it has a model for."""
        return sorted(self.by_share)

    def nearest(self, share: float) -> float:
        """The share with a model that is nearest in ratio to this one. Raises :class:`ForecastError`."""
        if share < 0.5 * self.shares[0]:
            least = f"{self.shares[0]:.0%}"
            raise ForecastError(f"found {share:.1%} of the budget done, expected about {least} or more")
        return min(self.shares, key=lambda s: abs(np.log(s / share)))

    def probability(self, row: Mapping[str, Any], share: float) -> Probability:
        """Probability that a transfer ends well whose checkpoint at ``share`` has this row of measures."""
        model = self.by_share[self.nearest(share)]
        return _answer(model, features(pd.DataFrame([row])), "a number that the forecast looks at")

    def limit_at(self, share: float) -> float | None:
        """The probability below which the stopping rule ends a transfer at this share; None if none."""
        return self.stop_below.get(self.nearest(share), 0.0) or None

    def stops(self, probability: Probability, share: float) -> bool:
        """Whether the stopping rule ends a transfer at this share, given its probability."""
        limit = self.limit_at(share)
        return limit is not None and probability.value < limit

    def rate(self, x: Floats) -> Probability:
        """The expected share of a base's transfers that end well, from its features (k,)."""
        if self.bases is None:
            raise ForecastError(
                "found a model of too few bases, expected one that forecasts from a base alone"
            )
        return _answer(self.bases, x[None], "a number of the base")

    def to_tree(self) -> dict[str, Any]:
        """Plain values for a file, which :meth:`from_tree` reads."""
        return {
            "format": FORMAT,
            "outcome": self.outcome,
            "fitted_to": dict(self.fitted_to),
            "features": list(VIEWS["embedding"]),
            "base_features": list(BASE_FEATURES),
            "by_share": {str(share): model.to_tree() for share, model in self.by_share.items()},
            "stop_below": {str(share): float(f"{p:.4g}") for share, p in self.stop_below.items()},
            "bases": None if self.bases is None else self.bases.to_tree(),
            "mean_rate": round(self.mean_rate, 4),
        }

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Forecaster:
        """A forecaster from its tree; raises KeyError, TypeError or ValueError."""
        looks_at = {"features": list(VIEWS["embedding"]), "base_features": list(BASE_FEATURES)}
        if tree["format"] != FORMAT or any(tree[name] != names for name, names in looks_at.items()):
            raise ValueError("another format, or other features than this version looks at")
        sizes = {name: len(names) for name, names in looks_at.items()}
        forecaster = cls(
            str(tree["outcome"]),
            dict(tree["fitted_to"]),
            {float(s): Logistic.from_tree(m, sizes["features"]) for s, m in tree["by_share"].items()},
            {float(share): float(p) for share, p in tree["stop_below"].items()},
            None if tree["bases"] is None else Logistic.from_tree(tree["bases"], sizes["base_features"]),
            float(tree["mean_rate"]),
        )
        if not forecaster.by_share or not all(0 < share < 1 for share in forecaster.by_share):
            raise ValueError("no shares of a budget")
        if not all(0 <= p <= 1 for p in (*forecaster.stop_below.values(), forecaster.mean_rate)):
            raise ValueError("a probability beyond 0 and 1")
        return forecaster


def _answer(model: Logistic, x: Floats, what: str) -> Probability:
    if not np.isfinite(x).all():
        raise ForecastError(f"{what} is not there or not finite")
    low, high = np.quantile(model.spread(x)[:, 0], [0.025, 0.975])
    value = float(model(x)[0])
    return Probability(value, min(float(low), value), max(float(high), value))


def in_words(estimate: Probability | Measure) -> str:
    """A probability with its interval in percent: ``3% [1%, 8%]``; a dash for no number.

    >>> in_words(Probability(0.031, 0.0098, 0.08)), in_words(Measure.undefined("one end only"))
    ('3% [1%, 8%]', '–')
    """
    return percent_interval(estimate.value, estimate.low, estimate.high)


def percent(p: float) -> str:
    """A probability as a percentage, with two digits below 10% so that small limits show.

    >>> percent(0.412), percent(0.041), percent(0.005472), percent(0.0)
    ('41%', '4.1%', '0.55%', '0%')
    """
    return f"{p:.0%}" if p >= 0.0995 else f"{100 * p:.2g}%" if p >= 1e-5 else f"{100 * p:.0g}%"


def limit_words(limit: float | None) -> str:
    """The stopping rule's limit at a share, as the end of a sentence."""
    if limit is None:
        return "the rule stops nothing at this share"
    return f"the rule stops below {percent(limit)}"


def read_model(path: str | os.PathLike[str] | None = None) -> Forecaster:
    """The forecaster in a file of ``diag study forecast``, or the shipped one; raises ForecastError."""
    where = "the shipped model" if path is None else path
    try:
        if path is None:
            text = resources.files("diag.forecasts").joinpath("default.json").read_text("utf-8")
        else:
            text = Path(path).read_text("utf-8")
        return Forecaster.from_tree(json.loads(text))
    except OSError as error:
        raise ForecastError(f"{where}: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        words = " ".join(str(error).split())
        raise ForecastError(f"{where}: found no model of diag study forecast ({words})") from None


def kind_of(world_name: str, algorithm: str) -> str:
    """The name of a kind of transfer: the world, and the algorithm where the system knows several."""
    return f"{world_name}, {algorithm}" if algorithm else world_name
