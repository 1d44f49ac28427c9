"""Pages: what they weigh, what they add to a diagnosis, and how long until a reader can use their charts.

    python benchmarks/pages.py [--repeats 5] [--study DIR]

A page is made from a result that is there already: its sections, then its text (the first page of a machine
also caches the charts' library). A live page is opened in headless Chromium; it says by itself when
the first chart can be used, counted from the beginning of its loading. Runs are interleaved.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np

import diag
from diag.outputs.registry import page as page_of
from diag.shown import Shown
from reports import render

EXAMPLES = Path(__file__).parent.parent / "examples"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 60
"""Seconds until a page without a live chart is given up."""

READY = """<script>
(async () => {
  while (!document.querySelector("figure[data-live]")) await new Promise((done) => setTimeout(done, 5));
  fetch("/ready?ms=" + performance.now());
})();
</script>"""


def large() -> Shown:
    """A comparison of 100,000 states of 8 numbers, two axes of which are negated."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(100_000, 8))
    signs = np.where(np.isin(np.arange(8), (3, 7)), -1.0, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/a.npy", y)
        np.save(f"{folder}/b.npy", signs * y + 0.05 * rng.normal(size=y.shape))
        return diag.compare(f"{folder}/a.npy", f"{folder}/b.npy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--study", help="a folder of diag study run, whose page is measured too")
    asked = parser.parse_args()
    base, mirrored = EXAMPLES / "base.safetensors", EXAMPLES / "mirrored.safetensors"
    kinds: dict[str, Callable[[], Any]] = {
        "comparison, 31 states": lambda: diag.compare(base, mirrored),
        "comparison, 100,000 × 8": large,
        "landscape, quick": lambda: diag.landscape(base, mirrored, quick=True),
        "probe": lambda: diag.probe(base, mirrored),
    }
    if asked.study:
        from diag.studies.reading import report_of

        kinds[f"study {Path(asked.study).name}"] = lambda: report_of(Path(asked.study))
    results = {name: make() for name, make in kinds.items()}
    times: dict[str, list[tuple[float, float, float | None]]] = {name: [] for name in results}
    sizes: dict[str, tuple[int, int, int]] = {}
    for _ in range(asked.repeats):
        for name, result in results.items():
            began = time.perf_counter()
            page = page_of(result)
            built = time.perf_counter()
            text = render(page)
            written = time.perf_counter()
            charts = sum(section.figure is not None for section in page.sections)
            sizes[name] = charts, len(text.encode()), len(render(page, live=False).encode())
            times[name].append((built - began, written - built, opened(text)))
    print("| page | pictures | live, MB | static, MB | sections, s | text, s | first chart live, s |")
    print("|---|---|---|---|---|---|---|")
    for name, taken in times.items():
        charts, live, static = sizes[name]
        middles = [_median([one[k] for one in taken]) for k in range(3)]
        print(f"| {name} | {charts} | {live / 1e6:.2f} | {static / 1e6:.2f} | {' | '.join(middles)} |")


def _median(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.2f}" if known else "–"


def opened(text: str) -> float | None:
    """Seconds from a page's navigation until its first chart is live; None without a browser."""
    if BROWSER is None:
        return None
    page = text.replace("default-src 'none'", "default-src 'none'; connect-src 'self'", 1)
    page = page.replace("</body>", READY + "</body>").encode()
    found: list[float] = []
    ready = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlparse(self.path)
            if address.path == "/ready":
                found.append(float(parse_qs(address.query)["ms"][0]) / 1000)
                ready.set()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page if address.path == "/page.html" else b"")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1300,900"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        flags += [f"--user-data-dir={profile}", "--remote-debugging-port=0"]
        command = [BROWSER, *flags, f"http://127.0.0.1:{server.server_port}/page.html"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
            ready.wait(PATIENCE)
            browser.terminate()
    server.shutdown()
    server.server_close()
    return found[0] if found else None


if __name__ == "__main__":
    main()
