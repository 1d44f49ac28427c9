"""The total loss along the straight line from A to B, for a terminal."""

from __future__ import annotations

import numpy as np

from diag.landscapes.result import TOTAL, Landscape
from diag.outputs.layout import wrapped
from diag.outputs.terminal import canvas, columns, framed
from diag.outputs.words import three

HEIGHT = 12
"""Lines of the curve."""

ABOVE = 1.1
"""Times the highest loss between A and B, above which the curve beyond them is cut off."""

ROUNDING = 1e-9
"""How far a t may lie beyond an end and still be that end's."""


def render(result: Landscape) -> str:
    """The curve in a frame, the highest point between A and B marked, and the ends' losses in words."""
    raw = result.routes["raw"]
    t, loss = raw.t, raw.losses[TOTAL]
    known = np.isfinite(loss)
    inside = known & (t > -ROUNDING) & (t < 1 + ROUNDING)
    if not inside.any():
        return "\n".join(wrapped("The total loss is not finite between A and B: there is nothing to draw."))
    top, bottom = float(loss[inside].max()), float(loss[known].min())
    span = (top - bottom) or max(abs(top), 1.0)
    ceiling = bottom + ABOVE * span
    room = max(len(three(top)), len(three(bottom)))
    width = columns() - room - 3
    ends = float(t.min()), float(t.max())
    edge = 0.01 * (ends[1] - ends[0])
    above, below = ceiling + 0.05 * span, bottom - 0.05 * span
    panel = canvas(width, HEIGHT, (ends[0] - edge, below, ends[1] + edge, above))
    shown = np.minimum(loss, ceiling)
    for place in range(len(t) - 1):
        if known[place] and known[place + 1] and min(loss[place], loss[place + 1]) < ceiling:
            panel.line(t[place], shown[place], t[place + 1], shown[place + 1])
    peak = int(np.flatnonzero(inside)[loss[inside].argmax()])
    panel.point(float(t[peak]), float(loss[peak]), marker="▲")
    for name, at in (("A", 0.0), ("B", 1.0)):
        value = float(np.interp(at, t[known], loss[known]))
        panel.point(at, value, marker=name)
    lines = framed(panel, f"total loss on the {result.task} task, along the straight line from A to B")
    labels = {1: three(ceiling), HEIGHT: three(bottom)}
    gutter = [f"  {labels.get(row, ''):>{room}} {line}" for row, line in enumerate(lines)]
    a, b = (three(float(np.interp(at, t[known], loss[known]))) for at in (0.0, 1.0))
    highest = f"▲, the highest between them, at t = {max(0.0, t[peak]):.2f}: {three(top)}."
    words = f"A, at t = 0: {a}. B, at t = 1: {b}. {highest}"
    if (loss[known] > ceiling).any():
        words += " What lies higher beyond the ends is cut off."
    return "\n".join([*gutter, *wrapped(words)])
