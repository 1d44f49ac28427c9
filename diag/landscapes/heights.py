"""Heights of the wall on a route: suprema of losses, with paired bootstrap intervals.

For the loss L(t) on a route from A (t = 0) to B (t = 1), the supremum over its points:

- escape height (the headline): sup L(t) − L(0): what a run that is stuck at A would have to climb;
- Frankle et al. (arXiv 1912.05671): sup L(t) − (L(0) + L(1)) / 2;
- Entezari et al. (arXiv 2110.06296): sup [L(t) − (1 − t)·L(0) − t·L(1)].

On a downhill route between unequal ends the second is positive and the first is 0. A supremum of noisy
values is biased upwards: the intervals are corrected for that, the values are not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from diag.landscapes.result import TOTAL, Height
from probes import Floats, Measure
from probes._resampling import expanded_tail


def _escape(curve: Floats, t: Floats) -> Floats:
    return curve - curve[..., :1]


def _frankle(curve: Floats, t: Floats) -> Floats:
    return curve - (curve[..., :1] + curve[..., -1:]) / 2


def _entezari(curve: Floats, t: Floats) -> Floats:
    return curve - (1 - t) * curve[..., :1] - t * curve[..., -1:]


HEIGHTS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "escape": _escape,
    "frankle": _frankle,
    "entezari": _entezari,
}
"""{height: the function of a route's losses whose supremum over t it is}."""


EQUAL = 1e-6
"""Share of the largest rise or fall within which two places are equally high: losses in single precision are
known to some 1e-7."""

FEWEST = 4
"""Groups below which a height has no interval: each half needs two, to choose the place or to measure it."""


@dataclass(frozen=True)
class Draws:
    """Resamples of the curves of one route, {``total`` and each term: …}."""

    whole: Mapping[str, Floats]
    """(draws, points)."""
    halves: Mapping[str, Floats]
    """(splits, 2, draws, points): the same resamples with the groups of one half only."""
    groups: int


def barrier(
    t: Floats, values: Mapping[str, Floats], draws: Draws, kinds: Collection[str] = tuple(HEIGHTS)
) -> dict[str, Height]:
    """The heights of a route, all ``kinds`` or some: t (points,) with 0 and 1 in it, curves {``total`` and
    each term: (points,)}, and their resamples. Points outside [0, 1] are left out.

    >>> import numpy as np
    >>> t = np.linspace(0, 1, 5)
    >>> wall = {"total": 1 - np.abs(2 * t - 1)}
    >>> same = {"total": np.tile(wall["total"], (1, 2, 9, 1))}
    >>> barrier(t, wall, Draws({"total": same["total"][0, 0]}, same, 9))["escape"].value
    1.0
    """
    inside = (t >= 0) & (t <= 1)
    t = t[inside]
    heights: dict[str, Height] = {}
    for kind in kinds:
        above = HEIGHTS[kind]
        suprema: dict[str, tuple[Measure, float | None]] = {}
        places: dict[str, float | None] = {}
        with np.errstate(invalid="ignore"):  # a loss that is infinite at an end has no height: NaN
            for curve, value in values.items():
                rise = above(value[inside], t)
                places[curve] = _place(rise, t)
                whole, halves = draws.whole[curve][:, inside], draws.halves[curve][..., inside]
                suprema[curve] = _supremum(rise, above(whole, t), above(halves, t), draws.groups)
        (total, bias), at = suprema.pop(TOTAL), places.pop(TOTAL)
        per_loss = {curve: measure for curve, (measure, _) in suprema.items()}
        heights[kind] = Height(total.value, total.low, total.high, at, bias, per_loss, places)
    return heights


def _place(rise: Floats, t: Floats) -> float | None:
    """The first t at which the rise is highest, within rounding: of a plateau, or of two equal walls."""
    if not np.isfinite(rise).any():
        return None
    known = np.where(np.isnan(rise), -np.inf, rise)
    highest, finite = float(known.max()), np.abs(rise[np.isfinite(rise)])
    return float(t[int((known >= highest - EQUAL * float(finite.max())).argmax())])


def _supremum(rise: Floats, draws: Floats, halves: Floats, groups: int) -> tuple[Measure, float | None]:
    """The supremum of a curve (points,) with its interval, and the bootstrap's estimate of its bias.

    The upper end is a percentile of resampled suprema, less that bias. The lower end is one of rises at
    the place where the *other* half of the groups has its highest point: choosing the place and taking
    the height are then independent, and noise alone raises nothing. It is never below what the ends of the
    route force.
    """
    if not np.isfinite(rise).all():
        return Measure.undefined("a loss on the route is not finite"), None
    value = float(rise.max())
    if groups < FEWEST:
        return Measure(value, reason=f"{groups} states or episodes, an interval needs {FEWEST}"), None
    suprema = draws.max(1)
    bias = max(0.0, float(suprema.mean()) - value)
    tail = expanded_tail(groups)
    high = float(np.quantile(suprema, 1 - tail)) - bias
    chosen = np.argmax(np.where(np.isfinite(halves), halves, -np.inf), axis=-1)
    crossed = np.take_along_axis(halves[:, ::-1], chosen[..., None], axis=-1)[..., 0].mean((0, 1))
    crossed = crossed[np.isfinite(crossed)]
    low = float(np.quantile(crossed, tail)) if len(crossed) else -np.inf
    floor = max(float(np.quantile(end, tail)) for end in (draws[:, 0], draws[:, -1]))
    return Measure(value, min(value, max(low, floor)), max(value, high)), bias
