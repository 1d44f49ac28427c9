"""Rows that a probe is fitted on and scored on: which of them show one state, and are held out together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

import diag
from diag.probing.rows import gathered
from diag.sources.pairs import FilePairs
from diag.sources.supplied import NOTHING
from diag.subject import Subject

STATES = 40


class Identity:
    """An encoder that changes nothing."""

    def embed(self, parameters: Mapping[str, Tensor], observations: Tensor) -> Tensor:
        return observations


def subject(folder: Path, observations: NDArray[np.float64]) -> Subject:
    """An encoder with paired observations that no episode is named for, and a number drawn for each state."""
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=STATES)[np.arange(len(observations)) % STATES]
    np.savez(folder / "pairs.npz", source=observations, target=-observations, drawn=drawn)
    return Subject("mine", "", "source", {}, Identity(), tasks=FilePairs(str(folder / "pairs.npz")))


@pytest.mark.parametrize("rounding", [0.0, 1e-8])
def test_rows_that_are_equal_within_rounding_are_one_state(tmp_path: Path, rounding: float) -> None:
    rng = np.random.default_rng(0)
    seen = np.tile(rng.normal(size=(STATES, 6)), (3, 1))
    seen *= 1 + rounding * rng.normal(size=seen.shape)
    known = subject(tmp_path, seen)
    rows = gathered([known], None, (), None, False, NOTHING, 0)
    assert rows.states is not None
    assert rows.states.tolist() == [*range(STATES)] * 3


def test_rows_that_are_not_finite_are_left_to_whoever_embeds_them(tmp_path: Path) -> None:
    seen = np.random.default_rng(0).normal(size=(STATES, 6))
    seen[3, 2], seen[5, 1] = np.nan, np.inf
    probe = diag.probe(subject(tmp_path, seen), drop_nonfinite=True, projection="none")
    assert (probe.rows, probe.of) == (STATES - 2, STATES)
