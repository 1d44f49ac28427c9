"""What a live page of a comparison does: a slider over checkpoints, a choice of axes, boxes that link."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import diag
from diag.outputs.registry import html
from tests.test_html import browse
from tests.test_page_properties import TELL, found_in, with_script

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
        reason="no Chromium here",
    ),
]

RUN = """
const GREY = "#88888855";
(async () => {
  await all_live();
  const settle = () => new Promise((done) => setTimeout(done, 300));
  const figures = [...document.querySelectorAll("figure[data-live]")];
  const of = (name) => figures.find((f) => f.querySelector(`[name=${name}]`));
  const marks = (figure) =>
    [...figure.querySelectorAll("g.mark-symbol path")].map((p) => p.getAttribute("transform")).join();
  const grey = (figure) =>
    [...figure.querySelectorAll("g.mark-symbol path")].filter((p) => p.getAttribute("fill") === GREY).length;

  const film = of("stop");
  const slider = film.querySelector("[name=stop]");
  const heading = () => film.querySelector(".role-title-text")?.textContent ?? "";
  const last = [heading(), marks(film)];
  slider.value = 1; slider.dispatchEvent(new Event("input")); await settle();
  const first = [heading(), marks(film)];

  const states = of("across");
  const choice = states.querySelector("[name=across]");
  const before = marks(states);
  choice.selectedIndex = choice.options.length - 1;
  choice.dispatchEvent(new Event("change")); await settle();
  const after = marks(states);

  const svg = states.querySelector("svg");
  svg.scrollIntoView();
  const box = states.querySelector(".mark-group.role-scope .background").getBoundingClientRect();
  const fire = (kind, x, y, target) =>
    target.dispatchEvent(new PointerEvent(kind, { bubbles: true, clientX: x, clientY: y, view: window }));
  const [left, top] = [box.left + box.width / 4, box.top + box.height / 4];
  const [right, bottom] = [box.left + box.width / 2, box.top + box.height / 2];
  const target = document.elementFromPoint(left, top) ?? svg;
  fire("pointerdown", left, top, target);
  fire("pointermove", right, bottom, window); await settle();
  fire("pointerup", right, bottom, window); await settle();
  const options = choice.options.length;
  tell({ stops: Number(slider.max), last, first, before, after, options, grey: grey(states) });
})();
"""


def test_the_slider_the_axes_and_the_box(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(60, 5)) * [2, 1.5, 1, 1, 1]
    way = [y * [1, -a, 1, 1, 1] + 0.1 * rng.normal(size=y.shape) for a in (-1.0, -0.3, 0.4, 1.0)]
    page = html(diag.compare(y, way[-1], trail=way[:-1]))
    path = tmp_path / "page.html"
    path.write_text(with_script(page, TELL + RUN))
    seen = found_in(browse(path, "--dump-dom", "--virtual-time-budget=60000"))
    assert seen["stops"] == 4
    assert seen["last"][0] != seen["first"][0]
    assert seen["last"][1] != seen["first"][1]
    assert seen["before"] != seen["after"]
    assert seen["options"] == 2 + 5
    # Three panels of 60 states: the box keeps some of each in colour, and not all.
    assert 0 < seen["grey"] < 180
    assert seen["grey"] % 3 == 0
