"""A probe's page: both embeddings on one scale, colours that stay, and projections to choose from."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pytest

import diag
from diag.outputs import probe_html
from diag.outputs.registry import html, page
from diag.probing.result import Probed
from reports import probes
from reports.drawings import drawn, specification
from reports.page import Figure
from reports.spec import Spec
from tests.conftest import EXAMPLES
from tests.test_html import outline


def known(x: np.ndarray) -> dict[str, Any]:
    return {"place": x[:, 0] + 0.1 * x[:, 3], "side": np.where(x[:, 1] > 0.5, "up", "down")}


@pytest.fixture(scope="module")
def wide() -> Probed:
    """Two embeddings of five axes, of which the second and the fourth vary most in the first."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 5)) * [0.5, 2.0, 0.3, 3.0, 0.1]
    y = rng.normal(size=(80, 5)) * [9.0, 1.0, 1.0, 1.0, 1.0]
    return diag.probe(x, y, variables=known(x), projection="both")


@pytest.fixture(scope="module")
def flat() -> Probed:
    return diag.probe(EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors", projection="both")


def specs(found: Probed) -> dict[str, Spec]:
    return {
        section.short: section.figure.chart
        for section in page(found).sections
        if isinstance(section.figure, Figure)
    }


def test_every_chart_is_what_vega_lite_allows(wide: Probed, flat: Probed) -> None:
    for found in (wide, flat):
        for spec in specs(found).values():
            for tree in (spec.tree, spec.still):
                if tree is not None:
                    alt.Chart.from_dict(tree)


def test_both_embeddings_stand_on_one_scale_with_chance_and_the_change(flat: Probed) -> None:
    spec = specification(specs(flat)["Scores"])
    rows = spec["data"]["values"]
    assert [(row["name"], row["panel"]) for row in rows] == [
        (name, letter) for name in ("row", "column", "room") for letter in "AB"
    ]
    for row in rows:
        score = flat.measure("AB".index(row["panel"]), row["name"])
        assert (row["value"], row["low"], row["high"]) == pytest.approx(
            (score.value, score.low, score.high), abs=1e-5
        )
        assert row["change"] == flat.changes[row["name"]]
    svg = drawn(spec, 0).svg
    assert svg.count(">weaker</text>") == 1
    assert svg.count(">column</text>") == 1


def test_an_embedding_in_the_plane_is_seen_once_on_axes_that_both_share(flat: Probed) -> None:
    assert [p.method for c in flat.columns for p in c.projections] == ["pca", "pca"]
    spec = specs(flat)["By row"]
    assert spec.still is not None
    titles = [panel["title"] for panel in spec.still["concat"]]
    assert titles == ["A: as it is", "B: as it is"]
    one, two = ([panel["encoding"][x]["scale"]["domain"] for x in "xy"] for panel in spec.still["concat"])
    assert one == two
    assert "params" in spec.tree
    assert [param["name"] for param in spec.tree["params"]] == ["near"]


def test_projections_are_chosen_live_and_all_stand_on_paper(wide: Probed) -> None:
    spec = specs(wide)["By place"]
    view, near = spec.tree["params"]
    methods = ["principal components", "UMAP", "two of its axes"]
    assert view["bind"]["options"] == methods
    assert near["views"] == [panel["layer"][0]["name"] for panel in spec.tree["concat"]]
    assert spec.still is not None
    titles = [panel["title"] for panel in spec.still["concat"]]
    assert titles == [f"{letter}: {method}" for method in methods for letter in "AB"]
    axes = spec.still["concat"][-1]["encoding"]
    assert (axes["x"]["axis"]["title"], axes["y"]["axis"]["title"]) == ("axis 1", "axis 3")
    text = html(wide)
    assert text.count("A: UMAP</text>") == 2


def test_axes_that_are_drawn_are_those_of_the_first(wide: Probed) -> None:
    assert [column.axes for column in wide.columns] == [(1, 3), (1, 3)]
    assert all(column.plane is not None and column.plane.shape == (80, 2) for column in wide.columns)


def test_categories_keep_their_colours_though_a_panel_lacks_one() -> None:
    x = np.random.default_rng(1).normal(size=(300, 2))
    rare = np.where(np.arange(300) == 299, "rare", "common")
    found = diag.probe(x, variables={"kind": rare}, projection="pca")
    spec = specs(found)["By kind"]
    assert spec.still is not None
    (panel,) = spec.still["concat"]
    assert panel["encoding"]["color"]["scale"]["domain"] == ["common", "rare"]


def test_no_number_of_a_scale_vanishes_on_either_page() -> None:
    """The ends of the scheme are cut: neither its darkest colour nor its lightest is used."""
    marks = probes._marks("x", (0.0, 1.0)).channels
    low, high = marks["color"]["scale"]["scheme"]["extent"]
    assert low >= 0.2
    assert high <= 0.95


def test_sentences_say_what_is_read(flat: Probed) -> None:
    words = " ".join(page(flat).sections[0].words)
    assert (
        words
        == "From A, row, column and room are read. From B, row and room are read; column is read in part."
    )
    assert "A linear probe reads it with R² 0.98" in " ".join(outline(html(flat)).words)
    names = [f"v{place}" for place in range(10)]
    assert probe_html._named(names).endswith("v7 and 2 more")


def test_a_repeated_shape_stands_in_a_drawing_once(wide: Probed) -> None:
    spec = specs(wide)["By place"]
    assert spec.still is not None
    svg = drawn(spec.still, 3).svg
    uses = svg.count("<use ")
    assert uses >= 6 * 80
    assert svg.count("<path id=") <= 6
    assert 'href="#d3-' in svg
    assert len(svg) < 100 * uses
