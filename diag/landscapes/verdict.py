"""From heights to one sentence: is there a wall, and is it more than a symmetry of the weights?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from diag.landscapes.heights import EQUAL
from diag.landscapes.result import TOTAL, Height, Route, RouteName
from diag.result import Verdict

WALL = 0.05
"""Share of A's loss that an escape height must exceed, with its whole interval, to be called a wall."""


NOTHING = 1e-6
"""Share of the highest loss on the way below which a height is rounding, however small the loss at A."""


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
        words = f"Cannot tell: the escape height is {escape.value:.3g} {where}, of too few groups."
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
    copies: tuple[RouteName, ...] = ("aligned", "nearest")
    for name in copies:
        copy = routes.get(name)
        if copy is not None and is_wall(copy.barrier["escape"], threshold) is False:
            words = (
                f"The wall of {measured(escape)} {where} is only a symmetry of the weights: with B's hidden "
                f"units matched to A's it is {measured(copy.barrier['escape'])}."
            )
            return Verdict("pass", words)
    most = rises_most(raw, weights, escape.at)
    words = (
        f"A wall of {measured(escape)} stands on the straight line from A to B {where}, highest at "
        f"t = {escape.at:.2f}; '{most}' rises most (total at A {start:.3g}, at B {end:.3g})."
    )
    curve = routes.get("curve")
    if curve is None or (height := curve.barrier["escape"]).value is None:
        return Verdict("warn", words)
    if is_wall(height, threshold) is False:
        return Verdict("warn", f"{words} A curve leads round it: {measured(height)} is left.")
    assert escape.low is not None
    assert height.high is not None
    if height.value >= escape.value * (1 - EQUAL):
        return Verdict("warn", f"{words} No curve was found that lowers it.")
    if height.at == 1.0:
        return Verdict("warn", f"{words} On a curve the loss is highest at B itself: {measured(height)}.")
    verb = "lowers it" if height.high < escape.low else "may lower it"
    return Verdict("warn", f"{words} A curve {verb} to {measured(height)}.")


def _undefined(route: Route) -> str:
    """How many losses from A to B are not finite, and what the ends' own are."""
    inside = (route.t >= 0) & (route.t <= 1)
    total = route.losses[TOTAL][inside]
    count = int((~np.isfinite(total)).sum())
    start, end = (f"{v:.3g}" if np.isfinite(v) else "not finite" for v in (total[0], total[-1]))
    return (
        f"the loss is not finite at {count} of {len(total)} points from A to B; A's own is {start}, B's own "
        f"is {end}."
    )


def rises_most(route: Route, weights: Mapping[str, float], at: float) -> str:
    """The term that adds most to the total at t above its share at A."""
    start, there = (int(abs(route.t - t).argmin()) for t in (0.0, at))
    return max(
        weights, key=lambda term: weights[term] * (route.losses[term][there] - route.losses[term][start])
    )


def measured(height: Height) -> str:
    """``1.41 [1.1, 1.74]``."""
    return f"{height.value:.3g} [{height.low:.3g}, {height.high:.3g}]"
