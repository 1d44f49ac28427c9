"""Losses between checkpoints: slices, heights, planes, symmetries, curves and curvature."""

from __future__ import annotations


class LandscapeError(ValueError):
    """A number, a name or a folder that no landscape can be computed with."""
