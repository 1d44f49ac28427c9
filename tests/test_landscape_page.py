"""A landscape's page: heights where they are, contours of planes, terms that pull, and the pointer's rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

import diag
from diag.landscapes import contours
from diag.landscapes.crossings import crossed
from diag.landscapes.result import Landscape
from diag.outputs import landscape_html, landscape_planes
from diag.outputs.names import short_names
from diag.outputs.registry import page
from reports.drawings import drawn, specification
from reports.page import Figure, Page
from reports.spec import LIVE
from tests.conftest import EXAMPLES


@pytest.fixture(scope="module")
def taken() -> Landscape:
    ends = EXAMPLES / "mirrored.safetensors", EXAMPLES / "matched.safetensors"
    return diag.landscape(*ends, points=11, curve_steps=5, third=EXAMPLES / "base.safetensors", steps=5)


@pytest.fixture(scope="module")
def made(taken: Landscape) -> Page:
    return page(taken)


def charts(made: Page) -> dict[str, dict[str, Any]]:
    """Specifications by the sections' short names."""
    return {
        section.short or section.title: specification(section.figure.chart)
        for section in made.sections
        if isinstance(section.figure, Figure)
    }


def titles(spec: dict[str, Any]) -> list[str]:
    return [panel["title"] for panel in spec["concat"]]


def layers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for panel in spec["concat"] for part in panel["layer"]]


def test_every_chart_is_what_vega_lite_allows(made: Page) -> None:
    """Specifications are written as trees: the schema that Altair holds says whether they are any."""
    for spec in charts(made).values():
        alt.Chart.from_dict(spec)


def test_the_wall_comes_first_and_its_height_stands_where_it_is(taken: Landscape, made: Page) -> None:
    first = made.sections[0]
    assert first.short == "Wall"
    assert "95% bootstrap" not in " ".join(first.words)
    spec = charts(made)["Wall"]
    assert [panel["title"] for panel in spec["concat"]] == [
        "Data of the target task",
        "Data of the source task",
    ]
    assert spec["title"]["text"].startswith("t, from A")
    raw = taken.routes["raw"]
    escape = raw.barrier["escape"]
    assert escape.value is not None
    (rise, *_) = landscape_html._rises(raw)
    assert rise.at == pytest.approx(escape.at)
    assert rise.top - rise.foot == pytest.approx(escape.value)
    assert rise.foot == pytest.approx(raw.losses["total"][abs(raw.t).argmin()])
    svg = drawn(spec, 0).svg
    assert ">escape height<" in svg
    assert f">{escape.value:.2f} [" in svg


def test_a_height_of_nothing_and_one_that_is_not_finite_are_not_drawn(taken: Landscape) -> None:
    raw = taken.routes["raw"]
    level = {**raw.barrier, "escape": replace(raw.barrier["escape"], value=0.0)}
    assert all(rise.beside for rise in landscape_html._rises(replace(raw, barrier=level)))
    none = {kind: replace(height, value=None, at=None) for kind, height in raw.barrier.items()}
    assert landscape_html._rises(replace(raw, barrier=none)) == []


def test_entezaris_barrier_is_drawn_where_it_is_another(taken: Landscape) -> None:
    raw = taken.routes["raw"]
    escape = raw.barrier["escape"]
    assert escape.value is not None
    alike = {**raw.barrier, "entezari": escape}
    assert len(landscape_html._rises(replace(raw, barrier=alike))) == 1
    half = {**raw.barrier, "entezari": replace(escape, value=escape.value / 2)}
    one, two = landscape_html._rises(replace(raw, barrier=half))
    assert abs(one.at - two.at) >= landscape_html.APART
    assert two.words.startswith("Entezari's barrier")


def test_one_pointer_serves_all_panels_and_is_not_in_the_drawing(made: Page) -> None:
    spec = charts(made)["Terms"]
    (pointer,) = spec["params"]
    targets = [
        part for panel in spec["concat"] for part in panel["layer"] if part.get("name") in pointer["views"]
    ]
    assert len(targets) == len(spec["concat"]) == len(pointer["views"]) >= 3
    names = [part["name"] for part in layers(spec) if "name" in part]
    assert len(set(names)) == len(names)
    assert all(name.startswith(LIVE) for name in names)
    still = drawn(spec, 0)
    assert 'opacity="0"' not in still.svg
    assert still.svg.count("<text") < 150


def test_terms_and_pairs_have_a_panel_each_the_strongest_first(taken: Landscape, made: Page) -> None:
    conflict = taken.tasks["target"].conflict
    assert conflict is not None
    spec = charts(made)["Disagreement"]
    least = {f"{one} and {two}": np.nanmin(v) for (one, two), v in conflict.cosine.items()}
    assert titles(spec) == sorted(least, key=lambda name: least[name])
    values = [row["below"] for row in spec["concat"][0]["layer"][1]["data"]["values"]]
    assert min(values) == pytest.approx(least[titles(spec)[0]], abs=1e-4)
    assert len(charts(made)["Slopes"]["concat"]) == len(conflict.slope)


