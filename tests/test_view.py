"""The plane of a comparison's picture, the map that it draws, and what is drawn of many states."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest

import diag
from diag.comparisons.picture import CELLS, Best, Picture
from diag.comparisons.view import view_of
from diag.outputs.embeddings_html import embeddings_figure, map_words
from diag.outputs.registry import html
from diag.outputs.states_html import states_section
from probes import GRIDS, Map, Measure, Step
from reports.png import data_address


def test_what_is_negated_stands_upside_down(rng: np.random.Generator) -> None:
    base = rng.normal(size=(200, 6)) * [5, 4, 3, 2, 1, 0.5]
    signs = np.array([1, 1, 1, -1, 1, -1])
    view = view_of(base, base * signs, "flipped", (3, 5))
    before, after = view.base(base - base.mean(0) + base.mean(0)), view.base(base * signs)
    centre = view.base(np.zeros((1, 6)))
    assert (after - centre)[:, 1] == pytest.approx(-(before - centre)[:, 1])
    assert (after - centre)[:, 0] == pytest.approx((before - centre)[:, 0])
    assert "axes 3 and 5" in view.titles[1]
    single = view_of(base, base * signs, "flipped", (3,))
    assert np.abs(single.base.axes[:, 1]).tolist() == [0, 0, 0, 1, 0, 0]
    whole = view_of(base, -base, "flipped", tuple(range(6)))
    assert whole.base.axes[:, 0] @ whole.base.axes[:, 1] == pytest.approx(0)


def test_swapped_axes_are_the_two_that_are_drawn(rng: np.random.Generator) -> None:
    base = rng.normal(size=(100, 4)) * [1, 2, 3, 4]
    order = (0, 3, 2, 1)
    view = view_of(base, base[:, order], "permuted", (), order)
    # Axis 3 varies most of those that move; the transfer has it as its axis 1.
    assert view.titles == ("axis 1", "axis 3")
    places = view.base(base[:, order])
    assert places - view.base(np.zeros((1, 4))) == pytest.approx(base[:, [3, 1]])


def test_the_difference_is_seen_where_no_axis_is_named(rng: np.random.Generator) -> None:
    base = rng.normal(size=(100, 5))
    moved = base + np.array([0, 0, 0, 0, 9.0])
    view = view_of(base, moved, "affine")
    assert np.abs(view.base.axes[:, 0]) == pytest.approx([0, 0, 0, 0, 1], abs=1e-6)
    assert view_of(base, base, "matched").titles == ("first component", "second component")
    assert view_of(base[:, :2], moved[:, :2], "affine").words == ""
    assert view_of(base, moved[:, :3], None).transfer is not view_of(base, moved[:, :3], None).base


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_a_map_of_channels_leads_every_place_back(layout: str, rng: np.random.Generator) -> None:
    y = rng.normal(size=(20, 3, 4, 2))
    x = GRIDS["mirrored left to right"](y * [1, -1])
    shape = (3, 4, 2)
    if layout == "channels first":
        x, shape = x.transpose(0, 3, 1, 2), (2, 3, 4)
        y = y.transpose(0, 3, 1, 2)
    step = Step("signs", Measure(1.0), Map(signs=(1, -1)))
    best = Best(step, (shape, shape), layout, "mirrored left to right")  # type: ignore[arg-type]
    assert best.changes
    assert best(x.reshape(20, -1)) == pytest.approx(y.reshape(20, -1))


def test_the_map_that_is_drawn_is_the_one_that_names_the_relation(rng: np.random.Generator) -> None:
    y = rng.normal(size=(200, 3))
    found = diag.compare(y, y * [1, -1, 1] + 0.02 * rng.normal(size=y.shape))
    picture = found.picture
    assert picture.best is not None
    assert picture.best.step is found.best
    assert map_words(found) == "axis 1 negated back"
    drawn = picture.drawn(50)
    assert drawn.mapped is not None
    # In the view, mapped states lie within the noise of their places in the base.
    assert np.abs(drawn.mapped - drawn.base).max() < 0.2
    assert np.abs(drawn.transfer - drawn.base).max() > 1
    assert drawn.distances == pytest.approx(
        np.linalg.norm(picture.base - picture.transfer, axis=1)[drawn.states]
    )


def test_the_density_counts_every_state_and_a_few_are_marked(rng: np.random.Generator) -> None:
    y = rng.normal(size=(5000, 2))
    drawn = Picture(y, -y).drawn(300)
    assert len(drawn.states) == 300
    assert {name: density.counts.sum() for name, density in drawn.density.items()} == {
        "base": 5000,
        "transfer": 5000,
    }
    assert drawn.density["base"].counts.shape == (CELLS, CELLS)
    assert Picture(y[:100], -y[:100]).drawn(300).density == {}


def test_a_choice_of_axes_has_those_that_are_named(rng: np.random.Generator) -> None:
    y = rng.normal(size=(100, 20)) * np.linspace(3, 0.5, 20)
    signs = np.ones(20)
    signs[[15, 19]] = -1
    explored = Picture(y, y * signs, relation="flipped", axes=(15, 19)).explored(40, 8)
    assert explored is not None
    assert {"axis 15", "axis 19", "axis 0", "axis 1"} < set(explored.axes)
    assert len(explored.axes) == 10
    base, transfer = explored.axes["axis 15"]
    assert (base == -transfer).all()
    assert Picture(y, y[:, :3]).explored(40, 8) is None


def test_a_hundred_thousand_states_make_a_small_page(rng: np.random.Generator) -> None:
    y = rng.normal(size=(100_000, 4))
    y[:, 1] += y[:, 0]
    found = diag.compare(y, y * [-1, 1, 1, 1] + 0.1 * rng.normal(size=y.shape))
    text = html(found)
    assert len(text) < 1.5e6
    assert "300 of 100,000 states are drawn" in text


def test_results_without_embeddings_have_the_other_sections(rng: np.random.Generator) -> None:
    from dataclasses import replace

    y = rng.normal(size=(60, 3))
    found = diag.compare(y, -y)
    empty = replace(found, picture=Picture(np.empty((0, 3)), np.empty((0, 3))))
    text = html(empty)
    assert "Axis by axis" in text
    assert "Before and after" not in text
    assert states_section(empty) == []


def test_observations_stand_in_the_tooltips_of_the_states() -> None:
    from tests.conftest import EXAMPLES

    found = diag.compare(EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors")
    (section,) = states_section(found)
    spec = section.figure.chart.to_dict()  # type: ignore[union-attr]
    rows = spec["data"]["values"]
    assert len(rows) == 31
    assert len({row["image"] for row in rows}) == 31
    assert all(row["image"].startswith("data:image/png;base64,") for row in rows)
    assert sum(len(row["image"]) for row in rows) < 60_000
    assert embeddings_figure(found).chart.to_dict()["columns"] == 4


def test_a_png_holds_the_pixels(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (3, 5, 3), dtype=np.uint8)
    content = base64.b64decode(data_address(picture, 2).partition(",")[2])
    pil = pytest.importorskip("PIL.Image")
    read = np.asarray(pil.open(io.BytesIO(content)).convert("RGB"))
    assert (read == picture.repeat(2, 0).repeat(2, 1)).all()
    length = struct.unpack(">I", content[8:12])[0]
    assert zlib.crc32(content[12 : 16 + length]) == struct.unpack(">I", content[16 + length : 20 + length])[0]


def test_a_single_dimension_stands_over_the_states_in_the_bases_order(rng: np.random.Generator) -> None:
    base = rng.permutation(np.linspace(-1.0, 1.0, 40))[:, None]
    drawn = Picture(base, -base, relation="flipped", axes=(0,)).drawn(40)
    order = np.argsort(base[:, 0])
    assert drawn.view.titles[1] == "axis 0"
    for places in (drawn.base, drawn.transfer):
        np.testing.assert_array_equal(places[order, 0], np.arange(40))
    np.testing.assert_allclose(drawn.base[:, 1], base[:, 0])
    np.testing.assert_allclose(drawn.transfer[:, 1], -base[:, 0])
    np.testing.assert_allclose(drawn.placed(Picture(base, -base)), drawn.transfer[:, :])
