"""Losses between checkpoints: slices, heights, planes, symmetries, curves and curvature."""

from __future__ import annotations


class LandscapeError(ValueError):
    """An argument of a landscape that cannot be used: a number, a name or a folder."""