def test_a_curve_that_changes_its_sign_is_parted_at_0() -> None:
    t, values = crossed(np.array([0.0, 1.0, 2.0]), np.array([-1.0, 3.0, 3.0]))
    assert (t.tolist(), values.tolist()) == ([0.0, 0.25, 1.0, 2.0], [-1.0, 0.0, 3.0, 3.0])
    # A curve that touches 0 has its point there already; sizes that no product could hold are no matter.
    assert crossed(np.arange(3.0), np.array([1.0, 0.0, -1.0]))[0].tolist() == [0, 1, 2]
    assert crossed(np.arange(2.0), np.array([1e300, -1e300]))[0].tolist() == [0, 0.5, 1]


def test_commands_that_go_on_name_the_files_and_modules_have_none(taken: Landscape, made: Page) -> None:
    last = made.sections[-1]
    assert last.short == "Next"
    assert last.commands[-1] == f"diag compare-embeddings {taken.base.path} {taken.transfer.path}"
    bare = replace(taken, base=replace(taken.base, path="a"), transfer=replace(taken.transfer, path="b"))
    assert page(bare).sections[-1].commands == []
    spaced = replace(taken, base=replace(taken.base, path="my runs/a.safetensors"))
    assert "'my runs/a.safetensors'" in page(spaced).sections[-1].commands[0]


def test_titles_are_as_short_as_tells_the_files_apart(made: Page) -> None:
    assert made.title == "mirrored to matched"
    assert short_names(["x/one/a.npy", "x/two/a.npy"]) == ["one/a", "two/a"]
    assert short_names(["/x/a.npy", "y/b.npy"]) == ["/x/a.npy", "y/b.npy"]


AXIS = np.linspace(-1, 1, 41)
BOWL = np.add.outer(AXIS**2, AXIS**2)


def test_contours_enclose_what_they_should() -> None:
    """The region at or above 0.25 of x² + y² is the square without a disc of radius 1/2."""
    found = contours.rings(AXIS, AXIS, BOWL, [0.25], logarithmic=False)
    assert set(found["band"]) == {0, 1}
    upper = found[found["band"] == 1]
    gaps = upper["x"].isna()

    def area(ring: pd.DataFrame) -> float:
        x, y = ring[["x", "y"]].to_numpy().T
        return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)

    outer, hole = sorted((area(ring) for _, ring in upper[~gaps].groupby(gaps.cumsum())), reverse=True)
    assert outer == pytest.approx(4.0)
    # The hole runs the other way, so that a fill leaves it out; a grid of 1/20 cuts the circle by 1%.
    assert hole == pytest.approx(-np.pi / 4, rel=0.01)


def test_contours_leave_out_what_is_not_finite() -> None:
    holed = np.where(AXIS < 0, np.nan, BOWL)
    found = contours.rings(AXIS, AXIS, holed, [0.25], logarithmic=False)
    assert found["x"].min() == 0
    none = contours.rings(AXIS, AXIS, np.full_like(BOWL, np.nan), [0.25], logarithmic=False)
    assert none.empty


@pytest.mark.parametrize("size", [1e308, 1e-300])
def test_contours_are_the_same_whatever_the_size_of_the_losses(size: float) -> None:
    """From the least to the greatest number that there is, without an overflow on the way."""
    plain = BOWL - 1.0
    usual = contours.rings(AXIS, AXIS, plain, [0.25], logarithmic=False)
    found = contours.rings(AXIS, AXIS, plain * size, [0.25 * size], logarithmic=False)
    np.testing.assert_allclose(found[["x", "y"]], usual[["x", "y"]], atol=1e-9)


@pytest.mark.parametrize(
    ("low", "high", "logarithmic"),
    [
        (0.0, 1.0, False),
        (1e-9, 1e6, True),
        (0.9, 1.1, True),
        (-3e4, 7e5, False),
        (1e-300, 1e300, True),
        (-1e308, 1e308, False),
    ],
)
def test_levels_are_round_and_few_whatever_the_range(low: float, high: float, logarithmic: bool) -> None:
    found = contours.levels(np.array([low, high, np.nan]), logarithmic)
    assert 3 <= len(found) <= 3 * contours.COUNT
    assert all(low < level < high for level in found)
    assert found == sorted(set(found))


def test_a_constant_plane_has_a_picture(taken: Landscape) -> None:
    (plane,) = taken.planes
    flat = {task: {"total": np.full_like(terms["total"], 0.5)} for task, terms in plane.losses.items()}
    section = landscape_planes.plane_section(replace(plane, losses=flat), "target")
    assert isinstance(section.figure, Figure)
    assert "0.5 and more" in drawn(specification(section.figure.chart), 0).svg


def test_a_plane_has_its_checkpoints_and_the_way_between_them(made: Page) -> None:
    spec = charts(made)["Plane of three"]
    assert [panel["title"] for panel in spec["concat"]] == [
        "Data of the target task",
        "Data of the source task",
    ]
    svg = drawn(spec, 0).svg
    assert all(svg.count(f">{name}</text>") == 4 for name in "ABC")  # a halo and a letter, on two panels
    assert "stroke-dasharray" in svg
