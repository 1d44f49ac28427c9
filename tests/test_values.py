"""Results as charts of Altair and tables of pandas."""

from __future__ import annotations

import re
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest

import diag
from diag.outputs.registry import RENDERERS, renderer
from diag.outputs.values import ValueMissingError
from diag.saved.kinds import RESULTS
from diag.shown import Shown
from tests import shown
from tests.conftest import EXAMPLES

WITHOUT = {"description", "file_description", "subject"}
"""Kinds without a picture."""

REPORTS = Path(__file__).parents[1] / "docs" / "reports.md"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    return shown.results(tmp_path_factory.mktemp("values"))


@pytest.mark.parametrize("kind", sorted(set(RENDERERS) - WITHOUT))
def test_a_result_with_a_picture_has_it_as_a_chart(results: dict[str, Shown], kind: str) -> None:
    result = results[kind]
    every = result.charts
    assert result.chart.to_dict() == next(iter(every.values())).to_dict()
    assert all(isinstance(one, alt.TopLevelMixin) for one in every.values())
    assert all(one.to_dict()["$schema"] for one in every.values())


@pytest.mark.parametrize("kind", sorted(WITHOUT))
def test_a_result_without_one_says_so(results: dict[str, Shown], kind: str) -> None:
    assert results[kind].charts == {}
    with pytest.raises(ValueMissingError, match="which has no chart; expected a result with a picture"):
        _ = results[kind].chart


def test_a_chart_of_many_rows_holds_them_all() -> None:
    base = np.random.default_rng(0).normal(size=(3000, 3))
    result = diag.compare(base, base * [1, -1, 1])
    for chart in result.charts.values():
        assert chart.to_dict(validate=True)["$schema"]


def test_a_chart_is_a_value(tmp_path: Path) -> None:
    chart = diag.compare(EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors").chart
    chart.properties(title="mine").save(tmp_path / "mine.svg")
    assert "mine" in (tmp_path / "mine.svg").read_text("utf-8")


def test_every_result_of_a_diagnosis_has_tables() -> None:
    assert {kind for kind, forms in RENDERERS.items() if "frames" in forms} == set(RESULTS)


@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_tables_are_tidy(results: dict[str, Shown], kind: str) -> None:
    result = results[kind]
    tables = renderer(kind, "frames")(result)
    first, *_ = tables
    pd.testing.assert_frame_equal(result.to_frame(), tables[first])
    assert len(tables[first]) > 0
    for name, table in tables.items():
        pd.testing.assert_frame_equal(result.to_frame(name), table)
        assert table.index.equals(pd.RangeIndex(len(table)))
        assert table.columns.is_unique
        assert all(isinstance(column, str) for column in table.columns)
        for column in {"value", "low", "high", "loss", "p"} & set(table.columns):
            assert table[column].dtype == np.float64, (name, column)


def test_tables_have_the_numbers_of_the_result(results: dict[str, Shown]) -> None:
    compared = results["comparison"]
    assert isinstance(compared, diag.comparisons.result.Comparison)
    measures = compared.to_frame().set_index("measure")
    for name, measure in compared.measures.items():
        assert measures.loc[name, "value"] == pytest.approx(measure.value, nan_ok=True)
    ladder = compared.to_frame("ladder").query("maps == 'transfer to base'")
    assert ladder["transform"].tolist() == [step.transform for step in compared.ladder]
    assert ladder["low"].tolist() == [step.r2.low for step in compared.ladder]

    wall = results["landscape"]
    assert isinstance(wall, diag.landscapes.result.Landscape)
    curves = wall.to_frame()
    total = curves.query("route == 'raw' and term == 'total' and task == @wall.task")
    np.testing.assert_array_equal(total["loss"], wall.routes["raw"].losses["total"])
    heights = wall.to_frame("heights").set_index(["task", "route", "height"])
    assert heights.loc[(wall.task, "raw", "escape"), "value"] == wall.barrier["escape"].value

    probed = results["probe"]
    assert isinstance(probed, diag.probing.result.Probed)
    row = probed.to_frame().query("column == 'A' and variable == 'first' and measure == 'r2'").iloc[0]
    assert row["value"] == probed.measure(0, "first").value


def test_a_part_that_is_not_there_names_those_that_are(results: dict[str, Shown]) -> None:
    with pytest.raises(ValueMissingError, match="no table 'rows' of a landscape; expected one of curves, h"):
        results["landscape"].to_frame("rows")
    with pytest.raises(ValueMissingError, match="a file description, which has no tables"):
        results["file_description"].to_frame()


def test_the_docs_list_the_parts_of_every_kind(results: dict[str, Shown]) -> None:
    told = [
        [name for cell in line.split("|")[2:4] for name in re.findall(r"`(\w+)`", cell)]
        for line in REPORTS.read_text("utf-8").partition("## In Python")[2].splitlines()
        if line.startswith("| ") and "to_frame" not in line
    ]
    parts = [list(renderer(kind, "frames")(results[kind])) for kind in RESULTS]
    assert sorted(told) == sorted(parts)
