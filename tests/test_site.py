"""The documentation's site and its gallery: no page is left out, and no link leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import gallery, site
from diag.commands.listing import listed
from reports import Page

DOCS = Path(__file__).parents[1] / "docs"


def test_every_page_of_the_documentation_is_in_the_contents() -> None:
    pages = {path.name for path in DOCS.iterdir() if path.suffix in (".md", ".ipynb")} - {"index.md"}
    named = re.findall(r"^(\S+\.(?:md|ipynb))$", (DOCS / "index.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(pages)


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "index.html").write_text('<h1 id="a b">x</h1><a href="../one.html#here">up</a>')
    (tmp_path / "one.html").write_text(
        '<p id="here"><a href="below/#a%20b"></a><a href="#here"></a><a href="/below/"></a>'
        '<a href="https://example.org/nowhere"></a><a href="mailto:a@b"></a><img src="data:,">'
        '<a href="#gone"></a><a href="two.html"></a><a href="below/#b"></a><img src="p.png"></p>'
    )
    assert list(site.broken(tmp_path)) == [
        "one.html: #gone",
        "one.html: two.html",
        "one.html: below/#b",
        "one.html: p.png",
    ]


def test_the_gallery_lists_every_page() -> None:
    made = gallery.made(Path())
    assert list(made) == list(gallery.WORDS)
    text = gallery.listed({name: Page("<a>", "pass", "It landed.", [], [], "") for name in made})
    assert re.findall(r'href="([^"]+)"', text) == [*(f"{name}.html" for name in made), "all.html"]
    assert "<a></a>" not in text


@pytest.mark.long
def test_the_gallery_is_made_of_the_shipped_checkpoints(tmp_path: Path) -> None:
    pages = gallery.gallery(tmp_path)
    statuses = {name: page.status for name, page in pages.items()}
    assert statuses["compare-landed"] == "pass"
    assert statuses["compare-mirrored"] == statuses["check"] == "fail"
    assert {report.path for report in listed(tmp_path)} == {
        *(f"{name}.html" for name in pages),
        "all.html",
        "index.html",
    }
    assert list(site.broken(tmp_path)) == []


@pytest.mark.long
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for name in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(name, reason="the extra site is not installed")
    place = tmp_path / "extra" / "gallery" / "index.html"
    place.parent.mkdir(parents=True)
    place.write_text("<p>the gallery</p>")
    assert site.build(tmp_path / "site", tmp_path / "extra") == 0
    front = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "gallery/index.html" in front
    assert re.search(r'<script[^>]+src="https?:', front) is None
    assert "diag.compare(base, landed)" in re.sub(
        "<[^>]+>", "", (tmp_path / "site" / "tutorial.html").read_text("utf-8")
    )
