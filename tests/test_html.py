"""The pages: self-contained, silent, whole without JavaScript, and safe with anything in a name."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diag
from diag.comparisons.result import Comparison
from diag.outputs.registry import html
from reports import Figure, Page, Section, charts, render
from tests.conftest import EXAMPLES

CHARTS = 5
"""The picture, axes, states, maps and scores of a comparison."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return diag.compare(EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors")


@pytest.fixture(scope="module")
def page(compared: Comparison) -> str:
    return html(compared)


class Outline(HTMLParser):
    """What a reader without scripts and styles gets, and every address in the page."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.classes: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        self.classes += (dict(attributes).get("class") or "").split()
        self.addresses += [v or "" for k, v in attributes if k in ("src", "href", "xlink:href", "action")]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)


def outline(text: str) -> Outline:
    parser = Outline()
    parser.feed(text)
    return parser


def test_it_asks_for_nothing(page: str) -> None:
    assert [a for a in outline(page).addresses if not a.startswith(("data:", "#"))] == []
    assert "default-src 'none'" in page


def test_it_is_small_and_holds_the_library_once(page: str) -> None:
    assert len(page) < 1.2e6
    assert page.count("<script>") == page.count('id="library"') == page.count('id="specs"') == 1
    assert page.count("data-spec=") == CHARTS


def test_it_reads_without_scripts(page: str, compared: Comparison) -> None:
    words = " ".join(outline(page).words)
    assert compared.verdict.summary in words
    assert "Fail" in words
    assert page.count('role="img" aria-label=') == outline(page).tags.count("svg") == CHARTS
    for label in ("identity", "affine", "L2 distance per state", "held-out R²"):
        assert label in words


def test_names_cannot_break_out(compared: Comparison) -> None:
    evil = "</script><script>alert(1)</script>"
    base = replace(compared.base, path=evil)
    text = html(replace(compared, base=base, verdict=replace(compared.verdict, summary=evil)))
    assert evil not in text
    points = pd.DataFrame({"panel": [evil], "x": [0.0], "y": [0.0], "group": [evil], "state": [0]})
    lines = pd.DataFrame(columns=["panel", "x", "y", "x2", "y2"], dtype=float)
    figure = Figure(charts.embeddings(points, lines), evil)
    text = render(Page(evil, "pass", evil, [(evil, evil)], [Section(evil, [evil], figure)], evil))
    assert evil not in text
    assert text.count("<script") == 3


@pytest.mark.long
def test_commands_in_sentences_are_set_as_code() -> None:
    page = render(Page("t", "", "v", [], [Section("s", ["Try `diag repair <b>` now."])], ""))
    assert "Try <code>diag repair &lt;b&gt;</code> now." in page


def test_only_one_dimension_and_many_are_drawn(tmp_path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    for d in (1, 5):
        y = rng.normal(size=(2500, d))
        np.save(tmp_path / "a.npy", y)
        np.save(tmp_path / "b.npy", -y)
        text = html(diag.compare(tmp_path / "a.npy", tmp_path / "b.npy"))
        assert "300 of 2,500 states are drawn, over the grey density of all" in text
        assert ("Upwards stands their" in text or "first principal component" in text) == (d > 2)


BROWSER_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=600000",
    "--window-size=900,1600",
]


def browse(path: Path, *flags: str, address: str = "", errors: bool = True) -> str:
    """What Chromium prints for a page on disk, or at an ``address``; fails on ``errors`` in its console."""
    assert CHROMIUM is not None
    profile = f"--user-data-dir={path.with_suffix('.profile')}"
    command = [CHROMIUM, *BROWSER_FLAGS, profile, *flags, address or f"file://{path}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert not errors or not re.findall(r"CONSOLE.*(?:rror|efused).*", found.stderr)
    return found.stdout


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_live_charts_replace_the_static_ones(page: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page)
    seen = outline(browse(path, "--dump-dom"))
    assert seen.tags.count("svg") == CHARTS
    assert 2 <= seen.classes.count("vega-embed") <= CHARTS


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_looks_almost_alike_without_scripts(page: str, tmp_path: Path) -> None:
    """A sandboxed frame runs no scripts: it shows about as much as a frame that does."""
    (tmp_path / "page.html").write_text(page)
    sizes = []
    for name, sandbox in (("live", "sandbox=allow-scripts"), ("static", "sandbox")):
        frame = tmp_path / f"{name}.html"
        frame.write_text(f'<iframe {sandbox} src="page.html" style="width:880px;height:1560px"></iframe>')
        picture = tmp_path / f"{name}.png"
        browse(frame, f"--screenshot={picture}")
        sizes.append(picture.stat().st_size)
    assert min(sizes) > 30_000
    assert sizes[1] == pytest.approx(sizes[0], rel=0.25)


@pytest.mark.long
def test_a_fine_plane_is_thinned_and_its_page_written(examples: Path) -> None:
    """Contours are drawn of as many points as can be seen, so that a page of noise is no larger."""
    ends = examples / "mirrored.safetensors", examples / "matched.safetensors"
    found = diag.landscape(*ends, points=3, quick=True, random_plane=True, steps=3, task="target")
    (plane,) = found.planes
    axis = np.linspace(-1, 1, 201)
    total = np.add.outer(axis**2, axis**2) + 0.1
    fine = replace(plane, alpha=axis, beta=axis, losses={"target": {"total": total}})
    page = html(replace(found, planes=(fine,)))
    assert "Only 101 × 101 of the points are drawn." in page
    assert "201 × 201 points" in page
