"""Drawings in few letters: what is merged looks as before, and a page of clouds weighs what it should."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

import diag
from diag.outputs.registry import page
from reports import render
from reports.compact import compact
from reports.drawings import drawn, specification
from reports.ladders import ladder
from reports.spec import finished, layer, q, rows

A_CHART = 25_000
"""Bytes of a chart on a page without scripts, with the words and tables beside it."""

SVG = "{http://www.w3.org/2000/svg}"


def svg_of(*layers: dict[str, object]) -> ET.Element:
    tree = finished({"layer": list(layers), "width": 200, "height": 200})
    return ET.fromstring(drawn(specification(tree), 1).svg)


def cloud(count: int, size: float = 1.0) -> dict[str, object]:
    rng = np.random.default_rng(0)
    points = pd.DataFrame({"x": rng.normal(size=count), "y": rng.normal(size=count)})
    mark = {"type": "point", "filled": True, "size": 40 * size}
    axis = {"axis": None, "scale": {"domain": [-5, 5]}}
    return layer(mark, rows(points), x=q("x", **axis), y=q("y", **axis))


def test_a_cloud_is_one_line_with_a_marker_at_each_of_its_points() -> None:
    svg = svg_of(cloud(300))
    (line,) = [path for path in svg.iter(f"{SVG}path") if path.get("marker-mid")]
    name = str(line.get("marker-mid"))[5:-1]
    assert line.get("fill") == "none"
    assert {line.get(f"marker-{end}") for end in ("start", "mid", "end")} == {f"url(#{name})"}
    places = [float(number) for number in re.findall(r"-?[\d.]+", str(line.get("d")))]
    assert len(places) == 600
    assert 0 <= min(places) <= max(places) <= 200
    (marker,) = svg.iter(f"{SVG}marker")
    assert marker.get("id") == name
    (use,) = marker
    assert str(use.get("href"))[1:] in {path.get("id") for path in svg.iter(f"{SVG}path")}


def test_a_few_points_are_each_there() -> None:
    svg = svg_of(cloud(8))
    assert len(list(svg.iter(f"{SVG}use"))) == 8
    assert not list(svg.iter(f"{SVG}marker"))


def test_marks_of_another_size_keep_it() -> None:
    svg = svg_of(cloud(300), cloud(300, 4.0))
    assert len(list(svg.iter(f"{SVG}marker"))) == 2
    assert len({path.get("d") for path in svg.iter(f"{SVG}path") if path.get("id")}) == 2


def test_a_kept_shape_is_not_filled_unless_it_says_so() -> None:
    ring = {"type": "point", "size": 40, "stroke": "#888888"}
    both = {**cloud(40), "mark": ring}
    svg = svg_of(both)
    (kept,) = svg.iter(f"{SVG}defs")
    assert kept.get("fill") == "none"


def test_what_cannot_be_seen_is_left_out_and_what_limits_stays() -> None:
    text = (
        '<svg width="9"><defs><clipPath id="c"><path d="M0,0h9v9h-9Z"/></clipPath></defs><g fill="none">'
        '<g transform="translate(0,0)"><path d="M0,0h9v9h-9Z"/><path d="" display="none"/></g>'
        '<g><path d="M1,2L3,4" stroke="#111111" stroke-width="2" stroke-dasharray="1,0"/></g></g></svg>'
    )
    short = compact(text)
    assert '<clipPath id="c"><path d="M0,0h9v9h-9Z"/></clipPath>' in short
    assert short.count("<path") == 2
    assert short.count("<g") == 1
    assert '<path d="M1,2L3,4" stroke="#111111" stroke-width="2"/>' in short


def test_words_keep_their_place_and_their_turn() -> None:
    word = '<text text-anchor="end" transform="translate({})" font-size="12px" fill="red">{}</text>'
    turned = '<text transform="translate(3,4) rotate(-90)" fill="red">up</text>'
    short = compact(
        f'<svg width="9"><g>{word.format("1,2", "a")}{word.format("1,7.25", "b")}{turned}</g></svg>'
    )
    assert (
        '<g text-anchor="end" fill="red"><text x="1" y="2">a</text><text x="1" y="7.2">b</text></g>' in short
    )
    assert turned in short


def test_the_same_chart_is_drawn_in_the_same_bytes() -> None:
    rungs = pd.DataFrame({"transform": ["signs"], "r2": [0.5], "low": [0.4], "high": [0.6]})
    chart = specification(ladder(rungs))
    assert drawn(chart, 3) == drawn(chart, 3)


def test_numbers_keep_the_digits_that_can_be_seen() -> None:
    far = 1e6 + np.linspace(0.0, 0.1, 7)
    held = rows(pd.DataFrame({"x": far, "y": np.linspace(0, 1e-7, 7), "z": [-1e308, 1e308, *[np.nan] * 5]}))
    kept = pd.DataFrame(held["values"])
    np.testing.assert_allclose(kept["x"] - 1e6, far - 1e6, atol=1e-6)
    np.testing.assert_allclose(kept["y"], np.linspace(0, 1e-7, 7), rtol=1e-5)
    assert kept["z"].tolist()[:2] == [-1e308, 1e308]
    assert len(str(held["values"][3]["y"])) < 9


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("spread", [1.0, 1e-5])
def test_a_picture_shows_states_wherever_they_lie(offset: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    y = offset + spread * rng.normal(size=(50, 3))
    first = page(diag.compare(y, y + 0.01 * spread * rng.normal(size=y.shape))).sections[0]
    assert first.figure is not None
    points = pd.DataFrame(specification(first.figure.chart)["data"]["values"])  # type: ignore[union-attr]
    assert points["base_x"].nunique() > 45
    assert points["base_y"].nunique() > 45


@pytest.mark.parametrize("dimensions", [2, 8, 32])
def test_a_page_of_clouds_weighs_a_fortieth_of_a_megabyte_a_chart(dimensions: int) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(3000, dimensions))
    signs = np.where(np.isin(np.arange(dimensions), (1, 7)), -1.0, 1.0)
    found = page(diag.compare(y, signs * y + 0.05 * rng.normal(size=y.shape)))
    charts = sum(section.figure is not None for section in found.sections)
    assert charts == 5
    assert len(render(found, live=False).encode()) < A_CHART * charts
