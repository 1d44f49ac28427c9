"""The verdict of a landscape, from its heights: whether there is a wall, and whether a symmetry makes it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from diag.landscapes.heights import EQUAL
from diag.landscapes.result import TOTAL, Height, Route, RouteName
from diag.result import Verdict

WALL = 0.05
"""Share of A's loss that an escape height must exceed, with its whole interval, to be called a wall."""

NOTHING = 1e-6
"""Share of the highest loss on the way below which a height is put down to rounding, however small the loss
at A."""


def is_wall(height: Height, threshold: float) -> bool | None:
    """Whether the whole interval is above the threshold, or below; None where it is neither."""
    if height.low is None or height.high is None:
        return None
    return True if height.low > threshold else False if height.high <= threshold else None


def verdict_of(routes: Mapping[RouteName, Route], task: str, weights: Mapping[str, float]) -> Verdict:
    """The verdict on the routes of the headline task; ``weights`` are the terms' in the total."""
    raw = routes["raw"]
    escape = raw.barrier["escape"]
    if escape.value is None or escape.at is None:
        return Verdict("inconclusive", f"Cannot tell: {_undefined(raw)}")
    start, end = (float(raw.losses[TOTAL][abs(raw.t - at).argmin()]) for at in (0.0, 1.0))
    threshold = max(WALL * abs(start), NOTHING * float(abs(raw.losses[TOTAL]).max()))
    where = f"on the {task} task"
    wall = is_wall(escape, threshold)
    if escape.low is None:
        words = f"Cannot tell: the escape height is {escape.value:.3g} {where}, from too few groups."
        return Verdict("inconclusive", words)
    if wall is None:
        words = f"Cannot tell: the escape height is {measured(escape)} {where}; take more --samples."
        return Verdict("inconclusive", words)
    if not wall:
        words = (
            f"No wall: from A ({start:.3g}) to B ({end:.3g}) the loss climbs by {measured(escape)} {where}."
        )
        return Verdict("pass", words)
    if escape.at == 1.0:
        return Verdict("warn", f"Uphill: the loss rises by {measured(escape)} {where}, highest at B itself.")
    copy = _copy_without_wall(routes, threshold)
    if copy is not None:
        words = (
            f"The wall of {measured(escape)} {where} is only a symmetry of the weights: with B's hidden "
            f"units matched to A's it is {measured(copy)}."
        )
        return Verdict("pass", words)
    most = rises_most(raw, weights, escape.at)
    words = (
        f"A wall of {measured(escape)} stands on the straight line from A to B {where}, highest at "
        f"t = {escape.at:.2f}; '{most}' rises most (total at A {start:#.3g}, at B {end:#.3g})."
    )
    curve = routes.get("curve")
    return Verdict("warn", words + ("" if curve is None else _round_it(escape, curve, threshold)))


def _copy_without_wall(routes: Mapping[RouteName, Route], threshold: float) -> Height | None:
    """The escape height on the way to a symmetric copy of B, where there is no wall on it."""
    names: tuple[RouteName, ...] = ("aligned", "nearest")
    heights = (routes[name].barrier["escape"] for name in names if name in routes)
    return next((height for height in heights if is_wall(height, threshold) is False), None)


def _round_it(escape: Height, curve: Route, threshold: float) -> str:
    """A sentence, after a space, on how far a curve lowers the wall; empty where that is undefined."""
    height = curve.barrier["escape"]
    if height.value is None:
        return ""
    if is_wall(height, threshold) is False:
        return f" A curve leads round it: {measured(height)} is left."
    assert escape.value is not None
    assert escape.low is not None
    assert height.high is not None
    if height.value >= escape.value * (1 - EQUAL):
        return " No curve was found that lowers it."
    if height.at == 1.0:
        return f" On a curve the loss is highest at B itself: {measured(height)}."
    verb = "lowers it" if height.high < escape.low else "may lower it"
    return f" A curve {verb} to {measured(height)}."


def _undefined(route: Route) -> str:
    """Words for the number of losses from A to B that are not finite, and for those at the ends."""
    inside = (route.t >= 0) & (route.t <= 1)
    total = route.losses[TOTAL][inside]
    count = int((~np.isfinite(total)).sum())
    start, end = (f"{v:.3g}" if np.isfinite(v) else "not finite" for v in (total[0], total[-1]))
    return (
        f"the loss is not finite at {count} of {len(total)} points from A to B; A's own is {start}, B's own "
        f"is {end}."
    )


def rises_most(route: Route, weights: Mapping[str, float], at: float) -> str:
    """The loss term that contributes most to the rise of the total from A to t."""
    start, there = (int(abs(route.t - t).argmin()) for t in (0.0, at))
    return max(
        weights, key=lambda term: weights[term] * (route.losses[term][there] - route.losses[term][start])
    )


def measured(height: Height) -> str:
    """A height with its interval, such as ``1.41 [1.1, 1.74]``."""
    return f"{height.value:.3g} [{height.low:.3g}, {height.high:.3g}]"
