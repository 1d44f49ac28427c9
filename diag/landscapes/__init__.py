"""What lies between checkpoints: slices, heights, planes, symmetries, curves and curvature of losses."""

from __future__ import annotations


class LandscapeError(ValueError):
    """A number, a name or a folder that no landscape can be taken with."""
