"""Small pictures as SVG: what is drawn is the picture, and words cannot break out."""

from __future__ import annotations

import re

import numpy as np

from reports import Drawing, Page, Section, render
from reports.pixels import Row, drawing


def painted(svg: str, height: int, width: int) -> np.ndarray:
    """The pixels that the paths of one picture cover, later paths over earlier ones."""
    canvas = np.zeros((height, width, 3), np.uint8)
    for colour, shapes in re.findall(r'<path fill="#([0-9a-f]{6})" d="([^"]*)"/>', svg):
        rgb = [int(colour[i : i + 2], 16) for i in (0, 2, 4)]
        for x, y, w, h in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-\d+z", shapes):
            canvas[int(y) : int(y) + int(h), int(x) : int(x) + int(w)] = rgb
        if re.fullmatch(r"M0 0h\d+v\d+H0z", shapes):
            canvas[:] = rgb
    return canvas


def test_the_paths_are_the_picture(rng: np.random.Generator) -> None:
    for colours in (1, 2, 5):
        palette = rng.integers(0, 256, (colours, 3), dtype=np.uint8)
        picture = palette[rng.integers(0, colours, (9, 7))]
        assert (painted(drawing([Row("", [picture], [""])]), 9, 7) == picture).all()


def test_a_drawing_stands_in_a_page_without_scripts_or_images() -> None:
    svg = drawing([Row("<b>who</b>", [np.zeros((2, 2, 3), np.uint8)], ["</svg><script>"])])
    page = render(Page("t", "", "v", [], [Section("s", ["w"], Drawing(svg, 'what "happens"'))], "f"))
    assert "</svg><script" not in page
    assert "<img" not in page
    assert "&lt;b&gt;who" in page
    assert 'aria-label="what &quot;happens&quot;"' in page
