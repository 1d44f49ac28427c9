"""Every cell of the table of properties holds, in memory and streamed."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import probes
from tests import properties
from tests.properties import CELLS, EXACT, MEASURES, OTHER, REASONS, SAME, STREAMED


@pytest.mark.parametrize(("measure", "transformation"), CELLS)
def test_every_cell_of_the_table_holds(measure: str, transformation: str) -> None:
    cell = CELLS[measure, transformation]
    before, after = properties.pairs(transformation)
    values = []
    for form in (MEASURES[measure], STREAMED[measure]) if measure in STREAMED else (MEASURES[measure],):
        if cell.startswith("!"):
            with pytest.raises(probes.ProbeError, match=REASONS[cell]):
                form(after)
            continue
        found = form(after)
        if isinstance(found, str):
            assert found == cell
        elif cell.startswith("?"):
            assert found.value is None
            assert re.search(REASONS[cell], found.reason or "no reason"), found.reason
        else:
            old = form(before)
            assert found.value is not None, found.reason
            assert isinstance(old, probes.Measure)
            assert old.value is not None, old.reason
            digits = SAME * max(
                *(properties.scale(measure, pair) for pair in (before, after)), abs(old.value)
            )
            assert obeys(cell, old.value, found.value, digits), f"{old.value} {cell} {found.value}"
            values.append(found.value)
    if len(values) == 2:
        assert abs(values[1] - values[0]) <= properties.tolerance(measure, values[0], after)


def obeys(cell: str, old: float, new: float, digits: float) -> bool:
    """Whether a number obeys its cell; NaN and infinity obey none."""
    if not np.isfinite([old, new]).all():
        return False
    match cell:
        case "=":
            return abs(new - old) <= digits
        case "≠":
            return abs(new - old) > OTHER
        case "↑":
            return new - old > OTHER
        case "↓":
            return old - new > OTHER
    decimals = len(cell.partition(".")[2])
    return abs(new - float(cell)) <= (0.5 * 10.0**-decimals if decimals else EXACT)


def test_every_public_measure_of_two_embeddings_has_a_row() -> None:
    source = Path(properties.__file__).read_text(encoding="utf-8")
    for name in set(probes.__all__) - properties.NO_MEASURES:
        function = getattr(probes, name)
        if inspect.isfunction(function) and list(inspect.signature(function).parameters)[:2] == ["x", "y"]:
            assert f"probes.{name}(" in source, f"no row of the table calls {name}"
