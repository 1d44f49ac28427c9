"""A distance that no map's name tells of is told in words."""

from __future__ import annotations

import numpy as np
import pytest

import diag


@pytest.mark.parametrize(
    ("offset", "words"), [(0.0, None), (2.0, None), (80.0, "80 times the base's spread")]
)
def test_a_transfer_that_lies_far_away_is_said_to(offset: float, words: str | None) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(200, 3))
    base = (base - base.mean(0)) / np.sqrt(np.square(base - base.mean(0)).sum(1).mean())  # of spread 1
    result = diag.compare(base, base + np.array([offset, 0, 0]) + 0.01 * rng.normal(size=base.shape))
    if words is None:
        assert "times the base's spread" not in result.conclusion
    else:
        assert words in result.conclusion
        assert words in str(result).replace("\n", " ").replace("  ", " ")
