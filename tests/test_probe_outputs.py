"""diag probe: what the examples hold of the maze, as JSON, text and page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diag
import probes
from diag.outputs.json import render
from diag.outputs.lines import WIDTH
from diag.outputs.registry import html, text
from diag.probing.result import Probed
from tests.commands import run
from tests.conftest import EXAMPLES
from tests.rows import walked
from tests.test_html import CHROMIUM, browse, outline

BASE, MIRRORED, MATCHED = (str(EXAMPLES / f"{n}.safetensors") for n in ("base", "mirrored", "matched"))


@pytest.fixture(scope="module")
def one() -> Probed:
    return diag.probe(BASE, projection="pca")


@pytest.fixture(scope="module")
def two() -> Probed:
    return diag.probe(BASE, MIRRORED, projection="none")


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, dict[str, Any]]:
    return walked()


def test_the_base_knows_where_it_is(one: Probed) -> None:
    assert one.verdict.status == "pass"
    assert one.verdict.summary.endswith("can be read from the embedding.")
    found = one.columns[0].findings
    assert {name: f.reading for name, f in found.items()} == dict.fromkeys(("row", "column", "room"), "read")
    for name in ("row", "column"):
        cca = found[name].cca
        assert cca.value is not None
        assert cca.random_most is not None
        assert cca.value > 0.98 > cca.random_most
        assert found[name].probe.p == 0.01
    assert found["room"].probe.left_out == ("door",)
    assert found["room"].clusters is not None
    assert found["row"].clusters is None
    assert sum(one.columns[0].explained) == pytest.approx(1)


def test_bending_the_mirror_image_costs_the_column(two: Probed) -> None:
    """The embedding was flipped and bent along the axis of the columns: what one sees, probes say."""
    assert two.changes == {"row": "kept", "column": "weaker", "room": "unclear"}
    assert two.verdict.status == "warn"
    assert two.verdict.summary.startswith("column (R² 0.9")
    assert "is read less well from B" in two.verdict.summary
    turned = diag.probe(MIRRORED, BASE, projection="none")
    assert turned.changes == {"row": "kept", "column": "stronger", "room": "unclear"}
    assert turned.verdict.status == "pass"
    assert turned.measure(0, "row") == two.measure(1, "row")


def test_the_json_has_the_documented_shape(one: Probed, two: Probed) -> None:
    tree = json.loads(render(two))
    assert (tree["schema_version"], tree["diagnosis"]) == (1, "probe")
    assert [set(c) for c in tree["checkpoints"]] == [{"path", "sha256"}] * 2
    assert set(tree["verdict"]) == {"status", "relation", "axes", "summary"}
    assert tree["variables"]["column"]["change"] == "weaker"
    first = tree["variables"]["room"]["columns"][0]
    assert set(first) == {"cca", "probe", "reading", "clusters"}
    assert set(first["cca"]) == {"value", "random", "factor", "p", "p_floor", "rows", "held_out"}
    assert {"value", "low", "high", "selectivity", "chance", "p", "left_out"} <= set(first["probe"])
    assert np.sum(first["clusters"]["counts"]) == 31
    assert [e["dimensions"] for e in tree["embeddings"]] == [2, 2]
    alone = json.loads(render(one))
    assert len(alone["checkpoints"]) == len(alone["variables"]["row"]["columns"]) == 1
    assert alone["variables"]["row"]["change"] is None


def test_what_is_undefined_is_null_with_a_reason(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, known = world
    tree = json.loads(render(diag.probe(x, variables={"still": known["still"]}, projection="none")))
    found = tree["variables"]["still"]["columns"][0]
    assert (found["cca"]["value"], found["probe"]["value"], found["reading"]) == (None, None, None)
    assert found["cca"]["reason"] == found["probe"]["reason"] == "the variable is constant"
    assert tree["verdict"]["status"] == "inconclusive"


@pytest.mark.parametrize("verbose", [False, True])
def test_the_text_says_it_first_and_fits(two: Probed, one: Probed, verbose: bool) -> None:
    for found in (one, two):
        columns = tuple(replace(c, file=replace(c.file, path="x" * 300)) for c in found.columns)
        lines = text(replace(found, columns=columns), verbose).splitlines()
        assert lines[0].startswith(found.verdict.status.upper())
        assert max(map(len, lines)) <= WIDTH
    assert "clusters of B and the categories of room" in "\n".join(lines) or not verbose


def test_the_text_fits_with_any_names_and_scores() -> None:
    """R² has no lower end."""
    x = np.random.default_rng(0).normal(size=(60, 1))
    known = {"a name that is far too long for its place " * 3: x[:, 0].copy()}
    low = probes.Measure(-1234567.8, -23456789.0, -0.5)
    for others in ((), (x[:, ::-1] + 1,)):
        found = diag.probe(x, *others, variables=known, projection="none")
        columns = tuple(
            replace(
                c, findings={n: replace(f, probe=replace(f.probe, score=low)) for n, f in c.findings.items()}
            )
            for c in found.columns
        )
        shown = text(replace(found, columns=columns), verbose=True)
        assert "-1.23e+06" in shown
        assert max(map(len, shown.splitlines())) <= WIDTH


def test_pages(one: Probed, two: Probed) -> None:
    for found, figures in ((one, 5), (two, 2)):
        page = html(found)
        seen = outline(page)
        words = " ".join(seen.words)
        assert found.verdict.summary in words
        assert [a for a in seen.addresses if not a.startswith(("data:", "#"))] == []
        assert page.count('class="drawing" role="img" aria-label=') == seen.tags.count("svg") == figures
        for label in ("selectivity", "leading canonical correlation", "score on held-out rows", "right 9"):
            assert label in words
        assert len(page) < 1.6e6
    assert "The embedding, coloured by room" in " ".join(outline(html(one)).words)


def test_pages_of_many_dimensions_and_categories(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, _ = world
    known = {
        "letter": np.array(list("abcdefghij"))[np.arange(400) % 10],
        "place": x[:, :2],
        "<b>": x[:, 0],
    }
    found = diag.probe(
        np.tile(x, (3, 1)),
        variables={n: np.tile(v, (3, *[1] * (v.ndim - 1))) for n, v in known.items()},
        projection="pca",
    )
    page = html(found)
    words = " ".join(outline(page).words)
    for label in (
        "(other)",
        "coloured by place[1]",
        "coloured by <b>",
        "Each panel draws 375 of the points.",
        "component 1 (",
    ):
        assert label in words
    assert "<b><" not in page.replace("<b>pass</b>", "").replace("<b>warn</b>", "")


def test_categories_that_are_no_text_are_escaped(world: tuple[np.ndarray, dict[str, Any]]) -> None:
    """A control character is no XML: the renderer of the static charts would end the whole process."""
    x, known = world
    words = np.where(known["event"] == "hit", "\x1b[2J\x00hit", "miss\ud800")
    found = diag.probe(x[:60], variables={"event": words[:60]}, projection="pca")
    for told in (html(found), text(found, verbose=True)):
        assert "\\x1b[2J" in told
        assert "\x1b" not in told
        assert told.encode()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.long
def test_live_charts_replace_the_static_ones(one: Probed, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(html(one))
    # Charts come alive when they come near the window: one as tall as the page has them all.
    seen = outline(browse(path, "--dump-dom", "--window-size=900,6000"))
    assert seen.classes.count("vega-embed") == 5


@pytest.mark.long
def test_umap_is_drawn_and_announced(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    status, out, err = run(capsys, "probe", BASE, "--html", str(page), "--projection", "umap")
    assert (status, err) == (0, "preparing UMAP…\n")
    assert out.endswith(f"report: {page}\n")
    words = " ".join(outline(page.read_text()).words)
    assert "UMAP keeps neighbourhoods" in words
    again = diag.probe(BASE, projection="umap").columns[0].projections[0]
    assert again.points is not None
    assert again.points.shape == (31, 2)
    assert np.isfinite(again.points).all()
