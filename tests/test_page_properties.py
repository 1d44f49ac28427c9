"""What a page is to a reader: at every width, in the dark, on paper, by keyboard, under strict policies."""

from __future__ import annotations

import html as escaping
import json
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports import Drawing, Figure, Key, Page, Section, charts, render, studies
from reports.ladders import ladder
from reports.pixels import Row, drawing
from tests.test_html import browse

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
        reason="no Chromium here",
    ),
]

PATIENT = ("--dump-dom", "--virtual-time-budget=600000")
"""Flags for pages whose scripts take their time on a busy machine."""

STRICT = "sandbox allow-same-origin; default-src 'none'; img-src 'self'; style-src 'self';"
"""The policy under which Jenkins serves what a job has archived, unless it is told otherwise."""


def made(evil: str = "a name") -> Page:
    """A page with every part that pages have, and ten charts."""
    rng = np.random.default_rng(0)
    n = 31
    place = np.stack([rng.normal(size=n), rng.normal(size=n)], 1)
    groups = np.where(place[:, 0] > 0, "left", "right")
    points = pd.concat(
        [
            pd.DataFrame(
                {
                    "panel": panel,
                    "x": sign * place[:, 0],
                    "y": place[:, 1],
                    "group": groups,
                    "state": range(n),
                }
            )
            for panel, sign in (("base", 1), ("transfer", -1))
        ]
    )
    lines = pd.DataFrame(columns=["panel", "x", "y", "x2", "y2"], dtype=float)
    rungs = pd.DataFrame(
        {"transform": ["identity", "signs"], "r2": [0.1, 0.9], "low": [0.0, 0.8], "high": [0.2, 1.0]}
    )
    curves = pd.DataFrame(
        [
            {"panel": panel, "outcome": outcome, "step": step, "value": v, "low": v - 0.1, "high": v + 0.1}
            for panel in ("one loss", "another loss", "a third", "a fourth")
            for outcome in ("success", "failure")
            for step in range(0, 1000, 50)
            for v in [float(rng.random())]
        ]
    )
    table = pd.DataFrame(
        {"name": [f"row {k}" for k in range(8)], "number": [f"{k / 3:.2f}" for k in range(8)]}
    )
    pictures = drawing([Row("pictures", [np.zeros((4, 4, 3), np.uint8)] * 3, ["a", "b", "c"])])
    described = "What the chart shows."
    sections = [
        Section(
            "Two embeddings",
            ["They differ."],
            Figure(charts.embeddings(points, lines), described, "Read it so."),
        ),
        Section(
            "A ladder",
            ["It is flipped."],
            Figure(ladder(rungs), described),
            rungs,
            ["A note."],
            folded=True,
        ),
        Section("Curves", ["They fall."], Figure(studies.curves(curves), described)),
        Section("A table", table=table),
        Section("Pictures", ["They are small."], Drawing(pictures, described)),
        Section(
            "What to do next", ["Mend it."], commands=["diag repair base.safetensors transfer.safetensors"]
        ),
    ]
    sections += [Section(f"Ladder {k}", [evil], Figure(ladder(rungs), described)) for k in range(7)]
    keys = [Key("best R²", "0.90", "[0.80, 1.00]"), Key("states in place", "3", "of 31")]
    facts = [("base", "base.safetensors, sha256 1234"), ("seed", "0")]
    return Page(
        "transfer against base", "fail", f"Flipped. {evil}", facts, sections, "the version", "compare", keys
    )


@pytest.fixture(scope="module")
def live() -> str:
    return render(made())


@pytest.fixture(scope="module")
def static() -> str:
    return render(made(), live=False)


