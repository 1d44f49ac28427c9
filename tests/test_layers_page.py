"""A page of layers: the first that differs is marked, few layers have numbers, words tell what is seen."""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import numpy as np
import pandas as pd
import pytest

import diag
from diag.layerwise.result import LayersCompared
from diag.outputs import layers_html
from diag.outputs.registry import page
from reports import layers
from reports.drawings import drawn, specification
from reports.page import Figure
from reports.spec import Tree
from tests.conftest import EXAMPLES


@pytest.fixture(scope="module")
def found() -> LayersCompared:
    return diag.layers(EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors")


def specs(found: LayersCompared) -> dict[str, Tree]:
    return {
        section.short: specification(section.figure.chart)
        for section in page(found).sections
        if isinstance(section.figure, Figure)
    }


def cells(count: int) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"base": f"l{i:02}", "transfer": f"l{j:02}", "value": float(i == j), "told": f"{i} {j}"}
            for i in range(count)
            for j in range(count)
        ]
    )


def mapped(count: int, first: str | None = None) -> Tree:
    best = [{"base": f"l{i:02}", "transfer": f"l{i:02}", "value": 1.0, "told": ""} for i in range(count)]
    return layers.heat_map(cells(count), pd.DataFrame(best), pd.DataFrame(best), "CKA", first).tree


def test_every_chart_is_what_vega_lite_allows(found: LayersCompared) -> None:
    for spec in [*specs(found).values(), mapped(30, "l03")]:
        alt.Chart.from_dict(spec)


def test_the_first_layer_that_differs_is_marked_in_every_picture(found: LayersCompared) -> None:
    assert found.differs == "encoder/0"
    made = specs(found)
    assert ">first that differs</text>" in drawn(made["Layers"], 0).svg
    for name in ("CKA map", "R² map"):
        middle = made[name]["vconcat"][1]["hconcat"][0]["layer"]
        (frame,) = (part for part in middle if part["mark"].get("filled") is False)
        assert frame["data"]["values"][0]["base"] == frame["data"]["values"][0]["transfer"] == "encoder/0"


def test_nothing_is_marked_where_no_layer_differs(found: LayersCompared) -> None:
    same = replace(
        found,
        differs=None,
        layers=tuple(replace(one, relation="matched") for one in found.layers),
    )
    assert "first that differs" not in drawn(specs(same)["Layers"], 0).svg
    assert page(same).sections[0].words == ["None of 5 layers of one name is shown to differ."]
    assert page(same).sections[-1].commands == [f"diag probe {found.base.path} {found.transfer.path}"]


def test_few_layers_bear_their_numbers_and_many_do_not() -> None:
    assert drawn(mapped(4), 0).svg.count(">1.00</text>") == 4
    assert ">1.00</text>" not in drawn(mapped(30), 0).svg
    wide = mapped(200)["vconcat"][1]["hconcat"][0]
    assert wide["width"] <= 200 * layers.LEAST


def test_the_best_of_each_layer_stands_at_the_margin(found: LayersCompared) -> None:
    above, below = specs(found)["CKA map"]["vconcat"]
    best = [row["value"] for row in above["data"]["values"]]
    assert best == pytest.approx(np.nanmax(found.map.cka, axis=0).tolist(), abs=1e-4)
    beside = [row["value"] for row in below["hconcat"][1]["data"]["values"]]
    assert beside == pytest.approx(np.nanmax(found.map.cka, axis=1).tolist(), abs=1e-4)


def test_weights_have_a_bar_each_and_words_say_where_the_movement_is(found: LayersCompared) -> None:
    spec = specs(found)["Weights"]
    rows = spec["data"]["values"]
    assert [row["relative"] for row in rows] == pytest.approx(
        [one.relative for one in found.weights], rel=1e-4, abs=1e-9
    )
    assert {row["fate"] for row in rows} == {"moved", "kept"}
    words = " ".join(next(s.words for s in page(found).sections if s.short == "Weights"))
    assert words == "100% of all movement is that of encoder. The weights of the base are kept in transition."
    many = replace(found, weights=found.weights * 20)
    few = specs(many)["Weights"]["data"]["values"]
    assert all(row["whole"] for row in few)
    broken = tuple(replace(one, plan="frozen") for one in found.weights)
    section = next(s for s in page(replace(found, weights=broken)).sections if s.short == "Weights")
    assert section.words[0].endswith("The plan froze encoder, whose weights moved all the same.")


def test_words_count_partners_of_one_name() -> None:
    values = np.array([[0.9, 0.1, np.nan], [0.2, 0.3, np.nan], [0.5, 0.4, np.nan]])
    names = ("a", "b", "c")
    told = layers_html._map_words(values, names, names)
    assert told[0].startswith("For 2 of 3 layers of the base")
    assert told[1] == "Of the others, c has the least like partner: a, at 0.50."
    alone = layers_html._map_words(values, names, ("x", "y", "z"))
    assert alone == ["No layer of the base has a namesake in the transfer."]


def test_no_command_is_given_for_files_that_need_options(found: LayersCompared) -> None:
    assert page(found).sections[-1].commands
    plain = replace(found.transfer, label="Pictures of 1,234 numbers")
    assert not page(replace(found, transfer=plain)).sections[-1].commands
