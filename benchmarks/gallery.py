"""A page of each kind, made from the shipped checkpoints: ``python -m benchmarks.gallery OUT``.

The documentation's site links them. Every number follows from the checkpoints in ``examples/`` and seed 0.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diag
from diag.outputs.combined import Part, combined
from diag.outputs.registry import page
from reports import Page, render

EXAMPLES = Path("examples")
BASE, LANDED, FAILED = (str(EXAMPLES / f"{name}.safetensors") for name in ("base", "matched", "mirrored"))

WORDS = {
    "compare-landed": "A transfer that lies where its base does.",
    "compare-mirrored": "A transfer that is the mirror image of its base.",
    "landscape": "The losses between the failed transfer and the one that landed.",
    "probe": "What can be read from the base's embedding, and from the failed transfer's.",
    "check": "A gate with both transfers: one passes, one fails.",
    "repair": "The failed transfer, mended: before, with a map folded in, after 100 updates.",
    "forecast": "How the failed transfer would have been forecast to end.",
    "layers": "Where in the two networks the failed transfer begins to differ.",
}
"""The pages, in the order of the list, and a sentence on each."""


def made(folder: Path) -> Mapping[str, Callable[[], Any]]:
    """What makes each result; ``folder`` is for the mended checkpoint."""
    return {
        "compare-landed": lambda: diag.compare(BASE, LANDED),
        "compare-mirrored": lambda: diag.compare(BASE, FAILED),
        "landscape": lambda: diag.landscape(FAILED, LANDED, jobs=1),
        "probe": lambda: diag.probe(BASE, FAILED, projection="pca"),
        "check": lambda: diag.check(BASE, LANDED, FAILED),
        "repair": lambda: diag.repair(BASE, FAILED, out=folder / "mended.safetensors", train=100),
        "forecast": lambda: diag.forecast(FAILED, base=BASE),
        "layers": lambda: diag.layers(BASE, FAILED),
    }


def gallery(out: Path) -> dict[str, Page]:
    """Write every page to a folder, all of them in one (``all.html``), and the list (``index.html``)."""
    out.mkdir(parents=True, exist_ok=True)
    pages: dict[str, Page] = {}
    with TemporaryDirectory() as folder:
        for name, make in made(Path(folder)).items():
            began = time.monotonic()
            pages[name] = page(make())
            (out / f"{name}.html").write_text(render(pages[name]), "utf-8")
            sys.stdout.write(f"{name}.html  {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    parts = [Part(name, one) for name, one in pages.items()]
    (out / "all.html").write_text(render(combined(parts, "gallery"), live=False), "utf-8")
    (out / "index.html").write_text(listed(pages), "utf-8")
    return pages


def listed(pages: Mapping[str, Page]) -> str:
    """The list of the pages, as a page without scripts."""
    rows = "\n".join(
        f'<li><a href="{name}.html">{html.escape(one.title)}</a> '
        f"<b>{html.escape(one.status)}</b> {html.escape(WORDS[name])}</li>"
        for name, one in pages.items()
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Gallery</title>\n'
        "<style>:root{color-scheme:light dark}body{margin:0 auto;padding:2rem 1rem;max-width:48rem;"
        "font:16px/1.6 system-ui,sans-serif}li{margin:.4rem 0}</style>\n</head>\n<body>\n<h1>Gallery</h1>\n"
        f"<p>Pages made from the checkpoints that ship with the package.</p>\n<ul>\n{rows}\n"
        '<li><a href="all.html">All of them in one page</a>, without scripts.</li>\n</ul>\n</body>\n</html>\n'
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.gallery OUT")
    gallery(Path(sys.argv[1]))