class Handler(SimpleHTTPRequestHandler):
    policy = ""

    def end_headers(self) -> None:
        if self.policy and not self.path.startswith("/free"):
            self.send_header("Content-Security-Policy", self.policy)
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Address of a server of ``tmp_path`` on the loopback interface."""
    Handler.policy = ""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def with_script(page: str, *scripts: str) -> str:
    """The page with scripts at its end, which its own policy lets run."""
    whole = [script.replace("</script", "<\\/script") for script in scripts]
    told = "".join(f"<script>{script}</script>" for script in whole)
    return page.replace("</body>", f"{told}</body>")


def found_in(dom: str) -> Any:
    """What a script left in ``<pre id="found">``."""
    held = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert held is not None, "the script in the page did not end"
    return json.loads(escaping.unescape(held[1]))


TELL = """
const tell = (what) => {
  const box = document.createElement("pre");
  box.id = "found"; box.textContent = JSON.stringify(what); document.body.append(box);
};
const all_live = async () => {
  for (const figure of document.querySelectorAll("figure[data-spec]")) figure.scrollIntoView();
  for (let k = 0; k < 2000; k++) {
    const waiting = [...document.querySelectorAll("figure[data-spec]")].filter((f) => !f.dataset.live);
    if (!waiting.length) return;
    waiting[0].scrollIntoView();
    await new Promise((done) => setTimeout(done, 50));
  }
};
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["live", "static"])
def test_axe_finds_nothing(kind: str, scheme: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    axe = (files("axe_core_python") / "axe.min.js").read_text("utf-8")
    run = """
    (async () => {
      await all_live();
      for (const fold of document.querySelectorAll("details")) fold.open = true;
      const found = await axe.run(document, { resultTypes: ["violations"] });
      tell(found.violations.map((v) => [v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200))]));
    })();
    """
    path = tmp_path / "page.html"
    path.write_text(with_script(request.getfixturevalue(kind), axe, TELL + run))
    colours = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    assert found_in(browse(path, colours, *PATIENT)) == []


FRAMES = """<!doctype html><title>frames</title><body><script>
const tell = (what) => {
  const box = document.createElement("pre");
  box.id = "found"; box.textContent = JSON.stringify(what); document.body.append(box);
};
(async () => {
  const found = {};
  for (const width of [360, 800, 1600]) {
    const frame = document.createElement("iframe");
    frame.style.cssText = `width:${width}px;height:900px;border:0`;
    const loaded = new Promise((done) => (frame.onload = done));
    frame.src = "page.html"; document.body.append(frame); await loaded;
    const page = frame.contentDocument;
    for (let k = 0; k < 2000; k++) {
      const waiting = [...page.querySelectorAll("figure[data-spec]")].find((f) => !f.dataset.live);
      if (!waiting) break;
      frame.scrollIntoView();
      waiting.scrollIntoView();
      await new Promise((done) => setTimeout(done, 50));
    }
    const beside = page.querySelector(".beside");
    const texts = [...page.querySelectorAll("figure svg text")];
    const letters = texts.map((text) => text.getBoundingClientRect().height);
    const box = (name) => beside.querySelector(name).getBoundingClientRect();
    found[width] = {
      overflow: page.documentElement.scrollWidth - width,
      across: box(".lead").left > box("figure").left + 100,
      least: Math.min(...letters.filter((height) => height > 0)),
      live: page.querySelectorAll("figure[data-live]").length,
      body: parseFloat(getComputedStyle(page.body).fontSize),
    };
    frame.remove();
  }
  tell(found);
})();
</script>"""


def test_it_fits_a_phone_and_uses_a_wide_window(live: str, static: str, served: str, tmp_path: Path) -> None:
    (tmp_path / "free.html").write_text(FRAMES)
    for page, drawn in ((live, 10), (static, 0)):
        (tmp_path / "page.html").write_text(page)
        seen = found_in(browse(tmp_path / "free.html", *PATIENT, address=f"{served}/free.html"))
        assert {width: one["overflow"] for width, one in seen.items()} == {"360": 0, "800": 0, "1600": 0}
        assert [one["across"] for one in seen.values()] == [False, False, True]
        assert [one["live"] for one in seen.values()] == [drawn] * 3
        # Letters of 12 px have boxes about 14 high; a drawing may shrink by a quarter before it scrolls.
        assert min(one["least"] for one in seen.values()) > 9
        assert {one["body"] for one in seen.values()} == {16}


def test_a_strict_server_shows_the_drawings(live: str, served: str, tmp_path: Path) -> None:
    """Neither scripts nor styles run: drawings keep their size and colours, and folds open by themselves."""
    pytest.importorskip("PIL")
    from PIL import Image

    (tmp_path / "page.html").write_text(live)
    Handler.policy = STRICT
    picture = tmp_path / "strict.png"
    browse(tmp_path / "page.html", f"--screenshot={picture}", address=f"{served}/page.html", errors=False)
    seen = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3).astype(int)
    for colour in charts.PALETTE[:2]:
        wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        assert (np.abs(seen - wanted).max(1) < 12).sum() > 30


def test_it_follows_the_reader_s_theme(static: str, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    from PIL import Image

    (tmp_path / "page.html").write_text(static)
    brightness = []
    for scheme in (0, 1):
        picture = tmp_path / f"{scheme}.png"
        browse(
            tmp_path / "page.html",
            f"--screenshot={picture}",
            f"--blink-settings=preferredColorScheme={scheme}",
        )
        brightness.append(float(np.median(np.asarray(Image.open(picture).convert("L")))))
    assert brightness[0] < 40 < 240 < brightness[1]


def test_paper_has_what_is_folded(live: str, tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    (tmp_path / "page.html").write_text(live)
    paper = tmp_path / "page.pdf"
    browse(tmp_path / "page.html", f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    words = " ".join(page.extract_text() for page in pypdf.PdfReader(paper).pages)
    words = " ".join(words.split())
    assert "A note." in words
    assert "held-out R²" in words
    assert "sha256 1234" in words


def test_heads_sort_and_buttons_are_reached_by_keyboard(live: str, tmp_path: Path) -> None:
    run = """
    (async () => {
      const table = document.querySelector("table.sortable");
      const [, head] = table.querySelectorAll("th button");
      head.focus();
      const focused = document.activeElement === head;
      const column = () => [...table.tBodies[0].rows].map((row) => row.cells[1].textContent);
      head.click(); const down = column();
      head.click(); const up = column();
      const sorted = head.closest("th").getAttribute("aria-sort");
      const copies = document.querySelectorAll(".command button").length;
      tell({ focused, down, up, sorted, copies });
    })();
    """
    (tmp_path / "page.html").write_text(with_script(live, TELL + run))
    seen = found_in(browse(tmp_path / "page.html", *PATIENT))
    assert seen["focused"]
    assert seen["down"] == seen["up"][::-1] == sorted(seen["down"], key=float, reverse=True)
    assert (seen["sorted"], seen["copies"]) == ("ascending", 1)


def test_ten_charts_are_small(live: str, static: str) -> None:
    assert live.count("<figure") == 11
    assert len(live.encode()) < 1.2e6
    assert len(static.encode()) < 0.25e6
    assert "<script" not in static


def test_names_cannot_end_an_element() -> None:
    evil = "</script><script>alert(1)</script></style>"
    for page in (render(made(evil)), render(made(evil), live=False)):
        assert evil not in page
        assert escaping.escape(evil) in page
