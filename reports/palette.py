"""The colours, shapes and dashes of all charts: what is named alike looks alike."""

from __future__ import annotations

PALETTE = ["#0072B2", "#E69F00", "#CC79A7", "#009E73", "#D55E00", "#56B4E9"]
"""Okabe and Ito's colours, told apart by readers with any colour vision; shapes repeat what they say."""

SHAPES = ["circle", "triangle-up", "diamond", "square", "cross", "triangle-down"]

DASHES = [[1, 0], [6, 3], [2, 2], [9, 3, 2, 3], [12, 4], [4, 2, 1, 2]]
"""Dashes of lines in the order of their names: the first is solid."""

STATUS_COLOURS = {
    "pass": "#009E73",
    "warn": "#E69F00",
    "fail": "#D55E00",
    "inconclusive": "#888888",
    "error": "#CC79A7",
}

OUTCOMES = {"success": "#009E73", "failure": "#D55E00", "base": "#0072B2"}
"""Green and vermilion of Okabe and Ito's colours; dashes and order repeat what they say."""
